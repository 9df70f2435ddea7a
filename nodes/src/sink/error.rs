//! Errors of writing rows to files.

use std::io::{self, ErrorKind};
use std::path::Path;

use anabranch_engine::names::{list, suggestion};

/// A file that could not be written. Nothing is left under its final name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// A target that exists although it must not.
    #[error(
        "writing {path}: found an existing target, expected none because of if_exists: error; remove it, choose another path, or say if_exists: replace"
    )]
    Exists {
        /// The path.
        path: String,
    },
    /// A path without a known ending, rows without a column, or something at the target's place that is not
    /// replaced.
    #[error("writing {path}: found {found}, expected {expected}; {remedy}")]
    Target {
        /// The path.
        path: String,
        /// Found target or rows.
        found: String,
        /// Expected target or rows.
        expected: &'static str,
        /// Remedy.
        remedy: &'static str,
    },
    /// The system refused.
    #[error("{operation} {path}: the system refused; {remedy}")]
    Io {
        /// Operation that failed.
        operation: &'static str,
        /// The file or folder.
        path: String,
        /// Remedy.
        remedy: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A column that the format cannot hold.
    #[error("writing {path}: column \"{column}\" is {found}, expected {expected}; {remedy}")]
    Column {
        /// The path.
        path: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// Types that the format can hold.
        expected: &'static str,
        /// Remedy.
        remedy: &'static str,
    },
    /// A number that JSON does not have.
    #[error(
        "writing {path}: column \"{column}\" has NaN or an infinity in row {row} (counted from 0), expected numbers that JSON has; write `nan: null` or `nan: string`, or leave such rows out"
    )]
    NonFinite {
        /// The path.
        path: String,
        /// The column.
        column: String,
        /// Position of the row among those of the file.
        row: u64,
    },
    /// A name under `partition_by` that is no column.
    #[error(
        "partition_by: found no column \"{column}\", expected one of {}{}",
        list(available),
        suggestion(column, available)
    )]
    UnknownColumn {
        /// The name looked for.
        column: String,
        /// The names there are.
        available: Vec<String>,
    },
    /// Rows of other columns than those announced.
    #[error("writing {path}: found rows of other columns than the writer was made for, expected the same")]
    Batch {
        /// The path.
        path: String,
    },
    /// The format's library refused.
    #[error("writing {path}: rows could not be encoded; check the disk, or choose another format")]
    Encode {
        /// The path.
        path: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A target that rows cannot be written to as it is.
pub(super) fn unfit(path: &Path, found: &str, expected: &'static str, remedy: &'static str) -> SinkError {
    SinkError::Target { path: path.display().to_string(), found: found.to_owned(), expected, remedy }
}

/// An error of the system.
pub(super) fn refused(operation: &'static str, path: &Path, cause: io::Error) -> SinkError {
    let remedy = match cause.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "allow writing there or choose another path"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk or choose another path",
        ErrorKind::NotADirectory => "a file stands where a folder is needed: choose another path",
        ErrorKind::InvalidFilename => "the name is too long or not allowed: choose another",
        _ => "check the path and its disk",
    };
    SinkError::Io { operation, path: path.display().to_string(), remedy, cause }
}

/// An error of a format's library; one of the system below it is kept as such.
pub(super) fn encoding(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
    let cause = cause.into();
    let mut below: Option<&(dyn std::error::Error + 'static)> = Some(cause.as_ref());
    while let Some(error) = below {
        if let Some(system) = error.downcast_ref::<io::Error>() {
            let copy = match system.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(system.kind(), system.to_string()),
            };
            return refused("writing", path, copy);
        }
        below = error.source();
    }
    SinkError::Encode { path: path.display().to_string(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_below_a_format_is_told_apart_from_a_format_that_refuses() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        let path = Path::new("out.parquet");
        let parquet = parquet::errors::ParquetError::External(Box::new(full()));
        let arrow = arrow::error::ArrowError::IoError("writing".into(), full());
        for error in [encoding(path, parquet), encoding(path, arrow)] {
            let text = error.to_string();
            assert!(text.starts_with("writing out.parquet: the system refused; make room"), "{text}");
        }
        let other = encoding(path, arrow::error::ArrowError::CastError("no".into()));
        assert!(matches!(other, SinkError::Encode { .. }));
    }
}
