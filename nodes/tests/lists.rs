//! Streams behind a batch: what sources let in, what functions keep, what files get.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, Columns, arrow_schema};
use anabranch_engine::identity::{Digest, PacketHasher, PipelineHash};
use anabranch_engine::list_alignment::{ListAlignment, source_alignment, value_alignment, with_alignment};
use anabranch_engine::operator::{Input, Item};
use anabranch_engine::provenance::{Origin, Origins, Positions, Provenance, ProvenanceColumn, RecordIds};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::stage::{Stage as _, StageStep};
use anabranch_engine::store::{
    ClaimError, Claimant, ClientId, CommitError, FailingNode, FailureStore, Found, LookUpError, NewResults,
    Outcomes, ResultStore, SetAside, SetAsideError, Snapshot, StoredFunction, VersionSpan, WithdrawError,
};
use anabranch_nodes::function::{
    CacheMode, CallOptions, ChunkOutput, FailureSink, Function, FunctionCounters, FunctionStage, StageParts,
};
use anabranch_nodes::sink::{Format, WriteSpec, Writer};
use anabranch_nodes::source::{ArrowFile, JsonLines, Parquet, Rows, Scratch, Source, SourceNode};
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, LargeListArray, ListArray, MapArray, RecordBatch, StringViewArray,
    StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, Schema, SchemaRef};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use futures::future::BoxFuture;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const OUTER: &str = "00000000000000aa,";
const INNER: &str = "00000000000000bb,";

fn list(lengths: &[usize], items: ArrayRef) -> ArrayRef {
    let item = Arc::new(Field::new("item", items.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Arc::new(ListArray::new(item, offsets, items, None))
}

/// Three rows behind a batch: `x` and `y` in its lists, `y` in those of an earlier batch too, and
/// `z`, which has scalar values whose source info stayed in lists.
fn batched(origins: &Origins) -> Chunk {
    let tag = origins.add(Origin::Source { source: "flights".into(), records: RecordIds::Ordinal });
    let column = |name: &str| {
        let (source, records) = ("flights".into(), RecordIds::Ordinal);
        origins.add(Origin::Column { source, records, column: name.into() })
    };
    let levels = |text: &str| ListAlignment::parse(text);
    let both = format!("{OUTER}{INNER}");
    let lengths = [2_usize, 0, 2];
    let offsets = || OffsetBuffer::from_lengths(lengths);
    let places = Positions::places(vec![4, 9, 4, 9]);
    let once = |id| ProvenanceColumn::constant(id, places.clone()).into_lists(offsets());
    let deep = ProvenanceColumn::constant(column("y"), Positions::range(0, 5))
        .into_lists(OffsetBuffer::from_lengths([1, 2, 2, 0]))
        .into_lists(offsets());
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(1), None]));
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b", "c", "b", "c"]));
    let plain = |name: &str, array: &ArrayRef| -> FieldRef {
        Arc::new(Field::new(name, array.data_type().clone(), true))
    };
    let (x, y) = (list(&lengths, numbers), list(&lengths, list(&[1, 2, 2, 0], texts)));
    let z: ArrayRef = Arc::new(Int64Array::from(vec![7, 8, 9]));
    let k: ArrayRef = Arc::new(StringViewArray::from(vec!["one", "two", "three"]));
    let schema = StreamSchema::new(
        vec![plain("k", &k)],
        vec![
            with_alignment(&plain("x", &x), &levels(OUTER), &levels(OUTER)),
            with_alignment(&plain("y", &y), &levels(&both), &levels(&both)),
            with_alignment(&plain("z", &z), &levels(""), &levels(OUTER)),
        ],
        vec![SystemTag::of_source("abababababab").with_alignment(levels(OUTER))],
    );
    let provenance =
        Provenance { tags: vec![once(tag)], sources: vec![once(column("x")), deep, once(column("z"))] };
    Chunk::new(Arc::new(schema.unwrap()), 3, vec![k], vec![x, y, z], provenance).unwrap()
}

/// The tokens that the source info of `column` has in a row of lists, one deep.
fn tokens(batch: &RecordBatch, column: &str, row: usize) -> Vec<String> {
    let lists = batch.column_by_name(column).unwrap().as_list::<i32>();
    lists.value(row).as_string_view().iter().map(|text| text.unwrap().to_owned()).collect()
}

/// A store that a function without a cache does not use.
#[derive(Debug)]
struct Unused;

