//! Functions of strings that Polars computes, on series; each is held to DuckDB's answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringViewArray};
use polars_core::prelude::{BooleanChunked, NewChunkedArray, PolarsResult, StringChunked};
use polars_ops::chunked_array::StringNameSpaceImpl;

use super::arithmetic::arity;
use super::{Answer, Function, Reason, RowErrors};

/// A function of one string by its name.
pub(crate) fn transform(name: &'static str) -> Function {
    strings(move |series| {
        Ok(match name {
            "LOWER" => series.to_lowercase(),
            "UPPER" => series.to_uppercase(),
            _ => series.str_reverse(),
        })
    })
}

/// Replaces the first match of a regular expression, or all.
pub(crate) fn replace_matches(pattern: String, replacement: String, all: bool) -> Function {
    strings(move |series| {
        if all {
            series.replace_all(&pattern, &replacement)
        } else {
            Ok(series.replace(&pattern, &replacement)?)
        }
    })
}

/// True where a regular expression matches a part of each string.
pub(crate) fn matches(pattern: String) -> Function {
    Function::new(move |arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        let array = value.clone().into_rows(rows)?;
        let found = guarded(|| {
            let found: BooleanChunked = to_series(&array).contains(&pattern, true)?;
            Ok(found.iter().collect::<BooleanArray>())
        });
        Ok(found.map_or_else(|| failed(rows, Arc::new(BooleanArray::new_null(rows))), Answer::from))
    })
}

fn strings(
    apply: impl Fn(&StringChunked) -> PolarsResult<StringChunked> + Send + Sync + 'static,
) -> Function {
    Function::new(move |arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        let array = value.clone().into_rows(rows)?;
        let result = guarded(|| Ok(apply(&to_series(&array))?.iter().collect::<StringViewArray>()));
        Ok(result.map_or_else(|| failed(rows, Arc::new(StringViewArray::new_null(rows))), Answer::from))
    })
}

/// A panic or an error of Polars stays here.
fn guarded<T>(work: impl FnOnce() -> PolarsResult<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()?.ok()
}

fn failed(rows: usize, array: ArrayRef) -> Answer {
    let mut errors = RowErrors::default();
    (0..rows).for_each(|row| errors.push(row, Reason::Polars));
    Answer::new(array, errors)
}

fn to_series(array: &ArrayRef) -> StringChunked {
    StringChunked::from_iter_options("".into(), array.as_string_view().iter())
}
