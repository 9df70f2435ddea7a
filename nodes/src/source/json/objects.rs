//! Objects as rows of columns.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use indexmap::IndexMap;

use super::shape::{KeyBudget, Shape, TooManyKeys};
use crate::source::cast::assemble;
use crate::source::column::ColumnReading;
use crate::source::column::{ColumnBuilder, KeyedColumns, TypeMismatch};
use crate::source::document::Entries;
use crate::source::options::unreadable_type;
use crate::source::text::TimeFormat;
use crate::source::{COLUMNS, SourceError, batch_rows};

/// Columns being learnt from objects, in the order in which keys first occur.
#[derive(Debug)]
pub(crate) struct ObjectColumns<'a> {
    types: &'a IndexMap<String, DataType>,
    renamed: &'a IndexMap<String, String>,
    formats: &'a IndexMap<String, TimeFormat>,
    keys: IndexMap<String, Shape>,
    budget: KeyBudget,
}

impl<'a> ObjectColumns<'a> {
    /// `renamed` has the columns of keys that bear other names.
    pub(crate) fn new(
        types: &'a IndexMap<String, DataType>,
        renamed: &'a IndexMap<String, String>,
        formats: &'a IndexMap<String, TimeFormat>,
    ) -> Self {
        Self { types, renamed, formats, keys: IndexMap::new(), budget: KeyBudget(COLUMNS) }
    }

    /// Takes an object into account.
    pub(crate) fn add(&mut self, entries: Entries<'_>) -> Result<(), TooManyKeys> {
        for (key, value) in entries {
            let place = match self.keys.get_index_of(key.as_ref()) {
                Some(place) => place,
                None => self.insert(key.into_owned())?,
            };
            let Some((key, shape)) = self.keys.get_index_mut(place) else {
                panic!("a key that was found or inserted has its place")
            };
            let name = self.renamed.get(key).unwrap_or(key);
            if !self.types.contains_key(name) && !self.formats.contains_key(name) {
                shape.add(value, 0, &mut self.budget)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, key: String) -> Result<usize, TooManyKeys> {
        self.budget.0 = self.budget.0.checked_sub(1).ok_or(TooManyKeys)?;
        Ok(self.keys.insert_full(key, Shape::Unknown).0)
    }

    /// The keys so far.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        self.keys.keys()
    }

    /// The columns; those named under `types` that did not occur stand last.
    pub(crate) fn rows(mut self, path: &str) -> Result<ObjectRows, SourceError> {
        for name in self.types.keys().chain(self.formats.keys()) {
            let key = self.renamed.iter().find(|(_, column)| *column == name).map_or(name, |(key, _)| key);
            self.keys.entry(key.clone()).or_default();
        }
        let mut columns = Vec::with_capacity(self.keys.len());
        for (key, shape) in &self.keys {
            let name = self.renamed.get(key).unwrap_or(key);
            let (format, inferred) = (self.formats.get(name), (shape.data_type(), shape.is_any()));
            let (data_type, reading) = ColumnReading::of((path, name), self.types, format, inferred)?;
            let field = Arc::new(Field::new(name, data_type, true));
            let column = ObjectColumn { key: key.clone(), reading, field };
            if column.builder().is_none() {
                let remedy = "read it as a string, or keep the data as parquet or arrow";
                let expected = "a type that a JSON value can hold";
                return Err(unreadable_type(name, column.field.data_type(), expected, remedy));
            }
            columns.push(column);
        }
        let fields: Vec<FieldRef> = columns.iter().map(|column| Arc::clone(&column.field)).collect();
        Ok(ObjectRows { schema: Arc::new(Schema::new(fields.clone())), fields, columns })
    }
}

/// A column and how it is read.
#[derive(Debug)]
struct ObjectColumn {
    key: String,
    field: FieldRef,
    reading: ColumnReading,
}

impl ObjectColumn {
    fn builder(&self) -> Option<Box<dyn ColumnBuilder>> {
        self.reading.builder(self.field.data_type())
    }
}

/// Columns that objects become.
#[derive(Debug)]
pub(crate) struct ObjectRows {
    pub(crate) fields: Vec<FieldRef>,
    schema: SchemaRef,
    columns: Vec<ObjectColumn>,
}

impl ObjectRows {
    /// Rows that a batch may have, where at most `chunk_rows` are wanted.
    pub(crate) fn batch_rows(&self, chunk_rows: usize) -> usize {
        batch_rows(chunk_rows, self.fields.len())
    }

    pub(crate) fn builder(&self) -> ObjectBuilder {
        let columns = self.columns.iter().filter_map(ObjectColumn::builder).collect();
        let columns = KeyedColumns::new(self.columns.iter().map(|column| column.key.clone()), columns);
        ObjectBuilder { schema: Arc::clone(&self.schema), columns, rows: 0 }
    }
}

/// Rows being gathered.
pub(crate) struct ObjectBuilder {
    schema: SchemaRef,
    columns: KeyedColumns,
    pub(crate) rows: usize,
}

impl ObjectBuilder {
    /// Appends a row. After an error the builder is of no use.
    pub(crate) fn append(&mut self, entries: Entries<'_>) -> Result<(), TypeMismatch> {
        self.columns.append(entries)?;
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self, path: &str) -> Result<RecordBatch, SourceError> {
        assemble(&self.schema, self.columns.finish(), self.rows, path)
    }
}
