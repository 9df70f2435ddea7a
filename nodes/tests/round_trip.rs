//! Rows that are written are read back: random ones in each format, as far as it can hold them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use anabranch_engine::identity::{PacketHash, PacketHasher};
use anabranch_nodes::sink::{Format, NonFinite, WriteSpec, Writer};
use anabranch_nodes::source::{ArrowFile, Csv, JsonLines, Parquet, Source};
use arrow::array::{
    ArrayRef, AsArray as _, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DurationMicrosecondArray, DurationNanosecondArray, DurationSecondArray, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, ListArray, RecordBatch, StringViewArray, StructArray,
    Time64NanosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Schema, i256};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

/// Days of years 0 to 9999, whose dates every reader takes.
const DAYS: std::ops::Range<i32> = -719_528..2_932_896;
const MICROS: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_799_000_000;

fn column<A: arrow::array::Array + 'static, T: std::fmt::Debug + Clone + 'static>(
    rows: usize,
    value: impl Strategy<Value = T> + 'static,
    make: impl Fn(Vec<Option<T>>) -> A + 'static,
) -> BoxedStrategy<ArrayRef> {
    vec(of(value), rows).prop_map(move |values| Arc::new(make(values)) as ArrayRef).boxed()
}

/// Names of scalar columns and their values.
fn scalars(rows: usize, floats: BoxedStrategy<f64>) -> Vec<(&'static str, BoxedStrategy<ArrayRef>)> {
    let text = prop_oneof![
        "[a-z,\"\n\r \\\\é]{0,6}",
        Just("007".to_owned()),
        Just("NaN".to_owned()),
        Just("null".to_owned()),
        Just("2013-01-01".to_owned()),
    ];
    vec![
        ("bool", column(rows, any::<bool>(), BooleanArray::from)),
        ("int8", column(rows, any::<i8>(), Int8Array::from)),
        ("int64", column(rows, any::<i64>(), Int64Array::from)),
        ("uint64", column(rows, any::<u64>(), UInt64Array::from)),
        ("float32", column(rows, -1e30_f32..1e30, Float32Array::from)),
        ("float64", column(rows, floats, Float64Array::from)),
        ("text", column(rows, text, |v| v.into_iter().collect::<StringViewArray>())),
        ("binary", column(rows, vec(any::<u8>(), 0..20), |v| v.into_iter().collect::<BinaryViewArray>())),
        ("date", column(rows, DAYS, Date32Array::from)),
        ("time", column(rows, 0..86_400_000_000_000_i64, Time64NanosecondArray::from)),
        ("naive", column(rows, MICROS, TimestampMicrosecondArray::from)),
        ("instant", column(rows, MICROS, |v| TimestampMicrosecondArray::from(v).with_timezone("UTC"))),
        ("seconds", column(rows, -60_000_000_000..250_000_000_000_i64, TimestampSecondArray::from)),
        ("duration", column(rows, any::<i64>(), DurationMicrosecondArray::from)),
        (
            "decimal",
            column(rows, -999_999_999..999_999_999_i128, |v| {
                Decimal128Array::from(v).with_precision_and_scale(20, 3).unwrap()
            }),
        ),
    ]
}

/// A list of structs, and a struct with a text.
fn nested(rows: usize) -> BoxedStrategy<Vec<(&'static str, ArrayRef)>> {
    let fields: Fields = [Field::new("a", DataType::Int64, true), Field::new("t", DataType::Utf8View, true)]
        .into_iter()
        .collect();
    let lengths = vec(0..3_usize, rows);
    (lengths, vec(of(any::<i64>()), rows * 3), vec(of("[a-z]{0,3}"), rows * 3))
        .prop_map(move |(lengths, numbers, texts)| {
            let make = |count: usize| {
                let numbers: ArrayRef = Arc::new(numbers.iter().take(count).copied().collect::<Int64Array>());
                let texts: ArrayRef =
                    Arc::new(texts.iter().take(count).cloned().collect::<StringViewArray>());
                StructArray::new(fields.clone(), vec![numbers, texts], None)
            };
            let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
            let items = make(lengths.iter().sum());
            let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), true));
            let list: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(items), None));
            vec![("list", list), ("struct", Arc::new(make(rows)) as ArrayRef)]
        })
        .boxed()
}

