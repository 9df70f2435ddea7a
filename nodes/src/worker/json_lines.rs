//! Programs that read and write one JSON object a line.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, Read as _};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, UInt64Array};

use super::command::{End, not_passed};
use super::lines::{ID, RowAnswer, Unfit, answer_to, gather};
use super::values::batch;
use super::{Answer, CallError, Request, WorkerConnection};
use crate::call::Failure;
use crate::sink::JsonText;

/// Bytes of a line at most.
const LINE_BYTES: u64 = 1 << 30;
/// Bytes of answers to one request that are kept, unless the first alone has more.
const ANSWER_BYTES: usize = 32 << 20;
/// Bits of a line's number; every JSON library reads numbers of 53 bits exactly.
const ID_BITS: u32 = 52;

/// One JSON object a line, each with a number under [`ID`].
///
/// A program that gives the number back is held to it. Of one that does not, only the order of the lines shows what they
/// answer.
pub(super) struct JsonLinesWorker {
    end: End,
    /// Names of the columns, the number's included.
    names: Vec<String>,
    /// The number of the next line. No other process has it, and no program can guess it.
    next_id: u64,
    /// True if the program has given a number back.
    echoes: bool,
    /// True if it has given an answer without.
    silent: bool,
}

impl JsonLinesWorker {
    pub(super) fn new(end: End, takes: Vec<String>) -> Self {
        let names = takes.into_iter().chain([ID.to_owned()]).collect();
        // Room for more lines than a process ever reads.
        let next_id = RandomState::new().hash_one(0) >> (u64::BITS - ID_BITS + 1);
        Self { end, names, next_id, echoes: false, silent: false }
    }

    /// Lines for some packets, from the next number on.
    fn lines(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u8>, CallError> {
        let last = self.next_id + rows as u64;
        let ids: ArrayRef = Arc::new(UInt64Array::from_iter_values(self.next_id..last));
        self.next_id = last;
        let columns = columns.iter().cloned().chain([ids]).collect();
        let batch = batch(&self.names, columns, rows).map_err(not_passed)?;
        Ok(JsonText::new(&batch.schema()).rows(&batch).to_vec())
    }

    /// The next line of the program.
    fn line(&mut self, mark: u64) -> Result<Vec<u8>, CallError> {
        let mut line = Vec::new();
        let read = self.end.output.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line);
        if read.is_err() || !line.ends_with(b"\n") {
            if line.len() as u64 == LINE_BYTES {
                return Err(self.end.bad("found a line of more than 1 GiB".to_owned(), mark));
            }
            return Err(self.end.died(mark));
        }
        self.end.unanswered -= 1;
        Ok(line)
    }

    /// The next line, which has to answer the line of a number, and true if it names that number.
    fn answer(&mut self, id: u64, mark: u64) -> Result<(Vec<u8>, RowAnswer, bool), CallError> {
        let line = self.line(mark)?;
        match answer_to(id, &line, &self.end.wanted) {
            // A program can give no number back with the `null` that drops a packet.
            Ok((answer, false)) if self.echoes && !matches!(answer, RowAnswer::Dropped) => {
                drop(answer);
                Err(self.end.astray("an answer without \"$id\", where others had it", mark))
            }
            Ok((answer, echoed)) => {
                self.echoes |= echoed;
                self.silent |= !echoed;
                self.end.proven = self.echoes && !self.silent;
                Ok((line, answer, echoed))
            }
            Err(Unfit::OfAnother) => Err(self.end.astray("an answer with the \"$id\" of another line", mark)),
            Err(Unfit::Bad(text)) => Err(self.end.bad(text, mark)),
        }
    }

    /// Has packets answered; also gives whether all answers had their numbers.
    fn ask(&mut self, request: &Request, mark: u64) -> Result<(Vec<RowAnswer>, bool), CallError> {
        self.end.expect_silence(mark)?;
        let first_id = self.next_id;
        let mut lines = self.lines(&request.columns, request.rows)?;
        // Of answers without numbers, one too many or too few among many would give packets the answers of others, so
        // the first packet comes once more, and has to be answered alike.
        let twice = request.rows > 1 && !self.echoes;
        if twice {
            let first: Vec<ArrayRef> = request.columns.iter().map(|column| column.slice(0, 1)).collect();
            lines.extend(self.lines(&first, 1)?);
        }
        let last_id = self.next_id;
        self.end.send(lines, last_id - first_id, mark)?;
        let (mut rows, mut first_line, mut all_echoed) = (Vec::with_capacity(request.rows), None, true);
        let mut bytes = 0;
        for id in (first_id..).take(request.rows) {
            let (line, answer, echoed) = self.answer(id, mark)?;
            all_echoed &= echoed;
            // Beyond that answers are let go: their packets are asked for again, fewer at a time.
            bytes += line.len();
            if rows.is_empty() || bytes <= ANSWER_BYTES {
                rows.push(answer);
            }
            first_line.get_or_insert(line);
        }
        if twice {
            let (line, _, echoed) = self.answer(last_id - 1, mark)?;
            if !echoed && first_line != Some(line) {
                let text = "found another answer to the same packet, expected one line for each line, and equal ones for equal packets";
                return Err(self.end.bad(text.to_owned(), mark));
            }
        }
        self.end.expect_silence(mark)?;
        Ok((rows, all_echoed))
    }
}

impl WorkerConnection for JsonLinesWorker {
    fn exchange(&mut self, request: &Request) -> Result<Answer, CallError> {
        let (mark, begun) = (self.end.process.mark(), Instant::now());
        let (rows, all_echoed) = self.ask(request, mark)?;
        self.end.took(begun.elapsed());
        let mut answer = gather(&self.end.wanted, rows);
        answer.computed.author = (!all_echoed).then(|| Arc::clone(&self.end.author));
        Ok(self.end.with_log(answer, mark))
    }

    fn close(&mut self, until: Instant) -> Option<Failure> {
        self.end.close(until)
    }
}
