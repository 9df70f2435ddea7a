//! Source of the rows that another pipeline recorded: a new root, with links back.

mod identity;
mod reader;
mod upstream;

pub use upstream::{UpstreamError, UpstreamRows};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::identity::Revisions;
use anabranch_engine::names::{list, suggestion};
use anabranch_nodes::source::{PlannedSource, Reader, Scratch, Source, SourceError, SourceOptions};
use arrow::datatypes::FieldRef;

use crate::store::{RecordingInfo, Store, StoreOptions};
use reader::DerivedReader;

const KIND: &str = "derived";

/// The recorded rows of a node of a pipeline as a source.
///
/// Tags and packets are those of the node. Rows have the source id of this source; a record id is the digest of the
/// recorded row's provenance and a number that distinguishes equal digests. A run reads the recording that is the last
/// complete one when it starts.
///
/// Example:
/// ```
/// use anabranch::{Derived, Function, Pipeline, Rows, Store};
///
/// let folder = tempfile::tempdir()?;
/// let store = Store::open(folder.path())?;
/// let mut first = Pipeline::new("first");
/// let rows = first.source("rows", Rows::new([[("id", 1.into()), ("n", 2.into())]]).tags(["id"]))?;
/// first.function("twice", rows, Function::sql("twice", [("m", "n * 2")]))?;
/// first.run(&store)?;
///
/// let mut second = Pipeline::new("second");
/// let derived = second.source("twice", Derived::of(&store, "first", "twice"))?;
/// assert_eq!(second.contract(derived).map(|c| c.schema.names()), Some(vec!["id".into(), "m".into()]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Derived {
    place: DerivedStore,
    pipeline: String,
    node: String,
    run: Option<String>,
    options: SourceOptions,
}

#[derive(Debug, Clone)]
enum DerivedStore {
    Folder(PathBuf),
    Open(Store),
}

impl Derived {
    /// Reads the rows of a node of a pipeline, from the store in a folder.
    pub fn new(store: impl Into<PathBuf>, pipeline: impl Into<String>, node: impl Into<String>) -> Self {
        Self::at(DerivedStore::Folder(store.into()), pipeline.into(), node.into())
    }

    /// Reads the rows of a node of a pipeline, from an open store.
    pub fn of(store: &Store, pipeline: impl Into<String>, node: impl Into<String>) -> Self {
        Self::at(DerivedStore::Open(store.clone()), pipeline.into(), node.into())
    }

    fn at(place: DerivedStore, pipeline: String, node: String) -> Self {
        Self { place, pipeline, node, run: None, options: SourceOptions::default() }
    }

    /// Sets the run whose rows are read, instead of the last one.
    #[must_use]
    pub fn run(mut self, run: impl Into<String>) -> Self {
        self.run = Some(run.into());
        self
    }

    /// Sets the source id; the default is the node's name.
    #[must_use]
    pub fn source_id(mut self, source_id: impl Into<String>) -> Self {
        self.options.source_id = Some(source_id.into());
        self
    }

    fn store(&self) -> Result<Store, SourceError> {
        let folder = match &self.place {
            DerivedStore::Open(store) => return Ok(store.clone()),
            DerivedStore::Folder(folder) => folder,
        };
        if !Store::exists(folder) {
            return Err(SourceError::Option {
                option: "store",
                found: format!("no store in {}", folder.display()),
                expected: "that of a pipeline that has run".to_owned(),
                remedy: "run the pipeline first, or name its store".to_owned(),
            });
        }
        let options = StoreOptions { allow_read_only: true, ..StoreOptions::default() };
        Store::open_with(folder, &options).map_err(failed)
    }
}

impl Source for Derived {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn options(&self) -> &SourceOptions {
        &self.options
    }

    fn plan(&self) -> Result<Box<dyn PlannedSource>, SourceError> {
        let store = self.store()?;
        let recording = self.newest(&store)?;
        let columns = recording.schema.columns().map(Arc::clone).collect();
        Ok(Box::new(PlannedDerived { wanted: self.clone(), store, recording, columns }))
    }
}

