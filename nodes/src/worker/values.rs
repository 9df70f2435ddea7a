//! Values on their way to a worker and back.

use anabranch_engine::types::{convert, logical_type, normalise};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanArray, RecordBatch, StringArray, StringViewBuilder,
    new_null_array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use arrow::error::ArrowError;
use serde_json::{Value, json};
use std::sync::Arc;

use super::Answer;
use crate::call::widens;
use crate::call::{Computed, Failure, FailureKind};
use crate::sink::json::JsonForm;
use crate::source::column::{answer_builder, string_builder};
use crate::source::document::{Document, JsonDialect};
use crate::source::text::TextForm;

/// Outputs that code is expected to give: names, and types in canonical form.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) names: Vec<String>,
    pub(crate) types: Vec<DataType>,
}

impl Wanted {
    pub(crate) fn of(outputs: &[FieldRef]) -> Self {
        Self {
            names: outputs.iter().map(|f| f.name().clone()).collect(),
            types: outputs.iter().map(|f| f.data_type().clone()).collect(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &DataType)> {
        self.names.iter().zip(&self.types)
    }
}

/// True if workers can give values of a type.
pub(crate) fn is_answered(data_type: &DataType) -> bool {
    answer_builder(data_type).is_some()
}

/// True if values of a type can be given as JSON.
pub(crate) fn is_given_as_json(data_type: &DataType) -> bool {
    JsonForm::exists_for(data_type)
}

/// True if values of a type can be an argument of a program.
pub(crate) fn is_argument(data_type: &DataType) -> bool {
    TextForm::exists_for(data_type) && !matches!(data_type, DataType::BinaryView)
}

/// Bytes of the values of an array, without what other rows of its buffers hold.
pub(super) fn size_bytes(array: &dyn Array) -> usize {
    // A view's low four bytes are its length.
    let length = |view: &u128| usize::try_from(view & u128::from(u32::MAX)).unwrap_or(usize::MAX >> 8);
    let views = |views: &[u128]| views.iter().map(|view| 16 + length(view)).sum();
    match array.data_type() {
        DataType::Utf8View => views(array.as_string_view().views()),
        DataType::BinaryView => views(array.as_binary_view().views()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let place = |offset: Option<&i32>| offset.and_then(|o| usize::try_from(*o).ok()).unwrap_or(0);
            let (start, end) = (place(offsets.first()), place(offsets.last()));
            4 * list.len() + size_bytes(&*list.values().slice(start, end.saturating_sub(start)))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(|c| size_bytes(&**c)).sum(),
        _ => array.to_data().get_slice_memory_size().unwrap_or_default(),
    }
}

/// The type in which values are handed over: plain strings and binaries, which every library reads,
/// and, for Python's own values, microseconds.
fn handed_over(data_type: &DataType, micros: bool) -> DataType {
    use DataType as D;
    let field = |f: &FieldRef| Arc::new(Field::clone(f).with_data_type(handed_over(f.data_type(), micros)));
    match data_type {
        D::Utf8View => D::Utf8,
        D::BinaryView => D::Binary,
        D::Float16 => D::Float32,
        D::Time64(_) if micros => D::Time64(TimeUnit::Microsecond),
        D::Timestamp(TimeUnit::Nanosecond, zone) if micros => {
            D::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        D::Duration(TimeUnit::Nanosecond) if micros => D::Duration(TimeUnit::Microsecond),
        D::List(item) => D::List(field(item)),
        D::Struct(fields) => D::Struct(fields.iter().map(field).collect::<Fields>()),
        other => other.clone(),
    }
}

/// Fields and columns as they are handed over.
pub(super) fn handed_batch(
    names: &[String],
    columns: &[ArrayRef],
    rows: usize,
    micros: bool,
) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> =
        columns.iter().map(|c| convert(c, &handed_over(c.data_type(), micros))).collect::<Result<_, _>>()?;
    batch(names, columns, rows)
}

/// The columns for JSON: times cut to what Python's values hold, and narrow floats as the wide ones
/// that Python makes of them.
pub(super) fn cut_to_micros(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
    let cut = |c: &ArrayRef| {
        convert(&convert(c, &handed_over(c.data_type(), true))?, &widened_floats(c.data_type()))
    };
    columns.iter().map(cut).collect()
}

fn widened_floats(data_type: &DataType) -> DataType {
    let field = |f: &FieldRef| Arc::new(Field::clone(f).with_data_type(widened_floats(f.data_type())));
    match data_type {
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::List(item) => DataType::List(field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect::<Fields>()),
        other => other.clone(),
    }
}

/// A batch of these columns, in the form they have.
pub(super) fn batch(
    names: &[String],
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<Field> =
        names.iter().zip(&columns).map(|(name, c)| Field::new(name, c.data_type().clone(), true)).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::new(fields)), columns, &options)
}

/// A type as the Python worker reads it.
pub(super) fn described(data_type: &DataType) -> Value {
    match data_type {
        DataType::List(item) => json!({ "type": "list", "item": described(item.data_type()) }),
        DataType::Struct(fields) => {
            let fields: Vec<Value> =
                fields.iter().map(|f| json!([f.name(), described(f.data_type())])).collect();
            json!({ "type": "struct", "fields": fields })
        }
        DataType::Map(entries, _) => {
            let value = match entries.data_type() {
                DataType::Struct(pair) => pair.last().map(|f| described(f.data_type())),
                _ => None,
            };
            json!({ "type": "map", "value": value })
        }
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            json!({ "type": "decimal", "precision": precision, "scale": scale })
        }
        other => json!({ "type": logical_type(other) }),
    }
}

