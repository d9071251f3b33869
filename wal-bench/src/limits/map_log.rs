//! The hand-written log below a map, and reading it back.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::{Chunks, RawChunk, RawGroup};

/// Bytes of a key; a record's payload begins with them.
pub(super) const KEY: usize = 16;
/// Most bytes of a key and its value: a record is put together without an allocation.
const RECORD: usize = 128;

#[derive(Debug)]
pub(super) enum MapLog {
    /// Puts stay in memory.
    None,
    Buffered(Mutex<RawChunk>),
    Durable(RawGroup),
}

impl MapLog {
    pub(super) fn buffered(log: RawChunk) -> Self {
        Self::Buffered(Mutex::new(log))
    }

    /// Adds a pair. `InvalidData` for a value above 112 bytes.
    #[inline]
    pub(super) fn append(&self, key: &[u8; KEY], value: &[u8]) -> io::Result<()> {
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

    /// Hands what is left in a buffer to the system.
    pub(super) fn flush(&self) -> io::Result<()> {
        match self {
            Self::Buffered(log) => log.lock().unwrap_or_else(PoisonError::into_inner).flush(),
            Self::None | Self::Durable(_) => Ok(()),
        }
    }
}

/// Gives every pair of a buffered log to `insert`, in its order.
pub(super) fn read_pairs(
    log: &mut Chunks,
    mut insert: impl FnMut(&[u8; KEY], &[u8]),
) -> io::Result<()> {
    while let Some(payload) = log.next_payload()? {
        let pair = payload.split_first_chunk();
        let (key, value) = pair.ok_or_else(|| super::invalid("a key"))?;
        insert(key, value);
    }
    Ok(())
}
