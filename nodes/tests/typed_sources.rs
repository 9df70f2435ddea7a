//! Types across sources: what files mean by their types, and files that say the same differently.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::types::{logical_type, parse_type};
use anabranch_nodes::source::{ArrowFile, Parquet, Source, SourceError};
use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
    LargeStringArray, RecordBatch, StringArray, StringViewArray, StructArray, TimestampMillisecondArray,
    TimestampSecondArray, new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{
    DataType, Field, Fields, Int32Type, Int64Type, Schema, TimestampMicrosecondType, TimestampNanosecondType,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Encoding;
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType as ParquetType, FixedLenByteArray, FixedLenByteArrayType, Int96,
    Int96Type,
};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::SchemaDescriptor;
use tempfile::TempDir;

fn read(source: &dyn Source) -> Result<RecordBatch, SourceError> {
    let planned = source.plan()?;
    let columns = Arc::new(Schema::new(planned.columns().to_vec()));
    let mut reader = planned.open(3)?;
    let mut batches = Vec::new();
    while let Some(batch) = reader.next()? {
        batches.push(batch);
    }
    Ok(concat_batches(&columns, &batches).unwrap())
}

fn fails(source: &dyn Source) -> String {
    let error = read(source).map(|batch| panic!("{batch:?} was read")).unwrap_err();
    let mut text = error.to_string();
    let mut below = std::error::Error::source(&error);
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}

/// Values and levels of one column.
struct Leaf<'a, T: ParquetType> {
    values: &'a [T::T],
    definition: Option<&'a [i16]>,
    repetition: Option<&'a [i16]>,
}

