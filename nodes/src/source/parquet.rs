//! Rows from Parquet files.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::cast::Casts;
use super::damage::guarded;
use super::error::SourceError;
use super::footed::FootedFiles;
use super::options::option_methods;
use super::paths::SourceFile;
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
        let fields_of = |file: &SourceFile| Ok(open(file)?.schema().fields().clone());
        let files = FootedFiles::plan(&self.path, &self.options, fields_of)?;
        Ok(Box::new(PlannedParquet(files)))
    }
}

struct PlannedParquet(FootedFiles);

type Builder = ParquetRecordBatchReaderBuilder<File>;

impl PlannedSource for PlannedParquet {
    fn columns(&self) -> &[FieldRef] {
        self.0.columns()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.0.paths()
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let casts = Casts::new(self.0.columns());
        let chunk_rows = chunk_rows.max(1);
        Ok(Box::new(ParquetReader { files: self.0.clone(), casts, chunk_rows, next_file: 0, open: None }))
    }
}

const FORMAT: &str = "Parquet";

fn open(file: &SourceFile) -> Result<Builder, SourceError> {
    let opened = file.open()?;
    guarded(&file.name, FORMAT, || Builder::try_new(opened))
}

struct ParquetReader {
    files: FootedFiles,
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
        self.files.check(file, builder.schema().fields())?;
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
            let Some(file) = self.files.get(self.next_file).cloned() else { return Ok(None) };
            self.advance(&file)?;
        }
    }
}