/// Every float that is a number.
fn any_float() -> BoxedStrategy<f64> {
    (prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO).boxed()
}

fn batch(floats: fn() -> BoxedStrategy<f64>, with_nested: bool) -> impl Strategy<Value = RecordBatch> {
    (1..40_usize).prop_flat_map(move |rows| {
        let (names, values): (Vec<_>, Vec<_>) = scalars(rows, floats()).into_iter().unzip();
        let more = if with_nested { nested(rows) } else { Just(Vec::new()).boxed() };
        (values, more).prop_map(move |(values, more)| {
            let columns: Vec<(&str, ArrayRef)> = names.iter().copied().zip(values).chain(more).collect();
            let fields: Vec<Field> =
                columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
            let arrays = columns.into_iter().map(|(_, c)| c).collect();
            RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
        })
    })
}

/// Columns of every other type, with any value that their bits can say.
fn every_bit() -> impl Strategy<Value = RecordBatch> {
    (1..30_usize).prop_flat_map(|rows| {
        let scaled = |precision: u8, scale: i8| {
            column(rows, any::<i64>(), move |v| {
                let wide: Decimal128Array = v.into_iter().map(|n| n.map(i128::from)).collect();
                wide.with_precision_and_scale(precision, scale).unwrap()
            })
        };
        let wide = column(rows, any::<i128>(), |v| {
            let wide: Decimal256Array = v.into_iter().map(|n| n.map(i256::from_i128)).collect();
            wide.with_precision_and_scale(76, 40).unwrap()
        });
        let columns = vec![
            column(rows, any::<i16>(), Int16Array::from),
            column(rows, any::<i32>(), Int32Array::from),
            column(rows, any::<u8>(), UInt8Array::from),
            column(rows, any::<u16>(), UInt16Array::from),
            column(rows, any::<u32>(), UInt32Array::from),
            column(rows, any::<u32>().prop_map(f32::from_bits), Float32Array::from),
            column(rows, any::<u64>().prop_map(f64::from_bits), Float64Array::from),
            column(rows, any::<i32>(), Date32Array::from),
            column(rows, any::<i64>(), TimestampMillisecondArray::from),
            column(rows, any::<i64>(), TimestampNanosecondArray::from),
            column(rows, any::<i64>(), DurationSecondArray::from),
            column(rows, any::<i64>(), DurationNanosecondArray::from),
            scaled(19, 0),
            scaled(38, 38),
            wide,
        ];
        columns.prop_map(|columns| {
            let named = columns.into_iter().enumerate().map(|(at, column)| (format!("c{at}"), column));
            RecordBatch::try_from_iter_with_nullable(named.map(|(name, column)| (name, column, true)))
                .unwrap()
        })
    })
}

/// Writes the batch in two pieces and reads it back in pieces of another length.
fn there_and_back(batch: &RecordBatch, format: Format, chunk_rows: usize, typed: bool) -> RecordBatch {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    let mut spec = WriteSpec::new(format, &path);
    spec.json.nan = NonFinite::String;
    let mut writer = Writer::create(&spec, &batch.schema()).unwrap();
    let half = batch.num_rows() / 2;
    writer.write(&batch.slice(0, half)).unwrap();
    writer.write(&batch.slice(half, batch.num_rows() - half)).unwrap();
    writer.finish().unwrap().publish().unwrap();
    let schema = batch.schema();
    let hints = schema.fields().iter().filter(|_| typed).map(|f| (f.name().clone(), f.data_type().clone()));
    let source: Box<dyn Source> = match format {
        Format::Parquet => Box::new(Parquet::new(&path)),
        Format::Csv => Box::new(Csv::new(&path).types(hints)),
        Format::JsonLines => Box::new(JsonLines::new(&path).types(hints)),
        Format::Arrow => Box::new(ArrowFile::new(&path)),
    };
    let planned = source.plan().unwrap();
    let columns = Arc::new(Schema::new(planned.columns().to_vec()));
    let mut reader = planned.open(chunk_rows).unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = reader.next().unwrap() {
        pieces.push(piece);
    }
    concat_batches(&columns, &pieces).unwrap()
}

