//! The steps of a computation.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::value::Value;
use super::{Function, RowErrors, choose};

/// A step with the type of its values.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) step: Step,
    pub(crate) data_type: DataType,
}

/// One step of a computation.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A column, by its position among those mentioned.
    Column(usize),
    /// One value for all rows.
    Constant(ArrayRef),
    /// A function whose result has the errors of all its arguments.
    Call(Function, Vec<Typed>),
    /// Terms joined by AND, or by OR.
    Logic { is_and: bool, terms: Vec<Typed> },
    /// The value of the first arm whose condition is true.
    Choose { arms: Vec<(Typed, Typed)>, otherwise: Box<Typed> },
    /// The first value that is not null.
    Coalesce(Vec<Typed>),
    /// A value that a step mentions several times, computed once: a column behind those of the rows, at its place.
    Once { value: Box<Typed>, place: usize, step: Box<Typed> },
}

impl Typed {
    pub(crate) fn new(step: Step, data_type: DataType) -> Self {
        Self { step, data_type }
    }

    pub(crate) fn constant(array: ArrayRef) -> Self {
        let data_type = array.data_type().clone();
        Self { step: Step::Constant(array), data_type }
    }

    /// A constant null of a type.
    pub(crate) fn null(data_type: &DataType) -> Self {
        Self::constant(new_null_array(data_type, 1))
    }

    pub(crate) fn is_constant(&self) -> bool {
        matches!(self.step, Step::Constant(_))
    }

    /// Computes it for each row.
    pub(crate) fn evaluate(
        &self,
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<(Value, RowErrors), ArrowError> {
        let answer = match &self.step {
            Step::Column(position) => {
                let column = columns.get(*position).expect("a mentioned column is among those given");
                return Ok((Value::Rows(Arc::clone(column)), RowErrors::default()));
            }
            Step::Constant(array) => return Ok((Value::Constant(Arc::clone(array)), RowErrors::default())),
            Step::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                let mut errors = RowErrors::default();
                for argument in arguments {
                    let (value, found) = argument.evaluate(columns, rows)?;
                    values.push(value);
                    errors = errors.and(found);
                }
                let mut answer = function.call(&values, rows)?;
                answer.errors = errors.and(answer.errors);
                answer
            }
            Step::Logic { is_and, terms } => choose::logic(*is_and, terms, columns, rows)?,
            Step::Choose { arms, otherwise } => choose::choose(arms, otherwise, columns, rows)?,
            Step::Coalesce(terms) => choose::coalesce(terms, columns, rows)?,
            Step::Once { value, place, step } => {
                let (value, errors) = value.evaluate(columns, rows)?;
                let array = value.into_rows(rows)?;
                let mut columns = columns.to_vec();
                // Places before it that are of no use here hold the same.
                columns.resize(columns.len().max(place + 1), Arc::clone(&array));
                *columns.get_mut(*place).expect("there are columns up to the place") = array;
                let (value, found) = step.evaluate(&columns, rows)?;
                return Ok((value, errors.and(found)));
            }
        };
        Ok((Value::Rows(answer.array), answer.errors))
    }
}
