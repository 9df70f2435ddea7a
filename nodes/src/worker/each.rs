//! Programs that are called once for each packet.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use anabranch_engine::index::At as _;
use arrow::array::{ArrayRef, new_null_array};

use super::call_folder::{CallFolder, call_leftovers};
use super::file_stamp::FileStamp;
use super::lines::{RowAnswer, gather, row_answer};
use super::process::{Program, ended};
use super::process_group::ProcessGroup;
use super::stderr::Printed;
use super::values::{Wanted, value_of_file};
use super::{Answer, CallError, Request, WorkerConnection, WorkerSpawner, no_thread};
use crate::call::{Computed, Failure, FailureKind};
use crate::leftovers;
use crate::source::text::TextForm;

/// Bytes of standard output or of an output file at most.
const OUTPUT_BYTES: u64 = 1 << 30;
/// Maximum wait for output that outlives its program.
const LEFT_OPEN: Duration = Duration::from_millis(200);

/// A piece of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArgumentPart {
    Text(String),
    /// The value of a taken column.
    Column(usize),
    /// The path of the file for an output.
    Output(usize),
}

/// A program called for each packet.
#[derive(Debug, Clone)]
pub(crate) struct EachSpawner {
    /// Its arguments are made of `arguments`; its folder is the call's.
    pub(crate) program: Program,
    pub(crate) arguments: Vec<Vec<ArgumentPart>>,
    pub(crate) takes: Vec<String>,
    pub(crate) wanted: Wanted,
    pub(crate) stamps: Arc<[FileStamp]>,
    /// True if the folders that killed processes have left were removed.
    pub(crate) swept: Arc<Once>,
}

impl WorkerSpawner for EachSpawner {
    fn spawn(&self, group: &Arc<ProcessGroup>) -> Result<Box<dyn WorkerConnection>, Failure> {
        let unchanged = self.stamps.iter().try_for_each(FileStamp::check);
        unchanged.map_err(|changed| Failure::new(FailureKind::NoWorker, changed))?;
        self.swept.call_once(|| call_leftovers().iter().for_each(|path| leftovers::remove(path)));
        Ok(Box::new(Each { spawner: self.clone(), group: Arc::clone(group) }))
    }

    fn most_packets(&self) -> usize {
        1
    }
}

struct Each {
    spawner: EachSpawner,
    group: Arc<ProcessGroup>,
}

impl WorkerConnection for Each {
    fn exchange(&mut self, request: &Request) -> Result<Answer, CallError> {
        let failed = |failure| {
            let computed = Computed::failed(&self.spawner.wanted.types, failure);
            Answer { computed, retire: false }
        };
        Ok(self.call(&request.columns).unwrap_or_else(failed))
    }

    fn close(&mut self, _: Instant) -> Option<Failure> {
        None
    }
}

impl Each {
    fn call(&self, columns: &[ArrayRef]) -> Result<Answer, Failure> {
        let folder = CallFolder::make().map_err(|error| Failure::new(FailureKind::NoWorker, error))?;
        let arguments = self.arguments(columns, folder.path())?;
        let (stdout, printed) = self.run(arguments, folder.path())?;
        let answer = self.answer(&stdout, folder.path());
        answer.map_err(|text| Failure { log: printed.since(0), ..Failure::new(FailureKind::BadAnswer, text) })
    }

    fn arguments(&self, columns: &[ArrayRef], folder: &Path) -> Result<Vec<OsString>, Failure> {
        let mut arguments = Vec::with_capacity(self.spawner.arguments.len());
        for parts in &self.spawner.arguments {
            let mut argument = OsString::new();
            for part in parts {
                match part {
                    ArgumentPart::Text(text) => argument.push(text),
                    ArgumentPart::Column(at) => argument.push(self.value(columns, *at)?),
                    ArgumentPart::Output(at) => argument.push(self.output_path(folder, *at)),
                }
            }
            arguments.push(argument);
        }
        Ok(arguments)
    }

    fn value(&self, columns: &[ArrayRef], at: usize) -> Result<String, Failure> {
        let name = self.spawner.takes.at(at, TAKEN);
        let mut text = String::new();
        let form = TextForm::of(&**columns.at(at, TAKEN));
        if !form.is_some_and(|form| form.write(0, &mut text)) {
            let text = format!("column \"{name}\" is null, expected a value, since no argument can say null");
            return Err(Failure::new(FailureKind::NotPassed, text));
        }
        if text.contains('\0') {
            let text = format!("column \"{name}\" has a zero byte, which no argument can have");
            return Err(Failure::new(FailureKind::NotPassed, text));
        }
        Ok(text)
    }

    fn output_path(&self, folder: &Path, at: usize) -> PathBuf {
        let name = self.spawner.wanted.names.at(at, WANTED);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !name.is_empty() && name.chars().all(plain) {
            folder.join(name)
        } else {
            folder.join(format!("out_{at}"))
        }
    }

