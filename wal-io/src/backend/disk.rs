//! A directory on disk. Absent: any cache, retry or policy of its own; how the platform is asked is in `disk_directory`
//! (Unix) and `disk_paths` (elsewhere).

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(unix)]
use super::disk_directory::Directory;
use super::disk_file::DiskFile;
#[cfg(not(unix))]
use super::disk_paths::Directory;
use crate::name::check_name;
use crate::{DirEntry, OpenMode, Place, Process, Storage, StorageFile, StorageLock, sabotage};

/// A directory on disk.
///
/// On Unix a path is looked up once: the first call that finds the directory opens it, and everything is done
/// relative to that descriptor, by all clones. So it is one directory for good: moving it does not lead astray,
/// and another one that is put at the old path is never touched. [`Storage::place`] tells whether that has
/// happened. The path may lead through symbolic links; inside the directory none is followed.
///
/// Assumes of the platform: a sync that returns `Ok` put the bytes on stable storage (on macOS the
/// standard library asks for the full flush); a rename is atomic; on Windows names are journalled, as
/// there is no call to sync a directory, and paths are looked up in each call.
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
    directory: Arc<Directory>,
}

impl DiskStorage {
    /// The directory at `path`, which need not exist. A relative path is taken from the current
    /// directory of now, not of later calls. Touches nothing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let path = std::path::absolute(&path).unwrap_or(path);
        Self {
            directory: Arc::new(Directory::at(path)),
        }
    }

    /// The path of the directory, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Storage for DiskStorage {
    fn create(&self) -> io::Result<()> {
        self.directory.create()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.directory.list()
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        check_name(name)?;
        let file = self.directory.open(name, mode)?;
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
        check_name(from)?;
        check_name(to)?;
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.directory.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        // A new name is found after a crash only if the directory was synced.
        sabotage::unless("disk-directory-sync-does-nothing", || self.directory.sync())
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        check_name(name)?;
        let file = self.directory.open_lock(name)?;
        let mut lock = DiskLock {
            held: Vec::with_capacity(2),
            process: Process::current(),
        };
        if !lock.take(file)? {
            return Ok(None);
        }
        // Whoever deletes the file admits nobody.
        let Some(directory) = self.directory.open_again()? else {
            return Ok(Some(Box::new(lock)));
        };
        if sabotage::is("directory-not-locked") {
            return Ok(Some(Box::new(lock)));
        }
        match lock.take(directory) {
            Ok(false) => Ok(None),
            // A file system that cannot lock directories: the file has to do.
            Ok(true) | Err(_) => Ok(Some(Box::new(lock))),
        }
    }

    fn place(&self) -> Place {
        self.directory.place()
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        check_name(name)?;
        Ok(Arc::new(Self {
            directory: Arc::new(Directory::inside(&self.directory, name)),
        }))
    }

    fn location(&self) -> String {
        self.path().display().to_string()
    }
}

/// Locks belong to open files, which a child shares from `fork` until `exec`. So they are given up by name: closing would
/// leave them with the child. But never by the child: that would take them from its parent.
#[derive(Debug)]
struct DiskLock {
    held: Vec<File>,
    process: Process,
}

impl DiskLock {
    /// Locks `file` too; `false` if someone else has.
    fn take(&mut self, file: File) -> io::Result<bool> {
        match file.try_lock() {
            Ok(()) => {
                self.held.push(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        let ours = self.process.is_current() || sabotage::is("lock-given-up-by-a-child");
        if !ours || sabotage::is("lock-not-given-up-by-name") {
            return;
        }
        // The directory first: who finds the file free finds both free.
        for file in self.held.iter().rev() {
            // It ends with the process at the latest.
            let _ = file.unlock();
        }
    }
}

impl StorageLock for DiskLock {}
