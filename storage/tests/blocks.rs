//! Equal rows make equal blocks, for any provenance and any cut.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::list_alignment::{ListAlignment, with_alignment};
use anabranch_engine::provenance::{
    ListColumn, Origin, OriginColumn, OriginId, Origins, Positions, Provenance, ProvenanceColumn, RecordIds,
    StringTable,
};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::store::{RecordError, RecordLayout, RecordingStore};
use anabranch_storage::Store;
use arrow::array::{ArrayRef, StringViewArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use proptest::prelude::*;
use support::{read, recording_key, rows, wait};

/// Provenance of a value: one origin and place, or a list of such, or no list.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(usize, u64),
    List(Option<Vec<Tree>>),
}

fn tree(depth: usize) -> BoxedStrategy<Tree> {
    match depth.checked_sub(1) {
        None => (0..4_usize, 0..50_u64).prop_map(|(origin, place)| Tree::Leaf(origin, place)).boxed(),
        Some(inner) => {
            let items = proptest::collection::vec(tree(inner), 0..4);
            proptest::option::of(items).prop_map(Tree::List).boxed()
        }
    }
}

/// A row: its text, and where it came from in two ways.
type Row = (Option<String>, Tree, Tree);

/// A run over rows of one depth each way: the first way is that of a tag pair and of the packet
/// column, which so have lists of equal lengths, and the second that of another tag pair.
struct Run {
    origins: Arc<Origins>,
    schema: Arc<StreamSchema>,
    depths: (usize, usize),
    tags: [OriginId; 4],
    sources: [OriginId; 4],
    /// True if memory has items that no list shows.
    hides: bool,
}

