//! join: rows of several inputs that agree on all tags of a common name.

mod check;
mod finish;
mod layout;
mod machine;
mod merge;
mod output;
mod prepared_input;
mod probe;
mod side;
mod spilled;
mod split_group;
mod stage;
mod tuples;

pub use merge::MergeJoin;

use std::sync::Arc;

use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{
    BindError, Bound, Context, Contract, Input, InputOrder, Machine, Operator, UnknownValues,
};

use crate::projection::identity;
use layout::JoinLayout;
use machine::JoinMachine;
use split_group::CurrentSplitGroup;

/// Inner join of any number of inputs on all tag names that they share.
///
/// Tag and packet columns are united; duplicates multiply. The order in which inputs are given
/// makes no difference: columns, values and system tags come out as for the inputs sorted by
/// pipeline hash. Every system tag is renamed with the hash and the place of its input in that
/// order; rows of inputs with equal hashes have their provenance sorted among these inputs, whole
/// tuples at a time. A join of one input is that input.
///
/// Keys: nulls match nothing, NaN matches NaN, 0.0 matches -0.0 and leaves as 0.0, integers match
/// by value and timestamps by instant; the wider type leaves. A tag that several inputs share is
/// equal in all of them.
///
/// Order: undefined. Memory: the rows of both sides of each stage until one side has ended, then
/// those of that side alone; 30 to 60 bytes for each of these rows besides. Beyond `memory_limit`
/// the state of the largest stage leaves memory, cut into 64 partitions; when both of its sides
/// have ended, each partition is joined by itself, in blocks of a quarter of the limit. What then
/// stays in memory is at most three eighths of the limit and a few megabytes. Output leaves in
/// chunks of at most `chunk_rows` rows, also where one key has many rows.
///
/// Split: by the tags that all inputs share, if there are any.
///
/// Errors: a packet name in two inputs, or a tag in one that is a packet in another; types that
/// do not go together as keys; inputs without a shared tag, unless `cross`.
///
/// Example:
/// ```
/// use anabranch_engine::operator::{InputOrder, Operator};
/// use anabranch_operators::Join;
///
/// assert_eq!(Join::new().input_order(), InputOrder::Commutative);
/// assert!(Join { cross: true }.cross);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Join {
    /// True if inputs without a shared tag are joined, each row with each.
    pub cross: bool,
}

impl Join {
    /// A join on shared tags.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Operator for Join {
    fn kind(&self) -> &'static str {
        "join"
    }

    fn input_order(&self) -> InputOrder {
        InputOrder::Commutative
    }

    fn identify(&self, structure: &mut Structure) {
        structure.flag(self.cross);
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        if let [only] = inputs {
            return identity(only);
        }
        let layout = JoinLayout::of(inputs, self.cross, false)?;
        Ok(BoundJoin::of(layout, inputs))
    }
}

struct BoundJoin {
    contract: Contract,
    layout: Arc<JoinLayout>,
    group: CurrentSplitGroup,
}

impl BoundJoin {
    fn of(layout: JoinLayout, inputs: &[Input]) -> Box<dyn Bound> {
        let contract = Contract::of_all(inputs, Arc::clone(&layout.schema));
        Box::new(Self { contract, layout: Arc::new(layout), group: CurrentSplitGroup::default() })
    }
}

impl Bound for BoundJoin {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn splits(&self) -> bool {
        self.layout.entries.iter().all(|entry| !entry.shared_by_all.is_empty())
    }

    fn with_unknown_values(&self) -> UnknownValues {
        UnknownValues::Run
    }

    fn start(&self, context: &Context) -> Box<dyn Machine> {
        let group = self.group.join(self.layout.stages.len());
        Box::new(JoinMachine::new(Arc::clone(&self.layout), context, group))
    }
}
