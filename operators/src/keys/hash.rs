//! Hashes of keys, a column at a time. Own design.
//!
//! The hash has no secret and no seed, so runs repeat exactly. The hash of a single number of at
//! most 64 bits is a bijection: equal hashes then mean equal keys, and nothing needs comparing.

use arrow::array::{Array, ArrayRef, AsArray, ByteView, GenericByteViewArray};
use arrow::datatypes::{ByteViewType, DataType};

/// Returns whether equal hashes of keys of these types mean equal keys.
pub(crate) fn hash_is_exact(types: &[DataType]) -> bool {
    match types {
        [] => true,
        [only] => *only == DataType::Boolean || only.primitive_width().is_some_and(|bytes| bytes <= 8),
        _ => false,
    }
}

/// The hash of each row over columns in key form without nulls; 0 where there is no column.
pub(crate) fn hash_rows(columns: &[ArrayRef], rows: usize) -> Vec<u64> {
    let mut hashes = vec![0; rows];
    for column in columns {
        add_column(&mut hashes, column.as_ref());
    }
    hashes
}

fn add_column(hashes: &mut [u64], column: &dyn Array) {
    match column.data_type() {
        DataType::Utf8View => add_views(hashes, column.as_string_view(), |text: &str| text.as_bytes()),
        DataType::BinaryView => add_views(hashes, column.as_binary_view(), |bytes: &[u8]| bytes),
        DataType::Boolean => {
            let words = column.as_boolean().values().iter().map(u64::from);
            add_words(hashes, words);
        }
        other => add_numbers(hashes, column, other.primitive_width().unwrap_or(0)),
    }
}

fn add_numbers(hashes: &mut [u64], column: &dyn Array, width: usize) {
    let data = column.to_data();
    match width {
        1 => add_words(hashes, data.buffer::<u8>(0).iter().map(|v| u64::from(*v))),
        2 => add_words(hashes, data.buffer::<u16>(0).iter().map(|v| u64::from(*v))),
        4 => add_words(hashes, data.buffer::<u32>(0).iter().map(|v| u64::from(*v))),
        8 => add_words(hashes, data.buffer::<u64>(0).iter().copied()),
        16 => add_words(hashes, data.buffer::<i128>(0).iter().map(|v| fold(0, &v.to_le_bytes()))),
        _ => {
            let values = data.buffer::<arrow::datatypes::i256>(0);
            add_words(hashes, values.iter().map(|v| fold(0, &v.to_le_bytes())));
        }
    }
}

fn add_words(hashes: &mut [u64], words: impl Iterator<Item = u64>) {
    for (hash, word) in hashes.iter_mut().zip(words) {
        *hash = mix(hash.wrapping_mul(ODD) ^ word);
    }
}

fn add_views<T: ByteViewType>(
    hashes: &mut [u64],
    array: &GenericByteViewArray<T>,
    bytes: impl Fn(&T::Native) -> &[u8],
) {
    let words = array.views().iter().enumerate().map(|(row, view)| {
        // A short value lies in its view, with zeros behind it.
        let short = ByteView::from(*view).length <= arrow::array::MAX_INLINE_VIEW_LEN;
        if short { fold(0, &view.to_le_bytes()) } else { fold_sized(bytes(array.value(row))) }
    });
    add_words(hashes, words);
}

pub(crate) const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A bijection of 64 bits whose every output bit depends on every input bit.
fn mix(mut word: u64) -> u64 {
    word ^= word >> 32;
    word = word.wrapping_mul(0xd6e8_feb8_6659_fd93);
    word ^= word >> 32;
    word = word.wrapping_mul(0xd6e8_feb8_6659_fd93);
    word ^ (word >> 32)
}

/// Bytes of any number as one word.
fn fold_sized(bytes: &[u8]) -> u64 {
    fold(ODD ^ bytes.len() as u64, bytes)
}

/// Bytes as one word: 16 at a time, the halves of a 128-bit product laid over each other.
fn fold(mut word: u64, bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<16>();
    for block in blocks {
        word = fold_block(word, *block);
    }
    if !rest.is_empty() {
        let mut block = [0; 16];
        for (to, from) in block.iter_mut().zip(rest) {
            *to = *from;
        }
        word = fold_block(word, block);
    }
    word
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of the product are what is wanted")]
fn fold_block(word: u64, block: [u8; 16]) -> u64 {
    let both = u128::from_le_bytes(block);
    let (low, high) = (both as u64, (both >> 64) as u64);
    let product = u128::from(low ^ word) * u128::from(high.rotate_left(23) ^ mix(word.wrapping_add(ODD)));
    mix((product as u64) ^ ((product >> 64) as u64) ^ low.wrapping_mul(ODD) ^ high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringViewArray};

    #[test]
    fn small_numbers_spread_over_the_high_bits() {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4096));
        let high: HashSet<u64> = hash_rows(&[column], 4096).iter().map(|h| h >> 52).collect();
        assert!(high.len() > 2400, "only {} of 4096 places are used", high.len());
    }

    #[test]
    fn texts_that_differ_anywhere_differ_in_their_hash() {
        let mut texts: Vec<String> = (0..2000).map(|n| format!("{n}")).collect();
        texts.extend((0..2000).map(|n| format!("{n}{}", "x".repeat(20))));
        texts.extend((0..40).map(|n| "\0".repeat(n)));
        texts.dedup();
        let count = texts.len();
        let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
        let hashes: HashSet<u64> = hash_rows(&[column], count).into_iter().collect();
        assert_eq!(hashes.len(), count);
    }

    #[test]
    fn a_slice_hashes_like_its_rows() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![5, 6, 7]));
        assert_eq!(hash_rows(&[column.slice(1, 2)], 2), hash_rows(&[column], 3)[1..]);
    }
}
