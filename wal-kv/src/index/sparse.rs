//! Shards that have lost most of their keys, for `trim.rs` to shrink.

use crate::sync::{AtomicBool, Mutex, Ordering};

/// Shards whose tables are larger than they need to be.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    some: AtomicBool,
    shards: Mutex<Vec<usize>>,
}

impl Sparse {
    /// Notes a shard, once until it is taken.
    pub(super) fn note(&self, shard: usize) {
        self.shards.lock().push(shard);
        self.some.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.some.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let mut shards = self.shards.lock();
        let shard = shards.pop();
        if shards.is_empty() {
            *shards = Vec::new();
            self.some.store(false, Ordering::Relaxed);
        }
        shard
    }
}
