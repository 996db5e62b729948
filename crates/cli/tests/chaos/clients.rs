//! Clients that start instances and raise events, and note what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use everdure::{Client, ClientError, InstanceId, PostgresBackend};
use everdure_core::{Backend, MessageBody, SendMessage, SendOutcome};
use tokio::task::JoinHandle;

use super::worker;

const CLIENTS: usize = 6;
pub const ROUNDS: u64 = 4;

/// An instance whose start was acknowledged.
#[derive(Clone, Debug)]
pub struct Told {
    pub id: InstanceId,
    pub number: u64,
    /// The sum of all events, each of which was acknowledged.
    pub events: u64,
    pub rounds: bool,
}

impl Told {
    pub fn expected(&self) -> u64 {
        if self.rounds { self.events } else { worker::expected(self.number, self.events) }
    }
}

pub fn start(backend: Arc<PostgresBackend>, stopping: Arc<AtomicBool>) -> Vec<JoinHandle<Vec<Told>>> {
    let next = Arc::new(AtomicU64::new(0));
    (0..CLIENTS).map(|_| tokio::spawn(client(Arc::clone(&backend), Arc::clone(&stopping), Arc::clone(&next)))).collect()
}

pub async fn finish(clients: Vec<JoinHandle<Vec<Told>>>) -> Vec<Told> {
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.expect("clients do not panic"));
    }
    all
}

async fn client(backend: Arc<PostgresBackend>, stopping: Arc<AtomicBool>, next: Arc<AtomicU64>) -> Vec<Told> {
    let mut told = Vec::new();
    let client = Client::new(Arc::clone(&backend) as Arc<dyn Backend>);
    while !stopping.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let rounds = number.is_multiple_of(3);
        let id = InstanceId::new(format!("chaos-{number}")).expect("a valid id");
        begin(&client, &id, number, rounds).await;
        let mut events = 0;
        for event in 0..if rounds { ROUNDS } else { 2 } {
            let value = number % 5 + event;
            raise(&*backend, &id, value).await;
            events += value;
        }
        told.push(Told { id, number, events, rounds });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    told
}

/// Starts, again and again under one request id, until it is acknowledged.
async fn begin(client: &Client, id: &InstanceId, number: u64, rounds: bool) {
    let request = uuid::Uuid::new_v4();
    loop {
        let start =
            if rounds { client.start(&worker::ROUNDS, (ROUNDS, 0)) } else { client.start(&worker::TRANSFER, number) };
        match start.id(id.clone()).request_id(request).await {
            Ok(_) => return,
            Err(ClientError::Backend(error)) if error.is_transient() => {}
            Err(error) => panic!("starting '{id}': {error}"),
        }
    }
}

async fn raise(backend: &dyn Backend, id: &InstanceId, value: u64) {
    let body = MessageBody::EventRaised { name: "go".to_owned(), input: Some(value.to_string()) };
    let request =
        SendMessage { instance_id: id.clone(), body, request_id: Some(uuid::Uuid::new_v4()), not_before: None };
    loop {
        match backend.send_message(request.clone()).await {
            Ok(SendOutcome::Sent { .. } | SendOutcome::Repeated) => return,
            Ok(other) => panic!("raising an event for '{id}': {other:?}"),
            Err(error) if error.is_transient() => {}
            Err(error) => panic!("raising an event for '{id}': {error}"),
        }
    }
}
