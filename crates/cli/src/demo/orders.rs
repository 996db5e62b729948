//! Orders: the input of the demo, read so that a mistake is named with its place.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The sample that is shipped; `everdure demo --print-sample` prints it.
pub const SAMPLE: &str = include_str!("../../samples/orders.json");
/// More would make a demo dull.
const MOST_ORDERS: usize = 100;
const MOST_UNITS: u64 = 1000;
const DEAREST: u64 = 1_000_000_000;

/// What a customer wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    pub customer: String,
    pub lines: Vec<Line>,
}

/// So many of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    pub sku: String,
    pub quantity: u64,
    pub unit_price_cents: u64,
}

impl Line {
    pub fn cents(&self) -> u64 {
        self.quantity.saturating_mul(self.unit_price_cents)
    }
}

impl Order {
    pub fn units(&self) -> u64 {
        self.lines.iter().map(|line| line.quantity).sum()
    }
}

/// What is wrong with a file of orders.
#[derive(Debug, thiserror::Error)]
pub enum OrdersError {
    #[error("cannot read the orders in {}: check the path given with --input", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{from} is not valid JSON ({reason}): correct it there, or begin with `everdure demo --print-sample`")]
    NotJson { from: String, reason: serde_json::Error },
    #[error("{from}: {problem}; `everdure demo --print-sample` shows the form")]
    Wrong { from: String, problem: String },
}

/// The order of a demo without a file: twenty units of three things.
pub fn built_in() -> Vec<Order> {
    let line = |sku: &str, quantity, unit_price_cents| Line { sku: sku.to_owned(), quantity, unit_price_cents };
    let lines = vec![line("TEA-GREEN", 12, 650), line("CUP-BLUE", 6, 1290), line("POT-IRON", 2, 8900)];
    vec![Order { id: "1001".to_owned(), customer: "Ada".to_owned(), lines }]
}

/// Reads a file, or standard input when it is `-`.
pub fn read(path: &Path) -> Result<Vec<Order>, OrdersError> {
    let unreadable = |source| OrdersError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    if path == Path::new("-") {
        io::stdin().read_to_string(&mut text).map_err(unreadable)?;
    } else {
        text = std::fs::read_to_string(path).map_err(unreadable)?;
    }
    parse(&path.display().to_string(), &text)
}

/// Reads orders; `from` says where the text is from.
pub fn parse(from: &str, text: &str) -> Result<Vec<Order>, OrdersError> {
    let value = serde_json::from_str(text).map_err(|reason| OrdersError::NotJson { from: from.to_owned(), reason })?;
    orders(&value).map_err(|problem| OrdersError::Wrong { from: from.to_owned(), problem })
}

fn orders(value: &Value) -> Result<Vec<Order>, String> {
    let list = value.as_array().ok_or_else(|| format!("expected an array of orders, found {}", kind(value)))?;
    if !(1..=MOST_ORDERS).contains(&list.len()) {
        return Err(format!("expected 1 to {MOST_ORDERS} orders, found {}", list.len()));
    }
    let mut ids = HashSet::new();
    list.iter()
        .enumerate()
        .map(|(index, value)| {
            let order = order(value).map_err(|problem| format!("order {index}, {problem}"))?;
            if !ids.insert(order.id.clone()) {
                return Err(format!("order {index}, field id: '{}' is the id of an earlier order", order.id));
            }
            Ok(order)
        })
        .collect()
}

fn order(value: &Value) -> Result<Order, String> {
    let fields = Fields::of(value, "", &["id", "customer", "lines"])?;
    let id = fields.text("id")?;
    if id.len() > 64 || !id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(format!("field id: expected up to 64 letters, digits, '-', '_' or '.', found '{id}'"));
    }
    let lines = fields.get("lines")?;
    let lines = lines.as_array().ok_or_else(|| format!("field lines: expected an array, found {}", kind(lines)))?;
    if lines.is_empty() {
        return Err("field lines: expected at least one line".to_owned());
    }
    let lines = lines.iter().enumerate().map(|(index, value)| line(value, index)).collect::<Result<_, _>>()?;
    let order = Order { id, customer: fields.text("customer")?, lines };
    match order.units() {
        units if units > MOST_UNITS => Err(format!("field lines: {units} units, the demo packs up to {MOST_UNITS}")),
        _ => Ok(order),
    }
}

