//! semijoin and antijoin: left rows that have a match in right, and those that have none.
//!
//! ```text
//!   right --keys--> PartitionBuffers --> KeySet, 256 partitions by hash --\ beyond the budget
//!                               |                              > parts on disk
//!   left --RowLog-----------> probe ------------------> out    |
//!                               | undecided: key is on disk    |
//!                               +--> Block: log of rows, a bit for each, keys by partition
//!                                      \---- matched partition by partition --> bits --> log --> out
//! ```
//! Left keeps its order because rows never leave but from the front of a log. Right's keys are gathered by
//! partition before tables are made of them (`building.rs`). While they are in memory, that and looking up left's
//! chunks (`parallel_probe.rs`) are done in subtasks, on all cores; once state has to leave memory, the machine does the rest
//! alone.

mod block;
mod buffer;
mod building;
mod choice;
mod hashes;
mod index;
mod keyset;
mod log;
mod machine;
mod matching;
mod parallel_probe;
mod partition_buffer;
mod plan;
mod pressure;
mod reader;
mod spill;
mod word;

use std::sync::Arc;

use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{BindError, Bound, Input, Operator, UnknownValues};

use crate::bound::bound;
use machine::SemijoinMachine;
use plan::{Keeps, SemijoinPlan};

/// Rows of the first input (left) that have a match in the second (right).
///
/// A row matches if right has a row that agrees with it on all columns of a common name, tags and
/// packet columns alike. Left rows leave as they came, values, types and provenance unchanged, and
/// each at most once, however many rows of right match it. Without a column of a common name, left
/// leaves whole, whatever right is.
///
/// Keys: nulls match nothing, NaN matches NaN, 0.0 matches -0.0, integers match by value and
/// timestamps by instant.
///
/// Order: left's, also when state leaves memory. Memory: right's distinct keys, 10 to 16 bytes each for
/// one column of at most 8 bytes, else 21 to 32 (half as much again until right has ended), and the
/// bytes of keys of more than 12 unless columns of numbers take at most 16 bytes together. Until right has ended also keys that came and may equal others, in
/// some 32 MiB, or as many bytes as the distinct ones take, or a quarter of what is left of the limit
/// where that is less; some 32,768 of right's rows for each core; and the left rows that came before.
/// Beyond `memory_limit` left rows and partitions of keys leave memory; then a bit for each left row of
/// a block of rows is held, the block ending with the input or after as many rows as `memory_limit` has
/// bytes. At the least some 200 KB, one chunk of each input and two parts of spilled rows (1/32 of
/// `memory_limit` each, between 4 KiB and 1 MiB) are held, whatever the limit. Where left never ends
/// and right's keys do not fit, every pause of left costs a pass over the spilled keys.
///
/// Errors: types that do not go together as keys; a list, struct or map as key; a right input
/// without end.
///
/// Example:
/// ```
/// use anabranch_engine::operator::{InputOrder, Operator};
/// use anabranch_operators::Semijoin;
///
/// assert_eq!(Semijoin.kind(), "semijoin");
/// assert_eq!(Semijoin.input_order(), InputOrder::Ordered);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Semijoin;

impl Operator for Semijoin {
    fn kind(&self) -> &'static str {
        "semijoin"
    }

    fn identify(&self, _structure: &mut Structure) {}

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        bind(inputs, Keeps::Matching)
    }
}

/// Rows of the first input (left) that have no match in the second (right): the complement of
/// [`Semijoin`].
///
/// A row with a null in a column of a common name has no match, so it leaves. Without a column of
/// a common name, nothing leaves.
///
/// Keys, order, memory, errors: as for [`Semijoin`].
///
/// Example:
/// ```
/// use anabranch_engine::operator::Operator;
/// use anabranch_operators::Antijoin;
///
/// assert_eq!(Antijoin.kind(), "antijoin");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Antijoin;

impl Operator for Antijoin {
    fn kind(&self) -> &'static str {
        "antijoin"
    }

    fn identify(&self, _structure: &mut Structure) {}

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        bind(inputs, Keeps::Others)
    }
}

/// Binds either of them.
fn bind(inputs: &[Input], keeps: Keeps) -> Result<Box<dyn Bound>, BindError> {
    let plan = Arc::new(SemijoinPlan::of(inputs, keeps)?);
    // A value that is not known yet may match.
    let unknown_values = UnknownValues::AtMost(0);
    Ok(bound(plan.contract.clone(), unknown_values, move |context| SemijoinMachine::new(&plan, context)))
}
