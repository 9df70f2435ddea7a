//! Arguments that several commands share: the pipeline file, its store, and rows that a run recorded.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch::yaml::{self, Header, LoadError, LoadOptions, Loaded};
use anabranch::{BusyWait, OpenError, Pipeline, Store, StoreOptions, Which};
use clap::Args;

use super::Failure;
use super::output::note;

/// Time that the store may be busy before a remark is printed.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// A pipeline file, with values for its parameters.
#[derive(Debug, Args)]
pub(super) struct PipelineFile {
    /// The pipeline file.
    pub(super) file: PathBuf,
    /// Set a parameter.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Read parameters from a YAML file.
    #[arg(long = "params", value_name = "FILE")]
    params: Vec<PathBuf>,
}

impl PipelineFile {
    fn load_options(&self) -> LoadOptions {
        LoadOptions { set: self.set.clone(), params_files: self.params.clone(), environment: None }
    }

    pub(super) fn load(&self) -> Result<Loaded, LoadError> {
        yaml::load(&self.file, &self.load_options())
    }

    /// Loads the pipeline and prints the warnings about its file.
    pub(super) fn load_noting(&self) -> Result<Loaded, LoadError> {
        let loaded = self.load()?;
        for warning in &loaded.warnings {
            note(&warning.to_string());
        }
        Ok(loaded)
    }

    pub(super) fn load_for_reading(&self, store: Option<&Store>) -> Result<Pipeline, LoadError> {
        yaml::load_for_reading(&self.file, &self.load_options(), store).map(|loaded| loaded.pipeline)
    }

    pub(super) fn header(&self) -> Result<Header, LoadError> {
        yaml::load_header(&self.file, &self.load_options())
    }
}

/// A pipeline file, and its store of results and recordings.
#[derive(Debug, Args)]
pub(super) struct StoredPipeline {
    #[command(flatten)]
    pub(super) pipeline: PipelineFile,
    /// The store's folder, instead of the one that the pipeline names.
    #[arg(long, value_name = "DIR")]
    pub(super) store: Option<PathBuf>,
    /// Use a store on a network file system, whose locks and syncs may not hold.
    #[arg(long)]
    allow_network_store: bool,
}

impl StoredPipeline {
    /// Returns the folder of the arguments, else the pipeline's.
    pub(super) fn store_dir<'a>(&'a self, dir: &'a Path) -> &'a Path {
        self.store.as_deref().unwrap_or(dir)
    }

    pub(super) fn open(&self, dir: &Path) -> Result<Store, OpenError> {
        Store::open_with(self.store_dir(dir), &self.options())
    }

    /// Opens the store if it exists, also if it cannot be written: commands that only read create none.
    pub(super) fn open_existing(&self, dir: &Path) -> Result<Option<Store>, OpenError> {
        let dir = self.store_dir(dir);
        let options = StoreOptions { allow_read_only: true, ..self.options() };
        if Store::exists(dir) { Store::open_with(dir, &options).map(Some) } else { Ok(None) }
    }

    /// Opens the store of an earlier run, which must exist.
    pub(super) fn open_recorded(&self, command: &str, dir: &Path) -> Result<Store, Failure> {
        self.open_existing(dir)?.ok_or_else(|| {
            Failure::Call(format!(
                "{command}: found no store in {}, expected that of an earlier run; run the pipeline first, or name its store by --store",
                self.store_dir(dir).display()
            ))
        })
    }

    fn options(&self) -> StoreOptions {
        store_options(self.allow_network_store)
    }
}

/// Options of a store that the command line opens.
pub(super) fn store_options(allow_network: bool) -> StoreOptions {
    StoreOptions { allow_network, busy: wait_and_say, ..StoreOptions::default() }
}

/// Waits while another process keeps the store busy, and prints a remark once that takes long.
fn wait_and_say(attempt: i32) -> bool {
    let wait = BusyWait::before(attempt);
    if wait.reaches(LONG_WAIT) {
        note("the store is busy: another process is writing to it; waiting for up to a minute");
    }
    wait.sleep()
}

/// Rows that a run recorded at a node.
#[derive(Debug, Args)]
pub(super) struct RecordingArguments {
    #[command(flatten)]
    pub(super) place: StoredPipeline,
    /// The node.
    pub(super) node: String,
    /// Only rows for which this SQL expression is true.
    #[arg(long = "where", value_name = "EXPR")]
    pub(super) condition: Option<String>,
    /// Read the recording of this run instead of the last complete one's.
    #[arg(long, value_name = "ID")]
    run: Option<String>,
}

/// The store with recorded rows, and the choice of a run.
pub(super) struct FoundRecording {
    pub(super) header: Header,
    pub(super) store: Store,
    /// The run of the arguments, else the last one of the pipeline's file.
    pub(super) which: Which,
    /// Warning about that choice.
    pub(super) warning: Option<String>,
}

impl RecordingArguments {
    pub(super) fn find(&self, command: &str) -> Result<FoundRecording, Failure> {
        let header = self.place.pipeline.header()?;
        let store = self.place.open_recorded(command, &header.store_dir)?;
        let (which, warning) = if let Some(run) = &self.run {
            (Which::Run(run.clone()), None)
        } else {
            let last = store.last_recorded(&header.name, &self.node, &header.file)?;
            (last.run.map_or(Which::Last, Which::Run), last.warning)
        };
        Ok(FoundRecording { header, store, which, warning })
    }

    /// Returns the pipeline as it is now, if it can be planned, for comparison with the rows.
    pub(super) fn present(&self, store: &Store) -> Option<Pipeline> {
        self.place.pipeline.load_for_reading(Some(store)).ok()
    }
}

/// Reads `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
