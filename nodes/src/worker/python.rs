//! Python functions: the worker that calls them, and its report on itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::frame::{self, FrameError};
use super::ipc;
use super::lines::{RowAnswer, gather, row_answer};
use super::pipes::OutputPipe;
use super::process::{Process, Program};
use super::process_group::ProcessGroup;
use super::values::{Wanted, batch, cut_to_micros, described, handed_batch, outputs_of};
use super::{Answer, CallError, Request, WorkerConnection, WorkerSpawner, no_thread};
use crate::call::{Computed, Failure, FailureKind};
use crate::sink::JsonText;

/// The program of the worker.
const SHIM: &str = concat!(include_str!("project.py"), include_str!("shim.py"));
/// Reads the program from standard input, so that no file is needed: eight digits, then so many bytes.
const BOOT: &str = "\
import os
def take(count):
    data = b''
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            raise SystemExit
        data += more
    return data
exec(compile(take(int(take(8))), '<worker>', 'exec'), {'__name__': '__worker__'})
";
/// Maximum time of an import.
const START: Duration = Duration::from_mins(5);
/// Maximum time for an interpreter that was only inspected to end.
const END: Duration = Duration::from_secs(1);

/// A function in a file.
#[derive(Debug, Clone)]
pub(crate) struct PythonScript {
    pub(crate) interpreter: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) call: String,
    pub(crate) setup: Option<String>,
    pub(crate) chunk: bool,
    pub(crate) strict: bool,
    pub(crate) takes: Wanted,
    pub(crate) wanted: Wanted,
    pub(crate) hidden: Vec<String>,
    /// Keywords that each call gets beside the columns, with their values in JSON.
    pub(crate) constants: Vec<(String, String)>,
    /// Meaning of `None` in place of outputs: `error`, `drop` or `null`.
    pub(crate) none: &'static str,
    /// Modules and packages that earlier runs have seen imported during calls: `module LABEL`, `package NAME`.
    pub(crate) late: Vec<String>,
    /// Files whose content is part of the identity, whatever they are to the code.
    pub(crate) files: Vec<PathBuf>,
}

/// A worker's report on the file that it has imported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Inspected {
    /// Implementation, major and minor version: `cpython 3.11`.
    pub(crate) python: String,
    /// The version in full.
    pub(crate) full: String,
    /// The project's modules by label, with the hash of their bytes; the file among them.
    pub(crate) modules: BTreeMap<String, String>,
    /// The file, or the archive, that each of the modules lies in.
    pub(crate) places: BTreeMap<String, String>,
    /// Versions of packages that were imported.
    pub(crate) packages: BTreeMap<String, String>,
    /// True if it can speak Arrow.
    pub(crate) arrow: bool,
}

/// Why a file is of no use.
#[derive(Debug)]
pub(crate) enum InspectError {
    /// The interpreter did not start or did not become ready.
    Start(String, String),
    /// The file, or its setup, failed.
    Failed { what: String, text: String, log: String },
    /// A function that the file does not have, and those that it has.
    Missing { name: String, names: Vec<String> },
    /// `chunk` without pyarrow.
    NoArrow,
    /// The setup loaded what the fingerprint does not hold.
    Late(LateImports),
}

/// Code that a call loaded although the fingerprint does not hold it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LateImports {
    /// Modules that are not what they were when the pipeline was planned.
    pub(crate) changed: Vec<String>,
    /// Missing parts: `module LABEL`, `package NAME`.
    pub(crate) new: Vec<String>,
}

impl LateImports {
    /// Loaded modules that can be remembered, so that the function is planned with it from then on; nothing
    /// where a module has changed.
    #[must_use]
    pub fn entries(&self) -> &[String] {
        if self.changed.is_empty() { &self.new } else { &[] }
    }

    fn of(value: &Value) -> Self {
        let texts = |key: &str| {
            let texts = value.get(key).and_then(Value::as_array).into_iter().flatten();
            texts.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self { changed: texts("changed"), new: texts("new") }
    }
}

impl std::fmt::Display for LateImports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.changed.is_empty() {
            return write!(
                f,
                "{} has changed since the pipeline was planned; run it again",
                self.changed.join(", ")
            );
        }
        let names: Vec<&str> =
            self.new.iter().map(|entry| entry.strip_prefix("module ").unwrap_or(entry)).collect();
        write!(
            f,
            "{} was loaded during a call, so it is not in the function's identity; import it at the top of the file, or name it under files",
            names.join(", ")
        )
    }
}

