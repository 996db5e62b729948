//! Steps with their compensations, undone in reverse order when one fails: `cargo run -p everdure --example saga`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use everdure::{
    Activity, ActivityContext, ClientError, Failure, Functions, InMemoryBackend, NodeOptions, Orchestration,
    OrchestrationContext, Worker,
};

type Booking = Activity<String, String>;

const BOOK_FLIGHT: Booking = Activity::new("book_flight");
const BOOK_HOTEL: Booking = Activity::new("book_hotel");
const BOOK_CAR: Booking = Activity::new("book_car");
const CANCEL: Activity<String, ()> = Activity::new("cancel");
const TRIP: Orchestration<String, Vec<String>> = Orchestration::new("trip");

async fn trip(ctx: OrchestrationContext, traveller: String) -> everdure::Result<Vec<String>> {
    let mut bookings = Vec::new();
    for step in [BOOK_FLIGHT, BOOK_HOTEL, BOOK_CAR] {
        match ctx.call_activity(&step, traveller.clone()).await {
            Ok(booking) => bookings.push(booking),
            Err(error) => {
                // `bookings` is an ordinary variable: after a crash, replay fills it again.
                for booking in bookings.into_iter().rev() {
                    ctx.call_activity(&CANCEL, booking).await?;
                }
                return Err(error.into());
            }
        }
    }
    Ok(bookings)
}

async fn book(what: &str, traveller: &str) -> everdure::Result<String> {
    Ok(format!("{what} for {traveller}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cancelled = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&cancelled);
    let functions = Functions::new()
        .activity(BOOK_FLIGHT, |_: ActivityContext, who: String| async move { book("flight", &who).await })
        .activity(BOOK_HOTEL, |_: ActivityContext, who: String| async move { book("hotel", &who).await })
        .activity(BOOK_CAR, |_: ActivityContext, who: String| async move {
            if who == "Grace" { Err(Failure::new("NoCars", "all cars are taken")) } else { book("car", &who).await }
        })
        .activity(CANCEL, move |_: ActivityContext, booking: String| {
            println!("cancelled: {booking}");
            log.lock().expect("no holder of this lock panics").push(booking);
            async { Ok::<_, Failure>(()) }
        })
        .orchestration(TRIP, trip);
    let worker = Worker::start(Arc::new(InMemoryBackend::default()), functions, NodeOptions::default()).await?;
    let client = worker.client();

    let good = client.start(&TRIP, "Ada".to_owned()).await?;
    let booked: Vec<String> = client.wait_for_completion(&good, Duration::from_secs(30)).await?;
    assert_eq!(booked, ["flight for Ada", "hotel for Ada", "car for Ada"]);

    let bad = client.start(&TRIP, "Grace".to_owned()).await?;
    let failed = client.wait_for_completion::<Vec<String>>(&bad, Duration::from_secs(30)).await;
    let Err(ClientError::Failed { failure, .. }) = failed else { panic!("no car, no trip: {failed:?}") };
    println!("{failure}");
    assert_eq!(failure.chain().last().map(|cause| cause.error_type.as_str()), Some("NoCars"));
    let cancelled = cancelled.lock().expect("no holder of this lock panics").clone();
    assert_eq!(cancelled, ["hotel for Grace", "flight for Grace"]);
    Ok(worker.drain(Duration::from_secs(1)).await?)
}
