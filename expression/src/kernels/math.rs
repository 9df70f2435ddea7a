//! Functions of numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, UInt64Type};

use super::arithmetic::{Integer, map};
use super::by_row::{try_binary, try_unary};
use super::numbers::{scale_of, through_int64, with_float};
use super::rounding::{Rounded, Rounding};
use super::{Function, Reason, decimal};

/// A function of one float by its name.
fn unary(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "ACOS" => f64::acos,
        "ACOSD" => |x| x.acos().to_degrees(),
        "ASIN" => f64::asin,
        "ASIND" => |x| x.asin().to_degrees(),
        "ATAN" => f64::atan,
        "ATAND" => |x| x.atan().to_degrees(),
        "CBRT" => f64::cbrt,
        "COS" => f64::cos,
        "COSD" => |x| x.to_radians().cos(),
        "COT" => |x| 1.0 / x.tan(),
        "COTD" => |x| 1.0 / x.to_radians().tan(),
        "DEGREES" => f64::to_degrees,
        "EXP" => f64::exp,
        "LN" => f64::ln,
        "LOG10" => f64::log10,
        "LOG1P" => f64::ln_1p,
        "LOG2" => f64::log2,
        "RADIANS" => f64::to_radians,
        "SIN" => f64::sin,
        "SIND" => |x| x.to_radians().sin(),
        "SQRT" => f64::sqrt,
        "TAN" => f64::tan,
        "TAND" => |x| x.to_radians().tan(),
        _ => return None,
    })
}

/// A function of one float of 64 bits.
pub(crate) fn transcendental(name: &str) -> Option<Function> {
    let apply = unary(name)?;
    Some(Function::of_each::<Float64Type, Float64Type>(apply))
}

/// A function of two floats of 64 bits.
pub(crate) fn of_two(name: &str) -> Option<Function> {
    let apply: fn(f64, f64) -> f64 = match name {
        "ATAN2" => f64::atan2,
        "ATAN2D" => |y, x| y.atan2(x).to_degrees(),
        "LOG" => |base, x| match base {
            2.0 => x.log2(),
            10.0 => x.log10(),
            _ => x.ln() / base.ln(),
        },
        "POW" => f64::powf,
        _ => return None,
    };
    Some(Function::of_two(move |left, right, _| {
        map::<Float64Type, Float64Type, Float64Type>(left, right, apply)
    }))
}

/// The values as floats of 32 bits, each the nearest.
pub(crate) fn to_float32() -> Function {
    #[expect(clippy::cast_possible_truncation, reason = "the nearest float is meant")]
    Function::of_each::<Float64Type, Float32Type>(|value| value as f32)
}

/// Powers of integers with an exponent that is not negative.
pub(crate) fn integer_power(data_type: &DataType) -> Option<Function> {
    fn of<A: ArrowPrimitiveType<Native: Integer>>() -> Function {
        Function::of_two(|base, exponent, rows| {
            Ok(try_binary::<A, Int64Type, A>(base, exponent, rows, |base, exponent| {
                let exponent = u32::try_from(exponent).map_err(|_| Reason::Argument)?;
                base.power(exponent).map(Some).ok_or(Reason::Overflow)
            }))
        })
    }
    match data_type {
        DataType::UInt64 => Some(of::<UInt64Type>()),
        other if other.is_integer() => Some(through_int64(other, of::<Int64Type>())),
        _ => None,
    }
}

/// Functions that keep the type of their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    Negate,
    Absolute,
    Sign,
    Ceiling,
    Floor,
}

/// A function that keeps the type of its number.
pub(crate) fn keeping(function: Keeping, data_type: &DataType) -> Option<Function> {
    match data_type {
        DataType::Decimal128(precision, _) => Some(of_decimals(function, *precision, scale_of(data_type))),
        DataType::Float32 | DataType::Float64 => of_floats(function, data_type),
        _ => of_integers(function, data_type),
    }
}

