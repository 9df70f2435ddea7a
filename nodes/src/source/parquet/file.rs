//! One Parquet file: its footer, then its row groups.

use std::fs::File;
use std::sync::Arc;

use arrow::datatypes::{DataType, Fields, TimeUnit};
use indexmap::IndexMap;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowGroups,
};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use super::pages::{CheckedPages, PageFaults};
use super::sizes::PagedFile;
use super::{FORMAT, fields};
use crate::source::cast::FileFields;
use crate::source::error::SourceError;
use crate::source::paths::SourceFile;
use crate::source::typed::guarded;

/// Bytes of the values of a batch, according to the footer.
const BATCH_BYTES: usize = 32 << 20;

/// A file whose footer is read.
pub(super) struct ParquetSourceFile {
    pub(super) fields: FileFields,
    /// Rows that the footer counts.
    pub(super) rows: u64,
    file: Arc<File>,
    metadata: Arc<ParquetMetaData>,
    levels: FieldLevels,
    int96_units: Arc<[Option<TimeUnit>]>,
}

impl ParquetSourceFile {
    /// Reads the footer and checks that all it points to lies within the file.
    pub(super) fn new(file: &SourceFile, types: &IndexMap<String, DataType>) -> Result<Self, SourceError> {
        let opened = file.open()?;
        guarded(&file.name, FORMAT, || Self::read_footer(opened, types))
    }

    fn read_footer(file: File, types: &IndexMap<String, DataType>) -> ParquetResult<Self> {
        let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
        let metadata = Arc::clone(footer.metadata());
        let rows = counted_rows(&metadata)?;
        check_ranges(&metadata, file.metadata()?.len())?;
        let schema = footer.parquet_schema();
        let inferred = footer.schema().fields();
        let requested = fields::requested(inferred, schema.columns(), types);
        let levels = parquet_to_arrow_field_levels(schema, ProjectionMask::all(), Some(&requested))?;
        let read = no_rows(&metadata, &levels)?;
        let stored = fields::stored(&read, schema.columns());
        let int96_units = fields::int96_units(&read, schema.columns()).into();
        let meant = fields::meant(inferred, &stored, schema.columns());
        let (fields, file) = (FileFields { stored, meant }, Arc::new(file));
        Ok(Self { fields, rows, file, metadata, levels, int96_units })
    }

    /// Rows that have [`BATCH_BYTES`] at most in each row group, if its rows are of one size.
    pub(super) fn usual_rows(&self) -> usize {
        let groups = self.metadata.row_groups().iter();
        let each = groups.map(|group| {
            let (bytes, rows) = (group.total_byte_size().max(0), group.num_rows().max(1));
            // Rows beyond all memory come one by one.
            usize::try_from(bytes / rows).unwrap_or(usize::MAX)
        });
        (BATCH_BYTES / each.max().unwrap_or(0).max(1)).max(1)
    }

    /// Begins to read the rows; afterwards `faults` has the reasons why pages were refused.
    pub(super) fn read(
        self,
        name: &str,
        chunk_rows: usize,
        faults: &PageFaults,
    ) -> Result<ParquetRecordBatchReader, SourceError> {
        let (file, metadata, faults) = (Some(self.file), self.metadata, faults.clone());
        let groups = FileRowGroups { file, metadata, int96_units: self.int96_units, faults };
        let levels = self.levels;
        guarded(name, FORMAT, || {
            ParquetRecordBatchReader::try_new_with_row_groups(&levels, &groups, chunk_rows, None)
        })
    }
}

fn fault(text: &str) -> ParquetError {
    ParquetError::General(text.to_owned())
}

fn counted_rows(metadata: &ParquetMetaData) -> ParquetResult<u64> {
    let count = |rows: i64| u64::try_from(rows).map_err(|_| fault("a negative count of rows"));
    let all = count(metadata.file_metadata().num_rows())?;
    let mut sum: u64 = 0;
    for group in metadata.row_groups() {
        sum = sum.saturating_add(count(group.num_rows())?);
    }
    if sum == all { Ok(all) } else { Err(fault("the footer's count of rows is not that of its row groups")) }
}

fn check_ranges(metadata: &ParquetMetaData, file_bytes: u64) -> ParquetResult<()> {
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let (start, length) = column.byte_range();
        if start.checked_add(length).is_none_or(|end| end > file_bytes) {
            return Err(fault("the footer points beyond the end of the file"));
        }
    }
    Ok(())
}

/// The fields of the batches that these levels give.
fn no_rows(metadata: &Arc<ParquetMetaData>, levels: &FieldLevels) -> ParquetResult<Fields> {
    let (metadata, faults) = (Arc::clone(metadata), PageFaults::default());
    let groups = FileRowGroups { file: None, metadata, int96_units: Arc::new([]), faults };
    let reader = ParquetRecordBatchReader::try_new_with_row_groups(levels, &groups, 1, None)?;
    Ok(arrow::array::RecordBatchReader::schema(&reader).fields().clone())
}

/// All row groups of a file; without a file, none of them.
struct FileRowGroups {
    file: Option<Arc<File>>,
    metadata: Arc<ParquetMetaData>,
    int96_units: Arc<[Option<TimeUnit>]>,
    faults: PageFaults,
}

impl RowGroups for FileRowGroups {
    fn num_rows(&self) -> usize {
        let rows = self.metadata.file_metadata().num_rows();
        if self.file.is_some() { usize::try_from(rows).unwrap_or(0) } else { 0 }
    }

    fn column_chunks(&self, column: usize) -> ParquetResult<Box<dyn PageIterator>> {
        Ok(Box::new(ColumnChunks {
            file: self.file.clone(),
            metadata: Arc::clone(&self.metadata),
            // A reader of no rows, which only gives types, has no units.
            int96_unit: self.int96_units.get(column).copied().flatten(),
            faults: self.faults.clone(),
            column,
            next_group: 0,
        }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        let groups = if self.file.is_some() { self.metadata.row_groups() } else { &[] };
        Box::new(groups.iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The pages of one column, row group by row group.
struct ColumnChunks {
    file: Option<Arc<File>>,
    metadata: Arc<ParquetMetaData>,
    int96_unit: Option<TimeUnit>,
    faults: PageFaults,
    column: usize,
    next_group: usize,
}

impl ColumnChunks {
    fn pages(&self, file: &Arc<File>, group: &RowGroupMetaData) -> ParquetResult<Box<dyn PageReader>> {
        let missing = || fault("a row group lacks a column");
        let column = group.columns().get(self.column).ok_or_else(missing)?;
        let rows = usize::try_from(group.num_rows())?;
        let bytes = Arc::new(PagedFile::new(file, column.compression()));
        let pages = SerializedPageReader::new(bytes, column, rows, None)?;
        Ok(Box::new(CheckedPages::new(pages, column, self.int96_unit, self.faults.clone())))
    }
}

impl Iterator for ColumnChunks {
    type Item = ParquetResult<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let file = self.file.as_ref()?;
        let group = self.metadata.row_groups().get(self.next_group)?;
        self.next_group += 1;
        Some(self.pages(file, group))
    }
}

impl PageIterator for ColumnChunks {}
