//! Operator: joins two inputs; packet columns of both become lists.

use anabranch_operators::MergeJoin;

use super::Kind;
use super::common::{CROSS, INPUTS};

/// The kind `merge_join`.
pub(super) static KIND: Kind = Kind::operator(
    "merge_join",
    "Joins two inputs; packet columns of both become lists.",
    "Joins two inputs on all tags that they share; packet columns of both become lists of two.",
    &[INPUTS, CROSS],
    |site| site.operator(MergeJoin { cross: site.body.flag("cross") }),
);
