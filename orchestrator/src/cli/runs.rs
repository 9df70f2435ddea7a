//! `runs`: the runs of a pipeline, the newest first.

use anabranch::{RunInfo, RunScope, RunState, format_time, yaml};
use serde_json::{Value, json};

use super::arguments::Runs;
use super::output::table;
use super::{Exit, Failure, Output, run};

pub(super) fn runs(arguments: &Runs, output: &Output) -> Result<Exit, Failure> {
    let header = yaml::load_header(&arguments.file, &arguments.parameters.load_options())?;
    let runs = match run::open_existing(&arguments.place, &header.store_dir)? {
        Some(store) => store.runs(Some(&header.name))?,
        None => Vec::new(),
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    let text = if rows.is_empty() {
        format!("pipeline \"{}\" has not run yet\n", header.name)
    } else {
        table(
            &[
                "run",
                "started (UTC)",
                "status",
                "part",
                "seconds",
                "computed",
                "reused",
                "set aside",
                "skipped",
            ],
            &rows,
        )
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

/// The sum of a count over all nodes; nothing where the run has not told.
fn count(run: &RunInfo, name: &str) -> String {
    let RunState::Ended(end) = &run.state else { return String::new() };
    let summary: Value = serde_json::from_str(&end.summary).unwrap_or(Value::Null);
    let Some(nodes) = summary.get("nodes").and_then(Value::as_array) else { return String::new() };
    nodes.iter().filter_map(|node| node.get(name)?.as_u64()).sum::<u64>().to_string()
}

/// What part of the pipeline it was asked for; known as soon as it has begun.
fn scope(run: &RunInfo) -> RunScope {
    RunScope::of_summary(&serde_json::from_str(&run.start.summary).unwrap_or(Value::Null))
}

fn row(run: &RunInfo) -> Vec<String> {
    vec![
        run.start.run.clone(),
        format_time(run.start.started_ms, "%Y-%m-%d %H:%M:%S"),
        run.state.status().to_owned(),
        scope(run).to_string(),
        seconds(run).map_or_else(String::new, |s| format!("{s:.2}")),
        count(run, "computed"),
        count(run, "reused"),
        count(run, "set_aside"),
        count(run, "skipped"),
    ]
}

fn document(run: &RunInfo) -> Value {
    let summary = match &run.state {
        RunState::Ended(end) => serde_json::from_str(&end.summary).unwrap_or(Value::Null),
        _ => Value::Null,
    };
    let RunScope { limit, until } = scope(run);
    json!({
        "run_id": run.start.run,
        "pipeline_hash": run.start.pipeline_hash,
        "started": format_time(run.start.started_ms, "%Y-%m-%dT%H:%M:%SZ"),
        "status": run.state.status(),
        "limit": limit,
        "until": until,
        "seconds": seconds(run),
        "summary": summary,
    })
}
