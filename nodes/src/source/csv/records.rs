//! Splits CSV into records and fields without copying them.
//!
//! RFC 4180 with any ASCII delimiter and quote: lines end with `\n` or `\r\n`, a quote within a
//! quoted field is doubled, quoted fields may hold line ends. A byte order mark is skipped. Fields
//! know whether they were quoted, which separates an empty string from a missing value.

use std::borrow::Cow;
use std::io::{self, Read};

use anabranch_engine::index::{At as _, holds};

use crate::source::COLUMNS;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// Bytes up to which it costs nothing to look through a record again.
const SHORT_BYTES: usize = 1024 * 1024;
/// Bytes that a record may have; more is taken for a quote that was never closed.
const RECORD_BYTES: usize = 64 * 1024 * 1024;

/// Characters that separate lines and fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CsvDialect {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    /// Lines that begin with this are left out.
    pub(super) comment: Option<Box<[u8]>>,
    /// Lines at the beginning that are left out, whatever is in them.
    pub(super) skip_lines: u64,
}

/// Fault of a record.
#[derive(Debug)]
pub(super) enum RecordFault {
    Io(io::Error),
    /// The quote opened here is never closed.
    OpenQuote,
    /// A closing quote is followed by neither delimiter nor line end.
    AfterQuote,
    /// Bytes that are not UTF-8.
    Encoding,
    /// More than [`RECORD_BYTES`].
    TooLong,
    /// More than [`COLUMNS`].
    TooManyFields,
}

/// A fault and where it is: line and character, both from 1.
#[derive(Debug)]
pub(super) struct RecordError {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) fault: RecordFault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    Plain,
    Quoted,
    /// Quoted, with doubled quotes inside.
    Doubled,
}

/// A field's place in its record, quotes not included.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    quoting: Quoting,
}

/// Reads records from bytes.
///
/// Memory: 256 KiB, or the longest record (64 MiB at most).
pub(super) struct Records<R> {
    input: R,
    dialect: CsvDialect,
    buffer: Vec<u8>,
    filled: usize,
    ended: bool,
    /// Start of the next record in the buffer.
    next: usize,
    next_line: u64,
    /// Lines at the beginning that are still to be left out; none once the first record is looked for.
    to_skip: Option<u64>,
    /// Bytes of all records so far.
    pub(super) bytes_read: u64,
    current: std::ops::Range<usize>,
    line: u64,
    spans: Vec<Span>,
}

/// One record.
pub(super) struct Record<'a> {
    text: &'a str,
    spans: &'a [Span],
    quote: char,
    /// The line it begins on, from 1.
    pub(super) line: u64,
}

/// One field.
pub(super) struct FieldText<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) quoted: bool,
}

/// Outcome of a scan of the buffered bytes.
enum Scan {
    /// A record of so many bytes, its line end included, with so many line ends.
    Record { bytes: usize, content: usize, lines: u64 },
    /// The record goes on beyond the bytes at hand.
    Partial,
    /// A fault at this byte.
    Fault(usize, RecordFault),
}

impl<R: Read> Records<R> {
    pub(super) fn new(input: R, dialect: CsvDialect) -> Self {
        Self {
            input,
            to_skip: Some(dialect.skip_lines),
            dialect,
            buffer: Vec::new(),
            filled: 0,
            ended: false,
            next: 0,
            next_line: 1,
            bytes_read: 0,
            current: 0..0,
            line: 1,
            spans: Vec::new(),
        }
    }

