//! distinct: one row for each value of some columns.

use std::collections::HashSet;
use std::sync::Arc;

use anabranch_engine::chunk::{CHUNK_ROWS, Chunk, ChunkError};
use anabranch_engine::identity::{PacketHash, PacketHasher, Structure};
use anabranch_engine::index::At as _;
use anabranch_engine::memory::MemoryAccount;
use anabranch_engine::operator::{
    BindError, Bound, Context, Contract, Input, Item, Machine, Operator, OperatorError, PartId, Step,
    UnknownValues, unknown_column,
};
use anabranch_engine::schema::{Role, StreamSchema};
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef};

use crate::bound::{bound, only_input};
use crate::coalescer::Coalescer;
use crate::input_queue::InputQueue;
use crate::projection::{Pick, all, distinct};
use crate::sort::{SortPlan, Sorter, no_names, refuse_endless};

/// One row for each value of the named columns, tags and packet columns alike; of all columns where none are named.
///
/// Values are compared as packets are by their hashes, so columns of any type count, and nulls are equal. Rows leave
/// unchanged: the first of each value where the input has an order, else the one of the least provenance (and of the least
/// values, where that is equal).
///
/// Order: as the input; undefined where that has none. Memory: 66 bytes for each value where the input has an order, and
/// rows leave as they come. Beyond `memory_limit` the values that have left and all later rows are sorted by value, and the
/// rows that remain by their place, as [`Sort`](crate::Sort) does. Without an order of the input, all rows are sorted.
///
/// Errors: an empty list of columns; a name twice; a name that the input lacks; an input without order and without end.
///
/// Example:
/// ```
/// use anabranch_engine::operator::Operator;
/// use anabranch_operators::Distinct;
///
/// assert_eq!(Distinct::new().kind(), "distinct");
/// assert_eq!(Distinct::by(["carrier"]).by.as_deref(), Some(&["carrier".to_owned()][..]));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distinct {
    /// The columns that are compared; all if not given.
    pub by: Option<Vec<String>>,
}

impl Distinct {
    /// Compares all tags and packet columns.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Compares these columns.
    #[must_use]
    pub fn by<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { by: Some(names.into_iter().map(Into::into).collect()) }
    }

    fn keys(&self, input: &Input) -> Result<Vec<(Role, Pick)>, BindError> {
        let Some(names) = &self.by else {
            let keys = |role| all(&input.schema, role).into_iter().map(move |pick| (role, pick));
            return Ok(keys(Role::Tag).chain(keys(Role::Packet)).collect());
        };
        if names.is_empty() {
            return Err(no_names("name the columns to compare, or leave by out to compare all"));
        }
        distinct("by", names)?;
        let key = |name: &String| match input.schema.find(name) {
            Some((role, at, field)) => Ok((role, (at, Arc::clone(field)))),
            None => Err(unknown_column(0, None, name, &input.schema)),
        };
        names.iter().map(key).collect()
    }
}

impl Operator for Distinct {
    fn kind(&self) -> &'static str {
        "distinct"
    }

    fn identify(&self, structure: &mut Structure) {
        // The order of the columns means nothing.
        let mut names = self.by.clone();
        if let Some(names) = &mut names {
            names.sort_unstable();
        }
        structure.optional_texts(names.as_deref());
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let input = only_input(inputs)?;
        let keys = self.keys(input)?;
        if !input.ordered {
            refuse_endless(input, "bound the source that its rows come from, or sort them first")?;
        }
        let (columns, fields): (Vec<(Role, usize)>, Vec<FieldRef>) =
            keys.into_iter().map(|(role, (at, field))| ((role, at), field)).unzip();
        let hasher = PacketHasher::new(&fields).map_err(|cause| {
            BindError::parameter(
                "by",
                format!("a column that cannot be compared ({cause})"),
                "columns of types that packets have",
                "name other columns",
            )
        })?;
        let unknown_values = if columns.iter().any(|(role, _)| *role == Role::Packet) {
            UnknownValues::AtMost(0)
        } else {
            UnknownValues::Run
        };
        let contract = Contract::of(input, Arc::clone(&input.schema));
        let plan = Arc::new(DistinctPlan { hasher, columns, groups: GroupPlan::new(input)? });
        let ordered = input.ordered;
        Ok(bound(contract, unknown_values, move |context| {
            DistinctMachine::new(Arc::clone(&plan), ordered, context)
        }))
    }
}

/// Contract of a distinct, known before the first row.
#[derive(Debug)]
struct DistinctPlan {
    hasher: PacketHasher,
    /// The columns that are compared.
    columns: Vec<(Role, usize)>,
    groups: GroupPlan,
}

/// Bytes of a value in the set, with the room that a table has beyond its entries.
const VALUE_BYTES: usize = 66;
/// Set in the numbers of the parts of the rows that are sorted by place.
const BY_PLACE: u64 = 1 << 63;

