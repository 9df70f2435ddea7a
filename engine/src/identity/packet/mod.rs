//! The hash of a packet: BLAKE3, keyed by the schema, over the values in an encoding of our own.

mod encode;
mod many;
mod tile;

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

use super::{Digest, Fingerprint, Structure};
use crate::index::At as _;
use crate::types::{canonical_field, convert};
use encode::Encoder;
use many::{CHUNK_BYTES, GROUP, Keyed};
use tile::{TILE_ROWS, Tile};

/// Bytes to whose multiple every encoded packet is padded.
const BLOCK_BYTES: usize = 64;

/// Identity of a packet: names, logical types and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketHash(pub Digest);

/// Key of a result: the function and the packet it was computed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResultKey(pub Digest);

impl ResultKey {
    /// The key of a function's result for a packet.
    #[must_use]
    pub fn of(fingerprint: &Fingerprint, packet: &PacketHash) -> Self {
        Self(Keyed::new(&fingerprint.digest().0).hash(&padded(packet)))
    }

    /// [`ResultKey::short`] of the keys for many packets, at a fraction of the cost.
    #[must_use]
    pub fn shorts(fingerprint: &Fingerprint, packets: &[PacketHash]) -> Vec<u128> {
        let keyed = Keyed::new(&fingerprint.digest().0);
        let mut shorts = Vec::with_capacity(packets.len());
        // What lies behind a packet's hash stays zero.
        let mut blocks = [[0; BLOCK_BYTES]; GROUP];
        for packets in packets.chunks(GROUP) {
            for (block, packet) in blocks.iter_mut().zip(packets) {
                pad(block, packet);
            }
            let inputs = blocks.each_ref();
            let inputs = inputs.at(..packets.len(), "a group has as many blocks as packets");
            keyed.hash_each(inputs, |_, digest| shorts.push(Self(digest).short()));
        }
        shorts
    }

    /// The first 80 bits, which source info shows as 20 hex digits.
    #[must_use]
    pub fn short(&self) -> u128 {
        let Digest([bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _]) = self.0;
        u128::from_be_bytes(bytes) >> 48
    }
}

/// A packet's hash followed by zeros.
fn padded(packet: &PacketHash) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    pad(&mut block, packet);
    block
}

/// Writes a packet's hash in front of the zeros of a block.
fn pad(block: &mut [u8; BLOCK_BYTES], packet: &PacketHash) {
    if let Some(front) = block.first_chunk_mut() {
        *front = packet.0.0;
    }
}

/// Why packets have no hash.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A type without a logical form.
    #[error("hashing packets: column \"{column}\" cannot be part of a key")]
    Type {
        /// The column.
        column: String,
        /// Why.
        #[source]
        cause: crate::types::TypeError,
    },
    /// A value that its canonical form cannot hold.
    #[error("hashing packets: column \"{column}\" cannot be brought into its canonical form")]
    Value {
        /// The column.
        column: String,
        /// Why.
        #[source]
        cause: arrow::error::ArrowError,
    },
    /// Columns that are not those the hasher was made for.
    #[error("hashing packets: found {found} columns, expected {expected}")]
    Columns {
        /// Columns given.
        found: usize,
        /// Columns of the schema.
        expected: usize,
    },
}

/// Hashes packets of one schema.
///
/// Example:
/// ```
/// use std::sync::Arc;
/// use anabranch_engine::identity::PacketHasher;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::datatypes::{DataType, Field};
///
/// let field = Arc::new(Field::new("x", DataType::Int64, true));
/// let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(1)]));
/// let hashes = PacketHasher::new(&[field])?.hash(&[column], 3)?;
/// assert_eq!(hashes[0], hashes[2]);
/// assert_ne!(hashes[0], hashes[1]);
/// # Ok::<(), anabranch_engine::identity::IdentityError>(())
/// ```
#[derive(Debug)]
pub struct PacketHasher {
    key: [u8; 32],
    /// Positions of the columns, sorted by name, with their canonical fields.
    columns: Vec<(usize, FieldRef)>,
}

impl PacketHasher {
    /// A hasher for packets of these columns; their order does not matter.
    pub fn new(fields: &[FieldRef]) -> Result<Self, IdentityError> {
        let mut columns = Vec::with_capacity(fields.len());
        for (at, field) in fields.iter().enumerate() {
            let canonical = canonical_field(field)
                .map_err(|cause| IdentityError::Type { column: field.name().clone(), cause })?;
            columns.push((at, canonical));
        }
        columns.sort_unstable_by(|a, b| a.1.name().cmp(b.1.name()));
        let mut schema = Structure::new("packet");
        schema.fields(fields);
        Ok(Self { key: schema.finish().0, columns })
    }

