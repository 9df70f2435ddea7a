//! Workers whose answers nothing but their order binds to their packets, and what became of these answers.
//!
//! One line too many gives every later packet the answer of the one before. So a worker that answers without ids is trusted
//! only as long as it has written no more answers than requests, and its earlier answers are remembered until
//! it has ended.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anabranch_engine::store::{ResultId, ResultStore, StoredFunction, VersionSpan, WithdrawError};

/// Spans that are remembered of a worker at most; beyond, neighbors become one, which takes what lies between as well.
const MOST_SPANS: usize = 1 << 15;
/// Maximum wait for the ends of workers that were killed.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A worker has written something that was not requested.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{program}: found {found}, so that none of its answers can be told from that of another packet; {remedy}"
)]
pub struct StrayOutput {
    program: String,
    found: &'static str,
    remedy: &'static str,
}

/// A worker that answers without ids.
///
/// The lock is there since the worker's thread notes its end, and the stage what was committed.
///
/// Memory: 32 bytes for each span of versions that were committed one after the other, 1 MiB at most.
#[derive(Debug)]
pub(crate) struct Author {
    program: String,
    remedy: &'static str,
    state: Mutex<AuthorState>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct AuthorState {
    committed: Vec<VersionSpan>,
    stray: Option<StrayOutput>,
    ended: bool,
}

impl Author {
    /// A worker that runs a program.
    pub(crate) fn new(program: String, remedy: &'static str) -> Self {
        Self { program, remedy, state: Mutex::default(), ended: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, AuthorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reason why it is not trusted, if it is not.
    pub(crate) fn stray(&self) -> Option<StrayOutput> {
        self.state().stray.clone()
    }

    /// Notes that it is not trusted, and what was found; the first reason stands.
    pub(crate) fn doubt(&self, found: &'static str) -> StrayOutput {
        let stray = || StrayOutput { program: self.program.clone(), found, remedy: self.remedy };
        self.state().stray.get_or_insert_with(stray).clone()
    }

    /// Takes note that it has ended, and that what it wrote has been looked at.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.ended.notify_all();
    }

    /// Takes note of versions that hold its answers.
    fn commit(&self, versions: &[ResultId]) {
        let mut state = self.state();
        for version in versions {
            if !state.committed.last_mut().is_some_and(|span| span.extend(*version)) {
                state.committed.push(VersionSpan::of(*version));
            }
        }
        if state.committed.len() > MOST_SPANS {
            halve(&mut state.committed);
        }
    }

    fn wait(&self, until: Instant) -> MutexGuard<'_, AuthorState> {
        let mut state = self.state();
        while !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

/// Makes one span of two neighbors each.
fn halve(spans: &mut Vec<VersionSpan>) {
    spans.sort_unstable();
    let joined = |pair: &[VersionSpan]| {
        let first = pair.first()?.first;
        Some(VersionSpan { first, last: pair.iter().map(|span| span.last).max()? })
    };
    *spans = spans.chunks(2).filter_map(joined).collect();
}

/// The workers of a run that have answered without ids, as far as their answers were committed and they may yet turn
/// out to be untrusted.
///
/// The lock is there since the nodes of a run share it; it is held to add a worker.
#[derive(Debug, Default)]
pub struct Authors(Mutex<Vec<Known>>);

#[derive(Debug, Clone)]
struct Known {
    node: String,
    function: Arc<StoredFunction>,
    author: Arc<Author>,
}

/// A worker that is not trusted, and whose answers are withdrawn.
#[derive(Debug)]
pub struct Withdrawn {
    /// The node.
    pub node: String,
    /// Name of its function.
    pub function: String,
    /// Fault of the worker.
    pub cause: StrayOutput,
}

impl Authors {
    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of versions that hold answers of a worker of a node.
    pub(crate) fn committed(
        &self,
        node: &str,
        function: &Arc<StoredFunction>,
        author: &Arc<Author>,
        versions: &[ResultId],
    ) {
        author.commit(versions);
        let mut known = self.known();
        if known.iter().any(|known| Arc::ptr_eq(&known.author, author)) {
            return;
        }
        // Whoever has ended without a fault stays believed.
        known.retain(|known| {
            let state = known.author.state();
            !state.ended || state.stray.is_some()
        });
        let (node, function, author) = (node.to_owned(), Arc::clone(function), Arc::clone(author));
        known.push(Known { node, function, author });
    }

    /// Withdraws the answers of workers that are not trusted, once all have ended; returns the first of them. Blocks
    /// for a second, and for the store.
    ///
    /// Errors: the store could not withdraw them.
    pub fn withdraw(&self, results: &dyn ResultStore) -> Result<Option<Withdrawn>, WithdrawError> {
        let until = Instant::now() + LAST_LOOK;
        let mut first = None;
        let known = std::mem::take(&mut *self.known());
        for Known { node, function, author } in known {
            let (stray, spans) = {
                let mut state = author.wait(until);
                (state.stray.clone(), std::mem::take(&mut state.committed))
            };
            let Some(cause) = stray else { continue };
            futures::executor::block_on(results.withdraw(Arc::clone(&function), spans))?;
            first.get_or_insert(Withdrawn { node, function: function.name.clone(), cause });
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(commit: u64, row: u32) -> ResultId {
        ResultId::new(commit, row)
    }

    fn author() -> Author {
        Author::new("program".to_owned(), "do better")
    }

    fn span(first: ResultId, last: ResultId) -> VersionSpan {
        VersionSpan { first, last }
    }

    #[test]
    fn rows_that_follow_each_other_are_one_span() {
        let author = author();
        author.commit(&[version(3, 0), version(3, 1), version(3, 4)]);
        author.commit(&[version(3, 5), version(4, 0)]);
        let expected = [
            span(version(3, 0), version(3, 1)),
            span(version(3, 4), version(3, 5)),
            span(version(4, 0), version(4, 0)),
        ];
        assert_eq!(author.state().committed, expected);
    }

    #[test]
    fn spans_stay_bounded_and_take_no_version_out() {
        let author = author();
        let versions: Vec<ResultId> = (0..100_000).map(|n| version(n * 7 % 100_000, 3)).collect();
        for versions in versions.chunks(1_000) {
            author.commit(versions);
            assert!(author.state().committed.len() <= MOST_SPANS);
        }
        let spans = author.state().committed.clone();
        for version in versions {
            assert!(spans.iter().any(|span| (span.first..=span.last).contains(&version)), "{version:?}");
        }
    }

    #[test]
    fn the_first_reason_stands() {
        let author = author();
        assert!(author.stray().is_none());
        assert_eq!(author.doubt("one").found, "one");
        assert_eq!(author.doubt("two").found, "one");
        assert_eq!(author.stray().unwrap().found, "one");
    }
}
