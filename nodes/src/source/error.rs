//! Errors of a source, at plan time and while it is read.

use std::fmt;
use std::io;

use anabranch_engine::chunk::ChunkError;
use anabranch_engine::names::{list, suggestion};
use anabranch_engine::schema::SchemaError;
use anabranch_engine::types::TypeError;

use super::encoding::Malformed;
use super::input::Damaged;

/// A source that cannot be planned or read. No message contains a packet value; record ids are
/// shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A path or pattern without a file.
    #[error("opening {path}: found no such file, expected {expected}; check the path{note}")]
    Missing {
        /// The path as given.
        path: String,
        /// Expected path.
        expected: &'static str,
        /// Directory in which a relative path was looked up; empty for an absolute one.
        note: String,
    },
    /// A pattern that cannot be understood.
    #[error(
        "opening {path}: found a pattern that cannot be read, expected one of *, ?, [..] and **; correct it"
    )]
    Pattern {
        /// The pattern as given.
        path: String,
        /// Why.
        #[source]
        cause: glob::PatternError,
    },
    /// The system refused.
    #[error("{operation} {path}: the system refused; {remedy}")]
    Io {
        /// Operation that failed.
        operation: &'static str,
        /// The file.
        path: String,
        /// Remedy.
        remedy: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file that is not what it is read as.
    #[error("reading {place}: found {found}, expected {expected}; {remedy}")]
    Format {
        /// The file, with line and column where they are known.
        place: Place,
        /// Found value.
        found: Box<str>,
        /// Expected value.
        expected: Box<str>,
        /// Remedy.
        remedy: Box<str>,
        /// Cause, where a library reported one.
        #[source]
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Files of one source that differ.
    #[error(
        "reading {path}: column \"{column}\" is {found}, expected {expected} as in {first}; read files that differ by sources of their own, or name the type under `types`"
    )]
    Differs {
        /// The file that differs.
        path: Box<str>,
        /// The first column that differs.
        column: Box<str>,
        /// Found type.
        found: Box<str>,
        /// Expected type.
        expected: Box<str>,
        /// The file compared with.
        first: Box<str>,
    },
    /// An option that names no column.
    #[error(
        "{option}: found no column \"{column}\", expected one of {}{}",
        list(available),
        suggestion(column, available)
    )]
    UnknownColumn {
        /// The option.
        option: &'static str,
        /// The name looked for.
        column: String,
        /// The names there are.
        available: Vec<String>,
    },
    /// An option that makes no sense.
    #[error("{option}: found {found}, expected {expected}; {remedy}")]
    Option {
        /// The option.
        option: &'static str,
        /// Found value.
        found: String,
        /// Expected value.
        expected: String,
        /// Remedy.
        remedy: String,
    },
    /// Columns that cannot stand together in a stream.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A column of a type that no stream can carry.
    #[error("reading {path}: column \"{column}\" cannot be read; drop it from the file or change its type")]
    Type {
        /// The source's file or kind.
        path: String,
        /// The column.
        column: String,
        /// Why.
        #[source]
        cause: TypeError,
    },
    /// A column that cannot be read as the type that was declared for it.
    #[error("reading {path}: column \"{column}\" is {found}, expected {expected}; {remedy}")]
    Conversion {
        /// The source's file or kind.
        path: Box<str>,
        /// The column, or the place within it.
        column: Box<str>,
        /// Its type in the file.
        found: Box<str>,
        /// Type or types that can be read.
        expected: Box<str>,
        /// Remedy.
        remedy: Box<str>,
    },
    /// A value that is not of its column's type.
    #[error(
        "reading {place}: column \"{column}\" has {found}, expected {expected}; correct the value or read the column as another type, `types: {{ {column}: string }}` for one"
    )]
    Value {
        /// Place of the value.
        place: Place,
        /// The column.
        column: String,
        /// Description of what was found, without the value itself.
        found: &'static str,
        /// The column's type.
        expected: String,
    },
    /// A record id column that is null.
    #[error(
        "record_id: column \"{column}\" is null at row {row} (counted from 0), expected a value; choose columns that are never null"
    )]
    NullRecordId {
        /// The column.
        column: String,
        /// Position of the row in the source.
        row: u64,
    },
    /// A record id that two rows bear.
    #[error(
        "record_id: found \"{record}\" at row {first} and at row {second} (counted from 0) with record_id {}, expected each record id once; add a column that tells the rows apart, or drop one of them",
        list(columns)
    )]
    RepeatedRecordId {
        /// The record id columns.
        columns: Vec<String>,
        /// The record id.
        record: String,
        /// Position of the row that had it first.
        first: u64,
        /// Position of the row that has it again.
        second: u64,
    },
    /// The memory or scratch space of record ids failed.
    #[error("keeping record ids in {directory}: the system refused; make room there")]
    RecordIds {
        /// Directory of the record ids.
        directory: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Rows that could not be made into columns.
    #[error("rows could not be put into columns")]
    Chunk(#[from] ChunkError),
    /// A source of a user's own that failed.
    #[error("reading {source_kind} source failed")]
    Other {
        /// Kind of the source.
        source_kind: &'static str,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SourceError {
    /// A file that is not what it is read as.
    pub(super) fn format(
        place: Place,
        found: impl Into<Box<str>>,
        expected: impl Into<Box<str>>,
        remedy: impl Into<Box<str>>,
    ) -> Self {
        let (found, expected, remedy) = (found.into(), expected.into(), remedy.into());
        Self::Format { place, found, expected, remedy, cause: None }
    }

    /// An option that makes no sense.
    pub(super) fn option(
        option: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Option { option, found: found.into(), expected: expected.into(), remedy: remedy.into() }
    }

    /// A file's error with what its library reported.
    pub(super) fn because(mut self, why: impl std::error::Error + Send + Sync + 'static) -> Self {
        if let Self::Format { cause, .. } = &mut self {
            *cause = Some(Box::new(why));
        }
        self
    }
}

/// Place in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A file, or a source that is none.
    Whole(String),
    /// A line of a text file.
    Line {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
    },
    /// A character of a text file.
    Column {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// The character in the line, from 1.
        column: u64,
    },
    /// A row of a file without lines.
    Row {
        /// The file.
        path: String,
        /// The row, from 0.
        row: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(path) => f.write_str(path),
            Self::Line { path, line } => write!(f, "{path}:{line}"),
            Self::Column { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Row { path, row } => write!(f, "{path}, row {row} (counted from 0)"),
        }
    }
}

/// An error of the system while a file is read.
pub(super) fn reading(path: &str, cause: io::Error) -> SourceError {
    if let Some(Malformed { line, column }) = inner(&cause) {
        let found = "bytes that are not of the file's encoding";
        let place = Place::Column { path: path.to_owned(), line: *line, column: *column };
        let expected = "text in the encoding that `encoding` names";
        return SourceError::format(place, found, expected, "name another encoding");
    }
    if let Some(Damaged { kind, .. }) = inner(&cause) {
        let found = format!("{kind} data that are cut off or damaged");
        let place = Place::Whole(path.to_owned());
        return SourceError::format(place, found, "a whole file", "compress it again");
    }
    let remedy = match cause.kind() {
        io::ErrorKind::PermissionDenied => "allow reading the file",
        io::ErrorKind::IsADirectory => "name a file or a pattern such as folder/*",
        _ => "check the file and its disk",
    };
    SourceError::Io { operation: "reading", path: path.to_owned(), remedy, cause }
}

/// The source error behind an error of one of this module's readers.
fn inner<T: std::error::Error + 'static>(cause: &io::Error) -> Option<&T> {
    cause.get_ref()?.downcast_ref()
}
