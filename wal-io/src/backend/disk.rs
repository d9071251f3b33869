//! A directory on disk. Absent: any cache, retry or policy of its own; how the platform is asked is in `disk_directory`
//! (Unix) and `disk_paths` (elsewhere).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(unix)]
use super::disk_directory::Directory;
use super::disk_file::DiskFile;
use super::disk_lock::{DiskLock, is_locked};
#[cfg(not(unix))]
use super::disk_paths::Directory;
use crate::name::check_name;
use crate::{DirEntry, OpenMode, Place, Storage, StorageFile, StorageLock};

/// A directory on disk.
///
/// On Unix a path is looked up once: the first call that finds the directory opens it, and everything is done relative to that
/// descriptor, by all clones. So the storage always uses the same directory: it follows a move, and never touches another
/// directory at the old path. [`Storage::place`] reports such a move. The path may contain symbolic links; inside the directory
/// none is followed.
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

    /// Whether a process holds the lock that [`try_lock`](Storage::try_lock) takes, with a file of this name. Creates no file,
    /// needs no permission to write, and does not disturb a process that takes the lock at the same moment.
    ///
    /// # Errors
    ///
    /// `NotFound` if the directory does not exist; otherwise the error of opening or locking the file.
    pub fn is_locked(&self, name: &str) -> io::Result<bool> {
        check_name(name)?;
        match self.directory.open(name, OpenMode::Read) {
            Ok(file) if is_locked(&file)? => return Ok(true),
            Ok(_) => {}
            // The file may have been deleted under its holder, or belong to another user. The directory is locked too.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) => {}
            Err(error) => return Err(error),
        }
        let directory = self.directory.open_again()?;
        directory.map_or(Ok(false), |directory| {
            // On a file system that cannot lock directories, the lock of the file must suffice.
            Ok(is_locked(&directory).unwrap_or(false))
        })
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

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        if from == to {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.directory.replace(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.directory.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        // A new name is found after a crash only if the directory was synced.
        self.directory.sync()
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        check_name(name)?;
        let file = self.directory.open_lock(name)?;
        let mut lock = DiskLock::new();
        if !lock.take(file)? {
            return Ok(None);
        }
        // Deleting the file must let no second holder in.
        let Some(directory) = self.directory.open_again()? else {
            return Ok(Some(Box::new(lock)));
        };
        match lock.take(directory) {
            Ok(false) => Ok(None),
            // On a file system that cannot lock directories, the lock of the file must suffice.
            Ok(true) | Err(_) => Ok(Some(Box::new(lock))),
        }
    }

    fn free_space(&self) -> io::Result<Option<u64>> {
        self.directory.free_space()
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
