//! Rows from files of one JSON object per line.

mod lines;
mod objects;
mod shape;

pub(super) use objects::{ObjectColumns, ObjectRows};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::types::logical_type;
use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;
use serde_json::{Map, Value};

use super::csv::{PREFIX_BYTES, PREFIX_ROWS};
use super::error::{Place, SourceError};
use super::options::option_methods;
use super::paths::{SourceFile, expand};
use super::{PlannedSource, Reader, Source, SourceOptions};
use lines::Lines;

/// Bytes of text after which a batch is full whatever its rows.
const BATCH_BYTES: u64 = 32 * 1024 * 1024;

/// Rows of files with one JSON object per line.
///
/// Types are inferred from the first 65,536 rows or 16 MiB over all files in order, where `types`
/// says nothing: `bool`, `int64` (`uint64` where needed), `float64`, `string`, `list`, `struct`;
/// values that have no type in common make a string column of their JSON texts. A key that is
/// absent is null. Later values of another type and later keys are errors; a key named under
/// `types` is a column wherever it first occurs. Times, decimals and binaries, which JSON does
/// not have, are read from strings if `types` says so.
#[derive(Debug, Clone)]
pub struct JsonLines {
    path: PathBuf,
    options: SourceOptions,
}

impl JsonLines {
    /// The file, or the files that a pattern matches, sorted by name.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), options: SourceOptions::default() }
    }

    option_methods!();

    /// The path or pattern.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Source for JsonLines {
    fn kind(&self) -> &'static str {
        "jsonl"
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        let files = expand(&self.path)?;
        let mut columns = ObjectColumns::default();
        let (mut rows, mut bytes) = (0, 0);
        for file in &files {
            let mut lines = Lines::open(file)?;
            while rows < PREFIX_ROWS && bytes + lines.bytes_read() < PREFIX_BYTES {
                let Some(object) = lines.next()? else { break };
                columns.add(&object);
                rows += 1;
            }
            bytes += lines.bytes_read();
        }
        let rows = columns.rows(&self.options.types, &self.path.display().to_string())?;
        Ok(Box::new(PlannedJson { files: files.into(), rows: Arc::new(rows) }))
    }
}

struct PlannedJson {
    files: Arc<[SourceFile]>,
    rows: Arc<ObjectRows>,
}

impl PlannedSource for PlannedJson {
    fn columns(&self) -> &[FieldRef] {
        self.rows.columns()
    }

    fn files(&self) -> Vec<PathBuf> {
        SourceFile::paths(&self.files)
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let (files, rows) = (Arc::clone(&self.files), Arc::clone(&self.rows));
        Ok(Box::new(JsonReader { files, rows, chunk_rows: chunk_rows.max(1), next_file: 0, open: None }))
    }
}

struct JsonReader {
    files: Arc<[SourceFile]>,
    rows: Arc<ObjectRows>,
    chunk_rows: usize,
    next_file: usize,
    open: Option<Lines>,
}

impl Reader for JsonReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            let lines = match &mut self.open {
                Some(lines) => lines,
                None => match self.files.get(self.next_file) {
                    Some(file) => {
                        self.next_file += 1;
                        self.open.insert(Lines::open(file)?)
                    }
                    None => return Ok(None),
                },
            };
            let mut builder = self.rows.builder();
            let full = lines.bytes_read() + BATCH_BYTES;
            while builder.rows() < self.chunk_rows && lines.bytes_read() < full {
                let Some(object) = lines.next()? else { break };
                builder.append(&object).map_err(|misfit| lines.misfit(&misfit))?;
            }
            if builder.rows() > 0 {
                return builder.finish(lines.name()).map(Some);
            }
            self.open = None;
        }
    }
}

/// The error for a value that is not of its column's type, or for a key that is no column.
pub(super) fn misfit_error(place: Place, misfit: &super::column::Misfit) -> SourceError {
    let key = misfit.path.join(".").replace(".[]", "[]");
    let column = misfit.path.first().map_or("", String::as_str);
    let (found, expected) = match &misfit.expected {
        Some(expected) if misfit.path.len() == 1 => {
            let (column, expected) = (column.to_owned(), expected.clone());
            return SourceError::Value { place, column, found: misfit.found, expected };
        }
        Some(expected) => (format!("{} at key \"{key}\"", misfit.found), expected.as_str()),
        None => (
            format!("key \"{key}\", which the rows that types were inferred from do not have"),
            "no other keys",
        ),
    };
    SourceError::Format {
        place,
        found: found.into(),
        expected: expected.into(),
        remedy: format!("correct it, or name the type: `types: {{ {column}: string }}` for one").into(),
        cause: None,
    }
}

/// Whether a type can be read from JSON; the error names the column.
fn unreadable(column: &str, data_type: &arrow::datatypes::DataType) -> SourceError {
    SourceError::Option {
        option: "types",
        found: format!("{} for column \"{column}\"", logical_type(data_type)),
        expected: "a type that a JSON value can hold".into(),
        remedy: "read it as a string, or keep the data as parquet or arrow".into(),
    }
}

/// One row.
type Object = Map<String, Value>;
