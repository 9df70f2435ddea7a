//! The store: a folder with results, recordings and runs.

pub(crate) mod history;
pub(crate) mod inventory;
pub(crate) mod recorder;
pub(crate) mod writer;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch_engine::identity::{ContentHash, PacketHash};
use anabranch_engine::provenance::Origins;
use anabranch_engine::store::{
    Claimant, FailingNode, FailureStore, Found, NewResults, Outcomes, RecordLayout, Recorder, RecordingKey,
    RecordingStore, ResultStore, SetAside, StoreError, StoredFunction, VersionSpan,
};
use anabranch_engine::task_thread::{TaskThread, Tasks};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rusqlite::Connection;
use tokio::sync::oneshot;

use recorder::StoreRecorder;
use writer::{Answer, Beginning, NewFailures, Ticket, WriteJob, Writer};

use crate::error::{guarded, stopped, task};
use crate::locks::claims::StoreClaimant;
use crate::recordings::catalogue::{self, RecordingInfo};
use crate::recordings::links::{self, Link};
use crate::recordings::reader::{Folders, RecordingReader};
use crate::results;
use crate::results::blocks::ResultCache;
use crate::results::functions::FunctionInfo;
use crate::results::index::KeyIndex;
use crate::results::late::{self, LateImport};
use crate::results::maintenance::{Limits, Maintenance};
use crate::runs::failures::SetAsideReader;
use crate::runs::{self, RunEnd, RunInfo, RunLease, RunStart};
use crate::sqlite::busy::{BusyHandler, wait_quietly};
use crate::sqlite::database::Database;
use crate::sqlite::place::{self, Access};

const OPEN: &str = "open store";
const LOOK_UP: &str = "look up results";

/// Jobs that wait for a thread at most; who adds another waits.
const QUEUE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);

/// Spans of versions that one transaction withdraws.
const WITHDRAWN_AT_ONCE: usize = 4_096;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Whether the folder may lie on a network file system.
    pub allow_network: bool,
    /// Whether a store that cannot be written is opened to be read; whatever writes fails then.
    pub allow_read_only: bool,
    /// What happens while another process keeps the database busy: a wait of up to a minute.
    pub busy: BusyHandler,
    /// Memory for finding results by key. What does not fit is read from disk at each look-up.
    pub index_memory_bytes: usize,
    /// Memory for result blocks that were read lately.
    pub cache_memory_bytes: usize,
    /// Keys of a function that are put into a sorted run on disk when a store is opened, at least;
    /// fewer are read into memory by the first look-up.
    pub run_keys: usize,
    /// Keys of a function that a process adds before commits wait until they are in a run.
    pub most_keys: usize,
    /// Small blocks of a function that are put together, at least.
    pub small_blocks: usize,
    /// What the database may grow to; nothing for the room on its disk.
    pub size_limit_bytes: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            allow_network: false,
            allow_read_only: false,
            busy: wait_quietly,
            index_memory_bytes: 256 << 20,
            cache_memory_bytes: 128 << 20,
            run_keys: 1 << 17,
            most_keys: 1 << 20,
            small_blocks: 256,
            size_limit_bytes: None,
        }
    }
}

impl StoreOptions {
    fn limits(&self) -> Limits {
        let run_keys = self.run_keys.max(1);
        Limits { run_keys, most_keys: self.most_keys.max(run_keys), small_blocks: self.small_blocks.max(2) }
    }
}

/// A store. Clones are one store; several processes may open the same folder at once.
///
/// Everything that writes happens on one thread of the store, look-ups on another; futures are
/// answered from there and need no particular runtime. When the last clone and the last recorder
/// are gone, the threads end after what was queued is done, and dropping waits for that.
///
/// Memory: as [`StoreOptions`] says, queues of 32 jobs, and 8,192 rows or 16 MiB for each
/// recording being written.
#[derive(Debug, Clone)]
pub struct Store {
    threads: Arc<Threads>,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    scratch: PathBuf,
    database: Database,
    cache: Arc<ResultCache>,
    index: Arc<KeyIndex>,
    tickets: AtomicU64,
}

/// The threads that do a store's work.
#[derive(Debug)]
pub(crate) struct Threads {
    pub(crate) writer: TaskThread<WriteJob>,
    finder: TaskThread<FindJob>,
}

/// What is read on the look-up thread, and who waits for it.
#[derive(Debug)]
enum FindJob {
    Find(Arc<StoredFunction>, Vec<PacketHash>, Answer<Found>),
    NewestBlock(Answer<u64>),
}

