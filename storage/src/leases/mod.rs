//! Leases: what is in use now, by whom, in whatever process.
//!
//! A lease is held until it is dropped or its process ends, however that happens, so that no cleaning up is needed. Nothing is lost
//! with a lease but work: data is kept whole by the transactions of the [catalog](crate::catalog).

use std::fmt::Debug;

use anabranch_engine::store::{ClaimError, Claimant, RunError, StoreFault};

/// A lease, which is given back when it is dropped.
pub(crate) type Lease = Box<dyn Debug + Send + Sync>;

/// The leases of a store.
pub(crate) trait Leases: Debug + Send + Sync {
    /// Marks a run as being at work.
    ///
    /// Errors: it is at work already; an id that is no plain name.
    fn begin_run(&self, run: &str) -> Result<Lease, RunError>;

    /// Returns true if a run is at work.
    ///
    /// Errors: that cannot be found out. It never means that the run is gone, whose data would be collected then.
    fn is_alive(&self, run: &str) -> Result<bool, StoreFault>;

    /// A run that is at work, if there is one.
    ///
    /// Errors: as for one run.
    fn any_alive(&self) -> Result<Option<String>, StoreFault>;

    /// Keeps a recording from being removed; none while it is being removed.
    fn read(&self, recording: i64) -> Result<Option<Lease>, StoreFault>;

    /// Keeps a recording from being read; none while it is being read.
    fn remove(&self, recording: i64) -> Result<Option<Lease>, StoreFault>;

    /// A client that claims packets; each excludes all others.
    fn claimant(&self) -> Result<Box<dyn Claimant>, ClaimError>;
}

/// Checks that a run's id is a plain name, as that of a file.
pub(crate) fn check_name(run: &str) -> Result<(), RunError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if run.is_empty() || run.len() > 128 || run.starts_with('.') || !run.chars().all(plain) {
        return Err(RunError::Name { run: run.to_owned() });
    }
    Ok(())
}
