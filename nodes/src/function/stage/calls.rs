//! Calls as the scheduler commands them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::store::Claimant;

use super::super::bound::Call;
use super::super::compute::TimeSlice;
use super::super::machine::call_scheduler::{CallAnswer, CallCommand, CallKind};
use super::super::machine::pending::PendingPackets;
use super::FunctionStage;
use super::error::FunctionStageError;
use super::tasks::{StageEvent, look_up_first, on_task, on_thread, unchanged};
use crate::call::{Computed, Failure};
use crate::worker::LateImports;

impl CallKind {
    pub(super) fn of(call: &Call) -> Self {
        match call {
            Call::Sql(_) => Self::Expressions,
            Call::Blocking(call) if call.takes_chunks() => Self::Chunks,
            Call::Blocking(_) => Self::Packets,
            Call::Async(_) => Self::Tasks,
        }
    }
}

impl FunctionStage {
    /// Executes what the scheduler commands.
    pub(super) fn call(&mut self) -> Result<(), FunctionStageError> {
        while self.failure.is_none() {
            let now = Instant::now();
            // At least one call is always under way.
            let room =
                self.has_room_for_outcomes() || (self.calls.limiter.is_idle() && self.commits.is_idle());
            let packets_per_call = match &self.parts.function.code.call {
                Call::Async(call) => self.opened.as_ref().unwrap_or(call).packets_per_call(),
                Call::Sql(_) | Call::Blocking(_) => 1,
            };
            match self.calls.advance(now, room, packets_per_call) {
                None => break,
                Some(CallCommand::Claim(packets)) => {
                    let claim = self.claimant()?.claim(&self.parts.function.stored, packets.hashes())?;
                    if let Some(packets) = self.calls.claimed(packets, claim, now) {
                        self.begin(packets);
                    }
                }
                Some(CallCommand::Begin(packets)) => self.begin(packets),
                Some(CallCommand::Find(packets)) => self.find_others(packets),
            }
        }
        Ok(())
    }

    /// Takes part in claims: only a function whose calls are slow makes one.
    fn claimant(&mut self) -> Result<Arc<dyn Claimant>, FunctionStageError> {
        if let Some(claimant) = &self.claimant {
            return Ok(Arc::clone(claimant));
        }
        let claimant: Arc<dyn Claimant> = self.parts.results.claimant()?.into();
        self.claimant = Some(Arc::clone(&claimant));
        Ok(claimant)
    }

    fn find_others(&mut self, packets: Vec<PendingPackets>) {
        let (results, function) = (Arc::clone(&self.parts.results), Arc::clone(&self.parts.function.stored));
        self.events.push(Box::pin(async move {
            let keys = packets.iter().flat_map(PendingPackets::hashes).copied().collect();
            let found = results.find(function, keys).await;
            StageEvent::OthersFound(packets, found)
        }));
    }

    fn begin(&mut self, packets: PendingPackets) {
        let function = Arc::clone(&self.parts.function);
        let (signature, limits) = (Arc::clone(&function.signature), self.limits);
        let looked_up =
            packets.claim.is_some().then(|| look_up_first(&self.parts.results, &function.stored, &packets));
        let stop = Arc::clone(&self.stop);
        let task = match &function.code.call {
            Call::Sql(_) => return self.evaluate(packets),
            Call::Blocking(call) => BeginCall::Thread(Arc::clone(call), TimeSlice::new(stop, limits)),
            Call::Async(call) => BeginCall::Task(Arc::clone(self.opened.as_ref().unwrap_or(call))),
        };
        let begin = move |packets| match task {
            BeginCall::Thread(call, slice) => on_thread(call, signature, packets, slice, limits),
            BeginCall::Task(call) => on_task(call, signature, packets, limits),
        };
        self.events.push(match looked_up {
            None => begin(packets),
            // The last holder of the claim may just have committed.
            Some(looked_up) => Box::pin(async move {
                match looked_up.await {
                    Ok(found) if !found.hits.contains(&true) => begin(packets).await,
                    found => StageEvent::ClaimedFound(packets, found),
                }
            }),
        });
    }

