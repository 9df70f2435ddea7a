//! Options that all sources have in common.

use std::sync::Arc;

use anabranch_engine::types::{TypeError, canonical, logical_type};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use indexmap::IndexMap;

use super::error::SourceError;
use super::text::TimeFormat;

/// Options that every source takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// Columns that become tags, in this order; the others are packet columns.
    pub tags: Vec<String>,
    /// Columns that make the record id; none = the row's position.
    pub record_id: Vec<String>,
    /// The source id; none = the node's name.
    pub source_id: Option<String>,
    /// True if the stream is the newest version of every record that was ever read, vanished ones
    /// included; needs `record_id` and `source_id`.
    pub cumulative: bool,
    /// Types that columns have whatever the file says.
    pub types: IndexMap<String, DataType>,
}

/// The builder methods of a specification with a field `options`.
macro_rules! option_methods {
    () => {
        /// Columns that become tags, in this order; the others are packet columns.
        #[must_use]
        pub fn tags<T: Into<String>>(mut self, columns: impl IntoIterator<Item = T>) -> Self {
            self.options.tags = columns.into_iter().map(Into::into).collect();
            self
        }

        /// Columns that make the record id; without them it is the row's position.
        #[must_use]
        pub fn record_id<T: Into<String>>(mut self, columns: impl IntoIterator<Item = T>) -> Self {
            self.options.record_id = columns.into_iter().map(Into::into).collect();
            self
        }

        /// The source id; without it, it is the node's name.
        #[must_use]
        pub fn source_id(mut self, source_id: impl Into<String>) -> Self {
            self.options.source_id = Some(source_id.into());
            self
        }

        /// True if the store keeps what was read: the stream is the newest version of every record
        /// ever seen, vanished ones included, in the order in which they appeared first.
        ///
        /// Needs `record_id`, and a `source_id`, under which the records are kept.
        #[must_use]
        pub fn cumulative(mut self, cumulative: bool) -> Self {
            self.options.cumulative = cumulative;
            self
        }

        /// Types that columns have whatever the data say.
        #[must_use]
        pub fn types<T: Into<String>>(
            mut self,
            types: impl IntoIterator<Item = (T, arrow::datatypes::DataType)>,
        ) -> Self {
            self.options.types =
                types.into_iter().map(|(name, data_type)| (name.into(), data_type)).collect();
            self
        }
    };
}
pub(super) use option_methods;

/// The constructor of a specification of files that has only `path` and `options`.
macro_rules! file_methods {
    () => {
        /// The file, or the files that a pattern matches, sorted by name.
        #[must_use]
        pub fn new(path: impl Into<PathBuf>) -> Self {
            Self { path: path.into(), options: SourceOptions::default() }
        }
    };
}
pub(super) use file_methods;

/// The builder method of a specification with a field `formats`.
macro_rules! format_methods {
    () => {
        /// Formats of dates and times by column, in the directives of `strptime`: `%d.%m.%Y`. The
        /// column's type follows from its format, unless `types` names another of the same kind.
        ///
        /// Directives: `%Y %y %m %d %e %b %B %h %j %a %A %H %I %p %M %S %f %z %s`, and `%F %T %R %D`
        /// for several. `%f` is a fraction of a second of any length, `%s` seconds since 1970.
        #[must_use]
        pub fn formats<T: Into<String>, F: Into<String>>(
            mut self,
            formats: impl IntoIterator<Item = (T, F)>,
        ) -> Self {
            self.formats =
                formats.into_iter().map(|(column, format)| (column.into(), format.into())).collect();
            self
        }
    };
}
pub(super) use format_methods;

/// Formats as they are read.
///
/// Errors: the first that is none.
pub(super) fn parsed_formats(
    formats: &IndexMap<String, String>,
) -> Result<IndexMap<String, TimeFormat>, SourceError> {
    let parse = |(column, format): (&String, &String)| {
        let format = TimeFormat::new(format).map_err(|why| {
            let found = format!("{why}, for column \"{column}\"");
            SourceError::option("formats", found, "a format such as %d.%m.%Y", "correct the format")
        })?;
        Ok((column.clone(), format))
    };
    formats.iter().map(parse).collect()
}

/// The places of named columns.
///
/// Errors: the first name that is no column.
pub(super) fn places<'a>(
    option: &'static str,
    names: impl IntoIterator<Item = &'a String>,
    columns: &[String],
) -> Result<Vec<usize>, SourceError> {
    let place = |name: &String| {
        columns.iter().position(|column| column == name).ok_or_else(|| {
            let available = columns.to_vec();
            SourceError::UnknownColumn { option, column: name.clone(), available }
        })
    };
    names.into_iter().map(place).collect()
}

/// The error for a declared type that a source has no values of.
pub(super) fn unreadable_type(
    column: &str,
    data_type: &DataType,
    expected: &str,
    remedy: &str,
) -> SourceError {
    let found = format!("{} for column \"{column}\"", logical_type(data_type));
    SourceError::option("types", found, expected, remedy)
}

/// The type that `types` declares for a column, if any, with nested fields that may be null.
///
/// Errors: one that no stream can carry.
pub(super) fn declared_type(
    types: &IndexMap<String, DataType>,
    path: &str,
    column: &str,
) -> Result<Option<DataType>, SourceError> {
    let declared = types.get(column).map(nullable).transpose();
    declared.map_err(|cause| SourceError::Type { path: path.to_owned(), column: column.to_owned(), cause })
}

/// The canonical type whose nested fields may all be null, since text and JSON can leave any out.
pub(super) fn nullable(data_type: &DataType) -> Result<DataType, TypeError> {
    let inner = |field: &FieldRef| {
        let data_type = nullable(field.data_type())?;
        Ok(Arc::new(Field::clone(field).with_data_type(data_type).with_nullable(true)))
    };
    Ok(match canonical(data_type)? {
        DataType::List(item) => DataType::List(inner(&item)?),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(inner).collect::<Result<Fields, TypeError>>()?)
        }
        other => other,
    })
}
