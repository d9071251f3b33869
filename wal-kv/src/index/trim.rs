//! Giving back the memory of tables that have lost most of their keys.
//!
//! A table does not shrink by itself. A shard that has become sparse is noted, and a thread that has time for it moves what is
//! left into a smaller table, one shard at a time, under the lock of that shard only: less than growing it takes. Nodes of the
//! ordered index shrink as they lose keys.

use super::Index;

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
