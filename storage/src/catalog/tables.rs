//! The tables of a store. `design/formats.md` explains each.

use super::table::Kind::{Bytes, Large, Number, String};
use super::table::{Index, Key, Table};

/// Version of the set of tables that refer to blocks. Code that removes blocks has to read them all.
pub(crate) const REFERENCES: i64 = 2;

/// Rows of a block of results that counts as small, at most. The index `small_result_blocks` has only such blocks.
pub(crate) const SMALL_ROWS: i64 = 2_048;

pub(crate) static META: Table = Table {
    name: "meta",
    columns: &["key", "value"],
    kinds: &[String, Number],
    key: Key::Columns(&["key"]),
    indexes: &[],
};

pub(crate) static FUNCTIONS: Table = Table {
    name: "functions",
    columns: &["id", "fingerprint", "name", "created_ms"],
    kinds: &[Number, Bytes, String, Number],
    key: Key::Numbered,
    indexes: &[Index::unique(&["fingerprint"]), Index::of(&["name", "id"])],
};

pub(crate) static COMPONENTS: Table = Table {
    name: "components",
    columns: &["function", "position", "name", "value"],
    kinds: &[Number, Number, String, String],
    key: Key::Columns(&["function", "position"]),
    indexes: &[],
};

pub(crate) static SEVERAL_VERSIONS: Table = Table {
    name: "several_versions",
    columns: &["function"],
    kinds: &[Number],
    key: Key::Given,
    indexes: &[],
};

pub(crate) static RESULT_BLOCKS: Table = Table {
    name: "result_blocks",
    columns: &["id", "function", "rows", "checksum", "prefixes", "data"],
    kinds: &[Number, Number, Number, Bytes, Large, Large],
    key: Key::NeverAgain,
    indexes: &[
        Index::of(&["function", "id"]),
        Index::small(&["function", "id", "rows"], ("rows", SMALL_ROWS)),
    ],
};

pub(crate) static RESULT_PACKS: Table = Table {
    name: "result_packs",
    columns: &[
        "id",
        "function",
        "first_block",
        "last_block",
        "rows",
        "checksum",
        "pieces",
        "prefixes",
        "data",
    ],
    kinds: &[Number, Number, Number, Number, Number, Bytes, Large, Large, Large],
    key: Key::NeverAgain,
    indexes: &[Index::of(&["function", "first_block"])],
};

pub(crate) static WITHDRAWN_RESULTS: Table = Table {
    name: "withdrawn_results",
    columns: &["block", "first_row", "rows", "function"],
    kinds: &[Number, Number, Number, Number],
    key: Key::Columns(&["block", "first_row"]),
    indexes: &[Index::of(&["function"])],
};

pub(crate) static KEY_RUNS: Table = Table {
    name: "key_runs",
    columns: &["id", "function", "first_block", "last_block", "keys", "page_bits"],
    kinds: &[Number, Number, Number, Number, Number, Number],
    key: Key::NeverAgain,
    indexes: &[Index::of(&["function", "last_block"])],
};

pub(crate) static KEY_PAGES: Table = Table {
    name: "key_pages",
    columns: &["id", "data"],
    kinds: &[Number, Large],
    key: Key::Given,
    indexes: &[],
};

pub(crate) static KEY_FILTERS: Table = Table {
    name: "key_filters",
    columns: &["id", "data"],
    kinds: &[Number, Large],
    key: Key::Given,
    indexes: &[],
};

pub(crate) static BLOCKS: Table = Table {
    name: "blocks",
    columns: &["id", "hash", "bytes", "data"],
    kinds: &[Number, Bytes, Number, Large],
    key: Key::NeverAgain,
    indexes: &[Index::unique(&["hash"])],
};

pub(crate) static RECORDINGS: Table = Table {
    name: "recordings",
    columns: &[
        "id",
        "pipeline",
        "node",
        "content_hash",
        "pipeline_hash",
        "run",
        "schema",
        "ordered",
        "function",
        "function_name",
        "outputs",
        "origins",
        "rows",
        "complete",
        "completed_ms",
        "revisions",
    ],
    kinds: &[
        Number, String, String, Bytes, Bytes, String, Large, Number, Number, String, String, String, Number,
        Number, Number, String,
    ],
    key: Key::NeverAgain,
    indexes: &[
        Index::of(&["pipeline", "node", "complete", "id"]),
        Index::of(&["run"]),
        Index::of(&["content_hash", "complete", "id"]),
    ],
};

pub(crate) static RECORDING_BLOCKS: Table = Table {
    name: "recording_blocks",
    columns: &["recording", "position", "block", "rows"],
    kinds: &[Number, Number, Number, Number],
    key: Key::Columns(&["recording", "position"]),
    indexes: &[Index::of(&["block"])],
};

pub(crate) static RECORDING_CHECKSUMS: Table = Table {
    name: "recording_checksums",
    columns: &["recording", "checksum"],
    kinds: &[Number, Bytes],
    key: Key::Given,
    indexes: &[],
};

pub(crate) static HISTORIES: Table = Table {
    name: "histories",
    columns: &["source_id", "record_id", "recording"],
    kinds: &[String, String, Number],
    key: Key::Columns(&["source_id"]),
    indexes: &[Index::of(&["recording"])],
};

pub(crate) static LINKS: Table = Table {
    name: "links",
    columns: &["run", "node", "source_id", "store", "recording"],
    kinds: &[String, String, String, String, Number],
    key: Key::Columns(&["run", "node"]),
    indexes: &[],
};

pub(crate) static RUNS: Table = Table {
    name: "runs",
    columns: &["id", "run", "pipeline", "pipeline_hash", "started_ms", "ended_ms", "status", "summary"],
    kinds: &[Number, String, String, String, Number, Number, String, String],
    key: Key::NeverAgain,
    indexes: &[Index::unique(&["run"]), Index::of(&["pipeline", "id"])],
};

pub(crate) static LATE_IMPORTS: Table = Table {
    name: "late_imports",
    columns: &["function", "entry"],
    kinds: &[String, String],
    key: Key::Columns(&["function", "entry"]),
    indexes: &[],
};

pub(crate) static SET_ASIDE_BLOCKS: Table = Table {
    name: "set_aside_blocks",
    columns: &[
        "id",
        "run",
        "pipeline",
        "node",
        "function_name",
        "fingerprint",
        "written_ms",
        "packets",
        "checksum",
        "data",
    ],
    kinds: &[Number, String, String, String, String, Bytes, Number, Number, Bytes, Large],
    key: Key::NeverAgain,
    indexes: &[Index::of(&["run", "node", "id"])],
};

pub(crate) static SET_ASIDE: Table = Table {
    name: "set_aside",
    columns: &["run", "node", "packet", "block", "position", "rows"],
    kinds: &[String, String, Bytes, Number, Number, Number],
    key: Key::Columns(&["run", "node", "packet"]),
    indexes: &[Index::of(&["block", "position"])],
};

/// All tables.
pub(crate) static ALL: [&Table; 20] = [
    &META,
    &FUNCTIONS,
    &COMPONENTS,
    &SEVERAL_VERSIONS,
    &RESULT_BLOCKS,
    &RESULT_PACKS,
    &WITHDRAWN_RESULTS,
    &KEY_RUNS,
    &KEY_PAGES,
    &KEY_FILTERS,
    &BLOCKS,
    &RECORDINGS,
    &RECORDING_BLOCKS,
    &RECORDING_CHECKSUMS,
    &HISTORIES,
    &LINKS,
    &RUNS,
    &LATE_IMPORTS,
    &SET_ASIDE_BLOCKS,
    &SET_ASIDE,
];
