//! Guarantees of a recording store.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, Columns};
use anabranch_engine::identity::ResultKey;
use anabranch_engine::list_alignment::{ListAlignment, with_alignment};
use anabranch_engine::provenance::{Origin, Positions, ProvenanceColumn};
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::store::{
    CommitMode, RecordLayout, RecordingStore, ResultId, ResultStore, StoreErrorKind,
};
use anabranch_storage::Store;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use rusqlite::Connection;
use support::{Sources, function, key, operator_layout, read, record, recording_key, results, rows, wait};

fn count(store: &Store, query: &str) -> i64 {
    let connection = Connection::open(store.dir().unwrap().join("store.db")).unwrap();
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

fn numbers(rows: u64) -> Vec<u64> {
    (0..rows).map(|n| n * 7_919 % rows).collect()
}

/// The rows cut into chunks of these sizes in turn, each made by itself.
fn chunks(sources: &Sources, ns: &[u64], sizes: &[usize]) -> Vec<Chunk> {
    let (mut rest, mut chunks) = (ns, Vec::new());
    for size in sizes.iter().cycle() {
        let (now, later) = rest.split_at(rest.len().min(*size));
        chunks.push(sources.chunk(now));
        rest = later;
        if rest.is_empty() {
            return chunks;
        }
    }
    chunks
}

fn place(column: &mut ProvenanceColumn, positions: Positions) {
    let origins = column.flat().unwrap().origins.clone();
    *column = ProvenanceColumn::of(origins, positions);
}

#[test]
fn a_recording_gives_back_the_rows_and_texts_that_were_streamed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(3);
    let streamed = chunks(&sources, &numbers(20_000), &[1, 3_000, 777, 9_000]);
    record(&store, "r1", &sources, &streamed).unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let found = store.recordings("p", "node").unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].rows, found[0].ordered, found[0].run.as_str()), (20_000, true, "r1"));
    assert_eq!(found[0].schema, sources.schema);
    assert_eq!((found[0].content, found[0].pipeline_hash), {
        let key = recording_key("node", "r1");
        (key.content, key.pipeline_hash)
    });
    assert_eq!(read(&store, &found[0]), rows(&streamed, &sources.origins, &sources.schema));
    assert_eq!(store.nodes_recorded("p").unwrap(), ["node"]);
    assert_eq!(store.nodes_recorded("q").unwrap(), [""; 0]);
    assert_eq!(store.recordings_in_run("r1").unwrap()[0].id, found[0].id);
    assert!(store.recordings_in_run("r2").unwrap().is_empty());
}

#[test]
fn each_chunk_read_renders_by_itself_and_columns_of_one_source_share_positions() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    let ns = numbers(20_000);
    record(&store, "r1", &sources, &[sources.chunk(&ns)]).unwrap();
    let info = store.recordings("p", "node").unwrap().remove(0);
    let reader = store.open_recording(&info).unwrap();
    let (mut from, origins) = (0, Arc::clone(reader.origins()));
    for chunk in reader {
        let chunk = chunk.unwrap();
        let expected = sources.chunk(&ns[from..from + chunk.rows()]);
        let expected = expected.to_batch(Columns::All, &sources.origins).unwrap();
        assert_eq!(chunk.to_batch(Columns::All, &origins).unwrap(), expected);
        let provenance = chunk.provenance();
        assert!(
            provenance.tags[0]
                .flat()
                .unwrap()
                .positions
                .same(&provenance.sources[0].flat().unwrap().positions)
        );
        from += chunk.rows();
    }
    assert_eq!(from, ns.len());
}