impl Derived {
    /// Returns the recording that is read.
    fn newest(&self, store: &Store) -> Result<RecordingInfo, SourceError> {
        let mut found = store.inner().recordings(&self.pipeline, &self.node).map_err(failed)?;
        let runs: Vec<String> = found.iter().map(|r| r.run.clone()).collect();
        if let Some(run) = &self.run {
            found.retain(|r| r.run == *run);
        }
        found.into_iter().next().map_or_else(|| Err(self.missing(store, &runs)?), Ok)
    }

    /// Returns the error of a missing recording, with the names of existing ones.
    fn missing(&self, store: &Store, runs: &[String]) -> Result<SourceError, SourceError> {
        let pipelines = store.inner().pipelines_recorded().map_err(failed)?;
        let nodes = store.inner().nodes_recorded(&self.pipeline).map_err(failed)?;
        let run_first = "; run the pipeline to its end first, with a function node or `cache: log` there";
        let (option, found, names, remedy) = match &self.run {
            Some(run) if !runs.is_empty() => {
                ("run", run, runs, "name a run that completed, or leave it out".to_owned())
            }
            _ if !pipelines.contains(&self.pipeline) => {
                let near = suggestion(&self.pipeline, &pipelines);
                (
                    "pipeline",
                    &self.pipeline,
                    &pipelines[..],
                    format!("name one that has run{near}{run_first}"),
                )
            }
            _ => {
                let near = suggestion(&self.node, &nodes);
                ("node", &self.node, &nodes[..], format!("name one that records{near}{run_first}"))
            }
        };
        Ok(SourceError::Option {
            option,
            found: format!("no recording by \"{found}\" in {}", store.inner().address()),
            expected: format!("one by {}", list(names)),
            remedy,
        })
    }
}

/// A derived source whose columns are known.
struct PlannedDerived {
    wanted: Derived,
    store: Store,
    recording: RecordingInfo,
    columns: Vec<FieldRef>,
}

impl PlannedDerived {
    /// Returns the newest recording, if it still fits the plan.
    fn current(&self) -> Result<RecordingInfo, SourceError> {
        let newest = self.wanted.newest(&self.store)?;
        if *newest.schema == *self.recording.schema && newest.ordered == self.recording.ordered {
            return Ok(newest);
        }
        Err(SourceError::Option {
            option: "node",
            found: format!("other columns or another order in run \"{}\"", newest.run),
            expected: format!(
                "those of run \"{}\", with which this pipeline was planned",
                self.recording.run
            ),
            remedy: "plan it again".to_owned(),
        })
    }
}

impl PlannedSource for PlannedDerived {
    fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    fn folders(&self) -> Vec<PathBuf> {
        self.store.dir().map(Path::to_owned).into_iter().collect()
    }

    fn settle(&self, given: &SourceOptions) -> SourceOptions {
        let tags = self.recording.schema.tags().iter().map(|f| f.name().clone()).collect();
        SourceOptions { tags, ..given.clone() }
    }

    fn revisions(&self) -> Revisions {
        // Recordings from before revisions were stored were made by the first ones.
        let first = || Revisions { expressions: [1].into(), reading: [1].into() };
        self.recording.revisions.clone().unwrap_or_else(first)
    }

    fn ordered(&self) -> bool {
        self.recording.ordered
    }

    fn has_record_ids(&self) -> bool {
        true
    }

    fn open(&self, chunk_rows: usize) -> Result<Box<dyn Reader>, SourceError> {
        let scratch = Scratch { directory: std::env::temp_dir(), memory_bytes: 64 << 20 };
        self.open_in(chunk_rows, &scratch)
    }

    fn open_in(&self, chunk_rows: usize, scratch: &Scratch) -> Result<Box<dyn Reader>, SourceError> {
        let recording = self.current()?;
        let reader = DerivedReader::new(self.store.clone(), recording, chunk_rows, scratch)?;
        Ok(Box::new(reader))
    }
}

fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> SourceError {
    SourceError::Other { source_kind: KIND, cause: Box::new(cause) }
}
