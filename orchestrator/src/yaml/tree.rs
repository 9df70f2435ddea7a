//! The spanned tree: what a YAML file says, and where it says it.

use std::path::PathBuf;

use super::report::Place;

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What stands at a place.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    /// A path that has been resolved against the folder of its file.
    Path(PathBuf),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key with its place, and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) value: Node,
}

/// A scalar as YAML 1.2 reads it: `no`, `on` and `yes` are texts, and so is all that is quoted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

/// An integer that does not fit 64 bits.
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
                Some(Ok(value)) => Self::Integer(value),
                Some(Err(error)) => return Err(error),
                None => float(text).map_or_else(|| Self::Text(text.to_owned()), Self::Float),
            },
        })
    }

    /// The text that takes the place of `${name}` within a longer text.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => float_text(*value),
            Self::Text(value) => value.clone(),
        }
    }

    /// The scalar for a message: its kind and, cut short, its text.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("boolean {value}"),
            Self::Integer(value) => format!("integer {value}"),
            Self::Float(value) => format!("number {}", float_text(*value)),
            Self::Text(value) => format!("text {}", quoted(value)),
        }
    }
}

/// A text in quotes, cut short where it is long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let safe: String = shown.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("\"{safe}\"")
}

fn float_text(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { format!("{value}") }
}

fn integer(text: &str) -> Option<Result<i64, OutOfRange>> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x', ..] => (text.get(2..)?, 16),
        [b'0', b'o', ..] => (text.get(2..)?, 8),
        [b'+' | b'-', ..] => (text.get(1..)?, 10),
        _ => (text, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    // The sign stays in front, so that the least of all integers can be read.
    let value = if radix == 10 { text.parse() } else { i64::from_str_radix(digits, radix) };
    Some(value.map_err(|_| OutOfRange))
}

fn float(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    let numeric = text.contains(|c: char| c.is_ascii_digit()) && text.chars().all(number);
    if numeric { text.parse().ok() } else { None }
}

impl Node {
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|e| &e.value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Mapping(entries) => entries.iter_mut().find(|e| e.key == key).map(|e| &mut e.value),
            _ => None,
        }
    }

    /// Takes the entries out of a mapping, which is empty then.
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

    /// The place of a key or scalar of this text, nearest to the front.
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
        assert_eq!(Scalar::plain("1e3"), Ok(Scalar::Float(1000.0)));
        assert_eq!(Scalar::plain(".5"), Ok(Scalar::Float(0.5)));
        assert_eq!(Scalar::plain("-.inf"), Ok(Scalar::Float(f64::NEG_INFINITY)));
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
        assert_eq!(Scalar::plain("9223372036854775808"), Err(OutOfRange));
        assert_eq!(Scalar::plain("0xFFFFFFFFFFFFFFFFF"), Err(OutOfRange));
    }
}