fn line(value: &Value, index: usize) -> Result<Line, String> {
    let fields = Fields::of(value, &format!("lines[{index}]"), &["sku", "quantity", "unitPriceCents"])?;
    Ok(Line {
        sku: fields.text("sku")?,
        quantity: fields.number("quantity", 1, MOST_UNITS)?,
        unit_price_cents: fields.number("unitPriceCents", 0, DEAREST)?,
    })
}

/// The fields of an object, with the path to it for messages.
struct Fields<'a> {
    path: String,
    object: &'a serde_json::Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value, path: &str, known: &[&str]) -> Result<Self, String> {
        let at = if path.is_empty() { String::new() } else { format!("field {path}: ") };
        let object = value.as_object().ok_or_else(|| format!("{at}expected an object, found {}", kind(value)))?;
        if let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("{at}unknown field '{unknown}': expected {}", known.join(", ")));
        }
        let path = if path.is_empty() { String::new() } else { format!("{path}.") };
        Ok(Self { path, object })
    }

    fn get(&self, name: &str) -> Result<&'a Value, String> {
        self.object.get(name).ok_or_else(|| format!("field {}{name}: it is missing", self.path))
    }

    fn text(&self, name: &str) -> Result<String, String> {
        let value = self.get(name)?;
        let text = value.as_str().filter(|text| !text.trim().is_empty());
        text.map(str::to_owned).ok_or_else(|| {
            format!("field {}{name}: expected a text that is not empty, found {}", self.path, kind(value))
        })
    }

    fn number(&self, name: &str, least: u64, most: u64) -> Result<u64, String> {
        let value = self.get(name)?;
        value.as_u64().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            format!("field {}{name}: expected a whole number from {least} to {most}, found {}", self.path, kind(value))
        })
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{SAMPLE, parse};

    fn problem(text: &str) -> String {
        parse("orders.json", text).expect_err("something is wrong").to_string()
    }

    #[test]
    fn the_sample_can_be_read() {
        assert!(parse("the sample", SAMPLE).expect("it is right").len() > 1);
    }

    #[test]
    fn a_mistake_is_named_with_order_and_field() {
        let good = r#"{"id":"1","customer":"Ada","lines":[{"sku":"A","quantity":1,"unitPriceCents":5}]}"#;
        let said = problem(&format!("[{good},{}]", good.replace(r#""quantity":1"#, r#""quantity":"three""#)));
        assert!(said.contains("orders.json: order 1, field lines[0].quantity: expected a whole number"), "{said}");
        assert!(said.contains(r#"found "three""#), "{said}");
        let said = problem(&format!("[{good},{good}]"));
        assert!(said.contains("order 1, field id: '1' is the id of an earlier order"), "{said}");
        let said = problem(r#"[{"id":"1","lines":[{"sku":"A","quantity":1,"unitPriceCents":5}]}]"#);
        assert!(said.contains("order 0, field customer: it is missing"), "{said}");
        let said = problem(&format!("[{}]", good.replace("unitPriceCents", "unitPrice")));
        assert!(said.contains("order 0, field lines[0]: unknown field 'unitPrice'"), "{said}");
    }

    #[test]
    fn what_is_no_list_of_orders_is_refused() {
        assert!(problem("[{").contains("not valid JSON"));
        assert!(problem("{}").contains("expected an array of orders, found an object"));
        assert!(problem("[]").contains("expected 1 to 100 orders"));
        assert!(problem("[5]").contains("order 0, expected an object, found 5"));
    }
}
