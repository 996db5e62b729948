//! The life of a server: start, connect, restart, crash, stop.

use std::net::TcpListener;

use crate::support::{TestDir, eventually, is_running, query};
use everdure_embedded::{Error, Server};

#[test]
fn an_ephemeral_server_comes_and_goes() {
    let server = Server::builder().start().expect("a server");
    assert_eq!(query(&server.url(), "select current_database() || current_user"), "everdureeverdure");
    let settings = "select string_agg(setting, ',' order by name) from pg_settings where name in \
                    ('fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses', 'server_encoding')";
    assert_eq!(query(&server.url_for("postgres"), settings), "on,on,127.0.0.1,UTF8,on");
    assert!(server.cpu_seconds() > 0.0);

    let (pid, home) = (server.pid().expect("a process"), server.data_dir().parent().expect("a parent").to_path_buf());
    assert!(is_running(pid) && home.is_dir());
    server.stop().expect("a clean stop");
    assert!(!is_running(pid) && !home.exists());
}

#[test]
fn dropping_stops_and_a_wrong_password_does_not_enter() {
    let server = Server::builder().start().expect("a server");
    let pid = server.pid().expect("a process");
    let wrong = server.url().replace("everdure:", "everdure:x");
    let psql = everdure_embedded::PostgresBinaries::find().expect("PostgreSQL").dir().join("psql");
    let output = std::process::Command::new(psql).args([&wrong, "-c", "select 1"]).output().expect("psql");
    assert!(String::from_utf8_lossy(&output.stderr).contains("password authentication failed"));
    drop(server);
    assert!(!is_running(pid));
}

#[test]
fn two_servers_run_side_by_side() {
    let servers = [(); 2].map(|()| Server::builder().unsafe_fast().start().expect("a server"));
    assert_ne!(servers[0].port(), servers[1].port());
    for server in &servers {
        assert_eq!(query(&server.url(), "show fsync"), "off");
    }
}

#[test]
fn a_restart_and_a_crash_keep_data_and_port() {
    let mut server = Server::builder().setting("max_connections", "7").start().expect("a server");
    let (url, first) = (server.url(), server.pid());
    query(&url, "create table t as select 1 as x");
    server.restart().expect("a restart");
    query(&url, "insert into t values (2)");
    server.kill_immediate().expect("a crash");
    assert_eq!(server.pid(), None);
    server.restart().expect("a recovery");
    assert_eq!((query(&url, "select sum(x) from t"), query(&url, "show max_connections")), ("3".into(), "7".into()));
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), first);
}

#[test]
fn a_data_directory_keeps_its_data_and_its_url() {
    let dir = TestDir::new();
    let home = dir.path().join("with a blank").join("deep");
    let start = || Server::builder().data_dir(&home).start().expect("a server");
    let server = start();
    let url = server.url();
    query(&url, "create table t as select 42 as x");
    server.stop().expect("a clean stop");
    // As after a crash of the machine: the file names a process that is something else by now.
    std::fs::write(home.join("data/postmaster.pid"), format!("{}\n", std::process::id())).expect("a stale file");
    let server = start();
    assert_eq!(server.url(), url);
    assert_eq!(query(&url, "select x from t"), "42");
}

#[test]
fn a_data_directory_has_one_server() {
    let dir = TestDir::new();
    let start = || Server::builder().data_dir(dir.path().join("home")).start();
    let server = start().expect("a server");
    let error = start().expect_err("the directory is in use");
    assert!(matches!(error, Error::DataDirInUse { pid, .. } if pid == std::process::id()), "{error}");
    drop(server);
    start().expect("the directory is free again");
}

#[test]
fn a_directory_with_other_things_is_left_alone() {
    let dir = TestDir::new();
    std::fs::write(dir.path().join("thesis.txt"), "years of work").expect("a file");
    let error = Server::builder().data_dir(dir.path()).start().expect_err("not ours");
    assert!(matches!(error, Error::DataDirForeign { .. }), "{error}");
}

#[test]
fn data_of_another_version_is_refused() {
    let dir = TestDir::new();
    let home = dir.path().join("home");
    Server::builder().data_dir(&home).start().expect("a server").stop().expect("a clean stop");
    std::fs::write(home.join("data/PG_VERSION"), "12\n").expect("another version");
    let binaries = everdure_embedded::PostgresBinaries::find().expect("PostgreSQL");
    let error = Server::builder().data_dir(&home).binaries(binaries).start().expect_err("another version");
    assert!(matches!(&error, Error::DataDirOtherVersion { found, .. } if found == "12"), "{error}");
}

#[test]
fn a_taken_port_is_named_with_its_process() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("an address").port();
    let error = Server::builder().port(taken).start().expect_err("the port is in use");
    assert!(
        matches!(error, Error::PortInUse { port, pid: Some(pid) } if port == taken && pid == std::process::id()),
        "{error}"
    );
}

#[test]
fn a_failed_start_shows_the_log_and_leaves_nothing() {
    let error = Server::builder().setting("shared_buffers", "lots").start().expect_err("nonsense");
    let Error::StartFailed { dir, log_tail, .. } = &error else { panic!("{error}") };
    assert!(log_tail.contains("invalid value for parameter \"shared_buffers\""), "{error}");
    eventually("the directory is gone", || !dir.exists());
}
