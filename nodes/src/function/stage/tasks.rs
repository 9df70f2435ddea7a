//! Calls, look-ups and checks as futures, and the events that they end with.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::store::{
    Claim, Found, LookUpError, Outcomes, ResultStore, SetAsideError, StoredFunction,
};
use futures::future::BoxFuture;
use tokio::task::{JoinHandle, JoinSet};

use super::super::bound::BoundFunction;
use super::super::compute::{BlockingFunction, TimeSlice};
use super::super::machine::flights::FlightId;
use super::super::machine::pending::PendingPackets;
use super::error::FunctionStageError;
use crate::call::{AsyncFunction, Author, CallRequest, Computed, Failure, Limits, Signature};
use crate::worker::FileStamp;

/// A commit that has ended.
pub(super) struct CommitEnd {
    pub(super) flights: Vec<FlightId>,
    /// Kept others from computing the packets.
    pub(super) claims: Vec<Claim>,
    pub(super) bytes: usize,
    /// Workers whose answers may turn out to be untrusted, and their results.
    pub(super) authors: Vec<(Arc<Author>, Range<usize>)>,
    /// The current versions.
    pub(super) outcomes: Result<Outcomes, FunctionStageError>,
}

/// Event that a function stage waits for.
pub(super) enum StageEvent {
    /// A call has answered, after a time.
    Answered(PendingPackets, Computed, Duration),
    /// The packet at a place took longer than it may; its thread goes on.
    TimedOut(PendingPackets, usize, JoinHandle<()>),
    /// A call is gone without an answer.
    Vanished,
    /// A thread whose call had taken too long has come back.
    ThreadFreed,
    /// A packet was looked up after it was claimed, and had an outcome, or the look-up failed.
    ClaimedFound(PendingPackets, Result<Found, LookUpError>),
    /// Packets of a chunk were looked up.
    Found(Result<Found, LookUpError>),
    /// Packets that others compute were looked up.
    OthersFound(Vec<PendingPackets>, Result<Found, LookUpError>),
    /// A packet has failed, and the files of the function were checked since.
    Failed(PendingPackets, Failure, Result<(), FunctionStageError>),
    /// A commit has ended.
    Committed(CommitEnd),
    /// Packets that were set aside are written.
    FailuresWritten(Result<(), SetAsideError>),
    /// The time has come that a machine waits for.
    Wake,
}

/// Checks that the files of a function are what they were when it was planned: then everything that was computed until
/// now is the function's.
pub(super) async fn unchanged(function: &Arc<BoundFunction>) -> Result<(), FunctionStageError> {
    if function.code.stamps.is_empty() {
        return Ok(());
    }
    let (name, stamps) = (function.stored.name.clone(), Arc::clone(&function.code.stamps));
    let looked = tokio::task::spawn_blocking(move || stamps.iter().try_for_each(FileStamp::check)).await;
    match looked {
        Ok(unchanged) => unchanged.map_err(|cause| FunctionStageError::Changed { function: name, cause }),
        Err(_) => Err(FunctionStageError::Worker { function: name }),
    }
}

/// Looks up packets that are about to be computed.
pub(super) fn look_up_first(
    results: &Arc<dyn ResultStore>,
    function: &Arc<StoredFunction>,
    packets: &PendingPackets,
) -> BoxFuture<'static, Result<Found, LookUpError>> {
    let (results, function, keys) = (Arc::clone(results), Arc::clone(function), packets.hashes().to_vec());
    Box::pin(async move { results.find(function, keys).await })
}

/// Calls code that may block, on a thread for that. A call that takes too long is left behind.
pub(super) fn on_thread(
    call: Arc<dyn BlockingFunction>,
    signature: Arc<Signature>,
    packets: PendingPackets,
    slice: TimeSlice,
    limits: Limits,
) -> BoxFuture<'static, StageEvent> {
    let slice = Arc::new(slice);
    let (rows, watched) = (packets.packets(), Arc::clone(&slice));
    let (sender, mut answer) = tokio::sync::oneshot::channel();
    let thread = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let computed = call.run(&signature, &rows, &slice);
        // The receiver is gone where the call took too long.
        let _ = sender.send((computed, begun.elapsed()));
    });
    Box::pin(async move {
        let done = |packets, answer: Result<(Computed, Duration), _>| match answer {
            Ok((computed, took)) => StageEvent::Answered(packets, computed, took),
            Err(_) => StageEvent::Vanished,
        };
        let Some(timeout) = limits.timeout else { return done(packets, answer.await) };
        loop {
            // Before the first packet the thread waits for its turn, which does not count.
            let (packet, left) = watched.left(timeout).unwrap_or((0, timeout));
            if left.is_zero() {
                return StageEvent::TimedOut(packets, packet, thread);
            }
            tokio::select! {
                biased;
                answer = &mut answer => return done(packets, answer),
                () = tokio::time::sleep(left) => {}
            }
        }
    })
}

/// Calls code that waits, as a task of its own: it goes on while the node waits for its consumers,
/// and ends with its set, so that it does not outlive the node.
pub(super) fn on_task(
    call: Arc<dyn AsyncFunction>,
    signature: Arc<Signature>,
    packets: PendingPackets,
    limits: Limits,
) -> BoxFuture<'static, StageEvent> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        let begun = Instant::now();
        let computed = call.run(CallRequest { signature, packets: packets.packets(), limits }).await;
        StageEvent::Answered(packets, computed, begun.elapsed())
    });
    Box::pin(async move { task.join_next().await.and_then(Result::ok).unwrap_or(StageEvent::Vanished) })
}
