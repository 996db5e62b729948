//! What goes to standard output: tables for people, JSON for programs. Colour only on a terminal, and not under
//! `NO_COLOR`: everything is written through a stream that takes it out where it does not belong.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use everdure::OrchestrationStatus;
use everdure_core::Timestamp;

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const GREEN: Style = AnsiColor::Green.on_default();
pub const RED: Style = AnsiColor::Red.on_default();

/// Writes a line, at once.
pub fn line(text: impl std::fmt::Display) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes a JSON value as one line.
pub fn json(value: &serde_json::Value) -> io::Result<()> {
    line(value)
}

/// A table without borders, one entry a line.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
    pad(&mut table);
    table
}

/// A table of names and values, without headings.
pub fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, Cell)>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    for (name, value) in facts {
        table.add_row([Cell::new(name).add_attribute(Attribute::Dim), value]);
    }
    pad(&mut table);
    table
}

/// Columns stand two spaces apart.
fn pad(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
}

pub fn print_table(table: &Table) -> io::Result<()> {
    line(table.trim_fmt())
}

/// A status in its colour.
pub fn status_cell(status: OrchestrationStatus) -> Cell {
    let cell = Cell::new(status);
    match status {
        OrchestrationStatus::Completed => cell.fg(comfy_table::Color::Green),
        OrchestrationStatus::Failed | OrchestrationStatus::Terminated => cell.fg(comfy_table::Color::Red),
        OrchestrationStatus::Suspended => cell.fg(comfy_table::Color::Yellow),
        OrchestrationStatus::Running | OrchestrationStatus::Pending => cell,
    }
}

/// A time for people, to the millisecond, in UTC.
pub fn time(time: Timestamp) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

/// A time for programs: RFC 3339, to the microsecond, in UTC.
pub fn rfc3339(time: Timestamp) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// The text in one line of at most `limit` characters.
pub fn shorten(text: &str, limit: usize) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if one_line.chars().count() <= limit {
        return one_line;
    }
    let kept: String = one_line.chars().take(limit.saturating_sub(1)).collect();
    format!("{kept}…")
}
