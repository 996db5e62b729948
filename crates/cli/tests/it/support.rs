//! What the tests share: the command, a server, a worker.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};

use everdure::{
    Activity, ActivityContext, Failure, Functions, NodeOptions, Orchestration, OrchestrationContext, PostgresBackend,
    PostgresOptions, Worker,
};
use everdure_embedded::Server;
use serde_json::Value;

/// One server for all tests of this binary, each in a hub of its own; its watchdog stops it when the tests end.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Server::builder().unsafe_fast().start().expect("a private PostgreSQL");
        Cli::at(&server.url(), "default").ok(&["migrate"]);
        server
    })
}

/// The command with a database and a hub.
pub struct Cli {
    url: String,
    hub: String,
}

impl Cli {
    pub fn in_hub(hub: &str) -> Self {
        Self::at(&server().url(), hub)
    }

    pub fn at(url: &str, hub: &str) -> Self {
        Self { url: url.to_owned(), hub: hub.to_owned() }
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().expect("the binary was built")
    }

    pub fn with_stdin(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("it is read");
        drop(stdin);
        child.wait_with_output().expect("our child")
    }

    /// Runs a command that has to work; gives what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        text(&check(self.run(arguments), 0, arguments).stdout)
    }

    /// The same with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("not JSON ({error}): '{said}'"))
    }

    /// Runs a command that has to fail with that exit code; gives what it said on standard error.
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        text(&check(self.run(arguments), code, arguments).stderr)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everdure"));
        command.args(arguments).args(["--hub", &self.hub]).env("EVERDURE_DATABASE_URL", &self.url);
        command
    }
}

fn check(output: Output, code: i32, arguments: &[&str]) -> Output {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    output
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

const DOUBLE: Activity<i64, i64> = Activity::new("double");

/// A worker that takes `twice` (one activity), `wrong` (fails) and `patient` (waits for the event `go`).
pub async fn worker(hub: &str) -> Worker {
    let options = PostgresOptions::builder(&server().url()).expect("the URL of the private server").hub(hub);
    let options = options.build().expect("good options");
    let backend = Arc::new(PostgresBackend::connect(options).await.expect("it runs"));
    let functions = Functions::new()
        .activity(DOUBLE, |_: ActivityContext, number: i64| async move { Ok::<_, Failure>(number * 2) })
        .orchestration(Orchestration::new("twice"), |ctx: OrchestrationContext, number: i64| async move {
            Ok::<i64, Failure>(ctx.call_activity(&DOUBLE, number).await?)
        })
        .orchestration(Orchestration::new("wrong"), |_: OrchestrationContext, (): ()| async move {
            Err::<(), _>(Failure::new("OutOfTea", "there is no tea left"))
        })
        .orchestration(Orchestration::new("patient"), |ctx: OrchestrationContext, (): ()| async move {
            Ok::<String, Failure>(ctx.wait_for_event("go").await?)
        });
    Worker::start(backend, functions, NodeOptions::default()).await.expect("a worker")
}
