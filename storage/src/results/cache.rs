//! A bounded cache of what was read lately.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// A value that takes up memory in a cache.
pub(crate) trait Weigh {
    /// Bytes of memory.
    fn bytes(&self) -> usize;
}

/// Values by key, the least recently used of which are evicted first.
///
/// Memory: at most `limit_bytes`, or one value.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    limit_bytes: usize,
    // Shared by the store's threads and its readers; held only to look up or to put in.
    state: Mutex<CacheState<K, V>>,
}

#[derive(Debug)]
struct CacheState<K, V> {
    values: HashMap<K, (u64, Arc<V>)>,
    by_use: BTreeMap<u64, K>,
    uses: u64,
    bytes: usize,
}

impl<K: Copy + Eq + Hash, V: Weigh> Cache<K, V> {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let state = CacheState { values: HashMap::new(), by_use: BTreeMap::new(), uses: 0, bytes: 0 };
        Self { limit_bytes, state: Mutex::new(state) }
    }

    /// A value that is still there.
    pub(crate) fn get(&self, key: K) -> Option<Arc<V>> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        state.uses += 1;
        let (used, value) = state.values.get_mut(&key)?;
        state.by_use.remove(used);
        *used = state.uses;
        state.by_use.insert(state.uses, key);
        Some(Arc::clone(value))
    }

    /// A value that is still there, or one that is read now and kept.
    pub(crate) fn get_or<E>(&self, key: K, read: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let value = Arc::new(read()?);
        self.put(key, &value);
        Ok(value)
    }

    /// Keeps a value; others are evicted to make room.
    pub(crate) fn put(&self, key: K, value: &Arc<V>) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        if state.values.contains_key(&key) {
            return;
        }
        state.uses += 1;
        state.values.insert(key, (state.uses, Arc::clone(value)));
        state.by_use.insert(state.uses, key);
        state.bytes += value.bytes();
        while state.bytes > self.limit_bytes && state.values.len() > 1 {
            let Some((_, oldest)) = state.by_use.pop_first() else { break };
            if let Some((_, value)) = state.values.remove(&oldest) {
                state.bytes -= value.bytes();
            }
        }
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for Vec<u8> {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn what_was_used_least_recently_goes_and_the_limit_holds() {
        let cache = Cache::new(100);
        for key in 0..5 {
            cache.put(key, &Arc::new(vec![0_u8; 30]));
            cache.get(0);
            assert!(cache.bytes() <= 100);
        }
        assert!(cache.get(0).is_some() && cache.get(4).is_some() && cache.get(3).is_some());
        assert!(cache.get(1).is_none() && cache.get(2).is_none());
        cache.put(9, &Arc::new(vec![0; 500]));
        assert_eq!(cache.get(9).map(|value| value.len()), Some(500), "one value is kept, however large");
        assert_eq!(cache.bytes(), 500);
    }
}
