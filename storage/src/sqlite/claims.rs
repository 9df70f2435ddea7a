//! Claims on packets: locks of the operating system on single bytes of a file.
//!
//! The file stays empty. A lock is held by an open file description, so that two claimants of one
//! process exclude each other, and it is released with the process, so that no cleaning up is needed.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anabranch_engine::identity::{PacketHash, ResultKey};
use anabranch_engine::index::holds;
use anabranch_engine::store::{Claim, ClaimError, Claimant, StoreFault, StoredFunction};

use super::byte_locks::{Lock, lock, unlock};

/// Bits of a place in the file: what an offset of the system can hold.
const PLACE_BITS: u64 = (1 << 62) - 1;

/// One open file description of the file `claims`.
#[derive(Debug)]
pub(crate) struct StoreClaimant(Arc<ClaimFile>);

#[derive(Debug)]
struct ClaimFile {
    file: File,
    path: PathBuf,
    /// Number of claims on each place: two keys may share one, and the lock of a place is one.
    // Shared by a claimant and its claims, which may be dropped on any thread.
    held: Mutex<HashMap<u64, usize>>,
}

/// Places that a claim holds.
#[derive(Debug)]
struct Held {
    file: Arc<ClaimFile>,
    places: Vec<u64>,
}

impl StoreClaimant {
    /// Opens the file in the store's folder, which is made if it is new.
    pub(crate) fn open(dir: &Path) -> Result<Self, ClaimError> {
        let path = dir.join("claims");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| StoreFault::file(&path, e))?;
        Ok(Self(Arc::new(ClaimFile { file, path, held: Mutex::default() })))
    }
}

impl Claimant for StoreClaimant {
    fn claim(&self, function: &StoredFunction, keys: &[PacketHash]) -> Result<Claim, ClaimError> {
        // Dropped on the way out, should a lock be refused for another reason than its holder.
        let mut held = Held { file: Arc::clone(&self.0), places: Vec::with_capacity(keys.len()) };
        let mut won = Vec::with_capacity(keys.len());
        for key in keys {
            let place = place(function, key);
            let taken = self.0.take(place).map_err(|e| StoreFault::file(&self.0.path, e))?;
            won.push(taken);
            if taken {
                held.places.push(place);
            }
        }
        Ok(Claim::new(won, held))
    }
}

impl ClaimFile {
    fn take(&self, place: u64) -> std::io::Result<bool> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&place) {
            *count += 1;
            return Ok(true);
        }
        let taken = lock(&self.file, place, Lock::Exclusive)?;
        if taken {
            held.insert(place, 1);
        }
        Ok(taken)
    }

    fn give_back(&self, place: u64) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = holds(held.get_mut(&place), "a place is held until its last claim is dropped");
        *count -= 1;
        if *count == 0 {
            held.remove(&place);
            unlock(&self.file, place);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for place in &self.places {
            self.file.give_back(*place);
        }
    }
}

fn place(function: &StoredFunction, key: &PacketHash) -> u64 {
    let digest = ResultKey::of(&function.fingerprint, key).0.0;
    u64::from_le_bytes(*holds(digest.first_chunk(), "a digest has eight bytes at least")) & PLACE_BITS
}
