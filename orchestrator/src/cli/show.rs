//! `show`: rows of a recorded node as a table.

use std::fmt::Write as _;

use anabranch::{Replay, RowValues, row_values};
use anabranch_engine::chunk::arrow_schema;
use serde_json::{Value, json};

use super::arguments::ShowArguments;
use super::grid::{Grid, terminal_width};
use super::pipeline_file::FoundRecording;
use super::rows::Selection;
use super::{Exit, Failure, Output, replay, run};

pub(super) fn show(arguments: &ShowArguments, output: &Output) -> Result<Exit, Failure> {
    let wanted = &arguments.rows;
    let FoundRecording { header, store, which, warning: other } = wanted.find("show")?;
    let recorded = store.replay_named(&header.name, &wanted.node, &which)?;
    let pipeline = wanted.present(&store);
    let warning = run::warned([other, replay::changed(pipeline.as_ref(), &wanted.node, &recorded)]);
    let columns = arguments.columns.into();
    let selection = Selection::new(wanted.condition.as_deref(), columns, recorded.schema())?;
    let schema = arrow_schema(recorded.schema(), columns);
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let [.., last] = recorded.recordings() else { panic!("rows that are read back must have a recording") };
    let run = last.run.clone();
    let (rows, total) = read(recorded, &selection, arguments.head)?;
    let text = || {
        let mut text = Grid::new(&names, &rows).to_text(terminal_width());
        let node = &wanted.node;
        let shown = rows.len() as u64;
        let what = if selection.is_whole() { "" } else { " that match" };
        let count = if shown == total {
            format!("{total} rows{what}")
        } else {
            format!("{shown} of {total} rows{what}")
        };
        let _ = writeln!(text, "{count} of node \"{node}\", run {run}");
        text
    };
    if output.is_json() {
        let document = json!({
            "pipeline": header.name,
            "node": wanted.node,
            "run_id": run,
            "warning": warning,
            "columns": names,
            "rows": rows.into_iter().map(Value::Object).collect::<Vec<_>>(),
            "rows_total": total,
        });
        output.document(&document)?;
    } else {
        output.text_or_json(&text(), || Value::Null)?;
    }
    Ok(Exit::Ok)
}

/// Reads the first rows and the number of all. Without a condition only the rows that are shown are read.
fn read(mut recorded: Replay, selection: &Selection, head: usize) -> Result<(Vec<RowValues>, u64), Failure> {
    let recorded_rows: u64 = recorded.recordings().iter().map(|recording| recording.rows).sum();
    let (mut rows, mut total) = (Vec::new(), 0);
    while !selection.is_whole() || rows.len() < head {
        let Some(chunk) = recorded.next() else { break };
        let chunk = chunk?;
        let places = selection.rows(&chunk, recorded.origins())?;
        total += places.len() as u64;
        let kept: Vec<u32> = places.into_iter().take(head - rows.len()).collect();
        let failed = |e: anabranch_engine::chunk::ChunkError| Failure::Failed(e.into());
        let part = chunk.take(&kept).map_err(failed)?;
        let batch = part.to_batch(selection.columns, recorded.origins()).map_err(failed)?;
        rows.extend(row_values(&batch));
    }
    Ok((rows, if selection.is_whole() { recorded_rows } else { total }))
}
