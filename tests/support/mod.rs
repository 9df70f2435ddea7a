//! Steps that several of these tests share: run a pipeline in some way and read what came out.

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(missing_docs, reason = "shared by tests only")]

pub(crate) mod checksum_operator;
pub(crate) mod child;
pub(crate) mod made;
pub(crate) mod random;

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anabranch::{
    ChunkRows, Columns, Executor, Format, Pipeline, RunError, RunOptions, Store, Summary, WriteSpec,
};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::ipc::reader::FileReader;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// An error with its causes, as a person is told of it.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let chain: Vec<_> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    chain.join(": ")
}

/// One way to run a pipeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) executor: Executor,
    pub(crate) chunk_rows: Option<usize>,
    pub(crate) capacity: usize,
}

/// Chunk sizes 1, 7, 1024 and adaptive, synchronous and streaming with capacities 1 and 64.
pub(crate) fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for chunk_rows in [Some(1), Some(7), Some(1024), None] {
        ways.push(Way { executor: Executor::Sync, chunk_rows, capacity: 1 });
        for capacity in [1, 64] {
            ways.push(Way { executor: Executor::Async, chunk_rows, capacity });
        }
    }
    ways
}

impl Way {
    pub(crate) fn set(&self, pipeline: &mut Pipeline) {
        let settings = pipeline.settings_mut();
        settings.executor = self.executor;
        settings.channel_capacity = NonZeroUsize::new(self.capacity).unwrap();
        settings.chunk_rows =
            self.chunk_rows.map_or(ChunkRows::Adaptive, |n| ChunkRows::Fixed(NonZeroUsize::new(n).unwrap()));
    }
}

/// Runs, and reads what the named node gave, provenance included.
pub(crate) fn run_node(pipeline: &Pipeline, store: &Store, node: &str) -> (Summary, Vec<String>) {
    try_run_node(pipeline, store, node).unwrap()
}

/// The same where the run may fail; a run that fails leaves no file behind.
pub(crate) fn try_run_node(
    pipeline: &Pipeline,
    store: &Store,
    node: &str,
) -> Result<(Summary, Vec<String>), RunError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.arrow");
    let spec = WriteSpec { columns: Columns::All, ..WriteSpec::new(Format::Arrow, &path) };
    let outputs = vec![(pipeline.node(node).unwrap(), spec)];
    match pipeline.run_with(store, &RunOptions { outputs, ..RunOptions::default() }) {
        Ok(summary) => Ok((summary, read_arrow(&path))),
        Err(error) => {
            let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
            assert!(left.is_empty(), "a run that failed left {left:?}");
            Err(error)
        }
    }
}

/// Reads back what the last run recorded at the named node, provenance included.
pub(crate) fn replay_node(pipeline: &Pipeline, store: &Store, node: &str) -> Vec<String> {
    let replay = store.replay(pipeline, pipeline.node(node).unwrap()).unwrap();
    let origins = Arc::clone(replay.origins());
    let mut rows = Vec::new();
    for chunk in replay {
        rows.extend(texts(&chunk.unwrap().to_batch(Columns::All, &origins).unwrap()));
    }
    rows
}

pub(crate) fn read_arrow(path: &Path) -> Vec<String> {
    let reader = FileReader::try_new(File::open(path).unwrap(), None).unwrap();
    reader.flat_map(|batch| texts(&batch.unwrap())).collect()
}

/// Each row as a text: columns sorted by name, nulls told from everything else.
pub(crate) fn texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("\u{2205}");
    let schema = batch.schema();
    let mut columns: Vec<(&String, &ArrayRef)> =
        schema.fields().iter().map(|f| f.name()).zip(batch.columns()).collect();
    columns.sort_unstable_by_key(|(name, _)| *name);
    let columns: Vec<(&String, ArrayFormatter<'_>)> = columns
        .into_iter()
        .map(|(n, c)| (n, ArrayFormatter::try_new(c.as_ref(), &options).unwrap()))
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let cells: Vec<String> = columns.iter().map(|(n, c)| format!("{n}={}", c.value(row))).collect();
            cells.join("|")
        })
        .collect()
}

pub(crate) fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort_unstable();
    rows
}

/// A store in a folder of its own.
pub(crate) fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    (folder, store)
}

/// Numbers that look random and are the same every time.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(pub u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
