//! The plan of a join: who enters where, and which column goes where.
//!
//! Inputs enter a chain of two-sided stages. The chain's order is free; columns and system tags
//! follow the canonical order of inputs, whatever the chain is.
//!
//! ```text
//!   port 2 --left--\
//!                   stage 0 --left--\
//!   port 0 --right-/                 stage 1 --> output
//!   port 1 -------------------right-/
//! ```

use std::collections::HashMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use anabranch_engine::index::At as _;
use anabranch_engine::list_alignment::{ListAlignment, source_alignment, value_alignment, with_alignment};
use anabranch_engine::operator::{BindError, Input};
use anabranch_engine::schema::{Role, SchemaError, StreamSchema, SystemTag};
use arrow::datatypes::{DataType, FieldRef};
use indexmap::IndexMap;

use super::check::{check_connected, check_names, connected, merged_packets, no_inputs, shared_tags};
use super::tuples::{Tie, ties};
use crate::keys::hash_is_exact;
use crate::rows::TableSide;

/// Everything about a join that is known before the first row.
#[derive(Debug)]
pub(super) struct JoinLayout {
    pub(super) schema: Arc<StreamSchema>,
    /// By port.
    pub(super) entries: Vec<InputPlan>,
    pub(super) stages: Vec<StagePlan>,
    pub(super) ties: Vec<Tie>,
}

/// The plan of the rows of a port.
#[derive(Debug)]
pub(super) struct InputPlan {
    pub(super) stage: usize,
    pub(super) side: SideOf,
    /// The schema of prepared rows: shared tags in their common types.
    pub(super) schema: Arc<StreamSchema>,
    /// Places of the shared tags, with their common types.
    pub(super) keys: Vec<(usize, DataType)>,
    /// Places of the tags that all inputs share, in the same order at every port.
    pub(super) shared_by_all: Vec<usize>,
    /// True if these are the keys of the stage that the rows enter.
    pub(super) shared_are_keys: bool,
}

/// A side of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SideOf {
    /// The rows that are joined so far.
    Left,
    /// The input that enters here.
    Right,
}