/// A column of an answer in the type that is expected, if its values are the same there.
pub(super) fn fit(column: &ArrayRef, expected: &DataType) -> Result<ArrayRef, String> {
    if *column.data_type() == DataType::Null {
        return Ok(new_null_array(expected, column.len()));
    }
    let unlike =
        || format!("found {}, expected {}", logical_type(column.data_type()), logical_type(expected));
    let canonical = normalise(column).map_err(|_| unlike())?;
    if canonical.data_type() == expected {
        return Ok(canonical);
    }
    let found = canonical.data_type();
    if widens(found, expected) {
        return convert(&canonical, expected).map_err(|_| unlike());
    }
    if logical_type(found) != logical_type(expected) {
        return Err(unlike());
    }
    let lossy = |_| format!("found values that {expected} cannot hold exactly");
    let converted = convert(&canonical, expected).map_err(lossy)?;
    let back = convert(&converted, found).map_err(lossy)?;
    if back == canonical { Ok(converted) } else { Err(lossy(ArrowError::DivideByZero)) }
}

/// The outputs of a batch, with its columns `$keep` and `$error` where it has them.
pub(super) fn outputs_of(batch: &RecordBatch, wanted: &Wanted, rows: usize) -> Result<Answer, String> {
    if batch.num_rows() != rows {
        return Err(format!("found {} rows, expected {rows}, one per packet", batch.num_rows()));
    }
    let names = || wanted.names.join(", ");
    let schema = batch.schema();
    let known = |name: &str| wanted.names.iter().any(|n| n == name) || matches!(name, "$keep" | "$error");
    if let Some(extra) = schema.fields().iter().find(|f| !known(f.name())) {
        return Err(format!("found a column \"{}\", expected {}", extra.name(), names()));
    }
    let mut values = Vec::with_capacity(wanted.names.len());
    for (name, expected) in wanted.iter() {
        let column = batch.column_by_name(name);
        let column = column.ok_or_else(|| format!("found no column \"{name}\", expected {}", names()))?;
        values.push(fit(column, expected).map_err(|why| format!("output \"{name}\": {why}"))?);
    }
    let mut emitted = kept(batch)?;
    let errors = errors(batch)?;
    let mut failures = Vec::new();
    for (row, emitted) in emitted.iter_mut().enumerate() {
        if let Some(errors) = errors.as_ref().filter(|errors| errors.is_valid(row)) {
            *emitted = false;
            failures.push((row, Failure::new(FailureKind::Failed, errors.value(row))));
        }
    }
    Ok(Answer { computed: Computed { emitted, values, failures, author: None }, retire: false })
}

fn kept(batch: &RecordBatch) -> Result<Vec<bool>, String> {
    let Some(column) = batch.column_by_name("$keep") else { return Ok(vec![true; batch.num_rows()]) };
    let keep: Option<&BooleanArray> = column.as_boolean_opt();
    let keep = keep.filter(|keep| keep.null_count() == 0);
    let keep = keep.ok_or("column \"$keep\": found something else than true and false")?;
    Ok(keep.values().iter().collect())
}

fn errors(batch: &RecordBatch) -> Result<Option<StringArray>, String> {
    let Some(column) = batch.column_by_name("$error") else { return Ok(None) };
    if *column.data_type() == DataType::Null {
        return Ok(None);
    }
    let unlike = || "column \"$error\": found something else than strings".to_owned();
    if logical_type(column.data_type()) != "string" {
        return Err(unlike());
    }
    let plain = convert(column, &DataType::Utf8).map_err(|_| unlike())?;
    Ok(plain.as_string_opt::<i32>().cloned())
}

/// The value that a file's bytes stand for: binaries and strings as they are, others by their text.
pub(super) fn value_of_file(bytes: Vec<u8>, expected: &DataType) -> Result<ArrayRef, String> {
    let unlike = || format!("found bytes that do not read as {}", logical_type(expected));
    match expected {
        DataType::BinaryView => {
            let mut values = BinaryViewBuilder::new();
            values.try_append_value(bytes).map_err(|_| unlike())?;
            Ok(Arc::new(values.finish()))
        }
        DataType::Utf8View => {
            let mut values = StringViewBuilder::new();
            let text = String::from_utf8(bytes).map_err(|_| "found bytes that are no UTF-8".to_owned())?;
            values.try_append_value(text).map_err(|_| unlike())?;
            Ok(Arc::new(values.finish()))
        }
        DataType::List(_) | DataType::Struct(_) => {
            let text = String::from_utf8(bytes).ok();
            let value = text.and_then(|text| Document::new(text, JsonDialect::Strict).ok());
            let value = value.ok_or_else(|| "found bytes that are no JSON".to_owned())?;
            let mut values = answer_builder(expected).ok_or_else(unlike)?;
            values.json(value.root()).map_err(|_| unlike())?;
            Ok(values.finish())
        }
        _ => {
            let text = std::str::from_utf8(&bytes).map_err(|_| unlike())?;
            let mut values = string_builder(expected).ok_or_else(unlike)?;
            if values.text(text.trim_ascii()) { Ok(values.finish()) } else { Err(unlike()) }
        }
    }
}

/// A misfit of an answer, as a packet's failure.
pub(super) fn misfit(output: &str, misfit: &crate::source::column::TypeMismatch) -> Failure {
    let mut path = vec![format!("output \"{output}\"")];
    path.extend(misfit.path.iter().map(|key| format!("\"{key}\"")));
    let expected = misfit.expected.as_deref().unwrap_or("a key of its type");
    Failure::new(
        FailureKind::BadAnswer,
        format!("{}: found {}, expected {expected}", path.join(", "), misfit.found),
    )
}