/// Parquet has no timestamps of seconds, so they come back as milliseconds.
fn assert_same(read: &RecordBatch, written: &RecordBatch) {
    for (field, column) in written.schema().fields().iter().zip(written.columns()) {
        let back = read.column_by_name(field.name()).unwrap();
        let back = match field.data_type() {
            DataType::Timestamp(..) => anabranch_engine::types::convert(back, field.data_type()).unwrap(),
            _ => Arc::clone(back),
        };
        assert_eq!(back.as_ref(), column.as_ref(), "column {}", field.name());
    }
    assert_eq!(hashes(read), hashes(written));
}

/// The packet hashes of the rows.
fn hashes(batch: &RecordBatch) -> Vec<PacketHash> {
    let hasher = PacketHasher::new(batch.schema().fields()).unwrap();
    hasher.hash(batch.columns(), batch.num_rows()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parquet_gives_back_what_was_written(batch in batch(any_float, true), chunk_rows in 1_usize..50) {
        assert_same(&there_and_back(&batch, Format::Parquet, chunk_rows, false), &batch);
    }

    #[test]
    fn arrow_gives_back_what_was_written(batch in batch(any_float, true), chunk_rows in 1_usize..50) {
        assert_same(&there_and_back(&batch, Format::Arrow, chunk_rows, false), &batch);
    }

    #[test]
    fn json_lines_give_back_what_was_written_under_the_same_types(
        batch in batch(any_float, true),
        chunk_rows in 1_usize..50,
    ) {
        assert_same(&there_and_back(&batch, Format::JsonLines, chunk_rows, true), &batch);
    }

    #[test]
    fn csv_gives_back_what_was_written_under_the_same_types(
        batch in batch(any_float, false),
        chunk_rows in 1_usize..50,
    ) {
        assert_same(&there_and_back(&batch, Format::Csv, chunk_rows, true), &batch);
    }

    #[test]
    fn the_same_rows_in_every_format_have_equal_packet_hashes(batch in batch(any_float, false)) {
        let expected = hashes(&batch);
        for format in [Format::Parquet, Format::Arrow, Format::JsonLines, Format::Csv] {
            prop_assert_eq!(&hashes(&there_and_back(&batch, format, 7, true)), &expected, "{:?}", format);
        }
    }

    #[test]
    fn every_format_gives_back_every_type_and_every_bit(batch in every_bit(), chunk_rows in 1_usize..50) {
        for format in [Format::Parquet, Format::Arrow, Format::JsonLines, Format::Csv] {
            let back = there_and_back(&batch, format, chunk_rows, true);
            prop_assert_eq!(hashes(&back), hashes(&batch), "{:?}", format);
        }
    }

    /// Without hints: what has a type of its own in a CSV file.
    #[test]
    fn csv_infers_what_was_written(batch in batch(any_float, false), chunk_rows in 1_usize..50) {
        let kept: Vec<usize> = ["bool", "int64", "float64", "text", "date", "naive", "instant"]
            .iter()
            .map(|name| batch.schema().index_of(name).unwrap())
            .filter(|at| batch.column(*at).null_count() < batch.num_rows())
            .collect();
        prop_assume!(kept.len() > 1);
        let kept = batch.project(&kept).unwrap();
        // A column whose texts all read as numbers or dates is one of numbers or dates, quoted or not.
        prop_assume!(kept.column_by_name("text").is_none_or(|texts| {
            let typed = |text: &str| matches!(text, "007" | "NaN" | "2013-01-01");
            texts.as_string_view().iter().flatten().any(|text| !typed(text))
        }));
        assert_same(&there_and_back(&kept, Format::Csv, chunk_rows, false), &kept);
    }
}
