//! Kernels: typed steps over Arrow columns, with the errors of single rows beside the values.
//!
//! A row that cannot be computed does not end the computation: its error travels beside the
//! values, so that CASE, AND, OR and COALESCE drop the errors of branches that no row takes.

pub(crate) mod arithmetic;
pub(crate) mod casts;
pub(crate) mod choose;
pub(crate) mod compare;
pub(crate) mod decimal;
pub(crate) mod math;
pub(crate) mod nested;
pub(crate) mod numbers;
pub(crate) mod pattern;
pub(crate) mod regexes;
pub(crate) mod rounding;
pub(crate) mod set;
pub(crate) mod strings;

pub(crate) mod times;

use std::fmt::Debug;
use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanBufferBuilder, PrimitiveArray, UInt32Array,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Reason why a row cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Overflow,
    Cast,
    Argument,
    Time,
}

impl Reason {
    /// The event, and what to do about it.
    pub(crate) fn found_and_remedy(self) -> (&'static str, &'static str) {
        match self {
            Self::Overflow => (
                "a number beyond the range of its type",
                "cast an operand to a wider type, or guard it by CASE",
            ),
            Self::Cast => ("a value that cannot be cast", "use TRY_CAST to get null for it"),
            Self::Argument => ("a value that a function cannot work on", "guard it by a condition before"),
            Self::Time => ("a point in time beyond the range of its type", "guard it by a condition before"),
        }
    }
}

/// Rows that cannot be computed, in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RowErrors(Vec<(usize, Reason)>);

impl RowErrors {
    pub(crate) fn push(&mut self, row: usize, reason: Reason) {
        self.0.push((row, reason));
    }

    pub(crate) fn first(&self) -> Option<(usize, Reason)> {
        self.0.first().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the errors of rows for which the condition holds.
    pub(crate) fn retain(&mut self, holds: impl Fn(usize) -> bool) {
        self.0.retain(|(row, _)| holds(*row));
    }

    pub(crate) fn contains(&self, row: usize) -> bool {
        self.0.binary_search_by_key(&row, |(row, _)| *row).is_ok()
    }

    /// The errors of both; where both have one for a row, the first counts.
    pub(crate) fn and(mut self, mut other: Self) -> Self {
        if self.0.is_empty() {
            return other;
        }
        if !other.0.is_empty() {
            self.0.append(&mut other.0);
            self.0.sort_by_key(|(row, _)| *row);
            self.0.dedup_by_key(|(row, _)| *row);
        }
        self
    }
}

/// Values of an operand: one for each row, or one for all.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Rows(ArrayRef),
    Constant(ArrayRef),
}

impl Value {
    pub(crate) fn array(&self) -> &ArrayRef {
        match self {
            Self::Rows(array) | Self::Constant(array) => array,
        }
    }

    /// Another array in its place, of as many values.
    pub(crate) fn with_array(&self, array: ArrayRef) -> Self {
        match self {
            Self::Rows(_) => Self::Rows(array),
            Self::Constant(_) => Self::Constant(array),
        }
    }

    /// One value for each row.
    pub(crate) fn into_rows(self, rows: usize) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Rows(array) => Ok(array),
            Self::Constant(array) => take(&array, &UInt32Array::from(vec![0; rows]), None),
        }
    }

    /// The place of a row's value in the array.
    pub(crate) fn at(&self, row: usize) -> usize {
        match self {
            Self::Rows(_) => row,
            Self::Constant(_) => 0,
        }
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.array().is_null(self.at(row))
    }

    /// A reader of the values as numbers of a type.
    pub(crate) fn numbers<A: ArrowPrimitiveType>(&self) -> Numbers<'_, A> {
        Numbers { array: self.array().as_primitive::<A>(), constant: matches!(self, Self::Constant(_)) }
    }
}

/// Values of a primitive type by row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers<'a, A: ArrowPrimitiveType> {
    pub(crate) array: &'a PrimitiveArray<A>,
    constant: bool,
}

