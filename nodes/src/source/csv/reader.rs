//! Reads CSV files into record batches.

use std::fs::File;
use std::sync::Arc;

use anabranch_engine::types::logical_type;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};

use super::CsvFormat;
use super::records::{Fault, Record, RecordError, Records};
use crate::source::Reader;
use crate::source::cast::assemble;
use crate::source::column::{ColumnBuilder, column_builder};
use crate::source::error::{Place, SourceError, reading};
use crate::source::paths::SourceFile;

/// Bytes of text after which a batch is full whatever its rows.
const BATCH_BYTES: u64 = 32 * 1024 * 1024;

/// A file past its header.
pub(super) struct OpenFile {
    name: Arc<str>,
    pub(super) records: Records<File>,
    /// The columns' names; empty if the file has no line.
    pub(super) names: Vec<String>,
    columns: usize,
    /// The first record of a file without header, which was read to count its fields.
    pending: bool,
}

impl OpenFile {
    /// Opens a file and reads its header. `columns` is how many fields records have, where that
    /// is known; otherwise the first record decides.
    pub(super) fn open(
        file: &SourceFile,
        format: &CsvFormat,
        columns: Option<usize>,
    ) -> Result<Self, SourceError> {
        let records = Records::new(file.open()?, format.dialect);
        let mut open =
            Self { name: file.name.as_str().into(), records, names: Vec::new(), columns: 0, pending: false };
        let first = loop {
            if !open.records.advance().map_err(|e| open.fault(e))? {
                break None;
            }
            let record = open.records.record().map_err(|e| open.fault(e))?;
            if !record.is_blank() || (columns == Some(1) && !format.header) {
                break Some(record);
            }
        };
        open.names = match first {
            None => Vec::new(),
            Some(record) if format.header => record.fields().map(|f| f.text.into_owned()).collect(),
            Some(record) => (1..=record.len()).map(|n| format!("column_{n}")).collect(),
        };
        if open.names.iter().any(|name| name.replace("\r\n", "").contains('\r')) {
            return Err(lone_returns(file));
        }
        open.pending = !format.header && !open.names.is_empty();
        open.columns = columns.unwrap_or(open.names.len());
        Ok(open)
    }

    /// The next record, blank lines skipped, with as many fields as there are columns.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, SourceError> {
        loop {
            if !std::mem::take(&mut self.pending) && !self.records.advance().map_err(|e| self.fault(e))? {
                return Ok(None);
            }
            if self.columns == 1 || !self.is_blank()? {
                break;
            }
        }
        let record = self.records.record().map_err(|e| self.fault(e))?;
        if record.len() == self.columns {
            return Ok(Some(record));
        }
        Err(SourceError::Format {
            place: Place::Line { path: self.name.to_string(), line: record.line },
            found: format!("{} fields", record.len()).into(),
            expected: self.columns.to_string().into(),
            remedy: "correct the line, or check the delimiter and quote".into(),
            cause: None,
        })
    }

    fn is_blank(&self) -> Result<bool, SourceError> {
        Ok(self.records.record().map_err(|e| self.fault(e))?.is_blank())
    }

    fn fault(&self, error: RecordError) -> SourceError {
        let (found, expected, remedy) = match error.fault {
            Fault::Io(cause) => return reading(&self.name, cause),
            Fault::OpenQuote => {
                ("a quote that is never closed", "a second one", "close it, or check the quote character")
            }
            Fault::AfterQuote => (
                "text behind a closing quote",
                "a delimiter or the end of the line",
                "double quotes within a quoted field, or check the delimiter",
            ),
            Fault::Encoding => ("bytes that are not UTF-8", "UTF-8 text", "convert the file, with iconv say"),
            Fault::TooLong => (
                "a record of more than 64 MiB",
                "a shorter one",
                "close the quote opened in it, or check the quote character",
            ),
        };
        SourceError::Format {
            place: Place::Column { path: self.name.to_string(), line: error.line, column: error.column },
            found: found.into(),
            expected: expected.into(),
            remedy: remedy.into(),
            cause: None,
        }
    }
}

/// Reads the files one after the other.
pub(super) struct CsvReader {
    format: Arc<CsvFormat>,
    schema: SchemaRef,
    chunk_rows: usize,
    next_file: usize,
    open: Option<OpenFile>,
}

/// A column being built.
struct Column {
    builder: Box<dyn ColumnBuilder>,
    field: FieldRef,
    is_string: bool,
}

impl CsvReader {
    pub(super) fn new(format: Arc<CsvFormat>, columns: &[FieldRef], chunk_rows: usize) -> Self {
        let schema = Arc::new(Schema::new(columns.to_vec()));
        Self { format, schema, chunk_rows: chunk_rows.max(1), next_file: 0, open: None }
    }

    /// Opens the next file; false if there is none.
    fn advance(&mut self) -> Result<bool, SourceError> {
        let Some(file) = self.format.files.get(self.next_file) else { return Ok(false) };
        let open = OpenFile::open(file, &self.format, Some(self.schema.fields().len()))?;
        let planned: Vec<String> = self.schema.fields().iter().map(|f| f.name().clone()).collect();
        if self.format.header && !open.names.is_empty() {
            self.format.compare(file, &open.names, &planned)?;
        }
        self.next_file += 1;
        self.open = Some(open);
        Ok(true)
    }

    fn columns(&self) -> Vec<Column> {
        let column = |field: &FieldRef| {
            let builder = column_builder(field.data_type(), false)?;
            let is_string = *field.data_type() == DataType::Utf8View;
            Some(Column { builder, field: Arc::clone(field), is_string })
        };
        self.schema.fields().iter().filter_map(column).collect()
    }
}

impl Reader for CsvReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if self.open.is_none() && !self.advance()? {
                return Ok(None);
            }
            let mut columns = self.columns();
            let Some(open) = &mut self.open else { continue };
            let (mut rows, full) = (0, open.records.bytes_read() + BATCH_BYTES);
            while rows < self.chunk_rows && open.records.bytes_read() < full {
                let name = Arc::clone(&open.name);
                let Some(record) = open.next()? else { break };
                append(&mut columns, &record, &self.format, &name)?;
                rows += 1;
            }
            if rows == 0 {
                self.open = None;
                continue;
            }
            let arrays = columns.iter_mut().map(|c| c.builder.finish()).collect();
            return assemble(&self.schema, arrays, rows, &open.name).map(Some);
        }
    }
}

fn append(
    columns: &mut [Column],
    record: &Record<'_>,
    format: &CsvFormat,
    path: &str,
) -> Result<(), SourceError> {
    for (at, (field, column)) in record.fields().zip(columns).enumerate() {
        let empty = field.text.is_empty() && !column.is_string;
        if !field.quoted && (empty || format.is_null(&field.text)) {
            column.builder.null();
        } else if !column.builder.text(&field.text) {
            let (line, place) = record.place_of(at);
            return Err(SourceError::Value {
                place: Place::Column { path: path.to_owned(), line, column: place },
                column: column.field.name().clone(),
                found: "a value of another type",
                expected: logical_type(column.field.data_type()),
            });
        }
    }
    Ok(())
}

/// Every line would be a part of the first, and the file would have no row.
fn lone_returns(file: &SourceFile) -> SourceError {
    SourceError::Format {
        place: Place::Whole(file.name.clone()),
        found: "column names with carriage returns in them".into(),
        expected: "lines that end in a line feed, or in a carriage return and a line feed".into(),
        remedy: "convert the file, with tr '\\r' '\\n' say".into(),
        cause: None,
    }
}
