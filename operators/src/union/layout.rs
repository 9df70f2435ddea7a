//! The plan of a union: which column of each input goes where.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anabranch_engine::identity::Structure;
use anabranch_engine::list_alignment::{
    AlignmentId, ListAlignment, source_alignment, value_alignment, with_alignment,
};
use anabranch_engine::operator::{BindError, FoundText, Input};
use anabranch_engine::schema::{Role, Stem, StreamSchema, SystemTag};
use anabranch_engine::types::logical_name;
use arrow::datatypes::FieldRef;

use crate::forms::common_field;

/// Everything about a union of several inputs that is known before the first row.
#[derive(Debug)]
pub(super) struct UnionLayout {
    pub(super) schema: Arc<StreamSchema>,
    pub(super) ports: Vec<PortPlan>,
}

/// Where the output's columns come from in the rows of a port.
#[derive(Debug)]
pub(super) struct PortPlan {
    pub(super) tags: Vec<usize>,
    pub(super) packets: Vec<usize>,
    pub(super) system_tags: Vec<TagFrom>,
}

/// Where a pair of system tags comes from.
#[derive(Debug)]
pub(super) enum TagFrom {
    Place(usize),
    /// The input has none; it is null in lists so many deep.
    Null {
        depth: usize,
    },
}

impl UnionLayout {
    pub(super) fn of(inputs: &[Input]) -> Result<Self, BindError> {
        let first = inputs.first().ok_or_else(|| {
            BindError::parameter("inputs", "none", "at least one", "name the nodes to put together")
        })?;
        for (at, input) in inputs.iter().enumerate().skip(1) {
            check_columns(&first.schema, at, &input.schema)?;
        }
        let canonical = canonical(inputs);
        let tags = common(&canonical, Role::Tag);
        let packets = common(&canonical, Role::Packet);
        let system_tags = system_tags(&canonical, inputs)?;
        let schema = StreamSchema::new(tags, packets, system_tags)?;
        let ports = inputs.iter().map(|input| PortPlan::new(&schema, &input.schema)).collect();
        Ok(Self { schema: Arc::new(schema), ports })
    }
}

impl PortPlan {
    fn new(output: &StreamSchema, input: &StreamSchema) -> Self {
        let places = |role: Role| {
            let place = |field: &FieldRef| input.role(role).iter().position(|f| f.name() == field.name());
            output.role(role).iter().filter_map(place).collect()
        };
        let known = self::places(input);
        let tag = |tag: &SystemTag| match known.get(tag.stem()) {
            Some(at) => TagFrom::Place(*at),
            None => TagFrom::Null { depth: tag.alignment().depth() },
        };
        Self {
            tags: places(Role::Tag),
            packets: places(Role::Packet),
            system_tags: output.system_tags().iter().map(tag).collect(),
        }
    }
}

/// Where a schema has its system tags, by the part that their names share.
fn places(schema: &StreamSchema) -> HashMap<&Stem, usize> {
    let mut places = HashMap::new();
    for (at, tag) in schema.system_tags().iter().enumerate() {
        places.entry(tag.stem()).or_insert(at);
    }
    places
}

/// The schemas in an order that the order of inputs does not decide.
fn canonical(inputs: &[Input]) -> Vec<&StreamSchema> {
    let mut sorted: Vec<&Input> = inputs.iter().collect();
    // Inputs of one hash may have their columns in different orders and forms, and may be given in
    // any order; their whole schemas as strings distinguish them.
    sorted.sort_by(|one, other| {
        let names = || one.schema.names().cmp(&other.schema.names());
        let described = || described(&one.schema).cmp(&described(&other.schema));
        one.pipeline_hash.cmp(&other.pipeline_hash).then_with(names).then_with(described)
    });
    sorted.into_iter().map(|input| input.schema.as_ref()).collect()
}

