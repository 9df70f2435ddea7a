//! Equal rows make equal blocks, for any provenance and any cut.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::provenance::{
    Origin, OriginColumn, OriginId, Origins, Positions, Provenance, ProvenanceColumn, RecordIds, TextTable,
};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::store::{RecordLayout, RecordingStore};
use anabranch_storage::Store;
use arrow::array::{ArrayRef, StringViewArray};
use arrow::datatypes::{DataType, Field};
use proptest::prelude::*;
use support::{read, recording_key, rows, wait};

/// A row: its text, and which origin and place its tag pair and its packet column have.
type Row = (Option<String>, (usize, u64), (usize, u64));

struct Run {
    origins: Arc<Origins>,
    schema: Arc<StreamSchema>,
    tags: [OriginId; 4],
    sources: [OriginId; 4],
}

impl Run {
    fn new() -> Self {
        let origins = Arc::new(Origins::default());
        let texts = |word: &str| {
            let table = TextTable::new(&std::env::temp_dir(), 1 << 20);
            (0..50).for_each(|n| table.push(format!("{word}={n}")).unwrap());
            RecordIds::Texts(Arc::new(table))
        };
        let (planes, ports) = (texts("tail"), texts("port"));
        let source =
            |name: &str, records: RecordIds| origins.add(Origin::Source { source: name.into(), records });
        let column = |name: &str, records: RecordIds| {
            origins.add(Origin::Column { source: name.into(), records, column: "x".into() })
        };
        let tags = [
            OriginId::NULL,
            source("flights", RecordIds::Ordinal),
            source("planes", planes.clone()),
            source("ports", ports),
        ];
        let output =
            Origin::Output { function: "f".into(), fingerprint: "0123456789ab".into(), output: "x".into() };
        let sources = [
            OriginId::NULL,
            column("flights", RecordIds::Ordinal),
            column("planes", planes),
            origins.add(output),
        ];
        let schema = StreamSchema::new(
            vec![],
            vec![Arc::new(Field::new("x", DataType::Utf8View, true))],
            vec![SystemTag::of_source("aa")],
        );
        Self { origins, schema: Arc::new(schema.unwrap()), tags, sources }
    }

    fn chunk(&self, rows: &[Row]) -> Chunk {
        let column = |origins: &[OriginId; 4], places: Vec<(usize, u64)>| {
            let wide = places.iter().any(|(origin, _)| origins[*origin] == self.sources[3]);
            let ids = places.iter().map(|(origin, _)| origins[*origin]).collect();
            let values = places.iter().map(|(_, place)| *place);
            let positions = if wide {
                let key = |(origin, place): &(usize, u64)| {
                    if origins[*origin] == self.sources[3] {
                        u128::from(*place) << 75
                    } else {
                        u128::from(*place)
                    }
                };
                Positions::keys(places.iter().map(key).collect())
            } else {
                Positions::places(values.collect())
            };
            ProvenanceColumn::of(OriginColumn::compact(ids), positions)
        };
        let values: StringViewArray = rows.iter().map(|row| row.0.as_deref()).collect();
        let provenance = Provenance {
            tags: vec![column(&self.tags, rows.iter().map(|row| row.1).collect())],
            sources: vec![column(&self.sources, rows.iter().map(|row| row.2).collect())],
        };
        let values: Vec<ArrayRef> = vec![Arc::new(values)];
        Chunk::new(Arc::clone(&self.schema), rows.len(), vec![], values, provenance).unwrap()
    }

    fn record(&self, store: &Store, name: &str, chunks: &[Chunk]) {
        wait(async {
            let layout = RecordLayout { schema: Arc::clone(&self.schema), ordered: true, function: None };
            let mut recorder =
                store.begin(recording_key("node", name), layout, Arc::clone(&self.origins)).await.unwrap();
            for chunk in chunks {
                recorder.append(chunk.clone(), vec![]).await.unwrap();
            }
            recorder.complete().await.unwrap();
        });
    }
}

fn blocks(store: &Store) -> i64 {
    let connection = rusqlite::Connection::open(store.dir().join("store.db")).unwrap();
    connection.query_row("SELECT count(*) FROM blocks", [], |row| row.get(0)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_provenance_comes_back_and_any_cut_gives_the_same_block(
        all in proptest::collection::vec(
            (proptest::option::of("[a-z]{0,16}"), (0..4_usize, 0..50_u64), (0..4_usize, 0..50_u64)),
            1..60,
        ),
        cuts in proptest::collection::vec(1..20_usize, 1..5),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let whole = Run::new();
        whole.record(&store, "whole", &[whole.chunk(&all)]);
        let cut = Run::new();
        let (mut rest, mut chunks) = (&all[..], Vec::new());
        for size in cuts.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*size));
            chunks.push(cut.chunk(now));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        cut.record(&store, "cut", &chunks);
        prop_assert_eq!(blocks(&store), 1);
        let expected = rows(&[whole.chunk(&all)], &whole.origins, &whole.schema);
        for info in store.recordings("p", "node").unwrap() {
            prop_assert_eq!(&read(&store, &info), &expected);
        }
    }
}

#[test]
fn blocks_of_large_rows_end_at_the_same_rows_for_any_cut() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let run = Run::new();
    // 16 MiB take eight of these, and not quite a ninth row; one is larger than a block by itself.
    let size = |n: u64| if n == 11 { 17 << 20 } else { (2 << 20) - 100 };
    let all: Vec<Row> = (0..25).map(|n| (Some("x".repeat(size(n))), (1, n), (1, n))).collect();
    let whole = run.chunk(&all);
    run.record(&store, "whole", std::slice::from_ref(&whole));
    let count = blocks(&store);
    assert_eq!(count, 5, "0 to 7, 8 to 10, 11, 12 to 19, 20 to 24");
    for cut in [1, 3] {
        let chunks: Vec<Chunk> = all.chunks(cut).map(|rows| run.chunk(rows)).collect();
        run.record(&store, "cut", &chunks);
        assert_eq!(blocks(&store), count, "cut into {cut}");
    }
    let info = store.recordings("p", "node").unwrap().remove(0);
    let lengths: Vec<usize> =
        store.open_recording(&info).unwrap().map(|chunk| chunk.unwrap().rows()).collect();
    assert_eq!(lengths, [8, 3, 1, 8, 5]);
    assert_eq!(read(&store, &info), rows(&[whole], &run.origins, &run.schema));
}
