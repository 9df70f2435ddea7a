//! The store as pipelines use it: runs are recorded and leased, recordings are opened, space is freed.
//!
//! The crate of the store is named in this folder alone; others take its types from here.

pub(crate) mod block_on;
mod maintenance;
pub(crate) mod run_files;
pub(crate) mod run_id;

use std::path::Path;
use std::sync::Arc;

use anabranch_engine::identity::Fingerprint;
use anabranch_engine::store::{FailureStore, OpenError, ReadError, RecordingStore, ResultStore, RunError};
use anabranch_storage::{RunEnd, RunLease};

pub use anabranch_storage::{
    BusyHandler, BusyWait, DropReport, DropTarget, Fault as StoreFault, GarbageOptions, GarbageReport,
    Group as RecordingGroup, Inventory, Link, RecordingInfo, RunInfo, RunState, ScrubReport, SetAsideInfo,
    SetAsideReader, StoreOptions, StoreSize,
};
pub(crate) use anabranch_storage::{
    History, HistoryRecorder, HistoryStep, LateImport, RecordingReader, RunStart, StoreAddress, TracedRows,
};

use self::block_on::block_on;

/// Turns errors of single operations of a store into an error that has a case for any of them.
macro_rules! from_store_errors {
    ($error:ty: $($operation:ident),+) => {$(
        impl From<anabranch_engine::store::$operation> for $error {
            fn from(error: anabranch_engine::store::$operation) -> Self {
                Self::from(anabranch_engine::store::StoreError::from(error))
            }
        }
    )+};
}

pub(crate) use from_store_errors;

/// A folder with results, recordings and runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(anabranch_storage::Store);

impl Store {
    /// Opens the store in a folder, which is created if it does not exist.
    ///
    /// Errors: a path that is a file or cannot be written, a network file system, a later format,
    /// a database that is damaged or is not a store.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        anabranch_storage::Store::open(dir).map(Self)
    }

    /// Opens a store as [`Store::open`], with options.
    pub fn open_with(dir: impl AsRef<Path>, options: &StoreOptions) -> Result<Self, OpenError> {
        anabranch_storage::Store::open_with(dir, options).map(Self)
    }

    /// Opens the store of an address; none if there is no store.
    pub(crate) fn at(address: &StoreAddress) -> Result<Option<Self>, OpenError> {
        Ok(anabranch_storage::Store::at(address, &StoreOptions::default())?.map(Self))
    }

    /// Returns true if there is a store in a folder, which [`Store::open`] would create otherwise.
    #[must_use]
    pub fn exists(dir: impl AsRef<Path>) -> bool {
        anabranch_storage::Store::exists(dir)
    }

    /// Lists the runs of a pipeline, or of all; the newest first.
    pub fn runs(&self, pipeline: Option<&str>) -> Result<Vec<RunInfo>, ReadError> {
        self.0.runs(pipeline)
    }

    /// Opens a new store in memory, which is gone with its last clone: for tests, and for pipelines whose results need not
    /// outlive the process.
    ///
    /// Memory: all that is committed.
    ///
    /// Example:
    /// ```
    /// use anabranch::{Function, Pipeline, Rows, Store};
    ///
    /// let mut pipeline = Pipeline::new("squares");
    /// let rows = pipeline.source("rows", Rows::new([[("id", 1.into()), ("n", 3.into())]]).tags(["id"]))?;
    /// pipeline.function("square", rows, Function::sql("square", [("m", "n * n")]))?;
    /// let store = Store::in_memory()?;
    /// let computed = || Ok::<_, Box<dyn std::error::Error>>(pipeline.run(&store)?.nodes[1].function.as_ref().map(|f| f.computed));
    /// assert_eq!(computed()?, Some(1));
    /// assert_eq!(computed()?, Some(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_memory() -> Result<Self, OpenError> {
        anabranch_storage::Store::in_memory().map(Self)
    }

    /// The store's folder; none of a store in memory.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.0.dir()
    }

    /// Returns functions that a node may have had in earlier runs: that of its last recording, then those of the
    /// function's name, the newest first.
    pub(crate) fn earlier_functions(
        &self,
        pipeline: &str,
        node: &str,
        function: &str,
    ) -> Result<Vec<Fingerprint>, ReadError> {
        let last = self.0.recordings(pipeline, node)?.into_iter().next();
        let recorded = last.map(|last| self.0.open_recording(&last)).transpose()?;
        let recorded = recorded.and_then(|reader| reader.function().map(|(_, found)| found.clone()));
        let named = self.0.functions(function)?.into_iter().map(|found| found.fingerprint);
        Ok(recorded.into_iter().chain(named).collect())
    }

    pub(crate) fn inner(&self) -> &anabranch_storage::Store {
        &self.0
    }

    pub(crate) fn results(&self) -> Arc<dyn ResultStore> {
        Arc::new(self.0.clone())
    }

    /// Opens the packets that a run of a pipeline set aside, of one node or of all; without a run, those of the newest.
    pub fn set_aside(
        &self,
        pipeline: &str,
        node: Option<&str>,
        run: Option<&str>,
    ) -> Result<SetAsideReader, ReadError> {
        self.0.set_aside(pipeline, node, run)
    }

    pub(crate) fn failures(&self) -> Arc<dyn FailureStore> {
        Arc::new(self.0.clone())
    }

    pub(crate) fn recordings(&self) -> Arc<dyn RecordingStore> {
        Arc::new(self.0.clone())
    }

    /// Records a run as alive until its lease is finished or its process has ended.
    pub(crate) fn begin_run(&self, start: RunStart) -> Result<Lease, RunError> {
        let lease = block_on(self.0.begin_run(start))?;
        Ok(Lease { store: self.0.clone(), lease })
    }
}

/// A run that the store has as alive.
pub(crate) struct Lease {
    store: anabranch_storage::Store,
    lease: RunLease,
}

impl Lease {
    pub(crate) fn run_id(&self) -> &str {
        self.lease.run()
    }

    /// Records the end of the run.
    pub(crate) fn finish(self, status: &str, ended_ms: i64, summary: &str) -> Result<(), RunError> {
        let end = RunEnd { status: status.to_owned(), ended_ms, summary: summary.to_owned() };
        block_on(self.store.finish_run(self.lease, end))
    }
}
