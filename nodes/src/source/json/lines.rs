//! The objects of a file, with their lines.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::Value;

use super::{Object, misfit_error};
use crate::source::SourceError;
use crate::source::column::Misfit;
use crate::source::error::{Place, reading};
use crate::source::paths::SourceFile;

/// Bytes that a line may have.
const LINE_BYTES: u64 = 64 * 1024 * 1024;

/// Reads one object per line. Memory: the longest line, 64 MiB at most.
pub(super) struct Lines {
    name: String,
    input: BufReader<File>,
    buffer: Vec<u8>,
    /// Number of the line last read, from 1.
    line: u64,
    bytes_read: u64,
}

impl Lines {
    pub(super) fn open(file: &SourceFile) -> Result<Self, SourceError> {
        let input = BufReader::with_capacity(256 * 1024, file.open()?);
        Ok(Self { name: file.name.clone(), input, buffer: Vec::new(), line: 0, bytes_read: 0 })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next object; blank lines are skipped.
    pub(super) fn next(&mut self) -> Result<Option<Object>, SourceError> {
        while self.read_line()? {
            let mut bytes = self.buffer.as_slice();
            if self.line == 1 {
                bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            }
            if !bytes.trim_ascii().is_empty() {
                return self.parse(bytes).map(Some);
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
            return Err(self.error(None, "a line of more than 64 MiB", "one JSON object per line"));
        }
        Ok(count > 0)
    }

    fn parse(&self, bytes: &[u8]) -> Result<Object, SourceError> {
        let text = std::str::from_utf8(bytes).map_err(|fault| {
            let before = String::from_utf8_lossy(bytes.get(..fault.valid_up_to()).unwrap_or_default());
            let column = before.chars().count() as u64 + 1;
            self.error(Some(column), "bytes that are not UTF-8", "UTF-8 text")
        })?;
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(self.error(None, "a value that is no object", "one JSON object per line")),
            // The library's message is left out: it may quote the text.
            Err(fault) => {
                let column = Some(fault.column() as u64);
                Err(self.error(column, "text that is no JSON", "one JSON object per line"))
            }
        }
    }

    fn error(&self, column: Option<u64>, found: &str, expected: &str) -> SourceError {
        let (path, line) = (self.name.clone(), self.line);
        SourceError::Format {
            place: match column {
                Some(column) => Place::Column { path, line, column },
                None => Place::Line { path, line },
            },
            found: found.into(),
            expected: expected.into(),
            remedy: "correct the line".into(),
            cause: None,
        }
    }

    /// The error for a value of the line last read.
    pub(super) fn misfit(&self, misfit: &Misfit) -> SourceError {
        misfit_error(Place::Line { path: self.name.clone(), line: self.line }, misfit)
    }
}