/// A file of one column in each of the batches' pages, written by the format's low-level writer.
fn write<T: ParquetType>(path: &Path, schema: &str, properties: WriterProperties, leaves: &[Leaf<'_, T>]) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    for leaf in leaves {
        column.typed::<T>().write_batch(leaf.values, leaf.definition, leaf.repetition).unwrap();
    }
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

fn plain() -> WriterProperties {
    WriterProperties::builder().build()
}

fn in_folder(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    (folder, path)
}

fn bytes(values: &[&[u8]]) -> Vec<ByteArray> {
    values.iter().map(|value| ByteArray::from(value.to_vec())).collect()
}

fn typed(path: &Path, column: &str, name: &str) -> Parquet {
    Parquet::new(path).types([(column, parse_type(name).unwrap())])
}

#[test]
fn enum_and_json_columns_are_strings_that_are_checked() {
    for logical in ["ENUM", "JSON"] {
        let (_folder, path) = in_folder("in.parquet");
        let schema = format!("message m {{ required binary c ({logical}); }}");
        let values = bytes(&[b"RED", "zoé".as_bytes()]);
        let leaf = Leaf::<ByteArrayType> { values: &values, definition: None, repetition: None };
        write(&path, &schema, plain(), &[leaf]);
        let batch = read(&Parquet::new(&path)).unwrap();
        assert_eq!(batch.column(0).as_ref(), &StringViewArray::from(vec!["RED", "zoé"]) as &dyn Array);
        let values = bytes(&[b"a", b"\xff"]);
        let leaf = Leaf::<ByteArrayType> { values: &values, definition: None, repetition: None };
        write(&path, &schema, plain(), &[leaf]);
        // A build with debug assertions lets the library find it first, which names no row.
        let error = fails(&Parquet::new(&path));
        assert!(error.contains("in.parquet"), "{error}");
        assert!(
            logical == "JSON"
                || error.contains("row 1 (counted from 0): column \"c\" has bytes that are not UTF-8"),
            "{error}"
        );
    }
}

#[test]
fn bare_bytes_declared_a_string_are_checked_also_within_lists() {
    let (_folder, path) = in_folder("in.parquet");
    let schema = "message m { repeated binary c; }";
    let values = bytes(&[b"a", b"b", b"\xff"]);
    let leaf =
        Leaf::<ByteArrayType> { values: &values, definition: Some(&[1, 1, 1]), repetition: Some(&[0, 1, 0]) };
    write(&path, schema, plain(), &[leaf]);
    let error = fails(&typed(&path, "c", "list<string>"));
    assert!(error.contains("row 1 (counted from 0): column \"c[]\" has bytes that are not UTF-8"), "{error}");
    let error = fails(&typed(&path, "c", "list<int64>"));
    assert!(error.contains("column \"c[]\" is binary, expected a type that can be read as int64"), "{error}");
}

#[test]
fn a_uuid_is_a_string_in_its_usual_form_or_its_bytes() {
    let (_folder, path) = in_folder("in.parquet");
    let schema = "message m { optional fixed_len_byte_array(16) id (UUID); }";
    let raw: Vec<u8> = (0..16).map(|n| n * 17).collect();
    let values = vec![FixedLenByteArray::from(raw.clone())];
    let leaf = Leaf::<FixedLenByteArrayType> { values: &values, definition: Some(&[1, 0]), repetition: None };
    write(&path, schema, plain(), &[leaf]);
    let batch = read(&Parquet::new(&path)).unwrap();
    let expected = StringViewArray::from(vec![Some("00112233-4455-6677-8899-aabbccddeeff"), None]);
    assert_eq!(batch.column(0).as_ref(), &expected as &dyn Array);
    let batch = read(&typed(&path, "id", "binary")).unwrap();
    assert_eq!(batch.column(0).as_binary_view().value(0), raw);
}

#[test]
fn an_interval_is_refused_by_its_name() {
    let (_folder, path) = in_folder("in.parquet");
    let values = vec![FixedLenByteArray::from(vec![0; 12])];
    let leaf = Leaf::<FixedLenByteArrayType> { values: &values, definition: None, repetition: None };
    write(&path, "message m { required fixed_len_byte_array(12) i (INTERVAL); }", plain(), &[leaf]);
    let error = fails(&Parquet::new(&path));
    assert!(error.contains("column \"i\" cannot be read") && error.contains("Interval"), "{error}");
}

/// Days since 1970 and nanoseconds of the day.
fn int96(days: i32, nanos: u64) -> Int96 {
    let day = u32::try_from(days + 2_440_588).unwrap();
    let mut value = Int96::new();
    value.set_data(u32::try_from(nanos & 0xffff_ffff).unwrap(), u32::try_from(nanos >> 32).unwrap(), day);
    value
}

#[test]
fn int96_timestamps_are_exact_in_either_unit_or_refused() {
    let (_folder, path) = in_folder("in.parquet");
    let schema = "message m { required int96 t; }";
    for dictionary in [true, false] {
        let properties = || WriterProperties::builder().set_dictionary_enabled(dictionary).build();
        let put = |values: &[Int96]| {
            write(
                &path,
                schema,
                properties(),
                &[Leaf::<Int96Type> { values, definition: None, repetition: None }],
            );
        };
        put(&[int96(0, 1), int96(-1, 0)]);
        let batch = read(&Parquet::new(&path)).unwrap();
        let nanos = batch.column(0).as_primitive::<TimestampNanosecondType>();
        assert_eq!(nanos.values().to_vec(), [1, -86_400_000_000_000]);
        let error = fails(&typed(&path, "t", "timestamp"));
        assert!(error.contains("a timestamp that cannot be read without loss in column \"t\""), "{error}");
        // 9999-12-31, which many writers put for "never", is beyond 64 bits of nanoseconds.
        put(&[int96(0, 1_000), int96(2_932_896, 0)]);
        let error = fails(&Parquet::new(&path));
        assert!(error.contains("column \"t\"") && error.contains("types: { COLUMN: timestamp }"), "{error}");
        let batch = read(&typed(&path, "t", "timestamp")).unwrap();
        let micros = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(micros.values().to_vec(), [1, 2_932_896 * 86_400_000_000]);
    }
}

#[test]
fn other_logical_types_are_what_they_say() {
    let cases = [
        ("int32 c (INTEGER(8, true))", "int8"),
        ("int32 c (INTEGER(16, false))", "uint16"),
        ("int64 c (INTEGER(64, false))", "uint64"),
        ("int32 c (DATE)", "date"),
        ("int32 c (TIME(MILLIS, true))", "time"),
        ("int64 c (TIME(NANOS, false))", "time"),
        ("int64 c (TIMESTAMP(MILLIS, true))", "timestamp_utc"),
        ("int64 c (TIMESTAMP(NANOS, false))", "timestamp"),
        ("int32 c (DECIMAL(9, 2))", "decimal(2)"),
        ("int64 c (DECIMAL(18, 0))", "decimal(0)"),
        ("binary c (DECIMAL(30, 3))", "decimal(3)"),
        ("fixed_len_byte_array(16) c (DECIMAL(38, 10))", "decimal(10)"),
        ("fixed_len_byte_array(2) c (FLOAT16)", "float16"),
        ("binary c (UTF8)", "string"),
        ("binary c (BSON)", "binary"),
        ("group c (LIST) { repeated int32 element; }", "list<int32>"),
        ("group c (LIST) { repeated group array { required int32 n; } }", "list<struct<\"n\":int32>>"),
        (
            "group c (MAP) { repeated group key_value { required binary key (UTF8); optional int32 value; } }",
            "map<string,int32>",
        ),
    ];
    for (column, expected) in cases {
        let (_folder, path) = in_folder("in.parquet");
        let schema = Arc::new(
            parse_message_type(&format!("message m {{ optional {column} }}").replace(") }", "); }")).unwrap(),
        );
        let writer =
            SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::new(plain())).unwrap();
        writer.close().unwrap();
        let planned = Parquet::new(&path).plan().unwrap();
        assert_eq!(logical_type(planned.columns().first().unwrap().data_type()), expected, "{column}");
    }
}

