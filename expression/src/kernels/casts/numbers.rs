//! Casts of numbers to numbers.

use arrow::array::{Array as _, ArrowPrimitiveType};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, UInt64Type};

use super::strings::string_to_decimal;
use crate::kernels::by_row::{each, try_unary};
use crate::kernels::numbers::{Wide, counted, is_count, is_float, scale_of, to_int64, with_float};
use crate::kernels::rounding::Rescale;
use crate::kernels::value::Value;
use crate::kernels::{Answer, Function, Reason, RowErrors, arithmetic, decimal};

/// The cast of a number to a number; `None` for another type.
pub(super) fn number(from: &DataType, to: &DataType) -> Option<Function> {
    let scale = scale_of(from);
    match to {
        DataType::Float64 => Some(Function::of_rows(|values| {
            Ok(Answer::new(arithmetic::to_float64(values)?, RowErrors::default()))
        })),
        DataType::Float32 => Some(Function::of_one(|value, rows| {
            let values = Value::Rows(arithmetic::to_float64(&value.clone().into_rows(rows)?)?);
            #[expect(clippy::cast_possible_truncation, reason = "what leaves the range is found below")]
            Ok(try_unary::<Float64Type, Float32Type>(&values, rows, |v| {
                let narrow = v as f32;
                if narrow.is_infinite() && v.is_finite() { Err(Reason::Cast) } else { Ok(narrow) }
            }))
        })),
        DataType::Decimal128(precision, to_scale) => {
            let (precision, to_scale) = (*precision, u8::try_from(*to_scale).ok()?);
            if is_float(from) {
                return Some(float_to_decimal(precision, to_scale));
            }
            let rescale = Rescale::new(scale, to_scale, precision);
            Some(Function::of_one(move |value, rows| {
                if let Some(small) = rescale.small::<Decimal128Type>(value) {
                    return decimal::typed(small, precision, to_scale);
                }
                let scaled = move |v: i128| rescale.apply(v).ok_or(Reason::Cast);
                let answer = if is_count(value.array().data_type())
                    && *value.array().data_type() != DataType::UInt64
                {
                    let counts = value.with_array(to_int64(value.array())?);
                    try_unary::<Int64Type, Decimal128Type>(&counts, rows, |v| scaled(i128::from(v)))
                } else {
                    let wide = Wide::of(value);
                    each::<i128, Decimal128Type>(wide.side(), value, rows, scaled)
                };
                decimal::typed(answer, precision, to_scale)
            }))
        }
        to if to.is_integer() && is_float(from) => {
            let to = to.clone();
            Some(Function::of_one(move |value, rows| {
                let floats = Value::Rows(cast(&value.clone().into_rows(rows)?, &DataType::Float64)?);
                let whole = |v: f64| whole(v.round_ties_even()).ok_or(Reason::Cast);
                if to == DataType::UInt64 {
                    let unsigned = |v| whole(v)?.try_into().map_err(|_| Reason::Cast);
                    return Ok(try_unary::<Float64Type, UInt64Type>(&floats, rows, unsigned));
                }
                let signed = |v| whole(v)?.try_into().map_err(|_| Reason::Cast);
                counted(try_unary::<Float64Type, Int64Type>(&floats, rows, signed), &to, Reason::Cast)
            }))
        }
        to if to.is_integer() => Some(integer(from, to, scale)),
        _ => None,
    }
}

/// Integers and decimals to integers; nothing is checked where the type holds all.
fn integer(from: &DataType, to: &DataType, scale: u8) -> Function {
    let (from, to) = (from.clone(), to.clone());
    let rescale = Rescale::new(scale, 0, decimal::PRECISION);
    Function::of_one(move |value, rows| {
        if from.is_integer() {
            let array = value.clone().into_rows(rows)?;
            let result = cast(&array, &to)?;
            if result.null_count() == array.null_count() {
                return Ok(Answer::new(result, RowErrors::default()));
            }
        }
        let whole = move |v| rescale.apply(v).ok_or(Reason::Cast);
        if to != DataType::UInt64
            && let Some(small) = rescale.small::<Int64Type>(value)
        {
            return counted(small, &to, Reason::Cast);
        }
        let wide = Wide::of(value);
        if to == DataType::UInt64 {
            let unsigned = move |v| whole(v)?.try_into().map_err(|_| Reason::Cast);
            return Ok(each::<i128, UInt64Type>(wide.side(), value, rows, unsigned));
        }
        let signed = move |v| whole(v)?.try_into().map_err(|_| Reason::Cast);
        counted(each::<i128, Int64Type>(wide.side(), value, rows, signed), &to, Reason::Cast)
    })
}

/// A float without a fraction as an integer.
fn whole(value: f64) -> Option<i128> {
    const LIMIT: f64 = 1e38;
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    (value.abs() < LIMIT).then_some(value as i128)
}

/// A float without a fraction as it is, another as the shortest decimal number that reads as it, rounded to
/// the scale: 0.1 is 0.1, and an integer is that which a cast to an integer gives.
#[expect(clippy::useless_conversion, reason = "one body for both floats")]
fn float_to_decimal(precision: u8, scale: u8) -> Function {
    Function::of_one(move |value, rows| {
        let limit = crate::exact::decimal_power(precision);
        let answer = with_float!(value.array().data_type(), A => {
            try_unary::<A, Decimal128Type>(value, rows, move |v| {
                let quick = round_scaled(f64::from(v), scale, f64::from(<A as ArrowPrimitiveType>::Native::EPSILON));
                if let Some(rounded) = quick {
                    let rounded = i128::from(rounded);
                    return if rounded.abs() < limit { Ok(rounded) } else { Err(Reason::Cast) };
                }
                let text = if v.fract() == 0.0 { format!("{v:.0}") } else { format!("{v:e}") };
                string_to_decimal(&text, precision, scale).ok_or(Reason::Cast)
            })
        }, else unreachable!("the planner casts floats by this"));
        decimal::typed(answer, precision, scale)
    })
}

/// `value * 10^scale`, rounded half away from zero, where that is sure to be so for the number that is meant: the
/// shortest that reads as the float, which is nearer than its last bit.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the range was checked")]
fn round_scaled(value: f64, scale: u8, last_bit: f64) -> Option<i64> {
    const WHOLE: f64 = 4_503_599_627_370_496.0;
    let scaled = value * decimal::float_power(scale)?;
    let magnitude = scaled.abs();
    if magnitude.is_nan() || magnitude >= WHOLE {
        return None;
    }
    // The standard library's steps from floats to whole floats are calls.
    let whole = magnitude as i64;
    let over_half = magnitude - whole as f64 - 0.5;
    let rounded = whole + i64::from(over_half > 0.0);
    (over_half.abs() > magnitude * last_bit * 2.0).then_some(if value < 0.0 { -rounded } else { rounded })
}
