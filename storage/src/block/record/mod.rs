//! Blocks of records: the rows of a recording without what their results hold.
//!
//! Columns: the tags, the kept packet columns, `_result_block` and `_result_row` for a function
//! node, then what provenance needs per row. The schema's metadata describes provenance in JSON:
//!
//! ```text
//! {"positions": [{"range": 8192}, "places", "keys"],        range start, or column _positions_<n>
//!  "columns": [{"origin": 0, "positions": 0, "texts": 0},   one for each tag pair and kept column
//!              {"origin": "each", "positions": 1},          column _origins_<number of this one>
//!              {"origin": null}]}                           no provenance at all
//! ```
//!
//! Equal rows give equal bytes however they were cut into chunks: positions are compared by
//! value, rows without an origin have position 0, origins are numbered by first appearance.

mod read;
mod write;

pub(crate) use read::{Fault, RecordBlock};
pub(crate) use write::encode;

/// What of a node's rows is kept in its blocks.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// For each packet column, whether it is kept; the others are a function's outputs.
    pub(crate) packets: Vec<bool>,
    /// Whether rows refer to results.
    pub(crate) references: bool,
}

/// The origins of a column by the recording's numbers.
#[derive(Debug, PartialEq)]
enum Numbers {
    Constant(Option<u32>),
    Each(Vec<Option<u32>>),
}

impl Numbers {
    fn get(&self, row: usize) -> Option<u32> {
        match self {
            Self::Constant(number) => *number,
            Self::Each(numbers) => numbers.get(row).copied().flatten(),
        }
    }
}
