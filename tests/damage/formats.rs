//! Files as they were before the damage: small, and with everything that a format has.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Int32Type};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};

const ROWS: i64 = 200;

pub(crate) fn csv() -> Vec<Vec<u8>> {
    let rows = |separator: char| {
        let mut text = ["id", "text", "value"].join(&separator.to_string());
        for n in 0..ROWS {
            text += &format!("\n{n}{separator}\"a \"\"text\"\" \u{e4} {n}\"{separator}{n}.5e-3");
        }
        text
    };
    let lines = rows(',');
    let utf16: Vec<u8> =
        "\u{feff}".encode_utf16().chain(lines.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    vec![lines.into_bytes(), rows(',').replace('\n', "\r\n").into_bytes(), utf16]
}

pub(crate) fn json_lines() -> Vec<Vec<u8>> {
    let line = |n: i64| {
        format!(
            "{{\"id\": {n}, \"text\": \"a \\u00e4 \\\"text\\\" {n}\", \"list\": [{n}, null, -1], \"object\": {{\"a\": {n}.25, \"b\": [true]}}}}\n"
        )
    };
    let lines: String = (0..ROWS).map(line).collect();
    let numbers: String = (0..ROWS).map(|n| format!("{{\"n\": {}}}\n", n * 1_000_000_007)).collect();
    vec![lines.into_bytes(), numbers.into_bytes()]
}

/// Numbers, texts, a dictionary, lists, structs, times and nulls.
fn batch() -> RecordBatch {
    let some = |n: i64| (n % 7 != 3).then_some(n);
    let text = |n: i64| format!("a text that is not short {n}");
    let mut lists = ListBuilder::new(StringBuilder::new());
    for n in 0..ROWS {
        lists.append_option((n % 5 > 0).then(|| (0..n % 4).map(|item| Some(format!("item {item}")))));
    }
    let floats: ArrayRef =
        Arc::new((0..ROWS).map(|n| some(n).map(|n| n as f64 / 3.0)).collect::<Float64Array>());
    let flags: ArrayRef = Arc::new((0..ROWS).map(|n| Some(n % 3 == 0)).collect::<BooleanArray>());
    let words: DictionaryArray<Int32Type> =
        (0..ROWS).map(|n| ["one", "two", "three"][n as usize % 3]).collect();
    let fields = [("a", &floats), ("b", &flags)];
    let fields = fields.map(|(name, column)| {
        (Arc::new(Field::new(name, column.data_type().clone(), true)), Arc::clone(column))
    });
    let columns: [(&str, ArrayRef); 7] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..ROWS))),
        ("some", Arc::new((0..ROWS).map(some).collect::<Int64Array>())),
        ("text", Arc::new((0..ROWS).map(|n| some(n).map(text)).collect::<StringArray>())),
        ("word", Arc::new(words)),
        ("list", Arc::new(lists.finish())),
        ("pair", Arc::new(StructArray::from(fields.to_vec()))),
        ("when", Arc::new(TimestampMicrosecondArray::from_iter_values(0..ROWS).with_timezone("UTC"))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

pub(crate) fn parquet() -> Vec<Vec<u8>> {
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4_RAW,
        Compression::BROTLI(BrotliLevel::default()),
    ];
    let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    let file = |codec, version| {
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_writer_version(version)
            .set_dictionary_enabled(codec != Compression::UNCOMPRESSED)
            .set_data_page_row_count_limit(64)
            .set_write_batch_size(64)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch().schema(), Some(properties)).unwrap();
        writer.write(&batch()).unwrap();
        writer.flush().unwrap();
        writer.write(&batch().slice(0, 30)).unwrap();
        writer.into_inner().unwrap()
    };
    codecs.into_iter().flat_map(|codec| versions.map(|version| file(codec, version))).collect()
}

pub(crate) fn arrow() -> Vec<Vec<u8>> {
    let file = |codec| {
        let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
        let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch().schema(), options).unwrap();
        writer.write(&batch()).unwrap();
        writer.write(&batch().slice(20, 70)).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    };
    [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)].map(file).to_vec()
}

pub(crate) fn yaml() -> Vec<Vec<u8>> {
    let pipeline = "\
# A pipeline of every kind of value.
version: 1
name: mutated
params: { least: { type: int, default: 1 } }
settings: { memory_limit: 64MiB }
nodes:
  rows: { csv: { path: rows.csv, tags: [id], types: { n: int64 } } }
  other: { csv: { path: \"rows.csv\", tags: [ id ] } }
  some: { filter: { input: rows, where: \"n > ${least} AND text <> 'x'\" } }
  named: { map: { input: other, packets: { n: m, text: words } } }
  both:
    join:
      inputs: [some, named]
  twice:
    function: { input: both, sql: { twice: \"n * 2\" }, keep: true }
  out: { write: { input: twice, parquet: { path: out/rows.parquet } } }
";
    let anchors = "\
version: 1
name: anchors
nodes:
  rows: &rows
    csv: &csv { path: rows.csv, tags: [id] }
  more: { csv: *csv }
  all: { union: { inputs: [rows, more] } }
";
    vec![pipeline.into(), anchors.into()]
}
