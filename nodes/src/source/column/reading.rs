//! Ways to read a column: as inferred, as declared, or by a format.

use arrow::datatypes::DataType;
use indexmap::IndexMap;

use super::{ColumnBuilder, column_builder, formatted_builder, formatted_type, inferred_builder};
use crate::source::error::SourceError;
use crate::source::options::declared_type;
use crate::source::text::TimeFormat;

/// Way in which the values of a column are read.
#[derive(Debug, Clone)]
pub(in crate::source) enum ColumnReading {
    /// As types are inferred; `any`: a string column takes any JSON value as its text.
    Inferred {
        any: bool,
    },
    Declared,
    Formatted(TimeFormat),
}

impl ColumnReading {
    /// The type of a column and how it is read: by its format, as `types` declares it, or as `inferred` says.
    pub(in crate::source) fn of(
        (path, column): (&str, &str),
        types: &IndexMap<String, DataType>,
        format: Option<&TimeFormat>,
        inferred: (DataType, bool),
    ) -> Result<(DataType, Self), SourceError> {
        if let Some(format) = format {
            let data_type = formatted_type(column, format, types.get(column))?;
            return Ok((data_type, Self::Formatted(format.clone())));
        }
        Ok(match declared_type(types, path, column)? {
            Some(declared) => (declared, Self::Declared),
            None => (inferred.0, Self::Inferred { any: inferred.1 }),
        })
    }

    /// A builder of a column; none for a type that neither text nor JSON can say.
    pub(in crate::source) fn builder(&self, data_type: &DataType) -> Option<Box<dyn ColumnBuilder>> {
        match self {
            Self::Inferred { any } => inferred_builder(data_type, *any),
            Self::Declared => column_builder(data_type, true),
            Self::Formatted(format) => formatted_builder(data_type, format),
        }
    }
}
