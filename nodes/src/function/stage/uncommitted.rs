//! Outcomes that were computed and are not committed yet.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::bytes::array_bytes;
use anabranch_engine::store::{Claim, CommitMode, NewResults};
use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::error::ArrowError;
use tokio::time::Instant;

use super::flights::FlightId;
use super::work::InFlight;
use crate::worker::Author;

/// Results that one commit takes.
pub(super) const COMMIT_ROWS: usize = 8_192;
/// Bytes of outputs that one commit takes; one row at least.
pub(super) const COMMIT_BYTES: usize = 4 << 20;

/// Outcomes in the order in which they were computed.
#[derive(Default)]
pub(super) struct Uncommitted {
    parts: VecDeque<Part>,
    rows: usize,
    bytes: usize,
    /// When the first of them came, or others were last taken away.
    since: Option<Instant>,
}

/// Outcomes that came together.
struct Part {
    keys: InFlight,
    emitted: Vec<bool>,
    values: Vec<ArrayRef>,
    bytes: usize,
    /// What the look-up that missed them saw.
    seen: u64,
    /// What keeps others from computing the packet, until it is committed.
    held: Option<Claim>,
    /// Who has answered, where that may yet turn out to be not believed.
    author: Option<Arc<Author>>,
}

/// What one commit takes.
pub(super) struct Taken {
    pub(super) results: NewResults,
    /// A flight for each result.
    pub(super) flights: Vec<FlightId>,
    pub(super) held: Vec<Claim>,
    pub(super) bytes: usize,
    /// What the earliest look-up that missed one of them saw.
    pub(super) seen: u64,
    /// Who has answered, as far as that may yet turn out to be not believed, and which results.
    pub(super) authors: Vec<(Arc<Author>, Range<usize>)>,
}

impl Uncommitted {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is as much as one commit takes.
    pub(super) fn fills_a_commit(&self) -> bool {
        self.rows >= COMMIT_ROWS || self.bytes >= COMMIT_BYTES
    }

    /// How long outcomes have waited.
    pub(super) fn waited(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn push(
        &mut self,
        keys: InFlight,
        emitted: Vec<bool>,
        values: Vec<ArrayRef>,
        (seen, held, author): (u64, Option<Claim>, Option<Arc<Author>>),
    ) {
        if keys.len() == 0 {
            return;
        }
        let bytes = values.iter().map(|column| array_bytes(column)).sum();
        self.since.get_or_insert_with(Instant::now);
        self.rows += keys.len();
        self.bytes += bytes;
        self.parts.push_back(Part { keys, emitted, values, bytes, seen, held, author });
    }

    /// Takes the oldest outcomes, as many as one commit takes.
    pub(super) fn take(&mut self) -> Result<Taken, ArrowError> {
        let mut parts: Vec<Part> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while let Some(next) = self.parts.pop_front() {
            let room = next.room(COMMIT_ROWS - rows, COMMIT_BYTES.saturating_sub(bytes));
            if room == 0 && rows > 0 {
                self.parts.push_front(next);
                break;
            }
            let (part, rest) = next.split(room.max(1));
            rows += part.keys.len();
            bytes += part.bytes;
            parts.push(part);
            if let Some(rest) = rest {
                self.parts.push_front(rest);
                break;
            }
            if rows >= COMMIT_ROWS || bytes >= COMMIT_BYTES {
                break;
            }
        }
        self.rows -= rows;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.since = (self.rows > 0).then(Instant::now);
        joined(parts, bytes)
    }
}

impl Part {
    /// How many of its rows fit.
    fn room(&self, rows: usize, bytes: usize) -> usize {
        let each = self.bytes.div_ceil(self.keys.len().max(1)).max(1);
        self.keys.len().min(rows).min(bytes / each)
    }

