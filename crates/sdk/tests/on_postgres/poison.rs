//! What cannot be read harms nobody else, and goes on when it has been repaired.

use std::time::Duration;

use everdure::{InstanceId, NodeOptions, Poisoned};

use crate::support::{COUNT, Hub, PATIENCE, client};

async fn session(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

async fn first_poisoned(client: &everdure::Client) -> Poisoned {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(poisoned) = client.poisoned(10).await.expect("an answer").pop() {
                return poisoned;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    found.await.expect("it is set aside in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_instance_is_set_aside_and_goes_on_when_repaired() {
    // Events that nobody knows, and an answer without a question.
    for damage in [
        r#"[{"type":"NoSuchEvent"}]"#,
        r#"[{"type":"TaskCompleted","dispatch":"1-7","taskId":7}]"#,
        r#"[{"type":"TimerFired","dispatch":"1:7","timerId":7,"fireAt":"2026-01-01T00:00:00Z"}]"#,
    ] {
        let hub = Hub::new();
        let backend = hub.backend(true).await;
        let worker = hub.worker(&backend, NodeOptions::default()).await;
        let client = client(&backend);
        let ids: Vec<_> = (0..20).map(|n| InstanceId::new(format!("i{n}")).expect("a valid id")).collect();
        for id in &ids {
            client.start(&COUNT, (1, vec![])).id(id.clone()).await.expect("started");
            client.wait_for_start(id, PATIENCE).await.expect("it waits for its event");
        }
        let admin = session(&hub.server.url()).await;
        let damaged = "update everdure.history h set events = $1::text::json from everdure.instances i \
                       where i.key = h.key and i.instance_id = 'i7' returning h.key";
        assert_eq!(admin.query(damaged, &[&damage]).await.expect("damaged").len(), 1);
        for id in &ids {
            client.raise_event(id, "e", &5_u64).await.expect("raised");
        }
        for id in ids.iter().filter(|id| id.as_str() != "i7") {
            let seen: Vec<u64> = client.wait_for_completion(id, PATIENCE).await.expect("its neighbours complete");
            assert_eq!(seen, [5]);
        }
        let poisoned = first_poisoned(&client).await;
        assert_eq!((poisoned.instance_id.as_str(), poisoned.name.as_str(), poisoned.activity), ("i7", "count", None));
        assert!(poisoned.reason.contains("NoSuchEvent") || poisoned.reason.contains("1"), "{}", poisoned.reason);
        let repaired = "update everdure.history h set events = '[]' from everdure.instances i \
                        where i.key = h.key and i.instance_id = 'i7'";
        admin.execute(repaired, &[]).await.expect("repaired");
        assert_eq!(client.release_poisoned(&poisoned.instance_id, false).await.expect("released"), 1);
        let seen: Vec<u64> = client.wait_for_completion(&poisoned.instance_id, PATIENCE).await.expect("it completes");
        assert_eq!(seen, [5], "{damage}");
        assert_eq!(client.poisoned(10).await.expect("an answer"), []);
        worker.drain(Duration::from_secs(10)).await.expect("left in good order");
    }
}
