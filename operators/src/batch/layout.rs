//! The columns of a batch.

use anabranch_engine::index::fitting;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::Structure;
use anabranch_engine::list_alignment::{
    AlignmentId, ListAlignment, source_alignment, value_alignment, with_alignment, without_alignment,
};
use anabranch_engine::operator::BindError;
use anabranch_engine::provenance::{Provenance, ProvenanceColumn};
use anabranch_engine::schema::StreamSchema;
use arrow::array::{ArrayRef, ListArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;

use crate::keys::one_zero_one_nan;

/// The columns that become lists, and their items.
#[derive(Debug)]
pub(super) struct BatchLayout {
    pub(super) schema: Arc<StreamSchema>,
    pub(super) input: Arc<StreamSchema>,
    tags: Vec<Column>,
    packets: Vec<Column>,
}

#[derive(Debug)]
enum Column {
    /// One value for all rows of a list.
    Key,
    /// A list of items with this field.
    Lists(FieldRef),
}

impl BatchLayout {
    /// The layout over an input whose tags at these places stay; the structure is the node's.
    pub(super) fn new(
        input: &Arc<StreamSchema>,
        keys: &[usize],
        structure: &Structure,
    ) -> Result<Self, BindError> {
        let level = Some(AlignmentId::of(structure));
        let tag = |(at, field): (usize, &FieldRef)| {
            if keys.contains(&at) {
                (Column::Key, Arc::clone(field))
            } else {
                listed(field, level, &ListAlignment::default())
            }
        };
        let packet = |field: &FieldRef| listed(field, level, &source_alignment(field).wrapped(level));
        let (tags, tag_fields) = input.tags().iter().enumerate().map(tag).unzip();
        let (packets, packet_fields) = input.packets().iter().map(packet).unzip();
        let system_tags = input.system_tags().iter();
        let system_tags = system_tags.map(|tag| tag.with_alignment(tag.alignment().wrapped(level))).collect();
        let schema = StreamSchema::new(tag_fields, packet_fields, system_tags)?;
        Ok(Self { schema: Arc::new(schema), input: Arc::clone(input), tags, packets })
    }

    /// One row for each of these ranges of rows, none of them empty.
    pub(super) fn rows(&self, items: Chunk, offsets: &OffsetBuffer<i32>) -> Result<Chunk, ChunkError> {
        let rows = offsets.len() - 1;
        let firsts = offsets.iter().take(rows).map(|start| fitting(*start, "first row of a list"));
        let firsts = UInt32Array::from_iter_values(firsts);
        let lists = |columns: Vec<ArrayRef>, plan: &[Column]| {
            let pairs = columns.into_iter().zip(plan);
            pairs.map(|(column, plan)| plan.of(column, offsets, &firsts)).collect::<Result<Vec<_>, _>>()
        };
        let (tags, packets, provenance) = items.into_parts();
        let (tags, packets) = (lists(tags, &self.tags)?, lists(packets, &self.packets)?);
        let wrapped = |columns: Vec<ProvenanceColumn>| {
            columns.into_iter().map(|column| column.into_lists(offsets.clone())).collect()
        };
        let provenance = Provenance { tags: wrapped(provenance.tags), sources: wrapped(provenance.sources) };
        Chunk::new(Arc::clone(&self.schema), rows, tags, packets, provenance)
    }
}

/// A field whose values lie in one more list. What else is known of the field is known of the item.
fn listed(field: &FieldRef, level: Option<AlignmentId>, sources: &ListAlignment) -> (Column, FieldRef) {
    let item = Arc::new(Field::clone(&without_alignment(field)).with_name("item"));
    let list: FieldRef = Arc::new(Field::new(field.name(), DataType::List(Arc::clone(&item)), false));
    let list = with_alignment(&list, &value_alignment(field).wrapped(level), sources);
    (Column::Lists(item), list)
}

impl Column {
    fn of(
        &self,
        column: ArrayRef,
        offsets: &OffsetBuffer<i32>,
        firsts: &UInt32Array,
    ) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Key => Ok(one_zero_one_nan(take(&column, firsts, None)?)),
            Self::Lists(item) => {
                Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets.clone(), column, None)?))
            }
        }
    }
}
