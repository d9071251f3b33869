//! raw-point: the limit of reading single records. One read and one checksum each, at a place that needs no search.

use std::io;
use std::path::Path;
use std::sync::Arc;

use wal_io::{OpenMode, StorageFile, StorageFileExt as _};

use super::{HEAD_LEN, file, head, invalid, raw_chunk};

/// A file of [`RawChunk`](super::RawChunk) whose records have one length.
#[derive(Debug)]
pub struct RawPoint {
    file: Arc<dyn StorageFile>,
    record: usize,
}

impl RawPoint {
    /// Opens the file in `dir`, whose payloads have `record` bytes.
    ///
    /// # Errors
    /// The system's.
    pub fn open(dir: &Path, record: u64) -> io::Result<Self> {
        Ok(Self {
            file: file(dir, raw_chunk::NAME, OpenMode::Read)?,
            record: record as usize,
        })
    }

    /// The payload of record `n`, in a buffer of its own.
    ///
    /// # Errors
    /// The system's; `InvalidData` for a record that does not verify.
    pub fn read(&self, n: u64) -> io::Result<Vec<u8>> {
        let len = HEAD_LEN + self.record;
        let mut buffer = vec![0; len];
        self.file.read_exact_at(&mut buffer, n * len as u64)?;
        let found = head(&buffer).ok_or_else(|| invalid("a head"))?;
        if found != (self.record, crc32fast::hash(&buffer[HEAD_LEN..])) {
            return Err(invalid("a record"));
        }
        buffer.drain(..HEAD_LEN);
        Ok(buffer)
    }
}
