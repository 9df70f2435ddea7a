//! Rows from `SQLite` databases.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anabranch_engine::names::{list, suggestion};
use anabranch_engine::types::{logical_type, parse_type};
use arrow::array::{ArrayRef, BinaryViewBuilder, Float64Builder, Int64Builder, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags, Row, Statement, ffi};

use super::cast::assemble;
use super::column::{ColumnBuilder, column_builder};
use super::error::{Place, SourceError, reading};
use super::options::declared_type;
use super::options::{option_methods, unreadable_type};
use super::paths::missing;
use super::{PREFIX_BYTES, PREFIX_ROWS, PlannedSource, Reader, Source, SourceOptions};

/// Time for which a lock of another program is waited for.
const BUSY: Duration = Duration::from_secs(1);
const READ: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
/// Bytes of values after which a batch ends.
const BATCH_BYTES: u64 = 8 << 20;
/// Interval of interrupts until a query that is not needed any more has ended.
const INTERRUPTS: Duration = Duration::from_millis(1);

/// Rows of a table, or of a query, of a `SQLite` database.
///
/// Types follow the declarations of the columns: `BOOLEAN`, `DATE`, `TIME`, `DATETIME`, `TIMESTAMP` and `DECIMAL(p,s)` by
/// their names, others by `SQLite`'s rules of affinity (`INTEGER` is `int64`, `REAL` `float64`, `TEXT` `string`, `BLOB` `binary`).
/// A column without such a declaration, as an expression of a query, has the type of its values in the first 65,536 rows or
/// 16 MiB. `types` names other types. A value that is not of its column's type is an error.
///
/// The database is only read, as it is when the reading begins, and never created.
///
/// Order: that in which `SQLite` gives the rows, which is the same as long as the database does not change; `ORDER BY` in a query
/// defines it.
/// Memory: two batches of 8,192 rows or about 8 MiB.
#[derive(Debug, Clone)]
pub struct Sqlite {
    path: PathBuf,
    table: Option<String>,
    query: Option<String>,
    options: SourceOptions,
}

impl Sqlite {
    /// The database; [`Sqlite::table`] or [`Sqlite::query`] names the rows.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), table: None, query: None, options: SourceOptions::default() }
    }

    option_methods!();

    /// The table or view whose rows are read.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    /// The query whose rows are read: one statement that writes nothing.
    #[must_use]
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.query = Some(query.into());
        self
    }

    fn selection(&self) -> Result<Selection, SourceError> {
        let (option, sql) = match (&self.table, &self.query) {
            (Some(table), None) => ("table", format!("SELECT * FROM \"{}\"", table.replace('"', "\"\""))),
            (None, Some(query)) => ("query", query.clone()),
            (table, _) => {
                let found = if table.is_some() { "table and query" } else { "neither table nor query" };
                let remedy = "name the rows by table or by query";
                return Err(SourceError::option("sqlite", found, "one of them", remedy));
            }
        };
        Ok(Selection { path: self.path.clone(), option, sql })
    }

    /// The columns of a statement: by `types`, by their declarations, or by their first values.
    fn columns(
        &self,
        selection: &Selection,
        statement: &mut Statement<'_>,
    ) -> Result<Vec<FieldRef>, SourceError> {
        let declared: Vec<(String, Option<DataType>)> = statement
            .columns()
            .map(|column| (column.name().to_owned(), column.decl_type().and_then(type_of_declaration)))
            .collect();
        let known = |(name, declared): &(String, Option<DataType>)| {
            declared.is_some() || self.options.types.contains_key(name)
        };
        let seen = if declared.iter().all(known) {
            vec![SeenValues::default(); declared.len()]
        } else {
            seen_values(statement, declared.len()).map_err(|cause| selection.failure(cause))?
        };
        let path = self.path.display().to_string();
        let mut columns: Vec<FieldRef> = Vec::with_capacity(declared.len());
        for ((name, declared), seen) in declared.into_iter().zip(seen) {
            if columns.iter().any(|column| *column.name() == name) {
                let found = format!("column \"{name}\" twice");
                return Err(selection.fault(found, "columns with names of their own", "name them by AS"));
            }
            let data_type = match declared_type(&self.options.types, &path, &name)? {
                Some(chosen) if chosen.is_nested() || column_builder(&chosen, false).is_none() => {
                    let expected = "a type that a value of SQLite can have";
                    return Err(unreadable_type(&name, &chosen, expected, "read it as a string"));
                }
                Some(chosen) => chosen,
                None => declared.unwrap_or_else(|| seen.data_type()),
            };
            columns.push(Arc::new(Field::new(name, data_type, true)));
        }
        Ok(columns)
    }
}

