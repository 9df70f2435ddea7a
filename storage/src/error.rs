//! Store errors, made from what `SQLite`, Arrow and the system report.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anabranch_engine::stage::panic_message;
use anabranch_engine::store::{StoreError, StoreErrorKind};
use anabranch_engine::task_thread::TaskError;
use rusqlite::ErrorCode;

/// An error without a cause below it.
pub(crate) fn failure(
    kind: StoreErrorKind,
    operation: &'static str,
    message: impl Into<String>,
) -> StoreError {
    StoreError { kind, operation, message: message.into(), source: None }
}

/// Damage, with the place where it was found.
pub(crate) fn corrupt(operation: &'static str, place: &str, found: &str) -> StoreError {
    let message = format!(
        "{place} is damaged: {found}; restore the store from a copy, or remove its folder and run again"
    );
    failure(StoreErrorKind::Corrupt, operation, message)
}

/// Attaches a cause.
pub(crate) fn because(
    mut error: StoreError,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    error.source = Some(Box::new(cause));
    error
}

/// An error that `SQLite` reported.
pub(crate) fn sql(operation: &'static str, cause: rusqlite::Error) -> StoreError {
    use StoreErrorKind as K;
    let (kind, message) = match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            (K::Full, "there is no room for the store; make room on its disk and run again")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            K::Corrupt,
            "the store's database is damaged; restore the store from a copy, or remove its folder and run again",
        ),
        None if matches!(cause, rusqlite::Error::FromSqlConversionFailure(..)) => (
            K::Corrupt,
            "the store's database is damaged; restore the store from a copy, or remove its folder and run again",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            (K::Place, "the store's database cannot be written; allow writing or choose another folder")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (K::System, "another process kept the store busy for too long; run again once it has ended")
        }
        Some(ErrorCode::TooBig) => (
            K::System,
            "a row is larger than 1 GB, the most that the store takes; keep large payloads in files",
        ),
        _ => (K::System, "the store's database reported an error"),
    };
    because(failure(kind, operation, message), cause)
}

/// An error that the file system reported for a path.
pub(crate) fn io(operation: &'static str, place: &std::path::Path, cause: std::io::Error) -> StoreError {
    use StoreErrorKind as K;
    let (kind, remedy) = match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (K::Full, "make room on the disk and run again"),
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists => (K::Place, "choose a folder that can be written"),
        _ => (K::System, "see the cause"),
    };
    because(failure(kind, operation, format!("\"{}\" cannot be used; {remedy}", place.display())), cause)
}

/// An error of Arrow while a block was made.
pub(crate) fn arrow(operation: &'static str, cause: arrow::error::ArrowError) -> StoreError {
    let message = "columns could not be made into a block, expected canonical types";
    because(failure(StoreErrorKind::System, operation, message), cause)
}

/// A thread could not be started, or has ended.
pub(crate) fn task(operation: &'static str, cause: TaskError) -> StoreError {
    match cause {
        TaskError::Start { cause, .. } => {
            let message = "no thread could be started; raise the limit of threads or end other programs";
            because(failure(StoreErrorKind::System, operation, message), cause)
        }
        _ => stopped(operation),
    }
}

/// Does a job whose panic is that job's error.
pub(crate) fn guarded<T>(
    operation: &'static str,
    job: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|panic| {
        let message = format!("the store has a fault: {}; report it", panic_message(panic.as_ref()));
        Err(failure(StoreErrorKind::System, operation, message))
    })
}

/// An error for a thread that ended before it answered.
pub(crate) fn stopped(operation: &'static str) -> StoreError {
    failure(
        StoreErrorKind::System,
        operation,
        "the store's thread has ended after a fault; open the store again",
    )
}

/// A cause that several answers share.
#[derive(Debug, Clone)]
struct SharedCause(Arc<StoreError>);

impl std::fmt::Display for SharedCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.source {
            Some(cause) => cause.fmt(f),
            None => f.write_str(&self.0.message),
        }
    }
}

impl std::error::Error for SharedCause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().and_then(|cause| cause.source())
    }
}

/// One failure, reported to all jobs of the same transaction.
#[derive(Debug, Clone)]
pub(crate) struct SharedError(Arc<StoreError>);

impl SharedError {
    pub(crate) fn new(error: StoreError) -> Self {
        Self(Arc::new(error))
    }

    pub(crate) fn to_error(&self) -> StoreError {
        StoreError {
            kind: self.0.kind,
            operation: self.0.operation,
            message: self.0.message.clone(),
            source: self.0.source.is_some().then(|| Box::new(SharedCause(Arc::clone(&self.0))) as _),
        }
    }
}
