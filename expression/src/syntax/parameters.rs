//! Parameters of a pipeline file in an expression: literals, never text.

use std::fmt::Write as _;

use crate::error::ExpressionError;
use crate::exact::Exact;

/// A value that stands for itself in an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A finite number of binary floating point.
    Float(f64),
    /// An exact number that no int64 holds: digits, with at most one point between them and maybe a
    /// minus sign before (`0.07`, `-18446744073709551615`).
    Number(String),
    /// A string.
    String(String),
}

impl From<&str> for Literal {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Literal {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<i64> for Literal {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Literal {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Literal {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl Literal {
    /// An exact number: an integer where int64 holds it and it has no point.
    pub(crate) fn exact(number: Exact) -> Self {
        match number.to_i128().and_then(|value| i64::try_from(value).ok()) {
            Some(value) if number.is_plain_integer() => Self::Integer(value),
            _ => Self::Number(number.text()),
        }
    }

    /// The exact number that it stands for.
    pub(crate) fn to_exact(&self) -> Option<Exact> {
        match self {
            Self::Integer(value) => Some(Exact::integer(i128::from(*value))),
            Self::Number(digits) => Exact::read(digits),
            _ => None,
        }
    }

    /// True where it begins with a minus sign.
    pub(crate) fn is_negative(&self) -> bool {
        match self {
            Self::Integer(value) => *value < 0,
            Self::Float(value) => value.is_sign_negative(),
            Self::Number(digits) => digits.starts_with('-'),
            _ => false,
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Integer(_) | Self::Float(_) | Self::Number(_))
    }

    /// The number with the other sign; anything else as it is.
    pub(crate) fn negated(self) -> Self {
        match &self {
            Self::Float(value) => Self::Float(-value),
            // A zero with a point is a float where it stands alone, and that has a sign.
            Self::Number(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => {
                Self::Float(-0.0)
            }
            _ => match self.to_exact().and_then(Exact::negated) {
                Some(number) => Self::exact(number),
                None => self,
            },
        }
    }
}

/// The template with every `${name}` replaced by the parameter's value as an SQL literal.
///
/// A value cannot leave its literal, whatever it contains. Inside a quoted string or name
/// nothing is replaced: `'a${x}'` is refused, `'a' || ${x}` is allowed. `$${` stands for `${`.
/// `known` are the names for the message about a wrong one.
///
/// Errors: an unknown name, a parameter inside quotes, a name that does not end, a number that
/// has no literal (infinite or not a number).
pub fn bind_parameters(
    template: &str,
    lookup: &dyn Fn(&str) -> Option<Literal>,
    known: &[String],
) -> Result<String, ExpressionError> {
    let mut bound = String::with_capacity(template.len());
    let mut context = Context::Code;
    let mut position = 0;
    while let Some(rest) = template.get(position..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("$${") {
            bound.push_str("${");
            position += 3;
        } else if rest.starts_with("${") {
            let name = context.parameter(rest, position)?;
            let literal = lookup(name.trim()).ok_or_else(|| ExpressionError::UnknownParameter {
                name: name.trim().to_owned(),
                known: known.to_vec(),
            })?;
            write_literal(&literal, name.trim(), position, &mut bound)?;
            position += name.len() + 3;
        } else {
            let length = context.advance(rest);
            bound.push_str(rest.split_at(length).0);
            position += length;
        }
    }
    Ok(bound)
}

/// Writes a literal so that it is one operand wherever it stands.
fn write_literal(
    literal: &Literal,
    name: &str,
    position: usize,
    text: &mut String,
) -> Result<(), ExpressionError> {
    match literal {
        Literal::Float(value) if !value.is_finite() => {
            return Err(ExpressionError::Parameter {
                name: name.to_owned(),
                position,
                found: "its value is infinite or not a number, which SQL cannot write",
                remedy: "give a finite number",
            });
        }
        Literal::Float(value) => {
            // Exact, as a number that is written in the expression.
            let digits = value.to_string();
            let point = if digits.contains('.') { "" } else { ".0" };
            let _ = if value.is_sign_negative() {
                write!(text, "({digits}{point})")
            } else {
                write!(text, "{digits}{point}")
            };
        }
        literal if literal.is_negative() => {
            text.push('(');
            literal.write(text);
            text.push(')');
        }
        literal => literal.write(text),
    }
    Ok(())
}

/// Context of a place in an SQL text. Other forms of quotes exist; an expression with one of them
/// is refused when it is parsed, whatever was put into it.
#[derive(Debug, Clone, Copy)]
enum Context {
    Code,
    Quoted(char),
    LineComment,
    /// Number of open comments.
    BlockComment(usize),
}

impl Context {
    /// The name of the parameter at the head of the text.
    fn parameter(self, rest: &str, position: usize) -> Result<&str, ExpressionError> {
        let after = rest.strip_prefix("${").expect("a parameter begins so");
        let name = after.split_once('}').map(|(name, _)| name);
        let error = |found, remedy| ExpressionError::Parameter {
            name: name.unwrap_or(after).chars().take(40).collect(),
            position,
            found,
            remedy,
        };
        match (self, name) {
            (Self::Code, Some(name)) => Ok(name),
            (Self::Code, None) => {
                Err(error("its name does not end", "write ${name}, or $${ where ${ is meant"))
            }
            _ => Err(error(
                "it stands inside quotes or a comment, where it would be text",
                "put it outside and join with ||, or write $${ where ${ is meant",
            )),
        }
    }

