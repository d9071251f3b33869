//! A directory on platforms without directory descriptors: each call looks up paths. Windows cannot sync a directory.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{DirEntry, EntryKind, OpenMode, Place};

/// A directory by its path.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn inside(above: &Arc<Self>, name: &str) -> Self {
        Self::at(above.path.join(name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn create(&self) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(meta) if !meta.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
            _ => fs::create_dir_all(&self.path),
        }
    }

    pub(super) fn list(&self) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let kind = match entry.file_type()? {
                kind if kind.is_symlink() => EntryKind::Link,
                kind if kind.is_file() => EntryKind::File,
                kind if kind.is_dir() => EntryKind::Directory,
                _ => EntryKind::Other,
            };
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                kind,
            });
        }
        Ok(entries)
    }

    pub(super) fn open(&self, name: &str, mode: OpenMode) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        options.create_new(mode == OpenMode::CreateNew);
        options.open(self.path.join(name))
    }

    pub(super) fn open_lock(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(self.path.join(name))
    }

    #[allow(clippy::unnecessary_wraps, clippy::unused_self)]
    pub(super) fn free_space(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// A directory cannot be locked here. A locked file cannot be deleted either.
    #[allow(clippy::unnecessary_wraps)]
    pub(super) fn open_again(&self) -> io::Result<Option<File>> {
        Ok(None)
    }

    /// Not atomic with the check: another process could use the name in between. The lock excludes other writers.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        fs::symlink_metadata(&from)?;
        if fs::symlink_metadata(&to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(from, to)
    }

    pub(super) fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// There is no such call. This still reports a missing directory.
    pub(super) fn sync(&self) -> io::Result<()> {
        if fs::metadata(&self.path)?.is_dir() {
            Ok(())
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    pub(super) fn place(&self) -> Place {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Place::Gone,
            Ok(_) | Err(_) => Place::Here,
        }
    }
}
