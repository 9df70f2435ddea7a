//! The code of a function, behind one face for the stage that calls it.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anabranch_engine::index::At as _;
use anabranch_engine::stage::panic_message;
use anabranch_engine::types::{convert, normalise};
use anabranch_expression::Expression;
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::value::{Arguments, Outputs, PacketError};
use crate::call::{AsyncFunction, CallRequest, Computed, Failure, FailureKind, Limits, Packets, Signature};

/// Time for which a worker computes before it hands over its outcomes, so that they can be committed.
const TIME_SLICE: Duration = Duration::from_millis(5);

/// Code that may block or use a core for long; called on a thread for such work.
pub(super) trait BlockingFunction: Send + Sync {
    /// True if one call takes all the packets, so that no single one is known to be slow.
    fn takes_chunks(&self) -> bool {
        false
    }

    /// Computes the first packets, at least one, and returns when its turn is over.
    fn run(&self, signature: &Signature, packets: &Packets, slice: &TimeSlice) -> Computed;
}

/// One stay on a thread: what the code there is at, for who watches the time.
#[derive(Debug)]
pub(super) struct TimeSlice {
    /// Set once answers are not needed any more.
    stop: Arc<AtomicBool>,
    /// The packet that is being computed, and since when; looked at only where calls may time out.
    at: Option<Mutex<Option<(usize, Instant)>>>,
}

impl TimeSlice {
    pub(super) fn new(stop: Arc<AtomicBool>, limits: Limits) -> Self {
        Self { stop, at: limits.timeout.map(|_| Mutex::default()) }
    }

