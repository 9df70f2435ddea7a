//! Rows from Parquet files.

mod fields;
mod file;
mod pages;
mod sizes;

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use indexmap::IndexMap;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::error::{Place, SourceError};
use super::options::{file_methods, option_methods};
use super::paths::SourceFile;
use super::typed::{BatchFile, OpenedFile, TypedFiles, guarded};
use super::{PlannedSource, Source, SourceOptions};
use file::ParquetSourceFile;
use pages::PageFaults;

/// Rows of Parquet files.
///
/// `types` names types that columns are cast to; a value that would lose something is an error.
///
/// ENUM, JSON and UUID columns are strings (`types: binary` gives the 16 bytes of a UUID); INTERVAL is
/// refused. INT96 timestamps are nanoseconds, or microseconds if declared a timestamp. A page whose
/// checksum is wrong, and counts of rows and values that the pages do not have, are errors.
///
/// Memory: two pages of each column of one row group, and a batch: 8,192 rows, or fewer where the footer shows
/// that rows are large, so that it has about 32 MiB.
#[derive(Debug, Clone)]
pub struct Parquet {
    path: PathBuf,
    options: SourceOptions,
}

impl Parquet {
    file_methods!();
    option_methods!();
}

impl Source for Parquet {
    fn kind(&self) -> &'static str {
        "parquet"
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        let fields_of = |file: &SourceFile| Ok(ParquetSourceFile::new(file, &self.options.types)?.fields);
        let types = self.options.types.clone();
        let open = move |file: &SourceFile, chunk_rows| OpenParquet::open(file, &types, chunk_rows);
        TypedFiles::plan(&self.path, &self.options, fields_of, open)
    }
}

const FORMAT: &str = "Parquet";

struct OpenParquet {
    name: String,
    batches: ParquetRecordBatchReader,
    faults: PageFaults,
    /// Rows that the footer counts.
    counted: u64,
}

impl OpenParquet {
    fn open(
        file: &SourceFile,
        types: &IndexMap<String, DataType>,
        chunk_rows: usize,
    ) -> Result<OpenedFile<Self>, SourceError> {
        let opened = ParquetSourceFile::new(file, types)?;
        let (counted, faults, name) = (opened.rows, PageFaults::default(), file.name.clone());
        let fields = opened.fields.clone();
        let rows = chunk_rows.min(opened.usual_rows());
        let batches = opened.read(&name, rows, &faults)?;
        Ok(OpenedFile { file: Self { name, batches, faults, counted }, fields })
    }
}

impl BatchFile for OpenParquet {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        let batch = guarded(&self.name, FORMAT, || self.batches.next().transpose());
        batch.map_err(|error| self.faults.explain(&self.name).unwrap_or(error))
    }

    fn check_end(&self, rows: u64) -> Result<(), SourceError> {
        if rows == self.counted {
            return Ok(());
        }
        let found = format!("{rows} rows in its pages");
        let expected = format!("the {} rows that its footer counts", self.counted);
        let place = Place::Whole(self.name.clone());
        Err(SourceError::format(place, found, expected, "write the file again"))
    }
}