    /// Moves to the next record; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, RecordError> {
        if let Some(lines) = self.to_skip.take() {
            self.skip_mark()?;
            for _ in 0..lines {
                self.skip_line()?;
            }
        }
        while self.at_comment()? {
            self.skip_line()?;
        }
        loop {
            let rest = self.buffer.at(self.next..self.filled, READ);
            if rest.is_empty() && self.ended {
                return Ok(false);
            }
            match scan(rest, self.ended, &self.dialect, &mut self.spans) {
                Scan::Record { bytes, content, lines } => {
                    self.current = self.next..self.next + content;
                    self.line = self.next_line;
                    self.next += bytes;
                    self.bytes_read += bytes as u64;
                    self.next_line += lines;
                    return Ok(true);
                }
                Scan::Partial if rest.len() >= RECORD_BYTES => {
                    return Err(self.error(0, RecordFault::TooLong));
                }
                Scan::Partial => self.fill()?,
                Scan::Fault(at, fault) => return Err(self.error(at, fault)),
            }
        }
    }

    /// The record moved to.
    ///
    /// Errors: bytes that are not UTF-8.
    pub(super) fn record(&self) -> Result<Record<'_>, RecordError> {
        let bytes = self.buffer.at(self.current.clone(), "the current record is in the buffer");
        let text = std::str::from_utf8(bytes).map_err(|fault| {
            let (line, column) = place(bytes, fault.valid_up_to(), self.line);
            RecordError { line, column, fault: RecordFault::Encoding }
        })?;
        Ok(Record { text, spans: &self.spans, quote: char::from(self.dialect.quote), line: self.line })
    }

    fn skip_mark(&mut self) -> Result<(), RecordError> {
        while self.filled < 3 && !self.ended {
            self.fill()?;
        }
        if self.next == 0 && self.buffer.get(..self.filled).is_some_and(|b| b.starts_with(b"\xef\xbb\xbf")) {
            self.next = 3;
        }
        Ok(())
    }

    /// True if the next line is a comment.
    fn at_comment(&mut self) -> Result<bool, RecordError> {
        loop {
            let Some(comment) = &self.dialect.comment else { return Ok(false) };
            let rest = self.unread();
            if rest.len() >= comment.len() || self.ended || !comment.starts_with(rest) {
                return Ok(rest.starts_with(comment));
            }
            self.fill()?;
        }
    }

    /// Moves behind the next line end, or to the end.
    fn skip_line(&mut self) -> Result<(), RecordError> {
        loop {
            let rest = self.unread();
            let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let length = match end.map(|end| line_end(rest, end, self.ended)) {
                Some(Some(length)) => end.unwrap_or(0) + length,
                Some(None) | None if !self.ended => {
                    if rest.len() >= RECORD_BYTES {
                        return Err(self.error(0, RecordFault::TooLong));
                    }
                    self.fill()?;
                    continue;
                }
                Some(None) | None => rest.len(),
            };
            self.next += length;
            self.bytes_read += length as u64;
            self.next_line += 1;
            return Ok(());
        }
    }

    /// Reads more bytes behind those of the record begun.
    ///
    /// A long one is looked through again only after it has grown by a part of its length.
    fn fill(&mut self) -> Result<(), RecordError> {
        let begun = self.filled - self.next;
        let wanted = if begun < SHORT_BYTES { 1 } else { begun / 4 };
        let mut added = 0;
        while added < wanted && !self.ended {
            let before = self.filled - self.next;
            self.fill_once()?;
            added += self.filled - self.next - before;
        }
        Ok(())
    }

    fn fill_once(&mut self) -> Result<(), RecordError> {
        if self.next > 0 {
            self.buffer.copy_within(self.next..self.filled, 0);
            self.filled -= self.next;
            self.next = 0;
        }
        if self.buffer.len() - self.filled < READ_BYTES / 2 {
            let grown = (self.buffer.len() * 2).max(READ_BYTES);
            self.buffer.resize(grown, 0);
        }
        loop {
            let (_, free) = self.buffer.split_at_mut(self.filled);
            match self.input.read(free) {
                Ok(0) => self.ended = true,
                Ok(count) => self.filled += count,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
                Err(fault) => return Err(self.error(0, RecordFault::Io(fault))),
            }
            return Ok(());
        }
    }

    /// Bytes that are read and not scanned yet.
    fn unread(&self) -> &[u8] {
        self.buffer.at(self.next..self.filled, READ)
    }

    fn error(&self, at: usize, fault: RecordFault) -> RecordError {
        let rest = self.unread();
        let (line, column) = place(rest, at, self.next_line);
        RecordError { line, column, fault }
    }
}

impl<'a> Record<'a> {
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// True if there is nothing on the line.
    pub(super) fn is_blank(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = FieldText<'a>> + use<'a> {
        let (text, quote) = (self.text, self.quote);
        self.spans.iter().map(move |span| {
            let raw =
                holds(text.get(span.start..span.end), "delimiters and quotes are characters of one byte");
            let text = if span.quoting == Quoting::Doubled {
                let doubled = String::from_iter([quote, quote]);
                Cow::Owned(raw.replace(&doubled, quote.encode_utf8(&mut [0; 4])))
            } else {
                Cow::Borrowed(raw)
            };
            FieldText { text, quoted: span.quoting != Quoting::Plain }
        })
    }

    /// Line and character where a field begins.
    pub(super) fn place_of(&self, field: usize) -> (u64, u64) {
        let start = self.spans.at(field, "a field of the record was scanned").start;
        place(self.text.as_bytes(), start, self.line)
    }
}

/// Line and character (both from 1) of a byte, if the bytes begin at the start of `line`.
fn place(bytes: &[u8], at: usize, line: u64) -> (u64, u64) {
    let before = bytes.at(0..at, "a fault is among the bytes of its record");
    let ends = line_ends(before);
    let last_line = before.rsplit(|b| matches!(b, b'\n' | b'\r')).next().unwrap_or_default();
    (line + ends, String::from_utf8_lossy(last_line).chars().count() as u64 + 1)
}

/// The line ends among bytes: line feeds, carriage returns, or one of each together.
fn line_ends(bytes: &[u8]) -> u64 {
    let mut after_return = false;
    let mut ends = 0;
    for byte in bytes {
        if *byte == b'\r' || (*byte == b'\n' && !after_return) {
            ends += 1;
        }
        after_return = *byte == b'\r';
    }
    ends
}

/// The length of the line end at a byte; none if more bytes have to tell.
fn line_end(bytes: &[u8], at: usize, ended: bool) -> Option<usize> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Some(2),
        (Some(b'\r'), None) if !ended => None,
        _ => Some(1),
    }
}

