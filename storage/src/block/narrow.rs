//! Columns whose values differ in few of their bytes.
//!
//! Numbers of one block are mostly alike in their upper bytes, and short strings in their lengths. Of such a
//! column the block holds only the bytes from the first to the last in which two values differ, as
//! fixed-size binary; the bytes around them stand in the metadata of the block's schema, once. It costs a load and a
//! shift per value, where a compressor would cost many times as much, and its bytes depend on no library.

use std::ops::{BitAnd, BitOr, BitXor, Shl, Shr};
use std::sync::Arc;

use anabranch_engine::index::{At as _, holds};
use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryViewArray, FixedSizeBinaryArray, RecordBatch,
    RecordBatchOptions, StringViewArray, make_array,
};
use arrow::buffer::{Buffer, MutableBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use serde_json::{Value, json};

/// Key of the metadata of a block's schema that describes narrow columns.
pub(crate) const NARROW: &str = "anabranch:narrow";

/// Bytes that a column has to save: what describes it takes about a third.
const LEAST_SAVED: usize = 256;

/// A narrow column, and what describes it.
pub(super) struct Narrowed {
    pub(super) array: ArrayRef,
    pub(super) described: Value,
}

/// The column in its narrow form, if it has one that is at most three quarters as large. The array is exact.
pub(super) fn narrow(place: usize, array: &ArrayRef) -> Option<Narrowed> {
    let data_type = array.data_type();
    let width = width_of(array)?;
    // A type is written down as text: one that does not come back from it stays as it is.
    let text = data_type.to_string();
    if text.parse::<DataType>().ok().as_ref() != Some(data_type) {
        return None;
    }
    let data = array.to_data();
    let values = holds(data.buffers().first(), "numbers and views have a buffer of values");
    let bytes = data.offset() * width..(data.offset() + array.len()) * width;
    let bytes = values.as_slice().at(bytes, "an array has the bytes of its values");
    let (base, from, kept, values) = match width {
        4 => cut::<u32>(bytes)?,
        8 => cut::<u64>(bytes)?,
        _ => cut::<u128>(bytes)?,
    };
    let values =
        FixedSizeBinaryArray::try_new(i32::try_from(kept).ok()?, values, array.nulls().cloned()).ok()?;
    let digit = |half: u8| holds(char::from_digit(half.into(), 16), "half a byte is a digit");
    let base: String = base.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    Some(Narrowed { array: Arc::new(values), described: json!([place, text, from, base]) })
}

/// Bytes of a value, where these are all that there is of it.
fn width_of(array: &ArrayRef) -> Option<usize> {
    let width = match array.data_type() {
        DataType::Utf8View if array.as_string_view().data_buffers().is_empty() => 16,
        DataType::BinaryView if array.as_binary_view().data_buffers().is_empty() => 16,
        other => other.primitive_width()?,
    };
    matches!(width, 4 | 8 | 16).then_some(width)
}

/// A value as a number.
trait Word:
    Copy
    + Eq
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Shl<usize, Output = Self>
    + Shr<usize, Output = Self>
{
    const BYTES: usize;
    const NONE: Self;
    const ALL: Self;
    /// Of the first bytes, as many as there are.
    fn load(bytes: &[u8]) -> Self;
    /// Into the first bytes, as many as there are.
    fn store(self, to: &mut [u8]);
    fn leading_zeros(self) -> usize;
    fn trailing_zeros(self) -> usize;
}

macro_rules! word {
    ($type:ty) => {
        impl Word for $type {
            const BYTES: usize = size_of::<Self>();
            const NONE: Self = 0;
            const ALL: Self = Self::MAX;

            #[inline]
            fn load(bytes: &[u8]) -> Self {
                if let Some(bytes) = bytes.first_chunk() {
                    return Self::from_le_bytes(*bytes);
                }
                bytes.iter().rev().fold(0, |value, byte| value << 8 | Self::from(*byte))
            }

            #[inline]
            fn store(self, to: &mut [u8]) {
                let bytes = self.to_le_bytes();
                if let Some(to) = to.first_chunk_mut() {
                    *to = bytes;
                    return;
                }
                for (to, byte) in to.iter_mut().zip(bytes) {
                    *to = byte;
                }
            }

            fn leading_zeros(self) -> usize {
                Self::leading_zeros(self) as usize
            }

            fn trailing_zeros(self) -> usize {
                Self::trailing_zeros(self) as usize
            }
        }
    };
}

word!(u32);
word!(u64);
word!(u128);

/// The bytes that are alike, the first of the others and how many they are, and these of every value.
fn cut<W: Word>(bytes: &[u8]) -> Option<(Vec<u8>, usize, usize, Buffer)> {
    let values = || bytes.chunks_exact(W::BYTES).map(W::load);
    let first = values().next()?;
    let differ = values().fold(W::NONE, |differ, value| differ | (value ^ first));
    // Where all are equal, one byte stays.
    let from = if differ == W::NONE { 0 } else { differ.trailing_zeros() / 8 };
    let to = W::BYTES - differ.leading_zeros() / 8;
    let kept = (to.saturating_sub(from)).max(1);
    let saved = values().len() * (W::BYTES - kept);
    if kept * 4 > W::BYTES * 3 || saved < LEAST_SAVED {
        return None;
    }
    let mut cut = vec![0; values().len() * kept];
    for (row, value) in values().enumerate() {
        // Bytes stored beyond the row are overwritten by the next.
        (value >> (from * 8)).store(cut.split_at_mut(row * kept).1);
    }
    let mut base = vec![0; W::BYTES];
    (first & (mask::<W>(from, kept)? ^ W::ALL)).store(&mut base);
    Some((base, from, kept, Buffer::from_vec(cut)))
}

/// Puts the bytes that are alike around those of each value.
fn widen<W: Word>(
    cut: &[u8],
    (from, kept): (usize, usize),
    base: &[u8],
    rows: usize,
) -> Option<MutableBuffer> {
    // Not only to get it: it is there only if the bytes lie within a value.
    let mask = mask::<W>(from, kept)? >> (from * 8);
    let base = W::load(base);
    let mut values = MutableBuffer::from_len_zeroed(rows * W::BYTES);
    for (row, value) in values.as_slice_mut().chunks_exact_mut(W::BYTES).enumerate() {
        let own = W::load(cut.get(row * kept..)?) & mask;
        (base | own << (from * 8)).store(value);
    }
    Some(values)
}

/// Ones in some bytes.
fn mask<W: Word>(from: usize, kept: usize) -> Option<W> {
    let beyond = W::BYTES.checked_sub(kept).filter(|beyond| from <= *beyond && kept > 0)?;
    Some(W::ALL >> (beyond * 8) << (from * 8))
}

/// The batch with all columns as they were.
pub(super) fn restore(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let Some(described) = batch.schema_ref().metadata().get(NARROW) else { return Ok(batch) };
    let torn = |what: &str| ArrowError::IpcError(format!("its narrow columns {what}"));
    let described: Vec<(usize, String, usize, String)> =
        serde_json::from_str(described).map_err(|_| torn("are not described"))?;
    let (schema, mut columns, rows) = batch.into_parts();
    let mut fields = schema.fields().to_vec();
    for (place, data_type, from, base) in described {
        let (Some(column), Some(field)) = (columns.get_mut(place), fields.get_mut(place)) else {
            return Err(torn("are not there"));
        };
        let data_type: DataType = data_type.parse().map_err(|_| torn("have an unknown type"))?;
        *column = wide(column, &data_type, from, &base).ok_or_else(|| torn("do not fit their types"))??;
        *field = Arc::new(field.as_ref().clone().with_data_type(data_type));
    }
    let mut metadata = schema.metadata().clone();
    metadata.remove(NARROW);
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

fn wide(
    column: &ArrayRef,
    data_type: &DataType,
    from: usize,
    base: &str,
) -> Option<Result<ArrayRef, ArrowError>> {
    let column = column.as_fixed_size_binary_opt()?;
    let kept = usize::try_from(column.value_length()).ok()?;
    let pair = |at: usize| u8::from_str_radix(base.get(at * 2..at * 2 + 2)?, 16).ok();
    let base = (0..base.len().div_ceil(2)).map(pair).collect::<Option<Vec<u8>>>()?;
    let (rows, cut, shape) = (column.len(), column.value_data(), (from, kept));
    let values = match base.len() {
        4 => widen::<u32>(cut, shape, &base, rows),
        8 => widen::<u64>(cut, shape, &base, rows),
        16 => widen::<u128>(cut, shape, &base, rows),
        _ => None,
    };
    let (values, nulls) = (Buffer::from(values?), column.nulls().cloned());
    let array = match data_type {
        DataType::Utf8View if base.len() == 16 => {
            StringViewArray::try_new(ScalarBuffer::new(values, 0, rows), vec![], nulls)
                .map(|a| Arc::new(a) as _)
        }
        DataType::BinaryView if base.len() == 16 => {
            BinaryViewArray::try_new(ScalarBuffer::new(values, 0, rows), vec![], nulls)
                .map(|a| Arc::new(a) as _)
        }
        other if other.primitive_width() == Some(base.len()) => {
            let data = ArrayData::builder(other.clone()).len(rows).add_buffer(values).nulls(nulls).build();
            data.map(make_array)
        }
        _ => return None,
    };
    Some(array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Columns, decode};
    use arrow::array::{
        Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Field;
    use arrow::ipc::writer::StreamWriter;
    use proptest::prelude::*;

    fn encoded(array: &ArrayRef) -> Vec<u8> {
        let mut columns = Columns::default();
        columns.push("x", array).unwrap();
        columns.encode(array.len(), Some("{}".to_owned())).unwrap()
    }

    fn back(array: &ArrayRef) -> usize {
        let bytes = encoded(array);
        let size = bytes.len();
        let batch = decode(bytes).unwrap();
        assert_eq!(batch.column(0), array);
        assert_eq!(batch.schema().field(0), &Field::new("x", array.data_type().clone(), true));
        assert_eq!(batch.schema().metadata().keys().collect::<Vec<_>>(), ["anabranch"]);
        size
    }

    /// Numbers that differ in some bytes of theirs.
    fn numbers() -> impl Strategy<Value = Vec<Option<u64>>> {
        let shape = (any::<u64>(), 0_u32..64, 0_u32..64);
        shape.prop_flat_map(|(base, from, bits)| {
            let own = (u64::MAX >> (63 - bits)) << from;
            let number = any::<u64>().prop_map(move |number| (base & !own) | (number & own));
            proptest::collection::vec(proptest::option::weighted(0.95, number), 0..400)
        })
    }

    proptest! {
        #[test]
        fn every_column_comes_back_as_it_was(numbers in numbers(), nulls in any::<bool>()) {
            let numbers = || numbers.iter().filter(|n| nulls || n.is_some()).copied();
            let signed = || numbers().map(|n| n.map(u64::cast_signed));
            let strings = || numbers().map(|n| n.map(|n| format!("row {}", n % 100_000)));
            let columns: [ArrayRef; 7] = [
                Arc::new(signed().collect::<Int64Array>()),
                Arc::new(numbers().map(|n| n.map(f64::from_bits)).filter(|f| f.is_none_or(|f| !f.is_nan())).collect::<Float64Array>()),
                Arc::new(signed().collect::<TimestampMicrosecondArray>().with_timezone("Europe/Berlin")),
                Arc::new(signed().map(|n| n.map(|n| (n >> 40) as i32)).collect::<Int32Array>()),
                Arc::new(signed().map(|n| n.map(|n| i128::from(n) << 30)).collect::<Decimal128Array>().with_precision_and_scale(38, 3).unwrap()),
                Arc::new(strings().collect::<StringViewArray>()),
                Arc::new(strings().map(|t| t.map(String::into_bytes)).collect::<BinaryViewArray>()),
            ];
            for column in columns {
                back(&column);
            }
        }
    }

    #[test]
    fn columns_whose_values_are_alike_are_small_and_others_are_as_they_were() {
        let near: ArrayRef = Arc::new(Int64Array::from_iter_values(1_700_000_000_000..1_700_000_008_192));
        let far: ArrayRef = Arc::new(Int64Array::from_iter_values(
            (0..8_192).map(|n: i64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed())),
        ));
        let same: ArrayRef = Arc::new(Int64Array::from(vec![7; 8_192]));
        let few: ArrayRef = Arc::new(Int64Array::from(vec![7; 20]));
        assert!((8_192 * 2..8_192 * 2 + 1_024).contains(&back(&near)));
        assert!((8_192 * 8..8_192 * 8 + 1_024).contains(&back(&far)));
        assert!(back(&same) < 8_192 + 1_024);
        assert!(narrow(0, &few).is_none());
        let long: ArrayRef = Arc::new(StringViewArray::from(vec!["a text that is too long for a view"; 100]));
        assert!(narrow(0, &long).is_none());
        back(&long);
    }

    #[test]
    fn a_description_that_does_not_fit_is_an_error_and_no_panic() {
        let narrow: ArrayRef =
            Arc::new(FixedSizeBinaryArray::try_from_iter([[0xff_u8, 1], [2, 3]].iter()).unwrap());
        let with = |described: &str| {
            let field = Field::new("x", narrow.data_type().clone(), true);
            let metadata = std::collections::HashMap::from([(NARROW.to_owned(), described.to_owned())]);
            let schema = Arc::new(Schema::new_with_metadata(vec![field], metadata));
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(&narrow)]).unwrap();
            let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
            writer.write(&batch).unwrap();
            decode(writer.into_inner().unwrap())
        };
        assert!(with(r#"[[0,"Int64",6,"0000000000000000"]]"#).is_ok());
        for wrong in [
            "",
            "{}",
            r#"[[1,"Int64",0,"0000000000000000"]]"#,
            r#"[[0,"Int65",0,"0000000000000000"]]"#,
            r#"[[0,"Int64",7,"0000000000000000"]]"#,
            r#"[[0,"Int64",18446744073709551615,"0000000000000000"]]"#,
            r#"[[0,"Int64",0,"00000000"]]"#,
            r#"[[0,"Int64",0,"00000000000000000"]]"#,
            r#"[[0,"Int64",0,"000000000000000é"]]"#,
            r#"[[0,"Int8",0,"00"]]"#,
            r#"[[0,"Utf8",0,"00000000000000000000000000000000"]]"#,
            // A text of two bytes, of which one cannot be.
            r#"[[0,"Utf8View",4,"02000000000000000000000000000000"]]"#,
        ] {
            assert!(with(wrong).is_err(), "{wrong}");
        }
    }
}
