//! The workers of one function in one run, and the number of packets of each request.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anabranch_engine::bytes::array_bytes;
use arrow::array::Array;
use arrow::compute::concat;
use arrow::datatypes::DataType;
use futures::future::{BoxFuture, join_all};
use tokio::time::timeout;

use super::thread::Worker;
use super::values::size_bytes;
use super::{Answer, CallError, Request, WorkerSpawner};
use crate::call::{AsyncFunction, CallRequest, Closing, Computed, Failure, FailureKind, Packets};
use tokio::sync::oneshot;

/// Bytes of one request, and of its answer, unless a packet alone has more.
const MOST_BYTES: usize = 4 << 20;
/// A request that takes longer is too large.
const LONG: Duration = Duration::from_millis(5);
/// A request that takes less is too small.
const SHORT: Duration = Duration::from_millis(2);
/// Time for which packets are tried one by one before their outcomes are handed over.
const ONE_BY_ONE: Duration = Duration::from_millis(200);
/// Workers that may fail to start, one after the other, before no more are started.
const FAILED_STARTS: u32 = 3;
/// Workers that may die, one after the other, before new ones have to wait.
const FREE_DEATHS: u32 = 8;
/// Maximum wait for the last output of a worker that was killed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Code in workers, before a run: [`AsyncFunction::open`] gives the workers of one.
#[derive(Debug)]
pub(crate) struct Workers(Arc<dyn WorkerSpawner>);

impl Workers {
    pub(crate) fn new(spawner: impl WorkerSpawner + 'static) -> Self {
        Self(Arc::new(spawner))
    }
}

impl AsyncFunction for Workers {
    fn open(&self) -> Option<Arc<dyn AsyncFunction>> {
        Some(Arc::new(OpenWorkers(Arc::new(Pool::new(Arc::clone(&self.0))))))
    }

    fn run(&self, request: CallRequest) -> BoxFuture<'static, Computed> {
        OpenWorkers(Arc::new(Pool::new(Arc::clone(&self.0)))).run(request)
    }
}

struct OpenWorkers(Arc<Pool>);

impl AsyncFunction for OpenWorkers {
    fn packets_per_call(&self) -> usize {
        self.0.batch.load(Relaxed)
    }

    fn is_unproven(&self) -> bool {
        self.0.unproven.load(Relaxed)
    }

    fn close(&self, after: Closing) -> BoxFuture<'static, Option<Failure>> {
        let mut workers = std::mem::take(&mut self.0.shared().idle);
        if after == Closing::Failed {
            workers.retain(|worker| worker.unproven);
        }
        Box::pin(async move {
            join_all(workers.into_iter().map(Worker::close)).await.into_iter().flatten().next()
        })
    }

    fn run(&self, request: CallRequest) -> BoxFuture<'static, Computed> {
        let pool = Arc::clone(&self.0);
        Box::pin(async move { pool.compute(&request).await })
    }
}

#[derive(Debug, Default)]
struct Shared {
    idle: Vec<Worker>,
    /// Message and log of the last worker that could not be started.
    no_start: Option<(String, String)>,
}

/// Workers, as many as calls have been under way at once. Dropping it kills those that are idle.
#[derive(Debug)]
struct Pool {
    spawner: Arc<dyn WorkerSpawner>,
    /// Calls run at once and share idle workers; the lock is held to take or give one.
    shared: Mutex<Shared>,
    /// Packets that one call should be given.
    batch: AtomicUsize,
    failed_starts: AtomicU32,
    deaths: AtomicU32,
    /// True if any answer is trusted only as long as its worker writes no more answers than requests.
    unproven: AtomicBool,
}