impl Source for Sqlite {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        let selection = self.selection()?;
        let connection = selection.connect()?;
        if let Some(table) = &self.table {
            selection.check_table(&connection, table)?;
        }
        let mut statement = selection.prepare(&connection)?;
        let columns = self.columns(&selection, &mut statement)?;
        let chosen = columns.iter().map(|column| self.options.types.contains_key(column.name())).collect();
        Ok(Box::new(PlannedSqlite { selection, schema: Arc::new(Schema::new(columns)), chosen }))
    }
}

/// The statement that gives the rows of a database.
#[derive(Debug, Clone)]
struct Selection {
    path: PathBuf,
    /// The option that says which rows.
    option: &'static str,
    sql: String,
}

impl Selection {
    /// Opens the database, which exists.
    fn connect(&self) -> Result<Connection, SourceError> {
        // A folder that cannot be opened as a database would be reported as a missing file.
        let about = self.path.metadata().map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => missing(&self.path, "a SQLite database"),
            _ => reading(&self.path.display().to_string(), cause),
        })?;
        if !about.is_file() {
            return Err(self.fault("no file", "a SQLite database", "name the file of the database"));
        }
        let absolute = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let connection = match try_connect(&absolute, READ) {
            // Where no file can be made beside it, a database in WAL mode can be read as long as it has no log.
            Err(error)
                if matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
                    && !has_log(&absolute) =>
            {
                try_connect(&immutable(&absolute), READ | OpenFlags::SQLITE_OPEN_URI)
            }
            connection => connection,
        };
        connection.map_err(|cause| self.failure(cause))
    }

    fn check_table(&self, connection: &Connection, name: &str) -> Result<(), SourceError> {
        let names = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        let tables: rusqlite::Result<Vec<String>> =
            connection.prepare(names).and_then(|mut names| names.query_map([], |row| row.get(0))?.collect());
        let tables = tables.map_err(|cause| self.failure(cause))?;
        if tables.iter().any(|table| table.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        let expected = format!("one of {}{}", list(&tables), suggestion(name, &tables));
        let remedy = "name a table or view of the database";
        Err(SourceError::option("table", format!("\"{name}\""), expected, remedy))
    }

    /// Prepares the statement.
    fn prepare<'a>(&self, connection: &'a Connection) -> Result<Statement<'a>, SourceError> {
        let wrong = |found: String| {
            let expected = "one statement that gives rows and writes nothing";
            SourceError::option(self.option, found, expected, "correct the query")
        };
        let statement = connection.prepare(&self.sql).map_err(|cause| match cause {
            rusqlite::Error::SqlInputError { .. }
            | rusqlite::Error::MultipleStatement
            | rusqlite::Error::SqliteFailure(ffi::Error { code: ErrorCode::Unknown, .. }, _) => {
                wrong(format!("a query that cannot be used ({cause})"))
            }
            cause => self.failure(cause),
        })?;
        if !statement.readonly() || statement.column_count() == 0 {
            return Err(wrong("a statement that writes or gives no rows".to_owned()));
        }
        if statement.parameter_count() > 0 {
            return Err(wrong("a parameter without a value".to_owned()));
        }
        Ok(statement)
    }

    /// The error of an operation on the database.
    fn failure(&self, cause: rusqlite::Error) -> SourceError {
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
        self.fault(found, expected, remedy).because(cause)
    }

    fn fault(&self, found: impl Into<Box<str>>, expected: &str, remedy: &str) -> SourceError {
        SourceError::format(Place::Whole(self.path.display().to_string()), found, expected, remedy)
    }
}