fn described(schema: &StreamSchema) -> String {
    let field = |field: &FieldRef| {
        let mut metadata: Vec<_> = field.metadata().iter().collect();
        metadata.sort_unstable();
        format!("{:?} {} {metadata:?}", field.data_type(), field.is_nullable())
    };
    let fields: Vec<String> = schema.columns().map(field).collect();
    format!("{fields:?} {:?}", schema.system_tags())
}

/// Refuses an input whose columns are not those of input 0.
fn check_columns(first: &StreamSchema, at: usize, other: &StreamSchema) -> Result<(), BindError> {
    for role in [Role::Tag, Role::Packet] {
        for field in first.role(role) {
            let Some((their_role, _, theirs)) = other.find(field.name()) else {
                return Err(missing(field, role, 0, at));
            };
            check_column(field, role, (at, theirs, their_role))?;
        }
        let extra = other.role(role).iter().find(|field| first.find(field.name()).is_none());
        if let Some(extra) = extra {
            return Err(missing(extra, role, at, 0));
        }
    }
    Ok(())
}

fn check_column(field: &FieldRef, role: Role, other: (usize, &FieldRef, Role)) -> Result<(), BindError> {
    let (at, theirs, their_role) = other;
    if their_role != role {
        return Err(BindError::conflict(
            field.name(),
            FoundText::of_two((role, 0), (their_role, at)),
            "one role in all inputs",
            "make it a tag in all sources or in none, or rename it there with map",
        ));
    }
    let (mine, other) = (logical_name(field), logical_name(theirs));
    if mine != other {
        return Err(BindError::conflict(
            field.name(),
            FoundText::of_two((mine, 0), (other, at)),
            "one logical type in all inputs",
            "convert it in one of them (with types: at the source, or with a function)",
        ));
    }
    let (mine, other) = (source_alignment(field).depth(), source_alignment(theirs).depth());
    if mine != other {
        return Err(depths(field.name(), "source info", (0, mine), (at, other)));
    }
    Ok(())
}

fn missing(field: &FieldRef, role: Role, has: usize, lacks: usize) -> BindError {
    BindError::conflict(
        field.name(),
        FoundText::of_two(
            (format!("{role} of type {}", logical_name(field)), has),
            ("no such column", lacks),
        ),
        "the same columns in all inputs",
        "remove it there with drop, or rename a column of the other input to it with map",
    )
}

fn depths(column: &str, what: &str, one: (usize, usize), other: (usize, usize)) -> BindError {
    BindError::conflict(
        column,
        FoundText::of_two((format!("{what} in lists of depth {}", one.1), one.0), (other.1, other.0)),
        "one depth in all inputs",
        "batch or unbatch one of them first",
    )
}

/// The output's columns of a role, in the order of the first input.
fn common(canonical: &[&StreamSchema], role: Role) -> Vec<FieldRef> {
    let Some((first, rest)) = canonical.split_first() else { return Vec::new() };
    let same = |field: &FieldRef| {
        let others = rest.iter().filter_map(|schema| schema.find(field.name()).map(|(_, _, f)| f));
        let all: Vec<&FieldRef> = std::iter::once(field).chain(others).collect();
        let common = all.iter().skip(1).fold(Arc::clone(field), |common, other| common_field(&common, other));
        let values: Vec<ListAlignment> = all.iter().map(|f| value_alignment(f)).collect();
        let sources: Vec<ListAlignment> = all.iter().map(|f| source_alignment(f)).collect();
        with_alignment(&common, &beside(&values), &beside(&sources))
    };
    first.role(role).iter().map(same).collect()
}

/// The levels of rows that come from several inputs, given those in each.
///
/// Columns that have the same level in each input have equal lengths in every row, wherever it
/// comes from. So a tuple of levels is a level of its own.
fn beside(inputs: &[ListAlignment]) -> ListAlignment {
    let depth = inputs.iter().map(ListAlignment::depth).min().unwrap_or(0);
    let mut inner: Vec<ListAlignment> = inputs.to_vec();
    let mut tuples = Vec::with_capacity(depth);
    for _ in 0..depth {
        tuples.push(inner.iter().map(ListAlignment::outermost).collect::<Option<Vec<AlignmentId>>>());
        inner = inner.iter().map(ListAlignment::unwrapped).collect();
    }
    let levels = tuples.into_iter().rev().map(|tuple| tuple.and_then(|ids| one_level(&ids)));
    levels.fold(ListAlignment::default(), |inside, level| inside.wrapped(level))
}