impl Run {
    fn new(depths: (usize, usize), hides: bool) -> Self {
        let origins = Arc::new(Origins::default());
        let texts = |word: &str| {
            let table = StringTable::new(&std::env::temp_dir(), 1 << 20);
            (0..50).for_each(|n| table.push(format!("{word}={n}")).unwrap());
            RecordIds::Strings(Arc::new(table))
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
        let output = Origin::Output {
            function: "f".into(),
            fingerprint: "0123456789ab".into(),
            output: "x".into(),
            recording: None,
        };
        let sources = [
            OriginId::NULL,
            column("flights", RecordIds::Ordinal),
            column("planes", planes),
            origins.add(output),
        ];
        let levels = |depth: usize| ListAlignment::parse(&"-,".repeat(depth));
        let field: FieldRef = Arc::new(Field::new("x", DataType::Utf8View, true));
        let schema = StreamSchema::new(
            vec![],
            vec![with_alignment(&field, &ListAlignment::default(), &levels(depths.0))],
            vec![
                SystemTag::of_source("aa").with_alignment(levels(depths.0)),
                SystemTag::of_source("bb").with_alignment(levels(depths.1)),
            ],
        );
        Self { origins, schema: Arc::new(schema.unwrap()), depths, tags, sources, hides }
    }

    fn column(&self, origins: &[OriginId; 4], depth: usize, trees: &[Tree]) -> ProvenanceColumn {
        if depth == 0 {
            return self.leaves(origins, trees);
        }
        let hidden = vec![spare(depth - 1); 2];
        let lists = trees.iter().map(|tree| match tree {
            Tree::List(Some(items)) => &items[..],
            _ if self.hides => &hidden[..],
            _ => &[],
        });
        let mut items: Vec<Tree> = lists.clone().flatten().cloned().collect();
        let lengths: Vec<usize> = lists.map(<[Tree]>::len).collect();
        let valid = trees.iter().map(|tree| matches!(tree, Tree::List(Some(_))));
        let nulls = NullBuffer::from(valid.collect::<Vec<bool>>());
        let nulls = Some(nulls).filter(|nulls| self.hides || nulls.null_count() > 0);
        if !self.hides {
            let (offsets, items) =
                (OffsetBuffer::from_lengths(lengths), self.column(origins, depth - 1, &items));
            return ProvenanceColumn::Lists(ListColumn { offsets, nulls, items: Arc::new(items) });
        }
        // A slice of lists that begin before these and end behind them.
        items.splice(0..0, hidden.clone());
        items.extend(hidden);
        let lengths = std::iter::once(2).chain(lengths).chain([2]);
        let nulls = nulls.map(|nulls| {
            let valid = std::iter::once(true).chain(nulls.iter()).chain([true]);
            NullBuffer::from(valid.collect::<Vec<bool>>())
        });
        let (offsets, items) = (OffsetBuffer::from_lengths(lengths), self.column(origins, depth - 1, &items));
        ProvenanceColumn::Lists(ListColumn { offsets, nulls, items: Arc::new(items) }).slice(1, trees.len())
    }

    fn leaves(&self, origins: &[OriginId; 4], trees: &[Tree]) -> ProvenanceColumn {
        let leaf = |tree: &Tree| match tree {
            Tree::Leaf(origin, place) => (origins[*origin], *place),
            Tree::List(_) => unreachable!("the depth says where leaves are"),
        };
        let leaves: Vec<(OriginId, u64)> = trees.iter().map(leaf).collect();
        let wide = self.sources[3];
        let positions = if leaves.iter().any(|(id, _)| *id == wide) {
            let key = |(id, place): &(OriginId, u64)| u128::from(*place) << if *id == wide { 75 } else { 0 };
            Positions::keys(leaves.iter().map(key).collect())
        } else {
            Positions::places(leaves.iter().map(|(_, place)| *place).collect())
        };
        ProvenanceColumn::of(OriginColumn::compact(leaves.iter().map(|(id, _)| *id).collect()), positions)
    }

    fn chunk(&self, rows: &[Row]) -> Chunk {
        let firsts: Vec<Tree> = rows.iter().map(|row| row.1.clone()).collect();
        let seconds: Vec<Tree> = rows.iter().map(|row| row.2.clone()).collect();
        let values: StringViewArray = rows.iter().map(|row| row.0.as_deref()).collect();
        let provenance = Provenance {
            tags: vec![
                self.column(&self.tags, self.depths.0, &firsts),
                self.column(&self.tags, self.depths.1, &seconds),
            ],
            sources: vec![self.column(&self.sources, self.depths.0, &firsts)],
        };
        let values: Vec<ArrayRef> = vec![Arc::new(values)];
        Chunk::new(Arc::clone(&self.schema), rows.len(), vec![], values, provenance).unwrap()
    }

    fn record(&self, store: &Store, name: &str, chunks: &[Chunk]) -> Result<(), RecordError> {
        wait(async {
            let layout = RecordLayout { schema: Arc::clone(&self.schema), ordered: true, function: None };
            let mut recorder =
                store.begin(recording_key("node", name), layout, Arc::clone(&self.origins)).await?;
            for chunk in chunks {
                recorder.append(chunk.clone(), vec![]).await?;
            }
            recorder.complete().await
        })
    }
}

/// An item that no list shows: its origin is that of no other value.
fn spare(depth: usize) -> Tree {
    match depth {
        0 => Tree::Leaf(3, 49),
        _ => Tree::List(Some(vec![spare(depth - 1)])),
    }
}

fn blocks(store: &Store) -> i64 {
    let connection = rusqlite::Connection::open(store.dir().unwrap().join("store.db")).unwrap();
    connection.query_row("SELECT count(*) FROM blocks", [], |row| row.get(0)).unwrap()
}

fn all_rows() -> impl Strategy<Value = ((usize, usize), Vec<Row>)> {
    (0..=3_usize, 0..=2_usize).prop_flat_map(|(first, second)| {
        let row = (proptest::option::of("[a-z]{0,16}"), tree(first), tree(second));
        (Just((first, second)), proptest::collection::vec(row, 1..40))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_provenance_comes_back_and_any_cut_gives_the_same_block(
        (depths, all) in all_rows(),
        cuts in proptest::collection::vec(1..20_usize, 1..5),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let whole = Run::new(depths, false);
        whole.record(&store, "whole", &[whole.chunk(&all)]).unwrap();
        let cut = Run::new(depths, true);
        let (mut rest, mut chunks) = (&all[..], Vec::new());
        for size in cuts.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*size));
            chunks.push(cut.chunk(now));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        cut.record(&store, "cut", &chunks).unwrap();
        prop_assert_eq!(blocks(&store), 1);
        let expected = rows(&[whole.chunk(&all)], &whole.origins, &whole.schema);
        for info in store.recordings("p", "node").unwrap() {
            prop_assert_eq!(&read(&store, &info), &expected);
        }
    }
}

/// Records the rows whole and in small chunks; the rows of each block.
fn cut_alike(run: &Run, all: &[Row]) -> Vec<usize> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let whole = run.chunk(all);
    run.record(&store, "whole", std::slice::from_ref(&whole)).unwrap();
    let count = blocks(&store);
    for cut in [1, 3] {
        let chunks: Vec<Chunk> = all.chunks(cut).map(|rows| run.chunk(rows)).collect();
        run.record(&store, "cut", &chunks).unwrap();
        assert_eq!(blocks(&store), count, "cut into {cut}");
    }
    let info = store.recordings("p", "node").unwrap().remove(0);
    assert_eq!(read(&store, &info), rows(&[whole], &run.origins, &run.schema));
    store.open_recording(&info).unwrap().map(|chunk| chunk.unwrap().rows()).collect()
}

