//! Packets that were set aside: they are listed as they were written, and damage is reported.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::path::Path;
use std::sync::Arc;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{FailingNode, FailureStore, SetAside, StoreErrorKind};
use anabranch_storage::{SetAsideInfo, Store};
use arrow::array::{ArrayRef, AsArray as _, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use support::{function, key, wait};

fn node(run: &str, name: &str) -> Arc<FailingNode> {
    Arc::new(FailingNode {
        run: run.to_owned(),
        pipeline: "p".to_owned(),
        node: name.to_owned(),
        function: function("1"),
        takes: vec![Arc::new(Field::new("n", DataType::Int64, true))],
        tags: vec![Arc::new(Field::new("plane", DataType::Utf8View, true))],
    })
}

fn packet(n: u64) -> SetAside {
    let (taken, tag): (ArrayRef, ArrayRef) = (
        Arc::new(Int64Array::from(vec![(!n.is_multiple_of(3)).then_some(n.cast_signed())])),
        Arc::new(StringViewArray::from(vec![(!n.is_multiple_of(5)).then(|| format!("N{n}"))])),
    );
    SetAside {
        packet: key(n),
        kind: "the function failed".to_owned(),
        message: format!("it does not like {n}"),
        log: format!("line {n}\n").repeat(20),
        attempts: 3,
        rows: n + 1,
        taken: vec![taken],
        tags: vec![tag],
        records: vec![("planes".to_owned(), format!("tail=N{n}"))],
    }
}

fn write(store: &Store, node: &Arc<FailingNode>, ns: std::ops::Range<u64>, more: &[(u64, u64)]) {
    let more: Vec<(PacketHash, u64)> = more.iter().map(|(n, rows)| (key(*n), *rows)).collect();
    wait(FailureStore::set_aside(store, Arc::clone(node), ns.map(packet).collect(), more)).unwrap();
}

fn listed(store: &Store, node: Option<&str>, run: &str) -> Vec<SetAsideInfo> {
    store.set_aside("p", node, Some(run)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_was_set_aside_is_listed_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(listed(&store, None, "one").is_empty(), "a store without failures has no table");
    write(&store, &node("one", "f"), 0..300, &[]);
    write(&store, &node("one", "f"), 300..310, &[(7, 100), (305, 1)]);
    write(&store, &node("one", "g"), 0..2, &[]);
    write(&store, &node("two", "f"), 5..6, &[]);
    let store = Store::open(dir.path()).unwrap();
    let of_f = listed(&store, Some("f"), "one");
    assert_eq!(of_f.len(), 310);
    for (info, n) in of_f.iter().zip(0_u64..) {
        let written = packet(n);
        assert_eq!((info.packet, info.attempts, &info.records), (key(n), 3, &written.records));
        assert_eq!((&info.message, &info.log, &info.kind), (&written.message, &written.log, &written.kind));
        assert_eq!((info.node.as_str(), info.function.as_str()), ("f", "double"));
        assert_eq!(info.fingerprint, *function("1").fingerprint.digest());
        let more = [(7, 100), (305, 1)].iter().find(|(at, _)| *at == n).map_or(0, |(_, rows)| *rows);
        assert_eq!(info.rows, written.rows + more);
        let taken = info.taken.column_by_name("n").unwrap();
        assert_eq!(taken.as_primitive::<Int64Type>(), written.taken[0].as_primitive::<Int64Type>());
        let tag = info.tags.column_by_name("plane").unwrap();
        assert_eq!(tag.as_string_view(), written.tags[0].as_string_view());
    }
    assert_eq!((listed(&store, None, "one").len(), listed(&store, None, "two").len()), (312, 1));
    assert!(store.set_aside("another", None, Some("one")).unwrap().next().is_none());
}

#[test]
fn a_packet_that_is_written_down_twice_is_listed_once_with_all_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    write(&store, &node("one", "f"), 4..6, &[]);
    write(&store, &node("one", "f"), 5..7, &[(5, 2)]);
    let rows: Vec<(PacketHash, u64)> =
        listed(&store, None, "one").iter().map(|info| (info.packet, info.rows)).collect();
    assert_eq!(rows, [(key(4), 5), (key(5), 6 + 6 + 2), (key(6), 7)]);
}

#[test]
fn rows_without_columns_are_set_aside_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let bare = FailingNode { takes: Vec::new(), tags: Vec::new(), ..(*node("one", "f")).clone() };
    let packets = vec![SetAside { taken: Vec::new(), tags: Vec::new(), ..packet(1) }];
    wait(FailureStore::set_aside(&store, Arc::new(bare), packets, Vec::new())).unwrap();
    let [info] = listed(&store, None, "one").try_into().unwrap();
    assert_eq!((info.taken.num_rows(), info.taken.num_columns()), (1, 0));
    assert_eq!((info.tags.num_rows(), info.tags.num_columns()), (1, 0));
}

