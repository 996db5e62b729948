//! The data directory: made once, complete or not at all.
//!
//! `initdb` and the creation of the database happen in `data.new`, which then becomes `data`. Who is killed in between
//! leaves nothing that looks like a data directory.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::account::Account;
use crate::binaries::PostgresBinaries;
use crate::credentials::{Credentials, write_private};
use crate::error::Error;
use crate::home::{Home, remove_tree};

/// The major version that made the data directory of `root`, if there is one.
pub(crate) fn existing_major(root: &Path) -> Option<String> {
    Some(fs::read_to_string(root.join("data/PG_VERSION")).ok()?.trim().to_owned())
}

/// Refuses a data directory of another major version.
pub(crate) fn check_version(home: &Home, binaries: &PostgresBinaries) -> Result<(), Error> {
    match existing_major(home.root()) {
        Some(found) if found != binaries.version().major().to_string() => Err(Error::DataDirOtherVersion {
            dir: home.root().to_path_buf(),
            found,
            wanted: binaries.version().clone(),
        }),
        _ => Ok(()),
    }
}

/// Makes the data directory. `synced` is for one that has to survive a loss of power.
pub(crate) fn create(
    home: &Home,
    account: &Account,
    binaries: &PostgresBinaries,
    credentials: &Credentials,
    synced: bool,
) -> Result<(), Error> {
    let data = home.unfinished();
    remove_tree(&data)?;
    credentials.save(&home.credentials())?;
    DirBuilder::new().mode(0o700).create(&data).map_err(Error::io("create", &data))?;
    account.own(&data)?;
    initdb(home, account, binaries, credentials, synced)?;
    create_database(home, account, binaries, credentials, synced)?;
    fs::rename(&data, home.data()).map_err(Error::io("put in place", &data))?;
    if synced {
        File::open(home.root()).and_then(|root| root.sync_all()).map_err(Error::io("sync", home.root()))?;
    }
    Ok(())
}

/// Encoding and locale are the same everywhere, so that text sorts alike on every machine. Both kinds of connection ask
/// for the password.
fn initdb(
    home: &Home,
    account: &Account,
    binaries: &PostgresBinaries,
    credentials: &Credentials,
    synced: bool,
) -> Result<(), Error> {
    let password = home.root().join("password.new");
    write_private(&password, &credentials.password)?;
    account.own(&password)?;
    let mut command = account.command(binaries.program("initdb"));
    command.args(["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--username", &credentials.user]);
    command.arg("--pwfile").arg(&password).arg("--pgdata").arg(home.unfinished());
    if !synced {
        command.arg("--no-sync");
    }
    let output = command.output();
    fs::remove_file(&password).map_err(Error::io("remove", &password))?;
    succeeded(output.map_err(|error| account.spawn_error(binaries.dir(), &error))?, home)
}

/// A stand-alone backend creates the database: no password and no client needed.
fn create_database(
    home: &Home,
    account: &Account,
    binaries: &PostgresBinaries,
    credentials: &Credentials,
    synced: bool,
) -> Result<(), Error> {
    if credentials.database == "postgres" {
        return Ok(());
    }
    let sql = format!("create database \"{}\"\n", credentials.database.replace('"', "\"\""));
    let mut command = account.command(binaries.program("postgres"));
    command.args(["--single", "-j", "-c", "exit_on_error=on", "-c", "log_checkpoints=off"]);
    if !synced {
        command.arg("-F");
    }
    command.arg("-D").arg(home.unfinished()).arg("postgres");
    let output = feed(&mut command, &sql).map_err(Error::io("create the database in", home.root()))?;
    succeeded(output, home)
}

fn feed(command: &mut Command, input: &str) -> std::io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A backend that has ended already says why in its output.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}

fn succeeded(output: Output, home: &Home) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let output = format!("{}{}", String::from_utf8_lossy(&text), output.status);
    Err(Error::InitFailed { dir: home.root().to_path_buf(), output })
}
