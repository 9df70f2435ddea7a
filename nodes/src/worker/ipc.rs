//! Arrow streams over pipes, read without trust in what they announce.

use std::collections::HashMap;
use std::io::Read;

use anabranch_engine::ipc_lengths::{check_whole, extent};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{StreamDecoder, read_record_batch};
use arrow::ipc::root_as_message;
use arrow::ipc::writer::StreamWriter;

use super::exact::{ExactError, append_exactly};

/// Bytes of a message's head at most.
const HEAD_BYTES: u32 = 64 << 20;
/// Bytes of a message's body at most.
const BODY_BYTES: i64 = 2 << 30;
const CONTINUES: [u8; 4] = [0xff; 4];

/// Why no batch came.
#[derive(Debug, thiserror::Error)]
pub(super) enum IpcError {
    /// The pipe ended.
    #[error("the stream ended")]
    Ended,
    /// There is no memory for what is announced.
    #[error("found a message of {0} bytes, for which there is no memory")]
    Memory(u64),
    /// Something else than an Arrow stream came.
    #[error("found {0}, expected an Arrow stream")]
    Bad(&'static str),
    /// A message that is damaged.
    #[error("the stream is damaged")]
    Damaged(#[from] ArrowError),
}

impl From<std::io::Error> for IpcError {
    fn from(_: std::io::Error) -> Self {
        Self::Ended
    }
}

impl From<ExactError> for IpcError {
    fn from(error: ExactError) -> Self {
        match error {
            ExactError::Memory(bytes) => Self::Memory(bytes),
            ExactError::Ended => Self::Ended,
        }
    }
}

/// A batch as a whole stream.
pub(super) fn whole(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.into_inner()
}

/// A stream of batches of one schema, in pieces of bytes.
pub(super) struct Batches(StreamWriter<Vec<u8>>);

impl Batches {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self, ArrowError> {
        Ok(Self(StreamWriter::try_new(Vec::new(), schema)?))
    }

    /// The bytes of a batch, those of the schema before the first.
    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.0.write(batch)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// The bytes of the end.
    pub(super) fn end(&mut self) -> Vec<u8> {
        // Writing to memory does not fail.
        let _ = self.0.finish();
        std::mem::take(self.0.get_mut())
    }
}

/// Reads a stream, batch by batch. Memory: that of a batch.
#[derive(Debug, Default)]
pub(super) struct BatchReader {
    decoder: StreamDecoder,
    /// True if the decoder still has a batch that was given already.
    given: bool,
}

impl BatchReader {
    /// The next batch; [`IpcError::Ended`] behind the last.
    pub(super) fn next(&mut self, pipe: &mut impl Read) -> Result<RecordBatch, IpcError> {
        loop {
            let (head, bytes) = Self::message(pipe)?;
            if let Some(batch) = self.take(head, Buffer::from_vec(bytes))? {
                return Ok(batch);
            }
        }
    }

    /// Takes a message whole, whose head begins at `head`; gives its batch, if it has one.
    fn take(&mut self, head: usize, message: Buffer) -> Result<Option<RecordBatch>, IpcError> {
        check_whole(&message, head)?;
        let head = message.slice(head);
        let mut rest = message;
        while !rest.is_empty() {
            if let Some(batch) = self.decoder.decode(&mut rest)?
                && !std::mem::take(&mut self.given)
            {
                return Ok(Some(batch));
            }
        }
        let batch = self.without_body(&head)?;
        self.given = batch.is_some();
        Ok(batch)
    }

    /// A batch whose columns have no bytes, which the decoder would give only with the next message.
    fn without_body(&self, head: &[u8]) -> Result<Option<RecordBatch>, IpcError> {
        let message = root_as_message(head).ok().filter(|message| message.bodyLength() == 0);
        let batch = message.and_then(|message| message.header_as_record_batch());
        let (Some(schema), Some(message), Some(batch)) = (self.decoder.schema(), message, batch) else {
            return Ok(None);
        };
        let (body, none) = (Buffer::from_vec(Vec::<u8>::new()), HashMap::new());
        Ok(Some(read_record_batch(&body, batch, schema, &none, None, &message.version())?))
    }

    /// One message whole: prefix, head and body; and where the head begins.
    fn message(pipe: &mut impl Read) -> Result<(usize, Vec<u8>), IpcError> {
        let mut word = [0; 4];
        pipe.read_exact(&mut word)?;
        let mut bytes = Vec::new();
        if word == CONTINUES {
            bytes.extend_from_slice(&word);
            pipe.read_exact(&mut word)?;
        }
        let head = u32::from_le_bytes(word);
        if head == 0 {
            return Err(IpcError::Ended);
        }
        if head > HEAD_BYTES {
            return Err(IpcError::Bad("other bytes"));
        }
        bytes.extend_from_slice(&word);
        let start = bytes.len();
        append_exactly(pipe, u64::from(head), &mut bytes)?;
        let message = bytes.get(start..).and_then(|head| root_as_message(head).ok());
        let body = message.ok_or(IpcError::Bad("other bytes"))?.bodyLength();
        if !(0..=BODY_BYTES).contains(&body) {
            return Err(IpcError::Bad("a message beyond 2 GiB"));
        }
        append_exactly(pipe, body.unsigned_abs(), &mut bytes)?;
        Ok((start, bytes))
    }
}

/// The first batch of a stream that is there whole, without a copy of it.
pub(super) fn only_batch(stream: Vec<u8>) -> Result<RecordBatch, IpcError> {
    let mut rest = Buffer::from_vec(stream);
    let mut reader = BatchReader::default();
    loop {
        let (head, length) = extent(&rest)?.ok_or(IpcError::Ended)?;
        let message = rest.slice_with_length(0, length);
        rest = rest.slice(length);
        if let Some(batch) = reader.take(head, message)? {
            return Ok(batch);
        }
    }
}