/// The running distinct.
///
/// ```text
///   rows in order --> first of their value leave ---- memory is full ----> later rows, and values that have left
///   rows without order --------------------------------------------------> | sorted by value
///                                 out <-- sorted by place (if ordered) <-- first of each value
/// ```
struct DistinctMachine {
    plan: Arc<DistinctPlan>,
    context: Context,
    ordered: bool,
    queue: InputQueue,
    memory: MemoryAccount,
    output: Coalescer,
    /// Rows that have come.
    rows: u64,
    phase: DistinctPhase,
}

enum DistinctPhase {
    /// The values whose rows have left.
    Stream(HashSet<PacketHash>),
    /// Rows are sorted by value, and the first of each are put aside.
    Group(Box<Grouping>),
    /// Rows are sorted by place, and leave.
    Arrange(Box<Sorter>),
}

struct Grouping {
    /// The values whose rows have left and that are not in the sorter yet.
    left: Vec<PacketHash>,
    by_value: Sorter,
    by_place: Sorter,
    /// The value before the next row.
    last: Option<[u8; 32]>,
    /// True if rows wait to be taken in by `by_place`.
    is_placing: bool,
}

impl DistinctMachine {
    fn new(plan: Arc<DistinctPlan>, ordered: bool, context: &Context) -> Self {
        let phase = if ordered {
            DistinctPhase::Stream(HashSet::new())
        } else {
            DistinctPhase::Group(Box::new(Grouping::new(&plan, Vec::new(), context)))
        };
        Self {
            output: Coalescer::new(Arc::clone(&plan.groups.schema), context.chunk_rows),
            plan,
            context: context.clone(),
            ordered,
            queue: InputQueue::default(),
            memory: context.memory.account(),
            rows: 0,
            phase,
        }
    }

    fn values(&self, chunk: &Chunk) -> Result<Vec<PacketHash>, OperatorError> {
        let column = |(role, at): &(Role, usize)| -> ArrayRef {
            let columns = if *role == Role::Tag { chunk.tags() } else { chunk.packets() };
            columns.at(*at, "compared column").clone()
        };
        let columns: Vec<ArrayRef> = self.plan.columns.iter().map(column).collect();
        self.plan.hasher.hash(&columns, chunk.rows()).map_err(|cause| {
            OperatorError::data(
                "distinct",
                cause.to_string(),
                "values that can be compared",
                "name other columns in by",
            )
        })
    }

    /// Takes the next rows in; returns false if there are none.
    fn take_rows(&mut self) -> Result<bool, OperatorError> {
        if let DistinctPhase::Group(grouping) = &mut self.phase
            && !grouping.left.is_empty()
        {
            let rest = grouping.left.len().saturating_sub(CHUNK_ROWS);
            let values = grouping.left.split_off(rest);
            self.memory.set(grouping.left.len() * size_of::<PacketHash>())?;
            grouping.by_value.accept(0, Item::Chunk(self.plan.groups.of_values(&values)?))?;
            return Ok(true);
        }
        let Some(chunk) = self.queue.next() else { return Ok(false) };
        let values = self.values(&chunk)?;
        let first = self.ordered.then_some(self.rows);
        self.rows += chunk.rows() as u64;
        match &mut self.phase {
            DistinctPhase::Stream(seen) => {
                let rows = (0_u32..).zip(&values).filter(|(_, value)| seen.insert(**value));
                let rows: Vec<u32> = rows.map(|(row, _)| row).collect();
                let bytes = seen.capacity() * VALUE_BYTES;
                self.output.push(if rows.len() == chunk.rows() { chunk } else { chunk.take(&rows)? })?;
                if self.memory.set(bytes).is_err() {
                    let left: Vec<PacketHash> = std::mem::take(seen).into_iter().collect();
                    self.memory.set(left.len() * size_of::<PacketHash>())?;
                    self.phase =
                        DistinctPhase::Group(Box::new(Grouping::new(&self.plan, left, &self.context)));
                }
            }
            DistinctPhase::Group(grouping) => {
                let labeled = self.plan.groups.label(chunk, &Labels { values: &values, first })?;
                grouping.by_value.accept(0, Item::Chunk(labeled))?;
            }
            DistinctPhase::Arrange(_) => unreachable!("rows are arranged once all have come"),
        }
        Ok(true)
    }

