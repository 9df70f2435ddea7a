//! Faults that `SQLite` reports.

use anabranch_engine::store::{StoreFault, StoreProblem};
use rusqlite::ErrorCode;

/// The fault that an error of `SQLite` stands for.
pub(super) fn fault(cause: rusqlite::Error) -> StoreFault {
    use StoreProblem as P;
    let problem = match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => P::NoRoom,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => P::DamagedDatabase,
        None if matches!(cause, rusqlite::Error::FromSqlConversionFailure(..)) => P::DamagedDatabase,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => P::ReadOnly,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => P::Busy,
        Some(ErrorCode::TooBig) => P::RowTooLarge,
        _ => P::Database,
    };
    StoreFault::because(problem, cause)
}
