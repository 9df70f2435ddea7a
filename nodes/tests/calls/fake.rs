//! A store in memory, which does as the test says.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{
    Claim, ClaimError, Claimant, ClientId, CommitError, CommitMode, FailingNode, FailureStore, Found,
    LookUpError, NewResults, Outcomes, ResultId, ResultStore, SetAside, SetAsideError, Snapshot, StoreFault,
    StoreProblem, StoredFunction, VersionSpan, WithdrawError,
};
use arrow::array::{Array as _, ArrayRef, Int64Array, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::FieldRef;
use futures::future::BoxFuture;

pub type Kept = (u64, bool, Vec<ArrayRef>);

/// A store in memory.
#[derive(Debug, Default)]
pub struct Fake {
    pub kept: Mutex<HashMap<PacketHash, Kept>>,
    pub blocks: AtomicU64,
    pub clients: AtomicU64,
    pub commits: AtomicUsize,
    pub broken: bool,
    pub aside: Mutex<Vec<SetAside>>,
    pub more: Mutex<HashMap<PacketHash, u64>>,
    /// Packets that somebody else computes; they are there after so many look-ups.
    pub elsewhere: Mutex<HashSet<PacketHash>>,
    pub lookups: AtomicUsize,
    pub claims: AtomicUsize,
    /// True if those packets never come.
    pub never: bool,
    /// Claims that were not given back.
    pub held: Arc<AtomicUsize>,
    /// True if what is to be written down waits for ever.
    pub stuck: bool,
}

/// Counts a claim until it is given back.
#[derive(Debug)]
struct Held(Arc<AtomicUsize>);

impl Held {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Fake {
    pub fn keep(&self, packet: PacketHash, value: Option<i64>) {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        let block = self.blocks.fetch_add(1, SeqCst) + 1;
        self.kept.lock().unwrap().insert(packet, (block, value.is_some(), vec![column]));
    }
}

pub fn gathered(found: &[Kept], outputs: &[FieldRef]) -> Outcomes {
    let column = |at: usize, field: &FieldRef| {
        let rows: Vec<_> = found.iter().map(|kept| kept.2[at].as_ref()).collect();
        if rows.is_empty() { new_empty_array(field.data_type()) } else { concat(&rows).unwrap() }
    };
    Outcomes {
        references: found.iter().map(|kept| ResultId::new(kept.0, 0)).collect(),
        emitted: found.iter().map(|kept| kept.1).collect(),
        values: outputs.iter().enumerate().map(|(at, field)| column(at, field)).collect(),
    }
}

impl ResultStore for Fake {
    fn find(
        &self,
        function: Arc<StoredFunction>,
        keys: Vec<PacketHash>,
    ) -> BoxFuture<'_, Result<Found, LookUpError>> {
        let lookups = self.lookups.fetch_add(1, SeqCst);
        Box::pin(async move {
            let mut elsewhere = self.elsewhere.lock().unwrap();
            if lookups >= 3 && !self.never {
                for packet in elsewhere.drain() {
                    self.keep(packet, Some(-1));
                }
            }
            let kept = self.kept.lock().unwrap();
            let found: Vec<_> = keys.iter().map(|key| kept.get(key).cloned()).collect();
            let hits = found.iter().map(Option::is_some).collect();
            let found: Vec<Kept> = found.into_iter().flatten().collect();
            Ok(Found { hits, outcomes: gathered(&found, &function.outputs), snapshot: Snapshot::EMPTY })
        })
    }

    fn commit(
        &self,
        function: Arc<StoredFunction>,
        results: NewResults,
    ) -> BoxFuture<'_, Result<Outcomes, CommitError>> {
        self.commits.fetch_add(1, SeqCst);
        Box::pin(async move {
            if self.stuck {
                std::future::pending::<()>().await;
            }
            if self.broken {
                return Err(StoreFault::from(StoreProblem::Refused("the disk is gone".to_owned())).into());
            }
            let mut kept = self.kept.lock().unwrap();
            let block = self.blocks.fetch_add(1, SeqCst) + 1;
            let mut current = Vec::new();
            for (row, key) in results.keys.iter().enumerate() {
                let new: Kept =
                    (block, results.emitted[row], results.values.iter().map(|c| c.slice(row, 1)).collect());
                if results.mode == CommitMode::Refresh {
                    kept.insert(*key, new.clone());
                }
                current.push(kept.entry(*key).or_insert(new).clone());
            }
            Ok(gathered(&current, &function.outputs))
        })
    }

    fn withdraw(
        &self,
        _: Arc<StoredFunction>,
        _: Vec<VersionSpan>,
    ) -> BoxFuture<'_, Result<u64, WithdrawError>> {
        unreachable!("closures answer for themselves")
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, LookUpError>> {
        Box::pin(async { Ok(Snapshot::new(self.blocks.load(SeqCst))) })
    }

    fn client(&self) -> ClientId {
        ClientId::new(self.clients.fetch_add(1, SeqCst))
    }

    fn claimant(&self) -> Result<Box<dyn Claimant>, ClaimError> {
        self.claims.fetch_add(1, SeqCst);
        Ok(Box::new(Others(self.elsewhere.lock().unwrap().clone(), Arc::clone(&self.held))))
    }
}

/// A claimant that never gets what others hold.
#[derive(Debug)]
pub struct Others(HashSet<PacketHash>, Arc<AtomicUsize>);

impl Claimant for Others {
    fn claim(&self, _: &StoredFunction, keys: &[PacketHash]) -> Result<Claim, ClaimError> {
        let won: Vec<bool> = keys.iter().map(|key| !self.0.contains(key)).collect();
        Ok(if won.contains(&true) { Claim::new(won, Held::new(&self.1)) } else { Claim::new(won, ()) })
    }
}

impl FailureStore for Fake {
    fn set_aside(
        &self,
        node: Arc<FailingNode>,
        packets: Vec<SetAside>,
        more: Vec<(PacketHash, u64)>,
    ) -> BoxFuture<'_, Result<(), SetAsideError>> {
        assert_eq!((node.node.as_str(), node.takes.len(), node.tags.len()), ("f", 1, 1));
        self.aside.lock().unwrap().extend(packets);
        for (packet, rows) in more {
            *self.more.lock().unwrap().entry(packet).or_default() += rows;
        }
        Box::pin(async {
            if self.stuck {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
}