#[test]
fn blocks_of_large_rows_end_at_the_same_rows_for_any_cut() {
    // 16 MiB take eight of these, and not quite a ninth row; one is larger than a block by itself.
    let size = |n: u64| if n == 11 { 17 << 20 } else { (2 << 20) - 100 };
    let row = |n| (Some("x".repeat(size(n))), Tree::Leaf(1, n), Tree::Leaf(1, n));
    let all: Vec<Row> = (0..25).map(row).collect();
    assert_eq!(cut_alike(&Run::new((0, 0), false), &all), [8, 3, 1, 8, 5]);
}

#[test]
fn blocks_of_rows_with_long_lists_of_provenance_are_small() {
    // Two columns of 8 bytes an item: 16 MiB take four of these.
    let row = |n: u64| {
        let items = (0..250_000).map(|at| Tree::Leaf(1, n + at)).collect();
        (None, Tree::List(Some(items)), Tree::Leaf(1, n))
    };
    let all: Vec<Row> = (0..6).map(row).collect();
    assert_eq!(cut_alike(&Run::new((1, 0), false), &all), [4, 2]);
}

#[test]
fn columns_with_lists_of_one_batch_share_positions_when_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let run = Run::new((1, 0), true);
    let list = |ns: std::ops::Range<u64>| Tree::List(Some(ns.map(|n| Tree::Leaf(1, n * 7)).collect()));
    let all = [(None, list(0..3), Tree::Leaf(1, 1)), (None, list(3..3), Tree::Leaf(2, 1))];
    run.record(&store, "r", &[run.chunk(&all)]).unwrap();
    let info = store.recordings("p", "node").unwrap().remove(0);
    let chunk = store.open_recording(&info).unwrap().next().unwrap().unwrap();
    let items = |column: &ProvenanceColumn| match column {
        ProvenanceColumn::Lists(lists) => lists.items.flat().unwrap().positions.clone(),
        ProvenanceColumn::Flat(_) => unreachable!("the schema has lists"),
    };
    let provenance = chunk.provenance();
    assert!(items(&provenance.tags[0]).same(&items(&provenance.sources[0])));
    assert_eq!(items(&provenance.tags[0]).len(), 3);
}

#[test]
fn the_deepest_lists_that_are_recorded_can_be_read_and_deeper_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let deep = |depth| vec![(None, spare(depth), spare(depth))];
    let run = Run::new((12, 12), true);
    run.record(&store, "r", &[run.chunk(&deep(12))]).unwrap();
    let info = store.recordings("p", "node").unwrap().remove(0);
    assert_eq!(read(&store, &info), rows(&[run.chunk(&deep(12))], &run.origins, &run.schema));
    let deeper = Run::new((1, 13), true);
    let error = deeper.record(&store, "r2", &[]).unwrap_err().to_string();
    assert!(
        error.contains("node \"node\": found provenance in 13 levels of lists, expected at most 12"),
        "{error}"
    );
}
