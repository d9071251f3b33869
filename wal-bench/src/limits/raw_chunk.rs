//! raw-chunk: the limit of buffered appends, and of reading them back.

use std::io;
use std::path::Path;
use std::sync::Arc;

use wal_io::{OpenMode, StorageFile, StorageFileExt as _};

use super::{HEAD_LEN, encode, file, head, invalid};

/// Bytes of a buffer, and of a read.
const CHUNK: usize = 256 << 10;
pub(super) const NAME: &str = "raw-chunk";

/// A growing file of records, written a buffer at a time.
#[derive(Debug)]
pub struct RawChunk {
    file: Arc<dyn StorageFile>,
    buffer: Vec<u8>,
    offset: u64,
}

impl RawChunk {
    /// Makes the file in `dir`.
    ///
    /// # Errors
    /// The system's.
    pub fn create(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            file: file(dir, NAME, OpenMode::CreateNew)?,
            buffer: Vec::with_capacity(CHUNK),
            offset: 0,
        })
    }

    /// Adds a record to the buffer, behind which a full one is written.
    ///
    /// # Errors
    /// The system's.
    #[inline]
    pub fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.buffer.len() + HEAD_LEN + payload.len() > CHUNK {
            self.flush()?;
        }
        encode(&mut self.buffer, payload);
        Ok(())
    }

    /// Hands what is left to the system.
    ///
    /// # Errors
    /// The system's.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Reads such a file a buffer at a time, and verifies each record.
#[derive(Debug)]
pub struct Chunks {
    file: Arc<dyn StorageFile>,
    buffer: Vec<u8>,
    /// The part of the buffer that is filled and not given out yet.
    at: usize,
    filled: usize,
    offset: u64,
}

impl Chunks {
    /// Opens the file in `dir`.
    ///
    /// # Errors
    /// The system's.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            file: file(dir, NAME, OpenMode::Read)?,
            buffer: vec![0; CHUNK],
            at: 0,
            filled: 0,
            offset: 0,
        })
    }

    /// The next payload; `None` at the end of the file.
    ///
    /// # Errors
    /// The system's; `InvalidData` for a record that does not verify.
    #[inline]
    pub fn next_payload(&mut self) -> io::Result<Option<&[u8]>> {
        let (len, crc) = loop {
            let bytes = &self.buffer[self.at..self.filled];
            match head(bytes) {
                Some((len, crc)) if bytes.len() >= HEAD_LEN + len => break (len, crc),
                Some((len, _)) if HEAD_LEN + len > CHUNK => return Err(invalid("a length")),
                _ if !self.fill()? => {
                    return if self.at == self.filled {
                        Ok(None)
                    } else {
                        Err(invalid("the end"))
                    };
                }
                _ => {}
            }
        };
        let start = self.at + HEAD_LEN;
        let payload = &self.buffer[start..start + len];
        if crc32fast::hash(payload) != crc {
            return Err(invalid("a checksum"));
        }
        self.at = start + len;
        Ok(Some(payload))
    }

    /// Moves what is left to the front, and reads behind it; false at the end of the file.
    #[cold]
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        let free = &mut self.buffer[self.filled..];
        let read = self.file.read_full_at(free, self.offset)?;
        self.filled += read;
        self.offset += read as u64;
        Ok(read > 0)
    }
}
