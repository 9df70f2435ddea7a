//! Reads the rows of a query, on a thread that owns the connection.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anabranch_engine::types::logical_type;
use arrow::array::{
    ArrayRef, BinaryViewBuilder, Float64Builder, Int64Builder, RecordBatch, StringViewBuilder,
};
use arrow::datatypes::{DataType, SchemaRef};
use rusqlite::types::ValueRef;
use rusqlite::{InterruptHandle, Row};

use super::database::{Selection, connect, failure, prepare};
use crate::source::Reader;
use crate::source::cast::assemble;
use crate::source::column::{ColumnBuilder, column_builder};
use crate::source::error::{Place, SourceError};

/// Bytes of strings and blobs after which a batch ends.
const BATCH_BYTES: usize = 8 << 20;
/// Interval of interrupts until a query that is not needed any more has ended.
const INTERRUPTS: Duration = Duration::from_millis(1);

/// The rows to read, and the columns that they become.
#[derive(Debug, Clone)]
pub(super) struct SqliteRows {
    pub(super) path: PathBuf,
    pub(super) selection: Selection,
    pub(super) schema: SchemaRef,
    /// For each column, true if `types` names its type: then any value with that meaning is read.
    pub(super) chosen: Arc<[bool]>,
    pub(super) chunk_rows: usize,
}

/// Batches of rows from the thread of the connection.
///
/// Memory: two batches.
pub(super) struct SqliteReader {
    batches: Option<Receiver<Result<RecordBatch, SourceError>>>,
    interrupt: Option<InterruptHandle>,
    thread: Option<JoinHandle<()>>,
}

impl SqliteReader {
    /// Begins to read: opens the database, whose snapshot is read to the end.
    pub(super) fn start(rows: SqliteRows) -> Result<Self, SourceError> {
        let path = rows.path.display().to_string();
        let (sender, batches) = sync_channel(1);
        let (opened, handle) = sync_channel(1);
        let started = std::thread::Builder::new().name("sqlite source".to_owned()).spawn(move || {
            if let Err(error) = read(&rows, &opened, &sender) {
                // The reader is gone where the run was stopped.
                let _ = sender.send(Err(error));
            }
        });
        let thread = started.map_err(|cause| SourceError::Io {
            operation: "starting a thread for",
            path,
            remedy: "end other programs, or raise the limit of threads",
            cause,
        })?;
        // Without a handle the database was not opened; the first batch is the error.
        let interrupt = handle.recv().ok();
        Ok(Self { batches: Some(batches), interrupt, thread: Some(thread) })
    }
}

impl Reader for SqliteReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        self.batches.as_ref().and_then(|batches| batches.recv().ok()).transpose()
    }
}

impl Drop for SqliteReader {
    fn drop(&mut self) {
        // The thread ends at its next batch, or within a query that is interrupted.
        self.batches = None;
        let Some(thread) = self.thread.take() else { return };
        while let Some(interrupt) = self.interrupt.as_ref().filter(|_| !thread.is_finished()) {
            // An interrupt has no effect on a query that begins after it.
            interrupt.interrupt();
            std::thread::sleep(INTERRUPTS);
        }
        let _ = thread.join();
    }
}

/// Sends all rows in batches; ends early where they are not received any more.
fn read(
    rows: &SqliteRows,
    opened: &SyncSender<InterruptHandle>,
    batches: &SyncSender<Result<RecordBatch, SourceError>>,
) -> Result<(), SourceError> {
    let connection = connect(&rows.path)?;
    let _ = opened.send(connection.get_interrupt_handle());
    let mut statement = prepare(&connection, &rows.path, &rows.selection)?;
    rows.check_columns(statement.column_names())?;
    let failed = |cause| failure(&rows.path, cause);
    let mut found = statement.query([]).map_err(failed)?;
    let mut columns = rows.columns();
    let (mut count, mut bytes, mut position) = (0, 0, 0);
    loop {
        let row = found.next().map_err(failed)?;
        if count > 0 && (row.is_none() || count == rows.chunk_rows || bytes >= BATCH_BYTES) {
            let arrays = columns.iter_mut().map(SqliteColumn::finish).collect();
            let batch = assemble(&rows.schema, arrays, count, &rows.path.display().to_string())?;
            if batches.send(Ok(batch)).is_err() {
                return Ok(());
            }
            (count, bytes) = (0, 0);
        }
        let Some(row) = row else { return Ok(()) };
        bytes += rows.append(&mut columns, row, position)?;
        count += 1;
        position += 1;
    }
}

impl SqliteRows {
    /// Compares the columns of the query with those that were planned.
    fn check_columns<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), SourceError> {
        let planned = self.schema.fields().iter().map(|field| field.name().as_str());
        if planned.eq(names) {
            return Ok(());
        }
        Err(super::database::format_error(
            &self.path,
            "other columns than when the pipeline was planned",
            "the same ones",
            "run it again",
            None,
        ))
    }

    fn columns(&self) -> Vec<SqliteColumn> {
        self.schema.fields().iter().map(|field| SqliteColumn::new(field.data_type())).collect()
    }

    /// Appends a row; returns the bytes of its strings and blobs.
    fn append(
        &self,
        columns: &mut [SqliteColumn],
        row: &Row<'_>,
        position: u64,
    ) -> Result<usize, SourceError> {
        let mut bytes = 0;
        let fields = self.schema.fields().iter().zip(self.chosen.iter());
        for (number, (column, (field, chosen))) in columns.iter_mut().zip(fields).enumerate() {
            let value = row.get_ref(number).map_err(|cause| failure(&self.path, cause))?;
            if let ValueRef::Text(value) | ValueRef::Blob(value) = value {
                bytes += value.len();
            }
            column.append(value, *chosen).map_err(|found| SourceError::Value {
                place: Place::Row { path: self.path.display().to_string(), row: position },
                column: field.name().clone(),
                found,
                expected: logical_type(field.data_type()),
            })?;
        }
        Ok(bytes)
    }
}

