//! Leases in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::holds;
use anabranch_engine::store::{Claim, ClaimError, Claimant, RunError, StoreFault, StoredFunction};

use crate::leases::{Lease, Leases, check_name};

/// The leases of a store in memory. Clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryLeases(Arc<SharedLeases>);

#[derive(Debug, Default)]
struct SharedLeases {
    // Taken and given back by any thread; held for a look at a map.
    held: Mutex<HeldLeases>,
    claimants: AtomicU64,
}

#[derive(Debug, Default)]
struct HeldLeases {
    runs: BTreeSet<String>,
    /// Readers of each recording; none of one that is being removed.
    recordings: BTreeMap<i64, Option<usize>>,
    /// The claimant of each packet, and the number of its claims.
    packets: HashMap<PacketOf, (u64, usize)>,
}

/// A packet of a function.
type PacketOf = ([u8; 32], PacketHash);

impl SharedLeases {
    fn with<T>(&self, work: impl FnOnce(&mut HeldLeases) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Leases for MemoryLeases {
    fn begin_run(&self, run: &str) -> Result<Lease, RunError> {
        check_name(run)?;
        if !self.0.with(|held| held.runs.insert(run.to_owned())) {
            return Err(RunError::Alive { run: run.to_owned() });
        }
        Ok(Box::new(HeldRun { shared: Arc::clone(&self.0), run: run.to_owned() }))
    }

    fn is_alive(&self, run: &str) -> Result<bool, StoreFault> {
        Ok(self.0.with(|held| held.runs.contains(run)))
    }

    fn any_alive(&self) -> Result<Option<String>, StoreFault> {
        Ok(self.0.with(|held| held.runs.first().cloned()))
    }

    fn read(&self, recording: i64) -> Result<Option<Lease>, StoreFault> {
        let taken = self.0.with(|held| match held.recordings.entry(recording).or_insert(Some(0)) {
            Some(readers) => {
                *readers += 1;
                true
            }
            None => false,
        });
        Ok(taken.then(|| Box::new(HeldRecording { shared: Arc::clone(&self.0), recording }) as Lease))
    }

    fn remove(&self, recording: i64) -> Result<Option<Lease>, StoreFault> {
        let taken = self.0.with(|held| {
            let is_free = !held.recordings.contains_key(&recording);
            if is_free {
                held.recordings.insert(recording, None);
            }
            is_free
        });
        Ok(taken.then(|| Box::new(HeldRecording { shared: Arc::clone(&self.0), recording }) as Lease))
    }

    fn claimant(&self) -> Result<Box<dyn Claimant>, ClaimError> {
        let number = self.0.claimants.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(MemoryClaimant { shared: Arc::clone(&self.0), number }))
    }
}

#[derive(Debug)]
struct HeldRun {
    shared: Arc<SharedLeases>,
    run: String,
}

impl Drop for HeldRun {
    fn drop(&mut self) {
        self.shared.with(|held| held.runs.remove(&self.run));
    }
}

#[derive(Debug)]
struct HeldRecording {
    shared: Arc<SharedLeases>,
    recording: i64,
}

impl Drop for HeldRecording {
    fn drop(&mut self) {
        self.shared.with(|held| {
            let users =
                holds(held.recordings.get_mut(&self.recording), "a lease is held until it is dropped");
            match users {
                Some(readers) if *readers > 1 => *readers -= 1,
                _ => drop(held.recordings.remove(&self.recording)),
            }
        });
    }
}

#[derive(Debug)]
struct MemoryClaimant {
    shared: Arc<SharedLeases>,
    number: u64,
}

impl Claimant for MemoryClaimant {
    fn claim(&self, function: &StoredFunction, keys: &[PacketHash]) -> Result<Claim, ClaimError> {
        let fingerprint = function.fingerprint.digest().0;
        let (mut won, mut packets) = (Vec::with_capacity(keys.len()), Vec::new());
        self.shared.with(|held| {
            for key in keys {
                let packet = (fingerprint, *key);
                let (holder, claims) = held.packets.entry(packet).or_insert((self.number, 0));
                let is_mine = *holder == self.number;
                if is_mine {
                    *claims += 1;
                    packets.push(packet);
                }
                won.push(is_mine);
            }
        });
        Ok(Claim::new(won, HeldPackets { shared: Arc::clone(&self.shared), packets }))
    }
}

#[derive(Debug)]
struct HeldPackets {
    shared: Arc<SharedLeases>,
    packets: Vec<PacketOf>,
}

impl Drop for HeldPackets {
    fn drop(&mut self) {
        self.shared.with(|held| {
            for packet in &self.packets {
                let (_, claims) = holds(held.packets.get_mut(packet), "a claim is held until it is dropped");
                *claims -= 1;
                if *claims == 0 {
                    held.packets.remove(packet);
                }
            }
        });
    }
}