/// Lists of growing lengths, of which many are longer than a page.
fn long_lists() -> (Vec<i32>, Vec<i16>, Vec<i16>, Vec<usize>) {
    let lengths: Vec<usize> = (0..200).map(|n| (n * 7) % 61).collect();
    let (mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
    for length in &lengths {
        if *length == 0 {
            definition.push(0);
            repetition.push(0);
        }
        for at in 0..*length {
            values.push(i32::try_from(values.len()).unwrap());
            definition.push(1);
            repetition.push(i16::from(at > 0));
        }
    }
    (values, definition, repetition, lengths)
}

/// Levels of 0 and 1 as one run of packed bits, least first.
fn packed(levels: &[i16]) -> Vec<u8> {
    let bytes = levels
        .chunks(8)
        .map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit == 1) << at));
    let groups = u8::try_from(levels.len().div_ceil(8)).unwrap();
    std::iter::once(groups << 1 | 1).chain(bytes).collect()
}

/// A page of lists of plain integers.
fn page(version: i32, values: &[i32], definition: &[i16], repetition: &[i16]) -> Page {
    let plain: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let (levels, count) =
        ([packed(repetition), packed(definition)], u32::try_from(definition.len()).unwrap());
    if version == 2 {
        return Page::DataPageV2 {
            buf: [levels.concat(), plain].concat().into(),
            num_values: count,
            encoding: Encoding::PLAIN,
            num_nulls: count - u32::try_from(values.len()).unwrap(),
            num_rows: u32::try_from(repetition.iter().filter(|level| **level == 0).count()).unwrap(),
            def_levels_byte_len: u32::try_from(levels[1].len()).unwrap(),
            rep_levels_byte_len: u32::try_from(levels[0].len()).unwrap(),
            is_compressed: false,
            statistics: None,
        };
    }
    let framed =
        levels.map(|bits| [u32::try_from(bits.len()).unwrap().to_le_bytes().to_vec(), bits].concat());
    Page::DataPage {
        buf: [framed.concat(), plain].concat().into(),
        num_values: count,
        encoding: Encoding::PLAIN,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    }
}

