//! Source: Parquet files.

use anabranch_nodes::source::Parquet;

use super::common::{PATH, RECORD_ID, SOURCE_ID, TAGS, TYPES, with_options};
use super::{Kind, class};
use crate::yaml::values::fields::ObjectSchema;

/// The kind `parquet`.
pub(super) static KIND: Kind = Kind {
    doc: "Source: a Parquet file.",
    schema: ObjectSchema::new("parquet", "A Parquet file.", &[PATH, TAGS, RECORD_ID, SOURCE_ID, TYPES]),
    class: &class::SOURCE,
    build: |site| site.source(with_options!(Parquet::new(site.body.required_path("path")), site)),
};
