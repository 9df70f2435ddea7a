//! The store: a folder with results, recordings and runs.

mod address;
mod backup;
mod catalogue;
mod finder;
pub(crate) mod history;
pub(crate) mod inventory;
mod jobs;
mod options;
mod recorder;
mod seams;
mod writer;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch_engine::provenance::Origins;
use anabranch_engine::store::{
    LookUpError, MaintainError, OpenError, RecordError, RecordLayout, RecordingKey, RunError, StoreFault,
};
use anabranch_engine::task_thread::TaskThread;

use crate::catalog::{Catalog, Reader, WriterOptions};
use crate::error::task;
use crate::leases::Leases;
use crate::memory::catalog::MemoryCatalog;
use crate::memory::leases::MemoryLeases;
use crate::recordings::links::Link;
use crate::results::blocks::ResultCache;
use crate::results::index::KeyIndex;
use crate::results::late::LateImport;
use crate::results::maintenance::Maintenance;
use crate::runs::{RunEnd, RunLease, RunStart};
use crate::sqlite::catalog::SqliteCatalog;
use crate::sqlite::database::Database;
use crate::sqlite::leases::FolderLeases;
use crate::sqlite::place::{self, Access};

use finder::{FindJob, Finder};
use jobs::{Answer, Beginning, Ticket, WriteJob, submit};
use recorder::StoreRecorder;
use writer::StoreWriter;

pub use address::StoreAddress;
pub use options::StoreOptions;

/// Maximum number of jobs that wait for a thread; adding another waits.
const QUEUE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);

/// A store. Clones are one store; several processes may open the same folder at once.
///
/// Everything that writes happens on one thread of the store, look-ups on another; futures are
/// answered from there and need no particular runtime. When the last clone and the last recorder
/// are gone, the threads end after what was queued is done, and dropping waits for that.
///
/// Memory: that of [`StoreOptions`], queues of 32 jobs, and 8,192 rows or 16 MiB for each
/// recording being written.
#[derive(Debug, Clone)]
pub struct Store {
    // Before the threads: the connection that writes is the last one to close, and puts the log into the database.
    inner: Arc<Inner>,
    threads: Arc<Threads>,
}

#[derive(Debug)]
struct Inner {
    /// None of a store in memory.
    dir: Option<PathBuf>,
    scratch: PathBuf,
    catalog: Arc<dyn Catalog>,
    leases: Arc<dyn Leases>,
    cache: Arc<ResultCache>,
    index: Arc<KeyIndex>,
    tickets: AtomicU64,
    clients: AtomicU64,
}

/// The threads that do a store's work.
#[derive(Debug)]
pub(crate) struct Threads {
    // Before the writer, whose connection is the last one to close.
    finder: TaskThread<FindJob>,
    pub(crate) writer: TaskThread<WriteJob>,
}

/// The medium of a store: what has its data and its leases, and where files without names lie.
pub(crate) struct Medium {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) scratch: PathBuf,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) leases: Arc<dyn Leases>,
}

