//! The spanned tree: the values of a YAML file with their places.

use std::path::PathBuf;

use super::number::Number;
use super::report::Place;

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct YamlNode {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// A value without its place.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    /// A path that has been resolved against the folder of its file.
    Path(PathBuf),
    Sequence(Vec<YamlNode>),
    Mapping(Vec<Entry>),
}

/// A key with its place, and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) value: YamlNode,
}

/// A scalar as YAML 1.2 reads it: `no`, `on` and `yes` are strings, and so is everything in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Integer(i64),
    /// Any other number.
    Number(Number),
    Text(String),
}

/// Maximum number of digits of an integer.
const MOST_DIGITS: usize = 400;

/// A decimal integer of too many digits, or a hexadecimal or octal one of more than 128 bits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfRange;

impl Scalar {
    /// Reads an unquoted scalar by the core schema of YAML 1.2.
    pub(crate) fn plain(text: &str) -> Result<Self, OutOfRange> {
        Ok(match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" => Self::Bool(true),
            "false" | "False" | "FALSE" => Self::Bool(false),
            _ => match integer(text) {
                Some(Ok(value)) => value,
                Some(Err(error)) => return Err(error),
                None => Number::read(text).map_or_else(|| Self::Text(text.to_owned()), Self::Number),
            },
        })
    }

    /// Returns the text that replaces `${name}` within a longer text.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Number(number) => number.text().to_owned(),
            Self::Text(value) => value.clone(),
        }
    }

    /// Returns the scalar for a message: its kind and, cut short, its text.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("boolean {value}"),
            Self::Integer(value) => format!("integer {value}"),
            Self::Number(number) => format!("number {}", quoted(number.text()).trim_matches('"')),
            Self::Text(value) => format!("text {}", quoted(value)),
        }
    }
}

/// Returns a text in quotes, cut short if it is long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let safe: String = shown.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("\"{safe}\"")
}

/// Reads an integer of any length; those beyond 64 bits keep their digits.
fn integer(text: &str) -> Option<Result<Scalar, OutOfRange>> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x', ..] => (text.get(2..)?, 16),
        [b'0', b'o', ..] => (text.get(2..)?, 8),
        [b'+' | b'-', ..] => (text.get(1..)?, 10),
        _ => (text, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    if radix == 10 {
        // The sign stays in front, so that the least of all integers can be read.
        let scalar = match text.parse() {
            Ok(value) => Scalar::Integer(value),
            Err(_) if digits.len() > MOST_DIGITS => return Some(Err(OutOfRange)),
            Err(_) => Scalar::Number(Number::whole(text)),
        };
        return Some(Ok(scalar));
    }
    let value = u128::from_str_radix(digits, radix).map_err(|_| OutOfRange);
    Some(value.map(|value| match i64::try_from(value) {
        Ok(value) => Scalar::Integer(value),
        Err(_) => Scalar::Number(Number::whole(value)),
    }))
}

impl YamlNode {
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[YamlNode] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&YamlNode> {
        self.entry(key).map(|e| &e.value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Mapping(entries) => entries.iter_mut().find(|e| e.key == key).map(|e| &mut e.value),
            _ => None,
        }
    }

    /// Removes the entries from a mapping and returns them.
    pub(crate) fn take_entries(&mut self) -> Vec<Entry> {
        match &mut self.value {
            Value::Mapping(entries) => std::mem::take(entries),
            _ => Vec::new(),
        }
    }

    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self.scalar()? {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => scalar.describe(),
            Value::Path(path) => format!("path {}", quoted(&path.to_string_lossy())),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// Returns the place of the first key or scalar of this text.
    pub(crate) fn find_text(&self, wanted: &str) -> Option<Place> {
        match &self.value {
            Value::Scalar(Scalar::Text(text)) if text == wanted => Some(self.place),
            Value::Scalar(_) | Value::Path(_) => None,
            Value::Sequence(items) => items.iter().find_map(|item| item.find_text(wanted)),
            Value::Mapping(entries) => entries.iter().find_map(|entry| {
                if entry.key == wanted { Some(entry.key_place) } else { entry.value.find_text(wanted) }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Scalar {
        Scalar::Text(value.to_owned())
    }

    #[test]
    fn booleans_of_yaml_1_1_are_texts() {
        for word in ["no", "No", "NO", "yes", "on", "off", "y", "n", "On"] {
            assert_eq!(Scalar::plain(word), Ok(text(word)));
        }
        assert_eq!(Scalar::plain("true"), Ok(Scalar::Bool(true)));
        assert_eq!(Scalar::plain("False"), Ok(Scalar::Bool(false)));
    }

    #[test]
    fn integers_and_numbers_follow_the_core_schema() {
        assert_eq!(Scalar::plain("-9223372036854775808"), Ok(Scalar::Integer(i64::MIN)));
        assert_eq!(Scalar::plain("+12"), Ok(Scalar::Integer(12)));
        assert_eq!(Scalar::plain("0x1F"), Ok(Scalar::Integer(31)));
        assert_eq!(Scalar::plain("0o17"), Ok(Scalar::Integer(15)));
        let number = |text: &str| Ok(Scalar::Number(Number::read(text).unwrap()));
        for text in ["1e3", ".5", "-.inf", "1.50", "0.123456789012345678901"] {
            assert_eq!(Scalar::plain(text), number(text));
        }
    }

    #[test]
    fn what_only_resembles_a_number_is_a_text() {
        for word in
            ["1_000", "0x", "1.2.3", "e5", "inf", "nan", "-", "+", "12:30", "0b11", "2013-01-01", "1e"]
        {
            assert_eq!(Scalar::plain(word), Ok(text(word)), "{word}");
        }
    }

    #[test]
    fn an_integer_beyond_64_bits_is_not_rounded() {
        let number = |text: &str| Ok(Scalar::Number(Number::whole(text)));
        assert_eq!(Scalar::plain("9223372036854775808"), number("9223372036854775808"));
        assert_eq!(Scalar::plain("-99999999999999999999"), number("-99999999999999999999"));
        assert_eq!(Scalar::plain("0xFFFFFFFFFFFFFFFF"), number("18446744073709551615"));
        assert_eq!(Scalar::plain(&format!("0x{}", "F".repeat(33))), Err(OutOfRange));
    }
}
