//! The limits: what a program could do that writes its records straight to a file, and nothing else.
//!
//! ```text
//! raw_chunk    length, checksum and payload into buffers of 256 KiB, one pwrite each; and its replay
//! raw_direct   one pwrite and one fdatasync for each record, under one lock; with several writers the rows name it raw-lock,
//!              and raw-batch where each write holds a record of all of them
//! raw_group    the same for all records that wait at that moment, by a leader
//! raw_map      a HashMap behind a lock, every put in one of the logs above first
//! raw_shards   the same with keys of 16 bytes in the tables, a fast hash, and a lock for each of many shards
//! raw_point    one pread and one checksum for each record that is read
//! ```
//!
//! They stand on wal-io's disk file (a bare pwrite and a bare fdatasync), so they build wherever the log does. Deliberately
//! absent: everything that a log is for. No recovery, no rotation, no full disk, no proof of durability.

mod map_log;
mod raw_chunk;
mod raw_direct;
mod raw_group;
mod raw_map;
mod raw_point;
mod raw_shards;

pub use map_log::{Logged, Pairs};
pub use raw_chunk::{Chunks, RawChunk};
pub use raw_direct::RawDirect;
pub use raw_group::RawGroup;
pub use raw_map::{OneLock, RawMap};
pub use raw_point::RawPoint;
pub use raw_shards::{RawShards, Shards};

use std::io;
use std::path::Path;
use std::sync::Arc;

use wal_io::{DiskStorage, OpenMode, Storage as _, StorageFile, StorageFileExt as _};

/// Bytes before each payload: its length and its CRC-32.
pub const HEAD_LEN: usize = 8;

/// Adds a record to `buffer`.
#[inline]
fn encode(buffer: &mut Vec<u8>, payload: &[u8]) {
    let crc = crc32fast::hash(payload);
    buffer.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(payload);
}

/// The length and the checksum that `bytes` begin with.
#[inline]
fn head(bytes: &[u8]) -> Option<(usize, u32)> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    Some((word(0)? as usize, word(4)?))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not valid"))
}

/// Opens or makes the file `name` in `dir`.
fn file(dir: &Path, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
    DiskStorage::new(dir.to_owned()).open(name, mode)
}

/// A file whose every block was written and synced before, so that a sync has no metadata to write. Written from the start
/// again when its end is reached.
#[derive(Clone, Debug)]
pub struct Prewritten {
    file: Arc<dyn StorageFile>,
    len: u64,
}

impl Prewritten {
    /// Makes the file `name` in `dir`.
    ///
    /// # Errors
    /// The system's.
    pub fn create(dir: &Path, name: &str, len: u64) -> io::Result<Self> {
        let file = file(dir, name, OpenMode::CreateNew)?;
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < len {
            let step = (len - at).min(zeros.len() as u64);
            file.write_all_at(&zeros[..step as usize], at)?;
            at += step;
        }
        file.sync_data()?;
        Ok(Self { file, len })
    }

    /// Writes `bytes` behind those before, and syncs.
    fn write_and_sync(&self, at: &mut u64, bytes: &[u8]) -> io::Result<()> {
        if *at + bytes.len() as u64 > self.len {
            *at = 0;
        }
        self.file.write_all_at(bytes, *at)?;
        *at += bytes.len() as u64;
        self.file.sync_data()
    }
}