fn one_level(ids: &[AlignmentId]) -> Option<AlignmentId> {
    let first = ids.first()?;
    if ids.iter().all(|id| id == first) {
        return Some(*first);
    }
    let mut structure = Structure::new("levels of a union");
    for id in ids {
        structure.text(&ListAlignment::default().wrapped(Some(*id)).to_string());
    }
    Some(AlignmentId::of(&structure))
}

/// The system tags of all inputs; those of one stem are one.
fn system_tags(canonical: &[&StreamSchema], inputs: &[Input]) -> Result<Vec<SystemTag>, BindError> {
    let by_input: Vec<_> = inputs.iter().map(|input| (&*input.schema, places(&input.schema))).collect();
    let by_canonical: Vec<_> = canonical.iter().map(|schema| (*schema, places(schema))).collect();
    let mut seen: HashSet<&Stem> = HashSet::new();
    let mut tags: Vec<SystemTag> = Vec::new();
    for tag in canonical.iter().flat_map(|schema| schema.system_tags()) {
        if !seen.insert(tag.stem()) {
            continue;
        }
        check_depths(tag, &by_input)?;
        let found: Vec<Option<&SystemTag>> = by_canonical.iter().map(|known| same(known, tag)).collect();
        tags.push(tag.with_alignment(tag_levels(&found, canonical, tag.alignment().depth())));
    }
    Ok(tags)
}

/// The system tag of that stem in a schema.
fn same<'a>(
    (schema, places): &(&'a StreamSchema, HashMap<&Stem, usize>),
    tag: &SystemTag,
) -> Option<&'a SystemTag> {
    schema.system_tags().get(*places.get(tag.stem())?)
}

fn check_depths(tag: &SystemTag, inputs: &[(&StreamSchema, HashMap<&Stem, usize>)]) -> Result<(), BindError> {
    let depth = |(at, known)| Some((at, same(known, tag)?.alignment().depth()));
    let mut found = inputs.iter().enumerate().filter_map(depth);
    let Some(first) = found.next() else { return Ok(()) };
    match found.find(|(_, depth)| *depth != first.1) {
        None => Ok(()),
        Some(other) => Err(depths(&tag.source_column(), "system tags", first, other)),
    }
}

/// The levels of a system tag that some inputs may lack.
///
/// A null stands for as many nulls as there are items, so in an input that lacks the tag it may
/// be taken to lie in the lists of a visible column there.
fn tag_levels(found: &[Option<&SystemTag>], canonical: &[&StreamSchema], depth: usize) -> ListAlignment {
    let known: Option<Vec<ListAlignment>> =
        found.iter().map(|tag| tag.map(|tag| tag.alignment().clone())).collect();
    if let Some(known) = known {
        return beside(&known);
    }
    let columns = canonical.first().into_iter().flat_map(|schema| schema.columns());
    let fits = |field: &&FieldRef| {
        found.iter().zip(canonical).all(|(tag, schema)| {
            let theirs =
                schema.find(field.name()).and_then(|(_, _, field)| value_alignment(field).outermost());
            theirs.is_some() && tag.is_none_or(|tag| tag.alignment().outermost() == theirs)
        })
    };
    let outermost = columns.into_iter().find(fits).and_then(|field| {
        let all = canonical.iter().filter_map(|schema| schema.find(field.name()));
        beside(&all.map(|(_, _, field)| value_alignment(field)).collect::<Vec<_>>()).outermost()
    });
    let inner = (1..depth).fold(ListAlignment::default(), |inside, _| inside.wrapped(None));
    if depth == 0 { ListAlignment::default() } else { inner.wrapped(outermost) }
}
