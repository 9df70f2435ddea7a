//! Outcomes that were computed: when they are committed, and how many together.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::bytes::array_bytes;
use anabranch_engine::index::At as _;
use anabranch_engine::store::{Claim, CommitMode, NewResults, Snapshot};
use arrow::array::Array;
use arrow::compute::concat;
use arrow::error::ArrowError;

use super::call_scheduler::ComputedPackets;
use super::flights::FlightId;
use crate::call::Author;

/// Maximum number of results in one commit.
const COMMIT_ROWS: usize = 8_192;
/// Maximum number of bytes of outputs in one commit; one row at least.
const COMMIT_BYTES: usize = 4 << 20;
/// Maximum number of commits under way; the store puts those that wait together.
const COMMITS: usize = 3;
/// Time for which outcomes wait for those of calls that are about to end.
const GATHER: Duration = Duration::from_millis(5);

/// Outcomes in the order in which they were computed, and commits under way.
#[derive(Default)]
pub(in crate::function) struct CommitQueue {
    parts: VecDeque<ComputedPart>,
    rows: usize,
    bytes: usize,
    /// Time at which the first of them came, or others were last taken.
    since: Option<Instant>,
    /// Set while outcomes wait for those of calls that are about to end.
    pub(in crate::function) gathers_until: Option<Instant>,
    /// Commits under way, and their bytes.
    commits: usize,
    committing_bytes: usize,
}

/// Outcomes that came together, and the bytes of their values.
struct ComputedPart {
    outcomes: ComputedPackets,
    bytes: usize,
}

/// Outcomes of one commit.
pub(in crate::function) struct CommitBatch {
    pub(in crate::function) results: NewResults,
    /// A flight for each result.
    pub(in crate::function) flights: Vec<FlightId>,
    pub(in crate::function) claims: Vec<Claim>,
    pub(in crate::function) bytes: usize,
    /// Earliest of the blocks that the look-ups saw which missed the packets.
    pub(in crate::function) snapshot: Snapshot,
    /// Workers whose answers may turn out to be untrusted, and their results.
    pub(in crate::function) authors: Vec<(Arc<Author>, Range<usize>)>,
}

impl CommitQueue {
    /// Bytes of outcomes that wait or are being committed.
    pub(in crate::function) fn bytes(&self) -> usize {
        self.bytes + self.committing_bytes
    }

    /// True if no commit is under way.
    pub(in crate::function) fn is_idle(&self) -> bool {
        self.commits == 0
    }

    /// True if nothing waits and no commit is under way.
    pub(in crate::function) fn is_empty(&self) -> bool {
        self.rows == 0 && self.commits == 0
    }

    /// True if one commit cannot take more.
    fn is_full(&self) -> bool {
        self.rows >= COMMIT_ROWS || self.bytes >= COMMIT_BYTES
    }

    /// Drops all outcomes that wait.
    pub(in crate::function) fn clear(&mut self) {
        let (commits, committing_bytes) = (self.commits, self.committing_bytes);
        *self = Self { commits, committing_bytes, ..Self::default() };
    }

    /// Takes the outcomes of an answer.
    pub(in crate::function) fn push(&mut self, outcomes: ComputedPackets, now: Instant) {
        if outcomes.keys.len() == 0 {
            return;
        }
        let bytes = outcomes.values.iter().map(|column| array_bytes(column)).sum();
        self.since.get_or_insert(now);
        self.rows += outcomes.keys.len();
        self.bytes += bytes;
        self.parts.push_back(ComputedPart { outcomes, bytes });
    }

    /// Returns the next batch to commit; none while it should grow. [`CommitQueue::committed`] takes its end.
    ///
    /// A batch that is not full waits for the commit before, and for calls that end within milliseconds
    /// (`more_soon`), and grows meanwhile.
    pub(in crate::function) fn advance(
        &mut self,
        now: Instant,
        more_soon: bool,
    ) -> Result<Option<CommitBatch>, ArrowError> {
        self.gathers_until = None;
        if self.rows == 0 || self.commits > 0 && !(self.commits < COMMITS && self.is_full()) {
            return Ok(None);
        }
        if more_soon && !self.is_full() {
            let until = self.since.unwrap_or(now) + GATHER;
            if until > now {
                self.gathers_until = Some(until);
                return Ok(None);
            }
        }
        let batch = self.take(now)?;
        self.commits += 1;
        self.committing_bytes += batch.bytes;
        Ok(Some(batch))
    }

    /// Returns the oldest outcomes, where they are not stored; none if none wait.
    pub(in crate::function) fn pop(&mut self, now: Instant) -> Result<Option<CommitBatch>, ArrowError> {
        if self.rows == 0 { Ok(None) } else { self.take(now).map(Some) }
    }

