//! Functions that a single node adds results to, so that keys which it missed before need not be looked up again.

use std::collections::HashMap;

use anabranch_engine::store::{ClientId, Missed, StoreFault};

use crate::catalog::Rows;
use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{RESULT_BLOCKS, RESULT_PACKS};

/// For each function, blocks that follow each other and were all written by one.
///
/// It holds as long as no transaction is undone, whose numbers others may get: then it has to be emptied.
///
/// Memory: an entry for each function that this process adds to.
#[derive(Debug, Default)]
pub(crate) struct SoleWriter {
    by_function: HashMap<i64, Span>,
}

/// All blocks of a function after `after`, up to `last`.
#[derive(Debug)]
struct Span {
    by: ClientId,
    after: u64,
    last: u64,
}

impl SoleWriter {
    /// Returns true if keys that were missed are still missing: no results were added to the function since, or
    /// only by the node that missed them. `newest` is the function's newest block.
    pub(crate) fn still_missing(&self, function: i64, missed: &Missed, newest: u64) -> bool {
        let seen = missed.snapshot.number();
        let own = |span: &Span| span.by == missed.by && span.last == newest && span.after <= seen;
        newest <= seen || self.by_function.get(&function).is_some_and(own)
    }

    /// Takes note of a block that follows `newest`.
    pub(crate) fn note(&mut self, function: i64, missed: Option<&Missed>, newest: u64, written: u64) {
        let Some(missed) = missed else {
            self.by_function.remove(&function);
            return;
        };
        match self.by_function.get_mut(&function) {
            Some(span) if span.by == missed.by && span.last == newest => span.last = written,
            _ => {
                let span = Span { by: missed.by, after: newest, last: written };
                self.by_function.insert(function, span);
            }
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.by_function.clear();
    }
}

/// The newest block of a function, those included that a pack has; 0 if there is none.
pub(crate) fn newest_of(rows: &dyn Rows, function: i64) -> Result<u64, StoreFault> {
    let blocks = Query::of(&RESULT_BLOCKS, &["id"]).equal("function", function).descending("id");
    let block = rows.one(&blocks, |row| row.unsigned(0))?;
    // Spans of packs do not overlap, so the last one to begin is the last to end.
    let packs =
        Query::of(&RESULT_PACKS, &["last_block"]).equal("function", function).descending("first_block");
    let packed = rows.one(&packs, |row| row.unsigned(0))?;
    Ok(block.max(packed).unwrap_or(0))
}
