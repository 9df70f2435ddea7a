//! IN with a fixed list: the elements are sorted once.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type};

use super::Function;
use super::numbers::{is_count, to_int64, with_float};

/// Elements up to this number are compared one by one.
const FEW: usize = 8;

/// True where a value is among the elements, which are of its type; where it is not and the list has
/// a null, the answer is null. `None` for types without an order.
pub(crate) fn among(data_type: &DataType, elements: &[ArrayRef], has_null: bool) -> Option<Function> {
    let find: Box<dyn Fn(&ArrayRef) -> BooleanArray + Send + Sync> = match data_type {
        DataType::Utf8View => {
            let mut known: Vec<String> =
                elements.iter().map(|e| e.as_string_view().value(0).to_owned()).collect();
            known.sort_unstable();
            Box::new(move |values| {
                let found = |text: &str| known.binary_search_by(|e| e.as_str().cmp(text)).is_ok();
                values.as_string_view().iter().map(|text| text.map(found)).collect()
            })
        }
        DataType::Float32 | DataType::Float64 => floats(data_type, elements)?,
        _ => counts(data_type, elements)?,
    };
    Some(Function::of_rows(move |values| {
        let found = find(values);
        if !has_null {
            return Ok(found.into());
        }
        Ok(found.iter().map(|answer| answer.filter(|found| *found)).collect::<BooleanArray>().into())
    }))
}

type Find = Box<dyn Fn(&ArrayRef) -> BooleanArray + Send + Sync>;

fn counts(data_type: &DataType, elements: &[ArrayRef]) -> Option<Find> {
    fn find<A>(elements: &[ArrayRef], read: fn(&ArrayRef) -> ArrayRef) -> Find
    where
        A: ArrowPrimitiveType<Native: Ord>,
    {
        let mut known: Vec<_> = elements.iter().map(|e| read(e).as_primitive::<A>().value(0)).collect();
        known.sort_unstable();
        known.dedup();
        Box::new(move |values: &ArrayRef| {
            let values = read(values);
            let values = values.as_primitive::<A>();
            if known.len() <= FEW {
                BooleanArray::from_unary(values, |value| known.contains(&value))
            } else {
                BooleanArray::from_unary(values, |value| known.binary_search(&value).is_ok())
            }
        })
    }
    Some(match data_type {
        DataType::UInt64 => find::<UInt64Type>(elements, Arc::clone),
        DataType::Decimal128(..) => find::<Decimal128Type>(elements, Arc::clone),
        other if is_count(other) => find::<Int64Type>(elements, |array| {
            to_int64(array).expect("counts of 64 bits or fewer are int64")
        }),
        _ => return None,
    })
}

#[expect(clippy::useless_conversion, reason = "one body for several types")]
fn floats(data_type: &DataType, elements: &[ArrayRef]) -> Option<Find> {
    /// One number for each value: zeros are one, NaN are one.
    fn key(value: f64) -> u64 {
        if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
    }
    with_float!(data_type, A => {
        let mut known: Vec<u64> =
            elements.iter().map(|e| key(f64::from(e.as_primitive::<A>().value(0)))).collect();
        known.sort_unstable();
        Some(Box::new(move |values: &ArrayRef| {
            BooleanArray::from_unary(values.as_primitive::<A>(), |value| {
                known.binary_search(&key(f64::from(value))).is_ok()
            })
        }) as Find)
    }, else None)
}
