//! The schema of an edge: columns in two roles, and the hidden system tags beside them.

mod stem;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};

use crate::list_alignment::{ListAlignment, source_alignment};
pub use stem::Stem;

/// The first characters of every reserved column name.
pub const RESERVED_PREFIX: char = '_';

/// Maximum number of pairs of system tag columns in a stream.
///
/// A join adds up those of its inputs, so a node that is joined with itself n times over has 2^n. This many
/// are a join of 4,096 sources, or twelve such doublings. Memory: 8 bytes a row for each at worst, 256 MiB for a
/// chunk of 8,192 rows; those of equal positions share them.
pub const MOST_SYSTEM_TAGS: usize = 4096;

/// The role of a visible column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Identifies a row and its place; used to join, filter and route.
    Tag,
    /// A column that functions compute on.
    Packet,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tag => "tag",
            Self::Packet => "packet",
        })
    }
}

/// One pair of system tag columns, named by the part that the two names share.
///
/// The pair is the unit of provenance: a source id and a record id are never separated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SystemTag {
    stem: Stem,
    levels: ListAlignment,
}

impl SystemTag {
    /// The pair that a source adds; `hash12` is the first 12 hex digits of its pipeline hash.
    #[must_use]
    pub fn of_source(hash12: &str) -> Self {
        Self::from_stem(hash12)
    }

    /// The pair with the shared part of its names as stored, suffixes included.
    #[must_use]
    pub fn from_stem(stem: &str) -> Self {
        Self { stem: Stem::new(stem), levels: ListAlignment::default() }
    }

    /// The pair as a join renames it: `::<hash12>:<position>` is appended.
    #[must_use]
    pub fn suffixed(&self, hash12: &str, position: usize) -> Self {
        let stem = self.stem.with(&format!("::{hash12}:{position}"));
        Self { stem, levels: self.levels.clone() }
    }

    /// The part that both names share.
    #[must_use]
    pub fn stem(&self) -> &Stem {
        &self.stem
    }

    /// The lists that its values lie in.
    #[must_use]
    pub fn alignment(&self) -> &ListAlignment {
        &self.levels
    }

    /// The same names over values in these lists.
    #[must_use]
    pub fn with_alignment(&self, levels: ListAlignment) -> Self {
        Self { stem: self.stem.clone(), levels }
    }

    /// Name of the column that holds source ids.
    #[must_use]
    pub fn source_column(&self) -> String {
        format!("_tag_source_id::{}", self.stem)
    }

    /// Name of the column that holds record ids.
    #[must_use]
    pub fn record_column(&self) -> String {
        format!("_tag_record_id::{}", self.stem)
    }
}

/// Why columns cannot stand together in one stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A name with the reserved prefix.
    #[error(
        "column \"{column}\" begins with \"_\", expected a name that does not, since these are reserved for provenance; rename the column"
    )]
    Reserved {
        /// The name at fault.
        column: String,
    },
    /// A name that two columns bear.
    #[error("found two columns named \"{column}\", expected distinct names; rename or drop one")]
    Duplicate {
        /// The name at fault.
        column: String,
    },
    /// More pairs of system tag columns than a stream may have.
    #[error(
        "found {found} pairs of provenance columns, expected {MOST_SYSTEM_TAGS} at most; a join adds up those of its inputs, so use semijoin where rows only have to match, and compute columns side by side in one node instead of joining a node with parts of itself"
    )]
    SystemTags {
        /// Number of pairs that there would be.
        found: usize,
    },
}

impl SchemaError {
    /// Refuses more pairs of system tag columns than a stream may have.
    pub fn check_system_tags(found: usize) -> Result<(), Self> {
        if found > MOST_SYSTEM_TAGS { Err(Self::SystemTags { found }) } else { Ok(()) }
    }
}

/// The schema of a stream: tag columns, packet columns and system tags, in order.
///
/// Every packet column also has source info, which needs no schema of its own: its column is
/// named `_source_<column>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSchema {
    tags: Vec<FieldRef>,
    packets: Vec<FieldRef>,
    system_tags: Arc<[SystemTag]>,
    /// Numbers of lists that the source info of each packet column lies in.
    source_depths: Vec<usize>,
}

impl StreamSchema {
    /// Puts columns together; names have to be distinct and not reserved, and pairs of system tags
    /// [`MOST_SYSTEM_TAGS`] at most.
    pub fn new(
        tags: Vec<FieldRef>,
        packets: Vec<FieldRef>,
        system_tags: Vec<SystemTag>,
    ) -> Result<Self, SchemaError> {
        Self::with_system_tags(tags, packets, system_tags.into())
    }

    /// [`StreamSchema::new`] with system tags that other schemas have as well.
    pub fn with_system_tags(
        tags: Vec<FieldRef>,
        packets: Vec<FieldRef>,
        system_tags: Arc<[SystemTag]>,
    ) -> Result<Self, SchemaError> {
        SchemaError::check_system_tags(system_tags.len())?;
        let mut seen = HashSet::new();
        for field in tags.iter().chain(&packets) {
            let column = field.name().clone();
            if column.starts_with(RESERVED_PREFIX) {
                return Err(SchemaError::Reserved { column });
            }
            if !seen.insert(field.name().as_str()) {
                return Err(SchemaError::Duplicate { column });
            }
        }
        let source_depths = packets.iter().map(|f| source_alignment(f).depth()).collect();
        Ok(Self { tags, packets, system_tags, source_depths })
    }

    /// The tag columns.
    #[must_use]
    pub fn tags(&self) -> &[FieldRef] {
        &self.tags
    }

    /// The packet columns.
    #[must_use]
    pub fn packets(&self) -> &[FieldRef] {
        &self.packets
    }

    /// The pairs of system tag columns.
    #[must_use]
    pub fn system_tags(&self) -> &[SystemTag] {
        &self.system_tags
    }

    /// The pairs of system tag columns, for a schema that has the same ones.
    #[must_use]
    pub fn shared_system_tags(&self) -> Arc<[SystemTag]> {
        Arc::clone(&self.system_tags)
    }

    /// Numbers of lists that the source info of each packet column lies in, in their order.
    #[must_use]
    pub fn source_depths(&self) -> &[usize] {
        &self.source_depths
    }

    /// The columns of one role.
    #[must_use]
    pub fn role(&self, role: Role) -> &[FieldRef] {
        match role {
            Role::Tag => &self.tags,
            Role::Packet => &self.packets,
        }
    }

    /// Role, position within the role and field of a visible column.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(Role, usize, &FieldRef)> {
        [Role::Tag, Role::Packet].into_iter().find_map(|role| {
            let fields = self.role(role);
            let (at, field) = fields.iter().enumerate().find(|(_, field)| field.name() == name)?;
            Some((role, at, field))
        })
    }

    /// All visible columns: tags, then packets.
    pub fn columns(&self) -> impl Iterator<Item = &FieldRef> {
        self.tags.iter().chain(&self.packets)
    }

    /// The names of all visible columns, for a message.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.columns().map(|f| f.name().clone()).collect()
    }
}

/// Name of the source info column of a packet column.
#[must_use]
pub fn source_column(packet: &str) -> String {
    format!("_source_{packet}")
}

/// The same field under another name.
#[must_use]
pub fn renamed(field: &FieldRef, name: &str) -> FieldRef {
    Arc::new(Field::clone(field).with_name(name))
}
