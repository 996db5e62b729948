//! What is special about a server in between: what the protocol lacks, what it splits, what breaks.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everdure::testing::TestHub;
use everdure::{
    Activity, ActivityContext, Backend, CallError, Client, ClientError, Failure, Functions, InMemoryBackend,
    InstanceQuery, NodeOptions, Orchestration, OrchestrationContext, OrchestrationStatus, PurgeFilter, ReusePolicy,
    Worker,
};
use everdure_proto::pb;
use everdure_proto::pb::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use serde::{Deserialize, Serialize};

use crate::support::{Counter, INC, STUCK, functions, id, secs};
use crate::wire::{self, Servers};

const MAIN: Orchestration<u32, u32> = Orchestration::new("main");
const TOLD: Orchestration<(), Vec<bool>> = Orchestration::new("told");
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_timer_waits_an_hour() {
    let functions = functions().orchestration(MAIN, async |ctx: OrchestrationContext, seconds: u32| {
        let began = ctx.now();
        ctx.sleep(secs(seconds.into())).await;
        Ok::<_, Failure>(u32::try_from((ctx.now() - began).num_seconds()).expect("an hour"))
    });
    for keep_live in [true, false] {
        let run = wire::hub(functions.clone(), keep_live).await.run(&MAIN, 3600).await;
        run.assert_completed(&3600);
        assert_eq!(run.history().steps(), ["timer set", "timer fired", "completed"]);
    }
}