impl Pool {
    fn new(spawner: Arc<dyn WorkerSpawner>) -> Self {
        Self {
            spawner,
            shared: Mutex::default(),
            batch: AtomicUsize::new(1),
            failed_starts: AtomicU32::new(0),
            deaths: AtomicU32::new(0),
            unproven: AtomicBool::new(false),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn compute(&self, request: &CallRequest) -> Computed {
        let rows = rows_within(&request.packets);
        match self.attempt(request, 0..rows).await {
            Ok(computed) => computed,
            Err(failure) if rows == 1 || failure.is_stray() => {
                Computed::failed(&request.signature.outputs, failure)
            }
            Err(_) => self.one_by_one(request, rows).await,
        }
    }

    /// Tries packets alone until one fails or some time has passed: a request that went wrong
    /// shows only that one of its packets is to blame.
    async fn one_by_one(&self, request: &CallRequest, rows: usize) -> Computed {
        let outputs = &request.signature.outputs;
        self.batch.store(1, Relaxed);
        let begun = Instant::now();
        let mut done: Vec<Computed> = Vec::new();
        for row in 0..rows {
            let one = self.attempt(request, row..row + 1).await;
            let one = one.unwrap_or_else(|failure| Computed::failed(outputs, failure));
            // An answer has one author.
            let stop = !one.failures.is_empty() || one.author.is_some() || begun.elapsed() >= ONE_BY_ONE;
            done.push(one);
            if stop {
                break;
            }
        }
        joined(outputs, done)
    }

    /// One request to one worker.
    async fn attempt(&self, request: &CallRequest, rows: Range<usize>) -> Result<Computed, Failure> {
        let count = rows.len();
        let mut worker = self.worker().await?;
        let columns = request.packets.columns.iter().map(|c| c.slice(rows.start, count)).collect();
        let begun = Instant::now();
        let mut reply = worker.exchange(Request { columns, rows: count });
        let answer = match request.limits.timeout {
            None => reply.await,
            Some(limit) => {
                if let Ok(answer) = timeout(limit, &mut reply).await {
                    answer
                } else {
                    worker.kill();
                    return Err(too_long(limit, reply).await);
                }
            }
        };
        let gone = |_| Err(CallError::Lost(Failure::new(FailureKind::WorkerDied, "its thread ended")));
        let answer = answer.unwrap_or_else(gone);
        match answer {
            Ok(answer) => {
                self.deaths.store(0, Relaxed);
                let bytes = answer.computed.values.iter().map(|column| array_bytes(column.as_ref())).sum();
                self.adapt(count, begun.elapsed(), (answer.computed.emitted.len(), bytes));
                worker.note(&answer);
                if worker.unproven {
                    self.unproven.store(true, Relaxed);
                }
                if !answer.retire {
                    self.shared().idle.push(worker);
                }
                Ok(answer.computed)
            }
            Err(CallError::Refused(failure)) => {
                self.shared().idle.push(worker);
                Err(failure)
            }
            Err(CallError::Lost(failure) | CallError::Stray(failure)) => {
                self.deaths.fetch_add(1, Relaxed);
                Err(failure)
            }
        }
    }

    /// A worker that is ready: an idle one, or a new one.
    async fn worker(&self) -> Result<Worker, Failure> {
        if let Some(worker) = self.shared().idle.pop() {
            return Ok(worker);
        }
        if self.failed_starts.load(Relaxed) >= FAILED_STARTS
            && let Some((text, log)) = self.shared().no_start.clone()
        {
            return Err(Failure { log, ..Failure::new(FailureKind::NoWorker, text) });
        }
        let over = self.deaths.load(Relaxed).saturating_sub(FREE_DEATHS);
        if over > 0 {
            tokio::time::sleep(Duration::from_millis(10 << over.min(6))).await;
        }
        let worker = Worker::new(Arc::clone(&self.spawner))?;
        let limit = self.spawner.start_timeout();
        let begun = match timeout(limit, worker.start()).await {
            Ok(begun) => begun,
            Err(_) => Err(Failure::new(FailureKind::NoWorker, format!("it was not ready after {limit:?}"))),
        };
        if let Err(failure) = begun {
            self.failed_starts.fetch_add(1, Relaxed);
            self.shared().no_start = Some((failure.cause.to_string(), failure.log.clone()));
            return Err(failure);
        }
        self.failed_starts.store(0, Relaxed);
        Ok(worker)
    }

    /// Takes what a request of `count` packets took, and the rows and bytes of its answer.
    fn adapt(&self, count: usize, took: Duration, (rows, bytes): (usize, usize)) {
        let most =
            (MOST_BYTES / bytes.div_ceil(rows.max(1)).max(1)).clamp(1, self.spawner.most_packets().max(1));
        let batch = self.batch.load(Relaxed);
        if batch > most {
            self.batch.store(most, Relaxed);
            return;
        }
        if took > LONG {
            let fits = LONG.as_secs_f64() / took.as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a share of a small number"
            )]
            let fitting = (count as f64 * fits) as usize;
            self.batch.store(batch.min(fitting).max(1), Relaxed);
        } else if took < SHORT && count >= batch {
            self.batch.store((batch * 4).min(most), Relaxed);
        }
    }
}

/// The failure of a call that was given up, with what the worker had printed.
async fn too_long(limit: Duration, reply: oneshot::Receiver<Result<Answer, CallError>>) -> Failure {
    let log = match timeout(LAST_WORDS, reply).await {
        Ok(Ok(Err(CallError::Stray(failure)))) => return failure,
        Ok(Ok(Ok(answer))) => match answer.computed.author {
            // What is late for this packet may have been late for others.
            Some(author) => {
                return Failure::new(
                    FailureKind::BadWorkerAnswer,
                    author.doubt("an answer that came after its timeout"),
                );
            }
            None => String::new(),
        },
        Ok(Ok(Err(CallError::Lost(failure) | CallError::Refused(failure)))) => failure.log,
        _ => String::new(),
    };
    Failure { log, ..Failure::timed_out(limit) }
}

/// Number of the first packets that one request takes.
fn rows_within(packets: &Packets) -> usize {
    let bytes: usize = packets.columns.iter().map(|column| size_bytes(column)).sum();
    if bytes <= MOST_BYTES {
        return packets.rows;
    }
    let most = packets.rows.max(1);
    (MOST_BYTES / bytes.div_ceil(most).max(1)).clamp(1, most)
}

fn joined(outputs: &[DataType], parts: Vec<Computed>) -> Computed {
    let author = parts.iter().find_map(|part| part.author.clone());
    let mut whole = Computed { author, ..Computed::default() };
    let mut columns: Vec<Vec<_>> = vec![Vec::new(); outputs.len()];
    for part in parts {
        let before = whole.emitted.len();
        whole.failures.extend(part.failures.into_iter().map(|(at, failure)| (before + at, failure)));
        whole.emitted.extend(part.emitted);
        columns.iter_mut().zip(part.values).for_each(|(column, values)| column.push(values));
    }
    for column in &columns {
        let parts: Vec<&dyn Array> = column.iter().map(AsRef::as_ref).collect();
        // Parts of one type go together; elsewhere the answer is a failure.
        match concat(&parts) {
            Ok(values) => whole.values.push(values),
            Err(error) => {
                return Computed::failed(outputs, Failure::new(FailureKind::BadWorkerAnswer, error));
            }
        }
    }
    whole
}
