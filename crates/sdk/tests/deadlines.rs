//! Deadlines (rule 16): what blocks or hangs on a living node is given up, and its late result never lands.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Functions, InMemoryBackend, InstanceId, NodeOptions, Orchestration,
    OrchestrationContext, Worker,
};

const BLOCKING: Orchestration<(), u32> = Orchestration::new("blocking");
const SLOW: Activity<(), ()> = Activity::new("slow");
const CALLS_SLOW: Orchestration<(), String> = Orchestration::new("calls_slow");
const PATIENCE: Duration = Duration::from_secs(60);

/// A door that stays shut until it is opened.
#[derive(Default)]
struct Door(Mutex<bool>, Condvar);

impl Door {
    fn open(&self) {
        *self.0.lock().expect("nobody panics with the lock") = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.lock().expect("nobody panics with the lock");
        drop(self.1.wait_while(open, |open| !*open).expect("nobody panics with the lock"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn bug_22_a_turn_that_blocks_is_given_up_and_its_late_result_is_lost() {
    let (door, runs) = (Arc::new(Door::default()), Arc::new(AtomicU32::new(0)));
    let (shut, counted) = (Arc::clone(&door), Arc::clone(&runs));
    let functions = Functions::new().orchestration(BLOCKING, move |_: OrchestrationContext, (): ()| {
        let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
        let shut = Arc::clone(&shut);
        async move {
            if run == 1 {
                shut.pass();
            }
            Ok::<_, everdure::Failure>(run)
        }
    });
    let options = NodeOptions {
        turn_deadline: Duration::from_secs(2),
        retry_after: Duration::from_millis(10),
        ..NodeOptions::default()
    };
    let worker = Worker::start(Arc::new(InMemoryBackend::default()), functions, options).await.expect("a worker");
    let client = worker.client();
    let id = InstanceId::new("blocking").expect("a valid id");
    client.start(&BLOCKING, ()).id(id.clone()).await.expect("started");
    let result: u32 = client.wait_for_completion(&id, PATIENCE).await.expect("the second run completes");
    door.open();
    assert_eq!((result, runs.load(Ordering::SeqCst)), (2, 2));
    worker.drain(Duration::from_secs(5)).await.expect("left in good order");
    let result: u32 = client.wait_for_completion(&id, PATIENCE).await.expect("still readable");
    assert_eq!(result, 2, "the late result of the first run has not landed");
}

#[tokio::test(start_paused = true)]
async fn an_activity_past_its_deadline_fails_and_is_told() {
    let cancelled = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&cancelled);
    let functions = Functions::new()
        .activity(SLOW, move |ctx: ActivityContext, (): ()| {
            let (token, told) = (ctx.cancellation().clone(), Arc::clone(&told));
            tokio::spawn(async move {
                token.cancelled().await;
                told.fetch_add(1, Ordering::SeqCst);
            });
            std::future::pending::<Result<(), everdure::Failure>>()
        })
        .orchestration(CALLS_SLOW, |ctx: OrchestrationContext, (): ()| async move {
            let failure = ctx.call_activity(&SLOW, ()).await.expect_err("it never ends by itself");
            Ok::<_, everdure::Failure>(failure.to_string())
        });
    let options = NodeOptions { activity_deadline: Some(Duration::from_secs(5)), ..NodeOptions::default() };
    let worker = Worker::start(Arc::new(InMemoryBackend::default()), functions, options).await.expect("a worker");
    let client = worker.client();
    let id = client.start(&CALLS_SLOW, ()).await.expect("started");
    let said: String = client.wait_for_completion(&id, PATIENCE).await.expect("completed");
    assert!(said.contains("5s"), "{said}");
    tokio::task::yield_now().await;
    assert_eq!(cancelled.load(Ordering::SeqCst), 1);
}
