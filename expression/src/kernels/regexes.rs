//! Functions of regular expressions.

use arrow::array::{AsArray, BooleanArray};
use regex::Regex;

use super::Function;
use super::strings::{changed, strings};

/// Replaces the first match of a regular expression, or all.
pub(crate) fn replace_matches(pattern: Regex, replacement: String, all: bool) -> Function {
    changed(move |text| pattern.replacen(text, usize::from(!all), replacement.as_str()))
}

/// True where a regular expression matches a part of each string.
pub(crate) fn matches(pattern: Regex) -> Function {
    Function::of_rows(move |array| {
        let strings = array.as_string_view().iter();
        Ok(strings.map(|text| text.map(|text| pattern.is_match(text))).collect::<BooleanArray>().into())
    })
}

/// The group of the first match of a regular expression; empty where nothing matches.
pub(crate) fn extracted(pattern: Regex, group: usize) -> Function {
    strings(move |a, row| {
        let Some(text) = a.string(0, row) else { return Ok(None) };
        let found = pattern.captures(text).and_then(|found| found.get(group)).map_or("", |m| m.as_str());
        Ok(Some(found.to_owned()))
    })
}
