//! Long-lived programs that speak JSON lines or Arrow.

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use super::file_stamp::FileStamp;
use super::ipc::{BatchReader, Batches, IpcError};
use super::json_lines::JsonLinesWorker;
use super::pipes::{Input, OutputPipe};
use super::process::{Process, Program};
use super::process_group::ProcessGroup;
use super::values::{Wanted, handed_batch, outputs_of};
use super::{Answer, CallError, Request, WorkerConnection, WorkerSpawner, no_thread};
use crate::call::Author;
use crate::call::{Failure, FailureKind};

/// Bytes that a killed program may have left in its pipe, and in the buffer behind it.
const MOST_LEFT: usize = 2 << 20;
/// Maximum time for which a program may go on writing after a wrong answer.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Maximum additional time for a program that answers without ids to end: what it is at may show that it
/// has been behind for long.
const MOST_PATIENCE: Duration = Duration::from_secs(30);

/// Format of a program's input and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommandWire {
    /// A JSON object a line in, a JSON object a line out.
    #[default]
    JsonLines,
    /// An Arrow stream in, an Arrow stream out, batch by batch.
    Arrow,
}

impl CommandWire {
    /// Remedy for a program whose answers are not trusted.
    fn remedy(self) -> &'static str {
        match self {
            Self::JsonLines => {
                "write one line for each line read and everything else to standard error, and put the \"$id\" of the line into its answer"
            }
            Self::Arrow => "write one record batch for each one read, and everything else to standard error",
        }
    }
}

/// A long-lived program.
#[derive(Debug)]
pub(crate) struct CommandSpawner {
    pub(crate) program: Program,
    pub(crate) wire: CommandWire,
    pub(crate) takes: Vec<String>,
    pub(crate) wanted: Wanted,
    pub(crate) stamps: Arc<[FileStamp]>,
}

impl WorkerSpawner for CommandSpawner {
    fn spawn(&self, group: &Arc<ProcessGroup>) -> Result<Box<dyn WorkerConnection>, Failure> {
        let unchanged = self.stamps.iter().try_for_each(FileStamp::check);
        unchanged.map_err(|changed| Failure::new(FailureKind::NoWorker, changed))?;
        let mut process = self.program.start(group)?;
        let missing = || Failure::new(FailureKind::NoWorker, "it has no pipes");
        let stdin = process.stdin.take().ok_or_else(missing)?;
        let stdout = process.stdout.take().ok_or_else(missing)?;
        let program = self.program.path.display().to_string();
        let end = End {
            writer: Some(StdinWriter::new(stdin)?),
            output: BufReader::with_capacity(64 << 10, stdout),
            process,
            wanted: self.wanted.clone(),
            wire: self.wire,
            author: Arc::new(Author::new(program, self.wire.remedy())),
            unanswered: 0,
            proven: false,
            longest: Duration::ZERO,
        };
        let takes = self.takes.clone();
        Ok(match self.wire {
            CommandWire::JsonLines => Box::new(JsonLinesWorker::new(end, takes)),
            CommandWire::Arrow => {
                Box::new(Arrow { end, takes, batches: None, reader: BatchReader::default() })
            }
        })
    }
}

/// Writes on a thread of its own, since a program may answer before it has read everything.
#[derive(Debug)]
struct StdinWriter(SyncSender<Vec<u8>>);

impl StdinWriter {
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
        begun.map_err(|error| no_thread("worker stdin", &error))?;
        Ok(Self(sender))
    }
}

/// State that both wire formats have in common.
///
/// A program that gives no ids back may never have written more than it was asked for: whenever it turns out to have,
/// at a further request or at its end, all its answers are in doubt.
pub(super) struct End {
    pub(super) process: Process,
    writer: Option<StdinWriter>,
    pub(super) output: BufReader<OutputPipe>,
    pub(super) wanted: Wanted,
    wire: CommandWire,
    pub(super) author: Arc<Author>,
    /// Lines or batches that were sent and whose answers were not read.
    pub(super) unanswered: u64,
    /// True if each answer has named its packet.
    pub(super) proven: bool,
    /// Longest time of a request.
    longest: Duration,
}

impl End {
    /// Sends lines or batches, as many as `count`, which have to be answered.
    pub(super) fn send(&mut self, bytes: Vec<u8>, count: u64, mark: u64) -> Result<(), CallError> {
        self.unanswered += count;
        let sent = self.writer.as_ref().is_some_and(|writer| writer.0.send(bytes).is_ok());
        if sent { Ok(()) } else { Err(self.died(mark)) }
    }

    /// Takes note of what a request took.
    pub(super) fn took(&mut self, time: Duration) {
        self.longest = self.longest.max(time);
    }

    /// True if the program has written output that was not read.
    fn has_more(&self) -> bool {
        !self.output.buffer().is_empty()
            || rustix::io::ioctl_fionread(self.output.get_ref()).is_ok_and(|count| count > 0)
    }

    /// Between requests there is nothing to be read.
    pub(super) fn expect_silence(&mut self, mark: u64) -> Result<(), CallError> {
        if self.has_more() { Err(self.astray("more output than packets", mark)) } else { Ok(()) }
    }

    /// The program is gone, or as good as gone.
    pub(super) fn died(&mut self, mark: u64) -> CallError {
        let failure = self.process.died(mark);
        self.lost(failure, mark)
    }