/// What the look-up thread owns.
struct Finder {
    connection: Connection,
    cache: Arc<ResultCache>,
    index: Arc<KeyIndex>,
}

impl Finder {
    fn run(&self, queue: &Tasks<FindJob>) {
        while let Some(job) = queue.wait() {
            // Who asked may have gone, which changes nothing.
            match job {
                FindJob::Find(function, keys, answer) => {
                    let find = || results::find(&self.connection, &self.cache, &self.index, &function, &keys);
                    drop(answer.send(guarded(LOOK_UP, find)));
                }
                FindJob::NewestBlock(answer) => {
                    drop(answer.send(results::blocks::newest_block(&self.connection)));
                }
            }
        }
    }
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
        let (dir, tickets) = (dir.to_owned(), AtomicU64::new(0));
        let inner = Inner { dir, scratch, database, cache, index, tickets };
        Ok(Self { threads: Arc::new(Threads { writer, finder }), inner: Arc::new(inner) })
    }

    /// Whether there is a store in a folder, which [`Store::open`] would make otherwise.
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

    /// Puts small blocks together and sorts keys into runs, as far as [`StoreOptions`] says; the
    /// writer does the same step by step while nobody waits for it.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        self.write("maintain the store", WriteJob::Maintain).await
    }

    /// Bytes of memory that tables and caches hold now.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.inner.cache.bytes() + self.inner.index.bytes()
    }

    /// Runs of a pipeline, or of all; the newest first. Blocks for a read of the database.
    pub fn runs(&self, pipeline: Option<&str>) -> Result<Vec<RunInfo>, StoreError> {
        runs::list(&self.inner.database.reader()?, &self.inner.dir, pipeline)
    }

    /// The summary of a run: of its beginning until it has ended. None for a run that is not known. Blocks for a read of the
    /// database.
    pub fn run_summary(&self, run: &str) -> Result<Option<String>, StoreError> {
        runs::summary(&self.inner.database.reader()?, run)
    }

    /// Complete recordings of a node, the newest first. Blocks for a read of the database.
    pub fn recordings(&self, pipeline: &str, node: &str) -> Result<Vec<RecordingInfo>, StoreError> {
        catalogue::recordings(&self.inner.database.reader()?, pipeline, node)
    }

    /// The newest complete recordings of a content hash, whatever their pipeline and node; the
    /// newest first, 16 at most. Blocks for a read of the database.
    pub fn recordings_of(&self, content: &ContentHash) -> Result<Vec<RecordingInfo>, StoreError> {
        catalogue::recordings_of(&self.inner.database.reader()?, content)
    }

    /// The complete recording of a number, if it is still there. Blocks for a read of the database.
    pub fn recording(&self, id: u64) -> Result<Option<RecordingInfo>, StoreError> {
        catalogue::recording(&self.inner.database.reader()?, id)
    }

    /// Complete recordings of a run, the newest first. Blocks for a read of the database.
    pub fn recordings_in_run(&self, run: &str) -> Result<Vec<RecordingInfo>, StoreError> {
        catalogue::recordings_in(&self.inner.database.reader()?, run)
    }

    /// Nodes of a pipeline that have a complete recording, by name. Blocks for a read of the database.
    pub fn nodes_recorded(&self, pipeline: &str) -> Result<Vec<String>, StoreError> {
        catalogue::nodes(&self.inner.database.reader()?, pipeline)
    }

    /// Pipelines that have a complete recording, by name. Blocks for a read of the database.
    pub fn pipelines_recorded(&self) -> Result<Vec<String>, StoreError> {
        catalogue::pipelines(&self.inner.database.reader()?)
    }

    /// Functions of that name that the store has results or recordings of, the newest first.
    /// Blocks for a read of the database.
    pub fn functions(&self, name: &str) -> Result<Vec<FunctionInfo>, StoreError> {
        results::functions::named(&self.inner.database.reader()?, name)
    }

    /// Packets that a run of a pipeline set aside, of one node or of all. Without a run it is the
    /// newest of the pipeline, of which nothing is listed that succeeded then. Neither this nor the
    /// reader needs a runtime.
    pub fn set_aside(
        &self,
        pipeline: &str,
        node: Option<&str>,
        run: Option<&str>,
    ) -> Result<SetAsideReader, StoreError> {
        SetAsideReader::open(self.inner.database.reader()?, pipeline, node, run)
    }

    /// Reads a recording with an origin table of its own. Neither this nor the reader needs a runtime.
    pub fn open_recording(&self, info: &RecordingInfo) -> Result<RecordingReader, StoreError> {
        self.open_recording_into(info, Arc::new(Origins::default()))
    }

    /// Reads a recording into the origin table of a run.
    pub fn open_recording_into(
        &self,
        info: &RecordingInfo,
        origins: Arc<Origins>,
    ) -> Result<RecordingReader, StoreError> {
        let Inner { dir, scratch, database, cache, .. } = &*self.inner;
        let folders = Folders { store: dir, scratch };
        RecordingReader::open(database.reader()?, Arc::clone(cache), &folders, info, origins)
    }

    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }

    /// Writes down which recording a derived source of a run reads, durably.
    pub async fn link(&self, link: Link) -> Result<(), StoreError> {
        self.write("link a derived source", |answer| WriteJob::Link(link, answer)).await
    }

    /// The recordings that derived sources of a run read. Blocks for a read of the database.
    pub fn links(&self, run: &str) -> Result<Vec<Link>, StoreError> {
        links::of_run(&self.reader()?, run)
    }

    /// Writes down what calls of a function have loaded, durably.
    pub async fn remember(&self, late: LateImport) -> Result<(), StoreError> {
        self.write("remember late imports", |answer| WriteJob::Remember(late, answer)).await
    }

    /// What calls of a function have loaded in earlier runs, sorted. Blocks for a read of the database.
    pub fn late_imports(&self, function: &str) -> Result<Vec<String>, StoreError> {
        late::of_function(&self.reader()?, function)
    }

    pub(crate) fn reader(&self) -> Result<rusqlite::Connection, StoreError> {
        self.inner.database.reader()
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
        let (answer, outcome) = oneshot::channel();
        self.threads.finder.send(job(answer)).await.map_err(|e| task(operation, e))?;
        outcome.await.map_err(|_| stopped(operation))?
    }

    async fn write<T>(
        &self,
        operation: &'static str,
        job: impl FnOnce(Answer<T>) -> WriteJob,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = oneshot::channel();
        self.threads.writer.send(job(answer)).await.map_err(|e| task(operation, e))?;
        outcome.await.map_err(|_| stopped(operation))?
    }
}

