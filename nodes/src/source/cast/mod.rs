//! Brings the columns of files into the types of their stream, without loss.

mod exact;
mod rules;
#[cfg(test)]
mod tests;
mod unify;

use std::sync::Arc;

use anabranch_engine::types::{EXTENSION_NAME, TypeError, canonical, logical_name, logical_type};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use indexmap::IndexMap;

use super::error::{Place, SourceError};
use super::options::{declared_type, nullable};
use anabranch_engine::index::At as _;
use exact::exact;
use rules::Refused;
pub(super) use rules::{UUID, mark_unchecked};

/// The columns of one file.
#[derive(Debug, Clone)]
pub(super) struct FileFields {
    /// As its batches have them.
    pub(super) stored: Fields,
    /// As the file means them: a Parquet ENUM is a string, say, that is stored as bytes.
    pub(super) meant: Fields,
}

impl FileFields {
    /// Of a format that stores what it means.
    pub(super) fn plain(fields: Fields) -> Self {
        Self { stored: fields.clone(), meant: fields }
    }
}

/// The columns of a stream that several files with the same columns by name make.
///
/// Order is that of the first file. Where files have a column in different types, it gets the type that
/// holds the values of all.
#[derive(Debug, Default)]
pub(super) struct StreamTypes {
    columns: Vec<FieldRef>,
    first: Option<String>,
}

impl StreamTypes {
    /// Adds a file.
    ///
    /// Errors: a type that no stream can carry or that cannot be read as the declared one; a column that
    /// one of the files lacks; types that no type holds.
    pub(super) fn add(
        &mut self,
        path: &str,
        fields: &FileFields,
        types: &IndexMap<String, DataType>,
    ) -> Result<(), SourceError> {
        let columns = declared(path, fields, types)?;
        let Some(first) = &self.first else {
            self.first = Some(path.to_owned());
            self.columns = columns;
            return Ok(());
        };
        let mut united = Vec::with_capacity(columns.len());
        for expected in &self.columns {
            let found = columns.iter().find(|column| column.name() == expected.name());
            let one = found.and_then(|found| unify::unify(expected, found));
            united.push(one.ok_or_else(|| differs(path, found, first, Some(expected)))?);
        }
        let known = |column: &&FieldRef| self.columns.iter().any(|known| known.name() == column.name());
        if let Some(extra) = columns.iter().find(|column| !known(column)) {
            return Err(differs(path, Some(extra), first, None));
        }
        self.columns = united;
        Ok(())
    }

    /// The columns, in canonical types.
    pub(super) fn finish(self) -> Result<Vec<FieldRef>, SourceError> {
        let canonical = |field: &FieldRef| {
            let data_type = canonical(field.data_type())
                .map_err(|cause| unreadable(self.first.as_deref().unwrap_or(""), field, cause))?;
            Ok(Arc::new(Field::clone(field).with_data_type(data_type)))
        };
        self.columns.iter().map(canonical).collect()
    }
}

fn unreadable(path: &str, field: &Field, cause: TypeError) -> SourceError {
    SourceError::Type { path: path.to_owned(), column: field.name().clone(), cause }
}

/// The columns of a file with the types that were declared for some.
fn declared(
    path: &str,
    fields: &FileFields,
    types: &IndexMap<String, DataType>,
) -> Result<Vec<FieldRef>, SourceError> {
    let mut columns = Vec::with_capacity(fields.meant.len());
    for (stored, meant) in fields.stored.iter().zip(&fields.meant) {
        if let Some(name) = rules::repeated_name(meant.data_type()) {
            return Err(twice(path, meant, name));
        }
        let found = unify::canonical_or_null(meant).map_err(|cause| unreadable(path, meant, cause))?;
        let Some(wanted) = declared_type(types, path, meant.name())? else {
            columns.push(found);
            continue;
        };
        rules::check(stored, &wanted).map_err(|refused| refusal(path, meant, refused))?;
        // The declared type is the plain one, whatever extension the file has.
        let mut metadata = meant.metadata().clone();
        metadata.retain(|name, _| !name.starts_with(EXTENSION_NAME.trim_end_matches("name")));
        columns.push(Arc::new(Field::new(meant.name(), wanted, meant.is_nullable()).with_metadata(metadata)));
    }
    Ok(columns)
}