/// Finds the fields of the first record.
fn scan(bytes: &[u8], ended: bool, dialect: &CsvDialect, spans: &mut Vec<Span>) -> Scan {
    spans.clear();
    let (mut at, mut lines) = (0, 0);
    loop {
        let (span, after) = if bytes.get(at) == Some(&dialect.quote) {
            match quoted(bytes, at, ended, dialect, &mut lines) {
                Ok(Some(found)) => found,
                Ok(None) => return Scan::Partial,
                Err((at, fault)) => return Scan::Fault(at, fault),
            }
        } else {
            let rest = bytes.at(at.., "scanning stays among the bytes");
            let length = rest.iter().position(|b| *b == dialect.delimiter || matches!(b, b'\n' | b'\r'));
            let end = length.map_or(bytes.len(), |length| at + length);
            (Span { start: at, end, quoting: Quoting::Plain }, end)
        };
        let end = match bytes.get(after) {
            Some(mark) if *mark == dialect.delimiter => {
                if spans.len() == COLUMNS {
                    return Scan::Fault(at, RecordFault::TooManyFields);
                }
                spans.push(span);
                at = after + 1;
                continue;
            }
            Some(_) => line_end(bytes, after, ended),
            None if ended => Some(0),
            None => None,
        };
        let Some(end) = end else { return Scan::Partial };
        spans.push(span);
        return Scan::Record { bytes: after + end, content: after, lines: lines + 1 };
    }
}

/// Invariant of the buffer.
const READ: &str = "bytes that were read are in the buffer";

type Found = (Span, usize);

