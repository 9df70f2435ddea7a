//! Source: Arrow IPC files.

use anabranch_nodes::source::ArrowFile;

use super::common::{PATH, RECORD_ID, SOURCE_ID, TAGS, TYPES, with_options};
use super::{Kind, class};
use crate::yaml::values::fields::ObjectSchema;

/// The kind `arrow`.
pub(super) static KIND: Kind = Kind {
    doc: "Source: an Arrow IPC file.",
    schema: ObjectSchema::new("arrow", "An Arrow IPC file.", &[PATH, TAGS, RECORD_ID, SOURCE_ID, TYPES]),
    class: &class::SOURCE,
    build: |site| site.source(with_options!(ArrowFile::new(site.body.required_path("path")), site)),
};
