//! `merge_join`: rows of two inputs that agree on all shared tags, with packet columns of both merged.

use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{BindError, Bound, Input, InputOrder, Operator};

use super::BoundJoin;
use super::layout::JoinLayout;

/// Inner join of two inputs in which packet columns that both have become lists of the two values.
///
/// A list has the values in ascending order, nulls last and NaN after numbers; equal ones stand in
/// the order of their source info, which goes along as a list. So it makes no difference which
/// input is given first. In all else this is [`Join`](super::Join): tags, system tags, keys, order, memory.
///
/// Errors: other than two inputs; packet columns of one name whose types do not go together (the
/// rules of keys hold, and nested types have to be equal) or have no order; a tag in one input that
/// is a packet column in the other; no shared tag, unless `cross`.
///
/// Example:
/// ```
/// use anabranch_engine::operator::Operator;
/// use anabranch_operators::MergeJoin;
///
/// assert_eq!(MergeJoin { cross: true }.kind(), "merge_join");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergeJoin {
    /// True if inputs without a shared tag are joined, each row with each.
    pub cross: bool,
}

impl MergeJoin {
    /// A join on shared tags.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Operator for MergeJoin {
    fn kind(&self) -> &'static str {
        "merge_join"
    }

    fn input_order(&self) -> InputOrder {
        InputOrder::Commutative
    }

    fn identify(&self, structure: &mut Structure) {
        structure.flag(self.cross);
    }

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        if inputs.len() != 2 {
            return Err(BindError::parameter(
                "inputs",
                inputs.len().to_string(),
                "two",
                "name two nodes; join takes any number, and so does union",
            ));
        }
        Ok(BoundJoin::of(JoinLayout::of(inputs, self.cross, true)?, inputs))
    }
}
