//! raw-shards: the stricter limit of a key-value store in memory. A `HashMap<[u8; 16], Box<[u8]>>` in shards with a lock each, and
//! the same hand-written log below it as raw-map's.
//!
//! The table is std's own (hashbrown), given the hash, so that a key is hashed once for its shard and its place; std's `insert`
//! takes half as long again for a key that is there. The hash is foldhash's fast one, seeded at random. Values are copied out.
//! Measured with a million keys, 64, 256 and 1024 shards are equal, and so are mutexes and locks for many readers.
//!
//! Deliberately absent: order among writers, as in raw-map, and among keys; keys of any other length.

use std::hash::BuildHasher as _;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use super::map_log::{KEY, Logged, Pairs};

/// So many that two threads seldom meet, and so few that their locks stay in the processor's first cache.
const SHARDS: usize = 256;

type Table = HashTable<([u8; KEY], Box<[u8]>)>;

/// A shard on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(Mutex<Table>);

/// The shards.
#[derive(Debug)]
pub struct Shards {
    shards: Box<[Shard]>,
    hasher: foldhash::fast::RandomState,
}

/// The shards, and the log below them.
pub type RawShards = Logged<Shards>;

impl Default for Shards {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }
}

impl Shards {
    #[inline]
    fn shard(&self, hash: u64) -> MutexGuard<'_, Table> {
        // Neither the bits that choose the place in a shard's table nor those of its tags.
        self.lock((hash >> 40) as usize % SHARDS)
    }

    #[inline]
    fn lock(&self, shard: usize) -> MutexGuard<'_, Table> {
        self.shards[shard]
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pairs for Shards {
    #[inline]
    fn insert(&self, key: &[u8; KEY], value: &[u8]) {
        let value = Box::from(value);
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        if let Some((_, known)) = shard.find_mut(hash, |(known, _)| known == key) {
            let replaced = mem::replace(known, value);
            drop(shard);
            drop(replaced);
            return;
        }
        let rehash = |(key, _): &_| self.hasher.hash_one(key);
        shard.insert_unique(hash, (*key, value), rehash);
    }
}

impl RawShards {
    /// A copy of the value of `key`.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &[u8; KEY]) -> Option<Box<[u8]>> {
        let hash = self.pairs.hasher.hash_one(key);
        let shard = self.pairs.shard(hash);
        let found = shard.find(hash, |(known, _)| known == key)?;
        Some(found.1.clone())
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        (0..SHARDS).map(|shard| self.pairs.lock(shard).len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