/// A file of lists whose pages have 16 levels each, wherever rows end. `more` is added to the values
/// that the footer counts.
fn write_torn(path: &Path, version: i32, more: i64) -> (Vec<i32>, Vec<usize>) {
    let (values, definition, repetition, lengths) = long_lists();
    let mut sink = TrackedWrite::new(Vec::new());
    let mut pages = SerializedPageWriter::new(&mut sink);
    let mut rest = values.as_slice();
    for (definition, repetition) in definition.chunks(16).zip(repetition.chunks(16)) {
        let (here, behind) = rest.split_at(definition.iter().filter(|level| **level == 1).count());
        rest = behind;
        let page = page(version, here, definition, repetition);
        let bytes = page.buffer().len();
        pages.write_page(CompressedPage::new(page, bytes)).unwrap();
    }
    let data = sink.into_inner().unwrap();
    let pages_path = path.with_extension("pages");
    std::fs::write(&pages_path, &data).unwrap();
    let schema = Arc::new(parse_message_type("message m { repeated int32 c; }").unwrap());
    let size = i64::try_from(data.len()).unwrap();
    let descriptor = SchemaDescriptor::new(Arc::clone(&schema)).column(0);
    let metadata = ColumnChunkMetaData::builder(descriptor)
        .set_num_values(i64::try_from(definition.len()).unwrap() + more)
        .set_total_compressed_size(size)
        .set_total_uncompressed_size(size)
        .set_data_page_offset(0)
        .build()
        .unwrap();
    let rows_written = lengths.len() as u64;
    let closed = ColumnCloseResult {
        bytes_written: data.len() as u64,
        rows_written,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(plain())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    group.append_column(&File::open(pages_path).unwrap(), closed).unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    (values, lengths)
}

#[test]
fn rows_that_go_on_in_the_next_page_are_whole_in_either_version_of_pages() {
    for version in [1, 2] {
        let (_folder, path) = in_folder("in.parquet");
        let (values, lengths) = write_torn(&path, version, 0);
        let batch = read(&Parquet::new(&path)).unwrap();
        let lists = batch.column(0).as_list::<i32>();
        let found: Vec<usize> = lists.iter().map(|list| list.unwrap().len()).collect();
        assert_eq!(found, lengths);
        assert_eq!(lists.values().as_primitive::<Int32Type>().values().to_vec(), values);
    }
}

#[test]
fn pages_that_do_not_have_what_the_footer_counts_are_refused() {
    let (_folder, path) = in_folder("in.parquet");
    write_torn(&path, 2, 1);
    let error = fails(&Parquet::new(&path));
    assert!(
        error.contains("another number of values in column \"c\", expected as many values as the footer"),
        "{error}"
    );
}

#[test]
fn a_byte_that_was_changed_is_found_by_the_checksum_of_its_page() {
    let (_folder, path) = in_folder("in.parquet");
    // Written by pyarrow, since the writer here makes no checksums.
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checksums.parquet");
    assert_eq!(read(&Parquet::new(&whole)).unwrap().num_rows(), 100);
    let mut file = std::fs::read(&whole).unwrap();
    let at = file.windows(4).position(|four| four == 77_i32.to_le_bytes()).unwrap();
    file[at] = 78;
    std::fs::write(&path, file).unwrap();
    let error = fails(&Parquet::new(&path));
    assert!(error.contains("CRC checksum"), "{error}");
}

fn write_batch(path: &Path, batch: &RecordBatch) {
    let file = File::create(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "arrow") {
        let mut writer = arrow::ipc::writer::FileWriter::try_new(file, &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
    } else {
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
    }
}

fn batch(columns: &[(&str, bool, ArrayRef)]) -> RecordBatch {
    let field = |(name, nullable, column): &(&str, bool, ArrayRef)| {
        Field::new(*name, column.data_type().clone(), *nullable)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.iter().map(|(_, _, column)| Arc::clone(column)).collect())
        .unwrap()
}

fn structs(fields: &[(&str, ArrayRef)]) -> ArrayRef {
    let columns = fields.iter().map(|(_, column)| Arc::clone(column)).collect();
    let fields: Fields =
        fields.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    Arc::new(StructArray::new(fields, columns, None))
}

/// The same table as two writers put it: other orders, widths, units, forms of strings and nulls.
fn two_of_a_kind() -> [RecordBatch; 2] {
    let dictionary: DictionaryArray<Int32Type> = ["a", "b"].into_iter().collect();
    let one = batch(&[
        ("n", false, Arc::new(Int32Array::from(vec![1, 2]))),
        ("x", true, Arc::new(Float32Array::from(vec![0.5, 1.5]))),
        ("s", true, Arc::new(dictionary)),
        ("t", true, Arc::new(TimestampSecondArray::from(vec![1, 2]))),
        ("z", true, Arc::new(new_null_array(&DataType::Null, 2))),
        (
            "p",
            true,
            structs(&[
                ("lat", Arc::new(Int32Array::from(vec![1, 2]))),
                ("lon", Arc::new(StringArray::from(vec!["e", "f"]))),
            ]),
        ),
    ]);
    let other = batch(&[
        (
            "p",
            true,
            structs(&[
                ("lon", Arc::new(LargeStringArray::from(vec!["g", "h"]))),
                ("lat", Arc::new(Int64Array::from(vec![3, 1 << 40]))),
            ]),
        ),
        ("z", true, Arc::new(Int64Array::from(vec![7, 8]))),
        ("t", true, Arc::new(TimestampMillisecondArray::from(vec![3_500, 4_000]))),
        ("s", true, Arc::new(LargeStringArray::from(vec![Some("c"), None]))),
        ("x", true, Arc::new(Float64Array::from(vec![0.1, 2.5]))),
        ("n", true, Arc::new(Int64Array::from(vec![Some(1 << 40), None]))),
    ]);
    [one, other]
}

#[test]
fn files_that_differ_in_order_width_unit_and_form_are_one_stream() {
    for ending in ["parquet", "arrow"] {
        for turned in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut kinds = two_of_a_kind();
            if turned {
                kinds.reverse();
            }
            for (name, kind) in ["a", "b"].iter().zip(&kinds) {
                write_batch(&folder.path().join(format!("{name}.{ending}")), kind);
            }
            let pattern = folder.path().join(format!("*.{ending}"));
            let rows = match ending {
                "arrow" => read(&ArrowFile::new(pattern)).unwrap(),
                _ => read(&Parquet::new(pattern)).unwrap(),
            };
            let mut order = [0, 1, 2, 3];
            if turned {
                order.rotate_left(2);
            }
            let at = |row: usize| order.iter().position(|at| *at == row).unwrap();
            let numbers = rows.column_by_name("n").unwrap().as_primitive::<Int64Type>();
            assert_eq!(
                (numbers.value(at(1)), numbers.value(at(2)), numbers.is_null(at(3))),
                (2, 1 << 40, true)
            );
            let places = rows.column_by_name("p").unwrap().as_struct();
            let lat = places.column_by_name("lat").unwrap().as_primitive::<Int64Type>();
            let lon = places.column_by_name("lon").unwrap().as_string_view();
            assert_eq!(
                (lat.value(at(0)), lat.value(at(3)), lon.value(at(0)), lon.value(at(3))),
                (1, 1 << 40, "e", "h")
            );
            let schema = rows.schema();
            let types: Vec<String> = ["x", "s", "t", "z"]
                .map(|name| schema.field_with_name(name).unwrap().data_type().to_string())
                .to_vec();
            assert_eq!(types, ["Float64", "Utf8View", "Timestamp(ms)", "Int64"]);
        }
    }
}

#[test]
fn a_column_that_a_file_lacks_or_has_in_another_kind_names_both_files() {
    let folder = tempfile::tempdir().unwrap();
    let [one, _] = two_of_a_kind();
    write_batch(&folder.path().join("a.parquet"), &one);
    let pattern = folder.path().join("*.parquet");
    for (column, other) in [
        ("z", one.project(&[0, 1, 2, 3, 5]).unwrap()),
        ("n", {
            let mut columns = one.columns().to_vec();
            columns[0] = Arc::new(Float64Array::from(vec![1.0, 2.0]));
            let names = ["n", "x", "s", "t", "z", "p"];
            batch(&names.iter().zip(columns).map(|(name, column)| (*name, true, column)).collect::<Vec<_>>())
        }),
    ] {
        write_batch(&folder.path().join("b.parquet"), &other);
        let error = fails(&Parquet::new(&pattern));
        let named = format!("b.parquet: column \"{column}\" is ");
        assert!(error.contains(&named) && error.contains("a.parquet"), "{error}");
    }
}

#[test]
fn a_declared_struct_goes_by_the_names_of_its_fields() {
    let (_folder, path) = in_folder("in.parquet");
    let [one, _] = two_of_a_kind();
    write_batch(&path, &one);
    let rows = read(&typed(&path, "p", "struct<lon:string,lat:int64>")).unwrap();
    let places = rows.column_by_name("p").unwrap().as_struct();
    assert_eq!(places.column(1).as_primitive::<Int64Type>().values().to_vec(), [1, 2]);
    let error = fails(&typed(&path, "p", "struct<lom:string,lat:int64>"));
    assert!(
        error.contains("without the field \"lom\"") && error.contains("did you mean \"lon\"?"),
        "{error}"
    );
}

#[test]
fn lengths_of_an_arrow_file_that_it_cannot_have_are_refused_before_anything_is_read() {
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
    let (_folder, path) = in_folder("in.arrow");
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
    let rows = batch(&[("n", false, numbers)]);
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    let mut writer =
        FileWriter::try_new_with_options(File::create(&path).unwrap(), &rows.schema(), options).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    assert_eq!(read(&ArrowFile::new(&path)).unwrap().num_rows(), 1_000);
    let whole = std::fs::read(&path).unwrap();
    // The uncompressed length of the one buffer, and the length of the one block in the footer.
    let uncompressed = whole.windows(8).position(|eight| eight == 8_000_i64.to_le_bytes()).unwrap();
    let footer_bytes =
        usize::try_from(i32::from_le_bytes(*whole[whole.len() - 10..].first_chunk().unwrap())).unwrap();
    let footer_at = whole.len() - 10 - footer_bytes;
    let footer = arrow::ipc::root_as_footer(&whole[footer_at..whole.len() - 10]).unwrap();
    let body = footer.recordBatches().unwrap().get(0).bodyLength();
    let block =
        footer_at + whole[footer_at..].windows(8).position(|eight| eight == body.to_le_bytes()).unwrap();
    for (at, reason) in [
        (uncompressed, "longer uncompressed than its codec can make it"),
        (block, "a block outside of the file"),
    ] {
        let mut damaged = whole.clone();
        damaged[at..at + 8].copy_from_slice(&(1_i64 << 46).to_le_bytes());
        std::fs::write(&path, damaged).unwrap();
        let error = fails(&ArrowFile::new(&path));
        assert!(error.contains("cut off or damaged") && error.contains(reason), "{error}");
    }
}
