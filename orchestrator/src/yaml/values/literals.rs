//! Values of a pipeline file as literals of SQL expressions.

use anabranch_expression::Literal;

use super::number::{Number, plain_of};
use super::tree::Scalar;

/// Returns the literal of a scalar.
pub(crate) fn literal(scalar: &Scalar) -> Literal {
    match scalar {
        Scalar::Null => Literal::Null,
        Scalar::Bool(value) => Literal::Bool(*value),
        Scalar::Integer(value) => Literal::Integer(*value),
        Scalar::Number(number) => number_literal(number),
        Scalar::Text(text) => Literal::String(text.clone()),
    }
}

/// Returns the literal of a number: a float if its shortest digits are the written ones, else the digits.
fn number_literal(number: &Number) -> Literal {
    let value = number.value();
    match number.plain() {
        Some(plain) if number.is_whole() || plain_of(value).as_ref() != Some(&plain) => {
            Literal::Number(plain)
        }
        _ => Literal::Float(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_no_double_is_written_as_keep_their_digits() {
        let literal_of = |text: &str| literal(&Scalar::plain(text).unwrap());
        assert_eq!(literal_of("0.1"), Literal::Float(0.1));
        assert_eq!(literal_of("1.50"), Literal::Float(1.5));
        assert_eq!(literal_of("1e3"), Literal::Float(1e3));
        assert_eq!(literal_of("0.10000000000000000001"), Literal::Number("0.10000000000000000001".into()));
        assert_eq!(literal_of("18446744073709551615"), Literal::Number("18446744073709551615".into()));
        assert_eq!(literal_of("9007199254740993.0"), Literal::Number("9007199254740993".into()));
        assert_eq!(literal_of(".inf"), Literal::Float(f64::INFINITY));
    }
}
