//! Coercion of scalars to types.

use std::path::Path;
use std::time::Duration;

use anabranch_engine::types::parse_type;

use super::fields::Type;
use super::nearest::{did_you_mean, nearest};
use super::sizes::{parse_duration, scalar_bytes, scalar_duration, scalar_number};
use super::tree::{Scalar, Value, quoted};

/// Reason why a scalar is not of a type.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    /// The problem, where "found, expected" does not cover it.
    pub(crate) message: Option<String>,
    pub(crate) help: Option<String>,
}

impl Refusal {
    /// Returns the more specific of two refusals.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { message: self.message.or(other.message), help: self.help.or(other.help) }
    }

    fn plain() -> Self {
        Self::default()
    }

    fn help(help: impl Into<String>) -> Self {
        Self { message: None, help: Some(help.into()) }
    }
}

/// Checks a scalar; returns a value if another replaces it.
pub(crate) fn coerce(scalar: &Scalar, wanted: &Type, folder: &Path) -> Result<Option<Value>, Refusal> {
    match (wanted, scalar) {
        (Type::Data | Type::Scalar | Type::Anything, _)
        | (Type::Text | Type::NodeName, Scalar::Text(_))
        | (Type::Bool, Scalar::Bool(_)) => Ok(None),
        (Type::Integer { least, most }, Scalar::Integer(value)) if (least..=most).contains(&value) => {
            Ok(None)
        }
        (Type::Bytes { least }, scalar) => bytes(scalar, *least),
        (Type::Duration { least, most }, scalar) => duration(scalar, *least, *most),
        (Type::Number { least, most }, scalar) => {
            let fits = |n: f64| (*least..=*most).contains(&n);
            if scalar_number(scalar).is_some_and(fits) { Ok(None) } else { Err(Refusal::plain()) }
        }
        (Type::Expression, Scalar::Null) => Err(Refusal::plain()),
        (Type::Expression, scalar) => Ok(Some(text_value(scalar.text()))),
        (Type::Input, Scalar::Text(text)) if text == "-" => Ok(Some(Value::Path("-".into()))),
        (Type::Path | Type::Input, Scalar::Text(text)) => path(text, folder).map(Some),
        (Type::Character, Scalar::Text(text)) if is_character(text) => Ok(None),
        (Type::OfColumn, Scalar::Text(text)) => column_type(text),
        (Type::Choice(words), Scalar::Text(text)) => choice(text, words),
        // The word is YAML's null.
        (Type::Choice(words), Scalar::Null) if words.contains(&"null") => {
            Ok(Some(text_value("null".to_owned())))
        }
        (
            Type::Text | Type::NodeName | Type::Path | Type::Input | Type::Character | Type::OfColumn,
            scalar,
        ) => Err(quotes_help(scalar)),
        (Type::Bool, Scalar::Text(text)) => Err(bool_help(text)),
        _ => Err(Refusal::plain()),
    }
}

/// Returns the values that a type accepts, for a message.
pub(crate) fn expected(wanted: &Type) -> String {
    match wanted {
        Type::Text | Type::NodeName => "a text".into(),
        Type::Bool => "true or false".into(),
        Type::Integer { least, most } if least == most => format!("{least}"),
        Type::Integer { least, most } => format!("an integer from {least} to {most}"),
        Type::Scalar => "a single value".into(),
        Type::Data => "a value of a row".into(),
        Type::Path | Type::Input => "a path".into(),
        Type::Expression => "an SQL expression".into(),
        Type::Bytes { .. } => "a number of bytes such as 2GiB or 500MB".into(),
        Type::Duration { .. } => "a time such as 200ms, 30s or 5m".into(),
        Type::Number { least, most } => format!("a number from {least} to {most}"),
        Type::Character => "one ASCII character".into(),
        Type::OfColumn => "a type such as int64 or string".into(),
        Type::Choice(words) => words.join(" or "),
        Type::Either(types) => types.iter().map(expected).collect::<Vec<_>>().join(" or "),
        Type::List(item) => format!("a list ({})", expected(item)),
        Type::Map(_) | Type::Record(_) => "a mapping".into(),
        Type::Anything => "anything".into(),
    }
}

fn text_value(text: String) -> Value {
    Value::Scalar(Scalar::Text(text))
}

fn quotes_help(scalar: &Scalar) -> Refusal {
    match scalar {
        Scalar::Bool(_) | Scalar::Integer(_) | Scalar::Number(_) => {
            Refusal::help(format!("put it in quotes: \"{}\"", scalar.text()))
        }
        Scalar::Null | Scalar::Text(_) => Refusal::plain(),
    }
}

fn bool_help(text: &str) -> Refusal {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "true" => Refusal::help("write true"),
        "no" | "off" | "n" | "false" => Refusal::help("write false"),
        _ => Refusal::plain(),
    }
}

fn bytes(scalar: &Scalar, least: u64) -> Result<Option<Value>, Refusal> {
    let fits = |count: u64| count >= least && i64::try_from(count).is_ok();
    if scalar_bytes(scalar).is_some_and(fits) { Ok(None) } else { Err(Refusal::plain()) }
}

fn duration(scalar: &Scalar, least: Duration, most: Duration) -> Result<Option<Value>, Refusal> {
    match scalar_duration(scalar) {
        Some(span) if (least..=most).contains(&span) => Ok(None),
        Some(span) if span < least => Err(Refusal::help(format!("give {least:?} at least"))),
        Some(_) => Err(Refusal::help(format!("give {} minutes at most", most.as_secs() / 60))),
        None => Err(match scalar {
            Scalar::Text(text)
                if text.parse::<f64>().is_ok_and(|n| n >= 0.0) && parse_duration(text).is_none() =>
            {
                Refusal::help("add the unit, as in 30s")
            }
            _ => Refusal::plain(),
        }),
    }
}

fn path(text: &str, folder: &Path) -> Result<Value, Refusal> {
    if let Some((scheme, _)) = text.split_once("://") {
        let later = matches!(scheme, "s3" | "gs" | "az");
        let what = format!("{scheme}://");
        let message = if later {
            format!("this version does not have object stores ({}) yet", quoted(&what))
        } else {
            format!("found an url ({}), expected a path", quoted(&what))
        };
        return Err(Refusal { message: Some(message), help: Some("give the path of a local file".into()) });
    }
    if text.is_empty() {
        return Err(Refusal::plain());
    }
    Ok(Value::Path(folder.join(text)))
}

fn is_character(text: &str) -> bool {
    text.len() == 1 && !text.contains(['\n', '\r', '\0'])
}

fn column_type(text: &str) -> Result<Option<Value>, Refusal> {
    if text == "file" {
        let message = "this version does not have the type \"file\" yet".to_owned();
        return Err(Refusal { message: Some(message), help: None });
    }
    parse_type(text).map(|_| None).map_err(|error| Refusal { message: Some(error.to_string()), help: None })
}

fn choice(text: &str, words: &[&str]) -> Result<Option<Value>, Refusal> {
    if words.contains(&text) {
        return Ok(None);
    }
    Err(Refusal { message: None, help: nearest(text, words.iter().copied()).map(did_you_mean) })
}
