//! Making a directory on Unix, with the parents that it needs, each durable. Absent: anything inside it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Makes the directory at `path` exist, and durable with all above it.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut existing = None;
    let mut in_the_end = false;
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
        let parent = existing.join("..");
        // A process that created the directory may have died before this sync. It cannot have created the root of a mounted
        // file system, whose parent may be read-only, or on a file system without this call (squashfs).
        if fs::metadata(&parent)?.dev() == fs::metadata(existing)?.dev() {
            match sync_entry(&parent, existing) {
                // Neither can be read. The directory created below can be, and it is on the same file system.
                Err(e) if is_denied(&e) && !missing.is_empty() => in_the_end = true,
                synced => synced?,
            }
        }
    }
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            // Another process was faster; the sync below covers it as well.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            result => result?,
        }
        if let Some(parent) = directory.parent() {
            // A new directory is found after a crash only if its parent was synced.
            sync_entry(parent, directory)?;
        }
    }
    if in_the_end {
        sync_file_system(path)?;
    }
    Ok(())
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Makes the entry of `directory` in `parent` durable.
fn sync_entry(parent: &Path, directory: &Path) -> io::Result<()> {
    match File::open(parent) {
        // It may be written to, but not read. The directory in it is on the same file system.
        Err(e) if is_denied(&e) => sync_file_system(directory),
        opened => opened?.sync_all(),
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
