//! union: all rows of inputs with equal schemas.

mod layout;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::Structure;
use anabranch_engine::index::At as _;
use anabranch_engine::operator::{BindError, Bound, Contract, Input, InputOrder, Operator, OperatorError};
use anabranch_engine::provenance::{Provenance, ProvenanceColumn};
use anabranch_engine::schema::Role;
use anabranch_engine::types::convert;
use arrow::array::ArrayRef;

use crate::bound::each_chunk;
use crate::projection::identity;
use layout::{PortPlan, TagFrom, UnionLayout};

/// All rows of any number of inputs that have the same columns by name.
///
/// Columns leave in the order of the input that comes first by pipeline hash, so that the order in
/// which inputs are given makes no difference. Where inputs carry one logical type in several
/// forms (units of time, precisions of decimals, nullability), the form that holds the values of
/// all leaves. System tags keep their names; rows of an input that lacks one have null there. A
/// union of one input is that input.
///
/// Order: undefined; of one input, its own. Memory: none; columns pass by reference, except those
/// that change their form.
///
/// Errors: a column that an input lacks, or has in another role or with another logical type;
/// provenance that lies in lists in one input and not, or deeper, in another. While running: an
/// instant or a duration that the finer unit cannot hold.
///
/// Example:
/// ```
/// use anabranch_engine::operator::{InputOrder, Operator};
/// use anabranch_operators::Union;
///
/// assert_eq!(Union.kind(), "union");
/// assert_eq!(Union.input_order(), InputOrder::Commutative);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Union;

impl Operator for Union {
    fn kind(&self) -> &'static str {
        "union"
    }

    fn input_order(&self) -> InputOrder {
        InputOrder::Commutative
    }

    fn identify(&self, _structure: &mut Structure) {}

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        if let [only] = inputs {
            return identity(only);
        }
        let layout = UnionLayout::of(inputs)?;
        let contract = Contract::of_all(inputs, Arc::clone(&layout.schema));
        let ports = layout.ports.len();
        Ok(each_chunk(contract, ports, move |port, chunk| layout.pass(port, chunk)))
    }
}

impl UnionLayout {
    fn pass(&self, port: usize, chunk: Chunk) -> Result<Chunk, OperatorError> {
        let plan = self.ports.at(port, "port of the union");
        let rows = chunk.rows();
        let (tags, packets, provenance) = chunk.into_parts();
        let tags = self.columns(Role::Tag, port, &plan.tags, &tags)?;
        let packets = self.columns(Role::Packet, port, &plan.packets, &packets)?;
        let provenance = provenance_of(plan, &provenance, rows);
        Ok(Chunk::new(Arc::clone(&self.schema), rows, tags, packets, provenance)?)
    }

    fn columns(
        &self,
        role: Role,
        port: usize,
        places: &[usize],
        columns: &[ArrayRef],
    ) -> Result<Vec<ArrayRef>, OperatorError> {
        let fields = self.schema.role(role).iter();
        let pairs = fields.zip(places).map(|(field, at)| {
            convert(columns.at(*at, "column of the input"), field.data_type()).map_err(|_| {
                OperatorError::data(
                    "union",
                    format!(
                        "a value of column \"{}\" of input {port} that {} cannot hold",
                        field.name(),
                        field.data_type()
                    ),
                    "values that fit the finest unit of all inputs",
                    "give the column one unit in all inputs (with types: at the source)",
                )
            })
        });
        pairs.collect()
    }
}

fn provenance_of(plan: &PortPlan, provenance: &Provenance, rows: usize) -> Provenance {
    let tag = |from: &TagFrom| match from {
        TagFrom::Place(at) => provenance.tags.at(*at, "system tag of the input").clone(),
        TagFrom::Null { depth } => ProvenanceColumn::null_lists(rows, *depth),
    };
    Provenance {
        tags: plan.system_tags.iter().map(tag).collect(),
        sources: plan
            .packets
            .iter()
            .map(|at| provenance.sources.at(*at, "packet column of the input").clone())
            .collect(),
    }
}
