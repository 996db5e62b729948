//! Accounts as entities, and a transfer that nobody can come between: `cargo run -p everdure --example bank_account`.

use std::sync::Arc;
use std::time::Duration;

use everdure::{
    Entity, EntityContext, EntityState, Failure, Functions, InMemoryBackend, NodeOptions, Operation, Orchestration,
    OrchestrationContext, Worker,
};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Account {
    cents: u64,
}

const ACCOUNT: Entity<Account> = Entity::new("account");
const DEPOSIT: Operation<Account, u64, u64> = ACCOUNT.operation("deposit");
const WITHDRAW: Operation<Account, u64, u64> = ACCOUNT.operation("withdraw");
const TRANSFER: Orchestration<(String, String, u64), bool> = Orchestration::new("transfer");

async fn deposit(_: EntityContext, mut account: EntityState<Account>, cents: u64) -> everdure::Result<u64> {
    account.cents += cents;
    Ok(account.cents)
}

async fn withdraw(_: EntityContext, mut account: EntityState<Account>, cents: u64) -> everdure::Result<u64> {
    // A failed operation leaves the account as it was.
    account.cents = account.cents.checked_sub(cents).ok_or_else(|| Failure::new("Overdrawn", "not enough money"))?;
    Ok(account.cents)
}

async fn transfer(ctx: OrchestrationContext, (from, to, cents): (String, String, u64)) -> everdure::Result<bool> {
    let (from, to) = (ACCOUNT.id(from)?, ACCOUNT.id(to)?);
    // From here to the end of the function both accounts take operations of this transfer only.
    let _both = ctx.lock_entities([&from, &to]).await?;
    match ctx.call_entity(&from, &WITHDRAW, cents).await {
        Ok(_) => ctx.call_entity(&to, &DEPOSIT, cents).await?,
        Err(error) if error.details().error_type == "Overdrawn" => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    Ok(true)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let functions = Functions::new()
        .entity(ACCOUNT, |account| account.operation(DEPOSIT, deposit).operation(WITHDRAW, withdraw))
        .orchestration(TRANSFER, transfer);
    let worker = Worker::start(Arc::new(InMemoryBackend::default()), functions, NodeOptions::default()).await?;
    let client = worker.client();

    // An account needs no opening: its first operation makes it.
    let (ada, grace) = (ACCOUNT.id("Ada")?, ACCOUNT.id("Grace")?);
    client.signal_entity(&ada, &DEPOSIT, 100).await?;
    client.signal_entity(&grace, &DEPOSIT, 100).await?;

    // Both ways at once: each locks in the same order, so neither waits for ever.
    let there = client.start(&TRANSFER, ("Ada".to_owned(), "Grace".to_owned(), 30)).await?;
    let back = client.start(&TRANSFER, ("Grace".to_owned(), "Ada".to_owned(), 50)).await?;
    let too_much = client.start(&TRANSFER, ("Ada".to_owned(), "Grace".to_owned(), 1000)).await?;
    assert!(client.wait_for_completion::<bool>(&there, PATIENCE).await?);
    assert!(client.wait_for_completion::<bool>(&back, PATIENCE).await?);
    assert!(!client.wait_for_completion::<bool>(&too_much, PATIENCE).await?);

    for (account, cents) in [(&ada, 120), (&grace, 80)] {
        let now = client.get_entity(account).await?.ok_or("the account is there")?;
        println!("{account}: {} cents", now.state.cents);
        assert_eq!(now.state.cents, cents);
    }
    Ok(worker.drain(Duration::from_secs(1)).await?)
}
