//! A storage on which no snapshot can be begun, or none for now. The log does not notice.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use wal_io::{DirEntry, FaultStorage, OpenMode, Place, Storage, StorageFile, StorageLock};

/// What happens to a snapshot that is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Snapshot {
    Written,
    Refused,
    /// It waits until the storage is told something else.
    Held,
}

type Hook = Box<dyn Fn() + Send>;

/// See the module's head. Clones are the same storage.
#[derive(Clone)]
pub(crate) struct Reluctant {
    pub(crate) storage: FaultStorage,
    then: Arc<AtomicU8>,
    begun: Arc<AtomicU64>,
    /// Called for each snapshot that is begun.
    hook: Arc<Mutex<Option<Hook>>>,
}

impl std::fmt::Debug for Reluctant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reluctant").finish_non_exhaustive()
    }
}

impl Reluctant {
    pub(crate) fn new(storage: FaultStorage) -> Self {
        Self {
            storage,
            then: Arc::new(AtomicU8::new(Snapshot::Written as u8)),
            begun: Arc::default(),
            hook: Arc::default(),
        }
    }

    /// From now on this happens to snapshots.
    pub(crate) fn let_snapshots_be(&self, then: Snapshot) {
        self.then.store(then as u8, Ordering::SeqCst);
    }

    fn is(&self, then: Snapshot) -> bool {
        self.then.load(Ordering::SeqCst) == then as u8
    }

    /// How many snapshots were begun, refused ones too.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Calls `hook` whenever a snapshot is begun.
    pub(crate) fn when_begun(&self, hook: impl Fn() + Send + 'static) {
        *self.hook.lock().expect("no panic") = Some(Box::new(hook));
    }
}

/// Whether it is the temporary name of a snapshot.
fn is_snapshot(name: &str) -> bool {
    let lsn = name
        .strip_prefix("kv-")
        .and_then(|name| name.strip_suffix(".tmp"));
    lsn.is_some_and(|lsn| lsn.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Storage for Reluctant {
    fn create(&self) -> io::Result<()> {
        self.storage.create()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.storage.list()
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        if mode == OpenMode::CreateNew && is_snapshot(name) {
            self.begun.fetch_add(1, Ordering::SeqCst);
            if let Some(hook) = &*self.hook.lock().expect("no panic") {
                hook();
            }
            while self.is(Snapshot::Held) {
                thread::sleep(Duration::from_millis(1));
            }
            if self.is(Snapshot::Refused) {
                return Err(io::Error::other("this disk takes no snapshots"));
            }
        }
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
        self.storage.sync_dir()
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
