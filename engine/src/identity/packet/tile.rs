//! Some rows at a time, encoded column by column and hashed side by side.
//!
//! ```text
//! lengths   a pass over the columns: how long is each row?
//! bytes     row 0 |mark value|mark value ...|0 0 0|   one stride of whole blocks per row
//!           row 1 |mark|mark value ...|0 0 0 0 0 0|
//! hashes    rows of equally many blocks together
//! ```
//! Rows of more than one BLAKE3 chunk are left out, so that a tile stays small.

use std::ops::Range;

use super::encode::{Encoder, VALUE, Values, count};
use super::many::{CHUNK_BYTES, Keyed};
use super::{BLOCK_BYTES, PacketHash};
use crate::index::At as _;

/// Rows of a tile.
pub(super) const TILE_ROWS: usize = 128;

/// Encoded rows.
///
/// Memory: a stride for each row, at most 128 KiB.
#[derive(Default)]
pub(super) struct Tile {
    bytes: Vec<u8>,
    stride: usize,
    lengths: Vec<usize>,
    /// The end of each row so far.
    ends: Vec<usize>,
}

impl Tile {
    /// Encodes rows of all columns.
    pub(super) fn fill(&mut self, rows: Range<usize>, columns: &[Encoder<'_>]) {
        self.lengths.clear();
        self.lengths.resize(rows.len(), 0);
        for column in columns {
            column.measure(rows.clone(), &mut self.lengths);
        }
        let longest = self.lengths.iter().copied().filter(|length| *length <= CHUNK_BYTES).max();
        self.stride = longest.unwrap_or(0).next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES);
        self.bytes.clear();
        self.bytes.resize(self.stride * rows.len(), 0);
        self.ends.clear();
        self.ends.resize(rows.len(), 0);
        for column in columns {
            column.write(rows.clone(), self);
        }
    }

    /// The length of each row.
    pub(super) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Hashes all rows but those that are longer than a chunk.
    pub(super) fn hash(&self, key: &Keyed, hashes: &mut [PacketHash]) {
        macro_rules! by_blocks {
            ($($blocks:literal)*) => { $( self.hash_blocks::<{ $blocks * BLOCK_BYTES }>(key, hashes); )* };
        }
        by_blocks!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
    }

    /// Hashes the rows of `N` bytes.
    fn hash_blocks<const N: usize>(&self, key: &Keyed, hashes: &mut [PacketHash]) {
        if N > self.stride {
            return;
        }
        let fits = |length: usize| length <= N && (length + BLOCK_BYTES > N || N == BLOCK_BYTES);
        let mut rows = [0_usize; TILE_ROWS];
        let mut inputs: Vec<&[u8; N]> = Vec::with_capacity(TILE_ROWS);
        let cells = self.bytes.chunks_exact(self.stride);
        for (row, (cell, length)) in cells.zip(&self.lengths).enumerate() {
            if fits(*length)
                && let (Some(cell), Some(place)) = (cell.first_chunk::<N>(), rows.get_mut(inputs.len()))
            {
                *place = row;
                inputs.push(cell);
            }
        }
        key.hash_each(&inputs, |at, digest| {
            if let Some(hash) = rows.get(at).and_then(|row| hashes.get_mut(*row)) {
                *hash = PacketHash(digest);
            }
        });
    }

    /// The rest of each row, and how far it has been written.
    pub(super) fn cells(&mut self) -> impl Iterator<Item = (&mut [u8], &mut usize)> {
        self.bytes.chunks_exact_mut(self.stride).zip(&mut self.ends)
    }
}

/// Writes `W` bytes behind a mark. A row that the tile leaves out has no room, and needs none.
#[inline]
pub(super) fn put<const W: usize>(cell: &mut [u8], end: &mut usize, value: [u8; W]) {
    if let Some([mark, rest @ ..]) = cell.get_mut(*end..)
        && let Some(place) = rest.first_chunk_mut::<W>()
    {
        *mark = VALUE;
        *place = value;
    }
    *end += 1 + W;
}

impl Encoder<'_> {
    /// Adds what each row's value takes.
    fn measure(&self, rows: Range<usize>, lengths: &mut [usize]) {
        let nulls = self.nulls.as_ref();
        let valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
        match &self.values {
            Values::Fixed(fixed) => {
                let width = fixed.width();
                for (length, row) in lengths.iter_mut().zip(rows) {
                    *length += 1 + if valid(row) { width } else { 0 };
                }
            }
            Values::Text(array) => measure_views(array.views(), &valid, rows, lengths),
            Values::Binary(array) => measure_views(array.views(), &valid, rows, lengths),
            Values::Other(_) => {
                let mut bytes = Vec::new();
                for (length, row) in lengths.iter_mut().zip(rows) {
                    bytes.clear();
                    self.append(row, &mut bytes);
                    *length += bytes.len();
                }
            }
        }
    }

    fn write(&self, rows: Range<usize>, tile: &mut Tile) {
        let nulls = self.nulls.as_ref();
        let valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
        match &self.values {
            Values::Fixed(fixed) => fixed.write(rows, nulls, tile),
            Values::Text(array) => write_sized(tile, rows, &valid, |row| array.value(row).as_bytes()),
            Values::Binary(array) => write_sized(tile, rows, &valid, |row| array.value(row)),
            Values::Other(_) => {
                let mut bytes = Vec::new();
                for ((cell, end), row) in tile.cells().zip(rows) {
                    bytes.clear();
                    self.append(row, &mut bytes);
                    place(cell, end, &bytes);
                }
            }
        }
    }
}

/// A view begins with its value's length in 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "the low half of a view's first word is its length")]
fn measure_views(views: &[u128], valid: &impl Fn(usize) -> bool, rows: Range<usize>, lengths: &mut [usize]) {
    let views = views.at(rows.clone(), "rows to hash");
    for ((length, view), row) in lengths.iter_mut().zip(views).zip(rows) {
        let bytes = *view as u32 as usize;
        *length += 1 + if valid(row) { digits(bytes) + bytes } else { 0 };
    }
}

/// Digits of a count in base 128.
fn digits(number: usize) -> usize {
    (number.max(1).ilog2() / 7 + 1) as usize
}

fn write_sized<'a>(
    tile: &mut Tile,
    rows: Range<usize>,
    valid: &impl Fn(usize) -> bool,
    value: impl Fn(usize) -> &'a [u8],
) {
    let mut head = Vec::with_capacity(8);
    for ((cell, end), row) in tile.cells().zip(rows) {
        if !valid(row) {
            *end += 1;
            continue;
        }
        let bytes = value(row);
        if bytes.len() < 0x80 {
            #[expect(clippy::cast_possible_truncation, reason = "it is less than 128")]
            put(cell, end, [bytes.len() as u8]);
        } else {
            head.clear();
            head.push(VALUE);
            count(bytes.len(), &mut head);
            place(cell, end, &head);
        }
        place(cell, end, bytes);
    }
}

fn place(cell: &mut [u8], end: &mut usize, bytes: &[u8]) {
    if let Some(place) = cell.get_mut(*end..*end + bytes.len()) {
        place.copy_from_slice(bytes);
    }
    *end += bytes.len();
}
