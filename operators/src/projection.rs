//! Output columns as picks from the input: what select, drop and map have in common.
//!
//! Columns and provenance pass by reference, so a projection costs nothing per row.

use std::collections::HashSet;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{
    BindError, Bound, Context, Contract, Input, Item, Machine, OperatorError, Port, Step, UnknownValues,
    unknown_column,
};
use anabranch_engine::provenance::Provenance;
use anabranch_engine::schema::{Role, StreamSchema};
use arrow::datatypes::FieldRef;

use crate::arrivals::Arrivals;

/// A column of the output: its place in its role of the input, and its field in the output.
pub(crate) type Pick = (usize, FieldRef);

/// A projection that has its input.
#[derive(Debug)]
pub(crate) struct Projection {
    contract: Contract,
    places: Arc<Places>,
}

#[derive(Debug)]
struct Places {
    tags: Vec<usize>,
    packets: Vec<usize>,
}

impl Projection {
    pub(crate) fn bind(
        input: &Input,
        tags: Vec<Pick>,
        packets: Vec<Pick>,
    ) -> Result<Box<dyn Bound>, BindError> {
        let (tags, tag_fields) = tags.into_iter().unzip();
        let (packets, packet_fields) = packets.into_iter().unzip();
        let system_tags = input.schema.shared_system_tags();
        let schema = StreamSchema::with_system_tags(tag_fields, packet_fields, system_tags)?;
        let contract = Contract { schema: Arc::new(schema), ordered: input.ordered, bounded: input.bounded };
        Ok(Box::new(Self { contract, places: Arc::new(Places { tags, packets }) }))
    }

    /// The output is the input, column by column.
    pub(crate) fn identity(input: &Input) -> Result<Box<dyn Bound>, BindError> {
        Self::bind(input, all(&input.schema, Role::Tag), all(&input.schema, Role::Packet))
    }
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
        Some(name) => Err(BindError::Parameter {
            parameter,
            found: format!("\"{name}\" listed twice"),
            expected: "each name once".to_owned(),
            remedy: "remove one".to_owned(),
        }),
    }
}

/// The parameter that lists columns of a role.
pub(crate) fn parameter(role: Role) -> &'static str {
    match role {
        Role::Tag => "tags",
        Role::Packet => "packets",
    }
}

impl Bound for Projection {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn ports(&self) -> Vec<Port> {
        vec![Port::Streaming]
    }

    fn with_unknown_values(&self) -> UnknownValues {
        UnknownValues::Run
    }

    fn start(&self, _context: &Context) -> Box<dyn Machine> {
        Box::new(ProjectionMachine {
            schema: Arc::clone(&self.contract.schema),
            places: Arc::clone(&self.places),
            arrivals: Arrivals::default(),
        })
    }
}

struct ProjectionMachine {
    schema: Arc<StreamSchema>,
    places: Arc<Places>,
    arrivals: Arrivals,
}

impl ProjectionMachine {
    fn project(&self, chunk: Chunk) -> Result<Chunk, OperatorError> {
        let rows = chunk.rows();
        let (tags, packets, provenance) = chunk.into_parts();
        let provenance =
            Provenance { tags: provenance.tags, sources: picked(&provenance.sources, &self.places.packets) };
        let tags = picked(&tags, &self.places.tags);
        let packets = picked(&packets, &self.places.packets);
        Ok(Chunk::new(Arc::clone(&self.schema), rows, tags, packets, provenance)?)
    }
}

/// The values at these places; a place that is not there shows as a missing column later.
fn picked<T: Clone>(values: &[T], places: &[usize]) -> Vec<T> {
    places.iter().filter_map(|at| values.get(*at).cloned()).collect()
}

impl Machine for ProjectionMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        self.arrivals.accept(port, item)
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        match self.arrivals.next() {
            Some(chunk) => Ok(Step::Output(self.project(chunk)?)),
            None => Ok(self.arrivals.idle()),
        }
    }
}
