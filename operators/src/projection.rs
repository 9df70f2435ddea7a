//! Output columns as picks from the input: what select, drop and map have in common.
//!
//! Columns and provenance pass by reference, so a projection costs nothing per row.

use std::collections::HashSet;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::index::At as _;
use anabranch_engine::operator::{BindError, Bound, Contract, Input, OperatorError, unknown_column};
use anabranch_engine::provenance::{OriginId, PositionMemo, Provenance, ProvenanceColumn};
use anabranch_engine::schema::{Role, StreamSchema};
use arrow::datatypes::FieldRef;

use crate::bound::each_chunk;

/// A column of the output: its place in its role of the input, and its field in the output.
pub(crate) type Pick = (usize, FieldRef);

/// A packet column of the output that is one of the input once more, of either role.
pub(crate) type CopiedColumn = (Role, Pick);

#[derive(Debug)]
struct Places {
    tags: Vec<usize>,
    packets: Vec<usize>,
    /// The columns that follow the packets.
    copied: Vec<(Role, usize)>,
}

/// Binds an operator whose output has these columns of its input.
pub(crate) fn project(
    input: &Input,
    tags: Vec<Pick>,
    packets: Vec<Pick>,
    copied: Vec<CopiedColumn>,
) -> Result<Box<dyn Bound>, BindError> {
    let (tags, tag_fields) = tags.into_iter().unzip();
    let (packets, mut packet_fields): (Vec<usize>, Vec<FieldRef>) = packets.into_iter().unzip();
    let (copied, copied_fields): (Vec<_>, Vec<FieldRef>) =
        copied.into_iter().map(|(role, (at, field))| ((role, at), field)).unzip();
    packet_fields.extend(copied_fields);
    let system_tags = input.schema.shared_system_tags();
    let schema = Arc::new(StreamSchema::with_system_tags(tag_fields, packet_fields, system_tags)?);
    let contract = Contract::of(input, Arc::clone(&schema));
    let places = Places { tags, packets, copied };
    Ok(each_chunk(contract, 1, move |_, chunk| places.project(&schema, chunk)))
}

/// Binds an operator whose output is its input.
pub(crate) fn identity(input: &Input) -> Result<Box<dyn Bound>, BindError> {
    project(input, all(&input.schema, Role::Tag), all(&input.schema, Role::Packet), Vec::new())
}

/// Every column of a role.
pub(crate) fn all(schema: &StreamSchema, role: Role) -> Vec<Pick> {
    schema.role(role).iter().cloned().enumerate().collect()
}

/// The named column of a role; an unknown name is an error if `strict`, else nothing.
pub(crate) fn find(
    schema: &StreamSchema,
    role: Role,
    name: &str,
    strict: bool,
) -> Result<Option<Pick>, BindError> {
    match schema.find(name) {
        Some((found, at, field)) if found == role => Ok(Some((at, Arc::clone(field)))),
        _ if strict => Err(unknown_column(0, Some(role), name, schema)),
        _ => Ok(None),
    }
}

/// Refuses a list that has a name twice.
pub(crate) fn distinct(parameter: &'static str, names: &[String]) -> Result<(), BindError> {
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        None => Ok(()),
        Some(name) => Err(BindError::parameter(
            parameter,
            format!("\"{name}\" listed twice"),
            "each name once",
            "remove one",
        )),
    }
}

/// The parameter that lists columns of a role.
pub(crate) fn parameter(role: Role) -> &'static str {
    match role {
        Role::Tag => "tags",
        Role::Packet => "packets",
    }
}

impl Places {
    fn project(&self, schema: &Arc<StreamSchema>, chunk: Chunk) -> Result<Chunk, OperatorError> {
        let rows = chunk.rows();
        let (tags, packets, provenance) = chunk.into_parts();
        let mut values = picked(&packets, &self.packets);
        let mut sources = picked(&provenance.sources, &self.packets);
        for (role, at) in &self.copied {
            let (columns, source) = match role {
                Role::Tag => (&tags, source_of_tags(&provenance.tags, rows)),
                Role::Packet => (&packets, provenance.sources.at(*at, "column of the input").clone()),
            };
            values.push(columns.at(*at, "column of the input").clone());
            sources.push(source);
        }
        let provenance = Provenance { tags: provenance.tags, sources };
        Ok(Chunk::new(Arc::clone(schema), rows, picked(&tags, &self.tags), values, provenance)?)
    }
}

/// Returns the source info of values that come from tags: of each row the first system tag that it has.
///
/// System tags of another depth of lists than the first do not count.
fn source_of_tags(tags: &[ProvenanceColumn], rows: usize) -> ProvenanceColumn {
    let Some(first) = tags.first() else { return ProvenanceColumn::null(rows) };
    let alike: Vec<&ProvenanceColumn> = tags.iter().filter(|tag| tag.depth() == first.depth()).collect();
    let has = |tag: &ProvenanceColumn, row: usize| match tag {
        ProvenanceColumn::Flat(flat) => flat.origins.get(row) != OriginId::NULL,
        ProvenanceColumn::Lists(lists) => !lists.is_null(row),
    };
    let pick = |row: usize| (alike.iter().position(|tag| has(tag, row)).unwrap_or(0), row);
    let picks: Vec<(usize, usize)> = (0..rows).map(pick).collect();
    if picks.iter().all(|(tag, _)| *tag == 0) {
        return first.clone();
    }
    ProvenanceColumn::interleave(&alike, &picks, &mut PositionMemo::default())
}

/// The values at these places.
fn picked<T: Clone>(values: &[T], places: &[usize]) -> Vec<T> {
    places.iter().map(|at| values.at(*at, "column of the input").clone()).collect()
}
