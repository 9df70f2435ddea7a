//! Progress of a run: bars on a terminal, plain lines elsewhere, nothing with `--quiet`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anabranch::NodeProgress;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{note, notes_are_seen};

/// Time to the first plain lines; short runs have none.
const FIRST_LINES: Duration = Duration::from_secs(1);
/// Time between plain lines after that.
const LINES: Duration = Duration::from_secs(5);

/// Shows the progress of one run.
pub(super) enum Progress {
    Quiet,
    Lines { begun: Instant, next: Duration },
    Bars { begun: Instant, all: MultiProgress, bars: Vec<ProgressBar> },
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let begun = Instant::now();
        if quiet {
            Self::Quiet
        } else if notes_are_seen() {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5));
            Self::Bars { begun, all, bars: Vec::new() }
        } else {
            Self::Lines { begun, next: FIRST_LINES }
        }
    }

    pub(super) fn show(&mut self, nodes: &[NodeProgress]) {
        match self {
            Self::Quiet => {}
            Self::Lines { begun, next } => {
                if begun.elapsed() >= *next {
                    *next = begun.elapsed() + LINES;
                    let width = name_width(nodes);
                    for node in nodes {
                        note(&line(node, width, begun.elapsed()));
                    }
                }
            }
            Self::Bars { begun, all, bars } => {
                while bars.len() < nodes.len() {
                    let bar = all.add(ProgressBar::no_length());
                    // The template is a constant; a wrong one falls back to the default style.
                    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                        bar.set_style(style);
                    }
                    bars.push(bar);
                }
                let width = name_width(nodes);
                for (bar, node) in bars.iter().zip(nodes) {
                    bar.set_message(line(node, width, begun.elapsed()));
                    bar.tick();
                }
            }
        }
    }

    /// Removes the bars; the summary follows.
    pub(super) fn finish(&mut self) {
        if let Self::Bars { all, bars, .. } = self {
            bars.iter().for_each(ProgressBar::finish_and_clear);
            // A terminal that cannot be cleared shows the last state.
            let _ = all.clear();
        }
    }
}

fn name_width(nodes: &[NodeProgress]) -> usize {
    nodes.iter().map(|node| node.name.chars().count()).max().unwrap_or_default()
}

fn line(node: &NodeProgress, width: usize, elapsed: Duration) -> String {
    let rows = node.rows_out.max(node.rows_in);
    let rate = u128::from(rows) * 1000 / elapsed.as_millis().max(1);
    let rate = u64::try_from(rate).unwrap_or(u64::MAX);
    let mut text = format!("{:width$}  {:>13} rows  {:>11}/s", node.name, grouped(rows), grouped(rate));
    if let (Some(reused), Some(computed)) = (node.reused, node.computed) {
        // Writing to a string cannot fail.
        let _ = write!(text, "  {} reused, {} computed", grouped(reused), grouped(computed));
    }
    if node.queued.iter().any(|n| *n > 0) {
        let queued: Vec<String> = node.queued.iter().map(u64::to_string).collect();
        let _ = write!(text, "  queue {}", queued.join(" + "));
    }
    text
}

/// Formats a number with a comma at each thousand.
fn grouped(number: u64) -> String {
    HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_below_one_another_with_numbers_that_can_be_read() {
        let node = |name: &str, rows_out, reused, queued: &[u64]| NodeProgress {
            name: name.to_owned(),
            kind: "function",
            rows_in: 0,
            rows_out,
            reused,
            computed: reused,
            queued: queued.to_vec(),
        };
        let nodes = [node("flights", 336_776, None, &[0]), node("é", 999, Some(1_000), &[7, 0])];
        let lines: Vec<String> =
            nodes.iter().map(|n| line(n, name_width(&nodes), Duration::from_secs(2))).collect();
        assert_eq!(lines[0], "flights        336,776 rows      168,388/s");
        assert_eq!(
            lines[1],
            "é                  999 rows          499/s  1,000 reused, 1,000 computed  queue 7 + 0"
        );
    }
}
