//! Functions of strings by characters; null gives null.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, StringViewArray, StringViewBuilder};
use arrow::datatypes::Int64Type;
use unicode_segmentation::UnicodeSegmentation as _;

use super::value::{Numbers, Value};
use super::{Answer, Function, Reason, RowErrors};

/// Bytes that one computed string may have.
const LONGEST: usize = 1 << 28;
/// Bytes of one that REPEAT makes, and characters that are filled in.
const FILLED: usize = 1 << 20;

/// Arguments of a function by row.
pub(super) struct Arguments<'a> {
    values: &'a [Value],
    strings: Vec<Option<&'a StringViewArray>>,
    numbers: Vec<Option<Numbers<'a, Int64Type>>>,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(values: &'a [Value]) -> Self {
        let number = |value: &'a Value| {
            value.array().as_primitive_opt::<Int64Type>().is_some().then(|| value.numbers::<Int64Type>())
        };
        Self {
            values,
            strings: values.iter().map(|value| value.array().as_string_view_opt()).collect(),
            numbers: values.iter().map(number).collect(),
        }
    }

    pub(super) fn string(&self, at: usize, row: usize) -> Option<&'a str> {
        let array = self.strings.get(at).copied().flatten().expect("the planner gives a string here");
        let row = self.values.get(at).expect("there is a value for each string").at(row);
        array.is_valid(row).then(|| array.value(row))
    }

    fn number(&self, at: usize, row: usize) -> Option<i64> {
        let numbers = self.numbers.get(at).and_then(Option::as_ref);
        numbers.expect("the planner gives an integer here").get(row)
    }
}

pub(super) type StringAnswer = Result<Option<String>, Reason>;

/// Computes a string for each row from its arguments.
pub(super) fn strings(
    apply: impl Fn(&Arguments<'_>, usize) -> StringAnswer + Send + Sync + 'static,
) -> Function {
    Function::new(move |values, rows| {
        let arguments = Arguments::new(values);
        Ok(collect_strings((0..rows).map(|row| apply(&arguments, row))))
    })
}

/// Strings of the rows, with an error for each row that has none of them.
pub(super) fn collect_strings<T: AsRef<str>>(
    texts: impl Iterator<Item = Result<Option<T>, Reason>>,
) -> Answer {
    let mut errors = RowErrors::default();
    let mut strings = StringViewBuilder::with_capacity(texts.size_hint().0);
    for (row, text) in texts.enumerate() {
        strings.append_option(text.unwrap_or_else(|reason| {
            errors.push(row, reason);
            None
        }));
    }
    Answer::new(Arc::new(strings.finish()), errors)
}

/// Applies a function to each string that is not null; an answer that is too long is an error of its row.
pub(super) fn changed(apply: impl for<'a> Fn(&'a str) -> Cow<'a, str> + Send + Sync + 'static) -> Function {
    Function::of_rows(move |array| {
        let short = |text| {
            let made = apply(text);
            expect_short(made.len()).map(|()| made)
        };
        Ok(collect_strings(array.as_string_view().iter().map(|text| text.map(short).transpose())))
    })
}