    /// Runs the program to its end; gives what it wrote.
    fn run(&self, arguments: Vec<OsString>, folder: &Path) -> Result<(Vec<u8>, Arc<Printed>), Failure> {
        let program = Program { arguments, folder: folder.to_owned(), ..self.spawner.program.clone() };
        let mut command = program.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let no_start = |error: std::io::Error| {
            Failure::new(FailureKind::NoWorker, format!("{} did not start: {error}", program.path.display()))
        };
        let mut child = self.group.spawn(&mut command).map_err(no_start)?;
        let followed = child.stderr.take().map(Printed::follow).zip(child.stdout.take().map(read_all));
        let (printed, output) = match followed {
            Some((Ok(printed), Ok(output))) => (printed, output),
            failed => {
                self.group.restart();
                let _ = child.wait();
                return Err(match failed {
                    Some((Err(error), _) | (_, Err(error))) => no_thread("worker output", &error),
                    _ => Failure::new(FailureKind::NoWorker, "it has no pipes"),
                });
            }
        };
        let status = child.wait().map_err(no_start)?;
        let output = output.recv_timeout(LEFT_OPEN).or_else(|_| {
            // Something that it started holds the pipe open.
            self.group.restart();
            output.recv_timeout(LEFT_OPEN)
        });
        let fail = |kind, text: String| {
            printed.settle();
            Failure { log: printed.since(0), ..Failure::new(kind, text) }
        };
        if !status.success() {
            return Err(fail(FailureKind::Failed, ended(status)));
        }
        let output = output.ok().flatten();
        let output = output
            .ok_or_else(|| fail(FailureKind::BadAnswer, "found output of more than 1 GiB".to_owned()))?;
        Ok((output, printed))
    }

    /// The outputs: files, and JSON for the others.
    fn answer(&self, stdout: &[u8], folder: &Path) -> Result<Answer, String> {
        let wanted = &self.spawner.wanted;
        let is_file =
            |at: usize| self.spawner.arguments.iter().flatten().any(|p| *p == ArgumentPart::Output(at));
        let (files, others): (Vec<usize>, Vec<usize>) = (0..wanted.names.len()).partition(|at| is_file(*at));
        let pick = |from: &[usize]| Wanted {
            names: from.iter().map(|at| wanted.names.at(*at, WANTED).clone()).collect(),
            types: from.iter().map(|at| wanted.types.at(*at, WANTED).clone()).collect(),
        };
        let mut values: Vec<Option<ArrayRef>> = vec![None; wanted.names.len()];
        let computed = Computed { emitted: vec![true], ..Computed::default() };
        let mut answer = Answer { computed, retire: false };
        if !others.is_empty() {
            let others_wanted = pick(&others);
            let row =
                row_answer(stdout, &others_wanted).map_err(|text| format!("standard output: {text}"))?;
            let given = matches!(row, RowAnswer::Given(_));
            answer = gather(&others_wanted, vec![row]);
            if !given || !answer.computed.failures.is_empty() {
                answer.computed.values = wanted.types.iter().map(|t| new_null_array(t, 1)).collect();
                return Ok(answer);
            }
            for (at, value) in others.iter().zip(std::mem::take(&mut answer.computed.values)) {
                *values.at_mut(*at, WANTED) = Some(value);
            }
        }
        for at in files {
            let name = wanted.names.at(at, WANTED);
            let expected = wanted.types.at(at, WANTED);
            let value =
                read_file(&self.output_path(folder, at)).and_then(|bytes| value_of_file(bytes, expected));
            let value = value.map_err(|text| format!("output \"{name}\": {text}"))?;
            *values.at_mut(at, WANTED) = Some(value);
        }
        let whole = |value: Option<ArrayRef>| {
            value.unwrap_or_else(|| panic!("each output is a file or in the standard output"))
        };
        answer.computed.values = values.into_iter().map(whole).collect();
        Ok(answer)
    }
}

/// Invariants of arguments.
const TAKEN: &str = "an argument names a taken column";
const WANTED: &str = "an argument names an output";

/// Reads a pipe on a thread of its own: all of it, or none if it is too much.
fn read_all(pipe: ChildStdout) -> std::io::Result<Receiver<Option<Vec<u8>>>> {
    let (sender, output) = sync_channel(1);
    let thread = std::thread::Builder::new().name("worker stdout".to_owned());
    thread.spawn(move || {
        let mut bytes = Vec::new();
        let mut pipe = pipe;
        let read = pipe.by_ref().take(OUTPUT_BYTES).read_to_end(&mut bytes);
        let whole = read.is_ok() && (bytes.len() as u64) < OUTPUT_BYTES;
        // Nobody may be waiting any more.
        let _ = sender.send(whole.then_some(bytes));
        // Whoever writes on must not be stopped by that.
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    })?;
    Ok(output)
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let missing =
        |_| "found no file at the path that was given, expected one when the program ends".to_owned();
    let metadata = path.symlink_metadata().map_err(missing)?;
    if !metadata.is_file() {
        return Err("found something else than a plain file".to_owned());
    }
    if metadata.len() > OUTPUT_BYTES {
        return Err("found a file of more than 1 GiB".to_owned());
    }
    std::fs::read(path).map_err(missing)
}
