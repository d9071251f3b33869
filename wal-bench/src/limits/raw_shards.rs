//! raw-shards: the stricter limit of a key-value store in memory. A `HashMap<[u8; 16], Box<[u8]>>` in shards with a lock each, and
//! the same hand-written log below it as raw-map's.
//!
//! The table is std's own (hashbrown), given the hash, so that a key is hashed once for its shard and its place; std's `insert`
//! takes half as long again for a key that is there. The hash is foldhash's fast one, seeded at random. Values are copied out.
//! Measured with a million keys, 64, 256 and 1024 shards are equal, and so are mutexes and locks for many readers.
//!
//! Deliberately absent: order among writers, as in raw-map, and among keys; keys of any other length.

use std::hash::BuildHasher as _;
use std::io;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use super::map_log::{KEY, MapLog, read_pairs};
use super::{Chunks, RawChunk, RawGroup};

/// So many that two threads seldom meet, and so few that their locks stay in the processor's first cache.
const SHARDS: usize = 256;

type Table = HashTable<([u8; KEY], Box<[u8]>)>;

/// A shard on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(Mutex<Table>);

/// The shards, and the log below them.
#[derive(Debug)]
pub struct RawShards {
    shards: Box<[Shard]>,
    hasher: foldhash::fast::RandomState,
    log: MapLog,
}

impl RawShards {
    fn with(log: MapLog) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            log,
        }
    }

    /// Shards without a log.
    #[must_use]
    pub fn bare() -> Self {
        Self::with(MapLog::None)
    }

    /// Puts go through a buffer to the system.
    #[must_use]
    pub fn buffered(log: RawChunk) -> Self {
        Self::with(MapLog::buffered(log))
    }

    /// Puts are durable when they return.
    #[must_use]
    pub fn durable(log: RawGroup) -> Self {
        Self::with(MapLog::Durable(log))
    }

    /// What the log that [`buffered`](Self::buffered) wrote makes of empty shards.
    ///
    /// # Errors
    /// The system's; `InvalidData` for a record that does not verify, or that has no whole key.
    pub fn read(log: &mut Chunks) -> io::Result<Self> {
        let map = Self::bare();
        read_pairs(log, |key, value| map.insert(key, value))?;
        Ok(map)
    }

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

    /// Sets one pair.
    ///
    /// # Errors
    /// The log's; `InvalidData` for a value above 112 bytes.
    pub fn put(&self, key: &[u8; KEY], value: &[u8]) -> io::Result<()> {
        self.log.append(key, value)?;
        self.insert(key, value);
        Ok(())
    }

    /// A copy of the value of `key`.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &[u8; KEY]) -> Option<Box<[u8]>> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash);
        let found = shard.find(hash, |(known, _)| known == key)?;
        Some(found.1.clone())
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        (0..SHARDS).map(|shard| self.lock(shard).len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands what is left in a buffer to the system.
    ///
    /// # Errors
    /// The system's.
    pub fn flush(&self) -> io::Result<()> {
        self.log.flush()
    }
}
