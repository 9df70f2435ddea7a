//! Source: Parquet files.

use anabranch_nodes::source::Parquet;

use super::Kind;
use super::common::{PATH, RECORD_ID, SOURCE_ID, TAGS, TYPES, with_options};

/// The kind `parquet`.
pub(super) static KIND: Kind = Kind::source(
    "parquet",
    "Source: a Parquet file.",
    "A Parquet file.",
    &[PATH, TAGS, RECORD_ID, SOURCE_ID, TYPES],
    |site| site.source(with_options!(Parquet::new(site.body.required_path("path")), site)),
);
