//! The contract of an operator: a specification, which is bound to its inputs, which starts a machine.
//!
//! ```text
//! Operator (data) --bind(inputs)--> Bound (contract) --start(context)--> Machine (rows)
//! ```
//!
//! A machine is synchronous: it has no clock, lock, channel or I/O. A driver pushes chunks and
//! carries out what each step needs. Each call does a bounded piece of work, about 10 ms at most. What can be
//! done beside that on other cores a machine hands out as [`Subtask`]s.

use std::fmt::{Debug, Display};
use std::sync::Arc;

use crate::chunk::{Chunk, ChunkError};
use crate::identity::{PipelineHash, Revisions, Structure};
use crate::memory::{MemoryBudget, OverBudget};
use crate::names::{list, suggestion};
use crate::provenance::Origins;
use crate::schema::{Role, SchemaError, StreamSchema};
use crate::subtask::Subtask;

/// The meaning of the order of inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputOrder {
    /// Each place has its own role.
    Ordered,
    /// Any order gives the same rows, columns and identities.
    Commutative,
}

/// The properties of an input that are known before the first row.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its columns.
    pub schema: Arc<StreamSchema>,
    /// Its identity.
    pub pipeline_hash: PipelineHash,
    /// True if its order is defined.
    pub ordered: bool,
    /// True if it ends by itself.
    pub bounded: bool,
}

/// The properties of an output that are known before the first row.
#[derive(Debug, Clone)]
pub struct Contract {
    /// Its columns.
    pub schema: Arc<StreamSchema>,
    /// True if its order is defined.
    pub ordered: bool,
    /// True if it ends by itself.
    pub bounded: bool,
}

impl Contract {
    /// The contract of an output that has the order and the end of its input.
    #[must_use]
    pub fn of(input: &Input, schema: Arc<StreamSchema>) -> Self {
        Self { schema, ordered: input.ordered, bounded: input.bounded }
    }

    /// The contract of an output that has the rows of all inputs in no defined order.
    #[must_use]
    pub fn of_all(inputs: &[Input], schema: Arc<StreamSchema>) -> Self {
        Self { schema, ordered: false, bounded: inputs.iter().all(|input| input.bounded) }
    }
}

/// Why an operator cannot take its inputs. The planner adds the node and the names of its inputs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A name that the input lacks.
    #[error(
        "found no {what} \"{column}\" in {input}, expected one of {}{}",
        list(available),
        suggestion(column, available)
    )]
    UnknownColumn {
        /// The input.
        input: FoundText,
        /// The kind of column looked for.
        what: &'static str,
        /// The name looked for.
        column: String,
        /// The names there are.
        available: Vec<String>,
    },
    /// A column that stands in two inputs in a way that does not go together.
    #[error("column \"{column}\": {found}, expected {expected}; {remedy}")]
    Conflict {
        /// The column.
        column: String,
        /// The value found.
        found: FoundText,
        /// The value expected.
        expected: String,
        /// The remedy.
        remedy: String,
    },
    /// A parameter that makes no sense for these inputs.
    #[error("{parameter}: found {found}, expected {expected}; {remedy}")]
    Parameter {
        /// The parameter's name.
        parameter: &'static str,
        /// The value found.
        found: FoundText,
        /// The value expected.
        expected: String,
        /// The remedy.
        remedy: String,
    },
    /// An expression that cannot be compiled.
    #[error("{parameter}: expression cannot be used")]
    Expression {
        /// The parameter's name.
        parameter: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Output columns that cannot stand together.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl BindError {
    /// A parameter that makes no sense for these inputs.
    pub fn parameter(
        parameter: &'static str,
        found: impl Into<FoundText>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Parameter { parameter, found: found.into(), expected: expected.into(), remedy: remedy.into() }
    }

    /// A column that does not go together with what else there is.
    pub fn conflict(
        column: impl Into<String>,
        found: impl Into<FoundText>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Conflict {
            column: column.into(),
            found: found.into(),
            expected: expected.into(),
            remedy: remedy.into(),
        }
    }

    /// The error with names in place of the positions of inputs.
    #[must_use]
    pub fn with_input_names(mut self, names: &[&str]) -> Self {
        if let Self::UnknownColumn { input: text, .. }
        | Self::Conflict { found: text, .. }
        | Self::Parameter { found: text, .. } = &mut self
        {
            text.name_inputs(names);
        }
        self
    }
}

/// A part of a message that may mention inputs: by their positions, until their names are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundText(Vec<TextPart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TextPart {
    Words(String),
    Input(usize),
}

