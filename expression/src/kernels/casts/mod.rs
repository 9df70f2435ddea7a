//! Casts: exact, rounded where SQL rounds, or an error of the row.

mod numbers;
mod strings;
mod temporal;

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::numbers::{Wide, is_decimal, is_float};
use super::{Answer, Function, Reason, RowErrors, Value};

/// The cast of a type to another; `None` where SQL has none. A lenient one gives null where the
/// other has an error.
pub(crate) fn caster(from: &DataType, to: &DataType, lenient: bool) -> Option<Function> {
    let strict = strict(from, to)?;
    if !lenient {
        return Some(strict);
    }
    Some(Function::new(move |arguments, rows| {
        let answer = strict.call(arguments, rows)?;
        Ok(Answer::new(answer.array, RowErrors::default()))
    }))
}

fn strict(from: &DataType, to: &DataType) -> Option<Function> {
    use DataType as D;
    if from == to {
        return Some(Function::of_rows(|values| Ok(Answer::new(Arc::clone(values), RowErrors::default()))));
    }
    match (from, to) {
        (D::Utf8View, D::BinaryView) => Some(by_arrow(to.clone())),
        (D::BinaryView, D::Utf8View) => Some(strings::from_bytes()),
        (D::Utf8View, _) => strings::read(to),
        (_, D::Utf8View) => strings::write(from),
        (D::Boolean, to) if to.is_integer() || is_float(to) => Some(by_arrow(to.clone())),
        (D::Boolean, to) if is_decimal(to) => {
            let inner = strict(&D::Int8, to)?;
            Some(Function::of_rows(move |truths| {
                inner.call(&[Value::Rows(cast(truths, &D::Int8)?)], truths.len())
            }))
        }
        (from, D::Boolean) if from.is_integer() || is_decimal(from) => {
            Some(Function::of_one(|value, rows| {
                let wide = Wide::of(value);
                Ok((0..rows).map(|row| wide.get(row).map(|v| v != 0)).collect::<BooleanArray>().into())
            }))
        }
        (from, D::Boolean) if is_float(from) => Some(Function::of_rows(|value| {
            let values = cast(value, &D::Float64)?;
            Ok(BooleanArray::from_unary(values.as_primitive::<Float64Type>(), |v| v != 0.0).into())
        })),
        (from, to) if is_count_number(from) || is_float(from) => numbers::number(from, to),
        (D::Decimal256(..), D::Decimal128(..) | D::Float64) => Some(by_arrow(to.clone())),
        (from, to) => temporal::temporal(from, to),
    }
}

fn is_count_number(data_type: &DataType) -> bool {
    data_type.is_integer() || is_decimal(data_type)
}

/// A cast that Arrow makes without loss; what it cannot is an error of the row.
pub(crate) fn by_arrow(to: DataType) -> Function {
    Function::of_rows(move |array| {
        let result = cast(array, &to)?;
        let errors = RowErrors::of_lost(array, &result, Reason::Cast);
        Ok(Answer::new(result, errors))
    })
}
