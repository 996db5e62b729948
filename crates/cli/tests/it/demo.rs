//! `everdure demo` as a newcomer meets it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

use crate::support::text;

fn demo(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everdure"));
    command.arg("demo").args(arguments).env_remove("EVERDURE_DATABASE_URL");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built");
    let mut stdin = child.stdin.take().expect("it is piped");
    // Who does not read it does not mind.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("our child")
}

fn refused(input: &str) -> String {
    let output = demo(&["--input", "-"], input);
    assert_eq!(output.status.code(), Some(1));
    text(&output.stderr)
}

#[test]
fn it_keeps_its_promises_and_shows_them() {
    let output = demo(&[], "");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    assert!(said.starts_with("Everdure demo"), "{said}");
    for part in ["TimerFired", "EventRaised", "SubOrchestrationInstanceCompleted", "TaskFailed", "SIGKILL"] {
        assert!(said.contains(part), "no {part} in:\n{said}");
    }
    assert_eq!(said.matches("     ok     ").count(), 5, "{said}");
    assert!(!said.contains('\x1b'), "no colours outside of a terminal");
}

#[test]
fn the_sample_orders_are_processed() {
    let sample = text(&demo(&["--print-sample"], "").stdout);
    let orders: Value = serde_json::from_str(&sample).expect("the sample is JSON");
    let output = demo(&["--json", "--input", "-"], &sample);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(output.status.success() && report["ok"] == true, "{:#}", report["checks"]);
    let runs = [&report["firstRun"], &report["secondRun"]];
    for (index, order) in orders.as_array().expect("a list").iter().enumerate() {
        for run in runs {
            let result = run[index]["instance"]["output"].as_str().expect("an output");
            let result: Value = serde_json::from_str(result).expect("JSON");
            assert_eq!(result["order"], order["id"]);
        }
    }
    assert_ne!(report["killedWorker"], report["secondWorker"]);
}

#[test]
fn wrong_orders_are_named_before_anything_starts() {
    let said = refused(r#"[{"id": "1", "customer": "Ada", "lines": []}]"#);
    assert!(said.contains("order 0, field lines: expected at least one line"), "{said}");
    assert!(refused("[{").contains("not valid JSON"));
    let output = demo(&["--input", "/no/such/orders.json"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/no/such/orders.json"));
}

/// A demo that is dropped is killed; its watchdog does the rest.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn worker_pid(out: &mut BufReader<ChildStdout>) -> String {
    loop {
        let mut line = String::new();
        assert!(out.read_line(&mut line).expect("readable") > 0, "the demo ended before its second run");
        if let Some(rest) = line.trim().strip_prefix("worker process ") {
            return rest.split(' ').next().expect("a number").to_owned();
        }
    }
}

#[test]
fn interrupted_it_leaves_no_worker() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everdure"));
    let mut demo = Running(command.arg("demo").stdout(Stdio::piped()).spawn().expect("the binary was built"));
    let mut out = BufReader::new(demo.0.stdout.take().expect("it is piped"));
    let worker = worker_pid(&mut out);
    let pid = demo.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill is on every system").success());
    assert_eq!(demo.0.wait().expect("our child").code(), Some(1));
    // Its end is our end of file: the worker has the same standard error only.
    let gone = || !Path::new(&format!("/proc/{worker}")).exists();
    for _ in 0..500 {
        if gone() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("worker {worker} is left");
}