fn try_connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // Opening reads nothing; the schema shows if the file is a database.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
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

/// The values of a column of a statement that were seen so far, by what decides its type.
#[derive(Debug, Clone, Copy, Default)]
struct SeenValues {
    /// The largest size of an integer.
    integer: Option<u64>,
    real: bool,
    text: bool,
    blob: bool,
}

impl SeenValues {
    fn add(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => {}
            ValueRef::Integer(number) => self.integer = self.integer.max(Some(number.unsigned_abs())),
            ValueRef::Real(_) => self.real = true,
            ValueRef::Text(_) => self.text = true,
            ValueRef::Blob(_) => self.blob = true,
        }
    }

    /// The type that all can be read as; a string where there are none.
    ///
    /// No type is inferred that would change a value: an integer beyond 2^53 beside a fraction makes strings.
    fn data_type(self) -> DataType {
        match self {
            Self { blob: true, .. } => DataType::BinaryView,
            Self { text: true, .. } => DataType::Utf8View,
            Self { real: true, integer: Some(size), .. } if size > EXACT => DataType::Utf8View,
            Self { real: true, .. } => DataType::Float64,
            Self { integer: Some(_), .. } => DataType::Int64,
            Self { .. } => DataType::Utf8View,
        }
    }
}

/// Integers up to this size are floats without loss.
const EXACT: u64 = 1 << 53;

/// The values of a statement's first rows, by column.
fn seen_values(statement: &mut Statement<'_>, columns: usize) -> rusqlite::Result<Vec<SeenValues>> {
    let mut seen = vec![SeenValues::default(); columns];
    let mut rows = statement.query([])?;
    let (mut count, mut bytes) = (0, 0);
    while count < PREFIX_ROWS
        && bytes < PREFIX_BYTES
        && let Some(row) = rows.next()?
    {
        for (number, seen) in seen.iter_mut().enumerate() {
            let value = row.get_ref(number)?;
            seen.add(value);
            bytes += value_bytes(value);
        }
        count += 1;
    }
    Ok(seen)
}

fn value_bytes(value: ValueRef<'_>) -> u64 {
    value.as_bytes_or_null().map_or(8, |value| value.map_or(0, <[u8]>::len) as u64)
}

#[derive(Debug, Clone)]
struct PlannedSqlite {
    selection: Selection,
    schema: SchemaRef,
    /// For each column, true if `types` names its type: then any value with that meaning is read.
    chosen: Arc<[bool]>,
}

impl PlannedSource for PlannedSqlite {
    fn columns(&self) -> &[FieldRef] {
        self.schema.fields()
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.selection.path.clone()]
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let connection = self.selection.connect()?;
        let interrupt = connection.get_interrupt_handle();
        let (sender, batches) = sync_channel(1);
        let planned = self.clone();
        let read = move || {
            if let Err(error) = planned.read(&connection, chunk_rows.max(1), &sender) {
                // The reader is gone where the run was stopped.
                let _ = sender.send(Err(error));
            }
        };
        let started = std::thread::Builder::new().name("sqlite source".to_owned()).spawn(read);
        let thread = started.map_err(|cause| SourceError::Io {
            operation: "starting a thread for",
            path: self.selection.path.display().to_string(),
            remedy: "end other programs, or raise the limit of threads",
            cause,
        })?;
        Ok(Box::new(SqliteReader { batches: Some(batches), interrupt, thread: Some(thread) }))
    }
}

/// Batches of rows from a thread that owns the connection, which the statement borrows.
///
/// Memory: two batches.
struct SqliteReader {
    batches: Option<Receiver<Result<RecordBatch, SourceError>>>,
    interrupt: InterruptHandle,
    thread: Option<JoinHandle<()>>,
}

impl Reader for SqliteReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        self.batches.as_ref().and_then(|batches| batches.recv().ok()).transpose()
    }
}

