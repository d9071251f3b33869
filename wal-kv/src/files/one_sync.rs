//! The directory that the store and the log below it share: one sync of it at a time, and none after one that failed.
//!
//! Both name files in it. A sync that fails may be told to one of them only, and a later one that succeeds proves nothing about the
//! names of the other. So after a failure the log is refused as well, and is poisoned when it next needs a name.

use std::io;
use std::sync::Arc;

use wal_io::{DirEntry, OpenMode, Place, Storage, StorageFile, StorageLock};

use crate::sync::Mutex;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct OneSync {
    storage: Arc<dyn Storage>,
    /// Held during a sync; how one has failed.
    failed: Mutex<Option<io::Error>>,
}

impl OneSync {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            failed: Mutex::new(None),
        }
    }
}

impl Storage for OneSync {
    fn create(&self) -> io::Result<()> {
        self.storage.create()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.storage.list()
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        self.storage.open(name, mode)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.storage.rename(from, to)
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.storage.replace(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.storage.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut failed = self.failed.lock();
        if let Some(error) = &*failed {
            return Err(same(error));
        }
        let synced = self.storage.sync_dir();
        *failed = synced.as_ref().err().map(same);
        synced
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.storage.try_lock(name)
    }

    fn free_space(&self) -> io::Result<Option<u64>> {
        self.storage.free_space()
    }

    fn place(&self) -> Place {
        self.storage.place()
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        self.storage.subdirectory(name)
    }

    fn location(&self) -> String {
        self.storage.location()
    }
}

/// The same error for another caller: the system's own, where it is one.
fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}