fn truths(apply: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Function {
    Function::new(move |values, rows| {
        let arguments = Arguments::new(values);
        let answer = |row| Some(apply(arguments.string(0, row)?, arguments.string(1, row)?));
        Ok((0..rows).map(answer).collect::<BooleanArray>().into())
    })
}

/// The number of characters, bytes or bits of a string or of bytes.
pub(crate) fn length(name: &'static str) -> Function {
    Function::of_rows(move |array| {
        let count = |bytes: usize, characters: &dyn Fn() -> usize| match name {
            "LENGTH" => characters(),
            "OCTET_LENGTH" => bytes,
            _ => bytes * 8,
        };
        let number = |count: usize| i64::try_from(count).ok();
        let lengths: Int64Array = if let Some(strings) = array.as_string_view_opt() {
            strings.iter().map(|t| number(count(t?.len(), &|| t.map_or(0, characters)))).collect()
        } else {
            let bytes = array.as_binary_view();
            bytes.iter().map(|b| number(count(b?.len(), &|| b.map_or(0, <[u8]>::len)))).collect()
        };
        Ok(lengths.into())
    })
}

fn characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// A function of one string by its name.
pub(crate) fn transform(name: &'static str) -> Function {
    changed(move |text| {
        Cow::Owned(match name {
            "LOWER" => text.to_lowercase(),
            "UPPER" => text.to_uppercase(),
            // What a reader takes for one character stays one: an accent with its letter.
            _ => text.graphemes(true).rev().collect(),
        })
    })
}

/// A function of strings by its name.
pub(crate) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "LEFT" => strings(|a, row| Ok(part(a, row, left))),
        "RIGHT" => strings(|a, row| Ok(part(a, row, right))),
        "SUBSTR" => strings(substring),
        "REPLACE" => strings(|a, row| {
            let (Some(text), Some(from), Some(to)) = (a.string(0, row), a.string(1, row), a.string(2, row))
            else {
                return Ok(None);
            };
            if from.is_empty() {
                return Ok(Some(text.to_owned()));
            }
            let longer = to.len().saturating_sub(from.len());
            // Matches are counted only where as many as there can be were too much.
            let most = text.len() / from.len();
            let found = if most.saturating_mul(longer) > FILLED { text.matches(from).count() } else { most };
            expect_short(found.saturating_mul(longer).saturating_add(text.len()))?;
            Ok(Some(text.replace(from, to)))
        }),
        "REPEAT" => strings(|a, row| {
            let (Some(text), Some(times)) = (a.string(0, row), a.number(1, row)) else { return Ok(None) };
            let times = usize::try_from(times.max(0)).map_err(|_| Reason::Argument)?;
            match text.len().checked_mul(times) {
                Some(bytes) if bytes <= FILLED => Ok(Some(text.repeat(times))),
                _ => Err(Reason::Argument),
            }
        }),
        "LPAD" => strings(|a, row| pad(a, row, true)),
        "RPAD" => strings(|a, row| pad(a, row, false)),
        "TRIM" => strings(|a, row| Ok(trim(a, row, true, true))),
        "LTRIM" => strings(|a, row| Ok(trim(a, row, true, false))),
        "RTRIM" => strings(|a, row| Ok(trim(a, row, false, true))),
        "INITCAP" => strings(|a, row| Ok(a.string(0, row).map(capitalized))),
        "SPLIT_PART" => strings(split_part),
        "STARTS_WITH" => truths(|text, part| text.starts_with(part)),
        "ENDS_WITH" => truths(|text, part| text.ends_with(part)),
        "CONTAINS" => truths(|text, part| text.contains(part)),
        "STRPOS" => position(),
        _ => return None,
    })
}

/// An error for a string that would be too long, before it is built.
fn expect_short(bytes: usize) -> Result<(), Reason> {
    if bytes <= LONGEST { Ok(()) } else { Err(Reason::Argument) }
}

fn part(a: &Arguments<'_>, row: usize, take: fn(&str, i64) -> &str) -> Option<String> {
    Some(take(a.string(0, row)?, a.number(1, row)?).to_owned())
}

/// The byte at which a number of characters end.
fn offset(text: &str, count: usize) -> usize {
    text.char_indices().nth(count).map_or(text.len(), |(at, _)| at)
}

/// The first characters; all but the last where the number is negative.
fn left(text: &str, count: i64) -> &str {
    let kept = if count < 0 { characters(text).saturating_sub(magnitude(count)) } else { magnitude(count) };
    text.split_at(offset(text, kept)).0
}

/// The last characters; all but the first where the number is negative.
fn right(text: &str, count: i64) -> &str {
    let skipped =
        if count < 0 { magnitude(count) } else { characters(text).saturating_sub(magnitude(count)) };
    text.split_at(offset(text, skipped)).1
}

fn magnitude(count: i64) -> usize {
    usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX)
}

/// Characters at positions from a start that may lie before the text, as the SQL standard counts.
fn substring(a: &Arguments<'_>, row: usize) -> StringAnswer {
    let (Some(text), Some(start)) = (a.string(0, row), a.number(1, row)) else { return Ok(None) };
    let start = i128::from(start);
    let end = match a.values.len() {
        2 => i128::MAX,
        _ => match a.number(2, row) {
            None => return Ok(None),
            Some(length) if length < 0 => return Err(Reason::Argument),
            Some(length) => start + i128::from(length),
        },
    };
    let first = usize::try_from((start - 1).max(0)).unwrap_or(usize::MAX);
    let last = usize::try_from((end - 1).max(0)).unwrap_or(usize::MAX);
    let rest = text.split_at(offset(text, first)).1;
    let kept = rest.split_at(offset(rest, last.saturating_sub(first))).0;
    Ok(Some(kept.to_owned()))
}

