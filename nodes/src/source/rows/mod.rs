//! Rows given where the pipeline is written, or made by the program.

use std::sync::Arc;

use anabranch_engine::index::At as _;
use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Fields};
use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::cast::{Casts, FileFields, StreamTypes};
use super::document::{DEPTH, Document, JsonDialect};
use super::error::{Place, SourceError};
use super::json::{ObjectColumns, ObjectRows, TooManyKeys, misfit_error, too_many_keys};
use super::options::option_methods;
use super::typed::BatchSlicer;
use super::{PlannedSource, Reader, Source, SourceOptions};

/// Name of these rows in messages.
const NAME: &str = "rows";

/// Rows that are at hand.
///
/// Types of given values are inferred from all rows, as by [`JsonLines`](super::JsonLines); `types`
/// says otherwise. A key that is absent is null.
#[derive(Debug, Clone)]
pub struct Rows {
    given: Given,
    options: SourceOptions,
}

#[derive(Debug, Clone)]
enum Given {
    Values(Arc<Vec<Document>>),
    /// A row that is nested too deep or too long.
    Unreadable(usize),
    Batches(Arc<Vec<RecordBatch>>),
}

impl Rows {
    /// Rows of values by column name; columns stand in the order in which they first occur.
    pub fn new<R, K>(rows: impl IntoIterator<Item = R>) -> Self
    where
        R: IntoIterator<Item = (K, Value)>,
        K: Into<String>,
    {
        let row = |row: R| row.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let rows = rows.into_iter().map(row).enumerate();
        let documents: Result<Vec<Document>, usize> =
            rows.map(|(at, row): (usize, Map<String, Value>)| document(&row).ok_or(at)).collect();
        let given = documents.map_or_else(Given::Unreadable, |rows| Given::Values(Arc::new(rows)));
        Self { given, options: SourceOptions::default() }
    }

    /// Rows of JSON objects, each in a text of its own; numbers keep every digit. `NaN`, `Infinity`
    /// and `-Infinity` are numbers.
    ///
    /// Errors: a text that is no JSON object.
    pub fn from_json<T: Into<String>>(rows: impl IntoIterator<Item = T>) -> Result<Self, SourceError> {
        let mut documents = Vec::new();
        for (row, text) in rows.into_iter().enumerate() {
            let document = Document::new(text.into(), JsonDialect::NonFinite).ok();
            let document = document.filter(|document| document.root().entries().is_some());
            documents.push(document.ok_or_else(|| {
                SourceError::format(place(row), "text that is no JSON object", "a JSON object", "correct it")
            })?);
        }
        Ok(Self { given: Given::Values(Arc::new(documents)), options: SourceOptions::default() })
    }

    /// Rows of record batches, which all have the first one's columns by name; a column of several
    /// types gets the one that holds all.
    #[must_use]
    pub fn from_batches(batches: Vec<RecordBatch>) -> Self {
        Self { given: Given::Batches(Arc::new(batches)), options: SourceOptions::default() }
    }

    option_methods!();

    fn plan_batches(&self, batches: &Arc<Vec<RecordBatch>>) -> Result<PlannedBatches, SourceError> {
        let mut types = StreamTypes::default();
        if batches.is_empty() {
            types.add(NAME, &FileFields::plain(Fields::empty()), &self.options.types)?;
        }
        for (at, batch) in batches.iter().enumerate() {
            types.add(&batch_name(at), &fields_of(batch), &self.options.types)?;
        }
        let (columns, options) = (types.finish()?, self.options.clone());
        Ok(PlannedBatches { columns, batches: Arc::clone(batches), options })
    }
}

fn batch_name(at: usize) -> String {
    format!("batch {at} of rows")
}

fn fields_of(batch: &RecordBatch) -> FileFields {
    FileFields::plain(batch.schema().fields().clone())
}

