//! Streams, functions and stores to test with.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]
#![allow(clippy::must_use_candidate, reason = "used by tests only")]

use std::path::Path;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, Columns};
use anabranch_engine::identity::{
    ContentHash, Digest, FingerprintBuilder, PacketHash, PipelineHash, ResultKey, Revisions,
};
use anabranch_engine::provenance::{
    Origin, Origins, Positions, Provenance, ProvenanceColumn, RecordIds, StringTable,
};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::store::{
    CommitMode, NewResults, Outcomes, RecordError, RecordLayout, Recorder, RecordingKey, RecordingStore,
    ResultId, ResultStore, StoredFunction, VersionSpan,
};
use anabranch_storage::{RecordingInfo, RunEnd, RunLease, RunStart, Store, StoreOptions};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field};

/// Waits without any runtime.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

pub fn function(version: &str) -> Arc<StoredFunction> {
    let fingerprint = FingerprintBuilder::default().with("entry", "double").with("version", version).build();
    Arc::new(StoredFunction {
        name: "double".to_owned(),
        fingerprint,
        outputs: vec![
            Arc::new(Field::new("twice", DataType::Int64, true)),
            Arc::new(Field::new("words", DataType::Utf8View, true)),
        ],
    })
}

pub fn key(n: u64) -> PacketHash {
    PacketHash(Digest(*blake3::hash(&n.to_le_bytes()).as_bytes()))
}

/// Runs and packs of next to nothing.
pub fn eager() -> StoreOptions {
    StoreOptions { run_keys: 10, most_keys: 1_000_000, small_blocks: 3, ..StoreOptions::default() }
}

/// Neither runs nor packs.
pub fn lazy() -> StoreOptions {
    StoreOptions { run_keys: 1 << 40, most_keys: 1 << 40, small_blocks: 1 << 40, ..StoreOptions::default() }
}

pub fn keys(ns: impl IntoIterator<Item = u64>) -> Vec<PacketHash> {
    ns.into_iter().map(key).collect()
}

/// Commits results of the function's first version.
pub fn commit(store: &Store, ns: &[u64], salt: &str, mode: CommitMode) -> Vec<ResultId> {
    wait(store.commit(function("1"), results(ns, salt, mode))).unwrap().references
}

