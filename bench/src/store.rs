//! Times of the store: commits, look-ups in histories of several lengths, replay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{
    ContentHash, Digest, FingerprintBuilder, PacketHash, PipelineHash, ResultKey, Revisions,
};
use anabranch_engine::provenance::{Origin, Origins, Positions, Provenance, ProvenanceColumn, RecordIds};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::store::{
    CommitMode, NewResults, RecordLayout, RecordingKey, RecordingStore as _, ResultId, ResultStore as _,
    StoredFunction,
};
use anabranch_storage::{Store, StoreOptions};
use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use futures::executor::block_on;

use crate::error::{BenchError, Cause};
use crate::lines::{Line, millis, rate, table};
use crate::options::Options;

/// Rows of a commit and of a look-up.
const CHUNK: u64 = 8_192;
/// Commits that are under way at once, as a function node has them.
const IN_FLIGHT: usize = 3;
/// Packets of the long history.
const LONG: u64 = 10_000_000;
/// Commits of one packet.
const SINGLE: u64 = 200;

/// Measures all of it and gives a table.
pub(crate) fn measure(options: &Options) -> Result<String, BenchError> {
    let lines = lines(u64::from(options.rows)).map_err(|cause| BenchError::Store { cause })?;
    Ok(table("store", &lines))
}

fn lines(rows: u64) -> Result<Vec<Line>, Cause> {
    let mut lines = Vec::new();
    let mut line = |what, found, floor, aim| lines.push(Line { what, found, floor, aim });
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let begun = Instant::now();
    let references = commit(&store, 0..rows)?;
    line("commit new results", rate(rows, begun), "4 M/s", "");
    let begun = Instant::now();
    find(&store, 0..rows, 1)?;
    line("look up in committed order", rate(rows, begun), "4 M/s", "");
    let begun = Instant::now();
    // Prime to any number of packets that is likely.
    find(&store, 0..rows, 7_919_993)?;
    line("look up in another order", rate(rows, begun), "", "");
    for (name, floor, aim, spread) in [
        ("replay in recorded order", "30 M/s", "100 M/s", 1),
        ("replay of gathered results", "6 M/s", "9 M/s", 7_919_993),
    ] {
        record(&store, name, rows, spread, &references)?;
        let info = store.recordings_in_run(name)?.pop().ok_or("no recording")?;
        let begun = Instant::now();
        let mut read = 0;
        for chunk in store.open_recording(&info)? {
            read += chunk?.rows() as u64;
        }
        line(name, rate(read, begun), floor, aim);
    }
    let mut latencies: Vec<Duration> = Vec::new();
    for n in 0..SINGLE {
        let begun = Instant::now();
        block_on(store.commit(function(), results(&[LONG * 2 + n])))?;
        latencies.push(begun.elapsed());
    }
    latencies.sort_unstable();
    line(
        "commit of one packet, median",
        latencies.get(latencies.len() / 2).copied().map_or_else(String::new, millis),
        "10 ms",
        "5 ms",
    );
    drop(store);
    long(&mut line)?;
    Ok(lines)
}

/// Opening a store of ten million results.
fn long(line: &mut impl FnMut(&'static str, String, &'static str, &'static str)) -> Result<(), Cause> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let begun = Instant::now();
    commit(&store, 0..LONG)?;
    line("commit ten million", rate(LONG, begun), "", "");
    let begun = Instant::now();
    block_on(store.maintain())?;
    line("tidy up afterwards", millis(begun.elapsed()), "", "");
    drop(store);
    for (name, floor, aim, keys) in [
        ("open ten million, look up ten new packets", "300 ms", "100 ms", LONG..LONG + 10),
        ("open ten million, look up 8,192 known packets", "300 ms", "100 ms", 5_000_000..5_000_000 + CHUNK),
        ("open ten million, look up 8,192 new packets", "", "", LONG..LONG + CHUNK),
    ] {
        let begun = Instant::now();
        let store = Store::open(dir.path())?;
        find(&store, keys, 1)?;
        line(name, millis(begun.elapsed()), floor, aim);
    }
    let options = StoreOptions { index_memory_bytes: 16 << 20, ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), &options)?;
    let begun = Instant::now();
    find(&store, LONG..LONG + 10 * CHUNK, 1)?;
    line("look up new packets, 16 MiB for keys", rate(10 * CHUNK, begun), "", "");
    Ok(())
}

fn function() -> Arc<StoredFunction> {
    let fingerprint = FingerprintBuilder::default().with("entry", "bench").build();
    let field = |name: &str, t| -> FieldRef { Arc::new(Field::new(name, t, true)) };
    let outputs = vec![
        field("a", DataType::Int64),
        field("b", DataType::Int64),
        field("c", DataType::Int64),
        field("d", DataType::Float64),
        field("e", DataType::Float64),
    ];
    Arc::new(StoredFunction { name: "bench".to_owned(), fingerprint, outputs })
}

