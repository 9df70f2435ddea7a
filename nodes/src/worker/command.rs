//! Long-lived programs that speak JSON lines or Arrow.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

use arrow::array::RecordBatch;

use super::group::Leash;
use super::ipc::{BatchReader, Batches, IpcError};
use super::lines::{gather, row_answer};
use super::pipes::{Input, Output};
use super::process::{Process, Program};
use super::values::{Wanted, batch, handed_batch, outputs_of};
use super::witness::Witness;
use super::{Answer, BAD_ANSWER, Launch, NO_START, NOT_PASSED, Partner, Request, Trouble};
use crate::function::compute::Failure;
use crate::sink::JsonText;

/// Bytes of a line at most.
const LINE_BYTES: u64 = 1 << 30;

/// What a program reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommandWire {
    /// A JSON object a line in, a JSON object a line out.
    #[default]
    JsonLines,
    /// An Arrow stream in, an Arrow stream out, batch by batch.
    Arrow,
}

/// A long-lived program.
#[derive(Debug)]
pub(crate) struct CommandLaunch {
    pub(crate) program: Program,
    pub(crate) wire: CommandWire,
    pub(crate) takes: Vec<String>,
    pub(crate) wanted: Wanted,
    pub(crate) witnesses: Arc<[Witness]>,
}

impl Launch for CommandLaunch {
    fn launch(&self, leash: &Arc<Leash>) -> Result<Box<dyn Partner>, Failure> {
        let unchanged = self.witnesses.iter().try_for_each(Witness::check);
        unchanged.map_err(|changed| Failure::new(NO_START, changed))?;
        let mut process = self.program.start(leash)?;
        let missing = || Failure::new(NO_START, "it has no pipes");
        let stdin = process.stdin.take().ok_or_else(missing)?;
        let stdout = process.stdout.take().ok_or_else(missing)?;
        let end = End {
            writer: Some(Writer::new(stdin)?),
            output: BufReader::with_capacity(64 << 10, stdout),
            process,
            takes: self.takes.clone(),
            wanted: self.wanted.clone(),
        };
        Ok(match self.wire {
            CommandWire::JsonLines => Box::new(Lines(end)),
            CommandWire::Arrow => Box::new(Arrow { end, batches: None, reader: BatchReader::default() }),
        })
    }
}

/// Writes on a thread of its own, since a program may answer before it has read everything.
#[derive(Debug)]
struct Writer(SyncSender<Vec<u8>>);

impl Writer {
    fn new(mut stdin: Input) -> Result<Self, Failure> {
        let (sender, queue) = sync_channel::<Vec<u8>>(1);
        let thread = std::thread::Builder::new().name("worker stdin".to_owned());
        let begun = thread.spawn(move || {
            // A program that reads no more shows it by its answers.
            while let Ok(bytes) = queue.recv() {
                if stdin.write_all(&bytes).and_then(|()| stdin.flush()).is_err() {
                    break;
                }
            }
        });
        begun.map_err(|error| Failure::new(NO_START, error))?;
        Ok(Self(sender))
    }
}

/// What both ways of speaking have in common.
struct End {
    process: Process,
    writer: Option<Writer>,
    output: BufReader<Output>,
    takes: Vec<String>,
    wanted: Wanted,
}

impl End {
    fn send(&mut self, bytes: Vec<u8>, mark: u64) -> Result<(), Trouble> {
        let sent = self.writer.as_ref().is_some_and(|writer| writer.0.send(bytes).is_ok());
        if sent { Ok(()) } else { Err(Trouble::Lost(self.process.died(mark))) }
    }

    /// Whether the program has written what nobody asked for.
    fn has_more(&self) -> bool {
        !self.output.buffer().is_empty()
            || rustix::io::ioctl_fionread(self.output.get_ref()).is_ok_and(|count| count > 0)
    }

    fn expect_silence(&mut self, mark: u64) -> Result<(), Trouble> {
        if !self.has_more() {
            return Ok(());
        }
        let text = "found more output than packets; write one answer for each packet, and everything else to standard error";
        Err(self.bad(text.to_owned(), mark))
    }

    fn bad(&mut self, text: String, mark: u64) -> Trouble {
        Trouble::Lost(self.process.lost(BAD_ANSWER, text, mark))
    }

