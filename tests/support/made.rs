//! A source that makes its rows as they are read, through the public trait: any number of rows, and
//! chunks of sizes that look random.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch::nodes::source::{PlannedSource, Reader, Source, SourceError, SourceOptions};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};

/// The value of a column at row n is `n * step % modulo`; as a text of `width` characters, if any.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) step: u64,
    pub(crate) modulo: u64,
    pub(crate) width: usize,
}

impl Column {
    pub(crate) fn new(name: &str, step: u64, modulo: u64) -> Self {
        Self { name: name.to_owned(), step, modulo, width: 0 }
    }

    pub(crate) fn text(name: &str, step: u64, modulo: u64, width: usize) -> Self {
        Self { width, ..Self::new(name, step, modulo) }
    }

    fn field(&self) -> FieldRef {
        let data_type = if self.width == 0 { DataType::Int64 } else { DataType::Utf8View };
        Arc::new(Field::new(&self.name, data_type, true))
    }

    fn values(&self, rows: std::ops::Range<u64>) -> ArrayRef {
        let value = |n: u64| n.wrapping_mul(self.step) % self.modulo;
        if self.width == 0 {
            Arc::new(rows.map(|n| Some(value(n).cast_signed())).collect::<Int64Array>())
        } else {
            let text = |n| Some(format!("{:0>width$}", value(n), width = self.width));
            Arc::new(rows.map(text).collect::<StringViewArray>())
        }
    }
}

/// Rows that are made when they are read.
#[derive(Debug)]
pub(crate) struct Made {
    rows: u64,
    columns: Vec<Column>,
    options: SourceOptions,
    /// Seeds of the chunks' sizes; each reading takes the next. None: all are as large as they may be.
    shuffled: Option<Arc<AtomicU64>>,
}

impl Made {
    pub(crate) fn new(rows: u64, columns: impl IntoIterator<Item = Column>) -> Self {
        let columns = columns.into_iter().collect();
        Self { rows, columns, options: SourceOptions::default(), shuffled: None }
    }

    pub(crate) fn tags(mut self, tags: &[&str]) -> Self {
        self.options.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self
    }

    /// Chunks of sizes that look random, between which other threads are let in at random.
    pub(crate) fn shuffled(mut self, seed: u64) -> Self {
        self.shuffled = Some(Arc::new(AtomicU64::new(seed << 32)));
        self
    }
}

impl Source for Made {
    fn kind(&self) -> &'static str {
        "made"
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        let fields = self.columns.iter().map(Column::field).collect();
        let (columns, shuffled) = (self.columns.clone(), self.shuffled.clone());
        Ok(Box::new(Planned { rows: self.rows, columns, fields, shuffled }))
    }
}

struct Planned {
    rows: u64,
    columns: Vec<Column>,
    fields: Vec<FieldRef>,
    shuffled: Option<Arc<AtomicU64>>,
}

impl PlannedSource for Planned {
    fn columns(&self) -> &[FieldRef] {
        &self.fields
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let numbers = self.shuffled.as_ref().map(|s| super::Numbers(s.fetch_add(1, Ordering::Relaxed)));
        Ok(Box::new(Reading {
            next: 0,
            rows: self.rows,
            chunk_rows: chunk_rows as u64,
            columns: self.columns.clone(),
            schema: Arc::new(Schema::new(self.fields.clone())),
            numbers,
        }))
    }
}

struct Reading {
    next: u64,
    rows: u64,
    chunk_rows: u64,
    columns: Vec<Column>,
    schema: Arc<Schema>,
    numbers: Option<super::Numbers>,
}

impl Reader for Reading {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.next == self.rows {
            return Ok(None);
        }
        let mut count = self.chunk_rows;
        if let Some(numbers) = &mut self.numbers {
            let most = [3, 50, self.chunk_rows][numbers.below(3) as usize];
            count = 1 + numbers.below(most.min(self.chunk_rows));
            (0..numbers.below(20)).for_each(|_| std::thread::yield_now());
        }
        let rows = self.next..(self.next + count).min(self.rows);
        self.next = rows.end;
        let columns = self.columns.iter().map(|column| column.values(rows.clone())).collect();
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns).unwrap()))
    }
}
