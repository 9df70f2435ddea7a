//! batch: several rows become one row of lists.

mod gather;
mod layout;
mod machine;

use std::sync::Arc;

use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{BindError, Bound, Contract, Input, Operator, UnknownValues};

use crate::bound::{bound, only_input};
use crate::sort::{SortPlan, no_names, refuse_endless};
use layout::BatchLayout;
use machine::BatchMachine;

/// Puts rows together: each column becomes a list, and so do system tags and source info, every
/// row that contributed listed in order.
///
/// With `size`, so many consecutive rows become one; the last one may have fewer, unless
/// `drop_partial` leaves it out. `size: 0` puts all rows into one. With `by`, the rows that agree
/// on these tags become one; the tags stay as they are, in their places, with 0.0 for -0.0 and one
/// NaN for all; nulls are one group. With both, each group is cut into lists of `size`, and
/// `drop_partial` leaves out the incomplete last one of each. No rows give no row.
///
/// Order: as the input; with `by`, that of the keys, as sort has it. Within a list as the input;
/// where that has none, by provenance, then by values. By `size` alone such an input is refused
/// unless `allow_unordered`: which rows come together is then up to chance.
///
/// Memory: with `size` alone, the rows of one list and those of one output chunk. With `by` and
/// `size: 0`, that of a sort, and beside it the rows of one list, which has to be put together
/// whole even where it is larger than `memory_limit`; this takes twice its bytes. Lists leave in
/// chunks of at most `chunk_rows` rows, and fewer where lists are long.
///
/// Errors: neither `size` nor `by`; `drop_partial` without a size; what sort refuses of `by`; an
/// input without a defined order, as said above; with `by` or `size: 0`, an input that never ends;
/// while running, more than 2147483647 items in one list.
///
/// Example:
/// ```
/// use anabranch_engine::operator::Operator;
/// use anabranch_operators::Batch;
///
/// let batch = Batch { drop_partial: true, ..Batch::new().by(["day"]).size(100) };
/// assert_eq!(batch.kind(), "batch");
/// assert_eq!(batch.size, Some(100));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Rows of a list; 0 puts all into one.
    pub size: Option<usize>,
    /// True if a list of fewer rows than `size` is left out.
    pub drop_partial: bool,
    /// Tags on which the rows of a list agree.
    pub by: Option<Vec<String>>,
    /// True if rows without a defined order may be put together as they come.
    pub allow_unordered: bool,
}

impl Batch {
    /// A batch with neither a size nor tags yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts so many rows together; all of them if 0.
    #[must_use]
    pub fn size(mut self, rows: usize) -> Self {
        self.size = Some(rows);
        self
    }

    /// Puts rows together that agree on these tags.
    #[must_use]
    pub fn by<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.by = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Rows after which a list is cut.
    fn cut(&self) -> Option<usize> {
        self.size.filter(|rows| *rows > 0)
    }

    /// Returns whether rows leave before all have come.
    fn is_streaming(&self) -> bool {
        self.by.is_none() && self.cut().is_some()
    }

    fn check(&self, input: &Input) -> Result<(), BindError> {
        if self.size.is_none() && self.by.is_none() {
            return Err(BindError::parameter(
                "size",
                "neither size nor by",
                "at least one of them",
                "give size: n for lists of n rows, size: 0 for one list of all rows, or by: [tags] for one list for each of their values",
            ));
        }
        if self.by.as_ref().is_some_and(Vec::is_empty) {
            return Err(no_names("name the tags to group by, or give size: 0 to put all rows into one"));
        }
        if self.drop_partial && self.cut().is_none() {
            return Err(BindError::parameter(
                "drop_partial",
                if self.size.is_some() { "true with size: 0" } else { "true without a size" },
                "a size of 1 or more, since no other list can be incomplete",
                "give such a size, or leave drop_partial out",
            ));
        }
        if !self.is_streaming() {
            return refuse_endless(
                input,
                "bound the source that its rows come from, or give size without by",
            );
        }
        if !input.ordered && !self.allow_unordered {
            return Err(BindError::parameter(
                "size",
                "an input without a defined order",
                "one that has an order, since that decides which rows come together",
                "put a sort before it, group with by: [tags], or give allow_unordered: true to take the rows as they come",
            ));
        }
        Ok(())
    }
}

impl Operator for Batch {
    fn kind(&self) -> &'static str {
        "batch"
    }

    fn identify(&self, structure: &mut Structure) {
        structure.flag(self.size.is_some());
        structure.number(self.size.unwrap_or_default() as u64);
        structure.flag(self.drop_partial);
        structure.optional_texts(self.by.as_deref());
        structure.flag(self.allow_unordered);
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let input = only_input(inputs)?;
        self.check(input)?;
        let by = self.by.as_deref().unwrap_or_default();
        let order = SortPlan::new(input, by)?;
        let mut structure = Structure::new(self.kind());
        self.identify(&mut structure);
        structure.digest(&input.pipeline_hash.0);
        let layout = BatchLayout::new(&input.schema, &order.keys.places, &structure)?;
        let is_streaming = self.is_streaming();
        let contract = Contract {
            schema: Arc::clone(&layout.schema),
            ordered: input.ordered || !is_streaming,
            bounded: input.bounded,
        };
        let plan = BatchPlan {
            order: Arc::new(order),
            layout: Arc::new(layout),
            cut: self.cut(),
            drop_partial: self.drop_partial,
            is_streaming,
        };
        let plan = Arc::new(plan);
        Ok(bound(contract, UnknownValues::Run, move |context| BatchMachine::new(Arc::clone(&plan), context)))
    }
}

/// The plan of a batch.
#[derive(Debug)]
struct BatchPlan {
    /// The order in which rows come to be put together, where they do not come as they are.
    order: Arc<SortPlan>,
    layout: Arc<BatchLayout>,
    /// Rows after which a list is cut.
    cut: Option<usize>,
    drop_partial: bool,
    is_streaming: bool,
}
