//! Makes the file of a segment.
//!
//! It is complete and durable before it gets its final name, so a file under such a name was whole once.

use std::io;

use wal_format::{FileName, SegmentHeader};
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use crate::sync::Arc;

/// Creates a segment file under `name`: allocate, header, sync. The directory is the caller's to sync. On an error the file
/// is deleted.
pub(crate) fn create_segment_file(
    storage: &dyn Storage,
    name: &str,
    header: &SegmentHeader,
) -> io::Result<Arc<dyn StorageFile>> {
    let file = match storage.open(name, OpenMode::CreateNew) {
        // A failed attempt has left it. A file with such a name is not part of the log.
        Err(error) if is_left_over(name, &error) => {
            storage.remove(name)?;
            storage.open(name, OpenMode::CreateNew)?
        }
        opened => opened?,
    };
    // A full disk is met before a record is accepted.
    let made = allocate(&*file, 0, header.allocated)
        .and_then(|()| file.write_all_at(&header.encode(), 0))
        // Invariant 6: the file is complete before it gets its name.
        .and_then(|()| file.sync_data());
    if let Err(error) = made {
        drop(file);
        // Best effort: what stays is a leftover that the next open removes.
        let _ = storage.remove(name);
        return Err(error);
    }
    Ok(file)
}

fn is_left_over(name: &str, error: &io::Error) -> bool {
    let not_a_segment = !matches!(FileName::parse(name), FileName::Segment(_));
    error.kind() == io::ErrorKind::AlreadyExists && not_a_segment
}

/// Reserves the file's space between two offsets.
pub(crate) fn allocate(file: &dyn StorageFile, from: u64, to: u64) -> io::Result<()> {
    loop {
        match file.allocate(from, to - from) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
