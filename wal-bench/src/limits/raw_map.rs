//! raw-map: a limit of a key-value store in memory. A `HashMap` behind a lock, every put in a hand-written log first.
//!
//! Deliberately absent: order among writers. Two puts of one key may enter the map in another order than the log.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;

use super::map_log::{KEY, Logged, Pairs};

/// The map.
#[derive(Debug, Default)]
pub struct OneLock(RwLock<HashMap<Bytes, Bytes>>);

/// The map, and the log below it.
pub type RawMap = Logged<OneLock>;

impl Pairs for OneLock {
    fn insert(&self, key: &[u8; KEY], value: &[u8]) {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.insert(key, value);
    }
}

impl RawMap {
    /// The map behind its read lock.
    pub fn map(&self) -> RwLockReadGuard<'_, HashMap<Bytes, Bytes>> {
        self.pairs.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.map().get(key).cloned()
    }
}