    /// The hash of each of `rows` rows; `columns` stand in the order of the fields given to
    /// [`PacketHasher::new`], in any physical form of their logical types.
    pub fn hash(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<PacketHash>, IdentityError> {
        if columns.len() != self.columns.len() {
            return Err(IdentityError::Columns { found: columns.len(), expected: self.columns.len() });
        }
        let mut sorted = Vec::with_capacity(columns.len());
        for (at, field) in &self.columns {
            let plain = convert(columns.at(*at, "hashed column"), field.data_type())
                .map_err(|cause| IdentityError::Value { column: field.name().clone(), cause })?;
            sorted.push(plain);
        }
        let key = Keyed::new(&self.key);
        let mut hashes = vec![PacketHash(Digest([0; 32])); rows];
        let encoders: Vec<Encoder<'_>> = sorted.iter().map(|c| Encoder::new(c.as_ref())).collect();
        let mut tile = Tile::default();
        let mut long = Vec::new();
        for (at, hashes) in hashes.chunks_mut(TILE_ROWS).enumerate() {
            let start = at * TILE_ROWS;
            tile.fill(start..start + hashes.len(), &encoders);
            tile.hash(&key, hashes);
            long.extend(
                (start..)
                    .zip(tile.lengths())
                    .filter(|(_, length)| **length > CHUNK_BYTES)
                    .map(|(row, _)| row),
            );
        }
        if !long.is_empty() {
            hash_long(&key, &encoders, &long, &mut hashes);
        }
        Ok(hashes)
    }
}

/// Hashes the rows that are too long to be hashed beside others.
fn hash_long(key: &Keyed, encoders: &[Encoder<'_>], rows: &[usize], hashes: &mut [PacketHash]) {
    let mut bytes = Vec::new();
    for row in rows {
        bytes.clear();
        for encoder in encoders {
            encoder.append(*row, &mut bytes);
        }
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        *hashes.at_mut(*row, "hashed row") = PacketHash(key.hash(&bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Array, BinaryViewArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray,
    };
    use arrow::array::{StringViewArray, TimestampMillisecondArray, UInt8Array};
    use arrow::datatypes::{Field, Int32Type};
    use proptest::prelude::*;

    use super::*;

    /// Strings whose rows end at and beside the bounds of blocks and of a chunk.
    fn text() -> impl Strategy<Value = Option<String>> {
        let length = prop_oneof![0..20_usize, 40..70_usize, 110..140_usize, 900..1_100_usize, 126..130_usize];
        proptest::option::weighted(0.8, length.prop_map(|length| "x".repeat(length)))
    }

    type Row = (
        Option<i64>,
        Option<u8>,
        Option<f64>,
        Option<bool>,
        Option<String>,
        Option<Vec<Option<i32>>>,
        Option<i64>,
    );

    fn row() -> impl Strategy<Value = Row> {
        (
            any::<Option<i64>>(),
            any::<Option<u8>>(),
            proptest::option::of(prop_oneof![any::<f64>(), Just(f64::NAN), Just(-f64::NAN), Just(-0.0)]),
            any::<Option<bool>>(),
            text(),
            proptest::option::of(proptest::collection::vec(any::<Option<i32>>(), 0..6)),
            any::<Option<i64>>(),
        )
    }

    fn columns(rows: &[Row]) -> Vec<ArrayRef> {
        let bytes: BinaryViewArray = rows.iter().map(|r| r.4.as_ref().map(String::as_bytes)).collect();
        let decimals: Decimal128Array = rows.iter().map(|r| r.6.map(i128::from)).collect();
        let instants: TimestampMillisecondArray = rows.iter().map(|r| r.6).collect();
        vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.1).collect::<UInt8Array>()),
            Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|r| r.3).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|r| r.4.clone()).collect::<StringViewArray>()),
            Arc::new(bytes),
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().map(|r| r.5.clone()))),
            Arc::new(decimals),
            Arc::new(instants),
        ]
    }

    proptest! {
        #[test]
        fn rows_hashed_together_have_the_hashes_of_their_own_bytes(
            rows in proptest::collection::vec(row(), 0..300), chosen in any::<u16>(), from in 0..50_usize,
        ) {
            let all = columns(&rows);
            let chosen: Vec<ArrayRef> =
                all.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, c)| Arc::clone(c)).collect();
            let fields: Vec<FieldRef> = chosen
                .iter()
                .enumerate()
                .map(|(at, c)| Arc::new(Field::new(format!("c{at}"), c.data_type().clone(), true)))
                .collect();
            let from = from.min(rows.len());
            let part: Vec<ArrayRef> = chosen.iter().map(|c| c.slice(from, rows.len() - from)).collect();
            let hasher = PacketHasher::new(&fields).unwrap();
            let hashes = hasher.hash(&part, rows.len() - from).unwrap();
            let plain: Vec<ArrayRef> =
                part.iter().zip(&hasher.columns).map(|(c, (_, f))| convert(c, f.data_type()).unwrap()).collect();
            let encoders: Vec<Encoder<'_>> = plain.iter().map(|c| Encoder::new(c.as_ref())).collect();
            for (row, hash) in hashes.iter().enumerate() {
                let mut bytes = Vec::new();
                for encoder in &encoders {
                    encoder.append(row, &mut bytes);
                }
                bytes.resize(bytes.len().next_multiple_of(64).max(64), 0);
                prop_assert_eq!(hash.0.0, *blake3::keyed_hash(&hasher.key, &bytes).as_bytes());
            }
        }

        #[test]
        fn keys_of_many_results_are_the_keys_of_each(digests in proptest::collection::vec(any::<[u8; 32]>(), 0..300)) {
            let function = crate::identity::FingerprintBuilder::default().with("kind", "closure").build();
            let packets: Vec<PacketHash> = digests.into_iter().map(|d| PacketHash(Digest(d))).collect();
            let each: Vec<u128> = packets.iter().map(|p| ResultKey::of(&function, p).short()).collect();
            prop_assert_eq!(ResultKey::shorts(&function, &packets), each);
        }
    }
}