impl FoundText {
    /// A thing in one input and another in another, each with the position of its input.
    #[must_use]
    pub fn of_two(one: (impl Display, usize), (what, input): (impl Display, usize)) -> Self {
        Self::of_one(one).words(format!(" and {what} in ")).input(input)
    }

    /// A thing in an input, with its position.
    #[must_use]
    pub fn of_one((what, input): (impl Display, usize)) -> Self {
        Self::from(format!("{what} in ")).input(input)
    }

    /// Appends words.
    #[must_use]
    pub fn words(mut self, words: impl Into<String>) -> Self {
        self.0.push(TextPart::Words(words.into()));
        self
    }

    /// Appends "input" and its position.
    #[must_use]
    pub fn input(self, position: usize) -> Self {
        self.words("input ").position(position)
    }

    /// Appends the position of an input.
    #[must_use]
    pub fn position(mut self, position: usize) -> Self {
        self.0.push(TextPart::Input(position));
        self
    }

    fn name_inputs(&mut self, names: &[&str]) {
        for part in &mut self.0 {
            if let TextPart::Input(position) = part {
                let Some(name) = names.get(*position) else {
                    panic!("input {position} was found among {} inputs", names.len());
                };
                *part = TextPart::Words(format!("\"{name}\""));
            }
        }
    }
}

impl<T: Into<String>> From<T> for FoundText {
    fn from(words: T) -> Self {
        Self::default().words(words)
    }
}

impl Display for FoundText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            TextPart::Words(words) => f.write_str(words),
            TextPart::Input(position) => write!(f, "{position}"),
        })
    }
}

/// A data error of a running operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// Rows that the operator cannot work on.
    #[error("{operation}: {found}, expected {expected}; {remedy}")]
    Data {
        /// The operation.
        operation: &'static str,
        /// The value found, with its place.
        found: String,
        /// The value expected.
        expected: String,
        /// The remedy.
        remedy: String,
    },
    /// State that does not fit the memory limit and cannot leave it.
    #[error(transparent)]
    Memory(#[from] OverBudget),
    /// A value that an expression could not compute on.
    #[error("{origin}")]
    Expression {
        /// Source and record id of the row.
        origin: String,
        /// The reason.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Columns that could not be put together.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A call that the contract between driver and machine forbids.
    #[error("operator was driven wrongly: {0}")]
    Protocol(&'static str),
}

impl OperatorError {
    /// Rows that an operation cannot work on.
    pub fn data(
        operation: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Data { operation, found: found.into(), expected: expected.into(), remedy: remedy.into() }
    }
}

/// An operator's specification.
pub trait Operator: Debug + Send + Sync {
    /// The name of its kind, as in a pipeline file.
    fn kind(&self) -> &'static str;

    /// Returns whether its inputs may be given in any order.
    fn input_order(&self) -> InputOrder {
        InputOrder::Ordered
    }

    /// Writes its parameters into its identity.
    fn identify(&self, structure: &mut Structure);

    /// Returns the revisions of expressions that answer in it, if any do; they stand in recordings of its rows.
    fn revisions(&self) -> Revisions {
        Revisions::default()
    }

    /// Checks the inputs and fixes the contract of the output.
    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError>;
}

/// An operator that has its inputs.
pub trait Bound: Send + Sync {
    /// Returns the contract of the output.
    fn contract(&self) -> &Contract;

    /// Returns whether several machines can share the work, each for the rows of its [`Partition`]. Every one
    /// of them is given all rows of every input; their outputs are put together in any order.
    fn splits(&self) -> bool {
        false
    }

    /// The part of its output that is known while values of its input are not, as below a function that has not been called
    /// yet. A forecast relies on it, so there is no default.
    fn with_unknown_values(&self) -> UnknownValues;

    /// A machine for one run.
    fn start(&self, context: &Context) -> Box<dyn Machine>;
}

/// The part of an operator's output that is known while packet values of some input rows are not. Tags are known, and each
/// input has at most as many rows as are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownValues {
    /// The machine does not look at values: it runs, and fewer input rows give no more output rows.
    Run,
    /// The machine decides for each row by its values: rows with unknown ones count as rows that pass.
    PassRow,
    /// The values of all rows decide: the output has at most as many rows as this input.
    AtMost(usize),
    /// Values decide how many rows there are: nothing is known.
    Nothing,
}

/// The rows that a machine works on, by the hash of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    part: u32,
    of: u32,
}

