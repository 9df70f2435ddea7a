//! Operator: removes the named columns.

use anabranch_operators::DropColumns;

use super::common::{INPUT, KEPT_PACKETS, KEPT_TAGS, STRICT};
use super::{Kind, class};
use crate::yaml::values::fields::ObjectSchema;

/// The kind `drop`.
pub(super) static KIND: Kind = Kind {
    doc: "Removes the named columns.",
    schema: ObjectSchema::new(
        "drop",
        "Removes the named columns.",
        &[INPUT, KEPT_TAGS, KEPT_PACKETS, STRICT],
    ),
    class: &class::OPERATOR,
    build: |site| {
        let (tags, packets) = (site.body.texts("tags"), site.body.texts("packets"));
        site.operator(DropColumns { tags, packets, strict: site.body.flag("strict") })
    },
};
