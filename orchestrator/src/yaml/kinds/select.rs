//! Operator: keeps the named columns.

use anabranch_operators::Select;

use super::common::{INPUT, KEPT_PACKETS, KEPT_TAGS, STRICT};
use super::{Kind, class};
use crate::yaml::values::fields::ObjectSchema;

/// The kind `select`.
pub(super) static KIND: Kind = Kind {
    doc: "Keeps the named columns.",
    schema: ObjectSchema::new(
        "select",
        "Keeps the named columns; a list that is not given keeps that kind.",
        &[INPUT, KEPT_TAGS, KEPT_PACKETS, STRICT],
    ),
    class: &class::OPERATOR,
    build: |site| {
        let (tags, packets) = (site.body.texts("tags"), site.body.texts("packets"));
        site.operator(Select { tags, packets, strict: site.body.flag("strict") })
    },
};