fn of_integers(function: Keeping, data_type: &DataType) -> Option<Function> {
    fn of<A: ArrowPrimitiveType<Native: Integer>>(function: Keeping) -> Function {
        Function::of_one(move |value, rows| {
            let zero = A::Native::default();
            let checked = |(value, over): (A::Native, A::Native)| {
                if over.is_high() { Err(Reason::Overflow) } else { Ok(value) }
            };
            Ok(try_unary::<A, A>(value, rows, |v| match function {
                Keeping::Negate => checked(zero.minus(v)),
                Keeping::Absolute if v < zero => checked(zero.minus(v)),
                Keeping::Sign if v < zero => checked(zero.minus(A::Native::ONE)),
                Keeping::Sign if v > zero => Ok(A::Native::ONE),
                Keeping::Absolute | Keeping::Sign | Keeping::Ceiling | Keeping::Floor => Ok(v),
            }))
        })
    }
    match data_type {
        DataType::UInt64 => Some(of::<UInt64Type>(function)),
        other if other.is_integer() => Some(through_int64(other, of::<Int64Type>(function))),
        _ => None,
    }
}

fn of_floats(function: Keeping, data_type: &DataType) -> Option<Function> {
    with_float!(data_type, A => {
        type Native = <A as ArrowPrimitiveType>::Native;
        let apply: fn(Native) -> Native = match function {
            Keeping::Negate => |v| -v,
            Keeping::Absolute => Native::abs,
            Keeping::Sign => |v| if v == 0.0 || v.is_nan() { v } else { v.signum() },
            Keeping::Ceiling => Native::ceil,
            Keeping::Floor => Native::floor,
        };
        Some(Function::of_each::<A, A>(apply))
    }, else None)
}

fn of_decimals(function: Keeping, precision: u8, scale: u8) -> Function {
    match function {
        Keeping::Negate => decimal::each(precision, scale, decimal::negative),
        Keeping::Absolute => decimal::each(precision, scale, decimal::absolute),
        Keeping::Sign => {
            let scale = sign_scale(scale);
            let one = crate::exact::decimal_power(scale);
            decimal::each(decimal::PRECISION, scale, move |value| Ok(value.signum() * one))
        }
        Keeping::Floor => Rounded::new(scale, 0, Rounding::Floor).function(scale),
        Keeping::Ceiling => Rounded::new(scale, 0, Rounding::Ceiling).function(scale),
    }
}

/// The scale of the sign of a decimal: its own, or none where that leaves no digit for a 1.
pub(crate) fn sign_scale(scale: u8) -> u8 {
    if scale < decimal::PRECISION { scale } else { 0 }
}

/// Rounds half away from zero, or towards zero, to digits behind the point (negative: before it).
pub(crate) fn round(data_type: &DataType, digits: i64, truncates: bool) -> Option<Function> {
    let rounding = if truncates { Rounding::Cut } else { Rounding::Nearest };
    match data_type {
        DataType::Decimal128(..) => {
            let scale = scale_of(data_type);
            Some(Rounded::new(scale, digits, rounding).function(scale))
        }
        DataType::Float32 => {
            #[expect(clippy::cast_possible_truncation, reason = "the value came from 32 bits")]
            let round = move |v| round_float(f64::from(v), digits, truncates) as f32;
            Some(Function::of_each::<Float32Type, Float32Type>(round))
        }
        DataType::Float64 => {
            Some(Function::of_each::<Float64Type, Float64Type>(move |v| round_float(v, digits, truncates)))
        }
        DataType::UInt64 => Some(rounded::<UInt64Type>(digits, rounding)),
        other if other.is_integer() => Some(through_int64(other, rounded::<Int64Type>(digits, rounding))),
        _ => None,
    }
}

fn rounded<A>(digits: i64, rounding: Rounding) -> Function
where
    A: ArrowPrimitiveType<Native: Into<i128> + TryFrom<i128>>,
{
    let rounded = Rounded::new(0, digits, rounding);
    Function::of_one(move |value, rows| {
        Ok(try_unary::<A, A>(value, rows, move |v| {
            rounded.apply(v.into())?.try_into().map_err(|_| Reason::Overflow)
        }))
    })
}