impl Store {
    /// Opens the store in a folder, which is made if it is new.
    ///
    /// Errors: a path that is a file or cannot be written, a network file system, a later format,
    /// a database that is damaged or is not a store.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(dir, &StoreOptions::default())
    }

    /// [`Store::open`] with options.
    pub fn open_with(dir: impl AsRef<Path>, options: &StoreOptions) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        let access = match Access::of(dir) {
            Access::ReadOnly if options.allow_read_only => Access::ReadOnly,
            _ => Access::Full,
        };
        let scratch = match access {
            Access::Full => {
                place::prepare(dir, options.allow_network)?;
                dir.to_owned()
            }
            Access::ReadOnly => {
                place::check_network(dir, options.allow_network)?;
                std::env::temp_dir()
            }
        };
        let medium = Medium {
            dir: Some(dir.to_owned()),
            scratch: options.scratch.clone().unwrap_or(scratch),
            catalog: Arc::new(SqliteCatalog::new(dir, Database::open(dir, access, options.busy)?)),
            leases: Arc::new(FolderLeases::new(dir)),
        };
        Self::over(medium, options)
    }

    /// Opens a new store in memory, which is gone with its last clone.
    ///
    /// Memory: all that is committed, besides that of [`StoreOptions`].
    pub fn in_memory() -> Result<Self, OpenError> {
        Self::in_memory_with(&StoreOptions::default())
    }

    /// [`Store::in_memory`] with options.
    pub fn in_memory_with(options: &StoreOptions) -> Result<Self, OpenError> {
        let medium = Medium {
            dir: None,
            scratch: options.scratch.clone().unwrap_or_else(std::env::temp_dir),
            catalog: Arc::new(MemoryCatalog::new()),
            leases: Arc::new(MemoryLeases::default()),
        };
        Self::over(medium, options)
    }

    /// Opens the store that a medium has.
    pub(crate) fn over(medium: Medium, options: &StoreOptions) -> Result<Self, OpenError> {
        let Medium { dir, scratch, catalog, leases } = medium;
        let cache = Arc::new(ResultCache::new(options.cache_memory_bytes));
        let index = Arc::new(KeyIndex::new(options.index_memory_bytes));
        let writing = WriterOptions { size_limit_bytes: options.size_limit_bytes, yields: false };
        let writer = StoreWriter::new(
            catalog.writer(&writing)?,
            Arc::clone(&leases),
            Arc::clone(&cache),
            Arc::clone(&index),
            Maintenance::new(options.limits()),
        );
        let writer = TaskThread::start("anabranch-write", QUEUE, move |queue| writer.run(&queue));
        let writer = writer.map_err(task)?;
        let (found, known) = (Arc::clone(&cache), Arc::clone(&index));
        let finder = Finder { reader: catalog.reader()?, cache: found, index: known };
        let finder = TaskThread::start("anabranch-find", QUEUE, move |queue| finder.run(&queue));
        let threads = Arc::new(Threads { finder: finder.map_err(task)?, writer });
        let (tickets, clients) = (AtomicU64::new(0), AtomicU64::new(0));
        let inner = Arc::new(Inner { dir, scratch, catalog, leases, cache, index, tickets, clients });
        Ok(Self { inner, threads })
    }

    /// Returns true if there is a store in a folder, which [`Store::open`] would make otherwise.
    #[must_use]
    pub fn exists(dir: impl AsRef<Path>) -> bool {
        Database::path(dir.as_ref()).exists()
    }

    /// The store's folder; none of a store in memory.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.inner.dir.as_deref()
    }

    /// The folder for files without names; see [`StoreOptions::scratch`].
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.inner.scratch
    }

    /// Writes down that a run began, durably; it counts as alive as long as the lease is kept.
    ///
    /// Errors: an id that is in use or is not a plain name.
    pub async fn begin_run(&self, start: RunStart) -> Result<RunLease, RunError> {
        self.write(|answer| WriteJob::BeginRun(start, answer)).await
    }

    /// Writes down how a run ended, durably, and gives its lease back.
    pub async fn finish_run(&self, lease: RunLease, end: RunEnd) -> Result<(), RunError> {
        let run = lease.run().to_owned();
        self.write(|answer| WriteJob::EndRun(run, end, answer)).await?;
        drop(lease);
        Ok(())
    }

    /// Puts small blocks together and sorts keys into runs, within the limits of [`StoreOptions`]; the
    /// writer does the same step by step while no job waits.
    pub async fn maintain(&self) -> Result<(), MaintainError> {
        self.write(WriteJob::Maintain).await
    }

    /// Bytes of memory that tables and caches hold now.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.inner.cache.bytes() + self.inner.index.bytes()
    }

    pub(crate) fn catalog(&self) -> &dyn Catalog {
        &*self.inner.catalog
    }

    pub(crate) fn leases(&self) -> &Arc<dyn Leases> {
        &self.inner.leases
    }

    pub(crate) fn reader(&self) -> Result<Box<dyn Reader>, StoreFault> {
        self.inner.catalog.reader()
    }

    /// Writes down which recording a derived source of a run reads, durably.
    pub async fn link(&self, link: Link) -> Result<(), RunError> {
        self.write(|answer| WriteJob::Link(link, answer)).await
    }

    /// Writes down what calls of a function have loaded, durably.
    pub async fn remember(&self, late: LateImport) -> Result<(), RunError> {
        self.write(|answer| WriteJob::Remember(late, answer)).await
    }

    pub(crate) async fn begin_recording(
        &self,
        key: RecordingKey,
        layout: RecordLayout,
        origins: Arc<Origins>,
    ) -> Result<StoreRecorder, RecordError> {
        let ticket = Ticket(self.inner.tickets.fetch_add(1, Ordering::Relaxed));
        let alive = Arc::new(());
        let beginning = Beginning { key, layout, origins, alive: Arc::downgrade(&alive) };
        let number = self.write(|answer| WriteJob::Begin(ticket, Box::new(beginning), answer)).await?;
        Ok(StoreRecorder::new(Arc::clone(&self.threads), ticket, number, alive))
    }

    async fn read<T>(&self, job: impl FnOnce(Answer<T, LookUpError>) -> FindJob) -> Result<T, LookUpError> {
        submit(&self.threads.finder, job).await
    }

    async fn write<T, E: From<StoreFault>>(
        &self,
        job: impl FnOnce(Answer<T, E>) -> WriteJob,
    ) -> Result<T, E> {
        submit(&self.threads.writer, job).await
    }
}
