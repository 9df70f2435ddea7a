//! Arrow columns of the tables, in the Arrow of anabranch and in that of DataFusion.
//!
//! The two versions have the same names for different types, so the code is a macro.

macro_rules! arrays {
    ($module:ident, $arrow:ident) => {
        pub(crate) mod $module {
            use std::ops::Range;
            use std::sync::Arc;

            use $arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringViewArray};
            use $arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};

            use crate::data::Table;
            use crate::tally::text_word;

            /// The fields of a table.
            pub(crate) fn fields(table: &Table) -> [FieldRef; 4] {
                let key = if table.has_text_keys() { DataType::Utf8View } else { DataType::Int64 };
                let types = [key, DataType::Int64, DataType::Float64, DataType::Utf8View];
                let mut types = types.into_iter();
                table
                    .names
                    .map(|name| Arc::new(Field::new(name, types.next().unwrap_or(DataType::Null), false)))
            }

            /// The columns of some rows.
            pub(crate) fn columns(table: &Table, rows: &Range<usize>) -> [ArrayRef; 4] {
                let key: ArrayRef = if table.has_text_keys() {
                    Arc::new(StringViewArray::from_iter_values(table.key_texts(rows.clone())))
                } else {
                    Arc::new(Int64Array::from_iter_values(table.key_numbers(rows.clone())))
                };
                [
                    key,
                    Arc::new(Int64Array::from_iter_values(table.numbers(rows.clone()))),
                    Arc::new(Float64Array::from_iter_values(table.floats(rows.clone()))),
                    Arc::new(StringViewArray::from_iter_values(table.texts(rows.clone()))),
                ]
            }

            /// One word for each value.
            pub(crate) fn words(column: &dyn Array) -> Vec<u64> {
                if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
                    return numbers.values().iter().map(|value| value.cast_unsigned()).collect();
                }
                if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
                    return floats.values().iter().map(|value| value.to_bits()).collect();
                }
                let texts = column.as_string_view_opt();
                texts.map_or_else(Vec::new, |texts| {
                    texts.iter().map(|text| text.map_or(0, text_word)).collect()
                })
            }
        }
    };
}

arrays!(ours, arrow);
arrays!(peers, datafusion_arrow);