impl ResultStore for Unused {
    fn find(
        &self,
        _: Arc<StoredFunction>,
        _: Vec<anabranch_engine::identity::PacketHash>,
    ) -> BoxFuture<'_, Result<Found, LookUpError>> {
        unreachable!("the cache is off")
    }

    fn commit(&self, _: Arc<StoredFunction>, _: NewResults) -> BoxFuture<'_, Result<Outcomes, CommitError>> {
        unreachable!("the cache is off")
    }

    fn withdraw(
        &self,
        _: Arc<StoredFunction>,
        _: Vec<VersionSpan>,
    ) -> BoxFuture<'_, Result<u64, WithdrawError>> {
        unreachable!("the cache is off")
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, LookUpError>> {
        unreachable!("the cache is off")
    }

    fn client(&self) -> ClientId {
        ClientId::new(0)
    }

    fn claimant(&self) -> Result<Box<dyn Claimant>, ClaimError> {
        unreachable!("the cache is off")
    }
}

impl FailureStore for Unused {
    fn set_aside(
        &self,
        _: Arc<FailingNode>,
        _: Vec<SetAside>,
        _: Vec<(anabranch_engine::identity::PacketHash, u64)>,
    ) -> BoxFuture<'_, Result<(), SetAsideError>> {
        unreachable!("nothing fails")
    }
}

/// Counts the strings that each row has in all its lists; a row without any list of `x` is dropped.
fn counting(keep: bool) -> Function {
    let count = |columns: &[ArrayRef], rows: usize| {
        let (x, y) = (columns[0].as_list::<i32>(), columns[1].as_list::<i32>());
        let texts = |row: usize| {
            let inner = y.value(row);
            inner.as_list::<i32>().iter().flatten().map(|texts| i64::try_from(texts.len()).unwrap()).sum()
        };
        let counts: Int64Array = (0..rows).map(|row| Some(texts(row))).collect();
        let kept = (0..rows).map(|row| x.value_length(row) > 0).collect();
        Ok(ChunkOutput { columns: vec![Arc::new(counts)], keep: Some(kept) })
    };
    Function::new("count").version("1").takes(["x", "y"]).gives::<i64>("n").keep(keep).call_chunk(count)
}