    /// Steps over the next mark or character; the number of its bytes.
    fn advance(&mut self, rest: &str) -> usize {
        let first = rest.chars().next().expect("there is a character to step over");
        let opens = rest.starts_with("/*");
        let (next, length) = match *self {
            Self::Code if matches!(first, '\'' | '"' | '`') => (Self::Quoted(first), 1),
            Self::Code if rest.starts_with("--") => (Self::LineComment, 2),
            Self::Code if opens => (Self::BlockComment(1), 2),
            Self::Quoted(mark) if first == mark => (Self::Code, 1),
            Self::LineComment if first == '\n' => (Self::Code, 1),
            Self::BlockComment(depth) if opens => (Self::BlockComment(depth + 1), 2),
            Self::BlockComment(1) if rest.starts_with("*/") => (Self::Code, 2),
            Self::BlockComment(depth) if rest.starts_with("*/") => (Self::BlockComment(depth - 1), 2),
            same => (same, first.len_utf8()),
        };
        *self = next;
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical_sql;

    fn bind(template: &str, value: &Literal) -> Result<String, ExpressionError> {
        bind_parameters(template, &|name| (name == "x").then(|| value.clone()), &["x".to_owned()])
    }

    #[test]
    fn a_parameter_becomes_a_literal_of_its_type() {
        let cases = [
            (Literal::Null, "NULL"),
            (Literal::Bool(true), "TRUE"),
            (Literal::Integer(800), "800"),
            (Literal::Integer(-1), "(-1)"),
            (Literal::Float(1e3), "1000.0"),
            (Literal::Float(-0.0), "(-0.0)"),
            (Literal::String("a'b".into()), "'a''b'"),
        ];
        for (value, text) in cases {
            assert_eq!(bind("a >= ${ x } AND b", &value).unwrap(), format!("a >= {text} AND b"));
        }
    }

    #[test]
    fn no_text_leaves_its_literal() {
        for hostile in ["' OR TRUE --", "''", "\\'", "x'; /*", "${x}", "$$", "\u{0}'", "\"`"] {
            let bound = bind("a = ${x}", &Literal::String(hostile.into())).unwrap();
            let expected = format!("\"a\" = '{}'", hostile.replace('\'', "''"));
            assert_eq!(canonical_sql(&bound).unwrap(), expected);
        }
    }

    #[test]
    fn the_smallest_integer_can_be_bound() {
        let bound = bind("a > ${x}", &Literal::Integer(i64::MIN)).unwrap();
        assert!(canonical_sql(&bound).is_ok(), "{bound}");
    }

    #[test]
    fn a_parameter_inside_quotes_or_comments_is_refused_with_the_remedy() {
        for template in ["a = 'b${x}'", "\"${x}\" = 1", "a -- ${x}", "a /* /* */ ${x} */", "'it''s ${x}'"] {
            let error = bind(template, &Literal::Integer(1)).unwrap_err();
            assert!(error.to_string().contains("||"), "{error}");
        }
        assert_eq!(bind("'a' || ${x} -- b\n", &Literal::Integer(1)).unwrap(), "'a' || 1 -- b\n");
    }

    #[test]
    fn an_escape_gives_the_mark_itself() {
        assert_eq!(bind("a = '$${x}' || ${x}", &Literal::Integer(1)).unwrap(), "a = '${x}' || 1");
    }

    #[test]
    fn wrong_names_and_values_are_errors() {
        let known = ["min_dist".to_owned()];
        let error = bind_parameters("a > ${min_dst}", &|_| None, &known).unwrap_err();
        assert_eq!(
            error.to_string(),
            "found no parameter \"min_dst\", expected one of \"min_dist\"; did you mean \"min_dist\"?"
        );
        assert!(bind("a > ${x", &Literal::Integer(1)).is_err());
        assert!(bind("a > ${x}", &Literal::Float(f64::NAN)).is_err());
    }
}
