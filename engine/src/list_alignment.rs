//! Lists in columns: how deep they lie, and which of them have equal lengths in every row.
//!
//! A batch wraps every column and its provenance into a list, and all these lists have the same
//! length. An unbatch has to know that again, before the first row: provenance is exploded with
//! the values it belongs to, and a list that merely happens to have as many items is not. So each
//! batch gives its level of lists an id, which stays with the columns through other operators.
//!
//! The ids travel in the metadata of fields under names of our own, which no reader ever sees.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};

use crate::identity::{PipelineHash, Structure};

const VALUES: &str = "anabranch:lists";
const SOURCES: &str = "anabranch:source_lists";

/// Identity of a level of lists. Lists of one level have equal lengths within a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlignmentId(u64);

impl AlignmentId {
    /// The level that a node with this structure makes.
    #[must_use]
    pub fn of(structure: &Structure) -> Self {
        let digest = structure.finish().0;
        let (first, _) = digest.as_chunks::<8>();
        Self(first.first().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// The same level behind an operator that puts rows of several inputs together: lists of two
    /// inputs have nothing to do with each other there, even if one node made both.
    #[must_use]
    pub fn entered(self, input: &PipelineHash, position: usize) -> Self {
        let mut structure = Structure::new("level");
        structure.number(self.0);
        structure.digest(&input.0);
        structure.number(position as u64);
        Self::of(&structure)
    }
}

/// The levels of a column, outermost first. A level without an id has lengths of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListAlignment(Arc<[Option<AlignmentId>]>);

impl ListAlignment {
    /// Number of lists that a value lies in, as far as it is known here.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// The outermost level, if it has an id.
    #[must_use]
    pub fn outermost(&self) -> Option<AlignmentId> {
        self.0.first().copied().flatten()
    }

    /// The levels inside one more list.
    #[must_use]
    pub fn wrapped(&self, level: Option<AlignmentId>) -> Self {
        Self(std::iter::once(level).chain(self.0.iter().copied()).collect())
    }

    /// The levels without the outermost.
    #[must_use]
    pub fn unwrapped(&self) -> Self {
        Self(self.0.iter().skip(1).copied().collect())
    }

    /// Every id changed; `None` forgets it.
    #[must_use]
    pub fn map(&self, mut change: impl FnMut(AlignmentId) -> Option<AlignmentId>) -> Self {
        Self(self.0.iter().map(|level| level.and_then(&mut change)).collect())
    }

    /// The levels that both have in common, for two columns of one depth that become one.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(other.0.iter()).map(|(a, b)| if a == b { *a } else { None }).collect())
    }

    /// Reads what [`ListAlignment`] writes by `Display`; levels it cannot read have no id.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let level = |part: &str| u64::from_str_radix(part, 16).ok().map(AlignmentId);
        Self(text.split_terminator(',').map(level).collect())
    }
}

impl fmt::Display for ListAlignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for level in self.0.iter() {
            match level {
                Some(AlignmentId(id)) => write!(f, "{id:016x},")?,
                None => f.write_str("-,")?,
            }
        }
        Ok(())
    }
}

/// The levels of a column's values.
#[must_use]
pub fn value_alignment(field: &Field) -> ListAlignment {
    read(field, VALUES)
}

/// The levels of a packet column's source info.
#[must_use]
pub fn source_alignment(field: &Field) -> ListAlignment {
    read(field, SOURCES)
}

fn read(field: &Field, key: &str) -> ListAlignment {
    field.metadata().get(key).map_or_else(ListAlignment::default, |text| ListAlignment::parse(text))
}

/// The field with these levels of values and of source info.
#[must_use]
pub fn with_alignment(field: &FieldRef, values: &ListAlignment, sources: &ListAlignment) -> FieldRef {
    if value_alignment(field) == *values && source_alignment(field) == *sources {
        return Arc::clone(field);
    }
    let mut field = Field::clone(&without_alignment(field));
    let mut metadata = field.metadata().clone();
    for (key, levels) in [(VALUES, values), (SOURCES, sources)] {
        if levels.depth() > 0 {
            metadata.insert(key.to_owned(), levels.to_string());
        }
    }
    field.set_metadata(metadata);
    Arc::new(field)
}

/// The field as readers outside get to see it.
#[must_use]
pub fn without_alignment(field: &FieldRef) -> FieldRef {
    if !field.metadata().keys().any(|key| key == VALUES || key == SOURCES) {
        return Arc::clone(field);
    }
    let mut metadata = field.metadata().clone();
    metadata.retain(|key, _| key != VALUES && key != SOURCES);
    Arc::new(Field::clone(field).with_metadata(metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Digest;
    use arrow::datatypes::DataType;

    #[test]
    fn levels_travel_with_a_field_and_leave_no_trace() {
        let plain: FieldRef = Arc::new(Field::new("x", DataType::Int64, true));
        let level = AlignmentId::of(&Structure::new("batch"));
        let values = ListAlignment::default().wrapped(None).wrapped(Some(level));
        let field = with_alignment(&plain, &values, &ListAlignment::default().wrapped(Some(level)));
        assert_eq!(value_alignment(&field), values);
        assert_eq!(value_alignment(&field).unwrapped().outermost(), None);
        assert_eq!(source_alignment(&field).outermost(), Some(level));
        assert_eq!(without_alignment(&field), plain);
        assert_eq!(with_alignment(&field, &ListAlignment::default(), &ListAlignment::default()), plain);
    }

    #[test]
    fn a_level_that_enters_by_two_inputs_is_two_levels() {
        let level = AlignmentId::of(&Structure::new("batch"));
        let input = PipelineHash(Digest([1; 32]));
        assert_ne!(level.entered(&input, 0), level.entered(&input, 1));
        assert_eq!(level.entered(&input, 0), level.entered(&input, 0));
    }
}
