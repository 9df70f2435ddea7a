//! Rows from Parquet files.

mod fields;
mod file;
mod pages;
mod sizes;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef};
use indexmap::IndexMap;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::batch_slicer::BatchSlicer;
use super::cast::Casts;
use super::damage::guarded;
use super::error::{Place, SourceError};
use super::footed::FootedFiles;
use super::options::option_methods;
use super::paths::SourceFile;
use super::{PlannedSource, Reader, Source, SourceOptions};
use file::OpenFile;
use pages::PageFaults;

/// Rows of Parquet files.
///
/// `types` names types that columns are cast to; a value that would lose something is an error.
///
/// ENUM, JSON and UUID columns are strings (`types: binary` gives the 16 bytes of a UUID); INTERVAL is
/// refused. INT96 timestamps are nanoseconds, or microseconds if declared a timestamp. A page whose
/// checksum is wrong, and counts of rows and values that the pages do not have, are errors.
///
/// Memory: two pages of each column of one row group, and a batch: 8,192 rows, or fewer where the footer says
/// that rows are large, so that it has about 32 MiB.
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
        let fields_of = |file: &SourceFile| Ok(OpenFile::new(file, &self.options.types)?.fields);
        let files = FootedFiles::plan(&self.path, &self.options, fields_of)?;
        Ok(Box::new(PlannedParquet { files, types: self.options.types.clone() }))
    }
}

struct PlannedParquet {
    files: FootedFiles,
    types: IndexMap<String, DataType>,
}

impl PlannedSource for PlannedParquet {
    fn columns(&self) -> &[FieldRef] {
        self.files.columns()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.files.paths()
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let (files, types) = (self.files.clone(), self.types.clone());
        Ok(Box::new(ParquetReader { files, types, chunk_rows: chunk_rows.max(1), next_file: 0, open: None }))
    }
}

const FORMAT: &str = "Parquet";

struct ParquetReader {
    files: FootedFiles,
    types: IndexMap<String, DataType>,
    chunk_rows: usize,
    next_file: usize,
    open: Option<OpenParquet>,
}

struct OpenParquet {
    name: String,
    batches: ParquetRecordBatchReader,
    casts: Casts,
    faults: PageFaults,
    /// Rows read of this file, and those that its footer counts.
    row: u64,
    counted: u64,
    slicer: BatchSlicer,
}

impl OpenParquet {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if let Some(piece) = self.slicer.next(&self.name)? {
                return Ok(Some(piece));
            }
            let batch = guarded(&self.name, FORMAT, || self.batches.next().transpose());
            let batch = batch.map_err(|error| self.faults.explain(&self.name).unwrap_or(error))?;
            let Some(batch) = batch else {
                return if self.row == self.counted { Ok(None) } else { Err(self.miscounted()) };
            };
            self.slicer.push(self.casts.apply(&batch, &self.name, self.row)?);
            self.row += batch.num_rows() as u64;
        }
    }

    fn miscounted(&self) -> SourceError {
        SourceError::Format {
            place: Place::Whole(self.name.clone()),
            found: format!("{} rows in its pages", self.row).into(),
            expected: format!("the {} rows that its footer counts", self.counted).into(),
            remedy: "write the file again".into(),
            cause: None,
        }
    }
}

impl ParquetReader {
    fn advance(&mut self, file: &SourceFile) -> Result<(), SourceError> {
        let opened = OpenFile::new(file, &self.types)?;
        let casts = self.files.casts(file, &opened.fields)?;
        let (counted, faults) = (opened.rows, PageFaults::default());
        let rows = self.chunk_rows.min(opened.usual_rows());
        let batches = opened.read(&file.name, rows, &faults)?;
        self.next_file += 1;
        let (name, slicer) = (file.name.clone(), BatchSlicer::new(self.chunk_rows));
        self.open = Some(OpenParquet { name, batches, casts, faults, row: 0, counted, slicer });
        Ok(())
    }
}

impl Reader for ParquetReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(batch) = open.next()? {
                    return Ok(Some(batch));
                }
                self.open = None;
            }
            let Some(file) = self.files.get(self.next_file).cloned() else { return Ok(None) };
            self.advance(&file)?;
        }
    }
}
