//! Opens `SQLite` databases to be read, and nothing else.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_engine::names::{list, suggestion};
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement};

use crate::source::error::{Place, SourceError};

/// Time for which a lock of another program is waited for.
const BUSY: Duration = Duration::from_secs(1);
const READ: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// The rows of a database that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    Table(String),
    Query(String),
}

impl Selection {
    /// The query that gives the rows.
    fn sql(&self) -> String {
        match self {
            Self::Table(name) => format!("SELECT * FROM \"{}\"", name.replace('"', "\"\"")),
            Self::Query(query) => query.clone(),
        }
    }

    fn option(&self) -> &'static str {
        match self {
            Self::Table(_) => "table",
            Self::Query(_) => "query",
        }
    }
}

/// Opens a database that exists.
pub(super) fn connect(path: &Path) -> Result<Connection, SourceError> {
    // A folder that cannot be opened as a database would be reported as a missing file.
    let about = path.metadata().map_err(|cause| missing(path, cause))?;
    if !about.is_file() {
        return Err(format_error(
            path,
            "no file",
            "a SQLite database",
            "name the file of the database",
            None,
        ));
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let connection = match try_connect(&absolute, READ) {
        // Where no file can be made beside it, a database in WAL mode can be read as long as it has no log.
        Err(error) if is_unopenable(&error) && !has_log(&absolute) => {
            try_connect(&immutable(&absolute), READ | OpenFlags::SQLITE_OPEN_URI)
        }
        connection => connection,
    };
    connection.map_err(|cause| failure(path, cause))
}

fn try_connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // Opening reads nothing; the schema shows if the file is a database.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

fn is_unopenable(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn has_log(path: &Path) -> bool {
    let mut log = path.to_owned().into_os_string();
    log.push("-wal");
    Path::new(&log).metadata().is_ok_and(|about| about.len() > 0)
}

/// The database as a URI which promises that it does not change.
fn immutable(path: &Path) -> PathBuf {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_') {
            uri.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    PathBuf::from(uri + "?immutable=1")
}

/// Prepares the statement that gives the rows.
pub(super) fn prepare<'a>(
    connection: &'a Connection,
    path: &Path,
    selection: &Selection,
) -> Result<Statement<'a>, SourceError> {
    if let Selection::Table(name) = selection {
        let tables = tables(connection).map_err(|cause| failure(path, cause))?;
        if !tables.iter().any(|table| table.eq_ignore_ascii_case(name)) {
            return Err(SourceError::Option {
                option: "table",
                found: format!("\"{name}\""),
                expected: format!("one of {}{}", list(&tables), suggestion(name, &tables)),
                remedy: "name a table or view of the database".to_owned(),
            });
        }
    }
    let wrong = |found: String| SourceError::Option {
        option: selection.option(),
        found,
        expected: "one statement that gives rows and writes nothing".to_owned(),
        remedy: "correct the query".to_owned(),
    };
    let prepared = connection.prepare(&selection.sql());
    let statement = prepared.map_err(|cause| match cause {
        rusqlite::Error::SqlInputError { .. } | rusqlite::Error::MultipleStatement => {
            wrong(format!("a query that cannot be used ({cause})"))
        }
        rusqlite::Error::SqliteFailure(error, _) if error.code == ErrorCode::Unknown => {
            wrong(format!("a query that cannot be used ({cause})"))
        }
        cause => failure(path, cause),
    })?;
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(wrong("a statement that writes or gives no rows".to_owned()));
    }
    if statement.parameter_count() > 0 {
        return Err(wrong("a parameter without a value".to_owned()));
    }
    Ok(statement)
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let names = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    connection.prepare(names)?.query_map([], |row| row.get(0))?.collect()
}

fn missing(path: &Path, cause: std::io::Error) -> SourceError {
    let path = path.display().to_string();
    if cause.kind() != std::io::ErrorKind::NotFound {
        return SourceError::Io {
            operation: "reading",
            path,
            remedy: "check the path and its permissions",
            cause,
        };
    }
    SourceError::Missing { path, expected: "a SQLite database", note: String::new() }
}

/// The error of an operation on the database.
pub(super) fn failure(path: &Path, cause: rusqlite::Error) -> SourceError {
    let (found, expected, remedy) = match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            "a database that another program has locked",
            "one that can be read within 1 s",
            "wait until the other program is done, or read a copy",
        ),
        Some(ErrorCode::NotADatabase) => {
            ("a file that is no SQLite database", "a SQLite database", "name another file")
        }
        Some(ErrorCode::DatabaseCorrupt) => (
            "a damaged database",
            "a whole SQLite database",
            "restore it, or recover its rows by `sqlite3 FILE .recover`",
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => (
            "a database that cannot be opened",
            "one that can be read",
            "allow reading the file, and writing its folder if it has a -wal file",
        ),
        _ => ("a database that cannot be read", "a SQLite database", "check the file and its disk"),
    };
    format_error(path, found, expected, remedy, Some(Box::new(cause)))
}

pub(super) fn format_error(
    path: &Path,
    found: &str,
    expected: &str,
    remedy: &str,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> SourceError {
    SourceError::Format {
        place: Place::Whole(path.display().to_string()),
        found: found.into(),
        expected: expected.into(),
        remedy: remedy.into(),
        cause,
    }
}
