//! Operator: removes the named columns.

use anabranch_operators::DropColumns;

use super::Kind;
use super::common::{INPUT, KEPT_PACKETS, KEPT_TAGS, STRICT};

/// The kind `drop`.
pub(super) static KIND: Kind = Kind::operator(
    "drop",
    "Removes the named columns.",
    "Removes the named columns.",
    &[INPUT, KEPT_TAGS, KEPT_PACKETS, STRICT],
    |site| {
        let (tags, packets) = (site.body.texts("tags"), site.body.texts("packets"));
        site.operator(DropColumns { tags, packets, strict: site.body.flag("strict") })
    },
);
