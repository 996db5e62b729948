//! `everdure dev` as a user meets it: the real binary and a real PostgreSQL.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};

struct Dev(Child);

impl Dev {
    fn start(arguments: &[&str]) -> (Self, serde_json::Value) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_everdure"))
            .args(["dev", "--json", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let out = child.stdout.take().expect("standard output is piped");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("readable");
        let said = serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON ({error}): '{line}'"));
        (Self(child), said)
    }

    /// Ends it as a person does, and waits until it has gone.
    fn interrupt(mut self) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().expect("kill is on every system");
        assert!(sent.success());
        assert!(self.0.wait().expect("our child").success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Only matters when the test has failed; the server's watchdog does the rest.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn port(said: &serde_json::Value) -> u16 {
    let url = said["url"].as_str().expect("a URL");
    let after_host = url.split("@127.0.0.1:").nth(1).expect("on the loopback interface");
    after_host.split('/').next().and_then(|port| port.parse().ok()).expect("a port")
}

fn refused(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everdure"));
    command.args(["dev", "--listen", "127.0.0.1:0"]).args(arguments);
    let Output { status, stderr, .. } = command.output().expect("the binary was built");
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).expect("text")
}

#[test]
fn it_serves_until_it_is_interrupted_and_leaves_nothing() {
    let (dev, said) = Dev::start(&[]);
    TcpStream::connect(("127.0.0.1", port(&said))).expect("it listens");
    dev.interrupt();
    TcpStream::connect(("127.0.0.1", port(&said))).expect_err("nobody listens any more");
    let dir = std::path::Path::new(said["dataDir"].as_str().expect("a directory"));
    assert!(!dir.exists(), "{} is left", dir.display());
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let said = refused(&["--port", &port]);
    assert!(said.contains(&format!("port {port} on 127.0.0.1 is in use")), "{said}");
}

#[test]
fn an_address_in_use_is_named_before_a_database_is_started() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_everdure"));
    let output = command.args(["dev", "--listen", &address]).output().expect("the binary was built");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "nothing is announced");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
}

/// As root, the server runs under another account, which cannot pass through a directory of root's own.
#[test]
fn a_directory_that_was_refused_is_not_made() {
    let nobody_else = std::fs::Permissions::from_mode(0o700);
    let parent = tempfile::Builder::new().permissions(nobody_else).tempdir().expect("a directory of our own");
    let dir = parent.path().join("x/y");
    if rustix::process::getuid().is_root() {
        let said = refused(&["--data-dir", dir.to_str().expect("a readable path")]);
        assert!(said.contains(parent.path().to_str().expect("a readable path")), "{said}");
        assert!(!parent.path().join("x").exists());
    } else {
        let (dev, _) = Dev::start(&["--data-dir", dir.to_str().expect("a readable path")]);
        dev.interrupt();
        assert!(dir.exists());
    }
}

#[test]
fn a_data_directory_in_use_is_named() {
    let dir = std::env::temp_dir().join(format!("everdure-dev-test-{}", std::process::id()));
    let path = dir.to_str().expect("a readable path");
    let (dev, first) = Dev::start(&["--data-dir", path]);
    let said = refused(&["--data-dir", path]);
    assert!(said.contains(path) && said.contains("in use"), "{said}");
    dev.interrupt();
    let (dev, second) = Dev::start(&["--data-dir", path]);
    assert_eq!(first["url"], second["url"], "the same directory keeps its URL");
    dev.interrupt();
    std::fs::remove_dir_all(&dir).expect("ours to remove");
}