#[tokio::test(start_paused = true)]
async fn replaying_is_told() {
    let functions = functions().orchestration(TOLD, async |ctx: OrchestrationContext, (): ()| {
        let mut told = vec![ctx.is_replaying()];
        for _ in 0..2 {
            ctx.sleep(secs(1)).await;
            told.push(ctx.is_replaying());
        }
        Ok::<_, Failure>(told)
    });
    let live = wire::hub(functions.clone(), true).await;
    live.run(&TOLD, ()).await.assert_completed(&[false, false, false][..]);
    let replayed = wire::hub(functions, false).await;
    replayed.run(&TOLD, ()).await.assert_completed(&[true, true, false][..]);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_comes_to_its_end_unheard() {
    let functions = functions().orchestration(MAIN, async |ctx: OrchestrationContext, _: u32| {
        let winner = tokio::select! {
            result = ctx.call_activity(&STUCK, ()) => result?,
            () = ctx.sleep(secs(60)) => 1,
        };
        let second = tokio::select! {
            result = ctx.call_activity(&INC, winner) => result?,
            () = ctx.sleep(secs(30)) => 0,
        };
        // Here the second timer fires, though it was given up, and nobody hears it.
        ctx.sleep(secs(60)).await;
        Ok::<_, Failure>(ctx.call_activity(&INC, second).await?)
    });
    for keep_live in [true, false] {
        let run = wire::hub(functions.clone(), keep_live).await.run(&MAIN, 0).await;
        run.assert_completed(&3);
        let steps = run.history().steps();
        assert!(!steps.iter().any(|step| step.ends_with("cancelled")), "{}", run.history());
        assert_eq!(steps.iter().filter(|step| *step == "timer fired").count(), 3, "{}", run.history());
    }
}

#[tokio::test(start_paused = true)]
async fn the_custom_status_stays_until_it_is_set_again() {
    let functions = functions().orchestration(MAIN, async |ctx: OrchestrationContext, _: u32| {
        ctx.set_custom_status("begun")?;
        for _ in 0..3 {
            ctx.call_activity(&INC, 1).await?;
        }
        Ok::<_, Failure>(ctx.wait_for_event("go").await?)
    });
    for keep_live in [true, false] {
        let hub = wire::hub(functions.clone(), keep_live).await;
        let instance = hub.start(&MAIN, 0).await;
        instance.raise_event("go", &4).await;
        let run = instance.end().await;
        run.assert_completed(&4);
        assert_eq!(run.history().record().custom_status.as_deref(), Some("\"begun\""));
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{missing} pieces are missing")]
struct OutOfStock {
    missing: u32,
}

#[tokio::test(start_paused = true)]
async fn a_typed_failure_is_had_back() {
    const PICK: Activity<(), u32> = Activity::new("pick");
    let functions = functions()
        .activity(PICK, async |_: ActivityContext, (): ()| {
            Err::<u32, _>(Failure::typed(&OutOfStock { missing: 7 }).non_retriable())
        })
        .orchestration(MAIN, async |ctx: OrchestrationContext, _: u32| {
            let error: CallError = ctx.call_activity(&PICK, ()).await.expect_err("it fails");
            assert!(error.details().is_non_retriable);
            Ok::<_, Failure>(error.downcast::<OutOfStock>().expect("the error itself").missing)
        });
    wire::hub(functions, true).await.run(&MAIN, 0).await.assert_completed(&7);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_version_takes_that_of_its_orchestration() {
    const SPEAK: Activity<(), u32> = Activity::new("speak");
    let functions = functions()
        .activity(SPEAK.version("1"), async |_: ActivityContext, (): ()| Ok::<_, Failure>(1))
        .activity(SPEAK.version("2"), async |_: ActivityContext, (): ()| Ok::<_, Failure>(2))
        .orchestration(MAIN, async |ctx: OrchestrationContext, _: u32| {
            Ok::<_, Failure>(ctx.call_activity(&SPEAK, ()).await?)
        });
    let hub = wire::hub(functions, true).await;
    for (version, expected) in [("1", 1), ("2", 2)] {
        hub.run(&MAIN.version(version), 0).await.assert_completed(&expected);
    }
}

/// Past what a message of other servers takes: the answer goes in parts, and the history is fetched.
#[tokio::test(start_paused = true)]
async fn large_turns_and_long_histories_go_over_the_wire() {
    const MEASURE: Activity<String, usize> = Activity::new("measure");
    let functions = functions()
        .activity(MEASURE, async |_: ActivityContext, text: String| Ok::<_, Failure>(text.len()))
        .orchestration(MAIN, async |ctx: OrchestrationContext, _: u32| {
            let calls = (0..60).map(|number| ctx.call_activity(&MEASURE, "x".repeat(100_000 + number)));
            let measured = futures::future::try_join_all(calls).await?;
            let again = ctx.call_activity(&MEASURE, "y".repeat(10)).await?;
            Ok::<_, Failure>(u32::try_from(measured.len() + again).expect("a small number"))
        });
    for keep_live in [true, false] {
        let run = wire::hub(functions.clone(), keep_live).await.run(&MAIN, 0).await;
        run.assert_completed(&70);
        assert_eq!(run.history().activities().len(), 61);
    }
}

fn waiting() -> Functions {
    functions().orchestration(MAIN, async |ctx: OrchestrationContext, start: u32| {
        let first = ctx.call_activity(&INC, start).await?;
        let event: u32 = ctx.wait_for_event("go").await?;
        Ok::<_, Failure>(ctx.call_activity(&INC, first + event).await?)
    })
}

#[tokio::test(start_paused = true)]
async fn a_worker_outlives_its_server() {
    let store: Arc<dyn Backend> = Arc::new(InMemoryBackend::default());
    let servers = Servers::new(Arc::clone(&store));
    let worker = Worker::connect(servers.options().await, waiting(), NodeOptions::default()).await.expect("a worker");
    let hub = TestHub::with_worker(Arc::clone(&store), worker);
    let instance = hub.start(&MAIN, 1).await;
    instance.until_step("inc returned").await;
    let wait = {
        let (client, id) = (hub.client().clone(), instance.id().clone());
        tokio::spawn(async move { client.wait_for_completion::<u32>(&id, 10 * HOUR).await })
    };
    tokio::time::sleep(secs(1)).await;
    servers.die();
    let client = Client::connect(servers.options().await).await.expect("a client of the new server");
    client.raise_event(instance.id(), "go", &3).await.expect("an event that is taken");
    instance.end().await.assert_completed(&6);
    assert_eq!(wait.await.expect("no panic").ok(), Some(6), "a wait that began on the dead server ends on the new one");
}

#[tokio::test(start_paused = true)]
async fn another_worker_goes_on_where_one_has_stopped() {
    let store: Arc<dyn Backend> = Arc::new(InMemoryBackend::default());
    let servers = Servers::new(Arc::clone(&store));
    let first = Worker::connect(servers.options().await, waiting(), NodeOptions::default()).await.expect("a worker");
    let hub = TestHub::with_worker(Arc::clone(&store), worker(&servers, functions()).await);
    let client = first.client();
    let id = client.start(&MAIN, 1).await.expect("it is started");
    let record = client.wait_for_start(&id, HOUR).await.expect("it starts");
    assert_eq!((record.name.as_str(), record.status), ("main", OrchestrationStatus::Running));
    first.drain(secs(60)).await.expect("it leaves");
    let second = worker(&servers, waiting()).await;
    hub.client().raise_event(&id, "go", &3).await.expect("an event that is taken");
    let output: u32 = hub.client().wait_for_completion(&id, HOUR).await.expect("it completes");
    assert_eq!(output, 6);
    second.kill();
}

async fn worker(servers: &Servers, functions: Functions) -> Worker {
    Worker::connect(servers.options().await, functions, NodeOptions::default()).await.expect("a worker")
}

/// Two workers take turns, so that each has orchestrations in memory that the other has moved on.
#[tokio::test(start_paused = true)]
async fn what_another_worker_did_meanwhile_is_replayed() {
    let runs = Counter::default();
    let counted = runs.clone();
    let functions = functions().orchestration(MAIN, move |ctx: OrchestrationContext, mut number: u32| {
        counted.next();
        async move {
            for _ in 0..20 {
                number = ctx.call_activity(&INC, number).await?;
            }
            Ok::<_, Failure>(number)
        }
    });
    let store: Arc<dyn Backend> = Arc::new(InMemoryBackend::default());
    let servers = Servers::new(Arc::clone(&store));
    let other = worker(&servers, functions.clone()).await;
    let hub = TestHub::with_worker(Arc::clone(&store), worker(&servers, functions).await);
    let many = futures::future::join_all((0..20).map(|number| hub.start(&MAIN, number))).await;
    for (number, instance) in many.into_iter().enumerate() {
        instance.end().await.assert_completed(&(u32::try_from(number).expect("twenty") + 20));
    }
    assert!(runs.take() >= 20);
    other.drain(secs(60)).await.expect("it leaves");
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_what_has_begun_and_takes_no_more() {
    const SLOW: Activity<u32, u32> = Activity::new("slow");
    let slow = |runs: &Counter| {
        let runs = runs.clone();
        functions()
            .activity(SLOW, move |_: ActivityContext, number: u32| {
                runs.next();
                async move {
                    tokio::time::sleep(secs(30)).await;
                    Ok::<_, Failure>(number + 1)
                }
            })
            .orchestration(MAIN, async |ctx: OrchestrationContext, number: u32| {
                Ok::<_, Failure>(ctx.call_activity(&SLOW, number).await?)
            })
    };
    let store: Arc<dyn Backend> = Arc::new(InMemoryBackend::default());
    let servers = Servers::new(Arc::clone(&store));
    let (first_runs, second_runs) = (Counter::default(), Counter::default());
    let first = worker(&servers, slow(&first_runs)).await;
    let client = first.client();
    let id = client.start(&MAIN, 1).await.expect("it is started");
    client.wait_for_start(&id, HOUR).await.expect("it starts");
    tokio::time::sleep(secs(1)).await;
    first.drain(secs(60)).await.expect("it leaves");
    let second = worker(&servers, slow(&second_runs)).await;
    let output: u32 = client.wait_for_completion(&id, HOUR).await.expect("it completes");
    assert_eq!((output, first_runs.take(), second_runs.take()), (2, 1, 0), "the activity ran once, to its end");
    second.drain(secs(60)).await.expect("it leaves");
}

#[tokio::test(start_paused = true)]
async fn clients_have_what_the_protocol_has() {
    let hub = wire::hub(waiting(), true).await;
    let client = hub.client();
    let begun = hub.now();
    for number in 0..3 {
        let start = client.start(&MAIN, number).id(id(&format!("order-{number}"))).tag("kind", "order").version("1");
        start.await.expect("it is started");
    }
    let taken = client.start(&MAIN, 9).id(id("order-0")).await.expect_err("it lives");
    assert!(matches!(&taken, ClientError::AlreadyExists { status, .. } if !status.is_terminal()), "{taken}");
    for number in 0..3 {
        client.raise_event(&id(&format!("order-{number}")), "go", &1).await.expect("an event that is taken");
        let output: u32 =
            client.wait_for_completion(&id(&format!("order-{number}")), HOUR).await.expect("it completes");
        assert_eq!(output, number + 3);
    }
    let never = client.start(&MAIN, 9).id(id("order-0")).reuse(ReusePolicy::Never).await;
    assert!(matches!(never, Err(ClientError::AlreadyExists { status: OrchestrationStatus::Completed, .. })));

    let record = client.get(&id("order-1")).await.expect("an answer").expect("an instance");
    assert_eq!((record.version.as_deref(), record.tags["kind"].as_str()), (Some("1"), "order"));
    assert_eq!((record.input.as_deref(), record.output.as_deref()), (Some("1"), Some("4")));
    assert!(record.created_at >= begun && record.completed_at >= Some(record.created_at));
    let turns = client.history(&id("order-1")).await.expect("a history");
    let stored = hub.history_of(&id("order-1")).await;
    let events = |turns: &[everdure::HistoryTurn]| turns.iter().map(|turn| turn.events.len()).collect::<Vec<_>>();
    assert_eq!(events(&turns), events(stored.turns()), "turn by turn the same");
    assert!(turns.iter().zip(stored.turns()).all(|(told, stored)| told.time == stored.time));

    let query = InstanceQuery { id_prefix: Some("order-".to_owned()), page_size: 2, ..InstanceQuery::default() };
    let first = client.query(query.clone()).await.expect("a page");
    let rest = client.query(InstanceQuery { after: first.next, ..query }).await.expect("a page");
    assert_eq!((first.instances.len(), rest.instances.len(), rest.next), (2, 1, None));

    let restarted = client.restart(&id("order-2")).await.expect("it starts anew");
    client.suspend(&restarted, Some("wait")).await.expect("it is told");
    client.resume(&restarted, None).await.expect("it is told");
    let fresh = client.restart_with_new_id(&restarted).await.expect("another one");
    for id in [&restarted, &fresh] {
        client.terminate(id, Some("enough"), false).await.expect("it is told");
        let ended = client.wait_for_end(id, HOUR).await.expect("it ends");
        assert_eq!((ended.status, ended.output.as_deref()), (OrchestrationStatus::Terminated, Some("enough")));
    }
    let late = client.wait_for_end(&restarted, Duration::ZERO).await.expect("it has ended");
    assert_eq!(late.status, OrchestrationStatus::Terminated);

    let purged = client.purge(PurgeFilter::instance(id("order-0"), false)).await.expect("an answer");
    assert_eq!((purged.purged, purged.complete), (1, true));
    let finished = PurgeFilter::Finished {
        statuses: vec![],
        created_from: None,
        created_to: None,
        completed_to: None,
        limit: 2,
        recurse: false,
    };
    let some = client.purge(finished.clone()).await.expect("an answer");
    assert_eq!((some.purged, some.complete), (2, false));
    let rest = client.purge(finished).await.expect("an answer");
    assert_eq!((rest.purged, rest.complete), (1, true));
    assert!(client.get(&id("order-1")).await.expect("an answer").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_failed_instance_is_rewound() {
    const FLAKY: Activity<(), u32> = Activity::new("flaky");
    let runs = Counter::default();
    let counted = runs.clone();
    let functions = functions()
        .activity(FLAKY, move |_: ActivityContext, (): ()| {
            let before = counted.next();
            async move { if before == 0 { Err(Failure::new("Io", "not yet")) } else { Ok(before) } }
        })
        .orchestration(MAIN, async |ctx: OrchestrationContext, number: u32| {
            let number = ctx.call_activity(&INC, number).await?;
            Ok::<_, Failure>(number + ctx.call_activity(&FLAKY, ()).await?)
        });
    let hub = wire::hub(functions, true).await;
    let instance = hub.start(&MAIN, 1).await;
    let failed = hub.client().wait_for_completion::<u32>(instance.id(), HOUR).await.expect_err("it fails");
    assert!(matches!(failed, ClientError::Failed { .. }), "{failed}");
    hub.client().rewind(instance.id(), Some("mended")).await.expect("it goes on");
    let output: u32 = hub.client().wait_for_completion(instance.id(), HOUR).await.expect("it completes");
    assert_eq!(output, 3);
    let refused = hub.client().rewind(instance.id(), None).await.expect_err("it has not failed");
    assert!(matches!(refused, ClientError::NotFailed { status: OrchestrationStatus::Completed, .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_the_protocol_lacks_is_said() {
    let hub = wire::hub(waiting(), true).await;
    let (client, nobody) = (hub.client(), id("nobody"));
    let force = PurgeFilter::instance(nobody.clone(), true);
    let named = InstanceQuery { name: Some("main".to_owned()), ..InstanceQuery::default() };
    let refused = [
        client.count(InstanceQuery::default(), 10).await.map(drop),
        client.executions(&nobody).await.map(drop),
        client.execution_history(&nobody, 0).await.map(drop),
        client.poisoned(10).await.map(drop),
        client.release_poisoned(&nobody, false).await.map(drop),
        client.fork(&nobody, 1).await.map(drop),
        client.purge(force).await.map(drop),
        client.query(named).await.map(drop),
        client.start(&MAIN, 1).request_id(uuid()).await.map(drop),
    ];
    for refused in refused {
        let error = refused.expect_err("the protocol cannot say that");
        assert!(matches!(&error, ClientError::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("is not part of the protocol of servers"), "{error}");
    }
    let unknown = [
        client.history(&nobody).await.map(drop),
        client.raise_event(&nobody, "go", &1).await,
        client.suspend(&nobody, None).await,
        client.terminate(&nobody, None, false).await,
        client.rewind(&nobody, None).await.map(drop),
        client.restart(&nobody).await.map(drop),
        client.wait_for_end(&nobody, HOUR).await.map(drop),
    ];
    for unknown in unknown {
        let error = unknown.expect_err("nobody is there");
        assert!(matches!(&error, ClientError::NotFound(id) if *id == nobody), "{error}");
    }
    assert!(client.get(&nobody).await.expect("an answer").is_none());
}

/// A worker may wait for its acknowledgement without standing in the way of the turn, and say so. Then the acknowledgement
/// means that a turn has recorded the result.
#[tokio::test(start_paused = true)]
async fn a_patient_worker_is_told_when_its_result_is_recorded() {
    let store: Arc<dyn Backend> = Arc::new(InMemoryBackend::default());
    let servers = Servers::new(Arc::clone(&store));
    let functions = Functions::new().orchestration(MAIN, async |ctx: OrchestrationContext, number: u32| {
        Ok::<_, Failure>(ctx.call_activity(&INC, number).await?)
    });
    let hub = TestHub::with_worker(Arc::clone(&store), worker(&servers, functions).await);
    let mut stub = TaskHubSidecarServiceClient::new(servers.channel().await);
    let activities = vec![pb::ActivityFilter { name: "inc".to_owned(), versions: vec![] }];
    let filters = pb::WorkItemFilters { activities, ..pb::WorkItemFilters::default() };
    let request = pb::GetWorkItemsRequest { work_item_filters: Some(filters), ..pb::GetWorkItemsRequest::default() };
    let mut items = stub.get_work_items(request).await.expect("a stream").into_inner();
    let instance = hub.start(&MAIN, 1).await;
    let item = items.message().await.expect("a stream that lives").expect("an item");
    let Some(pb::work_item::Request::ActivityRequest(asked)) = item.request else { panic!("not an activity") };
    let mut answer = tonic::Request::new(pb::ActivityResponse {
        instance_id: instance.id().to_string(),
        task_id: asked.task_id,
        result: Some("2".to_owned()),
        failure_details: None,
        completion_token: item.completion_token,
    });
    answer.metadata_mut().insert(everdure_proto::convert::PATIENT, tonic::metadata::MetadataValue::from_static("1"));
    stub.complete_activity_task(answer).await.expect("an acknowledgement");
    let steps = instance.history().await.steps();
    assert!(steps.contains(&"inc returned".to_owned()), "{steps:?}");
    instance.end().await.assert_completed(&2);
}

/// Rule 16, as on the store: what blocks is given up, and its late answer counts for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_turn_that_blocks_goes_back_to_the_server() {
    let (open, shut) = std::sync::mpsc::channel::<()>();
    let (shut, runs) = (Arc::new(Mutex::new(shut)), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&runs);
    let functions = Functions::new().orchestration(MAIN, move |_: OrchestrationContext, _: u32| {
        let (run, shut) = (counted.fetch_add(1, Ordering::SeqCst) + 1, Arc::clone(&shut));
        async move {
            if run == 1 {
                // Until the test opens it, which it does by dropping the other end.
                let _ = shut.lock().expect("nobody panics with the lock").recv();
            }
            Ok::<_, Failure>(run)
        }
    });
    let servers = Servers::new(Arc::new(InMemoryBackend::default()));
    let node = NodeOptions { turn_deadline: secs(2), ..NodeOptions::default() };
    let worker = Worker::connect(servers.options().await, functions, node).await.expect("a worker that is taken in");
    let client = worker.client();
    let blocking = id("blocking");
    client.start(&MAIN, 1).id(blocking.clone()).await.expect("started");
    let result: u32 = client.wait_for_completion(&blocking, secs(60)).await.expect("the second run completes");
    drop(open);
    assert_eq!((result, runs.load(Ordering::SeqCst)), (2, 2));
    worker.drain(secs(5)).await.expect("left in good order");
    let client = Client::connect(servers.options().await).await.expect("a connection");
    let result: u32 = client.wait_for_completion(&blocking, secs(60)).await.expect("still readable");
    assert_eq!(result, 2, "the late answer of the first run has not landed");
}

fn uuid() -> everdure_core::RequestId {
    everdure_core::ExecutionId::from_uuid(Default::default()).derive("a request")
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let nowhere = everdure::RemoteOptions::new("http://127.0.0.1:1").connect_timeout(secs(5));
    let error = Client::connect(nowhere.clone()).await.err().expect("nobody listens on port 1").to_string();
    assert!(error.contains("cannot connect to the server at http://127.0.0.1:1"), "{error}");
    let worker = Worker::connect(nowhere, functions(), NodeOptions::default()).await.err().expect("nobody listens");
    assert_eq!(worker.to_string(), "no server takes the worker in");
    let nonsense = Client::connect(everdure::RemoteOptions::new("http://")).await.err().expect("no address");
    assert!(nonsense.to_string().contains("is no address of a server"), "{nonsense}");
}
