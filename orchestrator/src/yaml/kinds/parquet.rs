//! Source: Parquet files.

use anabranch_nodes::source::Parquet;

use super::common::{PATH, RECORD_ID, SOURCE_ID, TAGS, TYPES, keys, with_options};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;

/// The kind `parquet`.
pub(super) static KIND: Kind = Kind {
    doc: "Source: a Parquet file.",
    schema: keys("parquet", "A Parquet file.", &[PATH, TAGS, RECORD_ID, SOURCE_ID, TYPES]),
    class: &class::SOURCE,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    let source = with_options!(Parquet::new(site.body.required_path("path")), site);
    site.source(source)
}
