//! Brings columns into the types of their stream without loss.

use std::sync::Arc;

use anabranch_engine::types::{TypeError, canonical, convert, logical_type, normalise};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringViewBuilder, make_array,
};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use indexmap::IndexMap;

use super::column::column_builder;
use super::error::{Place, SourceError};
use super::text::TextForm;

/// The columns of a stream from the fields of a file and the types asked for.
pub(super) fn bound_columns(
    path: &str,
    fields: &Fields,
    types: &IndexMap<String, DataType>,
) -> Result<Vec<FieldRef>, SourceError> {
    fields
        .iter()
        .map(|field| {
            let data_type = types.get(field.name()).unwrap_or_else(|| field.data_type());
            let column = || field.name().clone();
            let data_type = canonical(data_type).map_err(|cause| SourceError::Type {
                path: path.to_owned(),
                column: column(),
                cause,
            })?;
            Ok(Arc::new(Field::clone(field).with_data_type(data_type)))
        })
        .collect()
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

/// Compares the columns of a file with those of the source's first file.
pub(super) fn same_columns(
    path: &str,
    found: &[FieldRef],
    first: &str,
    expected: &[FieldRef],
) -> Result<(), SourceError> {
    let describe = |field: Option<&FieldRef>| {
        field.map_or("absent".to_owned(), |f| {
            format!("\"{}\" of type {}", f.name(), logical_type(f.data_type()))
        })
    };
    for at in 0..found.len().max(expected.len()) {
        let (here, there) = (found.get(at), expected.get(at));
        let same = |(a, b): (&FieldRef, &FieldRef)| a.name() == b.name() && a.data_type() == b.data_type();
        if here.zip(there).is_some_and(same) {
            continue;
        }
        return Err(SourceError::Differs {
            path: path.into(),
            column: there.or(here).map_or("", |f| f.name().as_str()).into(),
            found: describe(here).into(),
            expected: describe(there).into(),
            first: first.into(),
        });
    }
    Ok(())
}

/// Casts batches to the columns of a stream.
#[derive(Debug, Clone)]
pub(super) struct Casts(SchemaRef);

impl Casts {
    pub(super) fn new(columns: &[FieldRef]) -> Self {
        Self(Arc::new(Schema::new(columns.to_vec())))
    }

    /// The batch in the stream's types; `row` is the position of its first row in the file, for
    /// messages.
    pub(super) fn apply(
        &self,
        batch: &RecordBatch,
        path: &str,
        row: u64,
    ) -> Result<RecordBatch, SourceError> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (column, field) in batch.columns().iter().zip(self.0.fields()) {
            let cast = exact(column, field.data_type()).map_err(|at| SourceError::Value {
                place: Place::Row { path: path.to_owned(), row: row + at as u64 },
                column: field.name().clone(),
                found: "a value that cannot be converted without loss",
                expected: logical_type(field.data_type()),
            })?;
            columns.push(cast);
        }
        assemble(&self.0, columns, batch.num_rows(), path)
    }
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
        SourceError::Format {
            place: Place::Whole(path.to_owned()),
            found: "columns that contradict the file's schema".into(),
            expected: "as many rows and the same types as it says".into(),
            remedy: "write the file again".into(),
            cause: Some(Box::new(cause)),
        }
    })
}

/// The array in another type, or the first row whose value cannot be had without loss.
fn exact(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, usize> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    if *target == DataType::Utf8View && canonical(array.data_type()).is_ok_and(|c| c != *target) {
        return texts(array);
    }
    if matches!(canonical(array.data_type()), Ok(DataType::Utf8View)) && *target != DataType::Utf8View {
        return parsed(array, target);
    }
    if let Some(cast) = as_instants(array, target) {
        return Ok(cast);
    }
    let Ok(cast) = convert(array, target) else {
        let fails = |row: &usize| convert(&array.slice(*row, 1), target).is_err();
        return Err((0..array.len()).find(fails).unwrap_or(0));
    };
    if counts(array.data_type()) && counts(target) && !widens(array.data_type(), target) {
        let back = convert(&cast, array.data_type()).map_err(|_| 0_usize)?;
        let same = not_distinct(&back, array).map_err(|_| 0_usize)?;
        if let Some(row) = first_false(&same) {
            return Err(row);
        }
    }
    Ok(cast)
}