impl Drop for SqliteReader {
    fn drop(&mut self) {
        // The thread ends at its next batch, or within a query that is interrupted.
        self.batches = None;
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() {
            // An interrupt has no effect on a query that begins after it.
            self.interrupt.interrupt();
            std::thread::sleep(INTERRUPTS);
        }
        let _ = thread.join();
    }
}

impl PlannedSqlite {
    /// Sends all rows in batches; ends early where they are not received any more.
    fn read(
        &self,
        connection: &Connection,
        chunk_rows: usize,
        batches: &SyncSender<Result<RecordBatch, SourceError>>,
    ) -> Result<(), SourceError> {
        let mut statement = self.selection.prepare(connection)?;
        if !self.columns().iter().map(|field| field.name().as_str()).eq(statement.column_names()) {
            let found = "other columns than when the pipeline was planned";
            return Err(self.selection.fault(found, "the same ones", "run it again"));
        }
        let failed = |cause| self.selection.failure(cause);
        let mut found = statement.query([]).map_err(failed)?;
        let mut columns: Vec<_> =
            self.columns().iter().map(|field| SqliteColumn::new(field.data_type())).collect();
        let (mut count, mut bytes, mut position) = (0, 0, 0);
        loop {
            let row = found.next().map_err(failed)?;
            if count > 0 && (row.is_none() || count == chunk_rows || bytes >= BATCH_BYTES) {
                let arrays = columns.iter_mut().map(SqliteColumn::finish).collect();
                let path = self.selection.path.display().to_string();
                if batches.send(Ok(assemble(&self.schema, arrays, count, &path)?)).is_err() {
                    return Ok(());
                }
                (count, bytes) = (0, 0);
            }
            let Some(row) = row else { return Ok(()) };
            bytes += self.append(&mut columns, row, position)?;
            count += 1;
            position += 1;
        }
    }

    /// Appends a row; returns the bytes of its values.
    fn append(&self, columns: &mut [SqliteColumn], row: &Row<'_>, position: u64) -> Result<u64, SourceError> {
        let mut bytes = 0;
        let fields = self.schema.fields().iter().zip(self.chosen.iter());
        for (number, (column, (field, chosen))) in columns.iter_mut().zip(fields).enumerate() {
            let value = row.get_ref(number).map_err(|cause| self.selection.failure(cause))?;
            bytes += value_bytes(value);
            column.append(value, *chosen).map_err(|found| SourceError::Value {
                place: Place::Row { path: self.selection.path.display().to_string(), row: position },
                column: field.name().clone(),
                found,
                expected: logical_type(field.data_type()),
            })?;
        }
        Ok(bytes)
    }
}

/// A column being built from values of `SQLite`.
enum SqliteColumn {
    Integers(Int64Builder),
    Floats(Float64Builder),
    Blobs(BinaryViewBuilder),
    /// Other types, by the texts of their values; the text of a number is written here.
    Texts(Box<dyn ColumnBuilder>, String),
}

