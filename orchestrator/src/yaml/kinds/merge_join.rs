//! Operator: joins two inputs; packet columns of both become lists.

use anabranch_operators::MergeJoin;

use super::common::{CROSS, INPUTS};
use super::{Kind, class};
use crate::yaml::values::fields::ObjectSchema;

/// The kind `merge_join`.
pub(super) static KIND: Kind = Kind {
    doc: "Joins two inputs; packet columns of both become lists.",
    schema: ObjectSchema::new(
        "merge_join",
        "Joins two inputs on all tags that they share; packet columns of both become lists of two.",
        &[INPUTS, CROSS],
    ),
    class: &class::OPERATOR,
    build: |site| site.operator(MergeJoin { cross: site.body.flag("cross") }),
};
