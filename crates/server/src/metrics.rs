//! What operators watch, for Prometheus, and whether the server is well.
//!
//! Counts of what happens come from where it happens, by way of a recorder of this process; what stands at the moment
//! is looked up when it is asked for.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tonic::Status;

use crate::hubs::{Hub, Hubs};

/// How long the store has to answer whoever asks whether the server is ready, or for all that is counted in it.
const ANSWERS: Duration = Duration::from_secs(3);

/// What was set aside is counted up to so many.
const SET_ASIDE: u32 = 1000;

const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
const OPERATIONS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0];

/// What is counted where it happens: name, type and meaning.
const COUNTED: [(&str, &str, &str); 5] = [
    ("everdure_turn_seconds", "histogram", "From the start of a turn to its commit."),
    ("everdure_ended_total", "counter", "Orchestrations that ended here, by how they did."),
    ("everdure_commit_seconds", "histogram", "Transactions that write."),
    ("everdure_commit_operations", "histogram", "Operations in a transaction that writes."),
    ("everdure_commit_retries_total", "counter", "Transactions that were tried again."),
];

/// The recorder of this process; `None` when the process has one of somebody else.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let make = || {
        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
        let builder = builder
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_operations".to_owned()), &OPERATIONS));
        builder.and_then(PrometheusBuilder::install_recorder).ok()
    };
    RECORDER.get_or_init(make).as_ref()
}

/// Begins to count.
pub(crate) fn begin() {
    recorder();
    for (name, kind, help) in COUNTED {
        if kind == "counter" {
            metrics::describe_counter!(name, help);
        } else {
            metrics::describe_histogram!(name, help);
        }
    }
}

/// Puts recent measurements to the others, so that they take no room.
pub(crate) fn tidy() {
    if let Some(recorder) = recorder() {
        recorder.run_upkeep();
    }
}

/// One metric: its name, what it is, and its values by labels.
fn gauge(text: &mut String, name: &str, help: &str, values: impl IntoIterator<Item = (String, f64)>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in values {
        let _ = writeln!(text, "{name}{{{labels}}} {value}");
    }
}

/// A hub as a label: its name comes from whoever calls.
fn label(hub: &str) -> String {
    let name = hub.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("hub=\"{name}\"")
}

const KINDS: [&str; 3] = ["orchestration", "activity", "entity"];

/// A hub that is shown: its name, and what it is here while it is open.
type Shown = (String, Option<Arc<Hub>>);

/// Those that are served: a hub that rests has a backlog, and no workers, and that is what somebody may wait to hear.
async fn shown(hubs: &Hubs) -> Vec<Shown> {
    let mut shown: BTreeMap<_, _> = hubs.named().into_iter().map(|name| (name, None)).collect();
    if hubs.options().hubs.is_none() {
        let names = tokio::time::timeout(ANSWERS / 3, hubs.store().names()).await;
        shown.extend(names.ok().and_then(Result::ok).unwrap_or_default().into_iter().map(|name| (name, None)));
    }
    shown.extend(hubs.all().into_iter().map(|hub| (hub.name.clone(), Some(hub))));
    shown.into_iter().collect()
}

/// What workers have and wait for: (labels, taken, waiting).
fn items(hubs: &[Shown]) -> Vec<(String, usize, usize)> {
    let of = |(name, hub): &Shown| {
        let (label, load) = (label(name), hub.as_ref().map(|hub| hub.dispatcher.load()).unwrap_or_default());
        KINDS.iter().zip(load).map(move |(kind, (taken, waiting))| (format!("{label},kind=\"{kind}\""), taken, waiting))
    };
    hubs.iter().flat_map(of).collect()
}