impl SqliteColumn {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Int64 => Self::Integers(Int64Builder::new()),
            DataType::Float64 => Self::Floats(Float64Builder::new()),
            DataType::BinaryView => Self::Blobs(BinaryViewBuilder::new()),
            other => {
                let builder = column_builder(other, false);
                let builder = builder.unwrap_or_else(|| panic!("planning refuses types without a builder"));
                Self::Texts(builder, String::new())
            }
        }
    }

    /// Appends a value, or says what it is if it is not of the column's type.
    ///
    /// `chosen`: the author named the type, so strings are numbers where they read as such.
    fn append(&mut self, value: ValueRef<'_>, chosen: bool) -> Result<(), &'static str> {
        let kind = kind(value);
        let string = |value| std::str::from_utf8(value).map_err(|_| "a string that is not UTF-8");
        match (self, value) {
            (column, ValueRef::Null) => column.append_null(),
            (Self::Integers(builder), ValueRef::Integer(value)) => builder.append_value(value),
            (Self::Integers(builder), ValueRef::Text(value)) if chosen => {
                builder.append_value(string(value)?.trim_ascii().parse().map_err(|_| kind)?);
            }
            (Self::Floats(builder), ValueRef::Real(value)) => builder.append_value(value),
            (Self::Floats(builder), ValueRef::Integer(value)) if chosen || value.unsigned_abs() <= EXACT => {
                #[expect(clippy::cast_precision_loss, reason = "the nearest float is meant")]
                let nearest = value as f64;
                builder.append_value(nearest);
            }
            (Self::Floats(builder), ValueRef::Text(value)) if chosen => {
                builder.append_value(string(value)?.trim_ascii().parse().map_err(|_| kind)?);
            }
            (Self::Blobs(builder), ValueRef::Blob(value)) => builder.append_value(value),
            (Self::Blobs(builder), ValueRef::Text(value)) if chosen => builder.append_value(value),
            (Self::Texts(builder, _), ValueRef::Text(value)) => {
                return builder.text(string(value)?).then_some(()).ok_or(kind);
            }
            (Self::Texts(builder, written), value @ (ValueRef::Integer(_) | ValueRef::Real(_))) => {
                written.clear();
                // Writing to a string cannot fail.
                let _ = match value {
                    ValueRef::Integer(value) => write!(written, "{value}"),
                    ValueRef::Real(value) => write!(written, "{value:?}"),
                    _ => Ok(()),
                };
                let truth = match written.as_str() {
                    "0" | "0.0" => "false",
                    "1" | "1.0" => "true",
                    _ => written,
                };
                return (builder.text(written) || builder.text(truth)).then_some(()).ok_or(kind);
            }
            _ => return Err(kind),
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Integers(builder) => builder.append_null(),
            Self::Floats(builder) => builder.append_null(),
            Self::Blobs(builder) => builder.append_null(),
            Self::Texts(builder, _) => builder.null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Integers(builder) => Arc::new(builder.finish()),
            Self::Floats(builder) => Arc::new(builder.finish()),
            Self::Blobs(builder) => Arc::new(builder.finish()),
            Self::Texts(builder, _) => builder.finish(),
        }
    }
}

/// Description of a value in messages, which never have the value itself.
fn kind(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "null",
        ValueRef::Integer(_) => "an integer that does not read as that type",
        ValueRef::Real(_) => "a real number",
        ValueRef::Text(_) => "a string that does not read as that type",
        ValueRef::Blob(_) => "a blob",
    }
}

/// The type that a declaration stands for; none where any number may stand, so that values decide.
///
/// Names of times, truth values and decimals come first; then the rules of `SQLite`'s affinities, in their order.
///
/// Source: <https://www.sqlite.org/datatype3.html>, section 3.1.
fn type_of_declaration(declaration: &str) -> Option<DataType> {
    let declaration = declaration.trim().to_ascii_uppercase();
    let (name, arguments) = declaration.split_once('(').unwrap_or((&declaration, ""));
    let logical = match name.split_whitespace().collect::<Vec<_>>().join(" ").as_str() {
        "BOOL" | "BOOLEAN" => "bool".to_owned(),
        "DATE" => "date".to_owned(),
        "TIME" => "time".to_owned(),
        "DATETIME" | "TIMESTAMP" => "timestamp".to_owned(),
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => "timestamp_utc".to_owned(),
        "DECIMAL" | "NUMERIC" if !arguments.is_empty() => decimal(arguments)?,
        name => affinity(name)?.to_owned(),
    };
    parse_type(&logical).ok()
}

/// `decimal(p,s)` of the arguments of a declaration.
fn decimal(arguments: &str) -> Option<String> {
    let (arguments, _) = arguments.split_once(')')?;
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let (precision, scale): (u8, u8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    Some(format!("decimal({precision},{scale})"))
}

fn affinity(name: &str) -> Option<&'static str> {
    let has = |part: &&str| name.contains(*part);
    match () {
        () if has(&"INT") => Some("int64"),
        () if ["CHAR", "CLOB", "TEXT"].iter().any(has) => Some("string"),
        () if has(&"BLOB") => Some("binary"),
        () if ["REAL", "FLOA", "DOUB"].iter().any(has) => Some("float64"),
        () => None,
    }
}
