//! The directory as the log below a store sees it: without the store's own files.

use std::io;
use std::sync::Arc;

use wal_io::{DirEntry, OpenMode, Place, Storage, StorageFile, StorageLock};

use super::is_own;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct WithoutOwn(pub(crate) Arc<dyn Storage>);

impl Storage for WithoutOwn {
    fn create(&self) -> io::Result<()> {
        self.0.create()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let mut entries = self.0.list()?;
        entries.retain(|entry| !is_own(&entry.name));
        Ok(entries)
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        self.0.open(name, mode)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.replace(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.0.try_lock(name)
    }

    fn free_space(&self) -> io::Result<Option<u64>> {
        self.0.free_space()
    }

    fn place(&self) -> Place {
        self.0.place()
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        self.0.subdirectory(name)
    }

    fn location(&self) -> String {
        self.0.location()
    }
}
