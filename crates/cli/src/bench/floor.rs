//! The floor: rows of the size of a turn, appended in batches on two connections, and nothing else.

use std::error::Error;
use std::time::{Duration, Instant};

use super::server::connect;

/// Rows in one transaction, as in a busy writer lane.
const BATCH: i64 = 500;
const CONNECTIONS: i64 = 2;
/// A turn of a sequence with payloads of 100 bytes.
const EVENTS: &str = concat!(
    r#"[{"type":"TaskCompleted","dispatch":"3.0","taskId":2,"result":"\"0123456789012345678901234567890123456789"#,
    r#"012345678901234567890123456789012345678901234567890123456789\""},{"id":3,"type":"TaskScheduled","dispatch":"#,
    r#""4.0","name":"bench_step","input":"\"01234567890123456789012345678901234567890123456789012345678901234567890"#,
    r#"12345678901234567890123456789\""}]"#
);

/// Rows a second.
pub async fn measure(url: &str, duration: Duration) -> Result<f64, Box<dyn Error>> {
    let client = connect(url).await?;
    client
        .batch_execute(
            "drop table if exists everdure_bench_floor; create table everdure_bench_floor (key bigint not null, \
             turn bigint not null, at timestamptz not null, execution int not null, events json not null, \
             primary key (key, execution, turn))",
        )
        .await?;
    let begun = Instant::now();
    let writers = (0..CONNECTIONS).map(|number| append(url, number, duration));
    let rows: i64 = futures::future::try_join_all(writers).await?.into_iter().sum();
    let seconds = begun.elapsed().as_secs_f64();
    client.batch_execute("drop table everdure_bench_floor").await?;
    // A count of rows fits a float exactly enough.
    Ok(rows as f64 / seconds)
}

async fn append(url: &str, number: i64, duration: Duration) -> Result<i64, Box<dyn Error>> {
    let client = connect(url).await?;
    let insert = client
        .prepare(
            "insert into everdure_bench_floor select k, 1, clock_timestamp(), 0, e::json \
             from unnest($1::bigint[], $2::text[]) u(k, e)",
        )
        .await?;
    let (begun, mut next) = (Instant::now(), number << 48);
    let events = vec![EVENTS; usize::try_from(BATCH)?];
    let first = next;
    while begun.elapsed() < duration {
        let keys: Vec<i64> = (next..next + BATCH).collect();
        client.execute(&insert, &[&keys, &events]).await?;
        next += BATCH;
    }
    Ok(next - first)
}
