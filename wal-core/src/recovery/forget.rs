//! Raises the log's first LSN without writing a byte: a file's name remembers it.
//!
//! For a full disk. The oldest segment that goes is renamed, which takes no space; once that name is durable the others may go.

use std::io;

use wal_format::{Lsn, SegmentId, first_name, segment_name};
use wal_io::{OpenMode, Storage};

use crate::sabotage;

/// Lets a name say that the log starts at `first`: that of `oldest`, the first segment that goes. `firsts` are the LSNs that names say
/// already. True if `oldest` was renamed; otherwise the name was there. Durable with the next sync of the directory.
///
/// All records before `first` are proven durable.
pub(crate) fn remember(
    storage: &dyn Storage,
    oldest: SegmentId,
    first: Lsn,
    firsts: &[Lsn],
) -> io::Result<bool> {
    if firsts.contains(&first) {
        return Ok(false);
    }
    let remembers = first_name(first);
    // What was truncated stays away.
    sabotage::unless("first-lsn-not-remembered", || {
        storage.rename(&segment_name(oldest), &remembers)
    })?;
    Ok(true)
}

/// Frees what the names take, once that of `first` is durable. Best effort: the next open removes the files.
pub(crate) fn free_names(storage: &dyn Storage, first: Lsn, firsts: &[Lsn]) {
    for first in firsts.iter().filter(|older| **older < first) {
        let _ = storage.remove(&first_name(*first));
    }
    let name = first_name(first);
    let _ = storage.open(&name, OpenMode::ReadWrite).and_then(|file| {
        // Not while it is a segment under another name, which a crash inside a rename may leave.
        if file.links()?.is_some_and(|links| links > 1) {
            return Ok(());
        }
        file.set_len(0)
    });
}
