//! LIKE and ILIKE.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, StringViewArray};

use super::compare::datum;
use super::strings::Arguments;
use super::value::Value;
use super::{Answer, Function, Reason, RowErrors};

/// A pattern, taken apart: `%` is any text, `_` any character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
    ignore_case: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Exactly(char),
}

impl Pattern {
    /// Reads a pattern; `None` where the escape character stands before something else than `%`, `_` or
    /// itself, or at the end.
    pub(crate) fn new(text: &str, escape: Option<char>, ignore_case: bool) -> Option<Self> {
        let folded = if ignore_case { text.to_lowercase() } else { text.to_owned() };
        let escape = if ignore_case { escape.and_then(|c| c.to_lowercase().next()) } else { escape };
        let mut parts = Vec::new();
        let mut characters = folded.chars();
        while let Some(character) = characters.next() {
            let part = match character {
                _ if Some(character) == escape => {
                    let next = characters.next()?;
                    (matches!(next, '%' | '_') || Some(next) == escape).then_some(())?;
                    Part::Exactly(next)
                }
                '%' if parts.last() == Some(&Part::Any) => continue,
                '%' => Part::Any,
                '_' => Part::One,
                other => Part::Exactly(other),
            };
            parts.push(part);
        }
        Some(Self { parts, ignore_case })
    }

    /// The literal text around which only `%` stands at the ends, if it is of that form.
    pub(crate) fn affix(&self) -> Option<Affix> {
        if self.ignore_case {
            return None;
        }
        let before = self.parts.first() == Some(&Part::Any);
        let after = self.parts.len() > 1 && self.parts.last() == Some(&Part::Any);
        let inner = self.parts.get(usize::from(before)..self.parts.len() - usize::from(after));
        let inner = inner.expect("the ends of a pattern are two parts of it");
        let text = inner.iter().map(|part| match part {
            Part::Exactly(character) => Some(*character),
            _ => None,
        });
        Some(Affix { before, after, text: text.collect::<Option<String>>()? })
    }

    /// True where the whole text has the form.
    pub(crate) fn matches(&self, text: &str) -> bool {
        if self.ignore_case { self.fits(&text.to_lowercase()) } else { self.fits(text) }
    }

    /// Goes back to the last `%` where a part does not fit; no other way back is ever needed.
    fn fits(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let mut next = rest.clone();
            let fits = match self.parts.get(at) {
                Some(Part::Any) => {
                    at += 1;
                    retry = Some((at, rest.clone()));
                    continue;
                }
                Some(Part::One) => next.next().is_some(),
                Some(Part::Exactly(character)) => next.next() == Some(*character),
                None if rest.as_str().is_empty() => return true,
                None => false,
            };
            if fits {
                rest = next;
                at += 1;
                continue;
            }
            let Some((part, from)) = retry.as_mut() else { return false };
            if from.next().is_none() {
                return false;
            }
            (at, rest) = (*part, from.clone());
        }
    }
}

/// A text with `%` at its ends or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Affix {
    pub(crate) before: bool,
    pub(crate) after: bool,
    pub(crate) text: String,
}

/// LIKE with a fixed pattern.
pub(crate) fn like(pattern: Pattern) -> Function {
    match pattern.affix() {
        Some(affix) => by_affix(&affix),
        None => Function::of_rows(move |strings| {
            let matches = |text: Option<&str>| text.map(|text| pattern.matches(text));
            Ok(strings.as_string_view().iter().map(matches).collect::<BooleanArray>().into())
        }),
    }
}

fn by_affix(affix: &Affix) -> Function {
    use arrow::compute::kernels::{cmp::eq, comparison};
    let part: Value = Value::Constant(Arc::new(StringViewArray::from(vec![affix.text.as_str()])));
    let ends = (affix.before, affix.after);
    Function::of_one(move |value, _| {
        let (left, right) = (datum(value), datum(&part));
        let (left, right) = (left.as_ref(), right.as_ref());
        Ok(match ends {
            (false, false) => eq(left, right)?,
            (false, true) => comparison::starts_with(left, right)?,
            (true, false) => comparison::ends_with(left, right)?,
            (true, true) => comparison::contains(left, right)?,
        }
        .into())
    })
}

/// LIKE with a pattern of each row.
pub(crate) fn like_each(escape: Option<char>, ignore_case: bool) -> Function {
    Function::new(move |values, rows| {
        let arguments = Arguments::new(values);
        let mut errors = RowErrors::default();
        let mut answer = |row| {
            let (text, pattern) = (arguments.string(0, row)?, arguments.string(1, row)?);
            let Some(pattern) = Pattern::new(pattern, escape, ignore_case) else {
                errors.push(row, Reason::Argument);
                return None;
            };
            Some(pattern.matches(text))
        };
        let matched: BooleanArray = (0..rows).map(&mut answer).collect();
        Ok(Answer::new(Arc::new(matched), errors))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn like(text: &str, pattern: &str) -> bool {
        Pattern::new(pattern, Some('#'), false).unwrap().matches(text)
    }

    #[test]
    fn patterns_match_whole_texts() {
        assert!(like("abc", "a%c") && like("abc", "%") && like("", "%") && like("ab", "__"));
        assert!(!like("abc", "a_") && !like("", "_") && !like("abc", "b%"));
        assert!(like("50%", "50#%") && !like("500", "50#%") && like("a#b", "a##b"));
        assert!(like("äöü", "_ö_") && like("aXbXc", "%X%c"));
        assert!(Pattern::new("a#", Some('#'), false).is_none());
        assert!(Pattern::new("ÄB%", None, true).unwrap().matches("äbc"));
        let affix = |p: &str| Pattern::new(p, None, false).unwrap().affix();
        assert_eq!(affix("a%"), Some(Affix { before: false, after: true, text: "a".into() }));
        assert_eq!(affix("a%b"), None);
        assert_eq!(affix("%"), Some(Affix { before: true, after: false, text: String::new() }));
    }

    proptest! {
        #[test]
        fn patterns_match_as_a_regular_expression(text in "[ab%_]{0,8}", pattern in "[ab%_]{0,6}") {
            let regex = pattern.replace('%', ".*").replace('_', ".");
            let regex = regex::Regex::new(&format!("^(?s:{regex})$")).unwrap();
            prop_assert_eq!(Pattern::new(&pattern, None, false).unwrap().matches(&text), regex.is_match(&text));
        }
    }
}
