//! A piece of a file in memory: reads are 256 KiB at a time, records are slices of it.
//!
//! A piece is large enough that the calls to the system cost little, and small enough that what was just copied is still in the
//! processor's cache when it is verified.

use std::io;

use bytes::{Bytes, BytesMut};
use wal_format::{Record, RecordError, RecordHead};
use wal_io::{StorageFile, StorageFileExt};

/// Bytes read at a time.
pub(crate) const WINDOW: usize = 256 << 10;

/// The bytes of a file from some offset on.
#[derive(Debug, Default)]
pub(crate) struct Window {
    bytes: Bytes,
    start: u64,
    /// The buffer of the window before, which someone still held a record of.
    held: Bytes,
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

    /// The record at `offset`, which was verified there and is in memory, without a copy; its value as it is stored.
    #[inline]
    pub(crate) fn plain_record(&self, offset: u64, head: &RecordHead) -> Record {
        wal_format::slice_record(&self.bytes, (offset - self.start) as usize, head)
    }

    /// The same with its value as it was appended.
    pub(crate) fn record(&self, offset: u64, head: &RecordHead) -> Result<Record, RecordError> {
        wal_format::read_record_in(&self.bytes, (offset - self.start) as usize, head)
    }

    /// Makes `need` bytes from `offset` on available, as far as the file goes and not beyond `limit`. True if the file was read.
    pub(crate) fn load(
        &mut self,
        file: &dyn StorageFile,
        offset: u64,
        need: usize,
        limit: u64,
        window: usize,
    ) -> io::Result<bool> {
        if self.holds(offset, need) {
            return Ok(false);
        }
        // Invariant 8: what a header says is bounded by what the file has.
        let left = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = need.max(window).min(left);
        let mut buffer = self.take_buffer(want);
        let filled = file.read_full_at(&mut buffer, offset)?;
        buffer.truncate(filled);
        self.bytes = buffer.freeze();
        self.start = offset;
        Ok(true)
    }

    /// A buffer of that length: one of the two that were filled before, unless someone still holds a record of each.
    fn take_buffer(&mut self, len: usize) -> BytesMut {
        let last = std::mem::take(&mut self.bytes);
        let buffer = last.try_into_mut().or_else(|last| {
            let before = std::mem::replace(&mut self.held, last);
            before.try_into_mut()
        });
        // Only buffers of the usual size are kept.
        if self.held.len() > 2 * WINDOW {
            self.held = Bytes::new();
        }
        match buffer {
            // Its bytes were read into it before: only what it is longer now is filled with zeros.
            Ok(mut buffer)
                if buffer.capacity() >= len && buffer.capacity() <= 2 * len.max(WINDOW) =>
            {
                buffer.resize(len, 0);
                buffer
            }
            Ok(_) | Err(_) => BytesMut::zeroed(len),
        }
    }
}
