//! `run`: a whole pipeline, or a pipeline up to a node.

use std::path::PathBuf;
use std::time::Duration;

use anabranch::{
    Format, NodeHandle, NodeSummary, Pipeline, RunError, RunHandle, RunOptions, SetAsideInfo, Store, Summary,
    WriteSpec,
};
use tokio_util::sync::CancellationToken;

use super::arguments::RunArguments;
use super::failure::chain;
use super::grid::table_of;
use super::output::note;
use super::progress::Progress;
use super::{Exit, Failure, Output, left_out};

/// Interval between updates of the progress.
const TICK: Duration = Duration::from_millis(200);

pub(super) fn run(arguments: &RunArguments, output: &Output) -> Result<Exit, Failure> {
    let place = &arguments.place;
    let file = &place.pipeline.file;
    let loaded = place.pipeline.load_noting()?;
    let mut pipeline = loaded.pipeline;
    for warning in pipeline.warnings() {
        note(&format!("warning: {warning}"));
    }
    if let Some(store) = &place.store {
        pipeline.protect_store(store);
    }
    let options = options(&pipeline, arguments)?;
    let store = place.open(&loaded.store_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.into()))?;
    let handle = pipeline.start_with(&store, &options)?;
    let progress = Progress::new(arguments.quiet);
    let summary = runtime.block_on(watch(handle, progress)).map_err(|ended| {
        let packets = failed_packets(&store, pipeline.name(), &ended.run_id);
        let left_out = left_out::of_failed_run(&ended.nodes, file, &ended.run_id, !packets.is_empty());
        Failure::Run { run_id: ended.run_id, nodes: ended.nodes, error: ended.error, packets, left_out }
    })?;
    let text = text(&summary) + &ran(&summary) + &left_out::of_run(&summary, file);
    output.text_or_json(&text, || summary.to_json())?;
    Ok(if summary.left_out() > 0 { Exit::LeftOut } else { Exit::Ok })
}

/// Returns the failure of a run that did not succeed.
struct Ended {
    run_id: String,
    nodes: Vec<NodeSummary>,
    error: Box<RunError>,
}

/// Maximum number of packets that are shown with the error of a run.
const SHOWN_PACKETS: usize = 3;

/// Reads the failed packets of a run, as far as the store can be read.
fn failed_packets(store: &Store, pipeline: &str, run_id: &str) -> Vec<SetAsideInfo> {
    // The run's own error is reported whether this succeeds or not.
    let found = store.set_aside(pipeline, None, Some(run_id)).into_iter().flatten();
    found.filter_map(Result::ok).take(SHOWN_PACKETS).collect()
}

/// Describes the nodes that are served from a recording if there is one.
fn ran(summary: &Summary) -> String {
    let ran = summary.nodes.iter().filter_map(|node| Some((&node.name, node.ran_because?)));
    ran.fold(String::new(), |text, (name, reason)| {
        text + &format!("node \"{name}\", cache: replay: {reason}\n")
    })
}

/// Prints warnings and joins them to one text; none if there are none.
pub(super) fn warned(warnings: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let warnings: Vec<String> = warnings.into_iter().flatten().collect();
    for warning in &warnings {
        note(&format!("warning: {warning}"));
    }
    (!warnings.is_empty()).then(|| warnings.join("; "))
}

fn options(pipeline: &Pipeline, arguments: &RunArguments) -> Result<RunOptions, Failure> {
    let until = arguments.until.as_ref().map(|name| find(pipeline, name, "--until")).transpose()?;
    let mut outputs = Vec::with_capacity(arguments.outputs.len());
    for (name, path) in &arguments.outputs {
        let node = find(pipeline, name, "--out")?;
        let path = PathBuf::from(path);
        let format = Format::from_path(&path).map_err(|e| Failure::Call(format!("--out: {e}")))?;
        let spec = WriteSpec { columns: arguments.columns.into(), ..WriteSpec::new(format, path) };
        pipeline.check_output(node, &spec).map_err(|e| Failure::Call(format!("--out: {}", chain(&e))))?;
        outputs.push((node, spec));
    }
    let executor = arguments.executor.map(Into::into);
    Ok(RunOptions { executor, until, limit: arguments.limit, no_reuse: arguments.no_reuse, outputs })
}

pub(super) fn find(pipeline: &Pipeline, name: &str, flag: &str) -> Result<NodeHandle, Failure> {
    pipeline.node(name).ok_or_else(|| {
        let names: Vec<String> = pipeline.node_names().map(str::to_owned).collect();
        Failure::Call(format!(
            "{flag}: found no node \"{name}\", expected one of {}{}",
            anabranch::list(&names),
            anabranch::suggestion(name, &names)
        ))
    })
}

/// Waits for the run, shows its progress, and cancels it at an interrupt or termination.
async fn watch(mut handle: RunHandle, mut progress: Progress) -> Result<Summary, Ended> {
    let mut ticks = tokio::time::interval(TICK);
    let canceller = handle.canceller();
    let signals = cancel_on_signal(canceller);
    tokio::pin!(signals);
    loop {
        tokio::select! {
            ended = &mut handle => {
                progress.finish();
                let run_id = handle.run_id();
                let nodes = handle.nodes();
                return ended.map_err(|error| Ended { run_id, nodes, error: Box::new(error) });
            }
            () = &mut signals => {}
            _ = ticks.tick() => progress.show(&handle.progress()),
        }
    }
}

/// Cancels at the first interrupt or termination; never resolves after that, since the run's end is awaited.
async fn cancel_on_signal(cancel: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    cancel.cancel();
    std::future::pending::<()>().await;
}

fn text(summary: &Summary) -> String {
    let function = |node: &NodeSummary, count: fn(&anabranch::FunctionSummary) -> u64| {
        node.function.as_ref().map_or_else(String::new, |f| count(f).to_string())
    };
    let numbers = |counts: &[u64]| counts.iter().map(u64::to_string).collect::<Vec<_>>().join(" + ");
    let nodes = table_of(
        &summary.nodes,
        &[
            ("node", &|node| node.name.clone()),
            ("kind", &|node| node.kind.to_owned()),
            ("rows in", &|node| numbers(&node.rows_in)),
            ("rows out", &|node| node.rows_out.to_string()),
            ("computed", &|node| function(node, |f| f.computed)),
            ("reused", &|node| function(node, |f| f.reused)),
            ("dropped", &|node| function(node, |f| f.dropped)),
            ("skipped", &|node| function(node, |f| f.skipped)),
            ("set aside", &|node| function(node, |f| f.set_aside)),
            ("unmatched", &|node| numbers(&node.unmatched)),
        ],
    );
    let Summary { pipeline, status, seconds, run_id, .. } = summary;
    format!("{nodes}\n{pipeline}: {} in {seconds:.2} s, run {run_id}\n", status.name())
}
