//! Source: rows that a node of another pipeline recorded.

use super::common::SOURCE_ID;
use super::{Kind, class};
use crate::derived::Derived;
use crate::yaml::values::body::{Body, set};
use crate::yaml::values::fields::{Field, ObjectSchema, Type};

/// The kind `derived`.
pub(super) static KIND: Kind = Kind {
    doc: "Source: what a node of another pipeline recorded.",
    schema: ObjectSchema::new(
        "derived",
        "The recorded rows of a node, with its tags and packet columns.",
        &[
            Field::required("store", Type::Path, "Folder of the store that has the recording."),
            Field::required("pipeline", Type::Text, "Name of the pipeline that recorded it."),
            Field::required("node", Type::Text, "Name of the node."),
            Field::optional(
                "run",
                Type::Text,
                "The run; the last one that completed it where it is not given.",
            ),
            SOURCE_ID,
        ],
    ),
    class: &class::DERIVED_SOURCE,
    build: |site| site.source(derived(site.body)),
};

fn derived(body: Body<'_>) -> Derived {
    let derived =
        Derived::new(body.required_path("store"), body.required_text("pipeline"), body.required_text("node"));
    set(set(derived, body.text("run"), Derived::run), body.text("source_id"), Derived::source_id)
}
