//! Rows from `SQLite` databases.

mod database;
mod reader;
mod types;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::types::logical_type;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use rusqlite::{Connection, Statement};

use super::cast::nullable;
use super::column::column_builder;
use super::error::SourceError;
use super::options::option_methods;
use super::{PREFIX_BYTES, PREFIX_ROWS, PlannedSource, Reader, Source, SourceOptions};
use database::{Selection, connect, failure, format_error, prepare};
use reader::{SqliteReader, SqliteRows};
use types::{ValueType, declared_type};

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

    /// The path of the database.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn selection(&self) -> Result<Selection, SourceError> {
        let found = match (&self.table, &self.query) {
            (Some(table), None) => return Ok(Selection::Table(table.clone())),
            (None, Some(query)) => return Ok(Selection::Query(query.clone())),
            (None, None) => "neither table nor query",
            (Some(_), Some(_)) => "table and query",
        };
        Err(SourceError::Option {
            option: "sqlite",
            found: found.to_owned(),
            expected: "one of them".to_owned(),
            remedy: "name the rows by table or by query".to_owned(),
        })
    }

    /// The columns of a statement: by `types`, by their declarations, or by their first values.
    fn columns(&self, statement: &mut Statement<'_>) -> Result<Vec<FieldRef>, SourceError> {
        let declared: Vec<(String, Option<DataType>)> = statement
            .columns()
            .map(|column| (column.name().to_owned(), column.decl_type().and_then(declared_type)))
            .collect();
        let known = |(name, declared): &(String, Option<DataType>)| {
            declared.is_some() || self.options.types.contains_key(name)
        };
        let inferred = if declared.iter().all(known) {
            vec![ValueType::default(); declared.len()]
        } else {
            infer(statement, declared.len()).map_err(|cause| failure(&self.path, cause))?
        };
        let mut columns: Vec<FieldRef> = Vec::with_capacity(declared.len());
        for ((name, declared), inferred) in declared.into_iter().zip(inferred) {
            if columns.iter().any(|column| *column.name() == name) {
                let found = format!("column \"{name}\" twice");
                return Err(format_error(
                    &self.path,
                    &found,
                    "columns with names of their own",
                    "name them by AS",
                    None,
                ));
            }
            let data_type = match self.options.types.get(&name) {
                Some(chosen) => self.chosen(&name, chosen)?,
                None => declared.unwrap_or_else(|| inferred.data_type()),
            };
            columns.push(Arc::new(Field::new(name, data_type, true)));
        }
        Ok(columns)
    }

    fn chosen(&self, name: &str, data_type: &DataType) -> Result<DataType, SourceError> {
        let data_type = nullable(data_type).map_err(|cause| SourceError::Type {
            path: self.path.display().to_string(),
            column: name.to_owned(),
            cause,
        })?;
        if data_type.is_nested() || column_builder(&data_type, false).is_none() {
            return Err(SourceError::Option {
                option: "types",
                found: format!("{} for column \"{name}\"", logical_type(&data_type)),
                expected: "a type that a value of SQLite can have".to_owned(),
                remedy: "read it as a string".to_owned(),
            });
        }
        Ok(data_type)
    }
}

/// The types of the values of a statement's first rows.
fn infer(statement: &mut Statement<'_>, columns: usize) -> rusqlite::Result<Vec<ValueType>> {
    let mut types = vec![ValueType::default(); columns];
    let mut rows = statement.query([])?;
    let (mut count, mut bytes) = (0, 0);
    while count < PREFIX_ROWS
        && bytes < PREFIX_BYTES
        && let Some(row) = rows.next()?
    {
        for (number, seen) in types.iter_mut().enumerate() {
            let value = row.get_ref(number)?;
            seen.add(value);
            bytes += value.as_bytes_or_null().map_or(8, |value| value.map_or(0, <[u8]>::len) as u64);
        }
        count += 1;
    }
    Ok(types)
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
        let connection: Connection = connect(&self.path)?;
        let mut statement = prepare(&connection, &self.path, &selection)?;
        let columns = self.columns(&mut statement)?;
        let chosen = columns.iter().map(|column| self.options.types.contains_key(column.name())).collect();
        let schema = Arc::new(Schema::new(columns.clone()));
        let rows = SqliteRows { path: self.path.clone(), selection, schema, chosen, chunk_rows: 1 };
        Ok(Box::new(PlannedSqlite { rows, columns }))
    }
}

struct PlannedSqlite {
    rows: SqliteRows,
    columns: Vec<FieldRef>,
}

impl PlannedSource for PlannedSqlite {
    fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.rows.path.clone()]
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let rows = SqliteRows { chunk_rows: chunk_rows.max(1), ..self.rows.clone() };
        Ok(Box::new(SqliteReader::start(rows)?))
    }
}