/// The metrics of all hubs in the text format of Prometheus.
async fn text(hubs: &Hubs) -> String {
    let mut text = recorder().map(PrometheusHandle::render).unwrap_or_default();
    for (name, kind, help) in COUNTED {
        // What has not happened yet is announced, so that dashboards can be made before the first turn.
        if !text.contains(&format!("# TYPE {name} ")) {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
    }
    let all = shown(hubs).await;
    let workers = |hub: &Option<Arc<Hub>>| hub.as_ref().map_or(0, |hub| hub.dispatcher.workers());
    let workers = all.iter().map(|(name, hub)| (label(name), workers(hub) as f64));
    gauge(&mut text, "everdure_connected_workers", "Workers whose stream is open.", workers);
    let items = items(&all);
    let taken = items.iter().map(|(labels, taken, _)| (labels.clone(), *taken as f64));
    gauge(&mut text, "everdure_items_in_flight", "Work items that workers have.", taken);
    let waiting = items.iter().map(|(labels, _, waiting)| (labels.clone(), *waiting as f64));
    gauge(&mut text, "everdure_items_waiting", "Work items that wait for a worker here.", waiting);
    let connections = hubs.store().connections();
    let connections = connections.into_iter().map(|(state, count)| (format!("state=\"{state}\""), count as f64));
    gauge(
        &mut text,
        "everdure_pool_connections",
        "Connections of the pool, and callers that wait for one.",
        connections,
    );
    stored(&mut text, hubs, &all).await;
    text
}

/// What waits in the store, by hub and kind, and what was set aside; hubs for which the store does not answer in time are
/// left out.
async fn stored(text: &mut String, hubs: &Hubs, all: &[Shown]) {
    let (mut loads, mut aside) = (Vec::new(), Vec::new());
    let look = async {
        for (name, hub) in all {
            if let Ok(load) = hubs.store().load(name).await {
                loads.extend(load.into_iter().map(|load| (format!("{},kind=\"{}\"", label(name), load.kind), load)));
            }
            if let Some(hub) = hub
                && let Ok(poisoned) = hub.backend.get_poisoned(SET_ASIDE).await
            {
                aside.push((label(name), poisoned.len() as f64));
            }
        }
    };
    // What was counted by then counts.
    let _ = tokio::time::timeout(ANSWERS, look).await;
    let values = loads.iter().map(|(labels, load)| (labels.clone(), load.waiting as f64));
    gauge(text, "everdure_backlog", "Work that is due and held by nobody, counted up to 100,000.", values);
    let values = loads.iter().map(|(labels, load)| (labels.clone(), load.oldest.as_secs_f64()));
    gauge(text, "everdure_backlog_age_seconds", "How long the oldest of the backlog has waited.", values);
    let values = loads.iter().map(|(labels, load)| (labels.clone(), load.running as f64));
    gauge(text, "everdure_held", "Work that nodes hold, on all servers.", values);
    gauge(text, "everdure_set_aside", "What failed again and again and was set aside, counted up to 1,000.", aside);
}

/// `/metrics`, `/healthz` and `/readyz` beside the calls.
pub(crate) fn routes(router: axum::Router, hubs: Arc<Hubs>) -> axum::Router {
    let ready = Arc::clone(&hubs);
    router
        .route("/metrics", get(move || async move { text(&hubs).await }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readiness(&ready).await }))
        .fallback(nowhere)
}

/// A call of the protocol is told in its own way; a probe of a path that is not there must not find all well.
async fn nowhere(headers: HeaderMap) -> Response {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if kind.starts_with(b"application/grpc") {
        return Status::unimplemented("there is no such call").into_http::<axum::body::Body>();
    }
    (StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics here\n").into_response()
}

/// Ready is who takes calls, and can reach a store that takes what is written.
async fn readiness(hubs: &Hubs) -> (StatusCode, String) {
    if hubs.draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "this server is stopping\n".to_owned());
    }
    match tokio::time::timeout(ANSWERS, hubs.store().check()).await {
        Ok(Ok(())) => (StatusCode::OK, "ready\n".to_owned()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, format!("the store has not answered in {ANSWERS:?}\n")),
    }
}