    /// A commit of so many bytes has ended.
    pub(in crate::function) fn committed(&mut self, bytes: usize) {
        assert!(self.commits > 0 && self.committing_bytes >= bytes, "a commit ends once");
        self.commits -= 1;
        self.committing_bytes -= bytes;
    }

    /// Takes the oldest outcomes, as many as one commit takes.
    fn take(&mut self, now: Instant) -> Result<CommitBatch, ArrowError> {
        let mut parts: Vec<ComputedPackets> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while let Some(next) = self.parts.pop_front() {
            let room = next.room(COMMIT_ROWS - rows, COMMIT_BYTES.saturating_sub(bytes));
            if room == 0 && rows > 0 {
                self.parts.push_front(next);
                break;
            }
            let (part, rest) = next.split(room.max(1));
            rows += part.outcomes.keys.len();
            bytes += part.bytes;
            parts.push(part.outcomes);
            if let Some(rest) = rest {
                self.parts.push_front(rest);
                break;
            }
            if rows >= COMMIT_ROWS || bytes >= COMMIT_BYTES {
                break;
            }
        }
        self.rows -= rows;
        // Parts of a column may share buffers, and count these each.
        self.bytes = self.bytes.saturating_sub(bytes);
        self.since = (self.rows > 0).then_some(now);
        joined(parts, bytes)
    }
}

impl ComputedPart {
    /// Number of its rows that fit.
    fn room(&self, rows: usize, bytes: usize) -> usize {
        let total = self.outcomes.keys.len();
        let each = self.bytes.div_ceil(total.max(1)).max(1);
        total.min(rows).min(bytes / each)
    }

    /// Its first rows, and the others.
    fn split(self, rows: usize) -> (Self, Option<Self>) {
        let Self { mut outcomes, bytes: total_bytes } = self;
        let total = outcomes.keys.len();
        if rows >= total {
            return (Self { outcomes, bytes: total_bytes }, None);
        }
        let cut = |from, count| outcomes.values.iter().map(|c| c.slice(from, count)).collect::<Vec<_>>();
        let (first, second) = (cut(0, rows), cut(rows, total - rows));
        let bytes = first.iter().map(|column| array_bytes(column)).sum();
        let rest = ComputedPackets {
            keys: outcomes.keys.part(rows..total),
            emitted: outcomes.emitted.split_off(rows),
            values: second,
            claim: None,
            author: outcomes.author.clone(),
            ..outcomes
        };
        outcomes = ComputedPackets { keys: outcomes.keys.part(0..rows), values: first, ..outcomes };
        let rest = Self { outcomes: rest, bytes: total_bytes.saturating_sub(bytes) };
        (Self { outcomes, bytes }, Some(rest))
    }
}

/// Items of the parts, one after the other.
fn gathered<T: Copy>(parts: &[ComputedPackets], of: impl Fn(&ComputedPackets) -> &[T]) -> Vec<T> {
    let mut all = Vec::with_capacity(parts.iter().map(|part| of(part).len()).sum());
    for part in parts {
        all.extend_from_slice(of(part));
    }
    all
}

fn joined(mut parts: Vec<ComputedPackets>, bytes: usize) -> Result<CommitBatch, ArrowError> {
    let claims = parts.iter_mut().filter_map(|part| part.claim.take()).collect();
    let mut authors = Vec::new();
    let mut rows = 0;
    for part in &parts {
        let range = rows..rows + part.keys.len();
        rows = range.end;
        authors.extend(part.author.clone().map(|author| (author, range)));
    }
    let snapshot =
        parts.iter().map(|part| part.snapshot).min().unwrap_or_else(|| panic!("a commit has outcomes"));
    let keys = gathered(&parts, |part| part.keys.hashes());
    let flights = gathered(&parts, |part| part.keys.flights());
    if let [_] = parts.as_slice()
        && let Some(ComputedPackets { emitted, values, .. }) = parts.pop()
    {
        let results = NewResults { keys, emitted, values, mode: CommitMode::First, missed: None };
        return Ok(CommitBatch { results, flights, claims, bytes, snapshot, authors });
    }
    let outputs = parts.at(0, "a commit has outcomes").values.len();
    let values = (0..outputs).map(|output| {
        let columns: Vec<&dyn Array> = parts
            .iter()
            .map(|part| part.values.at(output, "parts have a column for each output").as_ref())
            .collect();
        concat(&columns)
    });
    let values = values.collect::<Result<_, _>>()?;
    let emitted = gathered(&parts, |part| &part.emitted);
    let results = NewResults { keys, emitted, values, mode: CommitMode::First, missed: None };
    Ok(CommitBatch { results, flights, claims, bytes, snapshot, authors })
}