fn key(n: u64) -> PacketHash {
    PacketHash(Digest(*blake3::hash(&n.to_le_bytes()).as_bytes()))
}

fn values(ns: &[u64]) -> Vec<ArrayRef> {
    let integers = |times: i64| -> ArrayRef {
        Arc::new(ns.iter().map(|n| n.cast_signed().wrapping_mul(times)).collect::<Int64Array>())
    };
    #[expect(clippy::cast_precision_loss, reason = "any numbers will do")]
    let floats =
        |times: f64| -> ArrayRef { Arc::new(ns.iter().map(|n| *n as f64 * times).collect::<Float64Array>()) };
    vec![integers(1), integers(3), integers(7), floats(0.5), floats(0.1)]
}

fn results(ns: &[u64]) -> NewResults {
    let keys = ns.iter().map(|n| key(*n)).collect();
    NewResults {
        keys,
        emitted: vec![true; ns.len()],
        values: values(ns),
        mode: CommitMode::First,
        missed: None,
    }
}

/// Commits packets as a function node does: some commits under way at once. Making them is not counted:
/// it is done on the threads that wait.
fn commit(store: &Store, packets: std::ops::Range<u64>) -> Result<Vec<ResultId>, Cause> {
    let function = function();
    let mut references = Vec::new();
    let mut under_way = std::collections::VecDeque::new();
    let mut from = packets.start;
    while from < packets.end {
        let until = (from + CHUNK).min(packets.end);
        let new = results(&(from..until).collect::<Vec<_>>());
        let mut commit = Box::pin(store.commit(Arc::clone(&function), new));
        // Queued at its first poll.
        let waker = std::task::Waker::noop();
        let _ = commit.as_mut().poll(&mut std::task::Context::from_waker(waker));
        under_way.push_back(commit);
        if under_way.len() == IN_FLIGHT
            && let Some(first) = under_way.pop_front()
        {
            references.extend(block_on(first)?.references);
        }
        from = until;
    }
    for commit in under_way {
        references.extend(block_on(commit)?.references);
    }
    Ok(references)
}

/// Looks packets up, each `spread` after the one before, around the end.
fn find(store: &Store, packets: std::ops::Range<u64>, spread: u64) -> Result<u64, Cause> {
    let (function, count) = (function(), packets.end - packets.start);
    let mut hits = 0;
    for from in (0..count).step_by(usize::try_from(CHUNK)?) {
        let until = (from + CHUNK).min(count);
        let keys = (from..until).map(|n| key(packets.start + n * spread % count)).collect();
        let found = block_on(store.find(Arc::clone(&function), keys))?;
        hits += found.outcomes.references.len() as u64;
    }
    Ok(hits)
}

fn record(store: &Store, run: &str, rows: u64, spread: u64, references: &[ResultId]) -> Result<(), Cause> {
    let f = function();
    let origins = Arc::new(Origins::default());
    let fields = f.outputs.clone();
    let schema = Arc::new(StreamSchema::new(vec![], fields, vec![SystemTag::of_source("aa")])?);
    let id = origins.add(Origin::Source { source: "rows".into(), records: RecordIds::Ordinal });
    let outputs: Vec<_> = f
        .outputs
        .iter()
        .map(|output| {
            origins.add(Origin::Output {
                function: "bench".into(),
                fingerprint: f.fingerprint.short().into(),
                output: output.name().as_str().into(),
                recording: None,
            })
        })
        .collect();
    let key_of = RecordingKey {
        pipeline: "bench".into(),
        node: "bench".into(),
        content: ContentHash(Digest([1; 32])),
        pipeline_hash: PipelineHash(Digest([1; 32])),
        run: run.to_owned(),
        revisions: Revisions::default(),
    };
    let layout = RecordLayout { schema: Arc::clone(&schema), ordered: true, function: Some(Arc::clone(&f)) };
    block_on(async {
        let mut recorder = store.begin(key_of, layout, Arc::clone(&origins)).await?;
        for from in (0..rows).step_by(usize::try_from(CHUNK)?) {
            let until = (from + CHUNK).min(rows);
            let ns: Vec<u64> = (from..until).map(|n| n * spread % rows).collect();
            let keys = ns.iter().map(|n| ResultKey::of(&f.fingerprint, &key(*n)).short()).collect();
            let keys = Positions::keys(keys);
            let sources = outputs.iter().map(|id| ProvenanceColumn::constant(*id, keys.clone())).collect();
            let tags = vec![ProvenanceColumn::constant(id, Positions::places((from..until).collect()))];
            let provenance = Provenance { tags, sources };
            let chunk = Chunk::new(Arc::clone(&schema), ns.len(), vec![], values(&ns), provenance)?;
            let at = |n: &u64| usize::try_from(*n).ok().and_then(|n| references.get(n)).copied();
            recorder.append(chunk, ns.iter().filter_map(at).collect()).await?;
        }
        recorder.complete().await?;
        Ok(())
    })
}
