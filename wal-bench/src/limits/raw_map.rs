//! raw-map: a limit of a key-value store in memory. A `HashMap` behind a lock, every put in a hand-written log first.
//!
//! Deliberately absent: order among writers. Two puts of one key may enter the map in another order than the log.

use std::collections::HashMap;
use std::io;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::map_log::{KEY, MapLog, read_pairs};
use super::{Chunks, RawChunk, RawGroup};

/// The map, and the log below it.
#[derive(Debug)]
pub struct RawMap {
    map: RwLock<HashMap<Bytes, Bytes>>,
    log: MapLog,
}

impl RawMap {
    fn with(log: MapLog) -> Self {
        Self {
            map: RwLock::default(),
            log,
        }
    }

    /// A map without a log.
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

    /// What the log that [`buffered`](Self::buffered) wrote makes of an empty map.
    ///
    /// # Errors
    /// The system's; `InvalidData` for a record that does not verify, or that has no whole key.
    pub fn read(log: &mut Chunks) -> io::Result<Self> {
        let map = Self::bare();
        read_pairs(log, |key, value| map.insert(key, value))?;
        Ok(map)
    }

    fn insert(&self, key: &[u8], value: &[u8]) {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        self.write().insert(key, value);
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Bytes, Bytes>> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The map behind its read lock.
    pub fn map(&self) -> RwLockReadGuard<'_, HashMap<Bytes, Bytes>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
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

    /// The value of `key`.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.map().get(key).cloned()
    }

    /// Hands what is left in a buffer to the system.
    ///
    /// # Errors
    /// The system's.
    pub fn flush(&self) -> io::Result<()> {
        self.log.flush()
    }
}