/// An action on a store.
type Damage = fn(&Path);

fn change(dir: &Path, statement: &str, values: impl rusqlite::Params) {
    let connection = rusqlite::Connection::open(dir.join("store.db")).unwrap();
    assert!(connection.execute(statement, values).unwrap() > 0);
}

/// Replaces a block by another with a checksum that fits.
fn replace(dir: &Path, block: i64, data: &[u8]) {
    let checksum = *blake3::hash(data).as_bytes();
    change(
        dir,
        "UPDATE set_aside_blocks SET data = ?2, checksum = ?3 WHERE id = ?1",
        (block, data, checksum),
    );
}

#[test]
fn a_damaged_block_is_told_after_what_stands_before_it_and_never_listed() {
    let damages: [(&str, Damage); 6] = [
        ("its checksum does not match", |dir| {
            change(
                dir,
                "UPDATE set_aside_blocks SET data = substr(data, 1, length(data) - 9) WHERE id = 2",
                (),
            );
        }),
        ("its checksum does not match", |dir| {
            change(dir, "UPDATE set_aside_blocks SET checksum = zeroblob(32) WHERE id = 2", ());
        }),
        ("", |dir| replace(dir, 2, b"")),
        ("", |dir| replace(dir, 2, &[0x5a; 4_000])),
        ("a column is missing", |dir| {
            change(dir, "UPDATE set_aside SET position = 1000 WHERE block = 2 AND position = 1", ());
        }),
        ("a column is missing", |dir| {
            change(dir, "UPDATE set_aside SET position = -1 WHERE block = 2 AND position = 1", ());
        }),
    ];
    for (at, (text, damage)) in damages.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for part in [0..3, 3..6, 6..9] {
            write(&store, &node("one", "f"), part, &[]);
        }
        damage(dir.path());
        let mut reader = store.set_aside("p", None, Some("one")).unwrap();
        let before: Vec<PacketHash> = reader.by_ref().take(3).map(|info| info.unwrap().packet).collect();
        assert_eq!(before, [key(0), key(1), key(2)]);
        let error = reader.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "damage {at}: {error}");
        let message = error.to_string();
        assert!(message.contains("block 2 of packets set aside") && message.contains(text), "{message}");
        assert!(reader.next().is_none(), "damage {at}");
    }
}

#[test]
fn no_cut_and_no_flipped_byte_of_a_block_makes_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    write(&store, &node("one", "f"), 0..4, &[]);
    let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    let whole: Vec<u8> =
        connection.query_row("SELECT data FROM set_aside_blocks", [], |row| row.get(0)).unwrap();
    drop(connection);
    let mut seen = [0, 0];
    for at in (0..whole.len()).step_by(whole.len() / 100 + 1) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x81;
        for data in [&whole[..at], &flipped] {
            // Its checksum fits, so that whatever reads the block has to bear it.
            replace(dir.path(), 1, data);
            let ended = store.set_aside("p", None, Some("one")).unwrap().last().unwrap();
            seen[usize::from(ended.is_ok())] += 1;
        }
    }
    assert!(seen[0] > 50, "{seen:?}");
}