/// The values in their text forms.
fn texts(array: &ArrayRef) -> Result<ArrayRef, usize> {
    let plain = normalise(array).map_err(|_| 0_usize)?;
    let form = TextForm::of(plain.as_ref()).ok_or(0_usize)?;
    let mut values = StringViewBuilder::new();
    let mut text = String::new();
    for row in 0..plain.len() {
        text.clear();
        values.append_option(form.write(row, &mut text).then_some(&text));
    }
    Ok(Arc::new(values.finish()))
}

/// The values that strings stand for.
fn parsed(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, usize> {
    let strings = convert(array, &DataType::Utf8View).map_err(|_| 0_usize)?;
    let strings = strings.as_string_view();
    let mut values = column_builder(target, false).ok_or(0_usize)?;
    for (row, value) in strings.iter().enumerate() {
        match value {
            None => values.null(),
            Some(text) => values.text(text).then_some(()).ok_or(row)?,
        }
    }
    Ok(values.finish())
}

/// Naive timestamps taken for UTC, in the same unit; none for other types.
fn as_instants(array: &ArrayRef, target: &DataType) -> Option<ArrayRef> {
    match (array.data_type(), target) {
        (DataType::Timestamp(a, None), DataType::Timestamp(b, Some(_))) if a == b => {
            array.to_data().into_builder().data_type(target.clone()).build().ok().map(make_array)
        }
        _ => None,
    }
}

fn first_false(values: &BooleanArray) -> Option<usize> {
    if values.false_count() == 0 { None } else { (0..values.len()).find(|row| !values.value(*row)) }
}

/// Types whose casts may drop digits in silence.
fn counts(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type.is_temporal()
}

/// Whether every value of a type has its exact place in the other.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    match (from, to) {
        // Only the name of the zone changes.
        (D::Timestamp(a, x), D::Timestamp(b, y)) => a == b && x.is_some() == y.is_some(),
        (D::Time32(_) | D::Time64(_), D::Time64(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date64Array, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::TimeUnit;

    fn cast(array: impl Array + 'static, target: &DataType) -> Result<ArrayRef, usize> {
        exact(&(Arc::new(array) as ArrayRef), target)
    }

    #[test]
    fn casts_that_would_lose_digits_name_the_row() {
        assert_eq!(cast(Float64Array::from(vec![1.0, 2.5]), &DataType::Int64).unwrap_err(), 1);
        assert_eq!(
            cast(Int64Array::from(vec![1, 1 << 53, (1 << 53) + 1]), &DataType::Float64).unwrap_err(),
            2
        );
        assert_eq!(cast(Int64Array::from(vec![1, 300]), &DataType::UInt8).unwrap_err(), 1);
        assert_eq!(cast(StringArray::from(vec!["1", "x"]), &DataType::Int64).unwrap_err(), 1);
        assert_eq!(cast(Date64Array::from(vec![86_400_000, 86_400_001]), &DataType::Date32).unwrap_err(), 1);
        let whole = cast(Float64Array::from(vec![Some(3.0), None]), &DataType::Int64).unwrap();
        assert_eq!(whole.as_ref(), &Int64Array::from(vec![Some(3), None]) as &dyn Array);
    }

    #[test]
    fn a_naive_timestamp_read_as_an_instant_keeps_its_digits() {
        let naive = arrow::array::TimestampMicrosecondArray::from(vec![1_500_000]);
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let instants = cast(naive.clone(), &utc).unwrap();
        assert_eq!(
            cast(StringArray::from(vec!["1970-01-01T00:00:01.5Z"]), &utc).unwrap().as_ref(),
            &instants
        );
        let texts = cast(naive.clone().with_timezone("UTC"), &DataType::Utf8View).unwrap();
        assert_eq!(texts.as_string_view().value(0), "1970-01-01T00:00:01.5Z");
        assert_eq!(cast(naive, &DataType::Timestamp(TimeUnit::Second, None)).unwrap_err(), 0);
    }
}