#[test]
fn equal_rows_share_blocks_however_they_were_cut() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let ns = numbers(20_000);
    let cuts: [&[usize]; 4] = [&[20_000], &[1_000], &[8_192], &[1, 5, 4_093]];
    for (run, cut) in cuts.iter().enumerate() {
        // Each run has an origin table of its own, with others' origins before its own.
        let sources = Sources::new(run);
        record(&store, &format!("r{run}"), &sources, &chunks(&sources, &ns, cut)).unwrap();
    }
    assert_eq!(count(&store, "SELECT count(*) FROM blocks"), 3);
    assert_eq!(count(&store, "SELECT count(*) FROM recording_blocks"), 12);
    let sources = Sources::new(9);
    let mut changed = ns.clone();
    changed[19_999] = 5;
    record(&store, "r9", &sources, &[sources.chunk(&changed)]).unwrap();
    assert_eq!(count(&store, "SELECT count(*) FROM blocks"), 4, "only the last block is another");
    let runs: Vec<String> = store.recordings("p", "node").unwrap().into_iter().map(|i| i.run).collect();
    assert_eq!(runs, ["r9", "r3", "r2", "r1", "r0"], "the newest comes first");
}

#[test]
fn ranges_and_gathered_positions_of_equal_value_make_equal_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    let ns: Vec<u64> = (0..100).collect();
    let gathered = sources.chunk(&ns);
    record(&store, "r1", &sources, std::slice::from_ref(&gathered)).unwrap();
    let (tags, packets, mut provenance) = gathered.into_parts();
    place(&mut provenance.tags[0], Positions::range(0, 100));
    // What stands where there is no origin does not matter.
    place(&mut provenance.tags[3], Positions::range(17, 100));
    let ranged = Chunk::new(Arc::clone(&sources.schema), 100, tags, packets, provenance).unwrap();
    record(&store, "r2", &sources, &[ranged]).unwrap();
    assert_eq!(count(&store, "SELECT count(*) FROM blocks"), 1);
}

#[test]
fn an_empty_recording_has_a_schema_and_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    record(&store, "r1", &sources, &[]).unwrap();
    record(&store, "r2", &sources, &[sources.chunk(&[])]).unwrap();
    for info in store.recordings("p", "node").unwrap() {
        assert_eq!((info.rows, &info.schema), (0, &sources.schema));
        assert_eq!(store.open_recording(&info).unwrap().count(), 0);
    }
}

#[test]
fn an_abandoned_recording_is_never_seen() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    wait(async {
        let key = recording_key("node", "r1");
        let layout = operator_layout(&sources);
        let mut recorder = store.begin(key, layout, Arc::clone(&sources.origins)).await.unwrap();
        recorder.append(sources.chunk(&numbers(9_000)), vec![]).await.unwrap();
    });
    assert!(store.recordings("p", "node").unwrap().is_empty());
    assert!(store.nodes_recorded("p").unwrap().is_empty());
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert!(store.recordings("p", "node").unwrap().is_empty());
    // What it left behind is found by its incomplete row.
    assert_eq!(count(&store, "SELECT count(*) FROM recordings WHERE complete = 0"), 1);
    record(&store, "r2", &sources, &[sources.chunk(&numbers(9_000))]).unwrap();
    assert_eq!(store.recordings("p", "node").unwrap()[0].run, "r2");
}

