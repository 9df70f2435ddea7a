//! Operator: keeps the named columns.

use anabranch_operators::Select;

use super::Kind;
use super::common::{INPUT, KEPT_PACKETS, KEPT_TAGS, STRICT};

/// The kind `select`.
pub(super) static KIND: Kind = Kind::operator(
    "select",
    "Keeps the named columns.",
    "Keeps the named columns; a list that is not given keeps that kind.",
    &[INPUT, KEPT_TAGS, KEPT_PACKETS, STRICT],
    |site| {
        let (tags, packets) = (site.body.texts("tags"), site.body.texts("packets"));
        site.operator(Select { tags, packets, strict: site.body.flag("strict") })
    },
);
