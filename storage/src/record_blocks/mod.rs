//! Blocks of records: the rows of a recording without what their results hold.
//!
//! Columns: the tags, the kept packet columns, `_result_block` and `_result_row` for a function
//! node whose rows refer here and there, then what provenance needs per row. The schema's metadata describes
//! references that follow each other, and provenance, in JSON:
//!
//! ```text
//! {"positions": [{"range": 8192}, "places", "keys"],        range start, or column _positions_<n>
//!  "columns": [{"origin": 0, "positions": 0, "texts": 0},   one for each tag pair and kept column
//!              {"origin": "each", "positions": 1},          column _origins_<number of this one>
//!              {"origin": null},                            no provenance at all
//!              {"lists": 0, "items": {"origin": 0, ..}}],   lists, column _lists_<n>
//!  "lists": [{"positions": [..], "lists": [..]}],           only where there are lists
//!  "references": [7, 0, 4000, 9, 0, 4192]}                 block, first row, rows; again
//! ```
//!
//! Rows and the items of lists are described alike, since both are a *frame*: columns of equally
//! many rows. The column `_lists_<n>` has the items' frame as lists of structs, so that lengths and
//! items cannot disagree, and an item's origins, positions and strings stand beside each other under
//! the names that they would have at the top. Columns whose lists have equal lengths share a frame.
//!
//! Equal rows give equal bytes however they were cut into chunks: positions and lengths are
//! compared by value, rows without an origin have position 0, a row without a list has no items,
//! origins are numbered by first appearance.

pub(crate) mod cut;
mod frame;
mod lists;
pub(crate) mod origins;
mod read;
mod references;
#[cfg(test)]
mod tests;
mod write;

use anabranch_engine::index::At as _;

pub(crate) use lists::list_bytes;
pub(crate) use read::{ReadFault, RecordBlock};
pub(crate) use write::encode;

/// Items that the lists of one block may have together. What a reader makes of a few bytes is
/// bounded by it, since the positions of a range take none.
pub(crate) const MOST_ITEMS: usize = 1 << 26;

/// Columns of a node's rows that its blocks keep.
#[derive(Debug, Clone)]
pub(crate) struct KeptColumns {
    /// For each packet column, whether it is kept; the others are a function's outputs.
    pub(crate) packets: Vec<bool>,
    /// True if rows refer to results.
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
            Self::Each(numbers) => *numbers.at(row, "there is a number for each row"),
        }
    }
}
