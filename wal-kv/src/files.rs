//! The store's own files, beside the log's segments: their names, and how they are kept apart.
//!
//! All begin with `kv-`. A log refuses a directory with names that it does not know, so a store is never taken for a log; the log
//! below a store sees the directory without them (`hidden.rs`). Deliberately absent: what is in a snapshot (`snapshot/`).

mod hidden;
mod marker;
mod one_sync;

use wal_core::Lsn;
use wal_io::Storage;

use crate::{Error, Result};

pub(crate) use hidden::WithoutOwn;
pub(crate) use marker::{Marker, read_marker, write_marker};
pub(crate) use one_sync::OneSync;

const PREFIX: &str = "kv-";
const SNAPSHOT: &str = ".snapshot";
const TEMPORARY: &str = ".tmp";
pub(crate) const MARKER: &str = "kv-store";
const MARKER_TEMPORARY: &str = "kv-store.tmp";
/// Digits of an LSN in a name: all of a 64-bit number.
const DIGITS: usize = 20;

/// Name of the snapshot of the state at `lsn`.
pub(crate) fn snapshot_name(lsn: Lsn) -> String {
    format!("{PREFIX}{:0DIGITS$}{SNAPSHOT}", lsn.get())
}

/// Name of a snapshot that is not whole yet.
pub(crate) fn temporary_name(lsn: Lsn) -> String {
    format!("{PREFIX}{:0DIGITS$}{TEMPORARY}", lsn.get())
}

fn is_own(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The store's files in a directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Anything is there, the log's files too.
    pub(crate) exists: bool,
    pub(crate) marker: bool,
    /// Snapshots, ascending.
    pub(crate) snapshots: Vec<Lsn>,
    /// Files that were not finished.
    pub(crate) temporaries: Vec<String>,
}

impl Listing {
    /// Reads the directory; an empty listing if it does not exist.
    pub(crate) fn read(storage: &dyn Storage) -> Result<Self> {
        let entries = match storage.list() {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            // A file in the place of the directory: the log says so.
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(Error::io(
                    storage.location(),
                    "listing the directory",
                    error,
                ));
            }
        };
        let mut listing = Self::default();
        for entry in entries {
            listing.exists = true;
            if !is_own(&entry.name) {
                continue;
            }
            if entry.name == MARKER {
                listing.marker = true;
            } else if let Some(lsn) = number(&entry.name, SNAPSHOT) {
                listing.snapshots.push(lsn);
            } else if entry.name == MARKER_TEMPORARY || number(&entry.name, TEMPORARY).is_some() {
                listing.temporaries.push(entry.name);
            } else {
                return Err(Error::ForeignFile {
                    location: storage.location(),
                    name: entry.name,
                });
            }
        }
        listing.snapshots.sort_unstable();
        listing.temporaries.sort_unstable();
        Ok(listing)
    }
}

fn number(name: &str, suffix: &str) -> Option<Lsn> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(suffix)?;
    if digits.len() != DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Lsn::new)
}
