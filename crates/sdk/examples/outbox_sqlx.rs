//! An orchestration that starts exactly if an order is stored, with another client (sqlx) and no outbox table:
//! `cargo run -p everdure --example outbox_sqlx`. Starts a private PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Functions, InstanceId, NodeOptions, Orchestration, OrchestrationContext,
    PostgresBackend, PostgresOptions, Worker,
};
use everdure_embedded::Server;
use sqlx::{PgPool, Postgres, Transaction};

const CHARGE: Activity<i64, String> = Activity::new("charge");
const PROCESS_ORDER: Orchestration<i64, String> = Orchestration::new("process_order");

async fn charge(_: ActivityContext, order: i64) -> everdure::Result<String> {
    Ok(format!("order {order} is paid"))
}

async fn process_order(ctx: OrchestrationContext, order: i64) -> everdure::Result<String> {
    Ok(ctx.call_activity(&CHARGE, order).await?)
}

/// The order and its orchestration: both with the caller's commit, or neither.
async fn place(tx: &mut Transaction<'_, Postgres>, order: i64) -> Result<InstanceId, Box<dyn std::error::Error>> {
    sqlx::query("insert into orders (id) values ($1)").bind(order).execute(&mut **tx).await?;
    let id: String = sqlx::query_scalar("select everdure.start_instance($1, $2::json, $3)")
        .bind(PROCESS_ORDER.name())
        .bind(order.to_string()) // the input, as JSON text
        .bind(format!("order-{order}"))
        .fetch_one(&mut **tx)
        .await?;
    Ok(InstanceId::new(id)?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().unsafe_fast().start()?;
    let backend = PostgresBackend::connect(PostgresOptions::from_url(&server.url())?).await?;
    let functions = Functions::new().activity(CHARGE, charge).orchestration(PROCESS_ORDER, process_order);
    let worker = Worker::start(Arc::new(backend), functions, NodeOptions::default()).await?;
    let client = worker.client();

    let pool = PgPool::connect(&server.url()).await?;
    sqlx::query("create table orders (id bigint primary key)").execute(&pool).await?;

    let mut tx = pool.begin().await?;
    let kept = place(&mut tx, 1).await?;
    tx.commit().await?;

    let mut tx = pool.begin().await?;
    let dropped = place(&mut tx, 2).await?;
    tx.rollback().await?;

    let paid: String = client.wait_for_completion(&kept, Duration::from_secs(30)).await?;
    let orders: Vec<i64> = sqlx::query_scalar("select id from orders").fetch_all(&pool).await?;
    println!("{paid}; stored orders: {orders:?}");
    assert_eq!((paid.as_str(), orders), ("order 1 is paid", vec![1]));
    assert!(client.get(&dropped).await?.is_none(), "what was rolled back was never started");

    pool.close().await;
    Ok(worker.drain(Duration::from_secs(1)).await?)
}
