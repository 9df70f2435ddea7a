//! Common expressions as Arrow kernels.
//!
//! A kernel gives exactly what Polars gives, down to its rules for types, overflow, zero, NaN and
//! division by a constant. What is not certain to agree has no kernel.

mod bind;
mod numbers;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Scalar};
use arrow::compute::kernels::{cmp, zip::zip};
use arrow::compute::{
    and_kleene, cast, contains, ends_with, is_not_null, is_null, not, or_kleene, prep_null_mask_filter,
    starts_with,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

pub(super) use bind::bind;

use super::tree::Binary;

/// One step and the type of what it gives.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    step: Step,
    data_type: DataType,
}

/// What a kernel does; operands are computed before.
#[derive(Debug, Clone)]
enum Step {
    Column(usize),
    /// To the kernel's type, which holds every value.
    Widen(Box<Kernel>),
    /// Both operands have the type `common`.
    Arithmetic {
        operator: Binary,
        common: DataType,
        left: Operand,
        right: Operand,
    },
    /// Both operands have one type.
    Compare {
        operator: Binary,
        left: Operand,
        right: Operand,
    },
    /// The same answer for every value; null for null.
    Fixed {
        value: Box<Kernel>,
        answer: bool,
    },
    And(Box<Kernel>, Box<Kernel>),
    Or(Box<Kernel>, Box<Kernel>),
    Not(Box<Kernel>),
    IsNull(Box<Kernel>),
    IsNotNull(Box<Kernel>),
    In {
        value: Box<Kernel>,
        set: Set,
    },
    Affix {
        value: Box<Kernel>,
        place: Place,
        text: Constant,
    },
    /// The result of the first arm whose condition is true.
    Choose {
        arms: Vec<(Kernel, Operand)>,
        otherwise: Operand,
    },
    /// The first operand that is not null.
    Coalesce(Vec<Operand>),
}

/// A column of values or one value for all rows.
#[derive(Debug, Clone)]
enum Operand {
    Rows(Box<Kernel>),
    Constant(Constant),
}

/// An array of one value.
#[derive(Debug, Clone)]
struct Constant(ArrayRef);

/// The elements of IN, sorted.
#[derive(Debug, Clone)]
struct Set {
    elements: Elements,
    /// A value that is not found may be the null among the elements.
    has_null: bool,
}

#[derive(Debug, Clone)]
enum Elements {
    Integers(Arc<[i64]>),
    Texts(Arc<[String]>),
}

/// Where a text stands in another.
#[derive(Debug, Clone, Copy)]
enum Place {
    Start,
    End,
    Anywhere,
}

/// An operand at work.
enum Side {
    Rows(ArrayRef),
    Constant(Scalar<ArrayRef>),
}

impl Datum for Side {
    fn get(&self) -> (&dyn Array, bool) {
        match self {
            Self::Rows(array) => (array, false),
            Self::Constant(scalar) => scalar.get(),
        }
    }
}

impl Constant {
    fn scalar(&self) -> Scalar<ArrayRef> {
        Scalar::new(Arc::clone(&self.0))
    }
}

impl Operand {
    fn evaluate(&self, columns: &[ArrayRef]) -> Result<Side, ArrowError> {
        Ok(match self {
            Self::Rows(kernel) => Side::Rows(kernel.evaluate(columns)?),
            Self::Constant(constant) => Side::Constant(constant.scalar()),
        })
    }
}

