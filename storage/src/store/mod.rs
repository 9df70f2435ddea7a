//! The store: a folder with results, recordings and runs.

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
use anabranch_engine::store::{RecordLayout, RecordingKey, StoreError};
use anabranch_engine::task_thread::TaskThread;
use rusqlite::Connection;

use crate::error::task;
use crate::recordings::links::Link;
use crate::results::blocks::ResultCache;
use crate::results::index::KeyIndex;
use crate::results::late::LateImport;
use crate::results::maintenance::Maintenance;
use crate::runs::{RunEnd, RunLease, RunStart};
use crate::sqlite::database::Database;
use crate::sqlite::place::{self, Access};
use crate::sqlite::pool::{PooledReader, ReaderPool};

use finder::{FindJob, Finder};
use jobs::{Answer, Beginning, Ticket, WriteJob, submit};
use recorder::StoreRecorder;
use writer::Writer;

pub use options::StoreOptions;

const OPEN: &str = "open store";

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
    dir: PathBuf,
    scratch: PathBuf,
    database: Database,
    readers: ReaderPool,
    cache: Arc<ResultCache>,
    index: Arc<KeyIndex>,
    tickets: AtomicU64,
    clients: AtomicU64,
}

/// The threads that do a store's work.
#[derive(Debug)]
pub(crate) struct Threads {
    pub(crate) writer: TaskThread<WriteJob>,
    finder: TaskThread<FindJob>,
}

impl Store {
    /// Opens the store in a folder, which is made if it is new.
    ///
    /// Errors: a path that is a file or cannot be written, a network file system, a later format,
    /// a database that is damaged or is not a store.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(dir, &StoreOptions::default())
    }

    /// [`Store::open`] with options.
    pub fn open_with(dir: impl AsRef<Path>, options: &StoreOptions) -> Result<Self, StoreError> {
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
        let database = Database::open(dir, access, options.busy)?;
        let cache = Arc::new(ResultCache::new(options.cache_memory_bytes));
        let index = Arc::new(KeyIndex::new(options.index_memory_bytes));
        let connection = database.writer(options.size_limit_bytes)?;
        let maintenance = Maintenance::new(options.limits());
        let writer = Writer::new(connection, Arc::clone(&cache), Arc::clone(&index), maintenance);
        let started = |e| task(OPEN, e);
        let writer = TaskThread::start("anabranch-write", QUEUE, move |queue| writer.run(&queue));
        let writer = writer.map_err(started)?;
        let (found, known) = (Arc::clone(&cache), Arc::clone(&index));
        let finder = Finder { connection: database.reader()?, cache: found, index: known };
        let finder = TaskThread::start("anabranch-find", QUEUE, move |queue| finder.run(&queue));
        let finder = finder.map_err(started)?;
        let (dir, tickets, clients) = (dir.to_owned(), AtomicU64::new(0), AtomicU64::new(0));
        let readers = ReaderPool::new(database.clone());
        let inner = Inner { dir, scratch, database, readers, cache, index, tickets, clients };
        Ok(Self { threads: Arc::new(Threads { writer, finder }), inner: Arc::new(inner) })
    }

    /// Returns true if there is a store in a folder, which [`Store::open`] would make otherwise.
    #[must_use]
    pub fn exists(dir: impl AsRef<Path>) -> bool {
        Database::path(dir.as_ref()).exists()
    }

    /// The store's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// A folder for files without names: the store's, or that of the system where it cannot be written.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.inner.scratch
    }

    /// Writes down that a run began, durably; it counts as alive as long as the lease is kept.
    ///
    /// Errors: an id that is in use or is not a plain name.
    pub async fn begin_run(&self, start: RunStart) -> Result<RunLease, StoreError> {
        let dir = self.inner.dir.clone();
        self.write("begin run", |answer| WriteJob::BeginRun(dir, start, answer)).await
    }

    /// Writes down how a run ended, durably, and gives its lease back.
    pub async fn finish_run(&self, lease: RunLease, end: RunEnd) -> Result<(), StoreError> {
        let run = lease.run().to_owned();
        self.write("end run", |answer| WriteJob::EndRun(run, end, answer)).await?;
        drop(lease);
        Ok(())
    }

    /// Puts small blocks together and sorts keys into runs, within the limits of [`StoreOptions`]; the
    /// writer does the same step by step while no job waits.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        self.write("maintain the store", WriteJob::Maintain).await
    }

    /// Bytes of memory that tables and caches hold now.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.inner.cache.bytes() + self.inner.index.bytes()
    }

    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }

    /// Writes down which recording a derived source of a run reads, durably.
    pub async fn link(&self, link: Link) -> Result<(), StoreError> {
        self.write("link a derived source", |answer| WriteJob::Link(link, answer)).await
    }

    /// Writes down what calls of a function have loaded, durably.
    pub async fn remember(&self, late: LateImport) -> Result<(), StoreError> {
        self.write("remember late imports", |answer| WriteJob::Remember(late, answer)).await
    }

    pub(crate) fn reader(&self) -> Result<PooledReader, StoreError> {
        self.inner.readers.reader()
    }

    /// Reads the database through a connection of the pool.
    fn with_reader<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        read(&*self.reader()?)
    }

    pub(crate) async fn begin_recording(
        &self,
        key: RecordingKey,
        layout: RecordLayout,
        origins: Arc<Origins>,
    ) -> Result<StoreRecorder, StoreError> {
        let ticket = Ticket(self.inner.tickets.fetch_add(1, Ordering::Relaxed));
        let alive = Arc::new(());
        let beginning = Beginning { key, layout, origins, alive: Arc::downgrade(&alive) };
        let number = self
            .write("begin recording", |answer| WriteJob::Begin(ticket, Box::new(beginning), answer))
            .await?;
        Ok(StoreRecorder::new(Arc::clone(&self.threads), ticket, number, alive))
    }

    async fn read<T>(
        &self,
        operation: &'static str,
        job: impl FnOnce(Answer<T>) -> FindJob,
    ) -> Result<T, StoreError> {
        submit(&self.threads.finder, operation, job).await
    }

    async fn write<T>(
        &self,
        operation: &'static str,
        job: impl FnOnce(Answer<T>) -> WriteJob,
    ) -> Result<T, StoreError> {
        submit(&self.threads.writer, operation, job).await
    }
}