impl ResultStore for Store {
    fn find(
        &self,
        function: Arc<StoredFunction>,
        keys: Vec<PacketHash>,
    ) -> BoxFuture<'_, Result<Found, StoreError>> {
        self.read(LOOK_UP, |answer| FindJob::Find(function, keys, answer)).boxed()
    }

    fn commit(
        &self,
        function: Arc<StoredFunction>,
        results: NewResults,
    ) -> BoxFuture<'_, Result<Outcomes, StoreError>> {
        self.write("commit results", |answer| WriteJob::Commit(function, results, answer)).boxed()
    }

    fn withdraw(
        &self,
        function: Arc<StoredFunction>,
        spans: Vec<VersionSpan>,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        async move {
            let mut withdrawn = 0;
            // A transaction each, so that others do not wait for long.
            for spans in spans.chunks(WITHDRAWN_AT_ONCE) {
                let (function, spans) = (Arc::clone(&function), spans.to_vec());
                let job = |answer| WriteJob::Withdraw(function, spans, answer);
                withdrawn += self.write("withdraw results", job).await?;
            }
            Ok(withdrawn)
        }
        .boxed()
    }

    fn newest_block(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.read(LOOK_UP, FindJob::NewestBlock).boxed()
    }

    fn claimant(&self) -> Result<Box<dyn Claimant>, StoreError> {
        Ok(Box::new(StoreClaimant::open(&self.inner.dir)?))
    }
}

impl FailureStore for Store {
    fn set_aside(
        &self,
        node: Arc<FailingNode>,
        packets: Vec<SetAside>,
        more: Vec<(PacketHash, u64)>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let new = Box::new(NewFailures { node, packets, more });
        self.write("set packets aside", |answer| WriteJob::SetAside(new, answer)).boxed()
    }
}

impl RecordingStore for Store {
    fn begin(
        &self,
        key: RecordingKey,
        layout: RecordLayout,
        origins: Arc<Origins>,
    ) -> BoxFuture<'_, Result<Box<dyn Recorder>, StoreError>> {
        async move {
            let recorder = self.begin_recording(key, layout, origins).await?;
            Ok(Box::new(recorder) as Box<dyn Recorder>)
        }
        .boxed()
    }
}