impl Partition {
    /// All rows.
    pub const WHOLE: Self = Self { part: 0, of: 1 };

    /// One of `of` partitions; `part` counts from 0.
    ///
    /// A part that is not below `of` is the last one.
    #[must_use]
    pub fn new(part: u32, of: u32) -> Self {
        let of = of.max(1);
        Self { part: part.min(of - 1), of }
    }

    /// Returns whether this is all rows.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.of == 1
    }

    /// The number of partitions.
    #[must_use]
    pub fn count(self) -> u32 {
        self.of
    }

    /// Returns whether this is the first partition, which also takes rows that belong to none.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.part == 0
    }

    /// Returns whether a row of this hash is in the partition. The bits from 8 to 24 decide.
    #[must_use]
    pub fn has(self, hash: u64) -> bool {
        (((hash >> 8) & 0xffff) * u64::from(self.of)) >> 16 == u64::from(self.part)
    }
}

/// The properties of a run that its machines depend on.
#[derive(Debug, Clone)]
pub struct Context {
    /// The run's origin table.
    pub origins: Arc<Origins>,
    /// The memory that the state of all operators of the run may take.
    pub memory: MemoryBudget,
    /// Rows that an output chunk aims at.
    pub chunk_rows: usize,
    /// The rows that the machine works on.
    pub partition: Partition,
    /// Cores on which a machine's pieces of work can be done beside its steps; with one there is no
    /// reason to hand any out.
    pub cores: usize,
}

/// Number of a part of an operator's state that has left memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId(pub u64);

/// An item that a machine accepts at a port.
#[derive(Debug, Clone)]
pub enum Item {
    /// Some rows.
    Chunk(Chunk),
    /// There are no more rows.
    End,
}

/// The need of a machine after a step.
#[derive(Debug)]
pub enum Step {
    /// Rows at one of these ports, or their end; where several have some, at the one named first. The
    /// end of a subtask that is under way is reported as well.
    ///
    /// All ports that have not ended are named, always: a node that left one waiting could hold up
    /// a source that another of its ports waits for.
    NeedInput(Vec<usize>),
    /// These rows go to the consumers; then ask again.
    Output(Chunk),
    /// These rows of the state leave memory under this number, behind those that did before; then
    /// ask again.
    Spill(PartId, Vec<Chunk>),
    /// The rows that left under this number come back by [`Machine::loaded`]; they also stay where
    /// they are.
    Load(PartId),
    /// The rows that left under this number are not needed any more; then ask again.
    Forget(PartId),
    /// Starts this work beside the machine's steps; then ask again. [`Machine::subtask_done`] reports its end.
    Spawn(Subtask),
    /// Waits for the end of the subtask that was spawned first. Subtasks never wait for input, so no port is blocked for
    /// long.
    Join,
    /// Nothing yet: there is more work than one step may do; then ask again.
    More,
    /// The output is complete.
    Done,
}

/// An operator at work.
pub trait Machine: Send {
    /// Takes what has come at a port; the work is done by [`Machine::step`].
    ///
    /// A port that has not ended accepts at any time.
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError>;

    /// Does a bounded piece of work and returns what is needed next.
    fn step(&mut self) -> Result<Step, OperatorError>;

    /// Takes back the rows of a [`Step::Load`].
    fn loaded(&mut self, _part: PartId, _chunks: Vec<Chunk>) -> Result<(), OperatorError> {
        Err(OperatorError::Protocol("rows came back that this operator never sent out"))
    }

    /// Called when the oldest of the running subtasks is done. Machines of one task are called in one order, so a subtask
    /// must not wait for another.
    fn subtask_done(&mut self) -> Result<(), OperatorError> {
        Err(OperatorError::Protocol("a subtask ended that this operator never spawned"))
    }

    /// Rows of each input that found no match so far; empty where the operator does not match.
    fn unmatched(&self) -> Vec<u64> {
        Vec::new()
    }
}

/// The columns of a role, or a message that names what there is.
#[must_use]
pub fn unknown_column(input: usize, role: Option<Role>, column: &str, schema: &StreamSchema) -> BindError {
    let what = match role {
        Some(Role::Tag) => "tag",
        Some(Role::Packet) => "packet column",
        None => "column",
    };
    let names = |role| schema.role(role).iter().map(|field| field.name().clone()).collect();
    let available = role.map_or_else(|| schema.names(), names);
    let input = FoundText::default().input(input);
    BindError::UnknownColumn { input, what, column: column.to_owned(), available }
}
