//! The engine's traits of stores, implemented by queueing jobs for the store's threads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::provenance::Origins;
use anabranch_engine::store::{
    ClaimError, Claimant, ClientId, CommitError, FailingNode, FailureStore, Found, LookUpError, NewResults,
    Outcomes, RecordError, RecordLayout, Recorder, RecordingKey, RecordingStore, ResultStore, SetAside,
    SetAsideError, Snapshot, StoredFunction, VersionSpan, WithdrawError,
};
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};

use super::Store;
use super::finder::FindJob;
use super::jobs::{NewFailures, WriteJob};

/// Spans of versions that one transaction withdraws.
const WITHDRAWN_AT_ONCE: usize = 4_096;

impl ResultStore for Store {
    fn find(
        &self,
        function: Arc<StoredFunction>,
        keys: Vec<PacketHash>,
    ) -> BoxFuture<'_, Result<Found, LookUpError>> {
        self.read(|answer| FindJob::Find(function, keys, answer)).boxed()
    }

    fn commit(
        &self,
        function: Arc<StoredFunction>,
        results: NewResults,
    ) -> BoxFuture<'_, Result<Outcomes, CommitError>> {
        self.write(|answer| WriteJob::Commit(function, results, answer)).boxed()
    }

    fn withdraw(
        &self,
        function: Arc<StoredFunction>,
        spans: Vec<VersionSpan>,
    ) -> BoxFuture<'_, Result<u64, WithdrawError>> {
        async move {
            let mut withdrawn = 0;
            // A transaction each, so that others do not wait for long.
            for spans in spans.chunks(WITHDRAWN_AT_ONCE) {
                let (function, spans) = (Arc::clone(&function), spans.to_vec());
                let job = |answer| WriteJob::Withdraw(function, spans, answer);
                withdrawn += self.write(job).await?;
            }
            Ok(withdrawn)
        }
        .boxed()
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, LookUpError>> {
        self.read(FindJob::NewestBlock).map_ok(Snapshot::new).boxed()
    }

    fn client(&self) -> ClientId {
        ClientId::new(self.inner.clients.fetch_add(1, Ordering::Relaxed))
    }

    fn claimant(&self) -> Result<Box<dyn Claimant>, ClaimError> {
        self.inner.leases.claimant()
    }
}

impl FailureStore for Store {
    fn set_aside(
        &self,
        node: Arc<FailingNode>,
        packets: Vec<SetAside>,
        more: Vec<(PacketHash, u64)>,
    ) -> BoxFuture<'_, Result<(), SetAsideError>> {
        let new = Box::new(NewFailures { node, packets, more });
        self.write(|answer| WriteJob::SetAside(new, answer)).boxed()
    }
}

impl RecordingStore for Store {
    fn begin(
        &self,
        key: RecordingKey,
        layout: RecordLayout,
        origins: Arc<Origins>,
    ) -> BoxFuture<'_, Result<Box<dyn Recorder>, RecordError>> {
        async move {
            let recorder = self.begin_recording(key, layout, origins).await?;
            Ok(Box::new(recorder) as Box<dyn Recorder>)
        }
        .boxed()
    }
}
