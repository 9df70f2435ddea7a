//! sort: rows in the order of some of their tags.

mod keys;
mod merge;
mod part;
mod sorter;
mod ties;

pub(crate) use keys::{EncodedKeys, SortKeys};
pub(crate) use sorter::Sorter;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{
    BindError, Bound, Contract, Input, Item, Machine, Operator, OperatorError, PartId, Step, UnknownValues,
};
use anabranch_engine::schema::StreamSchema;
use arrow::row::{RowConverter, SortField};

use crate::bound::{bound, only_input};

/// Puts rows in the ascending order of tag columns, the first named column before the others.
///
/// Nulls stand last and NaN after all other numbers; all NaNs are one, and -0.0 is 0.0. The values
/// leave as they came. Any type is a key but lists, structs and maps.
///
/// Order: that of the keys. Rows of one key keep the order of the input; where that has none, they
/// stand in the order of their provenance, then of their values, so that the order in which rows
/// arrive makes no difference.
///
/// Memory: the rows and 16 bytes for each, and the bytes of keys that take more than 12. Beyond
/// `memory_limit` the rows leave memory in sorted runs, each in parts of a 16th of the limit
/// (512 bytes to 1 MiB, at least a row). Of a sorted run that is merged one part is in memory; so many
/// are merged at once as fit half of the limit, 2 to 256, in several passes if need be. The least
/// that has to be in memory is a quarter of the limit, 256 KiB at most, and a chunk. A sorted run of at
/// most 32,768 rows and about 8 MiB takes twice its bytes while it is sorted.
///
/// Errors: no name; a name twice; a name that is no tag of the input; a tag that is no key; an
/// input that never ends.
///
/// Source: external merge sort (Knuth, The Art of Computer Programming 3, 5.4).
///
/// Example:
/// ```
/// use anabranch_engine::operator::Operator;
/// use anabranch_operators::Sort;
///
/// let sort = Sort::by(["year", "month"]);
/// assert_eq!(sort.kind(), "sort");
/// assert_eq!(sort.by, ["year", "month"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The tag columns, the most important first.
    pub by: Vec<String>,
}

impl Sort {
    /// Sorts by these tag columns, the most important first.
    #[must_use]
    pub fn by<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { by: names.into_iter().map(Into::into).collect() }
    }
}

impl Operator for Sort {
    fn kind(&self) -> &'static str {
        "sort"
    }

    fn identify(&self, structure: &mut Structure) {
        structure.texts(&self.by);
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let input = only_input(inputs)?;
        if self.by.is_empty() {
            return Err(no_names("name the tags to sort by, or leave the node out"));
        }
        let plan = SortPlan::new(input, &self.by)?;
        refuse_endless(input, "bound the source that its rows come from")?;
        let contract = Contract { schema: Arc::clone(&input.schema), ordered: true, bounded: true };
        let plan = Arc::new(plan);
        Ok(bound(contract, UnknownValues::Run, move |context| {
            SortMachine(Sorter::new(Arc::clone(&plan), context))
        }))
    }
}

/// The parameter `by` names nothing.
pub(crate) fn no_names(remedy: &str) -> BindError {
    BindError::parameter("by", "no name", "at least one tag", remedy)
}

/// Refuses an input of which the last row never comes.
pub(crate) fn refuse_endless(input: &Input, remedy: &str) -> Result<(), BindError> {
    if input.bounded {
        return Ok(());
    }
    Err(BindError::parameter(
        "input",
        "an input that never ends",
        "one that ends, since nothing can leave before the last row has come",
        remedy,
    ))
}

/// The plan of a sort.
#[derive(Debug)]
pub(crate) struct SortPlan {
    pub(crate) schema: Arc<StreamSchema>,
    pub(crate) keys: SortKeys,
    pub(crate) ties: Ties,
}

/// The order of two rows of one key.
#[derive(Debug)]
pub(crate) enum Ties {
    /// The one that came first.
    Arrival,
    /// The one of the lesser provenance; where that is equal, of the lesser values.
    Provenance(RowConverter),
}

impl SortPlan {
    /// A plan to sort by these tags; by nothing but the order that there is, if none are named.
    pub(crate) fn new(input: &Input, by: &[String]) -> Result<Self, BindError> {
        let keys = SortKeys::bind(by, &input.schema)?;
        let ties = if input.ordered { Ties::Arrival } else { Ties::Provenance(values_of(&input.schema)?) };
        Ok(Self { schema: Arc::clone(&input.schema), keys, ties })
    }
}

/// Compares all visible columns of rows.
fn values_of(schema: &StreamSchema) -> Result<RowConverter, BindError> {
    let fields = schema.columns().map(|field| SortField::new(field.data_type().clone())).collect();
    RowConverter::new(fields).map_err(|cause| {
        BindError::parameter(
            "input",
            format!("an input without a defined order and a column without one ({cause})"),
            "columns whose values can be compared",
            "remove the column first with drop",
        )
    })
}

struct SortMachine(Sorter);

impl Machine for SortMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        self.0.accept(port, item)
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        self.0.step()
    }

    fn loaded(&mut self, part: PartId, chunks: Vec<Chunk>) -> Result<(), OperatorError> {
        self.0.loaded(part, &chunks)
    }
}
