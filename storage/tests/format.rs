//! Holds the stored format to the bytes that `design/formats.md` describes.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use anabranch_engine::store::{CommitMode, ResultStore};
use anabranch_storage::Store;
use rusqlite::Connection;
use support::{Sources, function, record, results, wait};

fn texts(connection: &Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare(query).unwrap();
    let texts = statement.query_map([], |row| row.get(0)).unwrap();
    texts.collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_format_of_the_store_has_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let ns: Vec<u64> = (0..10_000).collect();
    wait(store.commit(function("1"), results(&ns[..100], "", CommitMode::First))).unwrap();
    let sources = Sources::new(0);
    record(&store, "r1", &sources, &[sources.chunk(&ns)]).unwrap();
    drop(store);
    let connection = Connection::open(dir.path().join("store.db")).unwrap();
    let tables = texts(&connection, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
    let short = |texts: &[String]| blake3::hash(texts.join("\n").as_bytes()).to_hex()[..16].to_owned();
    let facts = [
        ("tables", short(&tables)),
        ("results", texts(&connection, "SELECT lower(hex(checksum)) FROM result_blocks").join(" ")),
        ("blocks", texts(&connection, "SELECT lower(hex(hash)) FROM blocks ORDER BY id").join(" ")),
        ("schema", short(&texts(&connection, "SELECT hex(schema) FROM recordings"))),
        ("origins", texts(&connection, "SELECT origins FROM recordings").join(" ")),
    ];
    let golden = include_str!("format.golden");
    let found: Vec<String> = facts.iter().map(|(name, fact)| format!("{name}: {fact}")).collect();
    assert_eq!(
        found.join("\n"),
        golden.trim_end(),
        "a changed format needs a new number and a way to read the old one"
    );
}