/// Half away from zero at a decimal digit of the float's exact value; where the power of ten does not fit, nothing is cut.
#[expect(clippy::float_cmp, reason = "a half is a float exactly")]
fn round_float(value: f64, digits: i64, truncates: bool) -> f64 {
    let step = |v: f64| if truncates { v.trunc() } else { v.round() };
    let Ok(digits) = i32::try_from(digits) else { return if digits < 0 { 0.0 * value } else { value } };
    if digits == 0 || !value.is_finite() {
        return step(value);
    }
    let power = 10_f64.powi(digits.abs());
    // The scaled number, and what it lacks to be exact: where it seems to lie half way, that decides.
    let (scaled, lacks) = if digits > 0 {
        let scaled = value * power;
        (scaled, value.mul_add(power, -scaled))
    } else {
        let scaled = value / power;
        (scaled, scaled.mul_add(-power, value))
    };
    let half = scaled.fract().abs() == 0.5;
    let below = half && !truncates && if scaled < 0.0 { lacks > 0.0 } else { lacks < 0.0 };
    let whole = if below { scaled.trunc() } else { step(scaled) };
    let rounded = if digits > 0 { whole / power } else { whole * power };
    match (rounded.is_finite(), digits > 0) {
        (true, _) => rounded,
        (false, true) => value,
        (false, false) => 0.0,
    }
}

/// ISNAN, ISINF and ISFINITE; numbers that are no floats are finite.
#[expect(clippy::useless_conversion, reason = "one body for several types")]
pub(crate) fn classify(name: &str, data_type: &DataType) -> Function {
    let of_float: fn(f64) -> bool = match name {
        "ISNAN" => f64::is_nan,
        "ISINF" => f64::is_infinite,
        _ => f64::is_finite,
    };
    let otherwise = name == "ISFINITE";
    with_float!(data_type, A => Function::of_rows(move |values| {
        Ok(BooleanArray::from_unary(values.as_primitive::<A>(), |v| of_float(f64::from(v))).into())
    }), else Function::of_one(move |value, rows| {
        let answer = |row| (!value.is_null(row)).then_some(otherwise);
        Ok((0..rows).map(answer).collect::<BooleanArray>().into())
    }))
}

/// The largest or the smallest of the values that are not null, by an order of two columns.
pub(crate) fn extreme(largest: bool, less: Function) -> Function {
    Function::new(move |arguments, rows| {
        let mut arguments = arguments.iter();
        let first = arguments.next().expect("GREATEST and LEAST have an argument");
        let mut best: ArrayRef = first.clone().into_rows(rows)?;
        for other in arguments {
            let other = other.clone().into_rows(rows)?;
            let values =
                [super::value::Value::Rows(Arc::clone(&best)), super::value::Value::Rows(Arc::clone(&other))];
            let below = less.call(&values, rows)?.array;
            let below = below.as_boolean();
            // The best so far is below the other, or not, or one of them is null.
            let worse = if largest { below.values().clone() } else { !below.values() };
            let replaced = match (below.nulls(), best.nulls()) {
                (None, _) => worse,
                (Some(both), None) => &worse & both.inner(),
                (Some(both), Some(best)) => &(&worse & both.inner()) | &!best.inner(),
            };
            let replaced = BooleanArray::new(replaced, None);
            best = super::choose::select(
                &replaced,
                &super::value::Value::Rows(other),
                &super::value::Value::Rows(best),
            )?;
        }
        Ok(super::Answer::new(best, super::RowErrors::default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "equal values are meant")]
    fn floats_round_half_away_from_zero() {
        assert_eq!(round_float(2.5, 0, false), 3.0);
        assert_eq!(round_float(-2.5, 0, false), -3.0);
        assert_eq!(round_float(1234.5, -2, false), 1200.0);
        assert_eq!(round_float(1e300, 300, false), 1e300);
        assert_eq!(round_float(-1.99, 1, true), -1.9);
        assert_eq!(round_float(2.675, 2, false), 2.67, "the float is a little less");
        assert_eq!(round_float(-49.995, 2, false), -49.99);
        assert_eq!(round_float(0.375, 2, false), 0.38);
        assert_eq!(round_float(25.0, -1, false), 30.0);
    }
}
