//! `trace`: lineage of recorded rows.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};

use anabranch::{Call, Columns, Lineage, SourceState, SourceValue, TracedRow, Tracer, Upstream, format_time};
use anabranch_engine::index::At as _;
use serde_json::{Value, json};

use super::arguments::TraceArguments;
use super::grid::{named_values, short};
use super::pipeline_file::FoundRecording;
use super::rows::Selection;
use super::{Exit, Failure, Output, run};

/// Maximum depth of calls that are printed for people.
const MOST_DEPTH: usize = 100;
/// Maximum number of items of a list that are printed for people.
const MOST_ITEMS: usize = 20;

type Values = HashMap<(String, String, String), SourceValue>;

pub(super) fn trace(arguments: &TraceArguments, output: &Output) -> Result<Exit, Failure> {
    let wanted = &arguments.rows;
    let FoundRecording { header, store, which, warning: other } = wanted.find("trace")?;
    let warning = run::warned([other]);
    let mut tracer = store.trace(&header.name, &wanted.node, &which)?;
    let selection = Selection::new(wanted.condition.as_deref(), Columns::Data, tracer.schema())?;
    let rows = rows(&mut tracer, &selection, arguments.head)?;
    let pipeline = wanted.present(&store);
    let found = pipeline.map(|pipeline| pipeline.source_values(&rows)).unwrap_or_default();
    let run = tracer.recording().run.clone();
    if output.is_json() {
        let document = json!({
            "pipeline": header.name,
            "node": wanted.node,
            "run_id": run,
            "warning": warning,
            "rows": rows.iter().map(TracedRow::to_json).collect::<Vec<_>>(),
            "sources": found,
        });
        output.document(&document)?;
        return Ok(Exit::Ok);
    }
    let key = |value: &SourceValue| (value.source.clone(), value.record.clone(), value.column.clone());
    let values: Values = found.into_iter().map(|value| (key(&value), value)).collect();
    let mut out = io::BufWriter::new(io::stdout().lock());
    for row in &rows {
        out.write_all(text(row, &values, &wanted.node, &run).as_bytes())?;
    }
    let changed = values.values().filter(|value| value.state == SourceState::Changed).count();
    if changed > 0 {
        writeln!(out, "{changed} source values have changed since they were recorded")?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

/// Returns the first rows for which the condition is true.
fn rows(tracer: &mut Tracer, selection: &Selection, head: usize) -> Result<Vec<TracedRow>, Failure> {
    let (mut found, mut from) = (Vec::new(), 0);
    while found.len() < head {
        let Some(chunk) = tracer.chunk(from)? else { break };
        for row in selection.rows(&chunk, tracer.origins())?.into_iter().take(head - found.len()) {
            found.extend(tracer.row(from + u64::from(row))?);
        }
        from += chunk.rows().max(1) as u64;
    }
    Ok(found)
}

/// Formats the lineage of a row, and of the recorded rows behind records of derived sources.
fn text(row: &TracedRow, values: &Values, node: &str, run: &str) -> String {
    let mut text = Tree::new(row, values).text(node, run);
    for upstream in &row.upstream {
        let Upstream { source, record, pipeline, node, run, row } = upstream;
        let _ = writeln!(text, "{source}::{record} is, of pipeline \"{pipeline}\",");
        text += &self::text(row, &Values::new(), node, run);
    }
    text
}

/// The lineage of a row as lines of a tree.
struct Tree<'a> {
    row: &'a TracedRow,
    values: &'a Values,
    shown: HashSet<usize>,
    text: String,
}

impl<'a> Tree<'a> {
    fn new(row: &'a TracedRow, values: &'a Values) -> Self {
        Self { row, values, shown: HashSet::new(), text: String::new() }
    }

    fn text(mut self, node: &str, run: &str) -> String {
        let tags = named_values(&self.row.tags);
        let _ = writeln!(self.text, "row {} of node \"{node}\", run {run}  {tags}", self.row.number);
        let records: Vec<String> = self.row.records.iter().map(record).collect();
        self.line("", self.row.columns.is_empty(), &format!("from {}", records.join(", ")));
        let last = self.row.columns.len().saturating_sub(1);
        for (at, (name, from)) in self.row.columns.iter().enumerate() {
            let value = self.row.values.get(name).map(short).unwrap_or_default();
            self.value("", at == last, &format!("{name} = {value}"), from);
        }
        self.text.push('\n');
        self.text
    }

    fn line(&mut self, indent: &str, last: bool, text: &str) {
        let branch = if last { "\u{2514}\u{2500} " } else { "\u{251c}\u{2500} " };
        let _ = writeln!(self.text, "{indent}{branch}{text}");
    }

    fn value(&mut self, indent: &str, last: bool, what: &str, from: &Lineage) {
        let below = format!("{indent}{}", if last { "   " } else { "\u{2502}  " });
        match from {
            Lineage::Nothing => self.line(indent, last, &format!("{what}  (no origin)")),
            Lineage::Record { .. } => self.line(indent, last, &format!("{what}  \u{2190} {}", record(from))),
            Lineage::Value { source, record, column } => {
                let now = self.now(source, record, column, what.contains(" = "));
                self.line(indent, last, &format!("{what}  \u{2190} {source}::{record}::{column}{now}"));
            }
            Lineage::More { more } => self.line(indent, last, &format!("{what}  and {more} more")),
            Lineage::List(items) => {
                self.line(indent, last, &format!("{what}  \u{2190} {} items", items.len()));
                let shown = items.len().min(MOST_ITEMS);
                for (at, item) in items.iter().take(shown).enumerate() {
                    self.value(&below, at + 1 == items.len(), &format!("[{at}]"), item);
                }
                if items.len() > shown {
                    self.line(&below, true, &format!("and {} more", items.len() - shown));
                }
            }
            Lineage::Output { call, output } => {
                let name = call_text(self.row.calls.at(*call, "call"));
                let again = if self.shown.insert(*call) { "" } else { ", as above" };
                self.line(indent, last, &format!("{what}  \u{2190} {output} of {name}{again}"));
                if again.is_empty() {
                    self.inputs(&below, *call);
                }
            }
        }
    }

    fn inputs(&mut self, indent: &str, call: usize) {
        let found = self.row.calls.at(call, "call");
        // Each level is three columns wide.
        if indent.chars().count() > 3 * MOST_DEPTH {
            return self.line(indent, true, "further calls above, which --format json shows");
        }
        let Some(inputs) = &found.inputs else {
            return self.line(indent, true, "what it took is not recorded");
        };
        for (at, (name, from)) in inputs.iter().enumerate() {
            let known = match from {
                Lineage::Output { call, output } => self.row.calls.at(*call, "call").outputs.get(output),
                Lineage::Value { source, record, column } => self.same(source, record, column),
                _ => None,
            };
            let what = known.map_or_else(|| name.clone(), |value| format!("{name} = {}", short(value)));
            self.value(indent, at + 1 == inputs.len(), &what, from);
        }
    }

    /// Returns a source value that has not changed since a call took it.
    fn same(&self, source: &str, record: &str, column: &str) -> Option<&'a Value> {
        let found = self.found(source, record, column)?;
        found.value.as_ref().filter(|_| found.state == SourceState::Same)
    }

    fn found(&self, source: &str, record: &str, column: &str) -> Option<&'a SourceValue> {
        self.values.get(&(source.to_owned(), record.to_owned(), column.to_owned()))
    }

    /// Describes the present state of a source value; a value that is not shown yet is part of it.
    fn now(&self, source: &str, record: &str, column: &str, shown: bool) -> String {
        let Some(found) = self.found(source, record, column) else { return String::new() };
        let value = found.value.as_ref().unwrap_or(&Value::Null);
        match found.state {
            SourceState::Same | SourceState::Readable if shown => String::new(),
            SourceState::Same | SourceState::Readable => format!(" = {}", short(value)),
            SourceState::Changed => format!("  changed since, now {}", short(value)),
            SourceState::MaybeChanged => {
                format!(" = {}  (this packet has changed since)", short(value))
            }
            SourceState::Gone => "  no longer in the source".to_owned(),
            SourceState::Unreadable => "  the source cannot be read".to_owned(),
        }
    }
}

fn record(from: &Lineage) -> String {
    match from {
        Lineage::Record { source, record } => format!("{source}::{record}"),
        Lineage::List(items) => {
            let shown: Vec<String> = items.iter().take(MOST_ITEMS).map(record).collect();
            let more = items.len().saturating_sub(MOST_ITEMS);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("[{}{rest}]", shown.join(", "))
        }
        Lineage::More { more } => format!("{more} more"),
        _ => "nothing".to_owned(),
    }
}

fn call_text(call: &Call) -> String {
    let mut text = format!("{} {}, key {}", call.function, call.fingerprint, call.key);
    if let (Some(node), Some(row), Some(at)) = (&call.node, call.row, call.recorded_ms) {
        let at = format_time(at, "%Y-%m-%d %H:%M:%S");
        let _ = write!(text, " (row {row} of node \"{node}\", recorded {at} UTC)");
    }
    text
}
