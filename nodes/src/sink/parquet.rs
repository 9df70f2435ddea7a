//! Writes rows to one file of Parquet.

use std::fs::File;
use std::io::{self, BufWriter};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;

/// Rows of a row group at most.
const GROUP_ROWS: usize = 1 << 20;

/// A file of Parquet being written.
///
/// Memory: what is encoded of a row group, and a page. A large value would be there five times more, in the dictionary, as
/// the least and the greatest, beside the levels of its page, and compressed. So rows that are known to be large have a group of
/// their own, without dictionary and statistics, and with pages of the second version, whose values are compressed where
/// they are.
pub(super) struct ParquetFile {
    schema: SchemaRef,
    writer: SerializedFileWriter<BufWriter<File>>,
    usual: ArrowRowGroupWriterFactory,
    large: ArrowRowGroupWriterFactory,
    group: Vec<ArrowColumnWriter>,
    /// Rows of the group.
    rows: usize,
    group_bytes: usize,
}

impl ParquetFile {
    /// Begins a file whose row groups have about so many bytes.
    pub(super) fn new(
        out: BufWriter<File>,
        schema: &SchemaRef,
        group_bytes: usize,
    ) -> Result<Self, ParquetError> {
        let properties = || WriterProperties::builder().set_compression(Compression::SNAPPY);
        let (writer, usual) = ArrowWriter::try_new(out, Arc::clone(schema), Some(properties().build()))?
            .into_serialized_writer()?;
        let once = properties()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_encoding(Encoding::PLAIN)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .build();
        let (_, large) =
            ArrowWriter::try_new(io::sink(), Arc::clone(schema), Some(once))?.into_serialized_writer()?;
        Ok(Self { schema: Arc::clone(schema), writer, usual, large, group: Vec::new(), rows: 0, group_bytes })
    }

    /// Appends rows whose columns may be views of what the file has; `large` ones are a group of their own.
    pub(super) fn write(&mut self, batch: &RecordBatch, large: bool) -> Result<(), ParquetError> {
        if large {
            self.end_group()?;
            self.append(batch, true)?;
            return self.end_group();
        }
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = (batch.num_rows() - from).min(GROUP_ROWS - self.rows);
            self.append(&batch.slice(from, rows), false)?;
            from += rows;
            let bytes: usize = self.group.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum();
            if self.rows == GROUP_ROWS || bytes >= self.group_bytes {
                self.end_group()?;
            }
        }
        Ok(())
    }

    fn append(&mut self, batch: &RecordBatch, large: bool) -> Result<(), ParquetError> {
        if self.rows == 0 {
            let factory = if large { &self.large } else { &self.usual };
            self.group = factory.create_column_writers(self.writer.flushed_row_groups().len())?;
        }
        let mut writers = self.group.iter_mut();
        for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, column)? {
                let writer = writers.next().ok_or_else(|| {
                    ParquetError::General("a row group has no writer for a leaf of its schema".to_owned())
                })?;
                writer.write(&leaf)?;
            }
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in self.group.drain(..) {
            column.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<BufWriter<File>, ParquetError> {
        self.end_group()?;
        self.writer.into_inner()
    }
}
