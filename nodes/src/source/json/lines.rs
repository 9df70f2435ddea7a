//! The objects of a file, with their lines.

use std::io::{BufRead as _, BufReader, Read as _};

use anabranch_engine::index::At as _;

use super::misfit_error;
use crate::source::SourceError;
use crate::source::column::TypeMismatch;
use crate::source::document::{DEPTH, Entries, JsonDialect, ParseFault, Tree};
use crate::source::error::{Place, reading};
use crate::source::input::{Text, TextInput};

/// Bytes that a line may have.
const LINE_BYTES: u64 = 64 * 1024 * 1024;

/// Reads one object per line. Memory: the longest line, 64 MiB at most.
pub(super) struct JsonLineReader {
    pub(super) name: String,
    input: BufReader<Text>,
    buffer: Vec<u8>,
    tree: Tree,
    /// Number of the line last read, from 1.
    line: u64,
    pub(super) bytes_read: u64,
}

impl JsonLineReader {
    /// Reads the text of a file.
    pub(super) fn new(file: &TextInput, text: Text) -> Self {
        let input = BufReader::with_capacity(256 * 1024, text);
        let name = file.name().to_owned();
        Self { name, input, buffer: Vec::new(), tree: Tree::default(), line: 0, bytes_read: 0 }
    }

    /// The next object; blank lines are skipped.
    pub(super) fn next(&mut self) -> Result<Option<Entries<'_>>, SourceError> {
        while self.read_line()? {
            let bytes = self.buffer.as_slice();
            let start = if self.line == 1 && bytes.starts_with(MARK) { MARK.len() } else { 0 };
            if !bytes.at(start.., MARKED).trim_ascii().is_empty() {
                return self.parse(start).map(Some);
            }
        }
        Ok(None)
    }

    fn read_line(&mut self) -> Result<bool, SourceError> {
        self.buffer.clear();
        let mut limited = self.input.by_ref().take(LINE_BYTES + 1);
        let count = limited.read_until(b'\n', &mut self.buffer).map_err(|e| reading(&self.name, e))? as u64;
        self.line += 1;
        self.bytes_read += count;
        if count > LINE_BYTES {
            return Err(fault(self.place(), "a line of more than 64 MiB", OBJECTS));
        }
        Ok(count > 0)
    }

    fn parse(&mut self, start: usize) -> Result<Entries<'_>, SourceError> {
        let bytes = self.buffer.at(start.., MARKED);
        let (path, line) = (&self.name, self.line);
        let place = |at| Place::Column { path: path.clone(), line, column: column(bytes, at) };
        let text = std::str::from_utf8(bytes)
            .map_err(|error| fault(place(error.valid_up_to()), "bytes that are not UTF-8", "UTF-8 text"))?;
        let object = self.tree.parse(text, JsonDialect::NonFinite).map_err(|error| {
            let deep = format!("more than {DEPTH} levels of lists and objects");
            let found = match error.fault {
                ParseFault::Syntax => "text that is no JSON",
                ParseFault::Depth => &deep,
                ParseFault::Length => "a line that is too long",
            };
            fault(place(error.at), found, OBJECTS)
        })?;
        object.entries().ok_or_else(|| {
            fault(Place::Line { path: path.clone(), line }, "a value that is no object", OBJECTS)
        })
    }

    /// The line last read.
    pub(super) fn place(&self) -> Place {
        Place::Line { path: self.name.clone(), line: self.line }
    }

    /// The error for a value of the line last read.
    pub(super) fn misfit(&self, misfit: &TypeMismatch) -> SourceError {
        misfit_error(self.place(), misfit)
    }
}

/// The mark that some programs write in front of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Invariant of the mark.
const MARKED: &str = "a line begins with the mark that is skipped";

/// The character, from 1, at a byte of a line.
fn column(line: &[u8], at: usize) -> u64 {
    let before = String::from_utf8_lossy(line.at(0..at, "a fault is among the bytes of its line"));
    before.chars().count() as u64 + 1
}

/// Contents of a file of JSON lines.
const OBJECTS: &str = "one JSON object per line";

fn fault(place: Place, found: &str, expected: &str) -> SourceError {
    SourceError::format(place, found, expected, "correct the line")
}
