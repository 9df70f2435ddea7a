//! How far a run is: bars on a terminal, plain lines elsewhere, nothing if asked for quiet.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anabranch::NodeProgress;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

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
                    for node in nodes {
                        note(&line(node, begun.elapsed()));
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
                for (bar, node) in bars.iter().zip(nodes) {
                    bar.set_message(line(node, begun.elapsed()));
                    bar.tick();
                }
            }
        }
    }

    /// Takes the bars away; the summary follows.
    pub(super) fn finish(&mut self) {
        if let Self::Bars { all, bars, .. } = self {
            bars.iter().for_each(ProgressBar::finish_and_clear);
            // A terminal that cannot be cleared shows the last state.
            let _ = all.clear();
        }
    }
}

fn line(node: &NodeProgress, elapsed: Duration) -> String {
    let rows = node.rows_out.max(node.rows_in);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = rows as f64 / elapsed.as_secs_f64().max(0.001);
    let mut text = format!("{}: {rows} rows, {rate:.0}/s", node.name);
    if let (Some(reused), Some(computed)) = (node.reused, node.computed) {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {reused} reused, {computed} computed");
    }
    if node.queued.iter().any(|n| *n > 0) {
        let queued: Vec<String> = node.queued.iter().map(u64::to_string).collect();
        let _ = write!(text, ", {} chunks waiting", queued.join(" + "));
    }
    text
}
