//! Finding PostgreSQL.
//!
//! The environment belongs to the whole process, so each case runs this test program again with an environment of its
//! own; the ignored test prints what it finds.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{TestDir, set_mode};
use everdure_embedded::{Builder, PostgresBinaries, Server};

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn print_what_is_found() {
    match std::env::var("WANTED") {
        Ok(major) => report(PostgresBinaries::find_version(major.parse().expect("a number"))),
        Err(_) => report(PostgresBinaries::find()),
    }
}

fn report(found: Result<PostgresBinaries, everdure_embedded::Error>) {
    match found {
        Ok(found) => println!("found {} in {}", found.version(), found.dir().display()),
        Err(error) => println!("{error}"),
    }
}

fn found_with(environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "search::print_what_is_found", "--ignored", "--nocapture"]);
    command.env_remove("EVERDURE_POSTGRES_BIN").envs(environment.iter().copied());
    String::from_utf8_lossy(&command.output().expect("its output").stdout).into_owned()
}

/// Programs that claim to be some version.
fn fake(dir: &Path, version: &str) {
    for program in ["postgres", "initdb", "pg_ctl"] {
        let path = dir.join(program);
        fs::write(&path, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")).expect("a program");
        set_mode(&path, 0o755);
    }
}

#[test]
fn the_variable_comes_first() {
    let dir = TestDir::new();
    fake(dir.path(), "17.99");
    let path = dir.path().display().to_string();
    assert!(found_with(&[("EVERDURE_POSTGRES_BIN", &path)]).contains(&format!("found 17.99 in {path}")));
    assert!(found_with(&[("EVERDURE_POSTGRES_BIN", &path), ("WANTED", "17")]).contains("found 17.99"));
    assert!(found_with(&[("PATH", &path)]).contains("found 17.99"));
}

#[test]
fn another_version_is_found_behind_the_variable() {
    let dir = TestDir::new();
    let major = PostgresBinaries::find().expect("PostgreSQL").version().major();
    fake(dir.path(), if major == 17 { "16.99" } else { "17.99" });
    let path = dir.path().display().to_string();
    let text = found_with(&[("EVERDURE_POSTGRES_BIN", &path), ("WANTED", &major.to_string())]);
    assert!(text.contains(&format!("found {major}.")) && !text.contains(&path), "{text}");
}

#[test]
fn an_unsupported_version_is_named_with_the_remedy() {
    let dir = TestDir::new();
    fake(dir.path(), "14.9");
    let path = dir.path().display().to_string();
    let text = found_with(&[("EVERDURE_POSTGRES_BIN", &path)]);
    assert!(text.contains("names PostgreSQL 14.9") && text.contains("scripts/setup.sh"), "{text}");
    let text = found_with(&[("PATH", &path), ("WANTED", "99")]);
    let expected = [&format!("no PostgreSQL 99 found, only 14.9 in {path}"), "scripts/setup.sh --postgres 99"];
    assert!(expected.iter().all(|words| text.contains(*words)), "{text}");
}

#[test]
fn an_empty_directory_in_the_variable_is_an_error() {
    let dir = TestDir::new();
    let text = found_with(&[("EVERDURE_POSTGRES_BIN", &dir.path().display().to_string())]);
    assert!(text.contains("must name a directory with postgres, initdb and pg_ctl"), "{text}");
}

#[test]
fn root_is_told_which_directory_is_closed_to_the_servers_account() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root runs the server as somebody else.
    }
    let dir = TestDir::new();
    let (closed, open) = (dir.path().join("home"), dir.path().join("home/data"));
    fs::create_dir_all(&open).expect("directories");
    fake(&closed, "17.99");
    set_mode(&closed, 0o700);

    let text = found_with(&[("EVERDURE_POSTGRES_BIN", &closed.display().to_string())]);
    assert!(text.contains(&format!("because {} is closed to it", closed.display())), "{text}");

    let error = Builder::data_dir(Server::builder(), &open).start().expect_err("the data is out of reach");
    assert!(error.to_string().contains("cannot reach the data directory"), "{error}");
    assert!(error.to_string().contains(&format!("because {} is closed", closed.display())), "{error}");
}