impl Source for Rows {
    fn kind(&self) -> &'static str {
        "rows"
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        match &self.given {
            Given::Unreadable(row) => {
                let found = format!("a row of more than {DEPTH} levels, or of 4 GiB");
                let expected = "a row that JSON can hold";
                Err(SourceError::format(place(*row), found, expected, "give it as record batches"))
            }
            Given::Batches(batches) => Ok(Box::new(self.plan_batches(batches)?)),
            Given::Values(values) => {
                let (renamed, formats) = (IndexMap::new(), IndexMap::new());
                let mut columns = ObjectColumns::new(&self.options.types, &renamed, &formats);
                for (at, row) in values.iter().enumerate() {
                    columns.add(row.entries()).map_err(|TooManyKeys| too_many_keys(place(at)))?;
                }
                let rows = Arc::new(columns.rows(NAME)?);
                // A value that does not fit is found now, not when the pipeline runs.
                let mut check = ValueReader::new(values, &rows, usize::MAX);
                while check.next()?.is_some() {}
                Ok(Box::new(PlannedValues { rows, values: Arc::clone(values) }))
            }
        }
    }
}

/// A row of values as a document; none if it is nested too deep or too long.
fn document(row: &Map<String, Value>) -> Option<Document> {
    Document::new(serde_json::to_string(row).ok()?, JsonDialect::Strict).ok()
}

fn place(row: usize) -> Place {
    Place::Row { path: NAME.to_owned(), row: row as u64 }
}

struct PlannedValues {
    rows: Arc<ObjectRows>,
    values: Arc<Vec<Document>>,
}

impl PlannedSource for PlannedValues {
    fn columns(&self) -> &[FieldRef] {
        &self.rows.fields
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        Ok(Box::new(ValueReader::new(&self.values, &self.rows, chunk_rows)))
    }
}

struct ValueReader {
    rows: Arc<ObjectRows>,
    values: Arc<Vec<Document>>,
    chunk_rows: usize,
    next: usize,
}

impl ValueReader {
    fn new(values: &Arc<Vec<Document>>, rows: &Arc<ObjectRows>, chunk_rows: usize) -> Self {
        Self { rows: Arc::clone(rows), values: Arc::clone(values), chunk_rows: chunk_rows.max(1), next: 0 }
    }
}

impl Reader for ValueReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        let mut builder = self.rows.builder();
        let rows = self.rows.batch_rows(self.chunk_rows);
        for object in self.values.iter().skip(self.next).take(rows) {
            builder.append(object.entries()).map_err(|misfit| misfit_error(place(self.next), &misfit))?;
            self.next += 1;
        }
        if builder.rows == 0 { Ok(None) } else { builder.finish(NAME).map(Some) }
    }
}

struct PlannedBatches {
    columns: Vec<FieldRef>,
    batches: Arc<Vec<RecordBatch>>,
    options: SourceOptions,
}

impl PlannedSource for PlannedBatches {
    fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let batches = Arc::clone(&self.batches);
        let cast = |(at, batch): (usize, &RecordBatch)| {
            Casts::new(&self.columns, &batch_name(at), &fields_of(batch), &self.options.types)
        };
        let casts = batches.iter().enumerate().map(cast).collect::<Result<_, _>>()?;
        Ok(Box::new(RowsReader { casts, batches, next: 0, row: 0, slicer: BatchSlicer::new(chunk_rows) }))
    }
}

struct RowsReader {
    /// Of each batch.
    casts: Vec<Casts>,
    batches: Arc<Vec<RecordBatch>>,
    next: usize,
    row: u64,
    slicer: BatchSlicer,
}

impl Reader for RowsReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if let Some(piece) = self.slicer.next(NAME)? {
                return Ok(Some(piece));
            }
            let Some(batch) = self.batches.get(self.next) else { return Ok(None) };
            let casts = self.casts.at(self.next, "each batch has its casts");
            self.slicer.push(casts.apply(batch, NAME, self.row)?);
            self.row += batch.num_rows() as u64;
            self.next += 1;
        }
    }
}
