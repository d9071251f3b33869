//! A directory on disk, through `std::fs`. Absent: any cache, retry or policy of its own.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk_file::DiskFile;
use crate::name::check_name;
use crate::{DirEntry, EntryKind, OpenMode, Storage, StorageFile, StorageLock, sabotage};

/// A directory on disk.
///
/// Assumes of the platform: a sync that returns `Ok` put the bytes on stable storage (on macOS the
/// standard library asks for the full flush); a rename is atomic; on Windows names are journalled, as
/// there is no call to sync a directory.
///
/// ```
/// use wal_io::{DiskStorage, OpenMode, Storage, StorageFileExt};
///
/// # fn main() -> std::io::Result<()> {
/// # let tmp = tempfile::tempdir()?;
/// let dir = DiskStorage::new(tmp.path().join("log"));
/// dir.create()?;
/// let file = dir.open("a", OpenMode::CreateNew)?;
/// file.write_all_at(b"hello", 0)?;
/// file.sync_data()?; // the bytes are durable...
/// dir.sync_dir()?; // ...and so is the name under which they can be found
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DiskStorage {
    path: PathBuf,
}

impl DiskStorage {
    /// The directory at `path`, which need not exist. A relative path is taken from the current
    /// directory of now, not of later calls. Touches nothing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            path: std::path::absolute(&path).unwrap_or(path),
        }
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file_path(&self, name: &str) -> io::Result<PathBuf> {
        check_name(name)?;
        Ok(self.path.join(name))
    }
}

impl Storage for DiskStorage {
    fn create(&self) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut existing = None;
        for ancestor in self.path.ancestors() {
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
            // `..` rather than the path's own parent: behind a symbolic link they differ.
            sync_directory_if_permitted(&existing.join(".."))?;
        }
        for directory in missing.into_iter().rev() {
            match fs::create_dir(directory) {
                // Another process was faster; the sync below covers it as well.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
                result => result?,
            }
            if let Some(parent) = directory.parent() {
                // A new directory is found after a crash only if its parent was synced.
                sabotage::unless("disk-parent-not-synced", || sync_directory(parent))?;
            }
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let mut file_type = entry.file_type();
            if file_type.as_ref().is_ok_and(fs::FileType::is_symlink) {
                file_type = fs::metadata(entry.path()).map(|meta| meta.file_type());
            }
            let kind = match file_type {
                Ok(t) if t.is_file() => EntryKind::File,
                Ok(t) if t.is_dir() => EntryKind::Directory,
                Ok(_) => EntryKind::Other,
                // A link that leads nowhere, or an entry removed since.
                Err(e) if e.kind() == io::ErrorKind::NotFound => EntryKind::Other,
                Err(e) => return Err(e),
            };
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                kind,
            });
        }
        Ok(entries)
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        // A named pipe under the name of a file must not make the opener wait for a writer.
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        }
        let file = options.open(self.file_path(name)?)?;
        let file_type = file.metadata()?.file_type();
        if file_type.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !file_type.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name:?} is not a regular file"),
            ));
        }
        Ok(Arc::new(DiskFile::new(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file_path(from)?, self.file_path(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.file_path(name)?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        // A new name is found after a crash only if the directory was synced.
        sabotage::unless("disk-directory-sync-does-nothing", || {
            sync_directory(&self.path)
        })
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        let path = self.file_path(name)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(DiskLock { _file: file }))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        Ok(Arc::new(Self {
            path: self.file_path(name)?,
        }))
    }

    fn location(&self) -> String {
        self.path.display().to_string()
    }
}

/// The lock lives as long as the open file.
#[derive(Debug)]
struct DiskLock {
    _file: File,
}

impl StorageLock for DiskLock {}

#[cfg(not(windows))]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Syncs a directory that is not ours to change, unless it may not be opened.
#[cfg(not(windows))]
fn sync_directory_if_permitted(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened?.sync_all(),
    }
}

#[cfg(windows)]
fn sync_directory_if_permitted(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Windows cannot sync a directory; this still tells a missing one.
#[cfg(windows)]
fn sync_directory(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        Ok(())
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}