/// The number that a query of the store's database gives.
pub fn count(dir: &Path, query: &str) -> i64 {
    let connection = rusqlite::Connection::open(dir.join("store.db")).unwrap();
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

/// Outcome of the function for `n`; every seventh packet is dropped.
pub fn outcome(n: u64, salt: &str) -> Option<(i64, String)> {
    (n % 7 != 3).then(|| (n.cast_signed() * 2, format!("twice {n} is more than enough {salt}")))
}

pub fn values(ns: &[u64], salt: &str) -> (Vec<bool>, Vec<ArrayRef>) {
    let outcomes: Vec<_> = ns.iter().map(|n| outcome(*n, salt)).collect();
    let twice: Int64Array = outcomes.iter().map(|o| o.as_ref().map(|o| o.0)).collect();
    let words: StringViewArray = outcomes.iter().map(|o| o.as_ref().map(|o| o.1.as_str())).collect();
    (outcomes.iter().map(Option::is_some).collect(), vec![Arc::new(twice), Arc::new(words)])
}

pub fn results(ns: &[u64], salt: &str, mode: CommitMode) -> NewResults {
    let (emitted, values) = values(ns, salt);
    NewResults { keys: ns.iter().map(|n| key(*n)).collect(), emitted, values, mode, missed: None }
}

pub fn assert_outcomes(outcomes: &Outcomes, ns: &[u64], salt: &str) {
    let (emitted, values) = values(ns, salt);
    assert_eq!(outcomes.references.len(), ns.len());
    assert_eq!(outcomes.emitted, emitted);
    for (found, expected) in outcomes.values.iter().zip(&values) {
        assert_eq!(found.as_ref(), expected.as_ref());
    }
}

pub fn recording_key(node: &str, run: &str) -> RecordingKey {
    RecordingKey {
        pipeline: "p".to_owned(),
        node: node.to_owned(),
        content: ContentHash(Digest([1; 32])),
        pipeline_hash: PipelineHash(Digest([2; 32])),
        run: run.to_owned(),
        revisions: Revisions::of_reading(1),
    }
}

/// Origins of a run with two sources: rows by number, and planes with record ids of their own.
pub struct Sources {
    pub origins: Arc<Origins>,
    pub schema: Arc<StreamSchema>,
    ids: [anabranch_engine::provenance::OriginId; 5],
}

impl Sources {
    /// `before` origins of others stand before theirs in the run's table.
    pub fn new(before: usize) -> Self {
        let origins = Arc::new(Origins::default());
        for n in 0..before {
            origins.add(Origin::Source { source: format!("other {n}").into(), records: RecordIds::Ordinal });
        }
        let table = StringTable::new(&std::env::temp_dir(), 1 << 20);
        for n in 0..50_000 {
            table.push(format!("tail=N{n}")).unwrap();
        }
        let texts = RecordIds::Strings(Arc::new(table));
        let ids = [
            origins.add(Origin::Source { source: "flights".into(), records: RecordIds::Ordinal }),
            origins.add(Origin::Column {
                source: "flights".into(),
                records: RecordIds::Ordinal,
                column: "distance".into(),
            }),
            origins.add(Origin::Source { source: "planes".into(), records: texts.clone() }),
            origins.add(Origin::Column { source: "planes".into(), records: texts, column: "seats".into() }),
            origins.add(Origin::Output {
                function: "speed".into(),
                fingerprint: "0123456789ab".into(),
                output: "mph".into(),
                recording: None,
            }),
        ];
        Self { origins, schema: Arc::new(schema(&[])), ids }
    }

    /// Rows `ns`, as a join of both sources with a computed column, and a third source that only
    /// every fifth row has.
    pub fn chunk(&self, ns: &[u64]) -> Chunk {
        use anabranch_engine::provenance::{OriginColumn, OriginId};
        let tags: Vec<ArrayRef> = vec![Arc::new(StringViewArray::from_iter_values(
            ns.iter().map(|n| format!("carrier {}", n % 9)),
        ))];
        let packets: Vec<ArrayRef> = vec![
            Arc::new(ns.iter().map(|n| (n % 4 != 0).then_some(n.cast_signed())).collect::<Int64Array>()),
            Arc::new(ns.iter().map(|n| (n % 3 != 0).then_some(n.cast_signed() + 7)).collect::<Int64Array>()),
            Arc::new(
                ns.iter().map(|n| Some(format!("a long enough speed of {n}"))).collect::<StringViewArray>(),
            ),
        ];
        let flights = Positions::places(ns.to_vec());
        let planes = Positions::places(ns.iter().map(|n| n * 31 % 50_000).collect());
        let keys = Positions::keys(ns.iter().map(|n| u128::from(*n) << 70).collect());
        let [flight, distance, plane, seats, mph] = self.ids;
        let some = |id| {
            OriginColumn::compact(ns.iter().map(|n| if n % 5 == 0 { id } else { OriginId::NULL }).collect())
        };
        let column = ProvenanceColumn::constant;
        let provenance = Provenance {
            tags: vec![
                column(flight, flights.clone()),
                column(plane, planes.clone()),
                ProvenanceColumn::of(some(plane), planes.clone()),
                ProvenanceColumn::null(ns.len()),
            ],
            sources: vec![column(distance, flights), column(seats, planes), column(mph, keys)],
        };
        Chunk::new(Arc::clone(&self.schema), ns.len(), tags, packets, provenance).unwrap()
    }
}

/// The schema of [`Sources::chunk`] with more packet columns at the end.
pub fn schema(more: &[Field]) -> StreamSchema {
    let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, name != "carrier"));
    let mut packets = vec![
        field("distance", DataType::Int64),
        field("seats", DataType::Int64),
        field("mph", DataType::Utf8View),
    ];
    packets.extend(more.iter().cloned().map(Arc::new));
    let tag = |name: &str| SystemTag::of_source(name);
    StreamSchema::new(
        vec![field("carrier", DataType::Utf8View)],
        packets,
        vec![tag("aa"), tag("bb").suffixed("cc", 1), tag("dd"), tag("ee")],
    )
    .unwrap()
}

