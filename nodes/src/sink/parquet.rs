//! Writes rows to one file of Parquet.

use std::io::{self, BufWriter};
use std::sync::Arc;

use anabranch_engine::bytes::rows_within;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::file::writer::SerializedFileWriter;

use super::leaf_form::LeafForm;
use super::synced_file::SyncedFile;

/// Rows of a row group at most.
const GROUP_ROWS: usize = 1 << 20;
/// Rows of a group that tells of its leaves what the next one may do without, at least.
const TELLING_ROWS: usize = 1 << 16;
/// Bytes of a sample.
const SAMPLE_BYTES: usize = 4 << 20;
/// Rows of a sample, at least and at most.
const SAMPLE_ROWS: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 13;

/// A file of Parquet being written.
///
/// Memory: what is encoded of a row group, and a page; a sample of 4 MiB when a group begins. A large value would be there
/// five times more, in the dictionary, as the least and the greatest, beside the levels of its page, and compressed. So rows
/// that are known to be large have a group of their own, without dictionary and statistics, and with pages of the second
/// version, whose values are compressed where they are.
pub(super) struct ParquetFile {
    schema: SchemaRef,
    writer: SerializedFileWriter<BufWriter<SyncedFile>>,
    /// Every leaf with a dictionary, and compressed.
    usual: ArrowRowGroupWriterFactory,
    large: ArrowRowGroupWriterFactory,
    /// The forms that the groups so far suggest, and what makes writers of them; none as long as they are the usual ones.
    adapted: Option<(Vec<LeafForm>, ArrowRowGroupWriterFactory)>,
    group: Vec<ArrowColumnWriter>,
    /// Rows of the group.
    rows: usize,
    group_bytes: usize,
}

