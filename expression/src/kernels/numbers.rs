//! The numeric types of Arrow, brought to the few that kernels compute with.
//!
//! Each kernel is compiled for 64 bits, or 128, and not for each of Arrow's twenty types of numbers and times: narrower
//! ones are widened before, and what comes out is narrowed, or is an error of its row.

/// Runs the body with `$arrow` as the Arrow type of a float.
macro_rules! with_float {
    ($data_type:expr, $arrow:ident => $body:expr, else $other:expr) => {
        match $data_type {
            arrow::datatypes::DataType::Float32 => {
                type $arrow = arrow::datatypes::Float32Type;
                $body
            }
            arrow::datatypes::DataType::Float64 => {
                type $arrow = arrow::datatypes::Float64Type;
                $body
            }
            _ => $other,
        }
    };
}

pub(crate) use with_float;

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;

use super::value::{Side, Value};
use super::{Answer, Answered, Function, Reason, RowErrors};
use crate::exact::POWERS_OF_TEN;

/// True for decimals of 128 bits.
pub(crate) fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..))
}

/// True for floats of 32 or 64 bits.
pub(crate) fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// True for numbers that expressions compute with.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || is_float(data_type) || is_decimal(data_type)
}

/// The scale of an integer (0) or a decimal.
pub(crate) fn scale_of(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Decimal128(_, scale) => {
            u8::try_from(*scale).expect("the planner widens decimals of a negative scale")
        }
        _ => 0,
    }
}

/// Counts of 64 bits or fewer, or decimals, as integers of 128 bits.
///
/// Memory: 16 bytes for each value of a column that is no decimal.
pub(crate) struct Wide<'a> {
    values: Cow<'a, [i128]>,
    nulls: Option<&'a NullBuffer>,
    constant: bool,
}

impl<'a> Wide<'a> {
    /// Reads a count or a decimal; the planner gives kernels of counts nothing else.
    pub(crate) fn of(value: &'a Value) -> Self {
        let array = value.array();
        let values = match array.data_type() {
            DataType::Decimal128(..) => {
                Cow::Borrowed(array.as_primitive::<Decimal128Type>().values().as_ref())
            }
            DataType::UInt64 => widen(array.as_primitive::<UInt64Type>().values()),
            _ => {
                let counts = to_int64(array).expect("counts of 64 bits or fewer are int64");
                widen(counts.as_primitive::<Int64Type>().values())
            }
        };
        Self { values, nulls: array.nulls(), constant: matches!(value, Value::Constant(_)) }
    }

    pub(crate) fn get(&self, row: usize) -> Option<i128> {
        let at = if self.constant { 0 } else { row };
        let valid = self.nulls.is_none_or(|nulls| nulls.is_valid(at));
        valid.then(|| *self.values.get(at).expect("there is a value for each row"))
    }

    /// The values for a loop over rows; `None` for a null that stands for all.
    pub(crate) fn side(&self) -> Option<Side<'_, i128>> {
        if self.constant { self.get(0).map(Side::One) } else { Some(Side::Each(&self.values)) }
    }
}

fn widen<N: Copy + Into<i128>>(values: &[N]) -> Cow<'static, [i128]> {
    Cow::Owned(values.iter().map(|value| (*value).into()).collect())
}

/// The type counts in 64 bits or fewer: integers, dates, times, timestamps and durations.
pub(crate) fn is_count(data_type: &DataType) -> bool {
    use DataType as D;
    data_type.is_integer()
        || matches!(data_type, D::Date32 | D::Time64(_) | D::Timestamp(..) | D::Duration(_))
}

/// Counts other than uint64 as int64; nothing is copied where they have 64 bits.
pub(crate) fn to_int64(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if *array.data_type() == DataType::Int64 { Ok(Arc::clone(array)) } else { cast(array, &DataType::Int64) }
}

/// Counts of 64 bits as those of a type; a row that it does not hold has an error.
pub(crate) fn counted(answer: Answer, to: &DataType, reason: Reason) -> Answered {
    let counts = answer.array;
    let narrow = match to {
        DataType::Int64 => return Ok(Answer::new(counts, answer.errors)),
        DataType::Date32 => cast(&cast(&counts, &DataType::Int32)?, to)?,
        _ => cast(&counts, to)?,
    };
    let errors = RowErrors::of_lost(&counts, &narrow, reason);
    Ok(Answer::new(narrow, answer.errors.and(errors)))
}

/// A function of int64 for a narrower integer type: what that does not hold is an overflow.
pub(crate) fn through_int64(data_type: &DataType, function: Function) -> Function {
    let to = data_type.clone();
    Function::new(move |arguments, rows| {
        let widened = arguments.iter().map(|value| Ok(value.with_array(to_int64(value.array())?)));
        let widened = widened.collect::<Result<Vec<_>, ArrowError>>()?;
        counted(function.call(&widened, rows)?, &to, Reason::Overflow)
    })
}

/// One count of a type; `None` if the type does not hold it.
pub(crate) fn count_constant(count: i128, data_type: &DataType) -> Option<ArrayRef> {
    match data_type {
        DataType::UInt64 => Some(Arc::new(UInt64Array::from(vec![u64::try_from(count).ok()?]))),
        DataType::Decimal128(precision, scale) => {
            (count.unsigned_abs() < POWERS_OF_TEN[38].unsigned_abs()).then_some(())?;
            let array = Decimal128Array::from(vec![count]);
            Some(Arc::new(array.with_precision_and_scale(*precision, *scale).ok()?))
        }
        other if is_count(other) => {
            let count = Int64Array::from(vec![i64::try_from(count).ok()?]);
            let answer = counted(count.into(), other, Reason::Cast).ok()?;
            answer.errors.is_empty().then_some(answer.array)
        }
        _ => None,
    }
}