    /// Goes on without more rows; `more` is true if some were just taken in. None if there is nothing to do for the driver.
    fn advance(&mut self, more: bool) -> Result<Option<Step>, OperatorError> {
        let grouping = match &mut self.phase {
            DistinctPhase::Stream(_) => return Ok((!more).then(|| self.queue.idle())),
            DistinctPhase::Arrange(sorter) => return Ok(Some(by_place(sorter.step()?))),
            DistinctPhase::Group(grouping) => grouping,
        };
        if grouping.is_placing {
            match grouping.by_place.step()? {
                Step::NeedInput(_) => grouping.is_placing = false,
                step => return Ok(Some(by_place(step))),
            }
        }
        match grouping.by_value.step()? {
            Step::NeedInput(_) if more => Ok(None),
            Step::NeedInput(_) if matches!(self.queue.idle(), Step::Done) => {
                grouping.by_value.accept(0, Item::End)?;
                Ok(None)
            }
            Step::Output(chunk) => {
                let chosen = first_rows(&chunk, self.ordered, &mut grouping.last)?;
                if !self.ordered {
                    self.output.push(self.plan.groups.unlabel(chosen)?)?;
                } else if chosen.rows() > 0 {
                    grouping.by_place.accept(0, Item::Chunk(chosen))?;
                    grouping.is_placing = true;
                }
                Ok(self.output.full().map_or(Some(Step::More), |chunk| Some(Step::Output(chunk))))
            }
            Step::Done if self.ordered => {
                grouping.by_place.accept(0, Item::End)?;
                let empty = DistinctPhase::Stream(HashSet::new());
                if let DistinctPhase::Group(grouping) = std::mem::replace(&mut self.phase, empty) {
                    self.phase = DistinctPhase::Arrange(Box::new(grouping.by_place));
                }
                Ok(None)
            }
            step => Ok(Some(step)),
        }
    }
}

impl Grouping {
    fn new(plan: &DistinctPlan, left: Vec<PacketHash>, context: &Context) -> Self {
        Self {
            left,
            by_value: Sorter::new(Arc::clone(&plan.groups.by_value), context),
            by_place: Sorter::new(Arc::clone(&plan.groups.by_place), context),
            last: None,
            is_placing: false,
        }
    }
}

/// The step with the parts of the rows that are sorted by place.
fn by_place(step: Step) -> Step {
    let own = |part: PartId| PartId(part.0 | BY_PLACE);
    match step {
        Step::Spill(part, chunks) => Step::Spill(own(part), chunks),
        Step::Load(part) => Step::Load(own(part)),
        Step::Forget(part) => Step::Forget(own(part)),
        other => other,
    }
}

impl Machine for DistinctMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        self.queue.push(port, item)
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        loop {
            if let Some(chunk) = self.output.full() {
                return Ok(Step::Output(chunk));
            }
            let more = self.take_rows()?;
            match self.advance(more)? {
                None => {}
                Some(Step::Output(chunk)) if matches!(self.phase, DistinctPhase::Arrange(_)) => {
                    self.output.push(self.plan.groups.unlabel(chunk)?)?;
                }
                Some(idle @ (Step::NeedInput(_) | Step::Done)) => {
                    return Ok(self.output.rest()?.map_or(idle, Step::Output));
                }
                Some(step) => return Ok(step),
            }
        }
    }

    fn loaded(&mut self, part: PartId, chunks: Vec<Chunk>) -> Result<(), OperatorError> {
        let is_placed = part.0 & BY_PLACE != 0;
        let own = PartId(part.0 & !BY_PLACE);
        match &mut self.phase {
            DistinctPhase::Group(grouping) if is_placed => grouping.by_place.loaded(own, &chunks),
            DistinctPhase::Group(grouping) => grouping.by_value.loaded(own, &chunks),
            DistinctPhase::Arrange(sorter) if is_placed => sorter.loaded(own, &chunks),
            _ => Err(OperatorError::Protocol("rows came back that this operator did not ask for")),
        }
    }
}

/// The forms that rows have while they are sorted: their value and their place stand before their tags.
#[derive(Debug)]
struct GroupPlan {
    schema: Arc<StreamSchema>,
    /// Sorts by value; rows of one value by place, or by provenance where the input has no order.
    by_value: Arc<SortPlan>,
    /// Sorts by place.
    by_place: Arc<SortPlan>,
}

/// The values of a chunk's rows, and their places where the input has an order.
struct Labels<'a> {
    values: &'a [PacketHash],
    /// The place of the first row.
    first: Option<u64>,
}

impl GroupPlan {
    fn new(input: &Input) -> Result<Self, BindError> {
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
    fn label(&self, chunk: Chunk, labels: &Labels<'_>) -> Result<Chunk, ChunkError> {
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
    fn of_values(&self, left: &[PacketHash]) -> Result<Chunk, ChunkError> {
        let schema = &self.by_value.schema;
        let (mut tags, packets, provenance) = Chunk::nulls(Arc::clone(schema), left.len()).into_parts();
        *tags.at_mut(0, "tag of a value") = values(left);
        Chunk::new(Arc::clone(schema), left.len(), tags, packets, provenance)
    }

    /// Takes the labels off.
    fn unlabel(&self, chunk: Chunk) -> Result<Chunk, ChunkError> {
        let rows = chunk.rows();
        let (mut tags, packets, provenance) = chunk.into_parts();
        let tags = tags.split_off(2);
        Chunk::new(Arc::clone(&self.schema), rows, tags, packets, provenance)
    }
}

/// Chooses the labeled rows that are the first of their value and have not left before; `last` is the value before the first
/// row.
fn first_rows(chunk: &Chunk, ordered: bool, last: &mut Option<[u8; 32]>) -> Result<Chunk, ChunkError> {
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
