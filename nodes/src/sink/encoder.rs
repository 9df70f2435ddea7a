//! Writes rows to one file in one format.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anabranch_engine::bytes::{array_bytes, rows_within};
use anabranch_engine::index::At as _;
use anabranch_engine::schema::RESERVED_PREFIX;
use anabranch_engine::types::logical_type;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::ipc::writer::FileWriter;

use super::csv::CsvText;
use super::error::{SinkError, encoding, refused, unfit};
use super::json::{JsonForm, JsonText};
use super::parquet::ParquetFile;
use super::plain::{handed_schema, plain, plain_schema};
use super::synced_file::SyncedFile;
use super::{Format, JsonOptions, NonFinite};
use crate::source::text::TextForm;

/// Bytes of a file's buffer.
const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of values that are encoded at once, unless one row alone has more.
const PIECE_BYTES: usize = 16 * 1024 * 1024;
/// Encoded bytes of a row group, for a file that is written alone.
pub(super) const SINGLE_GROUP_BYTES: usize = 64 * 1024 * 1024;

type Out = BufWriter<SyncedFile>;

/// A file being written.
pub(super) struct Encoder {
    path: PathBuf,
    types: Vec<DataType>,
    /// The schema of what the form is handed.
    handed: SchemaRef,
    /// Rows written.
    rows: u64,
    form: Form,
}

enum Form {
    Parquet(Box<ParquetFile>),
    Arrow(Box<FileWriter<Out>>),
    Csv(Out, CsvText),
    Json(Out, JsonText, NonFinite),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("path", &self.path).finish_non_exhaustive()
    }
}

/// True if a format can hold these columns.
pub(super) fn check(format: Format, path: &Path, schema: &Schema) -> Result<(), SinkError> {
    if schema.fields().is_empty() && matches!(format, Format::Csv | Format::Parquet) {
        let remedy = "keep a column, or write arrow or jsonl";
        return Err(unfit(path, "no column to write", "at least one", remedy));
    }
    for field in schema.fields() {
        let (holds, expected, remedy) = match format {
            Format::Csv => (
                TextForm::exists_for(field.data_type()),
                "a scalar type in a CSV file",
                csv_remedy(field.name()),
            ),
            Format::JsonLines => (
                JsonForm::exists_for(field.data_type()),
                "a type that JSON can hold",
                "drop the column, or write parquet or arrow",
            ),
            Format::Parquet => (
                !has_empty_struct(field.data_type()),
                "a struct of at least one field in a Parquet file",
                "drop the column, or write arrow or jsonl",
            ),
            Format::Arrow => continue,
        };
        if !holds {
            return Err(SinkError::Column {
                path: path.display().to_string(),
                column: field.name().clone(),
                found: logical_type(field.data_type()),
                expected,
                remedy,
            });
        }
    }
    Ok(())
}

/// The error of the first value of a batch for which JSON has no number; `first` rows are before it.
fn non_finite(path: &Path, schema: &Schema, batch: &RecordBatch, first: u64) -> SinkError {
    let (row, column) = JsonText::first_non_finite(batch)
        .unwrap_or_else(|| panic!("a value without a number in JSON was counted in the batch"));
    let column = schema.fields().at(column, "a column of the batch has a field").name().clone();
    SinkError::NonFinite { path: path.display().to_string(), column, row: first + row as u64 }
}

fn csv_remedy(column: &str) -> &'static str {
    if column.starts_with(RESERVED_PREFIX) {
        return "unbatch it, leave provenance out by columns: data, or write parquet, arrow or jsonl";
    }
    "drop the column, unbatch it, or write parquet, arrow or jsonl"
}

fn has_empty_struct(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => {
            fields.is_empty() || fields.iter().any(|f| has_empty_struct(f.data_type()))
        }
        DataType::List(item) | DataType::Map(item, _) => has_empty_struct(item.data_type()),
        _ => false,
    }
}

