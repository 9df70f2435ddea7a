//! `explain`: why packets are computed again.

use std::fmt::Write as _;

use anabranch::{
    ColumnChange, ComponentChange, ExplainError, ExplainOptions, Explanation, PacketCause, PacketChange,
    format_time,
};

use super::arguments::ExplainArguments;
use super::grid::{cell, named_values};
use super::{Exit, Failure, Output, run};

/// Maximum number of lines of a changed value that are shown.
const MOST_LINES: usize = 20;
/// Maximum number of characters of a line that are shown.
const MOST_CHARACTERS: usize = 120;

pub(super) fn explain(arguments: &ExplainArguments, output: &Output) -> Result<Exit, Failure> {
    let loaded = arguments.place.pipeline.load()?;
    let pipeline = loaded.pipeline;
    let node = run::find(&pipeline, &arguments.node, "explain")?;
    let store = arguments.place.open_existing(&loaded.store_dir)?;
    let options = ExplainOptions { condition: arguments.condition.clone(), head: arguments.head };
    let explanation = pipeline.explain(store.as_ref(), node, &options).map_err(|error| match error {
        ExplainError::Run(error) => Failure::from(error),
        wrong => Failure::Call(wrong.to_string()),
    })?;
    output.text_or_json(&text(&explanation), || explanation.to_json())?;
    Ok(Exit::Ok)
}

fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    let (node, function) = (&explanation.node, &explanation.function);
    let short = explanation.fingerprint.short();
    let _ = writeln!(text, "node \"{node}\": function {function}, fingerprint {short}");
    let calls = &explanation.calls;
    let _ = writeln!(
        text,
        "of {} rows, {} would be served without a call and {} computed",
        explanation.rows, calls.reuse, calls.compute
    );
    if let Some(reason) = &calls.reason {
        let _ = writeln!(text, "why: {reason}");
    }
    if let Some(earlier) = &explanation.earlier {
        let at = format_time(earlier.at_ms, "%Y-%m-%d %H:%M:%S");
        let what = if explanation.changes.is_empty() { "the same as" } else { "not the same as" };
        let of = earlier.run.as_ref().map_or_else(|| "first seen".to_owned(), |run| format!("of run {run}"));
        let _ = writeln!(text, "the function is {what} {} {of}, {at} UTC", earlier.fingerprint.short());
    }
    for change in &explanation.changes {
        component(&mut text, change);
    }
    if !explanation.packets.is_empty() {
        let _ = writeln!(text, "\nthe first {} rows without a result:", explanation.packets.len());
    }
    for change in &explanation.packets {
        packet(&mut text, change);
    }
    text
}

fn component(text: &mut String, change: &ComponentChange) {
    let _ = writeln!(text, "\n  {}", change.component);
    let lines = |value: &Option<String>| -> Vec<String> {
        value.as_deref().unwrap_or_default().lines().map(str::to_owned).collect()
    };
    let (old, new) = (lines(&change.old), lines(&change.new));
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    for (mark, lines, there) in [('-', &old, change.old.is_some()), ('+', &new, change.new.is_some())] {
        let changed = lines.len() - tail - same;
        for line in lines.iter().skip(same).take(changed.min(MOST_LINES)) {
            let cut: String = line.chars().take(MOST_CHARACTERS).collect();
            let more = if cut.len() < line.len() { "\u{2026}" } else { "" };
            let _ = writeln!(text, "    {mark} {}{more}", cell(&cut.as_str().into()));
        }
        if changed > MOST_LINES {
            let _ = writeln!(text, "    {mark} {} more lines", changed - MOST_LINES);
        }
        if !there {
            let _ = writeln!(text, "    {mark} (none)");
        }
    }
}

fn packet(text: &mut String, change: &PacketChange) {
    let tags = named_values(&change.tags);
    let named = if tags.is_empty() { change.records.join(", ") } else { tags };
    let why = match &change.cause {
        PacketCause::NeverRecorded => "the node has not been recorded yet".to_owned(),
        PacketCause::Above => "depends on what is computed above".to_owned(),
        PacketCause::NewRecord => "no such row in the last recording".to_owned(),
        PacketCause::SamePacket => "the packet is what it was".to_owned(),
        PacketCause::Columns(columns) => columns.iter().map(column).collect::<Vec<_>>().join("; "),
    };
    let _ = writeln!(text, "  {named}\n    {why}");
}

fn column(change: &ColumnChange) -> String {
    let name = &change.column;
    if change.certain { format!("{name} has changed") } else { format!("{name} may have changed") }
}
