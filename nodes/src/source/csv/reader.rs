//! Reads CSV files into record batches.

use std::sync::Arc;

use anabranch_engine::index::At as _;
use anabranch_engine::types::logical_type;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};

use super::records::{Record, RecordError, RecordFault, Records};
use super::{CsvFormat, Ragged};
use crate::source::Reader;
use crate::source::cast::assemble;
use crate::source::column::ColumnBuilder;
use crate::source::column::ColumnReading;
use crate::source::error::{Place, SourceError, reading};
use crate::source::input::Text;
use crate::source::{COLUMNS, batch_rows};

/// Bytes of text after which a batch is full whatever its rows.
const BATCH_BYTES: u64 = 32 * 1024 * 1024;

/// A file past its header.
pub(super) struct OpenCsvFile {
    name: Arc<str>,
    pub(super) records: Records<Text>,
    /// The names of the header, or `column_1` and so on; empty if the file has no line.
    pub(super) names: Vec<String>,
    columns: usize,
    ragged: Ragged,
    /// The column of each field, where that is not the field's place.
    pub(super) order: Option<Vec<usize>>,
    /// The first record of a file without header, which was read to count its fields.
    pending: bool,
}

impl OpenCsvFile {
    /// Reads the header of a file. `columns` is how many fields records have, where that is known;
    /// otherwise the first record decides.
    pub(super) fn begin(
        name: &str,
        text: Text,
        format: &CsvFormat,
        columns: Option<usize>,
    ) -> Result<Self, SourceError> {
        let mut open = Self {
            name: name.into(),
            records: Records::new(text, format.dialect.clone()),
            names: Vec::new(),
            columns: 0,
            ragged: format.ragged,
            order: None,
            pending: false,
        };
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
        open.pending = !format.header && !open.names.is_empty();
        open.columns = columns.unwrap_or(open.names.len());
        Ok(open)
    }

    /// The column of a field.
    pub(super) fn column_of(&self, field: usize) -> usize {
        column_of(self.order.as_deref(), field)
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
        let short = record.len() < self.columns;
        if record.len() == self.columns || (short && self.ragged == Ragged::Null) {
            return Ok(Some(record));
        }
        let remedy = if short {
            "correct the line, check the delimiter and quote, or fill short lines by `ragged: null`"
        } else {
            "correct the line, or check the delimiter and quote"
        };
        let place = Place::Line { path: self.name.to_string(), line: record.line };
        let found = format!("{} fields", record.len());
        Err(SourceError::format(place, found, self.columns.to_string(), remedy))
    }

    fn is_blank(&self) -> Result<bool, SourceError> {
        Ok(self.records.record().map_err(|e| self.fault(e))?.is_blank())
    }

    fn fault(&self, error: RecordError) -> SourceError {
        let (found, expected, remedy) = match error.fault {
            RecordFault::Io(cause) => return reading(&self.name, cause),
            RecordFault::OpenQuote => {
                ("a quote that is never closed", "a second one", "close it, or check the quote character")
            }
            RecordFault::AfterQuote => (
                "text behind a closing quote",
                "a delimiter or the end of the line",
                "double quotes within a quoted field, or check the delimiter",
            ),
            RecordFault::Encoding => (
                "bytes that are not UTF-8",
                "UTF-8 text",
                "name the file's encoding, as in `encoding: windows-1252`",
            ),
            RecordFault::TooManyFields => {
                return SourceError::format(
                    Place::Line { path: self.name.to_string(), line: error.line },
                    format!("more than {COLUMNS} fields"),
                    format!("at most {COLUMNS} columns"),
                    "check the delimiter, or turn columns into rows",
                );
            }
            RecordFault::TooLong => (
                "a record of more than 64 MiB",
                "a shorter one",
                "close the quote opened in it, or check the quote character",
            ),
        };
        let (line, column) = (error.line, error.column);
        let place = Place::Column { path: self.name.to_string(), line, column };
        SourceError::format(place, found, expected, remedy)
    }
}

