//! Making a directory on Unix, with the parents that it needs, each durable. Absent: anything inside it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::sabotage;

/// Whether this call made an entry in a directory, or found it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Made,
    /// Whoever made it may have died before the sync.
    Found,
}

/// Makes the directory at `path` exist, and durable with all above it.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut existing = None;
    for ancestor in path.ancestors() {
        match fs::metadata(ancestor) {
            Ok(meta) if meta.is_dir() => {
                existing = Some(ancestor);
                break;
            }
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(ancestor),
            Err(e) => return Err(e),
        }
    }
    if let Some(existing) = existing {
        // `..` rather than the path's own parent: after a symbolic link they differ.
        sync_entry(&existing.join(".."), existing, Entry::Found)?;
    }
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            // Another process was faster; the sync below covers it as well.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            result => result?,
        }
        if let Some(parent) = directory.parent() {
            // A new directory is found after a crash only if its parent was synced.
            sabotage::unless("disk-parent-not-synced", || {
                sync_entry(parent, directory, Entry::Made)
            })?;
        }
    }
    Ok(())
}

/// Makes the entry of `directory` in `parent` durable.
fn sync_entry(parent: &Path, directory: &Path, entry: Entry) -> io::Result<()> {
    let synced = match File::open(parent) {
        // It may be written to, but not read. The directory made in it is on the same file system.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => sync_file_system(directory),
        opened => opened.and_then(|parent| parent.sync_all()),
    };
    match synced {
        Err(e) if entry == Entry::Found && cannot_be_synced(&e) => Ok(()),
        synced => synced,
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn sync_file_system(directory: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(directory)?)?)
}

/// No call does more here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sync_file_system(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Whether an error says that there is no way to sync this, rather than that it failed: a read-only file system (some, such
/// as squashfs, have no such call), or no permission.
fn cannot_be_synced(error: &io::Error) -> bool {
    let refusals = [
        Errno::INVAL,
        Errno::ACCESS,
        Errno::PERM,
        Errno::ROFS,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
    ];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}
