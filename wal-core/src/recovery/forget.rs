//! Raises the log's first LSN without writing a byte: a file's name remembers it.
//!
//! For a full disk. The oldest segment that is dropped is renamed, which takes no space. Once that name is durable, the others
//! may be removed.

use std::io;

use wal_format::{Lsn, SegmentId, first_name, segment_name};
use wal_io::{OpenMode, Storage};

/// Renames `oldest`, the first segment that is dropped, so that its name says that the log starts at `first`. `firsts` are the
/// LSNs in such names so far. True if `oldest` was renamed, false if the name existed. Durable with the next sync of the
/// directory.
///
/// All records before `first` must be known to be durable.
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
    // Truncated records must not come back.
    storage.rename(&segment_name(oldest), &remembers)?;
    Ok(true)
}

/// Frees the space of the renamed files, once the name of `first` is durable. Best effort: the next open removes the files.
pub(crate) fn free_names(storage: &dyn Storage, first: Lsn, firsts: &[Lsn]) {
    for first in firsts.iter().filter(|older| **older < first) {
        let _ = storage.remove(&first_name(*first));
    }
    let name = first_name(first);
    let _ = storage.open(&name, OpenMode::ReadWrite).and_then(|file| {
        // Not if it is also a segment under another name, as a crash inside a rename may leave it.
        if file.links()?.is_some_and(|links| links > 1) {
            return Ok(());
        }
        file.set_len(0)
    });
}