/// A column being built from values of `SQLite`.
enum SqliteColumn {
    Integers(Int64Builder),
    Floats(Float64Builder),
    Strings(StringViewBuilder),
    Blobs(BinaryViewBuilder),
    /// Other types, by the strings of their values.
    Other(Box<dyn ColumnBuilder>, String),
}

impl SqliteColumn {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Int64 => Self::Integers(Int64Builder::new()),
            DataType::Float64 => Self::Floats(Float64Builder::new()),
            DataType::Utf8View => Self::Strings(StringViewBuilder::new()),
            DataType::BinaryView => Self::Blobs(BinaryViewBuilder::new()),
            other => {
                let builder = column_builder(other, false);
                Self::Other(
                    builder.unwrap_or_else(|| panic!("planning refuses types without a builder")),
                    String::new(),
                )
            }
        }
    }

    /// Appends a value, or says what it is if it is not of the column's type.
    ///
    /// `chosen`: the author named the type, so numbers are strings and strings numbers where they read as such.
    fn append(&mut self, value: ValueRef<'_>, chosen: bool) -> Result<(), &'static str> {
        let kind = kind(value);
        let string = |value| std::str::from_utf8(value).map_err(|_| "a string that is not UTF-8");
        match (self, value) {
            (column, ValueRef::Null) => column.append_null(),
            (Self::Integers(builder), ValueRef::Integer(value)) => builder.append_value(value),
            (Self::Integers(builder), ValueRef::Text(value)) if chosen => {
                builder.append_value(string(value)?.trim_ascii().parse().map_err(|_| kind)?);
            }
            (Self::Floats(builder), ValueRef::Real(value)) => builder.append_value(value),
            (Self::Floats(builder), ValueRef::Integer(value)) => {
                builder.append_value(
                    exact_float(value).or_else(|| chosen.then_some(nearest(value))).ok_or(kind)?,
                );
            }
            (Self::Floats(builder), ValueRef::Text(value)) if chosen => {
                builder.append_value(string(value)?.trim_ascii().parse().map_err(|_| kind)?);
            }
            (Self::Strings(builder), ValueRef::Text(value)) => builder.append_value(string(value)?),
            (Self::Strings(builder), ValueRef::Integer(value)) => builder.append_value(value.to_string()),
            (Self::Strings(builder), ValueRef::Real(value)) => builder.append_value(format!("{value:?}")),
            (Self::Blobs(builder), ValueRef::Blob(value)) => builder.append_value(value),
            (Self::Blobs(builder), ValueRef::Text(value)) if chosen => builder.append_value(value),
            (Self::Other(builder, _), ValueRef::Text(value)) => {
                return builder.text(string(value)?).then_some(()).ok_or(kind);
            }
            (Self::Other(builder, written), value @ (ValueRef::Integer(_) | ValueRef::Real(_))) => {
                written.clear();
                // Writing to a string cannot fail.
                let _ = match value {
                    ValueRef::Integer(value) => write!(written, "{value}"),
                    ValueRef::Real(value) => write!(written, "{value}"),
                    _ => Ok(()),
                };
                let truth = match written.as_str() {
                    "0" => "false",
                    "1" => "true",
                    _ => return builder.text(written).then_some(()).ok_or(kind),
                };
                return (builder.text(written) || builder.text(truth)).then_some(()).ok_or(kind);
            }
            _ => return Err(kind),
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Integers(builder) => builder.append_null(),
            Self::Floats(builder) => builder.append_null(),
            Self::Strings(builder) => builder.append_null(),
            Self::Blobs(builder) => builder.append_null(),
            Self::Other(builder, _) => builder.null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Integers(builder) => Arc::new(builder.finish()),
            Self::Floats(builder) => Arc::new(builder.finish()),
            Self::Strings(builder) => Arc::new(builder.finish()),
            Self::Blobs(builder) => Arc::new(builder.finish()),
            Self::Other(builder, _) => builder.finish(),
        }
    }
}

/// Description of a value in messages, which never have the value itself.
fn kind(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "null",
        ValueRef::Integer(_) => "an integer that does not read as that type",
        ValueRef::Real(_) => "a real number",
        ValueRef::Text(_) => "a string that does not read as that type",
        ValueRef::Blob(_) => "a blob",
    }
}

/// The float that an integer is, if there is one.
fn exact_float(value: i64) -> Option<f64> {
    (value.unsigned_abs() <= 1 << 53).then(|| nearest(value))
}

#[expect(clippy::cast_precision_loss, reason = "the nearest float is meant")]
fn nearest(value: i64) -> f64 {
    value as f64
}
