//! raw-map: the limit of a key-value store in memory. A `HashMap` behind a lock, every put in a hand-written log first.
//!
//! Deliberately absent: order among writers. Two puts of one key may enter the map in another order than the log.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::{Chunks, RawChunk, RawGroup};

/// The map, and the log below it.
#[derive(Debug)]
pub struct RawMap {
    map: RwLock<HashMap<Bytes, Bytes>>,
    log: Log,
}

#[derive(Debug)]
enum Log {
    /// Puts stay in memory.
    None,
    Buffered(Mutex<RawChunk>),
    Durable(RawGroup),
}

/// A record's payload: keys have 16 bytes.
const KEY: usize = 16;
/// Most bytes of a key and its value: a record is put together without an allocation.
const RECORD: usize = 128;

impl RawMap {
    fn with(log: Log) -> Self {
        Self {
            map: RwLock::default(),
            log,
        }
    }

    /// A map without a log.
    #[must_use]
    pub fn bare() -> Self {
        Self::with(Log::None)
    }

    /// Puts go through a buffer to the system.
    #[must_use]
    pub fn buffered(log: RawChunk) -> Self {
        Self::with(Log::Buffered(Mutex::new(log)))
    }

    /// Puts are durable when they return.
    #[must_use]
    pub fn durable(log: RawGroup) -> Self {
        Self::with(Log::Durable(log))
    }

    /// What the log that [`buffered`](Self::buffered) wrote makes of an empty map.
    ///
    /// # Errors
    /// The system's; `InvalidData` for a record that does not verify, or that has no whole key.
    pub fn read(log: &mut Chunks) -> io::Result<Self> {
        let map = Self::bare();
        while let Some(payload) = log.next_payload()? {
            let pair = payload.split_at_checked(KEY);
            let (key, value) = pair.ok_or_else(|| super::invalid("a key"))?;
            map.insert(key, value);
        }
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
        let mut record = [0; RECORD];
        let record = record
            .get_mut(..KEY + value.len())
            .ok_or_else(|| super::invalid("a value of this length"))?;
        record[..KEY].copy_from_slice(key);
        record[KEY..].copy_from_slice(value);
        match &self.log {
            Log::None => {}
            Log::Buffered(log) => {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.append(record)?;
            }
            Log::Durable(log) => log.append(record)?,
        }
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
        match &self.log {
            Log::Buffered(log) => log.lock().unwrap_or_else(PoisonError::into_inner).flush(),
            Log::None | Log::Durable(_) => Ok(()),
        }
    }
}
