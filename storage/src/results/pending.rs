//! Results that one transaction has committed so far.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::{At as _, holds};
use anabranch_engine::store::StoreFault;

use super::blocks::newest_block;
use super::result_ref::ResultRef;
use super::write::Written;
use crate::catalog::Rows;

/// Results that one transaction has committed so far, which look-ups outside do not see yet.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The last result block before this transaction.
    pub(super) ceiling: u64,
    /// Batches that no look-up has needed yet; most transactions end without one.
    batches: Vec<Batch>,
    current: KeyMap<(i64, PacketHash), ResultRef>,
    /// Keys and blocks that were added to each function.
    pub(crate) added: HashMap<i64, Added>,
}

/// Results that a commit wrote of a function: rows of its keys, and their blocks.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) function: i64,
    pub(super) keys: Vec<PacketHash>,
    pub(super) rows: Vec<usize>,
    pub(super) written: Written,
}

/// Keys and blocks that were added to a function.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Added {
    pub(crate) keys: usize,
    pub(crate) small_blocks: usize,
}

impl Pending {
    /// Begins with what is committed; the transaction keeps every other writer out.
    pub(crate) fn new(rows: &dyn Rows) -> Result<Self, StoreFault> {
        Ok(Self {
            ceiling: newest_block(rows)?,
            batches: Vec::new(),
            current: KeyMap::default(),
            added: HashMap::new(),
        })
    }

    /// Looks keys up among the versions of this transaction, which are later than all before.
    pub(super) fn look_up(&mut self, function: i64, keys: &[PacketHash], known: &mut [Option<ResultRef>]) {
        for Batch { function, keys, rows, written } in self.batches.drain(..) {
            let keys = rows.iter().map(|row| keys.at(*row, "rows that were written are rows of their keys"));
            self.current.extend(keys.zip(written.references).map(|(key, found)| ((function, *key), found)));
        }
        if self.current.is_empty() {
            return;
        }
        for (known, key) in known.iter_mut().zip(keys) {
            *known = self.current.get(&(function, *key)).copied().or(*known);
        }
    }

    pub(super) fn add(&mut self, batch: Batch) {
        let added = self.added.entry(batch.function).or_default();
        added.keys += batch.rows.len();
        added.small_blocks += batch.written.small_blocks;
        self.batches.push(batch);
    }
}

/// A map of keys, which are hashes already.
pub(super) type KeyMap<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Takes the last eight bytes of what it is given, which are as good as any others of a hash.
#[derive(Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let last = holds(bytes.last_chunk(), "only hashes are written, which have eight bytes at least");
        self.0 = self.0.rotate_left(1) ^ u64::from_le_bytes(*last);
    }

    // Numbers of functions and lengths add nothing to the hash.
    fn write_i64(&mut self, _: i64) {}

    fn write_usize(&mut self, _: usize) {}
}