    fn begins(&self, packet: usize) {
        if let Some(at) = &self.at {
            *at.lock().unwrap_or_else(PoisonError::into_inner) = Some((packet, Instant::now()));
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// The packet that is being computed and how long it may still take; none before the first.
    pub(super) fn left(&self, timeout: Duration) -> Option<(usize, Duration)> {
        let at = *self.at.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        at.map(|(packet, since)| (packet, timeout.saturating_sub(since.elapsed())))
    }
}

/// Detects the end of a time slice, without asking for the time after each packet where these are fast.
struct Watch {
    begun: Instant,
    /// Packets after which the clock is read again.
    next: usize,
}

/// Packets between two looks at the clock at most: so many may turn out slow where those before were fast.
const UNWATCHED: usize = 16;

impl Watch {
    fn new() -> Self {
        Self { begun: Instant::now(), next: 1 }
    }

    /// True if the time slice is over after so many packets.
    fn is_over(&mut self, packets: usize) -> bool {
        if packets < self.next {
            return false;
        }
        let elapsed = self.begun.elapsed();
        self.next = packets + unwatched(packets, elapsed);
        elapsed >= TIME_SLICE
    }
}

/// Number of packets that take less than half of what is left of a time slice, going by those before; one at least,
/// and no more than those were.
fn unwatched(packets: usize, elapsed: Duration) -> usize {
    let half = TIME_SLICE.saturating_sub(elapsed).as_nanos() / 2;
    let fit = half.saturating_mul(packets as u128) / elapsed.as_nanos().max(1);
    usize::try_from(fit).unwrap_or(UNWATCHED).clamp(1, packets.clamp(1, UNWATCHED))
}

fn read<A: Arguments>(columns: &A::Columns, row: usize, names: &[String]) -> Result<A, Failure> {
    A::read(columns, row).map_err(|at| {
        let name = names.at(at, "a parameter takes a column");
        let text = format!("column \"{name}\" is null, expected a value; take it as an Option to allow null");
        Failure::new(FailureKind::NotPassed, text)
    })
}

/// Columns in the very types that the parameters have.
fn widened<A: Arguments>(columns: &[ArrayRef]) -> Result<A::Columns, Failure> {
    let types: Vec<DataType> = A::data_types();
    let cast = columns.iter().zip(&types).map(|(column, to)| convert(column, to));
    let cast: Vec<ArrayRef> =
        cast.collect::<Result<_, _>>().map_err(|cause| Failure::new(FailureKind::NotPassed, cause))?;
    let unlike = || format!("found {} columns, expected those of {} parameters", cast.len(), types.len());
    A::columns(&cast).ok_or_else(|| Failure::new(FailureKind::NotPassed, unlike()))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    Failure::new(FailureKind::Panicked, panic_message(panic))
}

/// A closure called for each packet.
pub(super) struct PacketCall<F, A, O> {
    pub(super) call: F,
    pub(super) types: PhantomData<fn(A) -> O>,
}

impl<F, A, O> BlockingFunction for PacketCall<F, A, O>
where
    F: Fn(A) -> Result<O, PacketError> + Send + Sync,
    A: Arguments,
    O: Outputs,
{
    fn run(&self, signature: &Signature, packets: &Packets, slice: &TimeSlice) -> Computed {
        let columns = match widened::<A>(&packets.columns) {
            Ok(columns) => columns,
            Err(failure) => return Computed::failed(&signature.outputs, failure),
        };
        let mut watch = Watch::new();
        let mut values = O::with_capacity(packets.rows);
        let mut emitted = Vec::with_capacity(packets.rows);
        let mut failures = Vec::new();
        for row in 0..packets.rows {
            slice.begins(row);
            let outcome = read::<A>(&columns, row, &signature.takes).and_then(|arguments| {
                let called = catch_unwind(AssertUnwindSafe(|| (self.call)(arguments)));
                let called = called.map_err(|panic| panicked(&*panic))?;
                called.map_err(|error| Failure::new(FailureKind::Failed, error.into_inner()))
            });
            match outcome {
                Ok(outputs) => emitted.push(outputs.append(&mut values)),
                Err(failure) => {
                    O::append_null(&mut values);
                    failures.push((emitted.len(), failure));
                    emitted.push(false);
                }
            }
            if watch.is_over(emitted.len()) || slice.is_stopped() {
                break;
            }
        }
        Computed { emitted, values: O::finish(values), failures, author: None }
    }
}

/// An async closure called for each packet.
pub(super) struct AsyncCall<F, A, O> {
    pub(super) call: F,
    pub(super) types: PhantomData<fn(A) -> O>,
}

impl<F, R, A, O> AsyncFunction for AsyncCall<F, A, O>
where
    F: Fn(A) -> R + Send + Sync,
    R: Future<Output = Result<O, PacketError>> + Send + 'static,
    A: Arguments,
    O: Outputs,
{
    fn run(&self, request: CallRequest) -> BoxFuture<'static, Computed> {
        let CallRequest { signature, packets, limits } = request;
        let begun = widened::<A>(&packets.columns)
            .and_then(|columns| read::<A>(&columns, 0, &signature.takes))
            .and_then(|arguments| {
                catch_unwind(AssertUnwindSafe(|| (self.call)(arguments))).map_err(|panic| panicked(&*panic))
            });
        Box::pin(async move {
            let called = async {
                match within(limits, AssertUnwindSafe(begun?).catch_unwind()).await? {
                    Ok(outputs) => {
                        outputs.map_err(|error| Failure::new(FailureKind::Failed, error.into_inner()))
                    }
                    Err(panic) => Err(panicked(&*panic)),
                }
            };
            match called.await {
                Ok(outputs) => {
                    let mut values = O::with_capacity(1);
                    let emitted = vec![outputs.append(&mut values)];
                    Computed { emitted, values: O::finish(values), ..Computed::default() }
                }
                Err(failure) => Computed::failed(&signature.outputs, failure),
            }
        })
    }
}

/// Waits as long as the limits allow.
async fn within<T>(limits: Limits, waiting: impl Future<Output = T>) -> Result<T, Failure> {
    match limits.timeout {
        Some(timeout) => {
            tokio::time::timeout(timeout, waiting).await.map_err(|_| Failure::timed_out(timeout))
        }
        None => Ok(waiting.await),
    }
}

/// Output of a closure that is called with a chunk of packets: one row per packet.
#[derive(Debug, Clone)]
pub struct ChunkOutput {
    /// One column per output, in the order and the types of `gives`; any physical form of a type
    /// will do (a plain string for a view, say).
    pub columns: Vec<ArrayRef>,
    /// True if each packet gives a packet; none = all do.
    pub keep: Option<Vec<bool>>,
}

/// A closure called with many packets at once.
pub(super) struct ChunkCall<F>(pub(super) F);

impl<F> BlockingFunction for ChunkCall<F>
where
    F: Fn(&[ArrayRef], usize) -> Result<ChunkOutput, PacketError> + Send + Sync,
{
    fn takes_chunks(&self) -> bool {
        true
    }

    /// Answers for as many packets as the call can do at once: one that fails for many is made
    /// again for half as many, so that only the packet at fault fails.
    fn run(&self, signature: &Signature, packets: &Packets, slice: &TimeSlice) -> Computed {
        slice.begins(0);
        let mut rows = packets.rows;
        loop {
            let columns: Vec<ArrayRef> = packets.columns.iter().map(|c| c.slice(0, rows)).collect();
            let checked = match catch_unwind(AssertUnwindSafe(|| (self.0)(&columns, rows))) {
                Ok(Ok(output)) => check(output, rows, &signature.outputs),
                Ok(Err(error)) => Err(Failure::new(FailureKind::Failed, error.into_inner())),
                Err(panic) => Err(panicked(&*panic)),
            };
            match checked {
                Ok((emitted, values)) => {
                    return Computed { emitted, values, ..Computed::default() };
                }
                Err(_) if rows > 1 && !slice.is_stopped() => rows = rows.div_ceil(2),
                Err(failure) => return Computed::failed(&signature.outputs, failure),
            }
        }
    }
}

fn check(
    output: ChunkOutput,
    rows: usize,
    types: &[DataType],
) -> Result<(Vec<bool>, Vec<ArrayRef>), Failure> {
    let wrong = |found: String, expected: String| {
        Failure::new(FailureKind::BadAnswer, format!("found {found}, expected {expected}"))
    };
    if output.columns.len() != types.len() {
        return Err(wrong(format!("{} columns", output.columns.len()), format!("{} columns", types.len())));
    }
    let mut columns = Vec::with_capacity(types.len());
    for (column, expected) in output.columns.iter().zip(types) {
        let canonical = normalise(column).ok().filter(|c| c.len() == rows && c.data_type() == expected);
        columns.push(canonical.ok_or_else(|| {
            wrong(
                format!("a column of {} rows of {}", column.len(), column.data_type()),
                format!("{rows} rows of {expected}"),
            )
        })?);
    }
    let emitted = output.keep.unwrap_or_else(|| vec![true; rows]);
    if emitted.len() != rows {
        return Err(wrong(format!("{} marks of what to keep", emitted.len()), rows.to_string()));
    }
    Ok((emitted, columns))
}

/// Expressions, evaluated over many packets at once.
#[derive(Debug)]
pub(super) struct SqlCall(pub(super) Vec<Expression>);

impl SqlCall {
    pub(super) fn run(&self, packets: &Packets) -> Result<Computed, Failure> {
        let evaluate = |e: &Expression| e.evaluate(&packets.columns, packets.rows);
        let values = self.0.iter().map(evaluate).collect::<Result<_, _>>();
        let values = values.map_err(|cause| Failure::new(FailureKind::Expression, cause))?;
        Ok(Computed { emitted: vec![true; packets.rows], values, ..Computed::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_asked_for_after_each_slow_packet_and_after_some_fast_ones() {
        let micros = Duration::from_micros;
        assert_eq!(unwatched(1, micros(3_000)), 1);
        assert_eq!(unwatched(4, micros(1_000)), 4);
        assert_eq!(unwatched(4, micros(2_000)), 3);
        assert_eq!(unwatched(2, micros(4_900)), 1);
        assert_eq!(unwatched(2, micros(9_000)), 1);
        assert_eq!(unwatched(1, micros(1)), 1);
        assert_eq!(unwatched(100, micros(100)), UNWATCHED);
        assert_eq!(unwatched(100, Duration::ZERO), UNWATCHED);
        let mut watch = Watch { begun: Instant::now(), next: 5 };
        watch.begun -= TIME_SLICE;
        assert!(!watch.is_over(4));
        assert!(watch.is_over(5));
    }
}
