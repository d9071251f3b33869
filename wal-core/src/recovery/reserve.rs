//! A file that holds the space for one more segment, while the log is open and while it is closed.
//!
//! `truncate_after` needs a new segment, and so does opening after an unclean stop. On a full disk that segment is made from
//! this file by a rename, which takes no space. The file is made again when there is room.
//!
//! Its name begins with a dot: version 1 of the format ignores such names. All of it is best effort: a log without the file
//! works, and on a full disk its callers get an error instead.

use std::io;

use wal_format::{HEADER_LEN, RESERVE_NAME, SegmentHeader};
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use super::copy::Needs;
use crate::log::allocate;
use crate::sabotage;
use crate::sync::Arc;

/// Bytes of records that fit into the reserve, and at most as many as fit into two segments: unproven records are in two
/// segments at most.
const RECORDS: u64 = 1 << 20;

/// Length in bytes of the reserve of a log whose new segments have such a header.
pub(crate) fn reserve_len(header: &SegmentHeader) -> u64 {
    let needs = Needs {
        data: RECORDS.min(2 * header.capacity),
        record_limit: 0,
    };
    needs.least(header)
}

/// Makes sure that there is a reserve of at least `len` bytes; true if there is one. A new name is durable with the next sync of the
/// directory.
pub(crate) fn ensure_reserve(storage: &dyn Storage, len: u64) -> bool {
    // Allocate the space before the disk is full.
    if sabotage::is("reserve-not-made") {
        return false;
    }
    match storage.open(RESERVE_NAME, OpenMode::ReadWrite) {
        Ok(file) if !holds_anything(&*file) => {
            let long_enough = file.len().is_ok_and(|found| found >= len);
            // A crash left it short, or segments are larger now.
            return long_enough || fill(&*file, len).is_ok();
        }
        Ok(_) if storage.remove(RESERVE_NAME).is_err() => return false,
        Ok(_) | Err(_) => {}
    }
    let Ok(file) = storage.open(RESERVE_NAME, OpenMode::CreateNew) else {
        return false;
    };
    let made = fill(&*file, len).is_ok();
    drop(file);
    if !made {
        let _ = storage.remove(RESERVE_NAME);
    }
    made
}

fn fill(file: &dyn StorageFile, len: u64) -> io::Result<()> {
    allocate(file, 0, len)?;
    file.sync_data()
}

/// Renames the reserve to `name`, if it has at least `len` bytes.
pub(super) fn take_reserve(
    storage: &dyn Storage,
    name: &str,
    len: u64,
) -> io::Result<Arc<dyn StorageFile>> {
    let file = storage.open(RESERVE_NAME, OpenMode::ReadWrite)?;
    if file.len()? < len || holds_anything(&*file) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    rename_temporarily(storage, RESERVE_NAME, name)?;
    Ok(file)
}

/// Gives a file a temporary name. Where that fails the file does not have it: it would be in the way of the next attempt.
pub(super) fn rename_temporarily(storage: &dyn Storage, from: &str, to: &str) -> io::Result<()> {
    let renamed = storage.rename(from, to);
    if renamed
        .as_ref()
        .is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists)
    {
        // A rename in two steps may have come as far as the new name.
        let _ = storage.remove(to);
    }
    renamed
}

/// A file with a header is a segment, whatever its name: if a rename is a link and an unlink, a crash can leave both names.
fn holds_anything(file: &dyn StorageFile) -> bool {
    let mut head = [0; HEADER_LEN as usize];
    let filled = file.read_full_at(&mut head, 0);
    let zeros = filled.is_ok_and(|filled| head[..filled].iter().all(|byte| *byte == 0));
    let shared = file
        .links()
        .is_ok_and(|links| links.is_some_and(|links| links > 1));
    !zeros || shared
}
