//! `replay`: what a run gave at a node, from the store alone.

use std::io::{self, Write as _};
use std::path::Path;

use anabranch::{Columns, Format, Pipeline, Replay as Recorded, Which, WriteSpec, yaml};
use anabranch_engine::chunk::{Chunk, arrow_schema};
use anabranch_engine::expression::Expression;
use anabranch_nodes::sink::{JsonText, Writer};
use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, FieldRef};
use serde_json::json;

use super::arguments::Replay;
use super::output::note;
use super::{Exit, Failure, Output, run};

pub(super) fn replay(arguments: &Replay, output: &Output) -> Result<Exit, Failure> {
    let options = arguments.parameters.load_options();
    let header = yaml::load_header(&arguments.file, &options)?;
    let Some(store) = run::open_existing(&arguments.place, &header.store_dir)? else {
        let dir = arguments.place.store.as_ref().unwrap_or(&header.store_dir).display();
        let text = format!(
            "replay: found no store in {dir}, expected that of an earlier run; run the pipeline first, or name its store by --store"
        );
        return Err(Failure::Call(text));
    };
    let which = match (&arguments.run, arguments.all) {
        (Some(run), _) => Which::Run(run.clone()),
        (None, true) => Which::All,
        (None, false) => Which::Last,
    };
    let recorded = store.replay_named(&header.name, &arguments.node, &which)?;
    let pipeline = yaml::load(&arguments.file, &options).ok().map(|loaded| loaded.pipeline);
    let warning = changed(pipeline.as_ref(), &arguments.node, &recorded);
    if let Some(warning) = &warning {
        note(&format!("warning: {warning}"));
    }
    let selection = Selection::new(arguments, &recorded)?;
    let runs: Vec<String> = recorded.recordings().iter().map(|r| r.run.clone()).collect();
    let mut document =
        json!({ "pipeline": header.name, "node": arguments.node, "runs": runs, "warning": warning });
    let Some(path) = &arguments.out else {
        to_stdout(recorded, &selection, output, &document)?;
        return Ok(Exit::Ok);
    };
    let spec = target(path, selection.columns, &arguments.node, pipeline.as_ref())?;
    let rows = to_file(recorded, &selection, &spec)?;
    if let Some(document) = document.as_object_mut() {
        document.insert("rows_out".to_owned(), rows.into());
        document.insert("path".to_owned(), path.display().to_string().into());
    }
    let text = format!("{rows} rows of node \"{}\" written to {}\n", arguments.node, path.display());
    output.text_or_json(&text, || document)?;
    Ok(Exit::Ok)
}

/// Says so if the pipeline as it is now is not the one that recorded the rows.
fn changed(pipeline: Option<&Pipeline>, node: &str, recorded: &Recorded) -> Option<String> {
    let Some(pipeline) = pipeline else {
        return Some(
            "the pipeline cannot be planned now, so it is not known whether it has changed since".into(),
        );
    };
    let same = pipeline.node(node).is_some_and(|node| recorded.is_of(pipeline, node));
    (!same).then(|| "the pipeline has changed since these rows were recorded".to_owned())
}

/// The file that is asked for, which is no file that the pipeline as it is now reads.
fn target(
    path: &Path,
    columns: Columns,
    node: &str,
    pipeline: Option<&Pipeline>,
) -> Result<WriteSpec, Failure> {
    let wrong = |text: String| Failure::Call(format!("--out: {text}"));
    let format = Format::from_path(path).map_err(|e| wrong(e.to_string()))?;
    let spec = WriteSpec::new(format, path).columns(columns);
    if let Some(pipeline) = pipeline {
        pipeline.check_not_read(node, &spec).map_err(|e| wrong(e.to_string()))?;
    }
    Ok(spec)
}

/// Which rows and columns are given.
struct Selection {
    condition: Option<Expression>,
    columns: Columns,
}

impl Selection {
    fn new(arguments: &Replay, recorded: &Recorded) -> Result<Self, Failure> {
        let fields: Vec<FieldRef> = recorded.schema().columns().cloned().collect();
        let compile = |sql: &String| {
            let wrong = |text: String| Failure::Call(format!("--where: {text}"));
            let expression = Expression::compile(sql, &fields).map_err(|e| wrong(e.to_string()))?;
            match expression.data_type() {
                DataType::Boolean => Ok(expression),
                other => Err(wrong(format!(
                    "found an expression of {other}, expected one of bool; write a comparison"
                ))),
            }
        };
        let condition = arguments.condition.as_ref().map(compile).transpose()?;
        Ok(Self { condition, columns: arguments.columns.into() })
    }

    fn select(&self, chunk: Chunk, recorded: &Recorded) -> Result<RecordBatch, Failure> {
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| Failure::Failed(e);
        let chunk = match &self.condition {
            None => chunk,
            Some(condition) => {
                let columns: Vec<ArrayRef> = chunk.tags().iter().chain(chunk.packets()).cloned().collect();
                let mask = condition.evaluate(&columns, chunk.rows()).map_err(|e| failed(e.into()))?;
                let mask = mask.as_boolean();
                let kept =
                    (0_u32..).zip(0..chunk.rows()).filter(|(_, row)| mask.is_valid(*row) && mask.value(*row));
                let kept: Vec<u32> = kept.map(|(at, _)| at).collect();
                chunk.take(&kept).map_err(|e| failed(e.into()))?
            }
        };
        chunk.to_batch(self.columns, recorded.origins()).map_err(|e| failed(e.into()))
    }
}

fn to_file(mut recorded: Recorded, selection: &Selection, spec: &WriteSpec) -> Result<usize, Failure> {
    let failed = |e: anabranch_nodes::sink::SinkError| Failure::Failed(e.into());
    let schema = arrow_schema(recorded.schema(), selection.columns);
    let mut writer = Writer::create(spec, &schema).map_err(failed)?;
    let mut rows = 0;
    while let Some(chunk) = recorded.next() {
        let batch = selection.select(chunk?, &recorded)?;
        rows += batch.num_rows();
        writer.write(&batch).map_err(failed)?;
    }
    writer.finish().and_then(anabranch_nodes::sink::Finished::publish).map_err(failed)?;
    Ok(rows)
}

/// Rows as JSON lines, or within the one document.
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
        let batch = selection.select(chunk?, &recorded)?;
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