fn refusal(path: &str, field: &Field, refused: Refused) -> SourceError {
    SourceError::Conversion {
        path: path.into(),
        column: format!("{}{}", field.name(), refused.path).into(),
        found: refused.found.into(),
        expected: refused.expected.into(),
        remedy: refused.remedy.into(),
    }
}

fn twice(path: &str, field: &Field, name: &str) -> SourceError {
    SourceError::Conversion {
        path: path.into(),
        column: field.name().as_str().into(),
        found: format!("a struct with two fields named \"{name}\"").into(),
        expected: "each name once".into(),
        remedy: "rename one where the file is written".into(),
    }
}

fn differs(path: &str, found: Option<&FieldRef>, first: &str, expected: Option<&FieldRef>) -> SourceError {
    let describe = |field: Option<&FieldRef>| {
        field.map_or("absent".to_owned(), |f| format!("of type {}", logical_name(f)))
    };
    SourceError::Differs {
        path: path.into(),
        column: expected.or(found).map_or("", |f| f.name().as_str()).into(),
        found: describe(found).into(),
        expected: describe(expected).into(),
        first: first.into(),
    }
}

/// Casts the batches of one file to the columns of a stream.
#[derive(Debug, Clone)]
pub(super) struct Casts {
    schema: SchemaRef,
    /// The place of each column in the file, and its field there.
    places: Vec<(usize, FieldRef)>,
}

impl Casts {
    /// For a file whose columns were planned.
    ///
    /// Errors: a file that has changed since, so that it has other columns.
    pub(super) fn new(
        columns: &[FieldRef],
        path: &str,
        fields: &FileFields,
        types: &IndexMap<String, DataType>,
    ) -> Result<Self, SourceError> {
        let found = declared(path, fields, types)?;
        let planned = "the plan of this source";
        let mut places = Vec::with_capacity(columns.len());
        for column in columns {
            let place = found.iter().position(|field| field.name() == column.name());
            let fits = |place: &usize| {
                let here: &FieldRef = found.at(*place, "a column was found there");
                let united = unify::unify(column, here);
                united.is_some_and(|united| {
                    canonical(united.data_type())
                        .is_ok_and(|united| same_but_nulls(&united, column.data_type()))
                })
            };
            let here = place.map(|place| found.at(place, "a column was found there"));
            let place = place.filter(fits).ok_or_else(|| differs(path, here, planned, Some(column)))?;
            let stored = fields.stored.at(place, "each declared field is stored");
            places.push((place, Arc::clone(stored)));
        }
        let known = |field: &&FieldRef| columns.iter().any(|column| column.name() == field.name());
        if let Some(extra) = found.iter().find(|field| !known(field)) {
            return Err(differs(path, Some(extra), planned, None));
        }
        Ok(Self { schema: Arc::new(Schema::new(columns.to_vec())), places })
    }

    /// The batch in the stream's types; `row` is the position of its first row in the file, for
    /// messages.
    pub(super) fn apply(
        &self,
        batch: &RecordBatch,
        path: &str,
        row: u64,
    ) -> Result<RecordBatch, SourceError> {
        let mut columns = Vec::with_capacity(self.places.len());
        for ((place, stored), field) in self.places.iter().zip(self.schema.fields()) {
            let column = batch.columns().at(*place, "a batch has the columns of its file");
            let cast = exact(column, stored, field.data_type()).map_err(|fault| SourceError::Value {
                place: Place::Row { path: path.to_owned(), row: row + fault.row as u64 },
                column: format!("{}{}", field.name(), fault.path),
                found: fault.found,
                expected: logical_type(field.data_type()),
            })?;
            columns.push(cast);
        }
        assemble(&self.schema, columns, batch.num_rows(), path)
    }
}

/// True if types differ at most in what may be null.
fn same_but_nulls(one: &DataType, other: &DataType) -> bool {
    let loose = |t: &DataType| nullable(t).ok();
    one == other || loose(one) == loose(other)
}

/// Columns as a batch; their lengths and types agree with the schema.
pub(super) fn assemble(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
    path: &str,
) -> Result<RecordBatch, SourceError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|cause| {
        let found = "columns that contradict the file's schema";
        let expected = "as many rows and the same types as it says";
        SourceError::format(Place::Whole(path.to_owned()), found, expected, "write the file again")
            .because(cause)
    })
}
