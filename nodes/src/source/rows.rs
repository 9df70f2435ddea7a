//! Rows given where the pipeline is written, or made by the program.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Fields};
use serde_json::{Map, Value};

use super::cast::{Casts, bound_columns, same_columns};
use super::error::{Place, SourceError};
use super::json::{ObjectColumns, ObjectRows, misfit_error};
use super::options::option_methods;
use super::pieces::Pieces;
use super::{PlannedSource, Reader, Source, SourceOptions};

/// What messages call these rows.
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
    Values(Arc<Vec<Map<String, Value>>>),
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
        let values: Vec<Map<String, Value>> = rows.into_iter().map(row).collect();
        Self { given: Given::Values(Arc::new(values)), options: SourceOptions::default() }
    }

    /// Rows of record batches, which all have the first one's columns.
    #[must_use]
    pub fn from_batches(batches: Vec<RecordBatch>) -> Self {
        Self { given: Given::Batches(Arc::new(batches)), options: SourceOptions::default() }
    }

    option_methods!();

    fn plan_batches(&self, batches: &Arc<Vec<RecordBatch>>) -> Result<PlannedBatches, SourceError> {
        let columns = |batch: Option<&RecordBatch>| {
            let fields = batch.map_or_else(Fields::empty, |b| b.schema().fields().clone());
            bound_columns(NAME, &fields, &self.options.types)
        };
        let first = columns(batches.first())?;
        for (at, batch) in batches.iter().enumerate() {
            let name = format!("batch {at} of rows");
            same_columns(&name, &columns(Some(batch))?, "batch 0 of rows", &first)?;
        }
        Ok(PlannedBatches { columns: first, batches: Arc::clone(batches) })
    }
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
            Given::Batches(batches) => Ok(Box::new(self.plan_batches(batches)?)),
            Given::Values(values) => {
                let mut columns = ObjectColumns::default();
                values.iter().for_each(|row| columns.add(row));
                let rows = Arc::new(columns.rows(&self.options.types, NAME)?);
                // A value that does not fit is found now, not when the pipeline runs.
                let mut check = ValueReader::new(values, &rows, usize::MAX);
                while check.next()?.is_some() {}
                Ok(Box::new(PlannedValues { rows, values: Arc::clone(values) }))
            }
        }
    }
}

struct PlannedValues {
    rows: Arc<ObjectRows>,
    values: Arc<Vec<Map<String, Value>>>,
}

impl PlannedSource for PlannedValues {
    fn columns(&self) -> &[FieldRef] {
        self.rows.columns()
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        Ok(Box::new(ValueReader::new(&self.values, &self.rows, chunk_rows)))
    }
}

struct ValueReader {
    rows: Arc<ObjectRows>,
    values: Arc<Vec<Map<String, Value>>>,
    chunk_rows: usize,
    next: usize,
}

impl ValueReader {
    fn new(values: &Arc<Vec<Map<String, Value>>>, rows: &Arc<ObjectRows>, chunk_rows: usize) -> Self {
        Self { rows: Arc::clone(rows), values: Arc::clone(values), chunk_rows: chunk_rows.max(1), next: 0 }
    }
}

impl Reader for ValueReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        let mut builder = self.rows.builder();
        for object in self.values.iter().skip(self.next).take(self.chunk_rows) {
            builder.append(object).map_err(|misfit| {
                let place = Place::Row { path: NAME.to_owned(), row: self.next as u64 };
                misfit_error(place, &misfit)
            })?;
            self.next += 1;
        }
        if builder.rows() == 0 { Ok(None) } else { builder.finish(NAME).map(Some) }
    }
}

struct PlannedBatches {
    columns: Vec<FieldRef>,
    batches: Arc<Vec<RecordBatch>>,
}

impl PlannedSource for PlannedBatches {
    fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let batches = Arc::clone(&self.batches);
        let casts = Casts::new(&self.columns);
        Ok(Box::new(BatchReader { casts, batches, next: 0, row: 0, pieces: Pieces::new(chunk_rows) }))
    }
}

struct BatchReader {
    casts: Casts,
    batches: Arc<Vec<RecordBatch>>,
    next: usize,
    row: u64,
    pieces: Pieces,
}

impl Reader for BatchReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if let Some(piece) = self.pieces.next(NAME)? {
                return Ok(Some(piece));
            }
            let Some(batch) = self.batches.get(self.next) else { return Ok(None) };
            self.pieces.cut(self.casts.apply(batch, NAME, self.row)?);
            self.row += batch.num_rows() as u64;
            self.next += 1;
        }
    }
}
