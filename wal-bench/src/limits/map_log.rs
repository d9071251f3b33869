//! The hand-written log below pairs in memory, and reading it back.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::{Chunks, RawChunk, RawGroup};

/// Bytes of a key; a record's payload begins with them.
pub(super) const KEY: usize = 16;
/// Most bytes of a key and its value: a record is put together without an allocation.
const RECORD: usize = 128;

#[derive(Debug)]
enum MapLog {
    /// Puts stay in memory.
    None,
    Buffered(Mutex<RawChunk>),
    Durable(RawGroup),
}

impl MapLog {
    /// Adds a pair. `InvalidData` for a value above 112 bytes.
    #[inline]
    fn append(&self, key: &[u8; KEY], value: &[u8]) -> io::Result<()> {
        if matches!(self, Self::None) {
            return Ok(());
        }
        let mut record = [0; RECORD];
        let record = record
            .get_mut(..KEY + value.len())
            .ok_or_else(|| super::invalid("a value of this length"))?;
        record[..KEY].copy_from_slice(key);
        record[KEY..].copy_from_slice(value);
        match self {
            Self::None => Ok(()),
            Self::Buffered(log) => {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.append(record)
            }
            Self::Durable(log) => log.append(record),
        }
    }
}

/// Pairs in memory.
pub trait Pairs: Default {
    /// Sets one.
    fn insert(&self, key: &[u8; KEY], value: &[u8]);
}

/// A key-value store: pairs in memory, and the log below them.
#[derive(Debug)]
pub struct Logged<P> {
    pub(super) pairs: P,
    log: MapLog,
}

impl<P: Pairs> Logged<P> {
    fn with(log: MapLog) -> Self {
        Self {
            pairs: P::default(),
            log,
        }
    }

    /// A store without a log.
    #[must_use]
    pub fn bare() -> Self {
        Self::with(MapLog::None)
    }

    /// Puts go through a buffer to the system.
    #[must_use]
    pub fn buffered(log: RawChunk) -> Self {
        Self::with(MapLog::Buffered(Mutex::new(log)))
    }

    /// Puts are durable when they return.
    #[must_use]
    pub fn durable(log: RawGroup) -> Self {
        Self::with(MapLog::Durable(log))
    }

    /// What the log that [`buffered`](Self::buffered) wrote makes of an empty store.
    ///
    /// # Errors
    /// The system's; `InvalidData` for a record that does not verify, or that has no whole key.
    pub fn read(log: &mut Chunks) -> io::Result<Self> {
        let store = Self::bare();
        while let Some(payload) = log.next_payload()? {
            let pair = payload.split_first_chunk();
            let (key, value) = pair.ok_or_else(|| super::invalid("a key"))?;
            store.pairs.insert(key, value);
        }
        Ok(store)
    }

    /// Sets one pair.
    ///
    /// # Errors
    /// The log's; `InvalidData` for a value above 112 bytes.
    pub fn put(&self, key: &[u8; KEY], value: &[u8]) -> io::Result<()> {
        self.log.append(key, value)?;
        self.pairs.insert(key, value);
        Ok(())
    }

    /// Hands what is left in a buffer to the system.
    ///
    /// # Errors
    /// The system's.
    pub fn flush(&self) -> io::Result<()> {
        match &self.log {
            MapLog::Buffered(log) => log.lock().unwrap_or_else(PoisonError::into_inner).flush(),
            MapLog::None | MapLog::Durable(_) => Ok(()),
        }
    }
}
