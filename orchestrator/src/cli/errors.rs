//! `errors`: packets that were set aside, and those that ended a run.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anabranch::{RowValues, SetAsideInfo, Store, format_time, row_values};
use serde_json::{Value, json};

use super::arguments::ErrorsArguments;
use super::grid::{cell, named_values};
use super::output::note;
use super::{Exit, Failure, Output, run};

/// Number of lines of a log that are printed for people: its end, where tracebacks have the cause.
const MOST_LINES: usize = 20;

pub(super) fn errors(arguments: &ErrorsArguments, output: &Output) -> Result<Exit, Failure> {
    let header = arguments.place.pipeline.header()?;
    let store = arguments.place.open_recorded("errors", &header.store_dir)?;
    let (run, other) = if let Some(run) = &arguments.run {
        check_run(&store, &header.name, run)?;
        (Some(run.clone()), None)
    } else {
        let last = store.last_run(&header.name, &header.file)?;
        // Without a second pipeline file of this name the store's last run is the right one.
        (last.run.filter(|_| last.warning.is_some()), last.warning)
    };
    let warning = run::warned([other]);
    let found = store.set_aside(&header.name, arguments.node.as_deref(), run.as_deref())?;
    if let Some(node) = arguments.node.as_ref().filter(|node| !header.node_names.contains(node)) {
        // The node may have existed when the run set packets aside.
        let near = anabranch::suggestion(node, &header.node_names);
        note(&format!("warning: the pipeline has no node \"{node}\" now{near}"));
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    if output.is_json() {
        write!(out, "{{\"pipeline\":{},\"packets\":[", Value::String(header.name.clone()))?;
    }
    let (mut packets, mut rows) = (0_u64, 0);
    for info in found {
        let info = info?;
        if output.is_json() {
            let comma = if packets > 0 { "," } else { "" };
            write!(out, "{comma}{}", document(&info))?;
        } else {
            out.write_all(text(&info).as_bytes())?;
        }
        packets += 1;
        rows += info.rows;
    }
    if output.is_json() {
        writeln!(out, "],\"warning\":{}}}", json!(warning))?;
    } else {
        let run = run.as_deref().unwrap_or("the last run");
        writeln!(out, "{packets} packets of {rows} rows set aside by {run} of pipeline \"{}\"", header.name)?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

/// Refuses a run that does not belong to the pipeline.
fn check_run(store: &Store, pipeline: &str, run: &str) -> Result<(), Failure> {
    let runs: Vec<String> = store.runs(Some(pipeline))?.into_iter().map(|run| run.start.run).collect();
    if runs.iter().any(|known| known == run) {
        return Ok(());
    }
    Err(Failure::Call(format!(
        "--run: found no run \"{run}\" of pipeline \"{pipeline}\", expected one of {}{}",
        anabranch::list(&runs),
        anabranch::suggestion(run, &runs)
    )))
}

fn first(batch: &arrow::array::RecordBatch) -> RowValues {
    row_values(batch).into_iter().next().unwrap_or_default()
}

fn records(info: &SetAsideInfo) -> Vec<String> {
    info.records.iter().map(|(source, record)| format!("{source}::{record}")).collect()
}

pub(super) fn document(info: &SetAsideInfo) -> Value {
    json!({
        "run_id": info.run,
        "node": info.node,
        "function": info.function,
        "fingerprint": info.fingerprint.to_string(),
        "at": format_time(info.written_ms, "%Y-%m-%dT%H:%M:%SZ"),
        "packet": info.packet.0.to_string(),
        "error": info.kind,
        "message": info.message,
        "log": info.log,
        "attempts": info.attempts,
        "rows": info.rows,
        "input": first(&info.taken),
        "tags": first(&info.tags),
        "records": records(info),
    })
}

/// Formats a packet for people, with the end of its code's output.
pub(super) fn text(info: &SetAsideInfo) -> String {
    let at = format_time(info.written_ms, "%Y-%m-%d %H:%M:%S");
    let (attempts, plural) = (info.attempts, if info.attempts == 1 { "" } else { "s" });
    let mut text = format!(
        "node \"{}\", packet {}, {attempts} attempt{plural}, {} rows, {at} UTC\n",
        info.node,
        info.packet.0.hex(12),
        info.rows
    );
    let line = |text: &mut String, what: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {what:<8}{value}");
        }
    };
    line(&mut text, "tags", &named_values(&first(&info.tags)));
    line(&mut text, "from", &records(info).join(", "));
    line(&mut text, "input", &named_values(&first(&info.taken)));
    line(&mut text, "error", &format!("{}: {}", info.kind, cell(&Value::String(info.message.clone()))));
    let lines: Vec<&str> = info.log.lines().collect();
    let skipped = lines.len().saturating_sub(MOST_LINES);
    for (at, log) in lines.iter().skip(skipped).enumerate() {
        let shown = cell(&Value::String((*log).to_owned()));
        let _ = writeln!(text, "  {:<8}{shown}", if at == 0 { "log" } else { "" });
    }
    text.push('\n');
    text
}
