//! The file that says that a directory holds a store, and of which version.
//!
//! It is durable before the first record of the store is: a log with records and without it is somebody else's.

use wal_format::crc32;
use wal_io::{OpenMode, Storage, StorageFileExt as _};

use super::{MARKER, MARKER_TEMPORARY};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"WAL-KV\r\n";
/// The version of the store's files that this build reads and writes.
pub(crate) const VERSION: u32 = 1;
const LEN: usize = 16;

/// What the marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// This is a store.
    Store,
    /// Nothing that can be read.
    Unreadable,
}

fn encode() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let checksum = crc32(&bytes[..12]);
    bytes[12..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Reads the marker of a directory that has one.
pub(crate) fn read_marker(storage: &dyn Storage) -> Result<Marker> {
    let io = |error| Error::io(storage.location(), "reading the store's marker", error);
    let file = storage.open(MARKER, OpenMode::Read).map_err(io)?;
    let mut bytes = [0; LEN];
    let len = file.read_full_at(&mut bytes, 0).map_err(io)?;
    let mut version = [0; 4];
    version.copy_from_slice(&bytes[8..12]);
    let version = u32::from_le_bytes(version);
    let sound =
        len == LEN && bytes[..8] == *MAGIC && bytes[12..] == crc32(&bytes[..12]).to_le_bytes();
    match (sound, version) {
        (false, _) => Ok(Marker::Unreadable),
        (true, VERSION) => Ok(Marker::Store),
        (true, version) => Err(Error::UnknownVersion {
            location: storage.location(),
            name: MARKER.into(),
            version,
            known: VERSION,
        }),
    }
}

/// Makes the directory a store. Durable when it returns.
///
/// An unreadable marker is overwritten in place: a rename never replaces a file, and a store without a marker would be taken
/// for a log. The marker is one sector long. After a crash it is valid, or still unreadable.
pub(crate) fn write_marker(storage: &dyn Storage) -> Result<()> {
    let io = |error| Error::io(storage.location(), "the store's marker", error);
    let rewrite = || {
        let file = storage.open(MARKER, OpenMode::ReadWrite)?;
        file.set_len(LEN as u64)?;
        file.write_all_at(&encode(), 0)?;
        file.sync_data()?;
        storage.sync_dir()
    };
    match rewrite() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        rewritten => return rewritten.map_err(io),
    }
    let write = || {
        match storage.remove(MARKER_TEMPORARY) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
        let file = storage.open(MARKER_TEMPORARY, OpenMode::CreateNew)?;
        file.write_all_at(&encode(), 0)?;
        file.sync_data()?;
        storage.rename(MARKER_TEMPORARY, MARKER)?;
        storage.sync_dir()
    };
    write().map_err(io)
}
