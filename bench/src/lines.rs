//! Tables of single measurements: what was found beside what was asked for.

use std::time::{Duration, Instant};

/// A line of a table.
pub(crate) struct Line {
    /// Work that was done.
    pub(crate) what: &'static str,
    /// Measurement.
    pub(crate) found: String,
    /// The floor.
    pub(crate) floor: &'static str,
    /// The aim.
    pub(crate) aim: &'static str,
}

impl Line {
    /// A line without bounds.
    pub(crate) fn new(what: &'static str, found: String) -> Self {
        Self { what, found, floor: "", aim: "" }
    }

    /// The line with what has to be reached and what is wanted.
    pub(crate) fn bounds(self, floor: &'static str, aim: &'static str) -> Self {
        Self { floor, aim, ..self }
    }
}

/// A table under a title.
pub(crate) fn table(title: &str, lines: &[Line]) -> String {
    let head = [format!("| {title} | found | floor | aim |\n|---|---|---|---|\n")];
    let row = |Line { what, found, floor, aim }: &Line| format!("| {what} | {found} | {floor} | {aim} |\n");
    head.into_iter().chain(lines.iter().map(row)).collect()
}

/// Rows a second since a moment.
pub(crate) fn rate(rows: u64, begun: Instant) -> String {
    rate_of(rows, begun.elapsed())
}

/// Rows a second.
pub(crate) fn rate_of(rows: u64, time: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a count of rows is small")]
    let millions = rows as f64 / time.as_secs_f64() / 1e6;
    format!("{millions:.2} M/s")
}

/// A time in milliseconds.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
