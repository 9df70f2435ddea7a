//! Operator: joins inputs on all tags that they share.

use anabranch_operators::Join;

use super::Kind;
use super::common::{CROSS, INPUTS};

/// The kind `join`.
pub(super) static KIND: Kind = Kind::operator(
    "join",
    "Joins inputs on all tags that they share.",
    "Joins inputs on all tags that they share.",
    &[INPUTS, CROSS],
    |site| site.operator(Join { cross: site.body.flag("cross") }),
);
