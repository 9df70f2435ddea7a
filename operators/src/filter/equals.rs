//! Comparing a column with a value from the pipeline file.

use std::sync::Arc;

use anabranch_engine::operator::BindError;
use anabranch_engine::types::{convert, logical_name};
use anabranch_expression::Literal;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, Scalar, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, kernels::cmp::eq};
use arrow::datatypes::{DataType, FieldRef, Float64Type, TimeUnit};
use arrow::error::ArrowError;

use super::number::decimal;
use crate::keys::one_zero_one_nan;

/// A value as its column's type has it.
#[derive(Debug)]
pub(super) enum Equals {
    /// Rows that are null.
    Null,
    /// No row: the type cannot hold the value.
    Never,
    /// Rows that have the value.
    Value(Scalar<ArrayRef>),
}

/// Why a literal is no value of a type: what would have been right.
struct Unfit(&'static str);

impl Equals {
    pub(super) fn new(field: &FieldRef, value: &Literal) -> Result<Self, BindError> {
        if matches!(value, Literal::Null) {
            return Ok(Self::Null);
        }
        let scalar = scalar(field.data_type(), value).map_err(|Unfit(expected)| {
            BindError::parameter(
                "equals",
                format!(
                    "{} for column \"{}\" of type {}",
                    describe(value),
                    field.name(),
                    logical_name(field)
                ),
                expected,
                "change the value, or write the comparison in where",
            )
        })?;
        Ok(match scalar {
            Some(array) if array.is_valid(0) => Self::Value(Scalar::new(one_zero_one_nan(array))),
            _ => Self::Never,
        })
    }

    /// The rows that match.
    pub(super) fn rows(&self, column: &ArrayRef) -> Result<BooleanBuffer, ArrowError> {
        let rows = column.len();
        Ok(match self {
            Self::Never => BooleanBuffer::new_unset(rows),
            Self::Null => match column.logical_nulls() {
                Some(nulls) => !nulls.inner(),
                None => BooleanBuffer::new_unset(rows),
            },
            Self::Value(value) => {
                let equal = eq(&one_zero_one_nan(Arc::clone(column)), value)?;
                match equal.nulls() {
                    Some(nulls) => equal.values() & nulls.inner(),
                    None => equal.values().clone(),
                }
            }
        })
    }
}

fn describe(value: &Literal) -> String {
    match value {
        Literal::Null => "null".to_owned(),
        Literal::Bool(value) => format!("{value}"),
        Literal::Integer(value) => format!("integer {value}"),
        Literal::Float(value) => format!("float {value}"),
        Literal::Number(digits) => format!("number {digits}"),
        Literal::String(value) => format!("text \"{value}\""),
    }
}

/// The literal as one value of the type; `None` or a null where no value of the type equals it.
fn scalar(data_type: &DataType, value: &Literal) -> Result<Option<ArrayRef>, Unfit> {
    match data_type {
        _ if data_type.is_integer() => integer(data_type, value),
        _ if data_type.is_floating() => float(data_type, value),
        DataType::Boolean => truth(value),
        DataType::Utf8View => match value {
            Literal::String(text) => Ok(cast(&one_text(text), data_type).ok()),
            _ => Err(Unfit("a text (in quotes)")),
        },
        DataType::Date32 => instant(data_type, value, "a date such as \"2024-05-31\""),
        DataType::Time64(_) => instant(data_type, value, "a time such as \"23:59:59.5\""),
        DataType::Timestamp(unit, zone) => timestamp(*unit, zone.is_some(), data_type, value),
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            decimal(data_type, value).map_err(|_| Unfit("a number, or a text such as \"12.50\""))
        }
        _ if data_type.is_nested() => Err(Unfit("null, since a list, struct or map has no literal")),
        _ => Err(Unfit("null, since this type has no literal")),
    }
}

fn one_text(text: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![text]))
}

fn integer(data_type: &DataType, value: &Literal) -> Result<Option<ArrayRef>, Unfit> {
    match value {
        // What the type cannot hold becomes null.
        Literal::Integer(number) => Ok(cast(&Int64Array::from(vec![*number]), data_type).ok()),
        // Beyond int64; a fraction equals no integer.
        Literal::Number(digits) => Ok(cast(&one_text(digits), data_type).ok()),
        _ => Err(Unfit("an integer")),
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "whether something was lost is what the comparison finds out"
)]
fn float(data_type: &DataType, value: &Literal) -> Result<Option<ArrayRef>, Unfit> {
    let narrow = |number: f64| cast(&Float64Array::from(vec![number]), data_type).ok();
    match value {
        // A fraction is meant as the nearest value that the type has.
        Literal::Float(number) => Ok(narrow(*number)),
        Literal::Number(digits) => Ok(digits.parse().ok().and_then(narrow)),
        // A whole number is meant exactly.
        Literal::Integer(number) => Ok(narrow(*number as f64).filter(|array| {
            let back = cast(array, &DataType::Float64).ok();
            let back = back.and_then(|back| Some(back.as_primitive_opt::<Float64Type>()?.value(0)));
            back.is_some_and(|back| back as i128 == i128::from(*number))
        })),
        _ => Err(Unfit("a number")),
    }
}

fn truth(value: &Literal) -> Result<Option<ArrayRef>, Unfit> {
    let truth = match value {
        Literal::Bool(truth) => *truth,
        Literal::String(text) if text == "true" => true,
        Literal::String(text) if text == "false" => false,
        _ => return Err(Unfit("true or false")),
    };
    Ok(Some(Arc::new(BooleanArray::from(vec![truth]))))
}

fn instant(data_type: &DataType, value: &Literal, expected: &'static str) -> Result<Option<ArrayRef>, Unfit> {
    match value {
        Literal::String(text) => match convert(&one_text(text), data_type) {
            Ok(array) => Ok(Some(array)),
            Err(_) => Err(Unfit(expected)),
        },
        _ => Err(Unfit(expected)),
    }
}

fn timestamp(
    unit: TimeUnit,
    has_zone: bool,
    data_type: &DataType,
    value: &Literal,
) -> Result<Option<ArrayRef>, Unfit> {
    let expected = if has_zone {
        "a timestamp such as \"2024-05-31T12:00:00Z\""
    } else {
        "a timestamp without a zone such as \"2024-05-31T12:00:00\""
    };
    if let Literal::String(text) = value
        && !has_zone
        && names_zone(text)
    {
        return Err(Unfit(expected));
    }
    let Some(array) = instant(&DataType::Timestamp(unit, None), value, expected)? else { return Ok(None) };
    // A fraction finer than the unit is cut off by now; nothing in this unit equals it.
    let finest = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let exact = match (instant(&finest, value, expected), convert(&array, &finest)) {
        (Ok(Some(wanted)), Ok(found)) => wanted.to_data() == found.to_data(),
        // Nanoseconds do not reach that far.
        _ => true,
    };
    // By way of the number, which is the instant: a cast would take the string for a local time.
    let number = cast(&array, &DataType::Int64).and_then(|number| cast(&number, data_type));
    Ok(number.ok().filter(|_| exact))
}

/// Returns whether a timestamp's string has a zone behind its date.
fn names_zone(text: &str) -> bool {
    const DATE: usize = "2024-05-31".len();
    let time = text.get(DATE..).unwrap_or_default().trim_start_matches(['T', 't', ' ']);
    time.contains(|c: char| c.is_alphabetic() || c == '+' || c == '-')
}
