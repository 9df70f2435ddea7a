//! Substitution of `${name}` in values.

use anabranch_expression::{ExpressionError, bind_parameters};

use super::parameters::{FoundParameter, Parameters};
use super::values::literals::literal;
use super::values::tree::{Scalar, quoted};

/// A value whose parameters cannot be substituted.
#[derive(Debug)]
pub(crate) enum TemplateError {
    /// The parameter is wrong, which is reported already.
    Reported,
    /// There is no parameter of this name.
    Unknown { name: String },
    /// Another problem, with the remedy.
    New { message: String, help: Option<String> },
}

enum Piece<'a> {
    Text(&'a str),
    Parameter(&'a str),
}

/// Returns the scalar of a text with parameters.
///
/// A text that is nothing but `${name}` keeps the parameter's type. `$${` stands for `${`. A parameter's value is not
/// substituted again.
pub(crate) fn substitute(text: &str, parameters: &Parameters) -> Result<Scalar, TemplateError> {
    let pieces = pieces(text)?;
    if let [Piece::Parameter(name)] = pieces.as_slice() {
        return value(name, parameters).cloned();
    }
    let mut replaced = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Text(text) => replaced.push_str(text),
            Piece::Parameter(name) => replaced.push_str(&value(name, parameters)?.text()),
        }
        if replaced.len() > super::parse::FILE_BYTES {
            return Err(new("the text becomes too long with its parameters", None));
        }
    }
    Ok(Scalar::Text(replaced))
}

/// Returns the SQL expression with its parameters bound as literals: no value can become a part of the expression's
/// structure.
pub(crate) fn bind_expression(text: &str, parameters: &Parameters) -> Result<String, TemplateError> {
    for piece in pieces(text)? {
        if let Piece::Parameter(name) = piece {
            value(name, parameters)?;
        }
    }
    bind(text, parameters).map_err(|error| new(error.to_string(), None))
}

fn new(message: impl Into<String>, help: Option<String>) -> TemplateError {
    TemplateError::New { message: message.into(), help }
}

fn value<'a>(name: &str, parameters: &'a Parameters) -> Result<&'a Scalar, TemplateError> {
    match parameters.find(name) {
        FoundParameter::Value(value) => Ok(value),
        FoundParameter::Faulty => Err(TemplateError::Reported),
        FoundParameter::NoValue => {
            let help = format!("call with --set {name}=VALUE");
            Err(new(format!("parameter {} has no value", quoted(name)), Some(help)))
        }
        FoundParameter::Secret => {
            let help = format!("write {{ secret: {name} }} where a secret is taken");
            Err(new(format!("{} is a secret, expected a parameter", quoted(name)), Some(help)))
        }
        FoundParameter::Unknown => Err(TemplateError::Unknown { name: name.to_owned() }),
    }
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            pieces.extend([Piece::Text(before), Piece::Text("${")]);
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}') else {
            let help = Some("write ${name}, or $${ where ${ is meant".to_owned());
            return Err(new("the name of a parameter does not end", help));
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        pieces.push(Piece::Parameter(name.trim()));
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// Returns the expression with every `${name}` bound as a literal.
fn bind(template: &str, parameters: &Parameters) -> Result<String, ExpressionError> {
    let lookup = |name: &str| match parameters.find(name) {
        FoundParameter::Value(value) => Some(literal(value)),
        _ => None,
    };
    bind_parameters(template, &lookup, &parameters.names())
}
