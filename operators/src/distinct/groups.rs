//! Rows sorted by value, of which the first of each value leaves.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::PacketHash;
use anabranch_engine::operator::{BindError, Input};
use anabranch_engine::provenance::{Provenance, ProvenanceColumn};
use anabranch_engine::schema::StreamSchema;
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, UInt64Array, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef};

use crate::sort::SortPlan;

/// The forms that rows have while they are sorted: their value and their place stand before their tags.
#[derive(Debug)]
pub(super) struct GroupPlan {
    pub(super) schema: Arc<StreamSchema>,
    /// Sorts by value; rows of one value by place, or by provenance where the input has no order.
    pub(super) by_value: Arc<SortPlan>,
    /// Sorts by place.
    pub(super) by_place: Arc<SortPlan>,
}

/// The values of a chunk's rows, and their places where the input has an order.
pub(super) struct Labels<'a> {
    pub(super) values: &'a [PacketHash],
    /// The place of the first row.
    pub(super) first: Option<u64>,
}

impl GroupPlan {
    pub(super) fn new(input: &Input) -> Result<Self, BindError> {
        let schema = &input.schema;
        let [value, place] = ["value", "place"].map(|name| free_name(schema, name));
        // A value that has left stands for a row of nulls.
        let nullable =
            |field: &FieldRef| -> FieldRef { Arc::new(field.as_ref().clone().with_nullable(true)) };
        let mut tags: Vec<FieldRef> = vec![
            Arc::new(Field::new(&value, DataType::BinaryView, false)),
            Arc::new(Field::new(&place, DataType::UInt64, true)),
        ];
        tags.extend(schema.tags().iter().map(nullable));
        let packets = schema.packets().iter().map(nullable).collect();
        let labeled = Arc::new(StreamSchema::with_system_tags(tags, packets, schema.shared_system_tags())?);
        let input = Input { schema: labeled, ..input.clone() };
        let by_value = Arc::new(SortPlan::new(&input, &[value])?);
        let by_place = Arc::new(SortPlan::new(&input, &[place])?);
        Ok(Self { schema: Arc::clone(schema), by_value, by_place })
    }

    /// Puts the labels before the tags.
    pub(super) fn label(&self, chunk: Chunk, labels: &Labels<'_>) -> Result<Chunk, ChunkError> {
        let rows = chunk.rows();
        let (tags, packets, provenance) = chunk.into_parts();
        let places: UInt64Array = match labels.first {
            Some(first) => (first..).take(rows).collect(),
            None => UInt64Array::new_null(rows),
        };
        let mut labeled = vec![values(labels.values), Arc::new(places) as ArrayRef];
        labeled.extend(tags);
        Chunk::new(Arc::clone(&self.by_value.schema), rows, labeled, packets, provenance)
    }

    /// Returns rows of nulls that stand for values whose rows have left.
    pub(super) fn of_values(&self, left: &[PacketHash]) -> Result<Chunk, ChunkError> {
        let rows = left.len();
        let nulls =
            |fields: &[FieldRef]| fields.iter().map(|f| new_null_array(f.data_type(), rows)).collect();
        let schema = &self.by_value.schema;
        let mut tags: Vec<ArrayRef> = nulls(schema.tags());
        if let Some(first) = tags.first_mut() {
            *first = values(left);
        }
        let lists = |depth: usize| ProvenanceColumn::null_lists(rows, depth);
        let provenance = Provenance {
            tags: schema.system_tags().iter().map(|tag| lists(tag.alignment().depth())).collect(),
            sources: schema.source_depths().iter().copied().map(lists).collect(),
        };
        Chunk::new(Arc::clone(schema), rows, tags, nulls(schema.packets()), provenance)
    }

    /// Takes the labels off.
    pub(super) fn unlabel(&self, chunk: Chunk) -> Result<Chunk, ChunkError> {
        let rows = chunk.rows();
        let (mut tags, packets, provenance) = chunk.into_parts();
        let tags = tags.split_off(2);
        Chunk::new(Arc::clone(&self.schema), rows, tags, packets, provenance)
    }
}

/// Chooses the labeled rows that are the first of their value and have not left before; `last` is the value before the first
/// row.
pub(super) fn first_rows(
    chunk: &Chunk,
    ordered: bool,
    last: &mut Option<[u8; 32]>,
) -> Result<Chunk, ChunkError> {
    let [values, places, ..] = chunk.tags() else { unreachable!("labeled rows have a value and a place") };
    let mut chosen = Vec::new();
    for (row, value) in (0_u32..).zip(values.as_binary_view().iter().flatten()) {
        let Ok(value) = <[u8; 32]>::try_from(value) else { unreachable!("a value is a hash of 32 bytes") };
        if *last != Some(value) && (!ordered || places.is_valid(row as usize)) {
            chosen.push(row);
        }
        *last = Some(value);
    }
    chunk.take(&chosen)
}

fn values(values: &[PacketHash]) -> ArrayRef {
    Arc::new(BinaryViewArray::from_iter_values(values.iter().map(|value| value.0.0)))
}

/// A name that no column has.
fn free_name(schema: &StreamSchema, name: &str) -> String {
    let mut free = name.to_owned();
    while schema.find(&free).is_some() {
        free.push('_');
    }
    free
}
