//! Blocks: up to 8,192 rows as one Arrow IPC stream.
//!
//! A block is a schema message, one record batch message and an end-of-stream mark, uncompressed,
//! with 64-byte alignment. Equal rows give equal bytes (see [`exact`]), so that blocks of records
//! can be named by their content.

pub(crate) mod exact;
mod narrow;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anabranch_engine::ipc_lengths::check_stream;
use anabranch_engine::stage::panic_message;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StructArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;

use narrow::{NARROW, Narrowed, narrow, restore};

/// Most rows of a block.
pub(crate) const BLOCK_ROWS: usize = 8_192;

/// Most bytes of values in a block of more than one row; see [`exact::value_bytes`].
pub(crate) const BLOCK_BYTES: usize = 16 << 20;

/// The columns of a block as they are put together.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    /// Adds a column in its exact form. Stored fields are nullable and carry no metadata of their own.
    pub(crate) fn push(&mut self, name: impl Into<String>, array: &ArrayRef) -> Result<(), ArrowError> {
        self.fields.push(Field::new(name, array.data_type().clone(), true));
        self.arrays.push(exact::exact(array)?);
        Ok(())
    }

    /// One struct a row.
    pub(crate) fn into_structs(self, rows: usize) -> Result<StructArray, ArrowError> {
        StructArray::try_new_with_length(self.fields.into(), self.arrays, None, rows)
    }

    /// The bytes of the block.
    pub(crate) fn encode(self, rows: usize, description: Option<String>) -> Result<Vec<u8>, ArrowError> {
        let (mut fields, mut arrays, mut described) = (self.fields, self.arrays, Vec::new());
        for (place, (field, array)) in fields.iter_mut().zip(&mut arrays).enumerate() {
            if let Some(Narrowed { array: narrow, described: how }) = narrow(place, array) {
                *field = Field::new(field.name(), narrow.data_type().clone(), true);
                *array = narrow;
                described.push(how);
            }
        }
        let mut metadata = HashMap::new();
        metadata.extend(description.map(|description| (DESCRIPTION.to_owned(), description)));
        if !described.is_empty() {
            metadata.insert(NARROW.to_owned(), serde_json::Value::from(described).to_string());
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?;
        // Only room that is reserved: a size that is not known makes the buffer grow.
        let bytes: usize =
            batch.columns().iter().map(|array| array.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        let mut writer = StreamWriter::try_new(Vec::with_capacity(bytes + FRAME_BYTES), &schema)?;
        writer.write(&batch)?;
        writer.into_inner()
    }
}

/// Bytes of a block of few columns beside its values, about.
const FRAME_BYTES: usize = 4 << 10;

/// Key of the description in the metadata of a block's schema.
pub(crate) const DESCRIPTION: &str = "anabranch";

/// Reads a block back; buffers are not copied but for those of narrow columns.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<RecordBatch, ArrowError> {
    guarded(|| {
        check_stream(&bytes)?;
        let mut buffer = Buffer::from_vec(bytes);
        StreamDecoder::new()
            .decode(&mut buffer)?
            .ok_or_else(|| ArrowError::IpcError("the block holds no record batch".to_owned()))
            .and_then(restore)
    })
}

/// Does a piece of work of Arrow's reader, which takes its input for whole in places and panics
/// where it is not.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(ArrowError::IpcError(format!("reading it panicked: {}", panic_message(panic.as_ref()))))
    })
}
