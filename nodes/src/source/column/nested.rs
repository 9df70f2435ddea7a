//! Builders of columns of lists and of structs, and of the columns that objects go into.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, NullBufferBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef, Fields};
use hashbrown::HashMap;

use super::super::document::{Entries, Json, View};
use super::{ColumnBuilder, ReadOptions, TypeMismatch, builder, misfit};

pub(super) struct Lists {
    item: FieldRef,
    items: Box<dyn ColumnBuilder>,
    count: i32,
    lengths: Vec<usize>,
    present: NullBufferBuilder,
}

impl Lists {
    pub(super) fn new(item: &FieldRef, reading: ReadOptions) -> Option<Self> {
        let items = builder(item.data_type(), reading.within())?;
        let item = Arc::clone(item);
        Some(Self { item, items, count: 0, lengths: Vec::new(), present: NullBufferBuilder::new(0) })
    }
}

impl ColumnBuilder for Lists {
    fn text(&mut self, _: &str) -> bool {
        false
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), TypeMismatch> {
        let list = || DataType::List(Arc::clone(&self.item));
        let items = match value.view() {
            View::Null => {
                self.null();
                return Ok(());
            }
            View::Array(items) => items,
            _ => return Err(misfit(value, &list())),
        };
        let mut length = 0;
        for item in items {
            self.count = self.count.checked_add(1).ok_or_else(|| misfit(value, &list()))?;
            self.items.json(item).map_err(|m| m.within("[]"))?;
            length += 1;
        }
        self.lengths.push(length);
        self.present.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        self.lengths.push(0);
        self.present.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        self.count = 0;
        Arc::new(ListArray::new(Arc::clone(&self.item), offsets, self.items.finish(), self.present.finish()))
    }
}

/// Columns that objects are appended to, one per key; keys that are absent are null.
pub(in super::super) struct KeyedColumns {
    names: Vec<String>,
    places: HashMap<String, usize>,
    columns: Vec<Box<dyn ColumnBuilder>>,
    /// For each column, the object that it has a value of, counted from 1.
    filled: Vec<u64>,
    objects: u64,
}

impl KeyedColumns {
    pub(in super::super) fn new(
        names: impl IntoIterator<Item = String>,
        columns: Vec<Box<dyn ColumnBuilder>>,
    ) -> Self {
        let names: Vec<String> = names.into_iter().collect();
        let places = names.iter().cloned().zip(0..).collect();
        Self { filled: vec![0; names.len()], names, places, columns, objects: 0 }
    }

    /// Appends an object. After an error the columns are of no use.
    pub(in super::super) fn append(&mut self, entries: Entries<'_>) -> Result<(), TypeMismatch> {
        self.objects += 1;
        // Keys mostly come in the order of the columns.
        let mut next = 0;
        for (key, value) in entries {
            let expected = self.names.get(next).is_some_and(|name| *name == key);
            let at = if expected { Some(next) } else { self.places.get(key.as_ref()).copied() };
            let wrong = |found| TypeMismatch { path: vec![key.clone().into_owned()], found, expected: None };
            let at = at.ok_or_else(|| wrong(UNKNOWN_KEY))?;
            let (Some(column), Some(filled)) = (self.columns.get_mut(at), self.filled.get_mut(at)) else {
                return Err(wrong(UNKNOWN_KEY));
            };
            if *filled == self.objects {
                return Err(wrong(REPEATED_KEY));
            }
            *filled = self.objects;
            column.json(value).map_err(|m| m.within(&key))?;
            next = at + 1;
        }
        for (column, filled) in self.columns.iter_mut().zip(&self.filled) {
            if *filled != self.objects {
                column.null();
            }
        }
        Ok(())
    }

    fn null(&mut self) {
        self.columns.iter_mut().for_each(|column| column.null());
    }

    pub(in super::super) fn finish(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(|column| column.finish()).collect()
    }
}

/// A key that no column has.
pub(in super::super) const UNKNOWN_KEY: &str = "a key not seen before";
/// A key that an object has twice.
pub(in super::super) const REPEATED_KEY: &str = "a key that the object has twice";

pub(super) struct Structs {
    fields: Fields,
    children: KeyedColumns,
    present: NullBufferBuilder,
}

impl Structs {
    pub(super) fn new(fields: &Fields, reading: ReadOptions) -> Option<Self> {
        let child = |f: &FieldRef| builder(f.data_type(), reading.within());
        let columns = fields.iter().map(child).collect::<Option<_>>()?;
        let children = KeyedColumns::new(fields.iter().map(|f| f.name().clone()), columns);
        Some(Self { fields: fields.clone(), children, present: NullBufferBuilder::new(0) })
    }
}

impl ColumnBuilder for Structs {
    fn text(&mut self, _: &str) -> bool {
        false
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), TypeMismatch> {
        match value.view() {
            View::Null => {
                self.null();
                return Ok(());
            }
            View::Object(entries) => self.children.append(entries)?,
            _ => return Err(misfit(value, &DataType::Struct(self.fields.clone()))),
        }
        self.present.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        self.children.null();
        self.present.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let rows = self.present.len();
        let present = self.present.finish();
        if self.fields.is_empty() {
            return Arc::new(StructArray::new_empty_fields(rows, present));
        }
        Arc::new(StructArray::new(self.fields.clone(), self.children.finish(), present))
    }
}
