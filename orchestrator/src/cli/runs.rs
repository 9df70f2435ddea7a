//! `runs`: the runs of a pipeline, the newest first.

use std::path::{Path, PathBuf};

use anabranch::{RunInfo, RunScope, RunState, file_of_pipeline, file_of_summary, format_time};
use serde_json::{Value, json};

use super::grid::{TableColumn, table_of};
use super::pipeline_file::StoredPipeline;
use super::{Exit, Failure, Output, left_out};

pub(super) fn runs(place: &StoredPipeline, output: &Output) -> Result<Exit, Failure> {
    let header = place.pipeline.header()?;
    let runs = match place.open_existing(&header.store_dir)? {
        Some(store) => store.runs(Some(&header.name))?,
        None => Vec::new(),
    };
    // The column is printed only if runs of several files have one pipeline name.
    let own = file_of_pipeline(&place.pipeline.file);
    let several = runs.iter().filter_map(file).any(|file| file != own);
    let text = if runs.is_empty() {
        format!("pipeline \"{}\" has not run yet\n", header.name)
    } else {
        text(&runs, several) + &last_left_out(&runs, &place.pipeline.file)
    };
    let documents = || {
        let runs: Vec<Value> = runs.iter().map(document).collect();
        json!({ "pipeline": header.name, "runs": runs })
    };
    output.text_or_json(&text, documents)?;
    Ok(Exit::Ok)
}

fn seconds(run: &RunInfo) -> Option<f64> {
    match &run.state {
        #[expect(clippy::cast_precision_loss, reason = "a run of 2^53 ms is 285,000 years long")]
        RunState::Ended(end) => Some((end.ended_ms - run.start.started_ms) as f64 / 1000.0),
        _ => None,
    }
}

/// Returns the sum of a count over all nodes; nothing if the run has no summary.
fn count(run: &RunInfo, name: &str) -> String {
    let summary = summary(run);
    let Some(nodes) = summary.get("nodes").and_then(Value::as_array) else { return String::new() };
    nodes.iter().filter_map(|node| node.get(name)?.as_u64()).sum::<u64>().to_string()
}

/// Returns the scope of a run, which is recorded when it begins.
fn scope(run: &RunInfo) -> RunScope {
    RunScope::of_summary(&serde_json::from_str(&run.start.summary).unwrap_or(Value::Null))
}

/// Returns the pipeline file that a run was made from.
fn file(run: &RunInfo) -> Option<PathBuf> {
    file_of_summary(&run.start.summary)
}

/// Describes the rows that the last run left out, with commands to type.
fn last_left_out(runs: &[RunInfo], file: &Path) -> String {
    let Some((run, summary)) = runs.first().map(|run| (run, summary(run))) else { return String::new() };
    let text = left_out::of_document(&summary, file, Some(&run.start.run));
    if text.is_empty() { text } else { format!("\nrun {}:\n{text}", run.start.run) }
}

fn summary(run: &RunInfo) -> Value {
    match &run.state {
        RunState::Ended(end) => serde_json::from_str(&end.summary).unwrap_or(Value::Null),
        _ => Value::Null,
    }
}

/// Formats the runs as a table, with the files that they were made from if there are several.
fn text(runs: &[RunInfo], several: bool) -> String {
    let path = |run: &RunInfo| file(run).map_or_else(String::new, |file| file.display().to_string());
    let mut columns: Vec<TableColumn<'_, RunInfo>> = vec![
        ("run", &|run| run.start.run.clone()),
        ("started (UTC)", &|run| format_time(run.start.started_ms, "%Y-%m-%d %H:%M:%S")),
        ("status", &|run| run.state.status().to_owned()),
        ("part", &|run| scope(run).to_string()),
        ("seconds", &|run| seconds(run).map_or_else(String::new, |s| format!("{s:.2}"))),
        ("computed", &|run| count(run, "computed")),
        ("reused", &|run| count(run, "reused")),
        ("dropped", &|run| count(run, "dropped")),
        ("skipped", &|run| count(run, "skipped")),
        ("set aside", &|run| count(run, "set_aside")),
    ];
    if several {
        columns.push(("file", &path));
    }
    table_of(runs, &columns)
}

fn document(run: &RunInfo) -> Value {
    let RunScope { limit, until } = scope(run);
    json!({
        "run_id": run.start.run,
        "pipeline_hash": run.start.pipeline_hash,
        "started": format_time(run.start.started_ms, "%Y-%m-%dT%H:%M:%SZ"),
        "status": run.state.status(),
        "limit": limit,
        "until": until,
        "seconds": seconds(run),
        "file": file(run),
        "summary": summary(run),
    })
}