    /// Evaluates expressions in place: fast, and no user's code. What fails is halved until
    /// the packets at fault are alone.
    fn evaluate(&mut self, packets: PendingPackets) {
        let function = Arc::clone(&self.parts.function);
        let Call::Sql(call) = &function.code.call else {
            panic!("only expressions are evaluated in place");
        };
        let mut waiting = VecDeque::from([packets]);
        while let Some(mut packets) = waiting.pop_front() {
            let computed = match call.run(&packets.packets()) {
                Ok(computed) => computed,
                Err(_) if packets.len() > 1 => {
                    let first = packets.cut(packets.len() / 2);
                    waiting.push_front(packets);
                    waiting.push_front(first);
                    continue;
                }
                Err(failure) => Computed::failed(&function.signature.outputs, failure),
            };
            if let Err(error) = self.done(packets, computed) {
                self.failure.get_or_insert(error);
            }
            if self.failure.is_some() {
                return;
            }
        }
    }

    /// Takes the answer of a call that has ended.
    pub(super) fn answered(
        &mut self,
        packets: PendingPackets,
        computed: Computed,
        took: Duration,
    ) -> Result<(), FunctionStageError> {
        self.calls.call_ended(computed.emitted.len(), took);
        self.done(packets, computed)
    }

    /// Takes an answer: outcomes wait for their commit, failures are dealt with, the rest waits for a call.
    fn done(&mut self, packets: PendingPackets, computed: Computed) -> Result<(), FunctionStageError> {
        if !computed.is_whole(&self.parts.function.signature, packets.len()) {
            return Err(FunctionStageError::Answer { function: self.name() });
        }
        let CallAnswer { outcomes, failed } = self.calls.answered(packets, computed)?;
        self.commits.push(outcomes, Instant::now());
        for (packet, failure) in failed {
            self.check_failure(packet, failure);
        }
        Ok(())
    }

    /// A failure counts only if it is the function's own, and not that of other code than was planned.
    fn check_failure(&mut self, packet: PendingPackets, failure: Failure) {
        if let Some(late) = failure.cause.downcast_ref::<LateImports>() {
            let late = FunctionStageError::Late { function: self.name(), cause: late.clone() };
            self.failure.get_or_insert(late);
            return;
        }
        if let Some(stray) = self.stray(&failure) {
            self.failure.get_or_insert(stray);
            return;
        }
        let function = Arc::clone(&self.parts.function);
        if function.code.stamps.is_empty() {
            self.failed(packet, failure);
            return;
        }
        self.events.push(Box::pin(async move {
            let unchanged = unchanged(&function).await;
            StageEvent::Failed(packet, failure, unchanged)
        }));
    }

    /// Tries a packet again after a while, or gives it up.
    pub(super) fn failed(&mut self, packet: PendingPackets, failure: Failure) {
        if self.failure.is_some() {
            self.give_up(packet.flight(), packet.attempt, failure);
        } else if let Some(packet) = self.calls.failed(packet, failure, Instant::now()) {
            self.give_up(packet.flight, packet.attempts, packet.failure);
        }
    }

    /// A call took too long at a packet; its thread counts as a call until it ends.
    pub(super) fn timed_out(
        &mut self,
        packets: PendingPackets,
        packet: usize,
        thread: tokio::task::JoinHandle<()>,
    ) {
        self.events.push(Box::pin(async move {
            // Its answer came too late, whatever it is.
            let _ = thread.await;
            StageEvent::ThreadFreed
        }));
        if let Some((packet, failure)) = self.calls.timed_out(packets, packet, Instant::now()) {
            self.failed(packet, failure);
        }
    }

    /// The error of a node all of whose threads are held by calls that took too long, and will not come back.
    pub(super) fn held(&mut self) -> Option<FunctionStageError> {
        let threads = self.calls.gives_up_threads(Instant::now())?;
        let timeout = self.limits.timeout.filter(|_| !self.buffer.is_empty())?;
        Some(FunctionStageError::Held { function: self.name(), threads, timeout })
    }
}

/// Code that is about to be called.
enum BeginCall {
    Thread(Arc<dyn super::super::compute::BlockingFunction>, TimeSlice),
    Task(Arc<dyn crate::call::AsyncFunction>),
}
