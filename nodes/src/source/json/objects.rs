//! Objects as rows of columns.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use indexmap::IndexMap;

use super::shape::{Shape, add_object};
use super::{Object, unreadable};
use crate::source::SourceError;
use crate::source::cast::{assemble, nullable};
use crate::source::column::{ColumnBuilder, Misfit, append_object, column_builder};

/// Columns being learnt from objects, in the order in which keys first occur.
#[derive(Debug, Default)]
pub(crate) struct ObjectColumns(IndexMap<String, Shape>);

impl ObjectColumns {
    pub(crate) fn add(&mut self, object: &Object) {
        add_object(&mut self.0, object);
    }

    /// The columns; those named under `types` that did not occur stand last.
    pub(crate) fn rows(
        mut self,
        types: &IndexMap<String, DataType>,
        path: &str,
    ) -> Result<ObjectRows, SourceError> {
        for name in types.keys() {
            self.0.entry(name.clone()).or_default();
        }
        let (mut fields, mut any) = (Vec::new(), Vec::new());
        for (name, shape) in &self.0 {
            let data_type = match types.get(name) {
                Some(data_type) => nullable(data_type).map_err(|cause| SourceError::Type {
                    path: path.to_owned(),
                    column: name.clone(),
                    cause,
                })?,
                None => shape.data_type(),
            };
            if column_builder(&data_type, false).is_none() {
                return Err(unreadable(name, &data_type));
            }
            fields.push(Arc::new(Field::new(name, data_type, true)));
            any.push(types.contains_key(name) || shape.is_any());
        }
        Ok(ObjectRows { fields: fields.clone(), schema: Arc::new(Schema::new(fields)), any })
    }
}

/// Columns that objects become.
#[derive(Debug)]
pub(crate) struct ObjectRows {
    fields: Vec<FieldRef>,
    schema: SchemaRef,
    /// For each column, whether a string column takes any value as its JSON text.
    any: Vec<bool>,
}

impl ObjectRows {
    pub(crate) fn columns(&self) -> &[FieldRef] {
        &self.fields
    }

    pub(crate) fn builder(&self) -> ObjectBuilder {
        let columns = self.fields.iter().zip(&self.any);
        let columns = columns.filter_map(|(f, any)| column_builder(f.data_type(), *any)).collect();
        ObjectBuilder { schema: Arc::clone(&self.schema), columns, rows: 0 }
    }
}

/// Rows being gathered.
pub(crate) struct ObjectBuilder {
    schema: SchemaRef,
    columns: Vec<Box<dyn ColumnBuilder>>,
    rows: usize,
}

impl ObjectBuilder {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends a row. After an error the builder is of no use.
    pub(crate) fn append(&mut self, object: &Object) -> Result<(), Misfit> {
        append_object(self.schema.fields(), &mut self.columns, object)?;
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self, path: &str) -> Result<RecordBatch, SourceError> {
        let arrays = self.columns.iter_mut().map(|c| c.finish()).collect();
        assemble(&self.schema, arrays, self.rows, path)
    }
}