    /// Its first rows, and the others.
    fn split(mut self, rows: usize) -> (Self, Option<Self>) {
        if rows >= self.keys.len() {
            return (self, None);
        }
        let total = self.keys.len();
        let cut = |from, count| self.values.iter().map(|c| c.slice(from, count)).collect::<Vec<_>>();
        let (first, second) = (cut(0, rows), cut(rows, total - rows));
        let bytes = first.iter().map(|column| array_bytes(column)).sum();
        let rest = Self {
            keys: self.keys.part(rows..total),
            emitted: self.emitted.split_off(rows),
            values: second,
            bytes: self.bytes.saturating_sub(bytes),
            seen: self.seen,
            held: None,
            author: self.author.clone(),
        };
        (Self { keys: self.keys.part(0..rows), values: first, bytes, ..self }, Some(rest))
    }
}

/// What the parts have, one after the other.
fn gathered<T: Copy>(parts: &[Part], of: impl Fn(&Part) -> &[T]) -> Vec<T> {
    let mut all = Vec::with_capacity(parts.iter().map(|part| of(part).len()).sum());
    for part in parts {
        all.extend_from_slice(of(part));
    }
    all
}

fn joined(mut parts: Vec<Part>, bytes: usize) -> Result<Taken, ArrowError> {
    let held = parts.iter_mut().filter_map(|part| part.held.take()).collect();
    let mut authors = Vec::new();
    let mut rows = 0;
    for part in &parts {
        let range = rows..rows + part.keys.len();
        rows = range.end;
        authors.extend(part.author.clone().map(|author| (author, range)));
    }
    let seen = parts.iter().map(|part| part.seen).min().unwrap_or(0);
    let keys = gathered(&parts, |part| part.keys.hashes());
    let flights = gathered(&parts, |part| part.keys.flights());
    if let [_] = parts.as_slice()
        && let Some(Part { emitted, values, .. }) = parts.pop()
    {
        let results = NewResults { keys, emitted, values, mode: CommitMode::First, missed: None };
        return Ok(Taken { results, flights, held, bytes, seen, authors });
    }
    let outputs = parts.first().map_or(0, |part| part.values.len());
    let values = (0..outputs).map(|output| {
        let columns: Vec<&dyn Array> =
            parts.iter().filter_map(|part| part.values.get(output).map(AsRef::as_ref)).collect();
        concat(&columns)
    });
    let values = values.collect::<Result<_, _>>()?;
    let emitted = gathered(&parts, |part| &part.emitted);
    let results = NewResults { keys, emitted, values, mode: CommitMode::First, missed: None };
    Ok(Taken { results, flights, held, bytes, seen, authors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::identity::{Digest, PacketHash};
    use arrow::array::{AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;

    fn key(n: usize) -> PacketHash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        PacketHash(Digest(bytes))
    }

    fn keys(range: std::ops::Range<usize>) -> InFlight {
        let flights = range.clone().map(|n| FlightId(u32::try_from(n).unwrap())).collect();
        InFlight::new(Arc::new(range.map(key).collect()), flights)
    }

    fn number(n: usize) -> i64 {
        i64::try_from(n).unwrap()
    }

    fn numbers(fresh: &mut Uncommitted, range: std::ops::Range<usize>) {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(range.clone().map(number)));
        fresh.push(keys(range.clone()), vec![true; range.len()], vec![values], (0, None, None));
    }

    #[test]
    fn commits_take_the_oldest_rows_up_to_their_size_and_in_order() {
        let mut fresh = Uncommitted::default();
        let mut at = 0;
        for size in [1, 5_000, 3_000, 20_000, 7] {
            numbers(&mut fresh, at..at + size);
            at += size;
        }
        let mut seen = 0;
        while fresh.rows() > 0 {
            let Taken { results: taken, flights, .. } = fresh.take().unwrap();
            let count = taken.keys.len();
            assert!(count == COMMIT_ROWS || fresh.rows() == 0, "{count}");
            let values = taken.values[0].as_primitive::<Int64Type>();
            for (n, at) in (seen..seen + count).zip(0..) {
                assert_eq!((taken.keys[at], values.value(at)), (key(n), number(n)));
                assert_eq!(flights[at], keys(n..n + 1).flights()[0]);
            }
            seen += count;
        }
        assert_eq!((seen, fresh.bytes()), (at, 0));
    }

    #[test]
    fn large_rows_share_a_commit_by_their_bytes_and_the_largest_have_one_each() {
        let mut fresh = Uncommitted::default();
        let text = |bytes: usize| -> ArrayRef { Arc::new(StringViewArray::from(vec!["x".repeat(bytes)])) };
        for (n, bytes) in [1 << 20, 3 << 20, 9 << 20, 100, 5 << 20].into_iter().enumerate() {
            fresh.push(keys(n..n + 1), vec![true], vec![text(bytes)], (0, None, None));
        }
        let mut sizes = Vec::new();
        while fresh.rows() > 0 {
            sizes.push(fresh.take().unwrap().results.keys.len());
        }
        assert_eq!(sizes.iter().sum::<usize>(), 5);
        assert!(sizes.iter().all(|n| *n <= 2), "{sizes:?}");
        assert_eq!(fresh.bytes(), 0);
    }
}