impl<A: ArrowPrimitiveType> Numbers<'_, A> {
    pub(crate) fn get(&self, row: usize) -> Option<A::Native> {
        let at = if self.constant { 0 } else { row };
        self.array.is_valid(at).then(|| self.array.value(at))
    }

    /// The value of a constant that is not null.
    pub(crate) fn constant(&self) -> Option<A::Native> {
        if self.constant { self.get(0) } else { None }
    }
}

impl<'a, A: ArrowPrimitiveType> Numbers<'a, A> {
    /// The values for a loop over rows; `None` for a null that stands for all.
    pub(crate) fn side(&self) -> Option<Side<'a, A::Native>> {
        if self.constant { self.get(0).map(Side::One) } else { Some(Side::Each(self.array.values())) }
    }
}

/// Values of an operand for a loop over rows, whatever stands where it is null.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side<'a, N> {
    Each(&'a [N]),
    One(N),
}

/// The rows in which an operand is null; none for a constant, whose null has no [`Side`].
fn nulls_of(value: &Value) -> Option<&NullBuffer> {
    match value {
        Value::Rows(array) => array.nulls(),
        Value::Constant(_) => None,
    }
}

/// The rows in which one of two operands is null.
pub(crate) fn nulls_of_both(left: &Value, right: &Value) -> Option<NullBuffer> {
    NullBuffer::union(nulls_of(left), nulls_of(right))
}

/// The answer of a kernel: as many values as there are rows, and the rows that it could not compute.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) array: ArrayRef,
    pub(crate) errors: RowErrors,
}

impl Answer {
    pub(crate) fn new(array: ArrayRef, errors: RowErrors) -> Self {
        Self { array, errors }
    }
}

impl<T: Array + 'static> From<T> for Answer {
    fn from(array: T) -> Self {
        Self { array: Arc::new(array), errors: RowErrors::default() }
    }
}

/// A result of a kernel. An Arrow error is a mistake of ours or memory that ended.
pub(crate) type Answered = Result<Answer, ArrowError>;

type Call = dyn Fn(&[Value], usize) -> Answered + Send + Sync;

/// A function of values that computes each row by itself.
#[derive(Clone)]
pub(crate) struct Function(Arc<Call>);

impl Debug for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Function")
    }
}

impl Function {
    pub(crate) fn new(call: impl Fn(&[Value], usize) -> Answered + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    /// A function of one argument; the planner gives it no other number of them.
    pub(crate) fn of_one(call: impl Fn(&Value, usize) -> Answered + Send + Sync + 'static) -> Self {
        Self::new(move |arguments, rows| match arguments {
            [value] => call(value, rows),
            _ => panic!("a kernel of one argument was given {}", arguments.len()),
        })
    }

    /// A function of two arguments.
    pub(crate) fn of_two(call: impl Fn(&Value, &Value, usize) -> Answered + Send + Sync + 'static) -> Self {
        Self::new(move |arguments, rows| match arguments {
            [left, right] => call(left, right, rows),
            _ => panic!("a kernel of two arguments was given {}", arguments.len()),
        })
    }

    /// A function of three arguments.
    pub(crate) fn of_three(
        call: impl Fn(&Value, &Value, &Value, usize) -> Answered + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |arguments, rows| match arguments {
            [first, second, third] => call(first, second, third, rows),
            _ => panic!("a kernel of three arguments was given {}", arguments.len()),
        })
    }

    pub(crate) fn call(&self, arguments: &[Value], rows: usize) -> Answered {
        (self.0)(arguments, rows)
    }
}

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

/// Applies a fallible function to each row of one operand; null gives null.
pub(crate) fn try_unary<A, B>(
    value: &Value,
    rows: usize,
    apply: impl Fn(A::Native) -> Result<B::Native, Reason>,
) -> Answer
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
{
    each::<A::Native, B>(value.numbers::<A>().side(), value, rows, apply)
}