/// A quoted field and the byte behind it; none if its end is not among the bytes.
fn quoted(
    bytes: &[u8],
    open: usize,
    ended: bool,
    dialect: &CsvDialect,
    lines: &mut u64,
) -> Result<Option<Found>, (usize, RecordFault)> {
    let (start, mut at, mut quoting) = (open + 1, open + 1, Quoting::Quoted);
    loop {
        let rest = bytes.at(at.., "scanning stays among the bytes");
        let Some(length) = rest.iter().position(|b| *b == dialect.quote) else {
            return if ended { Err((open, RecordFault::OpenQuote)) } else { Ok(None) };
        };
        *lines += line_ends(rest.at(0..length, "a quote was found there"));
        let close = at + length;
        match bytes.get(close + 1) {
            Some(next) if *next == dialect.quote => {
                quoting = Quoting::Doubled;
                at = close + 2;
            }
            Some(next) if *next == dialect.delimiter || matches!(next, b'\n' | b'\r') => {
                return Ok(Some((Span { start, end: close, quoting }, close + 1)));
            }
            None if ended => return Ok(Some((Span { start, end: close, quoting }, close + 1))),
            None => return Ok(None),
            Some(_) => return Err((close + 1, RecordFault::AfterQuote)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns a few bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            let (now, rest) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = rest;
            Ok(count)
        }
    }

    const DIALECT: CsvDialect = CsvDialect { delimiter: b',', quote: b'"', comment: None, skip_lines: 0 };

    type Fields = Vec<(String, bool)>;

    fn read_all(bytes: &[u8], step: usize) -> Result<Vec<(u64, Fields)>, RecordError> {
        read_as(bytes, step, DIALECT)
    }

    fn read_as(bytes: &[u8], step: usize, dialect: CsvDialect) -> Result<Vec<(u64, Fields)>, RecordError> {
        let mut records = Records::new(Dribble(bytes, step), dialect);
        let mut all = Vec::new();
        while records.advance()? {
            let record = records.record()?;
            all.push((record.line, record.fields().map(|f| (f.text.into_owned(), f.quoted)).collect()));
        }
        Ok(all)
    }

    fn fields(texts: &[(&str, bool)]) -> Fields {
        texts.iter().map(|(text, quoted)| ((*text).to_owned(), *quoted)).collect()
    }

    #[test]
    fn quotes_tell_an_empty_string_from_nothing_and_keep_line_numbers_right() {
        let text = "\u{feff}a,b\r\n\"\",\r\n\"x\n\"\"y\"\"\n\",\"1,2\"\r\nlast,\"\"";
        let expected = vec![
            (1, fields(&[("a", false), ("b", false)])),
            (2, fields(&[("", true), ("", false)])),
            (3, fields(&[("x\n\"y\"\n", true), ("1,2", true)])),
            (6, fields(&[("last", false), ("", true)])),
        ];
        for step in 1..9 {
            assert_eq!(read_all(text.as_bytes(), step).unwrap(), expected, "{step} bytes at a time");
        }
    }

    #[test]
    fn lines_end_in_feeds_returns_or_both_in_one_file() {
        let text = "a,b\r1,\"x\ry\"\r\n2,z\n\r3,\r";
        let expected = vec![
            (1, fields(&[("a", false), ("b", false)])),
            (2, fields(&[("1", false), ("x\ry", true)])),
            (4, fields(&[("2", false), ("z", false)])),
            (5, fields(&[("", false)])),
            (6, fields(&[("3", false), ("", false)])),
        ];
        for step in 1..9 {
            assert_eq!(read_all(text.as_bytes(), step).unwrap(), expected, "{step} bytes at a time");
        }
    }

    #[test]
    fn comments_and_lines_to_skip_are_left_out_whatever_quotes_are_in_them() {
        let text = "\u{feff}Report \"Q3\r\n\n## it's \"open\na,b\n##\r#1,\"\n## in\"\n##last";
        let dialect = CsvDialect { comment: Some(b"##".as_slice().into()), skip_lines: 2, ..DIALECT };
        let expected = vec![
            (4, fields(&[("a", false), ("b", false)])),
            (6, fields(&[("#1", false), ("\n## in", true)])),
        ];
        for step in 1..9 {
            let read = read_as(text.as_bytes(), step, dialect.clone()).unwrap();
            assert_eq!(read, expected, "{step} bytes at a time");
        }
        let all_skipped = CsvDialect { skip_lines: 9, ..DIALECT };
        assert_eq!(read_as(b"a\nb", 1, all_skipped).unwrap(), []);
    }

    #[test]
    fn faults_are_named_with_line_and_character() {
        let place = |bytes: &[u8]| {
            let error = read_all(bytes, 3).unwrap_err();
            (error.line, error.column, format!("{:?}", error.fault))
        };
        assert_eq!(place(b"a,b\n\"x\ny\",\"open\n\n"), (3, 4, "OpenQuote".into()));
        assert_eq!(place("a\n\u{e9},\"b\"c\n".as_bytes()), (2, 6, "AfterQuote".into()));
        assert_eq!(place(b"a\n\"\n\xc3\xa9 \xff\"\n"), (3, 3, "Encoding".into()));
    }

    fn field() -> impl Strategy<Value = (String, bool)> {
        let text = prop::collection::vec(
            prop::sample::select(vec!["a", "\u{e9}", ",", "\"", "\n", "\r", " "]),
            0..6,
        );
        (text, any::<bool>()).prop_map(|(parts, quoted)| {
            let text: String = parts.concat();
            let quoted = quoted || text.contains([',', '"', '\n', '\r']);
            (text, quoted)
        })
    }

    proptest! {
        #[test]
        fn what_is_written_by_the_rules_is_read_back(
            rows in prop::collection::vec(prop::collection::vec(field(), 1..4), 0..6),
            step in 1_usize..7,
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            last_end: bool,
        ) {
            let line = |row: &Fields| {
                let fields = row.iter().map(|(text, quoted)| {
                    if *quoted { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.clone() }
                });
                fields.collect::<Vec<_>>().join(",")
            };
            let mut text = rows.iter().map(line).collect::<Vec<_>>().join(end);
            // Without its line end an empty last line is not there.
            if last_end || rows.last().is_some_and(|row| line(row).is_empty()) {
                text.push_str(end);
            }
            if rows.is_empty() {
                text.clear();
            }
            let read = read_all(text.as_bytes(), step).unwrap();
            let mut at = 1;
            for ((number, found), row) in read.iter().zip(&rows) {
                prop_assert_eq!(*number, at);
                prop_assert_eq!(found, row);
                at += 1 + line_ends(line(row).as_bytes());
            }
            prop_assert_eq!(read.len(), rows.len());
        }
    }
}