    /// An answer is none.
    ///
    /// It may be that a line too many has come before. So the program is let end, which shows it.
    pub(super) fn bad(&mut self, text: String, mark: u64) -> CallError {
        if self.writes_too_much_until_its_end(Instant::now() + LAST_WORDS) {
            return self.astray("more output than packets", mark);
        }
        let failure = self.process.lost(FailureKind::BadWorkerAnswer, text, mark);
        self.lost(failure, mark)
    }

    fn lost(&mut self, failure: Failure, mark: u64) -> CallError {
        self.process.kill();
        if self.has_written_too_much() {
            self.astray("more output than packets", mark)
        } else {
            CallError::Lost(failure)
        }
    }

    /// The program has written something that is not the answer to its request.
    pub(super) fn astray(&mut self, found: &'static str, mark: u64) -> CallError {
        if self.proven {
            let text = format!("found {found}; {}", self.wire.remedy());
            return CallError::Lost(self.process.lost(FailureKind::BadWorkerAnswer, text, mark));
        }
        CallError::Stray(self.stray(found, mark))
    }

    fn stray(&mut self, found: &'static str, mark: u64) -> Failure {
        let stray = self.author.doubt(found);
        let failure = self.process.lost(FailureKind::BadWorkerAnswer, String::new(), mark);
        Failure { cause: Box::new(stray), ..failure }
    }

    /// Reads what there is without waiting: whether it is more than what is unanswered.
    fn has_written_too_much(&mut self) -> bool {
        let (mut found, mut read, mut begun) = (0, 0, false);
        while self.has_more() && read < MOST_LEFT {
            let Ok(bytes) = self.output.fill_buf() else { break };
            if bytes.is_empty() {
                break;
            }
            match self.wire {
                CommandWire::JsonLines => {
                    found += bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
                    begun = !bytes.ends_with(b"\n");
                }
                // The end of a stream has no other bytes.
                CommandWire::Arrow => begun |= bytes.iter().any(|byte| !matches!(byte, 0 | 0xff)),
            }
            let count = bytes.len();
            read += count;
            self.output.consume(count);
            if found + u64::from(begun) > self.unanswered {
                return !self.proven;
            }
        }
        self.unanswered = self.unanswered.saturating_sub(found);
        false
    }

    /// Closes its input, and waits for what it still writes: whether that is more than what is unanswered.
    fn writes_too_much_until_its_end(&mut self, until: Instant) -> bool {
        self.writer = None;
        if self.proven {
            return false;
        }
        let until = until + (self.longest * 2).min(MOST_PATIENCE);
        loop {
            if self.has_written_too_much() {
                return true;
            }
            // With nothing to be read, a pipe that is ready has ended.
            if !self.output.get_ref().wait(until).unwrap_or(false) || !self.has_more() {
                return false;
            }
        }
    }

    /// Returns failures what the program printed meanwhile.
    pub(super) fn with_log(&self, mut answer: Answer, mark: u64) -> Answer {
        if !answer.computed.failures.is_empty() {
            let log = self.process.log(mark);
            answer.computed.failures.iter_mut().for_each(|(_, failure)| failure.log.clone_from(&log));
        }
        answer
    }

    pub(super) fn close(&mut self, until: Instant) -> Option<Failure> {
        let stray = self.writes_too_much_until_its_end(until);
        if !stray {
            self.process.close(until);
            self.process.kill();
        }
        let stray = stray || self.has_written_too_much();
        stray.then(|| self.stray("more output than packets when it had ended", 0))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.process.kill();
        if self.has_written_too_much() {
            self.author.doubt("more output than packets when it was ended");
        }
        self.author.end();
    }
}

pub(super) fn not_passed(error: arrow::error::ArrowError) -> CallError {
    CallError::Refused(Failure::new(FailureKind::NotPassed, error))
}

/// Record batches.
struct Arrow {
    end: End,
    takes: Vec<String>,
    batches: Option<Batches>,
    reader: BatchReader,
}

impl Arrow {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, CallError> {
        let batches = match &mut self.batches {
            Some(batches) => batches,
            None => self.batches.insert(Batches::new(&batch.schema()).map_err(not_passed)?),
        };
        batches.batch(batch).map_err(not_passed)
    }
}

impl WorkerConnection for Arrow {
    fn exchange(&mut self, request: &Request) -> Result<Answer, CallError> {
        let (mark, begun) = (self.end.process.mark(), Instant::now());
        self.end.expect_silence(mark)?;
        let batch = handed_batch(&self.takes, &request.columns, request.rows, false).map_err(not_passed)?;
        let bytes = self.encode(&batch)?;
        self.end.send(bytes, 1, mark)?;
        let answered = match self.reader.next(&mut self.end.output) {
            Ok(answered) => answered,
            Err(IpcError::Ended) => return Err(self.end.died(mark)),
            Err(error) => return Err(self.end.bad(error.to_string(), mark)),
        };
        self.end.unanswered -= 1;
        let answer = outputs_of(&answered, &self.end.wanted, request.rows);
        let mut answer = answer.map_err(|text| self.end.bad(text, mark))?;
        self.end.expect_silence(mark)?;
        self.end.took(begun.elapsed());
        answer.computed.author = Some(Arc::clone(&self.end.author));
        Ok(self.end.with_log(answer, mark))
    }

    fn close(&mut self, until: Instant) -> Option<Failure> {
        if let (Some(batches), Some(writer)) = (&mut self.batches, &self.end.writer) {
            // The program may have gone already.
            let _ = writer.0.try_send(batches.end());
        }
        self.end.close(until)
    }
}