#[test]
fn a_function_node_reads_its_outputs_from_results_with_their_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let f = function("1");
    let sources = Sources::new(2);
    let ns: Vec<u64> = (0..10_000).filter(|n| n % 7 != 3).collect();
    let committed = wait(store.commit(Arc::clone(&f), results(&ns, "", CommitMode::First))).unwrap();
    let outputs = [Field::new("twice", DataType::Int64, true), Field::new("words", DataType::Utf8View, true)];
    let schema = Arc::new(support::schema(&outputs));
    // What the node streams: the kept columns and the outputs with their provenance.
    let streamed = |ns: &[u64], references: &[ResultId]| {
        let (tags, mut packets, mut provenance) = sources.chunk(ns).into_parts();
        packets.extend(support::values(ns, "").1);
        let keys = ns.iter().map(|n| ResultKey::of(&f.fingerprint, &key(*n)).short()).collect();
        let keys = Positions::keys(keys);
        for output in ["twice", "words"] {
            let origin = sources.origins.add(Origin::Output {
                function: "double".into(),
                fingerprint: f.fingerprint.short().into(),
                output: output.into(),
                recording: None,
            });
            provenance.sources.push(ProvenanceColumn::constant(origin, keys.clone()));
        }
        let chunk = Chunk::new(Arc::clone(&schema), ns.len(), tags, packets, provenance).unwrap();
        (chunk, references.to_vec())
    };
    let parts: Vec<_> =
        ns.chunks(3_000).zip(committed.references.chunks(3_000)).map(|(ns, r)| streamed(ns, r)).collect();
    for run in ["r1", "r2"] {
        wait(async {
            let layout =
                RecordLayout { schema: Arc::clone(&schema), ordered: false, function: Some(Arc::clone(&f)) };
            let origins = Arc::clone(&sources.origins);
            let mut recorder = store.begin(recording_key("f", run), layout, origins).await.unwrap();
            support::append_all(&mut recorder, &parts).await;
            recorder.complete().await.unwrap();
        });
    }
    assert_eq!(count(&store, "SELECT count(*) FROM blocks"), 2);
    // A later version does not change what was recorded.
    wait(store.commit(Arc::clone(&f), results(&ns, "anew", CommitMode::Refresh))).unwrap();
    let chunks: Vec<Chunk> = parts.into_iter().map(|(chunk, _)| chunk).collect();
    let expected = rows(&chunks, &sources.origins, &schema);
    let found = store.recordings("p", "f").unwrap();
    assert_eq!(found.len(), 2);
    for info in &found {
        assert!(!info.ordered);
        assert_eq!(read(&store, info), expected);
    }
}

#[test]
fn what_a_function_keeps_comes_back_in_its_lists_beside_the_outputs() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (f, sources) = (function("1"), Sources::new(1));
    let ns: Vec<u64> = (0..500).filter(|n| n % 7 != 3).collect();
    let committed = wait(store.commit(Arc::clone(&f), results(&ns, "", CommitMode::First))).unwrap();
    let (tags, mut packets, mut provenance) = sources.chunk(&ns).into_parts();
    // A list of one for each row.
    let lists = |column: ProvenanceColumn| {
        let lengths = std::iter::repeat_n(1, column.rows());
        column.into_lists(OffsetBuffer::from_lengths(lengths))
    };
    provenance.tags = provenance.tags.into_iter().map(lists).collect();
    provenance.sources = provenance.sources.into_iter().map(lists).collect();
    let levels = ListAlignment::parse("00000000000000ab,");
    let pairs = sources.schema.system_tags().iter().map(|pair| pair.with_alignment(levels.clone())).collect();
    let kept = sources.schema.packets().iter().map(|f| with_alignment(f, &ListAlignment::default(), &levels));
    let fields = kept.chain(f.outputs.iter().cloned()).collect();
    let schema = Arc::new(StreamSchema::new(sources.schema.tags().to_vec(), fields, pairs).unwrap());
    let keys = Positions::keys(ns.iter().map(|n| ResultKey::of(&f.fingerprint, &key(*n)).short()).collect());
    packets.extend(committed.values);
    for output in ["twice", "words"] {
        let fingerprint = f.fingerprint.short().into();
        let origin =
            Origin::Output { function: "double".into(), fingerprint, output: output.into(), recording: None };
        provenance.sources.push(ProvenanceColumn::constant(sources.origins.add(origin), keys.clone()));
    }
    let chunk = Chunk::new(Arc::clone(&schema), ns.len(), tags, packets, provenance).unwrap();
    wait(async {
        let layout =
            RecordLayout { schema: Arc::clone(&schema), ordered: true, function: Some(Arc::clone(&f)) };
        let origins = Arc::clone(&sources.origins);
        let mut recorder = store.begin(recording_key("f", "r"), layout, origins).await.unwrap();
        recorder.append(chunk.clone(), committed.references).await.unwrap();
        recorder.complete().await.unwrap();
    });
    let info = store.recordings("p", "f").unwrap().remove(0);
    assert_eq!(info.schema, schema);
    assert_eq!(read(&store, &info), rows(&[chunk], &sources.origins, &schema));
}