impl std::error::Error for LateImports {}

impl PythonScript {
    fn header(&self, begin: bool) -> Value {
        json!({
            "file": self.file.to_string_lossy(),
            "call": self.call,
            "setup": self.setup,
            "chunk": self.chunk,
            "strict": self.strict,
            "takes": described_fields(&self.takes),
            "gives": described_fields(&self.wanted),
            "with": self.constants,
            "none": self.none,
            "late": self.late,
            "files": self.files.iter().map(|file| file.to_string_lossy()).collect::<Vec<_>>(),
            "begin": begin,
        })
    }

    fn program(&self) -> Program {
        Program {
            path: self.interpreter.clone(),
            arguments: vec![OsString::from("-c"), OsString::from(BOOT)],
            folder: self.file.parent().unwrap_or(Path::new("/")).to_owned(),
            hidden: self.hidden.clone(),
        }
    }

    /// Starts an interpreter that imports the file; to be called, or only to be looked at.
    fn start(
        &self,
        group: &Arc<ProcessGroup>,
        begin: bool,
    ) -> Result<(PythonWorker, Inspected), InspectError> {
        let not_started = |failure: Failure| InspectError::Start(failure.cause.to_string(), failure.log);
        let mut process = self.program().start(group).map_err(not_started)?;
        let stdout = process.stdout.take();
        let stdout =
            stdout.ok_or_else(|| InspectError::Start("it has no pipes".to_owned(), String::new()))?;
        let mut output = BufReader::with_capacity(64 << 10, stdout);
        let mut hello = format!("{:08}{SHIM}", SHIM.len()).into_bytes();
        hello.extend(frame::encode(&self.header(begin), &[]));
        let answer = match process.write(&hello) {
            Ok(()) => frame::read(&mut output),
            Err(_) => Err(FrameError::Ended),
        };
        match answer {
            Ok((header, _)) => {
                let inspected = inspected(&header)?;
                let process_id = header.get("process").and_then(Value::as_u64).unwrap_or_default();
                let (script, arrow) = (self.clone(), inspected.arrow);
                Ok((PythonWorker { process, output, script, arrow, process_id, requests: 0 }, inspected))
            }
            Err(FrameError::Ended) => Err(not_started(process.died(0))),
            Err(FrameError::Bad(what)) => Err(not_started(process.lost(
                FailureKind::NoWorker,
                format!("found {what}, expected its answer"),
                0,
            ))),
        }
    }

    /// Imports the file in a process of its own, which ends then, and returns its report.
    ///
    /// It blocks, for as long as the import takes and five minutes at most.
    pub(crate) fn inspect(&self) -> Result<Inspected, InspectError> {
        let group = Arc::new(ProcessGroup::default());
        let (sender, answer) = sync_channel(1);
        let (script, held) = (self.clone(), Arc::clone(&group));
        let thread = std::thread::Builder::new().name("worker".to_owned());
        let begun = thread.spawn(move || {
            let inspected = script.start(&held, false).map(|(mut python, inspected)| {
                // What the file has asked to be done at the end is done here as well.
                python.process.close(Instant::now() + END);
                inspected
            });
            // Whoever asked may have given up.
            let _ = sender.send(inspected);
        });
        let no_thread =
            |error| InspectError::Start(no_thread("worker", &error).cause.to_string(), String::new());
        begun.map_err(no_thread)?;
        let answer = answer.recv_timeout(START);
        group.kill();
        let late = || InspectError::Start(format!("it was not ready after {START:?}"), String::new());
        answer.unwrap_or_else(|_| Err(late()))
    }
}

fn described_fields(fields: &Wanted) -> Vec<Value> {
    fields.iter().map(|(name, data_type)| json!([name, described(data_type)])).collect()
}

