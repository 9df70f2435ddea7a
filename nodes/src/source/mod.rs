//! Sources: a specification, which is planned, which is read.
//!
//! ```text
//! Source (data) --plan()--> PlannedSource (columns) --open()--> Reader (record batches)
//!                                   \
//!                                    SourceNode (schema) --start()--> ChunkReader (chunks with provenance)
//! ```
//!
//! Planning opens files only as far as their schema needs; rows are read in bounded memory.
//!
//! Source: own.

mod arrow_file;
mod cast;
pub(crate) mod column;
mod csv;
pub(crate) mod document;
mod encoding;
mod error;
mod input;
mod json;
mod node;
mod options;
mod parquet;
mod paths;
mod record_ids;
mod repeats;
mod rows;
mod sqlite;
mod stream;
pub(crate) mod text;
mod typed;

pub(crate) use csv::Guess;
pub use csv::Ragged;
pub use error::{Place, SourceError};
pub use formats::{ArrowFile, Csv, JsonLines, Parquet, Rows, Sqlite};
pub use node::{ChunkReader, ProvenanceStamper, Scratch, SourceNode, StreamColumns};
pub use options::SourceOptions;
pub use stream::StreamId;

/// The built-in sources.
pub mod formats {
    pub use super::arrow_file::ArrowFile;
    pub use super::csv::Csv;
    pub use super::json::JsonLines;
    pub use super::parquet::Parquet;
    pub use super::rows::Rows;
    pub use super::sqlite::Sqlite;
}

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use anabranch_engine::identity::Revisions;
use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;

/// Columns, nested fields included, that a source of text may have; each takes memory of its own.
const COLUMNS: usize = 65_536;
/// Maximum number of rows that types are inferred from.
const PREFIX_ROWS: usize = 65_536;
/// Maximum number of bytes that types are inferred from.
const PREFIX_BYTES: u64 = 16 * 1024 * 1024;
/// Values that a batch of a text source may have.
const BATCH_VALUES: usize = 1 << 22;

/// Rows of a batch of so many columns, where at most `chunk_rows` are wanted.
fn batch_rows(chunk_rows: usize, columns: usize) -> usize {
    chunk_rows.min(BATCH_VALUES / columns.max(1)).max(1)
}

/// A source's specification; implement it for rows of your own.
///
/// Example:
/// ```
/// use anabranch_nodes::source::{Rows, Source};
///
/// let rows = Rows::new([[("id", 1.into()), ("name", "a".into())], [("id", 2.into()), ("name", "b".into())]])
///     .tags(["id"]);
/// let planned = rows.plan()?;
/// assert_eq!(planned.columns().len(), 2);
/// let batch = planned.open(8_192)?.next()?.expect("there are rows");
/// assert_eq!(batch.num_rows(), 2);
/// # Ok::<(), anabranch_nodes::source::SourceError>(())
/// ```
pub trait Source: Debug + Send + Sync {
    /// The name of its kind, as in a pipeline file.
    fn kind(&self) -> &'static str;

    /// Options that all sources have in common.
    fn options(&self) -> &SourceOptions;

    /// The pipes that it reads, whose bytes come once: no other source can read them as well.
    fn streams(&self) -> Vec<StreamId> {
        Vec::new()
    }

    /// Learns the columns. Files are opened, but read only as far as their schema needs.
    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError>;
}

/// Revision of what sources make of their files: of the types that are inferred and the values
/// that are read. Raised when one of them changes; recordings keep it.
pub const READING_REVISION: u32 = 2;

/// A source whose columns are known.
pub trait PlannedSource: Send + Sync {
    /// The columns in the source's order, in canonical types (`anabranch_engine::types`).
    fn columns(&self) -> &[FieldRef];

    /// The files that are read, so that nothing is written over them; empty where there are none.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// The folders that are read as a whole, so that nothing is written into them.
    fn folders(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// The options that hold, once the source is known, where some were given; it may have tags of
    /// its own.
    fn settle(&self, given: &SourceOptions) -> SourceOptions {
        given.clone()
    }

    /// Remarks for the author about how columns were understood, each a sentence.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// The revisions of the code that its rows depend on.
    fn revisions(&self) -> Revisions {
        Revisions::of_reading(READING_REVISION)
    }

    /// True if its rows have an order that is the same at each reading.
    fn ordered(&self) -> bool {
        true
    }

    /// True if its rows have record ids of their own, which [`Reader::record_ids`] returns.
    fn has_record_ids(&self) -> bool {
        false
    }

    /// Notes that it will be opened more than once, with a folder for what comes once only.
    fn keep(&self, _folder: &Path) -> Result<(), SourceError> {
        Ok(())
    }

    /// Begins to read; may be called again for another run.
    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError>;

    /// [`PlannedSource::open`] with a place for what does not fit into memory.
    fn open_in(&self, chunk_rows: usize, _scratch: &Scratch) -> Result<Box<dyn Reader>, SourceError> {
        self.open(chunk_rows)
    }
}

/// A source being read.
pub trait Reader: Send {
    /// The next rows, at most as many as requested at [`PlannedSource::open`], in the columns'
    /// canonical types; none at the end. Blocks.
    ///
    /// Memory: one batch, plus what the format makes necessary (a row group's pages, say).
    ///
    /// A batch without rows means that more is to be done before the next rows.
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError>;

    /// The record ids of the rows given last, one each, all unlike those before; called once after
    /// each batch if [`PlannedSource::has_record_ids`].
    fn record_ids(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The recording that is read, where it is one.
    fn upstream(&self) -> Option<Upstream> {
        None
    }
}

/// A recording that a source reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The address of the store.
    pub store: String,
    /// The recording's number in it.
    pub recording: i64,
}
