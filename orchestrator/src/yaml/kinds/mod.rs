//! Kinds of nodes in a pipeline file: a file each, with the fields, their descriptions, the knobs and the building.
//!
//! A new kind is a file here and a line in [`KINDS`]; the checks, the JSON Schema, "did you mean" and the building
//! follow from it.

mod antijoin;
mod arrow;
mod batch;
mod class;
mod common;
mod csv;
mod declared;
mod derived;
mod distinct;
mod drop;
mod filter;
mod function;
mod join;
mod jsonl;
mod knobs;
mod map;
mod merge_join;
mod none;
mod parquet;
mod rows;
mod select;
mod semijoin;
mod sort;
mod sqlite;
mod unbatch;
mod union;
mod write;

use std::path::Path;

use anabranch_engine::operator::Operator;
use anabranch_nodes::function::NoneOutput;
use anabranch_nodes::source::Source;

use crate::graph::{NodeHandle, Pipeline};
use crate::node::PlanError;
use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Field, ObjectSchema, Presence, Type};
use class::Class;
use knobs::KNOBS;

pub(crate) use class::check_knobs;
pub(crate) use declared::DeclaredNode;
pub(crate) use none::{check as check_none, none};

type Build = fn(&mut BuildSite<'_>) -> Result<NodeHandle, PlanError>;

/// A kind of node.
#[derive(Debug)]
pub(crate) struct Kind {
    /// One line, for lists of kinds.
    pub(crate) doc: &'static str,
    /// The mapping under the kind's key, which is the schema's name.
    pub(crate) schema: ObjectSchema,
    pub(crate) class: &'static Class,
    /// Adds a node of checked declarations to a pipeline.
    pub(crate) build: Build,
}

/// All kinds of this version.
static KINDS: [&Kind; 22] = [
    &csv::KIND,
    &parquet::KIND,
    &jsonl::KIND,
    &arrow::KIND,
    &rows::KIND,
    &sqlite::KIND,
    &derived::KIND,
    &select::KIND,
    &drop::KIND,
    &map::KIND,
    &filter::KIND,
    &join::KIND,
    &batch::KIND,
    &unbatch::KIND,
    &sort::KIND,
    &distinct::KIND,
    &merge_join::KIND,
    &semijoin::KIND,
    &antijoin::KIND,
    &union::KIND,
    &function::KIND,
    &write::KIND,
];

/// Kinds of the language that this version does not have.
const RESERVED: [&str; 3] = ["files", "from_topic", "to_topic"];

/// A node: one kind, and knobs beside it.
pub(crate) static NODE: ObjectSchema =
    ObjectSchema::new("node", "A node: one kind key, and knobs beside it.", &FIELDS).choice("kind");

const FIELD_COUNT: usize = KINDS.len() + RESERVED.len() + KNOBS.len();

static FIELDS: [Field; FIELD_COUNT] = node_fields();

#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses an index that is out of bounds"
)]
const fn node_fields() -> [Field; FIELD_COUNT] {
    let mut fields = [Field::reserved(""); FIELD_COUNT];
    let mut at = 0;
    while at < KINDS.len() {
        let kind = KINDS[at];
        fields[at] = Field::alternative(kind.schema.name, Type::Record(&kind.schema), kind.doc);
        at += 1;
    }
    let mut reserved = 0;
    while reserved < RESERVED.len() {
        fields[at] = Field::reserved_alternative(RESERVED[reserved]);
        reserved += 1;
        at += 1;
    }
    let mut knob = 0;
    while knob < KNOBS.len() {
        fields[at] = KNOBS[knob];
        knob += 1;
        at += 1;
    }
    fields
}

impl Kind {
    /// Creates a kind of operator; `meaning` describes the mapping under its key.
    const fn operator(
        key: &'static str,
        doc: &'static str,
        meaning: &'static str,
        fields: &'static [Field],
        build: Build,
    ) -> Self {
        Self { doc, schema: ObjectSchema::new(key, meaning, fields), class: &class::OPERATOR, build }
    }

    /// Creates a kind of source, as [`Kind::operator`].
    const fn source(
        key: &'static str,
        doc: &'static str,
        meaning: &'static str,
        fields: &'static [Field],
        build: Build,
    ) -> Self {
        Self { class: &class::SOURCE, ..Self::operator(key, doc, meaning, fields, build) }
    }

    /// Returns the kind of this key.
    pub(crate) fn of(key: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.key() == key).copied()
    }

    /// Returns its key in a pipeline file.
    pub(crate) fn key(&self) -> &'static str {
        self.schema.name
    }
}

/// Returns true if a key stands beside a node's kind.
pub(crate) fn is_knob(key: &str) -> bool {
    NODE.field(key).is_some_and(|field| field.presence == Presence::Optional)
}

/// A node that is being built.
pub(crate) struct BuildSite<'a> {
    pub(crate) pipeline: &'a mut Pipeline,
    pub(crate) name: &'a str,
    /// The mapping under the kind's key, checked.
    pub(crate) body: Body<'a>,
    /// The nodes that it reads from, by port.
    pub(crate) inputs: &'a [NodeHandle],
    /// True if a source keeps the rows that it has read.
    pub(crate) cumulative: bool,
    /// The folder that relative paths start from.
    pub(crate) folder: &'a Path,
    /// Environment variables that hold secrets.
    pub(crate) secrets: &'a [String],
    /// The meaning of None in place of a Python function's outputs.
    pub(crate) none: NoneOutput,
}

impl BuildSite<'_> {
    /// Returns the only input.
    fn input(&self) -> NodeHandle {
        match self.inputs {
            [input] => *input,
            inputs => {
                panic!("node \"{}\" has {} inputs, and its schema requires one", self.name, inputs.len())
            }
        }
    }

    fn source(&mut self, source: impl Source + 'static) -> Result<NodeHandle, PlanError> {
        self.pipeline.source(self.name, source)
    }

    fn operator(&mut self, operator: impl Operator + 'static) -> Result<NodeHandle, PlanError> {
        self.pipeline.operator(self.name, operator, self.inputs.iter().copied())
    }
}
