//! What happens to a server when its owner is killed.
//!
//! The owner is this test program, run again with one ignored test that starts a server, prints where it is, and waits
//! to be killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{TestDir, eventually, is_running, query};
use everdure_embedded::{Server, sweep};
use rustix::process::{Pid, Signal, kill_process};

/// An owner in a process of its own, and its server.
struct Owner {
    process: Child,
    postmaster: u32,
    home: PathBuf,
}

impl Owner {
    fn start(data_dir: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "owner::owner_that_waits", "--ignored", "--nocapture"])
            .env("OWNER_DATA_DIR", data_dir);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("an owner");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let mut lines = lines.map_while(Result::ok);
        let line = lines.find_map(|line| Some(line.split_once("server ")?.1.to_owned())).expect("a started server");
        let (pid, home) = line.split_once(' ').expect("two words");
        Self { process, postmaster: pid.parse().expect("a number"), home: home.into() }
    }

    fn kill(&mut self) {
        self.process.kill().expect("a live owner");
        self.process.wait().expect("its end");
    }

    /// The watchdog is the owner's only shell.
    fn kill_watchdog(&self) {
        let owner = self.process.id();
        let shells = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (name, rest) = stat.rsplit_once(')')?;
            let parent: u32 = rest.split_whitespace().nth(1)?.parse().ok()?;
            (name.ends_with("(sh") && parent == owner).then_some(pid)
        });
        let shells: Vec<i32> = shells.collect();
        assert_eq!(shells.len(), 1, "one watchdog");
        kill_process(Pid::from_raw(shells[0]).expect("a process"), Signal::KILL).expect("a live watchdog");
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn owner_that_waits() {
    let Ok(data_dir) = std::env::var("OWNER_DATA_DIR") else { return };
    let builder = Server::builder();
    let builder = if data_dir.is_empty() { builder } else { builder.data_dir(&data_dir) };
    let server = builder.start().expect("a server");
    let home = server.data_dir().parent().expect("a parent").display();
    println!("server {} {home}", server.pid().expect("a process"));
    loop {
        std::thread::park();
    }
}

#[test]
fn the_watchdog_ends_the_server_of_a_killed_owner() {
    let mut owner = Owner::start("");
    assert!(is_running(owner.postmaster) && owner.home.is_dir());
    owner.kill();
    eventually("the server ends", || !is_running(owner.postmaster));
    eventually("its directory goes", || !owner.home.exists());
}

#[test]
fn a_sweep_ends_the_server_of_a_killed_owner_and_watchdog() {
    let mut owner = Owner::start("");
    owner.kill_watchdog();
    sweep();
    assert!(is_running(owner.postmaster), "a sweep spares the living");
    owner.kill();
    assert!(is_running(owner.postmaster));
    // Each start of another test sweeps as well, so ours may come second.
    eventually("a sweep has ended it", || {
        sweep();
        !is_running(owner.postmaster) && !owner.home.exists()
    });
}

#[test]
fn a_sweep_removes_what_a_lost_machine_left() {
    let mut owner = Owner::start("");
    owner.kill_watchdog();
    let postmaster = Pid::from_raw(owner.postmaster.try_into().expect("a number")).expect("a process");
    kill_process(postmaster, Signal::KILL).expect("a live server");
    owner.kill();
    eventually("the server ends", || !is_running(owner.postmaster));
    eventually("its directory goes", || {
        sweep();
        !owner.home.exists()
    });
}

#[test]
fn a_data_directory_whose_owner_was_killed_starts_again() {
    let dir = TestDir::new();
    let home = dir.path().join("home");
    for with_watchdog in [true, false] {
        let mut owner = Owner::start(&home.display().to_string());
        if !with_watchdog {
            owner.kill_watchdog();
        }
        owner.kill();
        let server = Server::builder().data_dir(&home).start().expect("a server");
        eventually("the old server ends", || !is_running(owner.postmaster));
        assert_eq!(query(&server.url(), "select 1"), "1");
        server.stop().expect("a clean stop");
    }
    assert!(Path::new(&home).join("data").is_dir(), "the data stays");
}
