//! A file whose page headers are held against their codec before the format's library allocates by them.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use anabranch_engine::index::At as _;
use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// Bytes that the first three fields of a page header take at most.
const HEAD_BYTES: usize = 32;
/// Thrift's compact type of a 32-bit integer.
const I32: u8 = 5;

/// The bytes of a column chunk's file. Whoever reads from a place begins with a page header there.
pub(super) struct PagedFile {
    file: Arc<File>,
    codec: Compression,
}

impl PagedFile {
    pub(super) fn new(file: &Arc<File>, codec: Compression) -> Self {
        Self { file: Arc::clone(file), codec }
    }
}

impl Length for PagedFile {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for PagedFile {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let mut head = [0; HEAD_BYTES];
        let count = self.file.read_at(&mut head, start)?;
        let sizes = sizes(head.at(0..count, "a read returns no more than its buffer holds"));
        let (uncompressed, compressed) =
            sizes.ok_or_else(|| ParquetError::General("found no page header".to_owned()))?;
        if uncompressed > most_bytes(self.codec, compressed) {
            let text = format!(
                "found a page of {compressed} bytes that would be {uncompressed} bytes uncompressed, more than its codec can make of them"
            );
            return Err(ParquetError::General(text));
        }
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.file.get_bytes(start, length)
    }
}

/// A codec makes at most so many bytes of others.
fn most_bytes(codec: Compression, compressed: u64) -> u64 {
    let per_byte = match codec {
        Compression::UNCOMPRESSED => return compressed,
        // A copy of 64 bytes takes three.
        Compression::SNAPPY => 64,
        Compression::GZIP(_) => 1 << 11,
        Compression::LZ4 | Compression::LZ4_RAW | Compression::LZO => 1 << 9,
        // A block of 128 KiB takes four, a block of 16 MiB some ten.
        Compression::ZSTD(_) => 1 << 15,
        Compression::BROTLI(_) => 1 << 21,
    };
    compressed.saturating_mul(per_byte).saturating_add(1 << 10)
}

/// The sizes of a page, uncompressed and compressed: the second and the third field of its header, which every
/// writer puts in this order.
fn sizes(mut head: &[u8]) -> Option<(u64, u64)> {
    let mut size = || {
        let (field, rest) = head.split_first()?;
        // One more than the field before.
        if *field != 1 << 4 | I32 {
            return None;
        }
        let (value, rest) = number(rest)?;
        head = rest;
        u64::try_from(value).ok()
    };
    let _kind = size()?;
    Some((size()?, size()?))
}

/// A number of variable length, and what is behind it.
fn number(mut bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let magnitude = i64::try_from(value >> 1).ok()?;
            return Some((if value & 1 == 0 { magnitude } else { -magnitude - 1 }, bytes));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_of_a_page_are_read_from_its_first_fields() {
        // Data page, 300 bytes uncompressed, 20 compressed.
        let head = [0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x28, 0x2c];
        assert_eq!(sizes(&head), Some((300, 20)));
        for cut in 0..7 {
            assert_eq!(sizes(&head[..cut]), None);
        }
        let negative = [0x15, 0x00, 0x15, 0x01, 0x15, 0x28];
        assert_eq!(sizes(&negative), None);
        let endless = [0x15, 0x00, 0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(sizes(&endless), None);
    }
}