impl Kernel {
    /// The type of what it gives.
    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Computes on all rows of the columns.
    pub(super) fn evaluate(&self, columns: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
        let boolean = |kernel: &Self| kernel.evaluate(columns).map(|array| array.as_boolean().clone());
        Ok(match &self.step {
            Step::Column(position) => {
                let missing = || ArrowError::InvalidArgumentError("a column is missing".to_owned());
                Arc::clone(columns.get(*position).ok_or_else(missing)?)
            }
            Step::Widen(value) => cast(&value.evaluate(columns)?, &self.data_type)?,
            Step::Arithmetic { operator, common, left, right } => {
                numbers::arithmetic(*operator, common, &left.evaluate(columns)?, &right.evaluate(columns)?)?
            }
            Step::Compare { operator, left, right } => {
                compare(*operator, &left.evaluate(columns)?, &right.evaluate(columns)?)?
            }
            Step::Fixed { value, answer } => {
                let value = value.evaluate(columns)?;
                let answers = if *answer {
                    arrow::buffer::BooleanBuffer::new_set(value.len())
                } else {
                    arrow::buffer::BooleanBuffer::new_unset(value.len())
                };
                Arc::new(BooleanArray::new(answers, value.nulls().cloned()))
            }
            Step::And(left, right) => Arc::new(and_kleene(&boolean(left)?, &boolean(right)?)?),
            Step::Or(left, right) => Arc::new(or_kleene(&boolean(left)?, &boolean(right)?)?),
            Step::Not(value) => Arc::new(not(&boolean(value)?)?),
            Step::IsNull(value) => Arc::new(is_null(&value.evaluate(columns)?)?),
            Step::IsNotNull(value) => Arc::new(is_not_null(&value.evaluate(columns)?)?),
            Step::In { value, set } => Arc::new(set.find(&value.evaluate(columns)?)?),
            Step::Affix { value, place, text } => {
                let (value, text) = (value.evaluate(columns)?, text.scalar());
                Arc::new(match place {
                    Place::Start => starts_with(&value, &text)?,
                    Place::End => ends_with(&value, &text)?,
                    Place::Anywhere => contains(&value, &text)?,
                })
            }
            Step::Choose { arms, otherwise } => choose(arms, otherwise, columns)?,
            Step::Coalesce(operands) => coalesce(operands, columns)?,
        })
    }
}

fn compare(operator: Binary, left: &Side, right: &Side) -> Result<ArrayRef, ArrowError> {
    let (array, _) = left.get();
    if let Some(answer) = numbers::compare(operator, array.data_type(), left, right) {
        return Ok(Arc::new(answer));
    }
    Ok(Arc::new(match operator {
        Binary::Equal => cmp::eq(left, right)?,
        Binary::NotEqual => cmp::neq(left, right)?,
        Binary::Less => cmp::lt(left, right)?,
        Binary::LessOrEqual => cmp::lt_eq(left, right)?,
        Binary::Greater => cmp::gt(left, right)?,
        Binary::GreaterOrEqual => cmp::gt_eq(left, right)?,
        Binary::Distinct => cmp::distinct(left, right)?,
        Binary::NotDistinct => cmp::not_distinct(left, right)?,
        other => return Err(numbers::unexpected(other)),
    }))
}

impl Set {
    fn find(&self, values: &ArrayRef) -> Result<BooleanArray, ArrowError> {
        let found = match &self.elements {
            Elements::Integers(elements) => numbers::find(elements, values)?,
            Elements::Texts(elements) => {
                let contains = |text: &str| elements.binary_search_by(|e| e.as_str().cmp(text)).is_ok();
                values.as_string_view().iter().map(|text| text.map(contains)).collect()
            }
        };
        if !self.has_null {
            return Ok(found);
        }
        Ok(found.iter().map(|answer| answer.filter(|found| *found)).collect())
    }
}

/// Builds the answer from the last arm to the first, so that the first wins.
fn choose(
    arms: &[(Kernel, Operand)],
    otherwise: &Operand,
    columns: &[ArrayRef],
) -> Result<ArrayRef, ArrowError> {
    let mut result = otherwise.evaluate(columns)?;
    for (condition, value) in arms.iter().rev() {
        let mask = condition.evaluate(columns)?;
        result = Side::Rows(select(mask.as_boolean(), &value.evaluate(columns)?, &result)?);
    }
    rows(result)
}

fn coalesce(operands: &[Operand], columns: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
    let mut sides = operands.iter().rev().map(|operand| operand.evaluate(columns));
    let none = || ArrowError::InvalidArgumentError("nothing to choose from".to_owned());
    let mut result = sides.next().ok_or_else(none)??;
    for side in sides {
        result = match side? {
            Side::Rows(value) if value.null_count() == 0 => Side::Rows(value),
            Side::Rows(value) => {
                let mask = is_not_null(&value)?;
                Side::Rows(select(&mask, &Side::Rows(value), &result)?)
            }
            constant @ Side::Constant(_) => constant,
        };
    }
    rows(result)
}

fn rows(side: Side) -> Result<ArrayRef, ArrowError> {
    match side {
        Side::Rows(array) => Ok(array),
        Side::Constant(_) => {
            Err(ArrowError::InvalidArgumentError("a constant where rows are due".to_owned()))
        }
    }
}

fn select(mask: &BooleanArray, yes: &Side, no: &Side) -> Result<ArrayRef, ArrowError> {
    if mask.null_count() == 0 { zip(mask, yes, no) } else { zip(&prep_null_mask_filter(mask), yes, no) }
}
