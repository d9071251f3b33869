//! Writing a snapshot, block by block.

use std::io;

use wal_core::{Compression, UnixMillis};
use wal_io::{StorageFile, StorageFileExt as _};

use super::format::{BLOCK, BlockHead, HEADER, Header, LONGEST_BLOCK, Tail, VERSION, put_pair};
use crate::index::Version;

/// A snapshot that is being written.
#[derive(Debug)]
pub(crate) struct SnapshotWriter<'a> {
    file: &'a dyn StorageFile,
    lsn: u64,
    compression: Compression,
    raw: Vec<u8>,
    pairs: u32,
    offset: u64,
    index: Vec<u8>,
    tail: Tail,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrittenSnapshot {
    pub(crate) pairs: u64,
    /// Bytes of the pairs before compression.
    pub(crate) raw: u64,
    /// Length of the file in bytes.
    pub(crate) len: u64,
}

impl<'a> SnapshotWriter<'a> {
    /// Begins a snapshot of the state at `lsn`; `time` is the highest that the clock has shown.
    pub(crate) fn begin(
        file: &'a dyn StorageFile,
        lsn: u64,
        time: UnixMillis,
        compression: Compression,
    ) -> io::Result<Self> {
        let header = Header {
            version: VERSION,
            lsn,
            time,
        };
        file.write_all_at(&header.encode(), 0)?;
        Ok(Self {
            file,
            lsn,
            compression,
            raw: Vec::with_capacity(BLOCK + BLOCK / 8),
            pairs: 0,
            offset: HEADER as u64,
            index: Vec::new(),
            tail: Tail {
                time,
                ..Tail::default()
            },
        })
    }

    /// Adds a pair with the expiry that is given; they come in the order of their keys.
    pub(crate) fn push(
        &mut self,
        version: &Version,
        expires_at: Option<UnixMillis>,
    ) -> io::Result<()> {
        let (key, value, lsn) = (version.key(), version.value(), version.lsn());
        // A long pair gets a block of its own.
        if self.raw.len() + key.len() + value.len() > BLOCK + BLOCK / 8 {
            self.end_block()?;
        }
        put_pair(&mut self.raw, lsn, key, value, expires_at);
        self.pairs += 1;
        if self.raw.len() >= BLOCK {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.pairs == 0 {
            return Ok(());
        }
        let compressed = wal_format::compress(self.compression, &self.raw)
            .map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error.to_string()))?;
        let compression = match compressed {
            Some(_) => self.compression,
            None => Compression::None,
        };
        let stored = compressed.as_deref().unwrap_or(&self.raw);
        debug_assert!(
            self.raw.len() as u64 <= LONGEST_BLOCK,
            "records are bounded"
        );
        let head = BlockHead {
            stored: stored.len() as u32,
            raw: self.raw.len() as u32,
            pairs: self.pairs,
            compression,
        };
        let head = head.encode(self.lsn, self.offset, stored);
        let mut block = Vec::with_capacity(head.len() + stored.len());
        block.extend_from_slice(&head);
        block.extend_from_slice(stored);
        self.file.write_all_at(&block, self.offset)?;
        self.index.extend_from_slice(&self.offset.to_le_bytes());
        self.offset += block.len() as u64;
        self.tail.blocks += 1;
        self.tail.pairs += u64::from(self.pairs);
        self.tail.raw += self.raw.len() as u64;
        self.pairs = 0;
        self.raw.clear();
        self.raw.shrink_to(2 * BLOCK);
        Ok(())
    }

    /// Ends the snapshot; `time` is the highest that the clock has shown by now. Nothing is synced yet.
    pub(crate) fn finish(mut self, time: UnixMillis) -> io::Result<WrittenSnapshot> {
        self.end_block()?;
        self.tail.time = time;
        let tail = self.tail.encode(self.lsn, self.offset, &self.index);
        self.index.extend_from_slice(&tail);
        self.file.write_all_at(&self.index, self.offset)?;
        Ok(WrittenSnapshot {
            pairs: self.tail.pairs,
            raw: self.tail.raw,
            len: self.offset + self.index.len() as u64,
        })
    }
}
