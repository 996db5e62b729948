//! The stream of work: opened again and again until the worker stops.

use std::sync::Arc;
use std::time::Duration;

use everdure_proto::pb;
use everdure_proto::pb::work_item::Request;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tonic::{Status, Streaming};

use super::super::connection::jittered;
use super::{Shared, activities, answers, entities, filters, orchestrations};

/// A server says something every half minute at least. A stream that is silent for so long is dead, whatever the connection
/// says.
const SILENCE: Duration = Duration::from_secs(120);
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Held by whatever is under way.
type Guard = mpsc::Sender<()>;

/// Why a stream came to its end.
enum End {
    Draining,
    Broken(String),
}

pub(super) async fn work(shared: Arc<Shared>, guard: Guard) {
    let mut pause = FIRST_PAUSE;
    loop {
        let opened = tokio::select! {
            biased;
            () = shared.draining.cancelled() => return,
            opened = open(&shared) => opened,
        };
        let why = match opened {
            Ok(mut stream) => {
                let begun = Instant::now();
                match read(&shared, &mut stream, &guard).await {
                    End::Draining => {
                        drop(guard);
                        // Held until the end: see `RemoteWorker::drain`.
                        shared.ended.cancelled().await;
                        return;
                    }
                    End::Broken(why) => {
                        if begun.elapsed() >= LONGEST_PAUSE {
                            pause = FIRST_PAUSE;
                        }
                        why
                    }
                }
            }
            Err(status) => status.to_string(),
        };
        tracing::warn!(server = shared.connection.address(), why, "no stream of work; connecting again");
        tokio::select! {
            () = shared.draining.cancelled() => return,
            () = tokio::time::sleep(jittered(pause)) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn open(shared: &Shared) -> Result<Streaming<pb::WorkItem>, Status> {
    let count = |limit: usize| i32::try_from(limit.max(1)).unwrap_or(i32::MAX);
    let request = pb::GetWorkItemsRequest {
        max_concurrent_orchestration_work_items: count(shared.options.max_orchestrations),
        max_concurrent_activity_work_items: count(shared.options.max_activities),
        max_concurrent_entity_work_items: 0,
        capabilities: vec![pb::WorkerCapability::HistoryStreaming.into()],
        work_item_filters: Some(filters::filters(&shared.functions)),
        worker_instance_id: shared.id.clone(),
    };
    let mut stub = shared.connection.stub();
    Ok(stub.get_work_items(shared.connection.request(request)).await?.into_inner())
}

async fn read(shared: &Arc<Shared>, stream: &mut Streaming<pb::WorkItem>, guard: &Guard) -> End {
    let draining = shared.draining.cancelled();
    tokio::pin!(draining);
    let mut heard = Instant::now();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = &mut draining => return End::Draining,
            item = stream.message() => match item {
                Ok(Some(item)) => {
                    heard = Instant::now();
                    begin(shared, item, guard);
                }
                Ok(None) => return End::Broken("the server ended it".to_owned()),
                Err(status) => return End::Broken(status.to_string()),
            },
            _ = look.tick() => {
                if heard.elapsed() > SILENCE {
                    return End::Broken(format!("nothing came for {SILENCE:?}"));
                }
            }
        }
    }
}

fn begin(shared: &Arc<Shared>, item: pb::WorkItem, guard: &Guard) {
    let pb::WorkItem { request, completion_token: token } = item;
    let request = match request {
        None | Some(Request::HealthPing(_)) => return,
        Some(request) => request,
    };
    let (shared, guard) = (Arc::clone(shared), guard.clone());
    tokio::spawn(async move {
        let run = async {
            match request {
                Request::OrchestratorRequest(request) => orchestrations::run(&shared, request, token).await,
                Request::ActivityRequest(request) => activities::run(&shared, request, token).await,
                Request::EntityRequestV2(request) => entities::run(&shared, request, token).await,
                // The older form, which was not asked for.
                _ => answers::give_back_entity(&shared, token).await,
            }
        };
        shared.ended.run_until_cancelled(run).await;
        drop(guard);
    });
}
