//! Holds the stored format to the bytes that `design/formats.md` describes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::list_alignment::{ListAlignment, with_alignment};
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::store::{CommitMode, ResultStore};
use anabranch_storage::{Store, StoreOptions};
use arrow::buffer::OffsetBuffer;
use rusqlite::Connection;
use support::{Sources, function, record, record_function, results, streamed, wait};

fn texts(connection: &Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare(query).unwrap();
    let texts = statement.query_map([], |row| row.get(0)).unwrap();
    texts.collect::<Result<_, _>>().unwrap()
}

fn short(texts: &[String]) -> String {
    blake3::hash(texts.join("\n").as_bytes()).to_hex()[..16].to_owned()
}

/// Blocks, schema and origins of the only recording of a store.
fn recorded(connection: &Connection) -> [String; 3] {
    [
        texts(connection, "SELECT lower(hex(hash)) FROM blocks ORDER BY id").join(" "),
        short(&texts(connection, "SELECT hex(schema) FROM recordings")),
        texts(connection, "SELECT origins FROM recordings").join(" "),
    ]
}

/// Four rows of values whose provenance is in lists of 3, 0, 5 and 2; two deep for the first tag.
fn listed(sources: &mut Sources) -> Chunk {
    let (tags, packets, _) = sources.chunk(&[1, 2, 3, 4]).into_parts();
    let (.., mut provenance) = sources.chunk(&[9, 8, 7, 5, 6, 7, 8, 9, 30, 31]).into_parts();
    let lengths = || OffsetBuffer::from_lengths([3, 0, 5, 2]);
    provenance.tags = provenance.tags.into_iter().map(|tag| tag.into_lists(lengths())).collect();
    provenance.sources = provenance.sources.into_iter().map(|source| source.into_lists(lengths())).collect();
    let first = provenance.tags.remove(0).slice(0, 3).into_lists(OffsetBuffer::from_lengths([1, 1, 0, 1]));
    provenance.tags.insert(0, first);
    let (once, twice) =
        (ListAlignment::parse("0123456789abcdef,"), ListAlignment::parse("-,0123456789abcdef,"));
    let schema = &sources.schema;
    let packet = |field| with_alignment(field, &ListAlignment::default(), &once);
    let mut pairs: Vec<_> = schema.system_tags().iter().map(|tag| tag.with_alignment(once.clone())).collect();
    pairs[0] = pairs[0].with_alignment(twice);
    let packet_fields = schema.packets().iter().map(packet).collect();
    let schema = StreamSchema::new(schema.tags().to_vec(), packet_fields, pairs).unwrap();
    sources.schema = Arc::new(schema);
    Chunk::new(Arc::clone(&sources.schema), 4, tags, packets, provenance).unwrap()
}

#[test]
fn the_format_of_the_store_has_not_changed() {
    let [dir, lists, packs, stretches] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let store = Store::open(dir.path()).unwrap();
    let ns: Vec<u64> = (0..10_000).collect();
    wait(store.commit(function("1"), results(&ns[..100], "", CommitMode::First))).unwrap();
    let mut sources = Sources::new(0);
    record(&store, "r1", &sources, &[sources.chunk(&ns)]).unwrap();
    let chunk = listed(&mut sources);
    record(&Store::open(lists.path()).unwrap(), "r1", &sources, &[chunk]).unwrap();
    let store_of_stretches = Store::open(stretches.path()).unwrap();
    let (f, sources) = (function("1"), Sources::new(0));
    // None of them is dropped, so that they follow each other.
    let given: Vec<u64> = ns[..700].iter().filter(|n| support::outcome(**n, "").is_some()).copied().collect();
    let new = results(&given, "", CommitMode::First);
    let references = wait(store_of_stretches.commit(Arc::clone(&f), new)).unwrap().references;
    let chunk = streamed(&sources, &f, &given, "");
    record_function(&store_of_stretches, (&sources, &f), "r1", &chunk, &references);
    // Blocks first and the rest in one go, so that it does not matter when the writer tidies up.
    let never = 1 << 40;
    let lazy =
        StoreOptions { run_keys: never, most_keys: never, small_blocks: never, ..StoreOptions::default() };
    let blocks_only = Store::open_with(packs.path(), &lazy).unwrap();
    for n in 0..20 {
        wait(blocks_only.commit(function("1"), results(&[n], "", CommitMode::First))).unwrap();
    }
    let eager = StoreOptions { run_keys: 10, small_blocks: 2, ..StoreOptions::default() };
    wait(Store::open_with(packs.path(), &eager).unwrap().maintain()).unwrap();
    let keys = Connection::open(packs.path().join("store.db")).unwrap();
    drop(store);
    let connection = Connection::open(dir.path().join("store.db")).unwrap();
    let tables = texts(&connection, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
    let [blocks, schema, origins] = recorded(&connection);
    let [list_blocks, list_schema, list_origins] =
        recorded(&Connection::open(lists.path().join("store.db")).unwrap());
    let facts = [
        ("tables", short(&tables)),
        ("results", texts(&connection, "SELECT lower(hex(checksum)) FROM result_blocks").join(" ")),
        ("packs", texts(&keys, "SELECT lower(hex(checksum)) FROM result_packs").join(" ")),
        ("pieces", texts(&keys, "SELECT hex(pieces) FROM result_packs").join(" ")),
        ("keys", short(&texts(&keys, "SELECT hex(data) FROM key_pages"))),
        ("filters", short(&texts(&keys, "SELECT hex(data) FROM key_filters"))),
        ("blocks", blocks),
        (
            "blocks of a function",
            recorded(&Connection::open(stretches.path().join("store.db")).unwrap())[0].clone(),
        ),
        ("schema", schema),
        ("origins", origins),
        ("blocks with lists", list_blocks),
        ("schema with lists", list_schema),
        ("origins with lists", short(&[list_origins])),
    ];
    let golden = include_str!("format.golden");
    let found: Vec<String> = facts.iter().map(|(name, fact)| format!("{name}: {fact}")).collect();
    assert_eq!(
        found.join("\n"),
        golden.trim_end(),
        "a changed format needs a new number and a way to read the old one"
    );
}
