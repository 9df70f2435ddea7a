//! Rows from Parquet files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::cast::{Casts, bound_columns, same_columns};
use super::damage::guarded;
use super::error::SourceError;
use super::options::option_methods;
use super::paths::{SourceFile, expand};
use super::pieces::Pieces;
use super::{PlannedSource, Reader, Source, SourceOptions};

/// Rows of Parquet files.
///
/// `types` names types that columns are cast to; a value that would lose something is an error.
/// Memory: the pages of one row group.
#[derive(Debug, Clone)]
pub struct Parquet {
    path: PathBuf,
    options: SourceOptions,
}

impl Parquet {
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

impl Source for Parquet {
    fn kind(&self) -> &'static str {
        "parquet"
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        let files = expand(&self.path)?;
        let mut planned =
            PlannedParquet { options: self.options.clone(), columns: Vec::new(), files: files.into() };
        for (at, file) in planned.files.iter().enumerate() {
            let columns = planned.columns_of(file, &open(file)?)?;
            if at == 0 {
                planned.columns = columns;
            } else {
                planned.check(file, &columns)?;
            }
        }
        Ok(Box::new(planned))
    }
}

#[derive(Clone)]
struct PlannedParquet {
    options: SourceOptions,
    files: Arc<[SourceFile]>,
    columns: Vec<FieldRef>,
}

type Builder = ParquetRecordBatchReaderBuilder<File>;

impl PlannedParquet {
    fn columns_of(&self, file: &SourceFile, builder: &Builder) -> Result<Vec<FieldRef>, SourceError> {
        bound_columns(&file.name, builder.schema().fields(), &self.options.types)
    }

    fn check(&self, file: &SourceFile, columns: &[FieldRef]) -> Result<(), SourceError> {
        let first = self.files.first().map_or("", |f| &f.name);
        same_columns(&file.name, columns, first, &self.columns)
    }
}

impl PlannedSource for PlannedParquet {
    fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    fn files(&self) -> Vec<PathBuf> {
        SourceFile::paths(&self.files)
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let casts = Casts::new(&self.columns);
        let chunk_rows = chunk_rows.max(1);
        Ok(Box::new(ParquetReader { planned: self.clone(), casts, chunk_rows, next_file: 0, open: None }))
    }
}

const FORMAT: &str = "Parquet";

fn open(file: &SourceFile) -> Result<Builder, SourceError> {
    let opened = file.open()?;
    guarded(&file.name, FORMAT, || Builder::try_new(opened))
}

struct ParquetReader {
    planned: PlannedParquet,
    casts: Casts,
    chunk_rows: usize,
    next_file: usize,
    open: Option<OpenParquet>,
}

struct OpenParquet {
    name: String,
    batches: ParquetRecordBatchReader,
    /// Rows read of this file.
    row: u64,
    pieces: Pieces,
}

impl OpenParquet {
    fn next(&mut self, casts: &Casts) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if let Some(piece) = self.pieces.next(&self.name)? {
                return Ok(Some(piece));
            }
            let batch = guarded(&self.name, FORMAT, || self.batches.next().transpose())?;
            let Some(batch) = batch else { return Ok(None) };
            self.pieces.cut(casts.apply(&batch, &self.name, self.row)?);
            self.row += batch.num_rows() as u64;
        }
    }
}

impl ParquetReader {
    fn advance(&mut self, file: &SourceFile) -> Result<(), SourceError> {
        let builder = open(file)?;
        self.planned.check(file, &self.planned.columns_of(file, &builder)?)?;
        let batches = guarded(&file.name, FORMAT, || builder.with_batch_size(self.chunk_rows).build())?;
        self.next_file += 1;
        let pieces = Pieces::new(self.chunk_rows);
        self.open = Some(OpenParquet { name: file.name.clone(), batches, row: 0, pieces });
        Ok(())
    }
}

impl Reader for ParquetReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(batch) = open.next(&self.casts)? {
                    return Ok(Some(batch));
                }
                self.open = None;
            }
            let Some(file) = self.planned.files.get(self.next_file).cloned() else { return Ok(None) };
            self.advance(&file)?;
        }
    }
}