impl Encoder {
    /// Begins a file; `path` is its final name, for messages.
    pub(super) fn create(
        (format, json): (Format, JsonOptions),
        file: File,
        schema: &Schema,
        path: &Path,
        group_bytes: usize,
    ) -> Result<Self, SinkError> {
        let types = schema.fields().iter().map(|f| f.data_type().clone()).collect();
        let plain = plain_schema(schema, format);
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, SyncedFile::new(file));
        let form = match format {
            Format::Parquet => {
                let writer = ParquetFile::new(out, &plain, group_bytes);
                Form::Parquet(Box::new(writer.map_err(|e| encoding(path, e))?))
            }
            Format::Arrow => {
                let writer = FileWriter::try_new(out, &plain);
                Form::Arrow(Box::new(writer.map_err(|e| encoding(path, e))?))
            }
            Format::Csv => {
                let mut text = CsvText::default();
                let header = text.header(schema);
                out.write_all(header).map_err(|e| refused("writing", path, e))?;
                Form::Csv(out, text)
            }
            Format::JsonLines => Form::Json(out, JsonText::of_file(schema, json), json.nan),
        };
        Ok(Self { path: path.to_owned(), types, handed: handed_schema(schema, format), rows: 0, form })
    }

    /// Appends rows.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        if !batch.columns().iter().map(|c| c.data_type()).eq(&self.types) {
            return Err(SinkError::Batch { path: self.path.display().to_string() });
        }
        // Rows that share one large value are larger written out than they are here.
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = rows_within(batch.columns(), from, batch.num_rows() - from, PIECE_BYTES);
            let piece = batch.slice(from, rows);
            let is_large =
                rows == 1 && piece.columns().iter().map(|c| array_bytes(c)).sum::<usize>() > PIECE_BYTES;
            self.write_piece(&piece, is_large)?;
            from += rows;
        }
        Ok(())
    }

    fn write_piece(&mut self, batch: &RecordBatch, is_large: bool) -> Result<(), SinkError> {
        let path = &self.path;
        let rows = batch.num_rows() as u64;
        let written = match &mut self.form {
            Form::Parquet(writer) => {
                let columns = plain(batch, &self.handed).map_err(|e| encoding(path, e))?;
                writer.write(&columns, is_large).map_err(|e| encoding(path, e))
            }
            Form::Arrow(writer) => {
                let batch = plain(batch, &self.handed).map_err(|e| encoding(path, e))?;
                writer.write(&batch).map_err(|e| encoding(path, e))
            }
            Form::Csv(out, text) => out.write_all(text.rows(batch)).map_err(|e| refused("writing", path, e)),
            Form::Json(out, text, nan) => {
                let lines = text.rows(batch);
                out.write_all(lines).map_err(|e| refused("writing", path, e))?;
                if *nan == NonFinite::Error && text.non_finite() > 0 {
                    return Err(non_finite(path, &self.handed, batch, self.rows));
                }
                Ok(())
            }
        };
        self.rows += rows;
        written
    }

    /// Values so far that are `NaN` or infinite, in JSON lines.
    pub(super) fn non_finite(&self) -> u64 {
        if let Form::Json(_, text, _) = &self.form { text.non_finite() } else { 0 }
    }

    /// Writes what is left and waits until the disk has it.
    pub(super) fn finish(self) -> Result<(), SinkError> {
        let path = &self.path;
        let out = match self.form {
            Form::Parquet(writer) => writer.finish().map_err(|e| encoding(path, e))?,
            Form::Arrow(mut writer) => {
                writer.finish().map_err(|e| encoding(path, e))?;
                writer.into_inner().map_err(|e| encoding(path, e))?
            }
            Form::Csv(out, _) | Form::Json(out, ..) => out,
        };
        let file = out.into_inner().map_err(|e| refused("writing", path, e.into_error()))?;
        file.finish().map_err(|e| refused("synchronising", path, e))
    }
}
