//! What people get wrong, and what they are told.

use std::net::TcpListener;
use std::process::Command;

use crate::support::{Cli, server, text};

fn without_url(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everdure"));
    let output = command.args(arguments).env_remove("EVERDURE_DATABASE_URL").output().expect("the binary was built");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_missing_url_is_asked_for() {
    let (code, said) = without_url(&["list"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--database-url") && said.contains("EVERDURE_DATABASE_URL"), "{said}");
    assert!(said.contains("everdure dev"), "{said}");
}

#[test]
fn a_wrong_url_is_explained() {
    let said = Cli::at("mysql://me:s3cret@host/db", "h").fails(1, &["list"]);
    assert!(said.contains("postgresql://") && said.contains("mysql"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    let said = Cli::at("no url at all", "h").fails(1, &["list"]);
    assert!(said.contains("not a database URL"), "{said}");
}

#[test]
fn a_database_that_is_down_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    let port = taken.local_addr().expect("it is bound").port();
    drop(taken);
    let said = Cli::at(&format!("postgresql://me:s3cret@127.0.0.1:{port}/db"), "h").fails(1, &["list"]);
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("refused"), "{said}");
    assert!(said.contains("check that the server runs"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_wrong_password_is_named_and_not_shown() {
    let mut url = url::Url::parse(&server().url()).expect("a URL");
    url.set_password(Some("s3cret")).expect("it can have one");
    let said = Cli::at(url.as_str(), "h").fails(1, &["list"]);
    assert!(said.contains("password") && said.contains("check user and password"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_missing_database_or_schema_is_named() {
    let said = Cli::at(&server().url_for("nowhere"), "h").fails(1, &["list"]);
    assert!(said.contains("nowhere") && said.contains("create the database"), "{said}");
    let said = Cli::in_hub("h").fails(1, &["list", "--schema", "never_made"]);
    assert!(said.contains("never_made") && said.contains("everdure migrate"), "{said}");
}

#[test]
fn an_unknown_instance_is_named_by_every_command() {
    let cli = Cli::in_hub("unknown");
    cli.ok(&["start", "x"]);
    for arguments in [
        &["get", "ghost"][..],
        &["get", "ghost", "--wait", "5"],
        &["history", "ghost"],
        &["raise-event", "ghost", "go"],
        &["suspend", "ghost"],
        &["resume", "ghost"],
        &["terminate", "ghost"],
        &["purge", "ghost"],
    ] {
        let said = cli.fails(1, arguments);
        assert!(said.contains("there is no instance 'ghost'"), "{arguments:?}: {said}");
    }
}

#[test]
fn malformed_input_is_refused_before_anything_happens() {
    // The database is not even asked.
    let cli = Cli::at("postgresql://127.0.0.1:1/db", "h");
    let said = cli.fails(1, &["start", "x", "--input", "{ \"a\": "]);
    assert!(said.contains("the input is not valid JSON") && said.contains("line 1"), "{said}");
    let said = cli.fails(1, &["raise-event", "x", "go", "--input", "Ada"]);
    assert!(said.contains("quote texts"), "{said}");
    let said = cli.fails(1, &["start", "x", "--input", "@/no/such/file"]);
    assert!(said.contains("/no/such/file"), "{said}");
}

#[test]
fn a_misspelt_hub_is_named_and_not_made() {
    Cli::in_hub("really-there").ok(&["start", "x"]);
    let cli = Cli::in_hub("realy-there");
    for command in [
        &["list"][..],
        &["get", "x"],
        &["history", "x"],
        &["raise-event", "x", "go"],
        &["suspend", "x"],
        &["resume", "x"],
        &["terminate", "x"],
        &["purge", "x", "--yes"],
    ] {
        // Twice: the first must not make what the second one would find.
        for _ in 0..2 {
            let said = cli.fails(1, command);
            assert!(said.contains("no task hub 'realy-there'") && said.contains("really-there"), "{said}");
        }
    }
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let cli = Cli::at("postgresql://127.0.0.1:1/db", "h");
    let said = cli.fails(2, &["list", "--status", "Done"]);
    assert!(said.contains("'Done' is not a status") && said.contains("Completed"), "{said}");
    let said = cli.fails(2, &["purge", "--status", "Running", "--yes"]);
    assert!(said.contains("have not ended"), "{said}");
    assert!(cli.fails(2, &["list", "--created-from", "tomorrow"]).contains("use 2026-01-31"));
    assert!(cli.fails(2, &["list", "--tag", "region"]).contains("use key=value"));
    cli.fails(2, &["purge", "--yes"]);
    cli.fails(2, &["get"]);
    cli.fails(2, &["no-such-command"]);
}

#[test]
fn options_of_the_server_that_nobody_can_mean_are_refused() {
    let cli = Cli::at("postgresql://127.0.0.1:1/db", "h");
    for (option, value, help) in [
        ("--advertise", "foo", "a host and a port"),
        ("--advertise", ":4001", "a host and a port"),
        ("--advertise", "http://here:4001", "a host and a port"),
        ("--advertise", "here:0", "a host and a port"),
        ("--hubs", "", "a task hub needs a name"),
        ("--hubs", "a,,b", "a task hub needs a name"),
        ("--listen", "localhost:4001", "an IP address and a port"),
        ("--listen", "4001", "127.0.0.1:4001"),
    ] {
        let said = cli.fails(2, &["serve", option, value]);
        assert!(said.contains(help), "{option} {value}: {said}");
    }
    // These can be meant: what is wrong is the database.
    for (option, value) in [("--advertise", "[fd00::1]:4001"), ("--advertise", "here:1"), ("--hubs", " h , other ")] {
        let said = cli.fails(1, &["serve", "--listen", "127.0.0.1:0", option, value]);
        assert!(said.contains("the task hub 'h' cannot be opened"), "{option} {value}: {said}");
    }
}

#[test]
fn entities_are_none_of_the_orchestrations() {
    let cli = Cli::at("postgresql://127.0.0.1:1/db", "h");
    for command in [
        &["history", "@account@Ada"][..],
        &["raise-event", "@account@Ada", "go"],
        &["suspend", "@account@Ada"],
        &["resume", "@account@Ada"],
        &["terminate", "@account@Ada"],
        &["restart", "@account@Ada"],
        &["rewind", "@account@Ada"],
        &["fork", "@account@Ada", "--turn", "1"],
    ] {
        let said = cli.fails(2, command);
        assert!(said.contains("it is an entity: see `everdure entity --help`"), "{command:?}: {said}");
    }
}

#[test]
fn a_level_that_is_none_is_told() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everdure"));
    let output = command.arg("list").env_remove("EVERDURE_DATABASE_URL").env("EVERDURE_LOG", "nonsense").output();
    let said = text(&output.expect("the binary was built").stderr);
    assert!(said.contains("'nonsense' is no level") && said.contains("no database named"), "{said}");
    assert!(!said.contains('\u{1b}'), "colours are for terminals: {said}");
}

#[test]
fn help_teaches_with_examples() {
    let (code, _) = without_url(&["--help"]);
    assert_eq!(code, Some(0));
    for command in ["demo", "dev", "migrate", "start", "get", "list", "history", "raise-event", "suspend", "purge"] {
        let output = Command::new(env!("CARGO_BIN_EXE_everdure")).args([command, "--help"]).output().expect("built");
        let help = text(&output.stdout);
        assert!(help.contains(&format!("everdure {command}")), "{command} has no example:\n{help}");
    }
}
