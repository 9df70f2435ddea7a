//! Functions of one string: its case, its characters backwards, and regular expressions.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, StringViewBuilder};
use regex::Regex;
use unicode_segmentation::UnicodeSegmentation as _;

use super::arithmetic::arity;
use super::strings::LONGEST;
use super::{Answer, Function, Reason, RowErrors};

/// A function of one string by its name.
pub(crate) fn transform(name: &'static str) -> Function {
    strings(move |text| {
        Cow::Owned(match name {
            "LOWER" => text.to_lowercase(),
            "UPPER" => text.to_uppercase(),
            // What a reader takes for one character stays one: an accent with its letter.
            _ => text.graphemes(true).rev().collect(),
        })
    })
}

/// Replaces the first match of a regular expression, or all.
pub(crate) fn replace_matches(pattern: Regex, replacement: String, all: bool) -> Function {
    strings(move |text| pattern.replacen(text, usize::from(!all), replacement.as_str()))
}

/// True where a regular expression matches a part of each string.
pub(crate) fn matches(pattern: Regex) -> Function {
    Function::new(move |arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        let array = value.clone().into_rows(rows)?;
        let texts = array.as_string_view().iter();
        Ok(texts.map(|text| text.map(|text| pattern.is_match(text))).collect::<BooleanArray>().into())
    })
}

fn strings(apply: impl for<'a> Fn(&'a str) -> Cow<'a, str> + Send + Sync + 'static) -> Function {
    Function::new(move |arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        let array = value.clone().into_rows(rows)?;
        let mut errors = RowErrors::default();
        let mut texts = StringViewBuilder::with_capacity(rows);
        for (row, text) in array.as_string_view().iter().enumerate() {
            let made = text.map(&apply);
            if made.as_ref().is_some_and(|made| made.len() > LONGEST) {
                errors.push(row, Reason::Argument);
                texts.append_null();
            } else {
                texts.append_option(made);
            }
        }
        Ok(Answer::new(Arc::new(texts.finish()), errors))
    })
}
