//! Giving back the memory of tables that have lost most of their keys.
//!
//! A table does not shrink by itself. A shard that has become sparse is noted, and a thread that has time for it moves what is
//! left into a smaller table, one shard at a time, under the lock of that shard only: less than growing it takes. Nodes of the
//! ordered index shrink as they lose keys.

use super::Index;
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

    fn take(&self) -> Option<usize> {
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

impl Index {
    /// Shrinks the tables of one shard that has become sparse, if there is one. False if there are more.
    pub(super) fn trim(&self) -> bool {
        let Some(at) = self.sparse.take() else {
            return true;
        };
        let mut shard = self.shards[at].0.write();
        let before = shard.tables();
        shard.shrink(|key| self.hash(key));
        self.memory.tables(before, shard.tables());
        drop(shard);
        self.sparse.is_empty()
    }
}
