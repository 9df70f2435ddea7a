//! Values of a pipeline file as literals of SQL expressions.

use anabranch_expression::{ExpressionError, Literal, bind_parameters};

use super::parameters::{Found, Parameters};
use super::tree::Scalar;

/// The literal that a scalar stands for.
pub(crate) fn literal(scalar: &Scalar) -> Literal {
    match scalar {
        Scalar::Null => Literal::Null,
        Scalar::Bool(value) => Literal::Bool(*value),
        Scalar::Integer(value) => Literal::Integer(*value),
        Scalar::Float(value) => Literal::Float(*value),
        Scalar::Text(text) => Literal::Text(text.clone()),
    }
}

/// The expression with every `${name}` bound as a literal.
pub(crate) fn bind(template: &str, parameters: &Parameters) -> Result<String, ExpressionError> {
    let lookup = |name: &str| match parameters.find(name) {
        Found::Value(value) => Some(literal(value)),
        _ => None,
    };
    bind_parameters(template, &lookup, &parameters.names())
}