/// Output of the function for the chunk, and the number of calls that ran.
fn run(function: &Function, chunk: &Chunk, origins: &Arc<Origins>) -> (Chunk, u64) {
    let input = Input {
        schema: Arc::clone(chunk.schema()),
        pipeline_hash: PipelineHash(Digest([1; 32])),
        ordered: true,
        bounded: true,
    };
    let function = Arc::new(function.bind(&input).unwrap());
    let counters = Arc::new(FunctionCounters::default());
    let mut stage = FunctionStage::new(StageParts {
        function: Arc::clone(&function),
        cache: CacheMode::Off,
        calls: CallOptions::default(),
        results: Arc::new(Unused),
        recorder: None,
        origins: Arc::clone(origins),
        counters: Arc::clone(&counters),
        failures: FailureSink {
            store: Arc::new(Unused),
            run: "run".to_owned(),
            pipeline: "lists".to_owned(),
            node: "count".to_owned(),
        },
        differences: Arc::default(),
        authors: Arc::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let chunks = runtime.block_on(async {
        stage.accept(0, Item::Chunk(chunk.clone())).unwrap();
        stage.accept(0, Item::End).unwrap();
        let mut chunks = Vec::new();
        loop {
            match stage.step().await.unwrap() {
                StageStep::Output(chunk) => chunks.push(chunk),
                StageStep::Done => return chunks,
                StageStep::NeedInput(_) => {}
            }
        }
    });
    (Chunk::concat(&function.contract.schema, &chunks).unwrap(), counters.computed.get())
}

#[test]
fn a_function_takes_lists_and_keeps_those_of_other_columns_with_their_levels() {
    let origins = Arc::new(Origins::default());
    let chunk = batched(&origins);
    let (given, computed) = run(&counting(true), &chunk, &origins);
    assert_eq!(computed, 3);
    let fields = given.schema().packets();
    assert_eq!(fields[..3], *chunk.schema().packets(), "names, types and levels stay");
    assert_eq!(given.schema().system_tags(), chunk.schema().system_tags());
    assert_eq!((value_alignment(&fields[3]).depth(), source_alignment(&fields[3]).depth()), (0, 0));
    assert_eq!(given.column("n").unwrap().as_ref(), &Int64Array::from(vec![3, 2]) as &dyn Array);
    let before = chunk.take(&[0, 2]).unwrap().to_batch(Columns::All, &origins).unwrap();
    let after = given.to_batch(Columns::All, &origins).unwrap();
    for column in before.schema().fields() {
        assert_eq!(after.column_by_name(column.name()), before.column_by_name(column.name()), "{column}");
    }
    assert_eq!(tokens(&after, "_source_z", 1), ["flights::row_4::z", "flights::row_9::z"]);
    let flat = after.column_by_name("_source_n").unwrap().as_string_view();
    assert!(flat.iter().all(|token| token.unwrap().starts_with("count::")));
}

#[test]
fn a_function_that_replaces_the_packet_keeps_the_lists_of_system_tags() {
    let origins = Arc::new(Origins::default());
    let (given, _) = run(&counting(false), &batched(&origins), &origins);
    assert_eq!(given.schema().packets().len(), 1);
    assert_eq!(given.schema().system_tags()[0].alignment(), &ListAlignment::parse(OUTER));
    let after = given.to_batch(Columns::All, &origins).unwrap();
    assert_eq!(tokens(&after, "_tag_record_id::abababababab", 0), ["row_4", "row_9"]);
    assert_eq!(*after.column_by_name("_source_n").unwrap().data_type(), DataType::Utf8View);
}

#[test]
fn equal_packets_of_lists_are_computed_once_whatever_batch_made_them() {
    let origins = Arc::new(Origins::default());
    let chunk = batched(&origins).take(&[0, 0, 2, 0]).unwrap();
    let (given, computed) = run(&counting(true), &chunk, &origins);
    assert_eq!((given.rows(), computed), (4, 2));
    let taken = [Arc::clone(&chunk.schema().packets()[0]), Arc::clone(&chunk.schema().packets()[1])];
    let plain = taken
        .clone()
        .map(|field| with_alignment(&field, &ListAlignment::default(), &ListAlignment::default()));
    let hash = |fields: &[FieldRef]| {
        let hasher = PacketHasher::new(fields).unwrap();
        hasher.hash(&chunk.packets()[..2], chunk.rows()).unwrap()
    };
    assert_eq!(hash(&taken), hash(&plain));
}

#[test]
fn lists_of_lists_have_one_hash_exactly_if_they_are_equal() {
    let ints = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let hash = |array: &ArrayRef| {
        let field: FieldRef = Arc::new(Field::new("x", array.data_type().clone(), true));
        PacketHasher::new(&[field]).unwrap().hash(std::slice::from_ref(array), array.len()).unwrap()
    };
    let row =
        |outer: usize, inner: &[usize], values: &[i64]| hash(&list(&[outer], list(inner, ints(values))));
    let all = [
        row(2, &[1, 1], &[1, 2]),
        row(1, &[2], &[1, 2]),
        row(2, &[0, 2], &[1, 2]),
        row(2, &[2, 0], &[1, 2]),
        row(0, &[], &[]),
        row(1, &[0], &[]),
        row(2, &[1, 1], &[2, 1]),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| other != one), "case {at} is not told apart");
    }
    // The row [[1], null, [2]]: from other lists that hide items, and as large lists.
    let inner = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)]), None, Some([Some(2)])]);
    let plain = list(&[3], Arc::new(inner));
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let nulls = Some(NullBuffer::from(vec![true, true, false, true]));
    let hiding: ArrayRef = Arc::new(ListArray::new(
        item,
        OffsetBuffer::from_lengths([1, 1, 2, 1]),
        ints(&[7, 1, 8, 9, 2]),
        nulls,
    ));
    assert_eq!(hash(&list(&[1, 3], hiding).slice(1, 1)), hash(&plain));
    let large =
        LargeListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)]), None, Some([Some(2)])]);
    assert_eq!(hash(&list(&[3], Arc::new(large))), hash(&plain));
}

/// A field with metadata of the engine and of a user.
fn marked(name: &str, data_type: DataType) -> Field {
    let metadata = [
        ("anabranch:lists", OUTER),
        ("anabranch:source_lists", OUTER),
        ("anabranch:later", "x"),
        ("mine", "kept"),
    ];
    Field::new(name, data_type, true).with_metadata(metadata.map(|(k, v)| (k.to_owned(), v.to_owned())))
}