    /// Gives failures what the program printed meanwhile.
    fn with_log(&self, mut answer: Answer, mark: u64) -> Answer {
        if !answer.computed.failures.is_empty() {
            let log = self.process.log(mark);
            answer.computed.failures.iter_mut().for_each(|(_, failure)| failure.log.clone_from(&log));
        }
        answer
    }

    fn close(&mut self, until: Instant) {
        self.writer = None;
        self.process.close(until);
    }
}

fn not_passed(error: arrow::error::ArrowError) -> Trouble {
    Trouble::Refused(Failure::new(NOT_PASSED, error))
}

/// One JSON object a line.
struct Lines(End);

impl Lines {
    fn line(&mut self, mark: u64) -> Result<Vec<u8>, Trouble> {
        let mut line = Vec::new();
        let read = self.0.output.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line);
        if read.is_err() || !line.ends_with(b"\n") {
            if line.len() as u64 == LINE_BYTES {
                return Err(self.0.bad("found a line of more than 1 GiB".to_owned(), mark));
            }
            return Err(Trouble::Lost(self.0.process.died(mark)));
        }
        Ok(line)
    }
}

impl Partner for Lines {
    fn exchange(&mut self, request: &Request) -> Result<Answer, Trouble> {
        let mark = self.0.process.mark();
        self.0.expect_silence(mark)?;
        let batch = batch(&self.0.takes, request.columns.clone(), request.rows).map_err(not_passed)?;
        let mut lines = JsonText::new(&batch.schema()).rows(&batch).to_vec();
        if request.rows > 1 {
            // Answers have no numbers. One answer too many or too few among many would give packets
            // the answers of others, so the first packet comes once more, and has to be answered alike.
            let first = lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1);
            lines.extend_from_within(..first);
        }
        self.0.send(lines, mark)?;
        let mut rows = Vec::with_capacity(request.rows);
        let mut first = Vec::new();
        for row in 0..request.rows {
            let line = self.line(mark)?;
            rows.push(row_answer(&line, &self.0.wanted).map_err(|text| self.0.bad(text, mark))?);
            if row == 0 {
                first = line;
            }
        }
        if request.rows > 1 && self.line(mark)? != first {
            let text = "found another answer to the same packet, expected one line for each line, and equal ones for equal packets";
            return Err(self.0.bad(text.to_owned(), mark));
        }
        self.0.expect_silence(mark)?;
        Ok(self.0.with_log(gather(&self.0.wanted, rows), mark))
    }

    fn close(&mut self, until: Instant) {
        self.0.close(until);
    }
}

/// Record batches.
struct Arrow {
    end: End,
    batches: Option<Batches>,
    reader: BatchReader,
}

impl Arrow {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, Trouble> {
        let batches = match &mut self.batches {
            Some(batches) => batches,
            None => self.batches.insert(Batches::new(&batch.schema()).map_err(not_passed)?),
        };
        batches.batch(batch).map_err(not_passed)
    }
}

impl Partner for Arrow {
    fn exchange(&mut self, request: &Request) -> Result<Answer, Trouble> {
        let mark = self.end.process.mark();
        self.end.expect_silence(mark)?;
        let batch =
            handed_batch(&self.end.takes, &request.columns, request.rows, false).map_err(not_passed)?;
        let bytes = self.encode(&batch)?;
        self.end.send(bytes, mark)?;
        let answered = match self.reader.next(&mut self.end.output) {
            Ok(answered) => answered,
            Err(IpcError::Ended) => return Err(Trouble::Lost(self.end.process.died(mark))),
            Err(error) => return Err(self.end.bad(error.to_string(), mark)),
        };
        let answer = outputs_of(&answered, &self.end.wanted, request.rows);
        let answer = answer.map_err(|text| self.end.bad(text, mark))?;
        self.end.expect_silence(mark)?;
        Ok(self.end.with_log(answer, mark))
    }

    fn close(&mut self, until: Instant) {
        if let (Some(batches), Some(writer)) = (&mut self.batches, &self.end.writer) {
            // The program may have gone already.
            let _ = writer.0.try_send(batches.end());
        }
        self.end.close(until);
    }
}