pub fn operator_layout(sources: &Sources) -> RecordLayout {
    RecordLayout { schema: Arc::clone(&sources.schema), ordered: true, function: None }
}

pub fn record(store: &Store, run: &str, sources: &Sources, chunks: &[Chunk]) -> Result<(), RecordError> {
    wait(async {
        let layout = operator_layout(sources);
        let mut recorder =
            store.begin(recording_key("node", run), layout, Arc::clone(&sources.origins)).await?;
        for chunk in chunks {
            recorder.append(chunk.clone(), vec![]).await?;
        }
        recorder.complete().await
    })
}

/// Appends chunks with references.
pub async fn append_all(recorder: &mut Box<dyn Recorder>, chunks: &[(Chunk, Vec<ResultId>)]) {
    for (chunk, references) in chunks {
        recorder.append(chunk.clone(), references.clone()).await.unwrap();
    }
}

/// All rows of a recording with their provenance.
pub fn read(store: &Store, info: &RecordingInfo) -> RecordBatch {
    let mut reader = store.open_recording(info).unwrap();
    let origins = Arc::clone(reader.origins());
    let chunks: Vec<Chunk> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    rows(&chunks, &origins, &info.schema)
}

pub fn rows(chunks: &[Chunk], origins: &Origins, schema: &Arc<StreamSchema>) -> RecordBatch {
    Chunk::concat(schema, chunks).unwrap().to_batch(Columns::All, origins).unwrap()
}

/// Output of a function node for `ns`: the columns of [`Sources::chunk`] and the outputs of `f`.
pub fn streamed(sources: &Sources, f: &StoredFunction, ns: &[u64], salt: &str) -> Chunk {
    let outputs = [Field::new("twice", DataType::Int64, true), Field::new("words", DataType::Utf8View, true)];
    let (tags, mut packets, mut provenance) = sources.chunk(ns).into_parts();
    packets.extend(values(ns, salt).1);
    let keys = ns.iter().map(|n| ResultKey::of(&f.fingerprint, &key(*n)).short()).collect();
    let keys = Positions::keys(keys);
    for output in ["twice", "words"] {
        let origin = Origin::Output {
            function: "double".into(),
            fingerprint: f.fingerprint.short().into(),
            output: output.into(),
            recording: None,
        };
        provenance.sources.push(ProvenanceColumn::constant(sources.origins.add(origin), keys.clone()));
    }
    Chunk::new(Arc::new(schema(&outputs)), ns.len(), tags, packets, provenance).unwrap()
}

/// Records a chunk of [`streamed`] with the versions that it refers to, as node "f".
pub fn record_function(
    store: &Store,
    (sources, f): (&Sources, &Arc<StoredFunction>),
    run: &str,
    chunk: &Chunk,
    references: &[ResultId],
) {
    wait(async {
        let schema = Arc::clone(chunk.schema());
        let layout = RecordLayout { schema, ordered: true, function: Some(Arc::clone(f)) };
        let origins = Arc::clone(&sources.origins);
        let mut recorder = store.begin(recording_key("f", run), layout, origins).await.unwrap();
        recorder.append(chunk.clone(), references.to_vec()).await.unwrap();
        recorder.complete().await.unwrap();
    });
}

/// Begins a run of pipeline "p".
pub fn begin_run(store: &Store, run: &str) -> RunLease {
    let start = RunStart {
        run: run.into(),
        pipeline: "p".into(),
        pipeline_hash: String::new(),
        started_ms: 0,
        summary: String::new(),
    };
    wait(store.begin_run(start)).unwrap()
}

/// The end of a run that succeeded.
pub fn ok() -> RunEnd {
    RunEnd { status: "ok".into(), ended_ms: 1, summary: "{}".into() }
}

