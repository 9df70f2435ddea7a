//! Operator: makes a row of each item of lists.

use anabranch_operators::Unbatch;

use super::common::INPUT;
use super::{Kind, class};
use crate::yaml::values::fields::ObjectSchema;

/// The kind `unbatch`.
pub(super) static KIND: Kind = Kind {
    doc: "Makes a row of each item of lists.",
    schema: ObjectSchema::new("unbatch", "Makes a row of each item of the lists of a row.", &[INPUT]),
    class: &class::OPERATOR,
    build: |site| site.operator(Unbatch),
};