/// Reads the files one after the other.
pub(super) struct CsvReader {
    format: Arc<CsvFormat>,
    schema: SchemaRef,
    chunk_rows: usize,
    next_file: usize,
    open: Option<OpenCsvFile>,
}

/// A column being built.
struct CsvColumn {
    builder: Box<dyn ColumnBuilder>,
    field: FieldRef,
    is_string: bool,
}

impl CsvReader {
    pub(super) fn new(format: Arc<CsvFormat>, columns: &[FieldRef], chunk_rows: usize) -> Self {
        let schema = Arc::new(Schema::new(columns.to_vec()));
        let chunk_rows = batch_rows(chunk_rows, columns.len());
        Self { format, schema, chunk_rows, next_file: 0, open: None }
    }

    /// Opens the next file; false if there is none.
    fn advance(&mut self) -> Result<bool, SourceError> {
        let Some(file) = self.format.files.get(self.next_file) else { return Ok(false) };
        let (text, columns) = (file.open(self.format.encoding)?, self.schema.fields().len());
        let mut open = OpenCsvFile::begin(file.name(), text, &self.format, Some(columns))?;
        self.format.arrange(file, &mut open)?;
        self.next_file += 1;
        self.open = Some(open);
        Ok(true)
    }

    fn columns(&self) -> Vec<CsvColumn> {
        let column = |(field, read): (&FieldRef, &ColumnReading)| {
            let is_string = *field.data_type() == DataType::Utf8View;
            Some(CsvColumn { builder: read.builder(field.data_type())?, field: Arc::clone(field), is_string })
        };
        self.schema.fields().iter().zip(&self.format.readings).filter_map(column).collect()
    }
}

impl Reader for CsvReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if self.open.is_none() && !self.advance()? {
                return Ok(None);
            }
            let mut columns = self.columns();
            let Some(open) = &mut self.open else { panic!("a file is open after advancing to it") };
            let order = open.order.take();
            let (mut rows, full) = (0, open.records.bytes_read + BATCH_BYTES);
            while rows < self.chunk_rows && open.records.bytes_read < full {
                let name = Arc::clone(&open.name);
                let Some(record) = open.next()? else { break };
                append(&mut columns, &record, &self.format, order.as_deref(), &name)?;
                rows += 1;
            }
            open.order = order;
            if rows == 0 {
                self.open = None;
                continue;
            }
            let arrays = columns.iter_mut().map(|c| c.builder.finish()).collect();
            return assemble(&self.schema, arrays, rows, &open.name).map(Some);
        }
    }
}

/// Invariant of the fields of a record.
const FIELDS: &str = "a record has no more fields than there are columns";

/// The column of a field; without an order, fields come as the columns do.
fn column_of(order: Option<&[usize]>, field: usize) -> usize {
    order.map_or(field, |order| *order.at(field, "each field of a header has a column"))
}

fn append(
    columns: &mut [CsvColumn],
    record: &Record<'_>,
    format: &CsvFormat,
    order: Option<&[usize]>,
    path: &str,
) -> Result<(), SourceError> {
    for (field_number, field) in record.fields().enumerate() {
        let column = columns.at_mut(column_of(order, field_number), FIELDS);
        let empty = field.text.is_empty() && !column.is_string;
        if !field.quoted && (empty || format.is_null(&field.text)) {
            column.builder.null();
        } else if !column.builder.text(&field.text) {
            let (line, place) = record.place_of(field_number);
            return Err(SourceError::Value {
                place: Place::Column { path: path.to_owned(), line, column: place },
                column: column.field.name().clone(),
                found: "a value of another type",
                expected: logical_type(column.field.data_type()),
            });
        }
    }
    // A short line.
    for field_number in record.len()..columns.len() {
        columns.at_mut(column_of(order, field_number), FIELDS).builder.null();
    }
    Ok(())
}