fn texts(header: &Value, key: &str) -> BTreeMap<String, String> {
    let entries = header.get(key).and_then(Value::as_object).into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn text(header: &Value, key: &str) -> String {
    header.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn inspected(header: &Value) -> Result<Inspected, InspectError> {
    if header.get("failed").is_some() {
        let (what, text, log) = (text(header, "failed"), text(header, "text"), text(header, "log"));
        return Err(InspectError::Failed { what, text, log });
    }
    if header.get("missing").is_some() {
        let names = header.get("names").and_then(Value::as_array).into_iter().flatten();
        let names = names.filter_map(Value::as_str).map(str::to_owned).collect();
        return Err(InspectError::Missing { name: text(header, "missing"), names });
    }
    if let Some(late) = header.get("late") {
        return Err(InspectError::Late(LateImports::of(late)));
    }
    if header.get("no_arrow").is_some() {
        return Err(InspectError::NoArrow);
    }
    Ok(Inspected {
        python: text(header, "python"),
        full: text(header, "full"),
        modules: texts(header, "modules"),
        places: texts(header, "places"),
        packages: texts(header, "packages"),
        arrow: header.get("arrow").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// Starts workers of a Python function, which have to report the same modules as the one that was inspected at plan time.
#[derive(Debug)]
pub(crate) struct PythonSpawner {
    pub(crate) script: PythonScript,
    pub(crate) planned: Arc<Inspected>,
}

impl WorkerSpawner for PythonSpawner {
    fn spawn(&self, group: &Arc<ProcessGroup>) -> Result<Box<dyn WorkerConnection>, Failure> {
        let (python, found) = self.script.start(group, true).map_err(no_start)?;
        let differs = |what: &str| {
            let text = format!("{what} since the pipeline was planned; run it again");
            Err(Failure::new(FailureKind::NoWorker, text))
        };
        if found.modules != self.planned.modules {
            let all = self.planned.modules.keys().chain(found.modules.keys());
            let mut changed = all.filter(|m| found.modules.get(*m) != self.planned.modules.get(*m));
            return differs(&format!("{} has changed", changed.next().map_or("", String::as_str)));
        }
        if found.python != self.planned.python {
            return differs(&format!("the interpreter became {}", found.python));
        }
        if self.script.strict && (found.packages != self.planned.packages || found.full != self.planned.full)
        {
            return differs("the interpreter's packages have changed");
        }
        Ok(Box::new(python))
    }

    fn start_timeout(&self) -> Duration {
        START
    }
}

fn no_start(error: InspectError) -> Failure {
    let (text, log) = match error {
        InspectError::Late(late) => return Failure::new(FailureKind::LateImport, late),
        InspectError::Start(text, log) => (text, log),
        InspectError::Failed { what, text, log } => (format!("{what}: {text}"), log),
        InspectError::Missing { name, .. } => (format!("the file has no function \"{name}\""), String::new()),
        InspectError::NoArrow => ("the interpreter has no pyarrow".to_owned(), String::new()),
    };
    Failure { log, ..Failure::new(FailureKind::NoWorker, text) }
}

/// An interpreter that has imported the file.
struct PythonWorker {
    process: Process,
    output: BufReader<OutputPipe>,
    script: PythonScript,
    arrow: bool,
    /// The number that it has reported as its own; a child that a call has forked has another.
    process_id: u64,
    /// Requests so far.
    requests: u64,
}

impl PythonWorker {
    fn encode(&self, request: &Request) -> Result<Vec<u8>, CallError> {
        let wrong = |error| CallError::Refused(Failure::new(FailureKind::NotPassed, error));
        let names = &self.script.takes.names;
        if self.arrow {
            let micros = !self.script.chunk;
            let batch = handed_batch(names, &request.columns, request.rows, micros).map_err(wrong)?;
            return ipc::whole(&batch).map_err(wrong);
        }
        let columns = cut_to_micros(&request.columns).map_err(wrong)?;
        let batch = batch(names, columns, request.rows).map_err(wrong)?;
        Ok(JsonText::with_all_floats(&batch.schema()).rows(&batch).to_vec())
    }

    /// An answer is none.
    fn bad(&mut self, text: String, mark: u64) -> CallError {
        CallError::Lost(self.process.lost(FailureKind::BadWorkerAnswer, text, mark))
    }

    /// The answer is to the last request, by the process that it was sent to.
    fn is_answer(&self, header: &Value) -> bool {
        let number = |key| header.get(key).and_then(Value::as_u64);
        number("number") == Some(self.requests) && number("process") == Some(self.process_id)
    }

    fn decode(&self, header: &Value, body: Vec<u8>, asked: usize) -> Result<Computed, String> {
        let rows = header.get("rows").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let rows = rows.filter(|rows| (1..=asked).contains(rows) && (!self.script.chunk || *rows == asked));
        let rows =
            rows.ok_or_else(|| format!("found another number of rows, expected {asked}, one per packet"))?;
        let mut computed = if self.arrow {
            let batch = ipc::only_batch(body).map_err(|error| error.to_string())?;
            outputs_of(&batch, &self.script.wanted, rows)?.computed
        } else {
            let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
            if lines.len() != rows {
                return Err(format!("found {} lines, expected {rows}", lines.len()));
            }
            let rows: Result<Vec<RowAnswer>, String> =
                lines.into_iter().map(|line| row_answer(line, &self.script.wanted)).collect();
            gather(&self.script.wanted, rows?).computed
        };
        let reported = header.get("failures").and_then(Value::as_array).into_iter().flatten();
        for failure in reported.filter_map(Value::as_array) {
            let at = failure.first().and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
            let at = at.filter(|at| *at < rows).ok_or("found a failure of no packet")?;
            let text = |at: usize| failure.get(at).and_then(Value::as_str).unwrap_or_default();
            let what = failure.get(2).unwrap_or(&Value::Null);
            computed.failures.push((at, reported_failure(text(1), what, text(3))));
        }
        computed.failures.sort_by_key(|(at, _)| *at);
        Ok(computed)
    }
}

/// A failure that the worker reports.
fn reported_failure(kind: &str, what: &Value, log: &str) -> Failure {
    let text = || what.as_str().unwrap_or_default();
    let failure = match kind {
        "failed" => Failure::new(FailureKind::Failed, text()),
        "passed" => Failure::new(FailureKind::NotPassed, text()),
        "late" => Failure::new(FailureKind::LateImport, LateImports::of(what)),
        _ => Failure::new(FailureKind::BadAnswer, text()),
    };
    Failure { log: log.to_owned(), ..failure }
}

impl WorkerConnection for PythonWorker {
    fn exchange(&mut self, request: &Request) -> Result<Answer, CallError> {
        let mark = self.process.mark();
        let body = self.encode(request)?;
        self.requests += 1;
        let asked = json!({ "number": self.requests });
        let answer = match self.process.write(&frame::encode(&asked, &body)) {
            Ok(()) => frame::read(&mut self.output),
            Err(_) => Err(FrameError::Ended),
        };
        let (header, body) = match answer {
            Ok((header, _)) if !self.is_answer(&header) => {
                let text = "found the answer to another request, or of another process, expected its own";
                return Err(self.bad(text.to_owned(), mark));
            }
            Ok(answer) => answer,
            Err(FrameError::Ended) => return Err(CallError::Lost(self.process.died(mark))),
            Err(FrameError::Bad(what)) => {
                return Err(self.bad(format!("found {what}, expected its answer"), mark));
            }
        };
        let retire = header.get("retire").and_then(Value::as_bool).unwrap_or(false);
        if let Some(kind) = header.get("refused").and_then(Value::as_str) {
            let what = header.get("text").unwrap_or(&Value::Null);
            let mut failure = reported_failure(kind, what, &text(&header, "log"));
            add_printed(&mut failure, &self.process.log(mark));
            return Err(if retire { CallError::Lost(failure) } else { CallError::Refused(failure) });
        }
        let decoded = self.decode(&header, body, request.rows);
        let mut computed = decoded.map_err(|text| {
            // What a chunk gives is the user's, not the worker's.
            if self.script.chunk {
                CallError::Refused(Failure::new(FailureKind::BadAnswer, text))
            } else {
                self.bad(text, mark)
            }
        })?;
        if !computed.failures.is_empty() {
            let printed = self.process.log(mark);
            computed.failures.iter_mut().for_each(|(_, failure)| add_printed(failure, &printed));
        }
        Ok(Answer { computed, retire })
    }

    fn close(&mut self, until: Instant) -> Option<Failure> {
        self.process.close(until);
        None
    }
}

fn add_printed(failure: &mut Failure, printed: &str) {
    if !printed.is_empty() {
        let separator = if failure.log.is_empty() { "" } else { "\n" };
        failure.log = format!("{}{separator}printed meanwhile:\n{printed}", failure.log);
    }
}
