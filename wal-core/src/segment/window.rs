//! A piece of a file in memory: reads are a mebibyte at a time, records are slices of it.

use std::io;

use bytes::{Bytes, BytesMut};
use wal_io::{StorageFile, StorageFileExt};

use crate::sabotage;

/// Bytes read at a time.
pub(crate) const WINDOW: usize = 1 << 20;

/// The bytes of a file from some offset on.
#[derive(Debug, Default)]
pub(crate) struct Window {
    bytes: Bytes,
    start: u64,
}

impl Window {
    /// Forgets what was read: the file may have changed.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(0);
    }

    /// Whether `need` bytes from `offset` on are in memory.
    #[inline]
    pub(crate) fn holds(&self, offset: u64, need: usize) -> bool {
        offset >= self.start
            && offset.saturating_add(need as u64) <= self.start + self.bytes.len() as u64
    }

    /// What is in memory from `offset` on.
    #[inline]
    pub(crate) fn from(&self, offset: u64) -> &[u8] {
        offset
            .checked_sub(self.start)
            .and_then(|at| self.bytes.get(usize::try_from(at).unwrap_or(usize::MAX)..))
            .unwrap_or_default()
    }

    /// `len` bytes from `offset` on, which must be in memory, without a copy.
    #[inline]
    pub(crate) fn slice(&self, offset: u64, len: usize) -> Bytes {
        let at = (offset - self.start) as usize;
        self.bytes.slice(at..at + len)
    }

    /// Makes `need` bytes from `offset` on available, as far as the file goes and not beyond `limit`.
    pub(crate) fn load(
        &mut self,
        file: &dyn StorageFile,
        offset: u64,
        need: usize,
        limit: u64,
        window: usize,
    ) -> io::Result<()> {
        if self.holds(offset, need) {
            return Ok(());
        }
        let mut left = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        // Invariant 8: what a header says is bounded by what the file has.
        if sabotage::is("length-believed") {
            left = usize::MAX;
        }
        let want = need.max(window).min(left);
        // The buffer is used again unless someone still holds a record of it.
        let mut buffer = match std::mem::take(&mut self.bytes).try_into_mut() {
            Ok(buffer)
                if buffer.capacity() >= want && buffer.capacity() <= 2 * want.max(WINDOW) =>
            {
                buffer
            }
            Ok(_) | Err(_) => BytesMut::new(),
        };
        if buffer.capacity() < want {
            buffer = BytesMut::zeroed(want);
        } else {
            buffer.resize(want, 0);
        }
        let filled = file.read_full_at(&mut buffer, offset)?;
        buffer.truncate(filled);
        self.bytes = buffer.freeze();
        self.start = offset;
        Ok(())
    }
}
