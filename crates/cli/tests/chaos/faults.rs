//! What goes wrong.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use everdure_embedded::Server;
use tokio_postgres::NoTls;

use super::worker::WORKER_URL;

const WORKERS: usize = 3;

pub struct Faults {
    server: Server,
    workers: Vec<Child>,
    killed: u32,
    held_still: u32,
    sessions: u32,
    crashes: u32,
}

fn spawn(url: &str) -> Child {
    let program = std::env::current_exe().expect("this test program");
    let mut command = Command::new(program);
    command.args(["--exact", "worker::worker_process", "--ignored", "--nocapture"]).env(WORKER_URL, url);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a worker process")
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "a child of ours can be signalled");
}

impl Faults {
    pub fn new(server: Server) -> Self {
        let workers = (0..WORKERS).map(|_| spawn(&server.url())).collect();
        Self { server, workers, killed: 0, held_still: 0, sessions: 0, crashes: 0 }
    }

    pub fn summary(&self) -> String {
        format!(
            "{} workers killed, {} held still, {} times all sessions ended, {} crashes of the server",
            self.killed, self.held_still, self.sessions, self.crashes
        )
    }

    /// Every 700 ms something else; which, is fixed, so that each kind comes in a short run.
    pub async fn run(&mut self, duration: Duration) {
        let begun = Instant::now();
        for turn in 0.. {
            tokio::time::sleep(Duration::from_millis(700)).await;
            if begun.elapsed() >= duration {
                return;
            }
            let victim = turn % WORKERS;
            match turn % 7 {
                0 | 2 | 4 => self.kill(victim),
                1 => self.hold_still(victim).await,
                3 | 5 => self.end_sessions().await,
                _ => self.crash(),
            }
        }
    }

    fn kill(&mut self, victim: usize) {
        self.workers[victim].kill().expect("a child of ours can be killed");
        self.workers[victim].wait().expect("it has ended");
        self.workers[victim] = spawn(&self.server.url());
        self.killed += 1;
    }

    /// Longer than its lease of two seconds: others take over, then it comes back and does not know.
    async fn hold_still(&mut self, victim: usize) {
        signal(&self.workers[victim], "-STOP");
        tokio::time::sleep(Duration::from_millis(3500)).await;
        signal(&self.workers[victim], "-CONT");
        self.held_still += 1;
    }

    async fn end_sessions(&mut self) {
        let Ok((client, connection)) = tokio_postgres::connect(&self.server.url(), NoTls).await else { return };
        tokio::spawn(connection);
        let all = "select pg_terminate_backend(pid) from pg_stat_activity \
                   where backend_type = 'client backend' and pid <> pg_backend_pid()";
        // It may itself be ended by a crash; that is a fault, too.
        let _ = client.execute(all, &[]).await;
        self.sessions += 1;
    }

    fn crash(&mut self) {
        self.server.kill_immediate().expect("the server can be killed");
        self.server.restart().expect("the server recovers");
        self.crashes += 1;
    }

    /// In good order.
    pub async fn stop_workers(&mut self) {
        for worker in &mut self.workers {
            signal(worker, "-TERM");
        }
        for worker in &mut self.workers {
            let deadline = Instant::now() + Duration::from_secs(30);
            while worker.try_wait().expect("a child of ours").is_none() {
                assert!(Instant::now() < deadline, "a worker does not stop");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // It may have ended.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}
