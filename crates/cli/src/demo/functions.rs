//! The orchestration that the demo runs: an order, from its check to its shipment.
//!
//! Ordinary SDK code. What the activities would do to the world is left out; that they ran stands in the journal.

use std::time::Duration;

use everdure::{
    Activity, ActivityContext, Failure, Functions, InstanceId, Orchestration, OrchestrationContext, RetryPolicy,
};
use futures::future::{BoxFuture, FutureExt, try_join_all};
use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::orders::{Line, Order};

/// The event that the customer sends.
pub const CONFIRMED: &str = "customer-confirmed";
/// The custom status while that event is waited for.
pub const WAITING: &str = "waiting for the customer";
/// The activity during which the worker of the second run is killed; it takes long enough for that.
pub const SLOW: &str = DRAFT_INVOICE.name();
const SLOW_TAKES: Duration = Duration::from_millis(1500);
const QUICK_TAKES: Duration = Duration::from_millis(50);
/// How often the card is refused before the payment goes through.
const REFUSALS: usize = 2;

pub const PROCESS_ORDER: Orchestration<Order, Receipt> = Orchestration::new("process_order");
const SHIP: Orchestration<Parcel, String> = Orchestration::new("ship");

const VALIDATE: Activity<Order, u64> = Activity::new("validate_order");
const PRICE: Activity<Vec<Line>, u64> = Activity::new("price_order");
const RESERVE: Activity<Vec<Line>, u64> = Activity::new("reserve_stock");
const ASSESS_RISK: Activity<String, String> = Activity::new("assess_risk");
const DRAFT_INVOICE: Activity<String, String> = Activity::new("draft_invoice");
const CHARGE: Activity<Charge, usize> = Activity::new("charge_card");
const PACK: Activity<Unit, String> = Activity::new("pack_unit");
const BOOK_CARRIER: Activity<Parcel, String> = Activity::new("book_carrier");
const PRINT_LABEL: Activity<String, String> = Activity::new("print_label");

/// What a processed order comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    order: String,
    total_cents: u64,
    units: usize,
    invoice: String,
    paid_on_attempt: usize,
    label: String,
}

/// What the customer says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    pub confirmed_by: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Charge {
    customer: String,
    cents: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parcel {
    order: String,
    units: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unit {
    sku: String,
    number: u64,
}

/// How many answers the history of that order has at its end: for progress bars.
pub fn expected_answers(order: &Order) -> u64 {
    let charges = REFUSALS as u64 + 1;
    let pauses = REFUSALS as u64;
    // Five activities in a row, the timer, payment with its pauses, the fan-out, the shipment.
    5 + 1 + charges + pauses + order.units() + 1
}

async fn process_order(ctx: OrchestrationContext, order: Order) -> everdure::Result<Receipt> {
    // Five activities, one after the other.
    ctx.set_custom_status("checking the order")?;
    ctx.call_activity(&VALIDATE, order.clone()).await?;
    let total_cents = ctx.call_activity(&PRICE, order.lines.clone()).await?;
    ctx.call_activity(&RESERVE, order.lines.clone()).await?;
    ctx.call_activity(&ASSESS_RISK, order.customer.clone()).await?;
    let invoice = ctx.call_activity(&DRAFT_INVOICE, order.id.clone()).await?;

    // A durable timer: the customer may still change his mind.
    ctx.set_custom_status("waiting out the time to withdraw")?;
    ctx.sleep(Duration::from_secs(1)).await;

    // An external event.
    ctx.set_custom_status(WAITING)?;
    let confirmation: Confirmation = ctx.wait_for_event(CONFIRMED).await?;

    // An activity that fails and is tried again.
    ctx.set_custom_status("charging the card")?;
    let charge = Charge { customer: confirmation.confirmed_by, cents: total_cents };
    let retry = RetryPolicy::new(5, Duration::from_millis(100)).backoff_coefficient(2.0);
    let paid_on_attempt = ctx.call_activity(&CHARGE, charge).retry(retry).await?;

    // A fan-out: one activity for each unit, all at once.
    ctx.set_custom_status("packing")?;
    let units = order.lines.iter().flat_map(|line| {
        (1..=line.quantity).map(|number| ctx.call_activity(&PACK, Unit { sku: line.sku.clone(), number }))
    });
    let units = try_join_all(units).await?.len();

    // A sub-orchestration, under an id of our choice.
    ctx.set_custom_status("shipping")?;
    let parcel = Parcel { order: order.id.clone(), units };
    let child = InstanceId::new(format!("{}-shipment", ctx.instance_id()))?;
    let label = ctx.call_sub_orchestration(&SHIP, parcel).instance_id(child).await?;

    ctx.set_custom_status("done")?;
    Ok(Receipt { order: order.id, total_cents, units, invoice, paid_on_attempt, label })
}

async fn ship(ctx: OrchestrationContext, parcel: Parcel) -> everdure::Result<String> {
    let booking = ctx.call_activity(&BOOK_CARRIER, parcel).await?;
    Ok(ctx.call_activity(&PRINT_LABEL, booking).await?)
}

/// An activity that notes that it begins, takes its time, and returns what `work` says.
fn step<In, Out>(
    journal: &Journal,
    takes: Duration,
    work: fn(In) -> Out,
) -> impl Fn(ActivityContext, In) -> BoxFuture<'static, everdure::Result<Out>> + Send + Sync + 'static
where
    In: Send + 'static,
    Out: Send + 'static,
{
    let journal = journal.clone();
    move |context, input| {
        let journal = journal.clone();
        async move {
            journal.begin(&context)?;
            tokio::time::sleep(takes).await;
            Ok(work(input))
        }
        .boxed()
    }
}

/// The bank refuses the card on the first attempts; the journal says which attempt this is.
async fn charge(journal: Journal, context: ActivityContext, charge: Charge) -> everdure::Result<usize> {
    journal.begin(&context)?;
    let attempt = journal.attempts(&context)?;
    tokio::time::sleep(QUICK_TAKES).await;
    if attempt <= REFUSALS {
        let Charge { customer, cents } = charge;
        return Err(Failure::new(
            "BankBusy",
            format!("attempt {attempt} to charge {customer} {cents} cents: try again"),
        ));
    }
    Ok(attempt)
}

/// All that a worker of the demo runs.
pub fn functions(journal: &Journal) -> Functions {
    let charges = journal.clone();
    Functions::new()
        .activity(VALIDATE, step(journal, QUICK_TAKES, |order: Order| order.units()))
        .activity(PRICE, step(journal, QUICK_TAKES, |lines: Vec<Line>| lines.iter().map(Line::cents).sum()))
        .activity(RESERVE, step(journal, QUICK_TAKES, |lines: Vec<Line>| lines.iter().map(|line| line.quantity).sum()))
        .activity(ASSESS_RISK, step(journal, QUICK_TAKES, |customer: String| format!("{customer}: low")))
        .activity(DRAFT_INVOICE, step(journal, SLOW_TAKES, |order: String| format!("invoice-{order}")))
        .activity(CHARGE, move |context, input| charge(charges.clone(), context, input))
        .activity(PACK, step(journal, QUICK_TAKES, |unit: Unit| format!("{} no. {} packed", unit.sku, unit.number)))
        .activity(BOOK_CARRIER, step(journal, QUICK_TAKES, |parcel: Parcel| format!("carrier-for-{}", parcel.order)))
        .activity(PRINT_LABEL, step(journal, QUICK_TAKES, |booking: String| format!("label-{booking}")))
        .orchestration(PROCESS_ORDER, process_order)
        .orchestration(SHIP, ship)
}