#[test]
fn references_have_to_go_with_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    wait(async {
        let key = recording_key("node", "r1");
        let layout = operator_layout(&sources);
        let mut recorder = store.begin(key, layout, Arc::clone(&sources.origins)).await.unwrap();
        let reference = ResultId::new(1, 0);
        recorder.append(sources.chunk(&[1, 2]), vec![reference]).await.unwrap();
        let error = recorder.complete().await.unwrap_err();
        assert!(error.to_string().contains("found 1 references to results, expected 0"), "{error}");
    });
    assert!(store.recordings("p", "node").unwrap().is_empty());
}

#[test]
fn an_append_that_was_cancelled_does_not_leave_a_shorter_recording() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    wait(async {
        let key = recording_key("node", "r1");
        let layout = operator_layout(&sources);
        let mut recorder = store.begin(key, layout, Arc::clone(&sources.origins)).await.unwrap();
        let chunk = sources.chunk(&numbers(60_000));
        let cancelled = loop {
            let append = recorder.append(chunk.clone(), vec![]);
            match futures::future::select(append, std::future::ready(())).await {
                futures::future::Either::Left((sent, _)) => sent.unwrap(),
                futures::future::Either::Right(_) => break true,
            }
        };
        assert!(cancelled);
        let error = recorder.complete().await.unwrap_err();
        assert!(error.to_string().contains("rows are missing"), "{error}");
    });
    assert!(store.recordings("p", "node").unwrap().is_empty());
}

#[test]
fn a_damaged_block_is_named_and_nothing_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    record(&store, "r1", &sources, &[sources.chunk(&numbers(20_000))]).unwrap();
    let connection = Connection::open(dir.path().join("store.db")).unwrap();
    let mut data: Vec<u8> =
        connection.query_row("SELECT data FROM blocks WHERE id = 2", [], |row| row.get(0)).unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 1;
    connection.execute("UPDATE blocks SET data = ?1 WHERE id = 2", [data]).unwrap();
    let info = store.recordings("p", "node").unwrap().remove(0);
    let mut reader = store.open_recording(&info).unwrap();
    assert!(reader.next().unwrap().is_ok());
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(error.to_string().contains("block 2 of recording 1 of node \"node\" in run r1"), "{error}");
    assert!(reader.next().is_none());
}

#[test]
fn a_damaged_or_missing_result_block_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    wait(store.commit(function("1"), results(&[1, 2], "", CommitMode::First))).unwrap();
    let connection = Connection::open(dir.path().join("store.db")).unwrap();
    connection.execute("UPDATE result_blocks SET data = zeroblob(length(data))", []).unwrap();
    let error = wait(store.find(function("1"), vec![key(1)])).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(error.to_string().contains("result block 1 is damaged"), "{error}");
    connection.execute("DELETE FROM result_blocks", []).unwrap();
    let error = wait(store.find(function("1"), vec![key(1)])).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Missing);
}

#[test]
fn a_recording_that_lost_a_block_is_not_read_as_a_shorter_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    record(&store, "r1", &sources, &[sources.chunk(&numbers(10_000))]).unwrap();
    let connection = Connection::open(dir.path().join("store.db")).unwrap();
    connection.execute("DELETE FROM recording_blocks WHERE position = 1", []).unwrap();
    let info = store.recordings("p", "node").unwrap().remove(0);
    let error = store.open_recording(&info).unwrap().find_map(Result::err).unwrap();
    assert!(error.to_string().contains("1808 of its 10000 rows are missing"), "{error}");
}

#[test]
fn recordings_are_read_on_several_threads_while_others_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    let chunk = sources.chunk(&numbers(10_000));
    record(&store, "r0", &sources, std::slice::from_ref(&chunk)).unwrap();
    let expected = rows(std::slice::from_ref(&chunk), &sources.origins, &sources.schema);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (store, expected) = (store.clone(), &expected);
            scope.spawn(move || {
                for _ in 0..5 {
                    let info = store.recordings("p", "node").unwrap().remove(0);
                    assert_eq!(read(&store, &info), *expected, "reader {reader}");
                }
            });
        }
        for run in 1..5 {
            record(&store, &format!("r{run}"), &sources, std::slice::from_ref(&chunk)).unwrap();
        }
    });
}