/// [`try_unary`] of values that were read already.
pub(crate) fn each<N: Copy, B: ArrowPrimitiveType>(
    side: Option<Side<'_, N>>,
    value: &Value,
    rows: usize,
    apply: impl Fn(N) -> Result<B::Native, Reason>,
) -> Answer {
    let apply = move |value| apply(value).map(Some);
    match side {
        Some(Side::Each(values)) => {
            gather::<B>(values.iter().map(move |v| apply(*v)), nulls_of(value).cloned())
        }
        Some(Side::One(value)) => gather::<B>(repeat_n(apply(value), rows), None),
        None => PrimitiveArray::<B>::new_null(rows).into(),
    }
}

/// Applies a fallible function to each row of two operands; a null gives null.
pub(crate) fn try_binary<A, B, C>(
    left: &Value,
    right: &Value,
    rows: usize,
    apply: impl Fn(A::Native, B::Native) -> Result<Option<C::Native>, Reason>,
) -> Answer
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
    C: ArrowPrimitiveType,
{
    let sides = (left.numbers::<A>().side(), right.numbers::<B>().side());
    let nulls = nulls_of_both(left, right);
    // What stands under a null is computed too: a branch would cost more, and its answer is dropped.
    match sides {
        (Some(Side::Each(l)), Some(Side::Each(r))) => {
            gather::<C>(l.iter().zip(r).map(move |(l, r)| apply(*l, *r)), nulls)
        }
        (Some(Side::Each(l)), Some(Side::One(r))) => gather::<C>(l.iter().map(move |l| apply(*l, r)), nulls),
        (Some(Side::One(l)), Some(Side::Each(r))) => gather::<C>(r.iter().map(move |r| apply(l, *r)), nulls),
        (Some(Side::One(l)), Some(Side::One(r))) => gather::<C>(repeat_n(apply(l, r), rows), nulls),
        _ => PrimitiveArray::<C>::new_null(rows).into(),
    }
}

/// The values of all rows but those that are null; a row that has none, or fails, is null too.
fn gather<C: ArrowPrimitiveType>(
    values: impl Iterator<Item = Result<Option<C::Native>, Reason>>,
    nulls: Option<NullBuffer>,
) -> Answer {
    let mut errors = RowErrors::default();
    let mut absent = Vec::new();
    let mut note = |row: usize, reason: Option<Reason>| {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            absent.push(row);
            if let Some(reason) = reason {
                errors.push(row, reason);
            }
        }
        C::Native::default()
    };
    let number = |(row, value): (usize, Result<Option<C::Native>, Reason>)| match value {
        Ok(Some(value)) => value,
        Ok(None) => note(row, None),
        Err(reason) => note(row, Some(reason)),
    };
    let values: Vec<C::Native> = values.enumerate().map(number).collect();
    let nulls = if absent.is_empty() {
        nulls
    } else {
        let mut valid = BooleanBufferBuilder::new(values.len());
        match nulls {
            Some(nulls) => valid.append_buffer(nulls.inner()),
            None => valid.append_n(values.len(), true),
        }
        for row in absent {
            valid.set_bit(row, false);
        }
        Some(NullBuffer::new(valid.finish()))
    };
    Answer::new(Arc::new(PrimitiveArray::<C>::new(ScalarBuffer::from(values), nulls)), errors)
}

/// The values of all rows; a row that fails is null and has its error.
pub(crate) fn collect<C: ArrowPrimitiveType>(
    rows: usize,
    value: impl Fn(usize) -> Result<Option<C::Native>, Reason>,
) -> Answer {
    let mut errors = RowErrors::default();
    let values: PrimitiveArray<C> = (0..rows)
        .map(|row| {
            value(row).unwrap_or_else(|reason| {
                errors.push(row, reason);
                None
            })
        })
        .collect();
    Answer::new(Arc::new(values), errors)
}
