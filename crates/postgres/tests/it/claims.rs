//! What a claim brings, and how much of it at once.

use everdure_testkit::conformance::fixture::{
    Held, claim, create, creation, event, event_inputs, lock_one, node, send,
};

use super::support::{majors, open, server};

/// Text that does not compress.
fn noise(bytes: usize) -> String {
    let ids = std::iter::repeat_with(|| uuid::Uuid::new_v4().to_string());
    format!("\"{}\"", ids.take(bytes / 36).collect::<String>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_come_a_few_at_a_time_and_never_none() {
    let server = server(majors()[0]);
    let store = open(&server, "hub").await;
    create(&store, creation("i", "o")).await;
    let node = node(&store).await;
    claim(&store, node, "o").await.checkpoint(&store, vec![], false).await;
    let inputs: Vec<_> = [900_000, 900_000, 9_000_000, 100, 100].map(noise).into();
    for input in &inputs {
        send(&store, "i", event("e", input)).await;
    }
    let mut seen = Vec::new();
    for (expected, more) in [(2, true), (1, true), (2, false)] {
        let item = lock_one(&store, node, "o").await;
        assert_eq!((item.messages.len(), item.more_messages), (expected, more));
        let mut held = Held::new(node, item);
        seen.extend(event_inputs(&held.inbox));
        held.checkpoint(&store, vec![], false).await;
    }
    assert!(seen == inputs, "all of them, in order");
}
