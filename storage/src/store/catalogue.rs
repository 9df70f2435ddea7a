//! Lists of the store's contents. Each call blocks for a read.

use std::sync::Arc;

use anabranch_engine::identity::ContentHash;
use anabranch_engine::provenance::Origins;
use anabranch_engine::store::ReadError;

use super::Store;
use crate::recordings::catalogue::{self, RecordingInfo};
use crate::recordings::links::{self, Link};
use crate::recordings::reader::RecordingReader;
use crate::results::functions::{self, FunctionInfo};
use crate::results::late;
use crate::runs::failures::SetAsideReader;
use crate::runs::{self, RunInfo};

impl Store {
    /// Runs of a pipeline, or of all; the newest first. Blocks for a read.
    pub fn runs(&self, pipeline: Option<&str>) -> Result<Vec<RunInfo>, ReadError> {
        Ok(runs::list(&*self.reader()?, &**self.leases(), pipeline)?)
    }

    /// The summary of a run: of its beginning until it has ended. None for a run that is not known. Blocks for a read.
    pub fn run_summary(&self, run: &str) -> Result<Option<String>, ReadError> {
        Ok(runs::summary(&*self.reader()?, run)?)
    }

    /// Complete recordings of a node, the newest first. Blocks for a read.
    pub fn recordings(&self, pipeline: &str, node: &str) -> Result<Vec<RecordingInfo>, ReadError> {
        Ok(catalogue::recordings(&*self.reader()?, pipeline, node)?)
    }

    /// The newest complete recordings of a content hash, whatever their pipeline and node; the
    /// newest first, 16 at most. Blocks for a read.
    pub fn recordings_of(&self, content: &ContentHash) -> Result<Vec<RecordingInfo>, ReadError> {
        Ok(catalogue::recordings_of(&*self.reader()?, content)?)
    }

    /// The complete recording of a number, if it is still there. Blocks for a read.
    pub fn recording(&self, id: u64) -> Result<Option<RecordingInfo>, ReadError> {
        Ok(catalogue::recording(&*self.reader()?, id)?)
    }

    /// Complete recordings of a run, the newest first. Blocks for a read.
    pub fn recordings_in_run(&self, run: &str) -> Result<Vec<RecordingInfo>, ReadError> {
        Ok(catalogue::recordings_in(&*self.reader()?, run)?)
    }

    /// Nodes of a pipeline that have a complete recording, by name. Blocks for a read.
    pub fn nodes_recorded(&self, pipeline: &str) -> Result<Vec<String>, ReadError> {
        Ok(catalogue::nodes(&*self.reader()?, pipeline)?)
    }

    /// Pipelines that have a complete recording, by name. Blocks for a read.
    pub fn pipelines_recorded(&self) -> Result<Vec<String>, ReadError> {
        Ok(catalogue::pipelines(&*self.reader()?)?)
    }

    /// Functions of that name that the store has results or recordings of, the newest first.
    /// Blocks for a read.
    pub fn functions(&self, name: &str) -> Result<Vec<FunctionInfo>, ReadError> {
        Ok(functions::named(&*self.reader()?, name)?)
    }

    /// Packets that a run of a pipeline set aside, of one node or of all. Without a run it is the
    /// newest of the pipeline, of which nothing is listed that succeeded then. Neither this nor the
    /// reader needs a runtime.
    pub fn set_aside(
        &self,
        pipeline: &str,
        node: Option<&str>,
        run: Option<&str>,
    ) -> Result<SetAsideReader, ReadError> {
        Ok(SetAsideReader::open(self.reader()?, pipeline, node, run)?)
    }

    /// Reads a recording with an origin table of its own. Neither this nor the reader needs a runtime.
    pub fn open_recording(&self, info: &RecordingInfo) -> Result<RecordingReader, ReadError> {
        self.open_recording_into(info, Arc::new(Origins::default()))
    }

    /// Reads a recording into the origin table of a run.
    pub fn open_recording_into(
        &self,
        info: &RecordingInfo,
        origins: Arc<Origins>,
    ) -> Result<RecordingReader, ReadError> {
        let (reader, cache) = (self.reader()?, Arc::clone(&self.inner.cache));
        Ok(RecordingReader::open(reader, cache, &**self.leases(), self.scratch(), info, origins)?)
    }

    /// The recordings that derived sources of a run read. Blocks for a read.
    pub fn links(&self, run: &str) -> Result<Vec<Link>, ReadError> {
        Ok(links::of_run(&*self.reader()?, run)?)
    }

    /// Code that calls of a function have loaded in earlier runs, sorted. Blocks for a read.
    pub fn late_imports(&self, function: &str) -> Result<Vec<String>, ReadError> {
        Ok(late::of_function(&*self.reader()?, function)?)
    }
}