/// Fills up to a number of characters, or cuts to it.
fn pad(a: &Arguments<'_>, row: usize, before: bool) -> StringAnswer {
    let (Some(text), Some(width)) = (a.string(0, row), a.number(1, row)) else { return Ok(None) };
    let fill = match a.values.len() {
        2 => " ",
        _ => match a.string(2, row) {
            Some(fill) => fill,
            None => return Ok(None),
        },
    };
    let width = usize::try_from(width.max(0)).map_err(|_| Reason::Argument)?;
    let length = characters(text);
    if width <= length {
        return Ok(Some(left(text, i64::try_from(width).unwrap_or(i64::MAX)).to_owned()));
    }
    let missing = width - length;
    if fill.is_empty() || missing > FILLED {
        return Err(Reason::Argument);
    }
    let filling: String = fill.chars().cycle().take(missing).collect();
    Ok(Some(if before { filling + text } else { text.to_owned() + &filling }))
}

/// Takes spaces, or any of the given characters, off the ends.
fn trim(a: &Arguments<'_>, row: usize, start: bool, end: bool) -> Option<String> {
    let mut text = a.string(0, row)?;
    let set = if a.values.len() > 1 { a.string(1, row)? } else { " " };
    if start {
        text = text.trim_start_matches(|c| set.contains(c));
    }
    if end {
        text = text.trim_end_matches(|c| set.contains(c));
    }
    Some(text.to_owned())
}

/// The first letter of each word in upper case, the others in lower.
fn capitalized(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for character in text.chars() {
        if inside {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        inside = character.is_alphanumeric();
    }
    out
}

/// The n-th part between separators, counted from 1, or from the end where negative.
fn split_part(a: &Arguments<'_>, row: usize) -> StringAnswer {
    let (Some(text), Some(by), Some(at)) = (a.string(0, row), a.string(1, row), a.number(2, row)) else {
        return Ok(None);
    };
    if at == 0 {
        return Err(Reason::Argument);
    }
    let index = magnitude(at) - 1;
    let part = match (by.is_empty(), at > 0) {
        (true, _) => (index == 0).then_some(text),
        (false, true) => text.split(by).nth(index),
        (false, false) => text.rsplit(by).nth(index),
    };
    Ok(Some(part.unwrap_or("").to_owned()))
}

/// The place of a part, in characters from 1; 0 where it is not there.
fn position() -> Function {
    Function::new(|values, rows| {
        let arguments = Arguments::new(values);
        let answer = |row| {
            let (text, part) = (arguments.string(0, row)?, arguments.string(1, row)?);
            let place = text.find(part).map_or(0, |at| characters(text.split_at(at).0) + 1);
            i64::try_from(place).ok()
        };
        Ok((0..rows).map(answer).collect::<Int64Array>().into())
    })
}

/// The texts put together; null where one is.
pub(crate) fn concatenated() -> Function {
    strings(|a, row| {
        let parts = || (0..a.values.len()).map(|at| a.string(at, row));
        let Some(bytes) = parts().try_fold(0, |bytes, part| Some(bytes + part?.len())) else {
            return Ok(None);
        };
        expect_short(bytes)?;
        let mut text = String::with_capacity(bytes);
        text.extend(parts().flatten());
        Ok(Some(text))
    })
}

/// The texts that are not null put together; with a separator the first argument stands between.
pub(crate) fn joined(separated: bool) -> Function {
    strings(move |a, row| {
        let separator = if separated { a.string(0, row) } else { Some("") };
        let Some(separator) = separator else { return Ok(None) };
        let parts = (usize::from(separated)..a.values.len()).filter_map(|at| a.string(at, row));
        let parts: Vec<&str> = parts.collect();
        expect_short(parts.iter().map(|part| part.len() + separator.len()).sum())?;
        Ok(Some(parts.join(separator)))
    })
}

/// The first characters of each text.
pub(crate) fn truncated(length: i64) -> Function {
    strings(move |a, row| Ok(a.string(0, row).map(|text| left(text, length).to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_in_characters() {
        assert_eq!((left("äöü", 2), left("äöü", -1), left("äöü", 9)), ("äö", "äö", "äöü"));
        assert_eq!((right("abc", 4), right("äöü", 1), right("äöü", -1)), ("abc", "ü", "öü"));
        assert_eq!((left("a", i64::MIN), right("a", i64::MIN), right("a", i64::MAX)), ("", "", "a"));
        assert_eq!((expect_short(1 << 28), expect_short((1 << 28) + 1)), (Ok(()), Err(Reason::Argument)));
        assert_eq!(capitalized("hello WORLD-wide o'neil"), "Hello World-Wide O'Neil");
    }
}
