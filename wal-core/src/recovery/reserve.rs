//! A file that holds the space for one more segment, while the log is open and while it is closed.
//!
//! Ending the log earlier takes a new segment, and so does opening it after an unclean stop. Where the disk is full that segment is
//! made of this file, which takes no space: it is renamed. It is made again when there is room.
//!
//! Its name begins with a dot: version 1 of the format ignores such names. All of it is best effort: a log without the file works,
//! and its callers are told of a full disk instead.

use std::io;

use wal_format::{HEADER_LEN, RESERVE_NAME, SegmentHeader};
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use super::copy::Needs;
use crate::log::allocate;
use crate::sabotage;
use crate::sync::Arc;

/// Bytes of records that the reserve has room for. No more than two segments have: what nothing proves durable lies in two at most.
const RECORDS: u64 = 1 << 20;

/// Bytes of the reserve of a log that makes segments with such a header.
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
    // The space is there before the disk is full.
    if sabotage::is("reserve-not-made") {
        return false;
    }
    match storage.open(RESERVE_NAME, OpenMode::ReadWrite) {
        Ok(file) if !holds_anything(&*file) => {
            let long_enough = file.len().is_ok_and(|found| found >= len);
            // A crash has cut it short, or segments are larger now.
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

/// Takes the reserve out of its place: the file is called `name` from now on. It has at least `len` bytes.
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

/// A file with a header is a segment, whatever else it is called: where a rename is a link and an unlink, a crash leaves both names.
fn holds_anything(file: &dyn StorageFile) -> bool {
    let mut head = [0; HEADER_LEN as usize];
    let filled = file.read_full_at(&mut head, 0);
    let zeros = filled.is_ok_and(|filled| head[..filled].iter().all(|byte| *byte == 0));
    let shared = file
        .links()
        .is_ok_and(|links| links.is_some_and(|links| links > 1));
    !zeros || shared
}