/// A whole run of node "f" whose packets all have the same salt; gives the rows that it recorded.
pub fn run_function(
    store: &Store,
    sources: &Sources,
    run: &str,
    ns: &[u64],
    salt: &str,
    mode: CommitMode,
) -> RecordBatch {
    let salts = vec![salt; ns.len()];
    run_salted(store, sources, run, (ns, &salts, salt), mode)
}

/// A whole run of node "f": computes with the last salt what has no version, and records each packet
/// with the salt that its current version has then.
pub fn run_salted(
    store: &Store,
    sources: &Sources,
    run: &str,
    (ns, salts, salt): (&[u64], &[&str], &str),
    mode: CommitMode,
) -> RecordBatch {
    let (lease, f) = (begin_run(store, run), function("1"));
    let committed = wait(store.commit(Arc::clone(&f), results(ns, salt, mode))).unwrap();
    let rows: Vec<usize> = (0..ns.len()).filter(|row| committed.emitted[*row]).collect();
    let (mut chunks, mut parts) = (Vec::new(), Vec::new());
    for rows in rows.chunk_by(|a, b| salts[*a] == salts[*b]) {
        let part: Vec<u64> = rows.iter().map(|row| ns[*row]).collect();
        let references: Vec<ResultId> = rows.iter().map(|row| committed.references[*row]).collect();
        let chunk = streamed(sources, &f, &part, salts[rows[0]]);
        chunks.push(chunk.clone());
        parts.push((chunk, references));
    }
    let schema = Arc::clone(streamed(sources, &f, &[], salt).schema());
    wait(async {
        let layout =
            RecordLayout { schema: Arc::clone(&schema), ordered: true, function: Some(Arc::clone(&f)) };
        let origins = Arc::clone(&sources.origins);
        let mut recorder = store.begin(recording_key("f", run), layout, origins).await.unwrap();
        append_all(&mut recorder, &parts).await;
        recorder.complete().await.unwrap();
        store.finish_run(lease, ok()).await.unwrap();
    });
    self::rows(&chunks, &sources.origins, &schema)
}

/// Packets of the golden stores in one commit, and those that have one each.
pub const GOLDEN_TOGETHER: std::ops::Range<u64> = 0..60;
/// Packets of the golden stores that were committed one by one.
pub const GOLDEN_ALONE: std::ops::Range<u64> = 60..80;
/// Packets of the golden stores that were computed anew.
pub const GOLDEN_ANEW: [u64; 2] = [5, 65];

/// Rows of the golden stores' recording of a function: all packets in their first versions.
pub fn golden_rows() -> Vec<u64> {
    GOLDEN_TOGETHER.chain(GOLDEN_ALONE).filter(|n| n % 7 != 3).collect()
}

/// Fills a new store with what the golden stores hold.
pub fn fill_golden(store: &Store) {
    let f = function("1");
    let commit = |ns: &[u64], salt: &str, mode| {
        wait(store.commit(Arc::clone(&f), results(ns, salt, mode))).unwrap().references
    };
    let mut references = commit(&GOLDEN_TOGETHER.collect::<Vec<_>>(), "", CommitMode::First);
    for n in GOLDEN_ALONE {
        references.extend(commit(&[n], "", CommitMode::First));
    }
    commit(&GOLDEN_ANEW, "anew", CommitMode::Refresh);
    wait(store.commit(function("2"), results(&[1, 2], "", CommitMode::First))).unwrap();
    // From format 5 on, the second of three is withdrawn.
    let third = wait(store.commit(function("3"), results(&[1, 2, 4], "", CommitMode::First))).unwrap();
    let gone = VersionSpan { first: third.references[1], last: third.references[1] };
    wait(store.withdraw(function("3"), vec![gone])).unwrap();
    let sources = Sources::new(0);
    let ns = golden_rows();
    let references: Vec<ResultId> = ns.iter().map(|n| references[usize::try_from(*n).unwrap()]).collect();
    record_function(store, (&sources, &f), "r1", &streamed(&sources, &f, &ns, ""), &references);
    record(store, "r1", &sources, &[sources.chunk(&ns)]).unwrap();
}

/// The program that was built beside this test from `child.rs`.
pub fn child_program() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(std::path::Path::parent).unwrap().join("examples/child")
}
