//! Faults of the store's own threads, and of Arrow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anabranch_engine::stage::panic_message;
use anabranch_engine::store::{StoreFault, StoreProblem};
use anabranch_engine::task_thread::TaskError;

/// The fault of Arrow while a block was made.
pub(crate) fn arrow(cause: arrow::error::ArrowError) -> StoreFault {
    StoreFault::because(StoreProblem::NoBlock, cause)
}

/// A thread could not be started, or has ended.
pub(crate) fn task(cause: TaskError) -> StoreFault {
    match cause {
        TaskError::Start { cause, .. } => StoreFault::because(StoreProblem::NoThread, cause),
        _ => StoreProblem::Stopped.into(),
    }
}

/// Does a job whose panic is that job's error.
pub(crate) fn guarded<T, E: From<StoreFault>>(job: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|panic| {
        Err(StoreFault::from(StoreProblem::Panicked(panic_message(panic.as_ref()))).into())
    })
}

/// A cause that several answers share.
#[derive(Debug, Clone)]
struct SharedCause(Arc<StoreFault>);

impl std::fmt::Display for SharedCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.source {
            Some(cause) => cause.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for SharedCause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().and_then(|cause| cause.source())
    }
}

/// One fault, reported to all jobs of the same transaction.
#[derive(Debug, Clone)]
pub(crate) struct SharedFault(Arc<StoreFault>);

impl SharedFault {
    pub(crate) fn new(fault: StoreFault) -> Self {
        Self(Arc::new(fault))
    }

    pub(crate) fn to_fault(&self) -> StoreFault {
        let source = self.0.source.is_some().then(|| Box::new(SharedCause(Arc::clone(&self.0))) as _);
        StoreFault { problem: self.0.problem.clone(), source }
    }
}
