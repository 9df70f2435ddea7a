//! Source: Arrow IPC files.

use anabranch_nodes::source::ArrowFile;

use super::common::{PATH, RECORD_ID, SOURCE_ID, TAGS, TYPES, keys, with_options};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;

/// The kind `arrow`.
pub(super) static KIND: Kind = Kind {
    doc: "Source: an Arrow IPC file.",
    schema: keys("arrow", "An Arrow IPC file.", &[PATH, TAGS, RECORD_ID, SOURCE_ID, TYPES]),
    class: &class::SOURCE,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    let source = with_options!(ArrowFile::new(site.body.required_path("path")), site);
    site.source(source)
}
