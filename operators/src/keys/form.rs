//! The one form in which equal keys have equal bits.

use std::sync::Arc;

use anabranch_engine::types::convert;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;

/// The column in the type that all inputs agreed on, with one zero and one NaN.
///
/// An instant that the finer unit cannot hold becomes null, and so does a negative number where the type
/// has no sign: nothing in that type equals it, so like a null it matches nothing.
pub(crate) fn key_form(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    let typed = match target {
        DataType::Timestamp(..) | DataType::Duration(_) if column.data_type() != target => {
            cast(column, target)?
        }
        DataType::UInt64 if column.data_type().is_signed_integer() => cast(column, target)?,
        _ => convert(column, target)?,
    };
    Ok(one_zero_one_nan(typed))
}

/// The column with -0.0 as 0.0 and every NaN as the same NaN; other types as they are.
pub(crate) fn one_zero_one_nan(column: ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float16 => floats::<Float16Type>(column),
        DataType::Float32 => floats::<Float32Type>(column),
        DataType::Float64 => floats::<Float64Type>(column),
        _ => column,
    }
}

fn floats<T: FloatForm>(column: ArrayRef) -> ArrayRef {
    let values = column.as_primitive::<T>();
    if values.values().iter().all(|value| T::is_plain(*value)) {
        return column;
    }
    let plain: PrimitiveArray<T> = values.unary(T::plain);
    Arc::new(plain)
}

/// A float type whose values can be brought into their one form.
trait FloatForm: ArrowPrimitiveType {
    fn plain(value: Self::Native) -> Self::Native;
    fn is_plain(value: Self::Native) -> bool;
}

macro_rules! float_form {
    ($type:ty) => {
        impl FloatForm for $type {
            fn plain(value: Self::Native) -> Self::Native {
                if value.is_nan() {
                    Self::Native::NAN
                } else if value.to_bits() << 1 == 0 {
                    // Only the sign was set.
                    Self::Native::default()
                } else {
                    value
                }
            }

            fn is_plain(value: Self::Native) -> bool {
                value.to_bits() == Self::plain(value).to_bits()
            }
        }
    };
}

float_form!(Float16Type);
float_form!(Float32Type);
float_form!(Float64Type);

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, TimestampSecondArray};
    use arrow::datatypes::{Decimal256Type, TimeUnit};

    #[test]
    fn zeros_and_nans_become_one() {
        let odd_nan = f64::from_bits(f64::NAN.to_bits() | 1);
        let column: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, odd_nan, 1.5]));
        let form = key_form(&column, &DataType::Float64).unwrap();
        let bits: Vec<u64> =
            form.as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, [0, f64::NAN.to_bits(), 1.5_f64.to_bits()]);
    }

    #[test]
    fn an_instant_beyond_the_finer_unit_becomes_null() {
        for zone in [None, Some("UTC")] {
            let column: ArrayRef =
                Arc::new(TimestampSecondArray::from(vec![1, i64::MAX / 2]).with_timezone_opt(zone));
            let target = DataType::Timestamp(TimeUnit::Nanosecond, zone.map(Into::into));
            let form = key_form(&column, &target).unwrap();
            assert_eq!((form.is_null(0), form.is_null(1)), (false, true));
        }
        let column: ArrayRef = Arc::new(arrow::array::DurationSecondArray::from(vec![i64::MAX]));
        assert!(key_form(&column, &DataType::Duration(TimeUnit::Nanosecond)).unwrap().is_null(0));
    }

    #[test]
    fn a_decimal_keeps_its_value_in_a_wider_one() {
        let narrow = Decimal128Array::from(vec![-12_345]).with_precision_and_scale(5, 2).unwrap();
        let narrow: ArrayRef = Arc::new(narrow);
        let form = key_form(&narrow, &DataType::Decimal256(50, 2)).unwrap();
        assert_eq!(form.as_primitive::<Decimal256Type>().value_as_string(0), "-123.45");
    }

    #[test]
    fn a_column_in_key_form_is_not_copied() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        assert!(Arc::ptr_eq(&column, &key_form(&column, &DataType::Int64).unwrap()));
    }
}