impl ParquetFile {
    /// Begins a file whose row groups have about so many bytes.
    pub(super) fn new(
        out: BufWriter<SyncedFile>,
        schema: &SchemaRef,
        group_bytes: usize,
    ) -> Result<Self, ParquetError> {
        let (writer, usual) = ArrowWriter::try_new(out, Arc::clone(schema), Some(properties().build()))?
            .into_serialized_writer()?;
        let once = properties()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_encoding(Encoding::PLAIN)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None);
        let (schema, large) = (Arc::clone(schema), factory(schema, once)?);
        Ok(Self { schema, writer, usual, large, adapted: None, group: Vec::new(), rows: 0, group_bytes })
    }

    /// Appends rows whose columns may be views of what the file has; `large` ones are a group of their own.
    pub(super) fn write(&mut self, batch: &RecordBatch, large: bool) -> Result<(), ParquetError> {
        if large {
            self.end_group(false)?;
            self.append(batch, true)?;
            return self.end_group(true);
        }
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = (batch.num_rows() - from).min(GROUP_ROWS - self.rows);
            self.append(&batch.slice(from, rows), false)?;
            from += rows;
            let bytes: usize = self.group.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum();
            if self.rows == GROUP_ROWS || bytes >= self.group_bytes {
                self.end_group(false)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, batch: &RecordBatch, large: bool) -> Result<(), ParquetError> {
        if self.rows == 0 {
            self.group = self.begin_group(batch, large)?;
        }
        write_leaves(&self.schema, batch, &mut self.group)?;
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Writers of a group that begins with a batch.
    fn begin_group(
        &mut self,
        batch: &RecordBatch,
        large: bool,
    ) -> Result<Vec<ArrowColumnWriter>, ParquetError> {
        let number = self.writer.flushed_row_groups().len();
        if large {
            return self.large.create_column_writers(number);
        }
        if let Some((forms, _)) = &self.adapted {
            // A group that begins with few or long rows is written with everything.
            let most = batch.num_rows().min(*SAMPLE_ROWS.end());
            let rows = rows_within(batch.columns(), 0, most, SAMPLE_BYTES);
            if rows < *SAMPLE_ROWS.start() {
                return self.usual.create_column_writers(number);
            }
            let sampled = batch.slice(0, rows);
            let mut sample = self.usual.create_column_writers(number)?;
            write_leaves(&self.schema, &sampled, &mut sample)?;
            let leaves = sample.into_iter().map(|leaf| Ok(leaf.close()?.close().metadata.clone()));
            let leaves = leaves.collect::<Result<Vec<_>, ParquetError>>()?;
            let agreed = forms.iter().zip(&leaves).map(|(form, leaf)| form.agreed(leaf)).collect();
            self.adapt(agreed, &leaves)?;
        }
        let usual = &self.usual;
        self.adapted.as_ref().map_or(usual, |(_, adapted)| adapted).create_column_writers(number)
    }

    /// Gives the groups that come the forms of their leaves.
    fn adapt(&mut self, forms: Vec<LeafForm>, leaves: &[ColumnChunkMetaData]) -> Result<(), ParquetError> {
        if forms.iter().all(|form| *form == LeafForm::default()) {
            self.adapted = None;
        } else if self.adapted.as_ref().is_none_or(|(now, _)| *now != forms) {
            let set = |to, (form, leaf): (&LeafForm, _)| form.set(leaf, to);
            let adapted = factory(&self.schema, forms.iter().zip(leaves).fold(properties(), set))?;
            self.adapted = Some((forms, adapted));
        }
        Ok(())
    }

    fn end_group(&mut self, large: bool) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in self.group.drain(..) {
            column.close()?.append_to_row_group(&mut group)?;
        }
        let written = group.close()?;
        let rows = std::mem::take(&mut self.rows);
        if large || rows < TELLING_ROWS {
            return Ok(());
        }
        let usual = vec![LeafForm::default(); written.num_columns()];
        let forms = self.adapted.as_ref().map_or(&usual, |(forms, _)| forms);
        let forms = forms.iter().zip(written.columns()).map(|(form, leaf)| form.after(leaf)).collect();
        self.adapt(forms, written.columns())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<BufWriter<SyncedFile>, ParquetError> {
        self.end_group(false)?;
        self.writer.into_inner()
    }
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_compression(Compression::SNAPPY)
}

/// Makes the writers of row groups that have these properties.
fn factory(
    schema: &SchemaRef,
    properties: WriterPropertiesBuilder,
) -> Result<ArrowRowGroupWriterFactory, ParquetError> {
    let writer = ArrowWriter::try_new(io::sink(), Arc::clone(schema), Some(properties.build()))?;
    writer.into_serialized_writer().map(|(_, factory)| factory)
}

/// Writes a batch to the writers of the leaves of its columns.
fn write_leaves(
    schema: &SchemaRef,
    batch: &RecordBatch,
    leaves: &mut [ArrowColumnWriter],
) -> Result<(), ParquetError> {
    let mut writers = leaves.iter_mut();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        for leaf in compute_leaves(field, column)? {
            let writer = writers.next().ok_or_else(|| {
                ParquetError::General("a row group has no writer for a leaf of its schema".to_owned())
            })?;
            writer.write(&leaf)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use arrow::array::{AsArray as _, Float64Array, Int64Array};
    use arrow::datatypes::{Float64Type, Int64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::super::encoder::SINGLE_GROUP_BYTES;
    use super::*;

    /// Numbers without a pattern.
    fn scattered(rows: std::ops::Range<u64>) -> impl Iterator<Item = f64> {
        rows.map(|n| f64::from_bits(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2))
    }

    fn batch(few: impl Iterator<Item = i64>, changing: impl Iterator<Item = f64>) -> RecordBatch {
        let (few, changing) = (Int64Array::from_iter_values(few), Float64Array::from_iter_values(changing));
        RecordBatch::try_from_iter([("few", Arc::new(few) as _), ("changing", Arc::new(changing) as _)])
            .unwrap()
    }

    /// The values of a file, and for each of its groups whether "changing" has a dictionary and is compressed.
    fn read(file: File) -> (Vec<i64>, Vec<u64>, Vec<(bool, bool)>) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let form = |leaf: &ColumnChunkMetaData| {
            (leaf.dictionary_page_offset().is_some(), leaf.compression() == Compression::SNAPPY)
        };
        let groups = reader.metadata().row_groups();
        assert!(groups.iter().all(|group| form(group.column(0)).0), "few values have a dictionary");
        let forms = groups.iter().map(|group| form(group.column(1))).collect();
        let (mut few, mut changing) = (Vec::new(), Vec::new());
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            few.extend(batch.column(0).as_primitive::<Int64Type>().values());
            changing
                .extend(batch.column(1).as_primitive::<Float64Type>().values().iter().map(|n| n.to_bits()));
        }
        (few, changing, forms)
    }

    #[test]
    fn groups_do_without_what_saved_nothing_before_until_the_values_change() {
        let file = tempfile::tempfile().unwrap();
        let schema = batch(std::iter::empty(), std::iter::empty()).schema();
        let out = BufWriter::new(SyncedFile::new(file.try_clone().unwrap()));
        let mut writer = ParquetFile::new(out, &schema, SINGLE_GROUP_BYTES).unwrap();
        let group = GROUP_ROWS as u64;
        let (mut few, mut changing) = (Vec::new(), Vec::new());
        for first in (0..4 * group).step_by(1 << 14) {
            let rows = first..first + (1 << 14);
            // Two groups of values that all differ, and two of a hundred values.
            let values: Vec<f64> = if first < 2 * group {
                scattered(rows.clone()).collect()
            } else {
                {
                    let hundred: Vec<f64> = scattered(0..100).collect();
                    hundred.into_iter().cycle().take(1 << 14).collect()
                }
            };
            let numbers: Vec<i64> = rows.map(|n| n.cast_signed() % 7).collect();
            few.extend_from_slice(&numbers);
            changing.extend(values.iter().map(|n| n.to_bits()));
            writer.write(&batch(numbers.into_iter(), values.into_iter()), false).unwrap();
        }
        drop(writer.finish().unwrap().into_inner().unwrap());
        let (read_few, read_changing, forms) = read(file);
        assert!(read_few == few && read_changing == changing);
        let (all, without) = ((true, true), (false, false));
        assert_eq!(forms, [all, without, all, all]);
    }
}
