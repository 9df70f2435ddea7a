//! Keys of some numbers as one number.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

/// The bytes of a word.
const WORD: usize = size_of::<u128>();

/// Returns whether keys of columns of these types fit a word, side by side.
pub(crate) fn are_packable(types: &[DataType]) -> bool {
    let widths: Option<Vec<usize>> = types.iter().map(width).collect();
    widths.is_some_and(|widths| widths.iter().sum::<usize>() <= WORD)
}

fn width(data_type: &DataType) -> Option<usize> {
    if *data_type == DataType::Boolean { Some(1) } else { data_type.primitive_width() }
}

/// The words of keys in key form without nulls, whose columns are packable: the first column in the
/// lowest bytes, zeros above the last. Equal keys have equal words and no others do.
pub(crate) fn pack_rows(columns: &[ArrayRef], rows: usize) -> Vec<u128> {
    let mut words = vec![0; rows];
    let mut from = 0;
    for column in columns {
        add_column(&mut words, column.as_ref(), from);
        from += width(column.data_type()).unwrap_or(WORD);
    }
    words
}

/// Adds a column, whose lowest byte goes to this place.
fn add_column(words: &mut [u128], column: &dyn Array, from: usize) {
    fn add(words: &mut [u128], values: impl Iterator<Item = u128>, from: usize) {
        for (word, value) in words.iter_mut().zip(values) {
            *word |= value << (8 * from);
        }
    }
    if let Some(bits) = column.as_boolean_opt() {
        return add(words, bits.values().iter().map(u128::from), from);
    }
    let data = column.to_data();
    match column.data_type().primitive_width() {
        Some(1) => add(words, data.buffer::<u8>(0).iter().map(|value| u128::from(*value)), from),
        Some(2) => add(words, data.buffer::<u16>(0).iter().map(|value| u128::from(*value)), from),
        Some(4) => add(words, data.buffer::<u32>(0).iter().map(|value| u128::from(*value)), from),
        Some(8) => add(words, data.buffer::<u64>(0).iter().map(|value| u128::from(*value)), from),
        _ => add(words, data.buffer::<i128>(0).iter().map(|value| value.cast_unsigned()), from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Decimal128Array, Float32Array, Int8Array, Int16Array, Int64Array};

    #[test]
    fn words_are_equal_where_all_columns_are_and_nowhere_else() {
        let rows = 4_000_i64;
        let narrow = |n: i64| i8::try_from(n % 5 - 2).unwrap();
        let columns: [ArrayRef; 5] = [
            Arc::new((0..rows).map(|n| Some(n % 2 == 0)).collect::<BooleanArray>()),
            Arc::new((0..rows).map(|n| Some(narrow(n))).collect::<Int8Array>()),
            Arc::new((0..rows).map(|n| Some(i16::from(narrow(n / 5)))).collect::<Int16Array>()),
            Arc::new((0..rows).map(|n| Some(f32::from(narrow(n / 25)))).collect::<Float32Array>()),
            Arc::new((0..rows).map(|n| Some(n % 7 - 3)).collect::<Int64Array>()),
        ];
        let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
        assert!(are_packable(&types));
        // The second half alone, so that arrays have offsets.
        let columns = columns.map(|column| column.slice(1_000, 3_000));
        let words = pack_rows(&columns, 3_000);
        let mut by_word: HashMap<u128, String> = HashMap::new();
        for (row, word) in words.iter().enumerate() {
            let key = format!("{:?}", columns.each_ref().map(|column| column.slice(row, 1)));
            assert_eq!(by_word.entry(*word).or_insert_with(|| key.clone()), &key, "row {row}");
        }
        let mut keys: Vec<&String> = by_word.values().collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), by_word.len(), "equal keys have two words");
        assert!(keys.len() > 1_000);
    }

    #[test]
    fn a_number_of_sixteen_bytes_fits_alone() {
        let decimal = DataType::Decimal128(38, 0);
        assert!(are_packable(std::slice::from_ref(&decimal)));
        assert!(!are_packable(&[decimal, DataType::Boolean]));
        assert!(!are_packable(&[DataType::Int64, DataType::Utf8View]));
        let values: ArrayRef = Arc::new(Decimal128Array::from(vec![-1, 0, 1]));
        assert_eq!(pack_rows(&[values], 3), [u128::MAX, 0, 1]);
    }
}
