//! Keeps damaged files whole, in a directory of their own beside the log.
//!
//! Deliberately absent: any change to the files themselves.

use std::io;

use wal_format::SegmentId;
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use crate::error::is_no_space;
use crate::{Error, Result};

const PIECE: usize = 1 << 20;

/// Copies the files with these ids to `quarantine/`. All of them, and their names, are durable when it returns.
pub(super) fn quarantine(storage: &dyn Storage, files: &[SegmentId]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let failed = |error: io::Error| {
        let location = storage.location();
        if is_no_space(&error) {
            let what = "the damaged files' place under quarantine/".into();
            return Error::NoSpace { location, what };
        }
        Error::io(location, "keeping a damaged file under quarantine/", error)
    };
    let directory = storage
        .subdirectory(wal_format::QUARANTINE_NAME)
        .map_err(failed)?;
    directory.create().map_err(failed)?;
    for id in files {
        let name = wal_format::segment_name(*id);
        let from = storage.open(&name, OpenMode::Read).map_err(failed)?;
        keep(&*directory, &*from, &name).map_err(failed)?;
    }
    directory.sync_dir().map_err(failed)
}

/// Under the first name that is free, or that holds the same bytes already.
fn keep(directory: &dyn Storage, from: &dyn StorageFile, name: &str) -> io::Result<()> {
    let mut number = 1;
    loop {
        let name = match number {
            1 => name.to_owned(),
            number => format!("{name}.{number}"),
        };
        match directory.open(&name, OpenMode::CreateNew) {
            Ok(to) => {
                let copied = copy(from, &*to);
                if copied.is_err() {
                    drop(to);
                    let _ = directory.remove(&name);
                }
                return copied;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let kept = directory.open(&name, OpenMode::ReadWrite)?;
                if same(from, &*kept)? {
                    // Whoever wrote it may not have come to the sync.
                    return kept.sync_data();
                }
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn copy(from: &dyn StorageFile, to: &dyn StorageFile) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    loop {
        let filled = from.read_full_at(&mut piece, offset)?;
        to.write_all_at(&piece[..filled], offset)?;
        offset += filled as u64;
        if filled < PIECE {
            return to.sync_data();
        }
    }
}

fn same(one: &dyn StorageFile, other: &dyn StorageFile) -> io::Result<bool> {
    if one.len()? != other.len()? {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut offset = 0;
    loop {
        let filled = one.read_full_at(&mut left, offset)?;
        let same = other.read_full_at(&mut right, offset)? == filled;
        if !same || left[..filled] != right[..filled] {
            return Ok(false);
        }
        offset += filled as u64;
        if filled < PIECE {
            return Ok(true);
        }
    }
}
