//! Source: Arrow IPC files.

use anabranch_nodes::source::ArrowFile;

use super::Kind;
use super::common::{PATH, RECORD_ID, SOURCE_ID, TAGS, TYPES, with_options};

/// The kind `arrow`.
pub(super) static KIND: Kind = Kind::source(
    "arrow",
    "Source: an Arrow IPC file.",
    "An Arrow IPC file.",
    &[PATH, TAGS, RECORD_ID, SOURCE_ID, TYPES],
    |site| site.source(with_options!(ArrowFile::new(site.body.required_path("path")), site)),
);