/// Columns that claim to have come from a batch, also within lists, structs and maps.
fn marked_batch() -> RecordBatch {
    let numbers = || -> ArrayRef { Arc::new(Int64Array::from(vec![1, 2])) };
    let offsets = || OffsetBuffer::from_lengths([2, 0]);
    let lists: ArrayRef =
        Arc::new(ListArray::new(Arc::new(marked("item", DataType::Int64)), offsets(), numbers(), None));
    let within = Fields::from(vec![marked("a", lists.data_type().clone())]);
    let structs: ArrayRef = Arc::new(StructArray::new(within, vec![Arc::clone(&lists)], None));
    let keys: ArrayRef = Arc::new(StringViewArray::from(vec!["p", "q"]));
    let pair =
        Fields::from(vec![Field::new("keys", DataType::Utf8View, false), marked("values", DataType::Int64)]);
    let entries = StructArray::new(pair.clone(), vec![keys, numbers()], None);
    let entry = Arc::new(Field::new("entries", DataType::Struct(pair), false));
    let maps: ArrayRef = Arc::new(MapArray::new(entry, offsets(), entries, None, false));
    let columns = [("flat", numbers()), ("lists", lists), ("structs", structs), ("maps", maps)];
    let fields: Vec<Field> = columns.iter().map(|(name, c)| marked(name, c.data_type().clone())).collect();
    let schema = Schema::new(fields).with_metadata([("anabranch:tags".to_owned(), "1".to_owned())]);
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, column)| column).collect()).unwrap()
}

/// The stream of a source, whole.
fn stream(source: &dyn Source) -> Chunk {
    let hash = PipelineHash(Digest([0xab; 32]));
    let node = SourceNode::new(source.plan().unwrap(), source.options(), "rows", &hash).unwrap();
    let scratch = Scratch { directory: std::env::temp_dir(), memory_bytes: 1 << 20 };
    let mut reader = node.start(&Origins::default(), 100, &scratch).unwrap();
    let chunk = reader.next().unwrap().unwrap();
    assert!(reader.next().unwrap().is_none());
    assert_eq!(chunk.schema(), &node.schema);
    chunk
}

#[test]
fn no_source_brings_levels_of_lists_or_other_metadata_of_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let (arrow, parquet) = (folder.path().join("rows.arrow"), folder.path().join("rows.parquet"));
    let batch = marked_batch();
    let mut writer = FileWriter::try_new(File::create(&arrow).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&parquet).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let sources: [Box<dyn Source>; 3] = [
        Box::new(ArrowFile::new(arrow).tags(["flat"])),
        Box::new(Parquet::new(parquet).tags(["flat"])),
        Box::new(Rows::from_batches(vec![batch.clone()]).tags(["flat"])),
    ];
    for source in sources {
        let chunk = stream(source.as_ref());
        let schema = chunk.schema();
        let shown = format!("{schema:?}");
        assert!(!shown.contains("anabranch:"), "{}: {shown}", source.kind());
        assert_eq!(shown.matches("kept").count(), 8, "what is the user's stays: {shown}");
        assert_eq!(schema.source_depths(), [0, 0, 0]);
        assert_eq!(chunk.rows(), batch.num_rows());
        let found: Vec<&ArrayRef> = chunk.tags().iter().chain(chunk.packets()).collect();
        for (found, written) in found.into_iter().zip(batch.columns()) {
            let found = anabranch_engine::types::convert(found, written.data_type()).unwrap();
            assert_eq!(found.as_ref(), written.as_ref(), "{}", source.kind());
        }
    }
}

fn write(spec: &WriteSpec, schema: &Schema, batch: &RecordBatch) {
    let mut writer = Writer::create(spec, schema).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap().publish().unwrap();
}

fn schema_of(path: &Path, format: Format) -> SchemaRef {
    let file = File::open(path).unwrap();
    match format {
        Format::Arrow => FileReader::try_new(file, None).unwrap().schema(),
        _ => Arc::clone(ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema()),
    }
}

fn read(path: &Path, format: Format, schema: &Schema) -> RecordBatch {
    // Keys of provenance begin with `_` and are let in by other names.
    let plain = |name: &str| name.trim_start_matches('_').to_owned();
    let hints = schema.fields().iter().map(|f| (plain(f.name()), f.data_type().clone()));
    let names = schema.fields().iter().map(|f| (f.name().clone(), plain(f.name())));
    let source: Box<dyn Source> = match format {
        Format::Parquet => Box::new(Parquet::new(path)),
        Format::Arrow => Box::new(ArrowFile::new(path)),
        _ => Box::new(JsonLines::new(path).types(hints).rename(names)),
    };
    let batch = source.plan().unwrap().open(100).unwrap().next().unwrap().unwrap();
    let original = |name: &str| {
        let field = schema.fields().iter().find(|f| plain(f.name()) == name);
        field.map_or_else(|| name.to_owned(), |f| f.name().clone())
    };
    let found = batch.schema();
    let fields = found.fields().iter().map(|f| Field::clone(f).with_name(original(f.name())));
    let renamed = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(renamed), batch.columns().to_vec()).unwrap()
}

