//! `replay`: rows that a run recorded at a node, from the store alone.

use std::io::{self, Write as _};
use std::path::Path;

use anabranch::{Columns, Format, Pipeline, Replay as Recorded, Which, WriteSpec};
use anabranch_engine::chunk::arrow_schema;
use anabranch_nodes::sink::{JsonText, Writer};
use serde_json::json;

use super::arguments::ReplayArguments;
use super::pipeline_file::FoundRecording;
use super::rows::Selection;
use super::{Exit, Failure, Output, run};

pub(super) fn replay(arguments: &ReplayArguments, output: &Output) -> Result<Exit, Failure> {
    let wanted = &arguments.rows;
    let FoundRecording { header, store, which, warning: other } = wanted.find("replay")?;
    let which = if arguments.all { Which::All } else { which };
    let recorded = store.replay_named(&header.name, &wanted.node, &which)?;
    let pipeline = wanted.present(&store);
    let warning = run::warned([other, changed(pipeline.as_ref(), &wanted.node, &recorded)]);
    let selection = Selection::new(wanted.condition.as_deref(), arguments.columns.into(), recorded.schema())?;
    let runs: Vec<String> = recorded.recordings().iter().map(|r| r.run.clone()).collect();
    let mut document =
        json!({ "pipeline": header.name, "node": wanted.node, "runs": runs, "warning": warning });
    let Some(path) = &arguments.out else {
        to_stdout(recorded, &selection, output, &document)?;
        return Ok(Exit::Ok);
    };
    let mut pipeline = pipeline.unwrap_or_else(|| Pipeline::new(&header.name));
    pipeline.protect_store(wanted.place.store_dir(&header.store_dir));
    pipeline.protect_files(header.files);
    let spec = target(path, selection.columns, &wanted.node, &pipeline)?;
    let rows = to_file(recorded, &selection, &spec)?;
    if let Some(document) = document.as_object_mut() {
        document.insert("rows_out".to_owned(), rows.into());
        document.insert("path".to_owned(), path.display().to_string().into());
    }
    let text = format!("{rows} rows of node \"{}\" written to {}\n", wanted.node, path.display());
    output.text_or_json(&text, || document)?;
    Ok(Exit::Ok)
}

/// Warns if the rows were recorded by another version of the pipeline.
pub(super) fn changed(pipeline: Option<&Pipeline>, node: &str, recorded: &Recorded) -> Option<String> {
    let Some(pipeline) = pipeline else {
        return Some(
            "the pipeline cannot be planned now, so it is not known whether it has changed since".into(),
        );
    };
    let same = pipeline.node(node).is_some_and(|node| recorded.is_of(pipeline, node));
    (!same).then(|| "the pipeline has changed since these rows were recorded".to_owned())
}

/// Returns the requested output, which replaces nothing that the present pipeline needs or writes.
fn target(path: &Path, columns: Columns, node: &str, pipeline: &Pipeline) -> Result<WriteSpec, Failure> {
    let wrong = |text: String| Failure::Call(format!("--out: {text}"));
    let format = Format::from_path(path).map_err(|e| wrong(e.to_string()))?;
    let spec = WriteSpec { columns, ..WriteSpec::new(format, path) };
    pipeline.check_target(node, &spec).map_err(|e| wrong(e.to_string()))?;
    Ok(spec)
}

fn to_file(mut recorded: Recorded, selection: &Selection, spec: &WriteSpec) -> Result<usize, Failure> {
    let failed = |e: anabranch_nodes::sink::SinkError| Failure::Failed(e.into());
    let schema = arrow_schema(recorded.schema(), selection.columns);
    let mut writer = Writer::create(spec, &schema).map_err(failed)?;
    let mut rows = 0;
    while let Some(chunk) = recorded.next() {
        let batch = selection.select(chunk?, recorded.origins())?;
        rows += batch.num_rows();
        writer.write(&batch).map_err(failed)?;
    }
    writer.finish().and_then(anabranch_nodes::sink::Finished::publish).map_err(failed)?;
    Ok(rows)
}

/// Prints rows as JSON lines, or within the one document.
fn to_stdout(
    mut recorded: Recorded,
    selection: &Selection,
    output: &Output,
    document: &serde_json::Value,
) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut lines = JsonText::new(&arrow_schema(recorded.schema(), selection.columns));
    let mut first = true;
    if output.is_json() {
        let opened = document.to_string();
        out.write_all(opened.trim_end_matches('}').as_bytes())?;
        out.write_all(b",\"rows\":[")?;
    }
    while let Some(chunk) = recorded.next() {
        let batch = selection.select(chunk?, recorded.origins())?;
        for line in lines.rows(&batch).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if output.is_json() && !std::mem::take(&mut first) {
                out.write_all(b",")?;
            }
            out.write_all(line)?;
            if !output.is_json() {
                out.write_all(b"\n")?;
            }
        }
    }
    if output.is_json() {
        out.write_all(b"]}\n")?;
    }
    Ok(out.flush()?)
}