impl SideOf {
    /// The same in the table of rows.
    pub(super) fn in_table(self) -> TableSide {
        match self {
            Self::Left => TableSide::Left,
            Self::Right => TableSide::Right,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// State of both sides of a stage, by side.
#[derive(Debug, Default)]
pub(super) struct Sides<T> {
    pub(super) left: T,
    pub(super) right: T,
}

impl<T> Index<SideOf> for Sides<T> {
    type Output = T;

    fn index(&self, side: SideOf) -> &T {
        match side {
            SideOf::Left => &self.left,
            SideOf::Right => &self.right,
        }
    }
}

impl<T> IndexMut<SideOf> for Sides<T> {
    fn index_mut(&mut self, side: SideOf) -> &mut T {
        match side {
            SideOf::Left => &mut self.left,
            SideOf::Right => &mut self.right,
        }
    }
}

/// One two-sided join of the chain.
#[derive(Debug)]
pub(super) struct StagePlan {
    pub(super) schema: Arc<StreamSchema>,
    pub(super) sides: Sides<SidePlan>,
    /// True if equal hashes mean equal keys.
    pub(super) exact: bool,
    pub(super) tags: Vec<ColumnFrom>,
    pub(super) packets: Vec<ColumnFrom>,
    pub(super) system_tags: Vec<ColumnFrom>,
}

/// The plan of the rows of a side.
#[derive(Debug)]
pub(super) struct SidePlan {
    /// Places of the key columns among the tags, in the same order on both sides.
    pub(super) keys: Vec<usize>,
    pub(super) tags: usize,
    pub(super) schema: Arc<StreamSchema>,
}

/// Where a column of a stage's output comes from: its place in its group on either side.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColumnFrom {
    pub(super) left: Option<usize>,
    pub(super) right: Option<usize>,
}

impl JoinLayout {
    /// The plan of a join of two inputs or more; `merge` is for packet columns that two inputs have.
    pub(super) fn of(inputs: &[Input], cross: bool, merge: bool) -> Result<Self, BindError> {
        check_names(inputs, merge)?;
        SchemaError::check_system_tags(inputs.iter().map(|input| input.schema.system_tags().len()).sum())?;
        let shared = shared_tags(inputs)?;
        let merged = if merge { merged_packets(inputs)? } else { IndexMap::new() };
        if !cross {
            check_connected(inputs)?;
        }
        let canonical = canonical_order(inputs);
        let prepared = canonical
            .iter()
            .enumerate()
            .map(|(position, at)| Ok((*at, Arc::new(prepared(inputs, *at, position, &shared)?))))
            .collect::<Result<IndexMap<usize, Arc<StreamSchema>>, BindError>>()?;
        let order = ColumnOrder::of(inputs, &prepared, merged);
        let by_all = shared_by_all(inputs, &order);
        let mut chain = chain(&prepared).into_iter();
        let (port, mut joined) = chain.next().ok_or_else(no_inputs)?;
        let mut entries = IndexMap::new();
        entries.insert(port, InputPlan::new(0, SideOf::Left, &joined, &shared, &by_all));
        let mut stages = Vec::new();
        for (stage, (port, schema)) in chain.enumerate() {
            entries.insert(port, InputPlan::new(stage, SideOf::Right, &schema, &shared, &by_all));
            let plan = StagePlan::new(&joined, &schema, &order)?;
            joined = Arc::clone(&plan.schema);
            stages.push(plan);
        }
        entries.sort_unstable_keys();
        for entry in entries.values_mut() {
            let stage: &StagePlan = stages.at(entry.stage, "stage of the join");
            entry.shared_are_keys = stage.sides[entry.side].keys == entry.shared_by_all;
        }
        let ties = ties(inputs, &prepared, &joined);
        Ok(Self { schema: joined, entries: entries.into_values().collect(), stages, ties })
    }
}

/// The ports sorted by pipeline hash; equal hashes keep the given order.
fn canonical_order(inputs: &[Input]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    order.sort_by_key(|at| inputs.at(*at, "input of the join").pipeline_hash);
    order
}

/// Where a schema has its system tags.
pub(super) fn tag_places(schema: &StreamSchema) -> HashMap<&SystemTag, usize> {
    // The first of equal ones counts, as everywhere.
    schema.system_tags().iter().enumerate().rev().map(|(at, tag)| (tag, at)).collect()
}

/// The tags that every input has, in the order in which they leave.
fn shared_by_all(inputs: &[Input], order: &ColumnOrder) -> Vec<String> {
    let in_all = |name: &&String| {
        inputs.iter().all(|input| input.schema.tags().iter().any(|field| field.name() == *name))
    };
    order.tags.iter().filter(in_all).cloned().collect()
}

/// The schema of an input's rows inside the join.
///
/// Lists of different inputs have nothing to do with each other there. Where inputs share a hash,
/// their provenance changes places from row to row, so its lists follow nothing at all.
fn prepared(
    inputs: &[Input],
    at: usize,
    position: usize,
    shared: &IndexMap<String, FieldRef>,
) -> Result<StreamSchema, BindError> {
    let input = inputs.at(at, "input of the join");
    let hash = &input.pipeline_hash;
    let tied = inputs.iter().filter(|other| other.pipeline_hash == *hash).count() > 1;
    let enter = |levels: &ListAlignment| levels.map(|level| Some(level.entered(hash, position)));
    let field = |f: &FieldRef| with_alignment(f, &enter(&value_alignment(f)), &enter(&source_alignment(f)));
    let tags = input
        .schema
        .tags()
        .iter()
        .map(|f| shared.get(f.name()).cloned().unwrap_or_else(|| field(f)))
        .collect();
    let packets = input.schema.packets().iter().map(field).collect();
    let hash12 = hash.short();
    let system_tags = input.schema.system_tags().iter().map(|tag| {
        let levels = if tied { tag.alignment().map(|_| None) } else { enter(tag.alignment()) };
        tag.suffixed(&hash12, position).with_alignment(levels)
    });
    Ok(StreamSchema::new(tags, packets, system_tags.collect())?)
}

/// The ports in the order in which they are joined: each shares a tag with those before, as long
/// as there is such a one.
fn chain(prepared: &IndexMap<usize, Arc<StreamSchema>>) -> Vec<(usize, Arc<StreamSchema>)> {
    let mut waiting: Vec<(usize, Arc<StreamSchema>)> =
        prepared.iter().map(|(port, schema)| (*port, Arc::clone(schema))).collect();
    let mut chain: Vec<(usize, Arc<StreamSchema>)> = Vec::new();
    while !waiting.is_empty() {
        let fits = |(_, schema): &(usize, Arc<StreamSchema>)| chain.iter().any(|(_, s)| connected(s, schema));
        let next = waiting.iter().position(fits).unwrap_or(0);
        chain.push(waiting.remove(next));
    }
    chain
}

/// The order of output columns, whatever order they are joined in.
struct ColumnOrder {
    tags: Vec<String>,
    packets: Vec<String>,
    system_tags: Vec<SystemTag>,
    /// Packet columns that become lists of two.
    merged: IndexMap<String, FieldRef>,
}

impl ColumnOrder {
    fn of(
        inputs: &[Input],
        prepared: &IndexMap<usize, Arc<StreamSchema>>,
        merged: IndexMap<String, FieldRef>,
    ) -> Self {
        // Inputs of one hash may have their columns in different orders, and may be given in any.
        let mut sorted: Vec<&Input> = inputs.iter().collect();
        sorted.sort_by_cached_key(|input| (input.pipeline_hash, input.schema.names()));
        let names = |role: Role| {
            let mut names: Vec<String> = Vec::new();
            for field in sorted.iter().flat_map(|input| input.schema.role(role)) {
                if !names.contains(field.name()) {
                    names.push(field.name().clone());
                }
            }
            names
        };
        let system_tags = prepared.values().flat_map(|schema| schema.system_tags().iter().cloned()).collect();
        Self { tags: names(Role::Tag), packets: names(Role::Packet), system_tags, merged }
    }
}

impl InputPlan {
    fn new(
        stage: usize,
        side: SideOf,
        schema: &Arc<StreamSchema>,
        shared: &IndexMap<String, FieldRef>,
        by_all: &[String],
    ) -> Self {
        let place = |name: &String| schema.tags().iter().position(|field| field.name() == name);
        let shared_by_all = by_all.iter().filter_map(place).collect();
        let keys = schema.tags().iter().enumerate().filter(|(_, field)| shared.contains_key(field.name()));
        let keys = keys.map(|(at, field)| (at, field.data_type().clone())).collect();
        Self { stage, side, schema: Arc::clone(schema), keys, shared_by_all, shared_are_keys: false }
    }
}

impl StagePlan {
    fn new(
        left: &Arc<StreamSchema>,
        right: &Arc<StreamSchema>,
        order: &ColumnOrder,
    ) -> Result<Self, BindError> {
        let place = |schema: &StreamSchema, role: Role, name: &str| {
            schema.role(role).iter().position(|field| field.name() == name)
        };
        let from = |role: Role, name: &String| {
            ColumnFrom { left: place(left, role, name), right: place(right, role, name) }.existing()
        };
        let tags: Vec<ColumnFrom> = order.tags.iter().filter_map(|name| from(Role::Tag, name)).collect();
        let packets: Vec<ColumnFrom> =
            order.packets.iter().filter_map(|name| from(Role::Packet, name)).collect();
        let (in_left, in_right) = (tag_places(left), tag_places(right));
        let find = |tag| ColumnFrom { left: in_left.get(tag).copied(), right: in_right.get(tag).copied() };
        let system_tags: Vec<ColumnFrom> =
            order.system_tags.iter().filter_map(|tag| find(tag).existing()).collect();
        let keys: Vec<(usize, usize)> = tags.iter().filter_map(|f| f.left.zip(f.right)).collect();
        let types: Vec<DataType> =
            keys.iter().map(|(at, _)| left.tags().at(*at, "key column").data_type().clone()).collect();
        let merged = |field: FieldRef| order.merged.get(field.name()).cloned().unwrap_or(field);
        let schema = StreamSchema::new(
            tags.iter().map(|f| f.pick(left.tags(), right.tags())).collect(),
            packets.iter().map(|f| f.pick(left.packets(), right.packets())).map(merged).collect(),
            system_tags.iter().map(|f| f.pick(left.system_tags(), right.system_tags())).collect(),
        )?;
        Ok(Self {
            schema: Arc::new(schema),
            exact: hash_is_exact(&types),
            sides: Sides {
                left: SidePlan::new(left, keys.iter().map(|(at, _)| *at).collect()),
                right: SidePlan::new(right, keys.iter().map(|(_, at)| *at).collect()),
            },
            tags,
            packets,
            system_tags,
        })
    }
}

impl SidePlan {
    fn new(schema: &Arc<StreamSchema>, keys: Vec<usize>) -> Self {
        Self { keys, tags: schema.tags().len(), schema: Arc::clone(schema) }
    }
}

impl ColumnFrom {
    fn existing(self) -> Option<Self> {
        (self.left.is_some() || self.right.is_some()).then_some(self)
    }

    /// The value on the side that has one; the left's where both do.
    pub(super) fn pick<T: Clone>(self, left: &[T], right: &[T]) -> T {
        match (self.left, self.right) {
            (Some(at), _) => left.at(at, "column of the left side").clone(),
            (None, Some(at)) => right.at(at, "column of the right side").clone(),
            (None, None) => unreachable!("a joined column comes from one side or from both"),
        }
    }

    /// Its place on a side.
    pub(super) fn on(self, side: SideOf) -> Option<usize> {
        match side {
            SideOf::Left => self.left,
            SideOf::Right => self.right,
        }
    }
}
