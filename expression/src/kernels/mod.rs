//! Kernels: typed steps over Arrow columns, with the errors of single rows beside the values.
//!
//! A row that cannot be computed does not end the computation: its error travels beside the
//! values, so that CASE, AND, OR and COALESCE drop the errors of branches that no row takes.

pub(crate) mod arithmetic;
pub(crate) mod by_row;
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
pub(crate) mod steps;
pub(crate) mod strings;

pub(crate) mod times;
pub(crate) mod value;

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray as _};
use arrow::error::ArrowError;

use value::Value;

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
    /// The rows that a cast made null.
    pub(crate) fn of_lost(before: &dyn Array, after: &dyn Array, reason: Reason) -> Self {
        if before.null_count() == after.null_count() {
            return Self::default();
        }
        let lost = |row: &usize| before.is_valid(*row) && after.is_null(*row);
        Self((0..before.len()).filter(lost).map(|row| (row, reason)).collect())
    }

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

    /// A function of one argument that has a value for each row, also where it is a constant.
    pub(crate) fn of_rows(call: impl Fn(&ArrayRef) -> Answered + Send + Sync + 'static) -> Self {
        Self::of_one(move |value, rows| call(&value.clone().into_rows(rows)?))
    }

    /// A function of one number.
    pub(crate) fn of_each<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
        apply: impl Fn(A::Native) -> B::Native + Send + Sync + 'static,
    ) -> Self {
        Self::of_rows(move |values| Ok(values.as_primitive::<A>().unary::<_, B>(&apply).into()))
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