#[test]
fn files_hold_lists_of_values_and_of_provenance_and_nothing_of_their_levels() {
    let folder = tempfile::tempdir().unwrap();
    let origins = Origins::default();
    let chunk = batched(&origins);
    let batch = chunk.to_batch(Columns::All, &origins).unwrap();
    let schema = arrow_schema(chunk.schema(), Columns::All);
    assert!(matches!(batch.column_by_name("_source_y").unwrap().data_type(), DataType::List(_)));
    for format in [Format::Parquet, Format::Arrow, Format::JsonLines] {
        let spec = WriteSpec { columns: Columns::All, ..WriteSpec::new(format, folder.path().join("rows")) };
        spec.check(chunk.schema()).unwrap();
        write(&spec, &schema, &batch);
        let back = read(&spec.path, format, &schema);
        for column in schema.fields() {
            assert_eq!(back.column_by_name(column.name()), batch.column_by_name(column.name()), "{column}");
        }
        let bytes = std::fs::read(&spec.path).unwrap();
        assert!(!bytes.windows(10).any(|part| part == b"anabranch:"), "{format:?}");
    }
}

#[test]
fn partitioned_files_hold_lists_and_a_list_makes_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let origins = Origins::default();
    let chunk = batched(&origins);
    let batch = chunk.to_batch(Columns::All, &origins).unwrap();
    let mut spec =
        WriteSpec { columns: Columns::All, ..WriteSpec::new(Format::Parquet, folder.path().join("rows")) };
    spec.partition_by = vec!["k".to_owned()];
    spec.check(chunk.schema()).unwrap();
    write(&spec, &arrow_schema(chunk.schema(), Columns::All), &batch);
    let back = read(&spec.path.join("k=three/part-0.parquet"), Format::Parquet, &batch.schema());
    assert_eq!(tokens(&back, "_source_x", 0), ["flights::row_4::x", "flights::row_9::x"]);
    assert_eq!(
        back.column_by_name("y").unwrap().as_ref(),
        batch.column_by_name("y").unwrap().slice(2, 1).as_ref()
    );
    for column in ["x", "_tag_source_id::abababababab"] {
        spec.partition_by = vec![column.to_owned()];
        let error = spec.check(chunk.schema()).unwrap_err().to_string();
        assert!(error.contains("expected a scalar type, named once under partition_by"), "{error}");
    }
}

#[test]
fn csv_refuses_lists_of_values_and_of_provenance_before_anything_runs() {
    let chunk = batched(&Origins::default());
    let spec = WriteSpec::new(Format::Csv, "out.csv");
    let error = spec.check(chunk.schema()).unwrap_err().to_string();
    assert_eq!(
        error,
        "writing out.csv: column \"x\" is list<int64>, expected a scalar type in a CSV file; drop the column, \
         unbatch it, or write parquet, arrow or jsonl"
    );
    // Scalar values, provenance in lists.
    let schema = chunk.schema();
    let packets = schema.packets().iter().filter(|field| field.name() == "z").cloned().collect();
    let flat = StreamSchema::new(schema.tags().to_vec(), packets, schema.system_tags().to_vec()).unwrap();
    spec.check(&flat).unwrap();
    let mut all = WriteSpec { columns: Columns::All, ..spec };
    for partition_by in [vec![], vec!["k".to_owned()]] {
        all.partition_by = partition_by;
        let error = all.check(&flat).unwrap_err().to_string();
        assert_eq!(
            error,
            "writing out.csv: column \"_tag_source_id::abababababab\" is list<string>, expected a scalar type in a \
             CSV file; unbatch it, leave provenance out by columns: data, or write parquet, arrow or jsonl"
        );
    }
}

#[test]
fn metadata_of_the_engine_reaches_no_file_from_wherever_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let batch = marked_batch();
    for format in [Format::Parquet, Format::Arrow] {
        let spec = WriteSpec::new(format, folder.path().join("rows"));
        write(&spec, &batch.schema(), &batch);
        let shown = format!("{:?}", schema_of(&spec.path, format));
        assert!(!shown.contains("anabranch:") && shown.contains("kept"), "{shown}");
        let back = read(&spec.path, format, &batch.schema());
        for (back, written) in back.columns().iter().zip(batch.columns()) {
            let back = anabranch_engine::types::convert(back, written.data_type()).unwrap();
            assert_eq!(back.as_ref(), written.as_ref());
        }
    }
}
