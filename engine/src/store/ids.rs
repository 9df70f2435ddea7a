//! Opaque names that a store hands out: of versions, of snapshots and of its clients.
//!
//! Callers compare them and hand them back. What the numbers in them mean is the store's own affair; the constructors
//! and the accessors are for those who implement one.

/// A version of a result.
///
/// A store names it by the number of the commit unit that wrote it and by the row in that unit. Ids ascend in the order
/// of commits and are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResultId {
    commit: u64,
    row: u32,
}

impl ResultId {
    /// The id of an outcome that is not stored. No version has it: commit units are numbered from 1.
    pub const UNSTORED: Self = Self::new(0, 0);

    /// The id of a row of a commit unit.
    #[must_use]
    pub const fn new(commit: u64, row: u32) -> Self {
        Self { commit, row }
    }

    /// Number of the commit unit.
    #[must_use]
    pub const fn commit(self) -> u64 {
        self.commit
    }

    /// Row in the commit unit.
    #[must_use]
    pub const fn row(self) -> u32 {
        self.row
    }
}

/// Versions of results of one function from the first to the last, both included, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionSpan {
    /// The first version.
    pub first: ResultId,
    /// The last version; not before the first.
    pub last: ResultId,
}

impl VersionSpan {
    /// The span of one version.
    #[must_use]
    pub const fn of(version: ResultId) -> Self {
        Self { first: version, last: version }
    }

    /// Adds a version that follows the last one in the same commit unit; returns false, and adds nothing, if it does not.
    #[must_use = "a version that does not follow needs a span of its own"]
    pub fn extend(&mut self, version: ResultId) -> bool {
        let follows = version.commit == self.last.commit && self.last.row.checked_add(1) == Some(version.row);
        if follows {
            self.last = version;
        }
        follows
    }
}

/// The versions that are committed at one moment. An earlier snapshot is less than a later one.
///
/// A store names it by the number of the last commit unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Snapshot(u64);

impl Snapshot {
    /// Includes no version: the snapshot of a store without any, and of a look-up about which nothing is known.
    pub const EMPTY: Self = Self(0);

    /// The snapshot up to this commit unit.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Number of the last commit unit; 0 if there is none.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns true if a version was committed by then.
    #[must_use]
    pub const fn includes(self, version: ResultId) -> bool {
        version.commit <= self.0
    }
}

/// A client of a store: one that looks keys up and commits what it has missed.
///
/// A store and its clones give no two clients the same id. Ids of different stores say nothing about each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(u64);

impl ClientId {
    /// The client of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_by_commit_and_then_by_row() {
        let ids = [ResultId::UNSTORED, ResultId::new(1, 0), ResultId::new(1, 9), ResultId::new(2, 3)];
        assert!(ids.is_sorted_by(|before, after| before < after));
        assert_eq!((ids[2].commit(), ids[2].row()), (1, 9));
    }

    #[test]
    fn a_snapshot_includes_what_was_committed_by_then() {
        let snapshot = Snapshot::new(4);
        assert!(snapshot.includes(ResultId::new(4, u32::MAX)) && !snapshot.includes(ResultId::new(5, 0)));
        assert!(!Snapshot::EMPTY.includes(ResultId::new(1, 0)));
        assert!(Snapshot::EMPTY < snapshot && snapshot.number() == 4);
    }

    #[test]
    fn a_span_takes_the_next_row_of_its_commit_and_no_other() {
        let mut span = VersionSpan::of(ResultId::new(3, 1));
        assert!(span.extend(ResultId::new(3, 2)));
        for other in [ResultId::new(3, 2), ResultId::new(3, 4), ResultId::new(4, 3), ResultId::new(2, 3)] {
            assert!(!span.extend(other), "{other:?}");
        }
        assert_eq!(span, VersionSpan { first: ResultId::new(3, 1), last: ResultId::new(3, 2) });
        assert!(!VersionSpan::of(ResultId::new(3, u32::MAX)).extend(ResultId::new(3, 0)));
    }
}
