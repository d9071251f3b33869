//! A storage in memory whose writes and syncs wait at a gate, so that a test can look at the log while one is under way.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use wal_io::{DirEntry, MemoryStorage, OpenMode, Place, Storage, StorageFile, StorageLock};

#[derive(Debug, Default)]
struct Posts {
    writes_closed: bool,
    syncs_closed: bool,
    /// Calls that wait.
    waiting: usize,
}

/// Lets writes and syncs of files through, or not. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    posts: Arc<(Mutex<Posts>, Condvar)>,
}

impl Gate {
    pub(super) fn close_writes(&self) {
        self.posts.0.lock().expect("no panic").writes_closed = true;
    }

    pub(super) fn close_syncs(&self) {
        self.posts.0.lock().expect("no panic").syncs_closed = true;
    }

    pub(super) fn open(&self) {
        let mut posts = self.posts.0.lock().expect("no panic");
        posts.writes_closed = false;
        posts.syncs_closed = false;
        self.posts.1.notify_all();
    }

    /// Blocks until some call waits at the gate.
    pub(super) fn wait_for_a_call(&self) {
        let posts = self.posts.0.lock().expect("no panic");
        let nobody = |posts: &mut Posts| posts.waiting == 0;
        drop(self.posts.1.wait_while(posts, nobody).expect("no panic"));
    }

    fn pass(&self, closed: impl Fn(&Posts) -> bool) {
        let mut posts = self.posts.0.lock().expect("no panic");
        if !closed(&posts) {
            return;
        }
        posts.waiting += 1;
        self.posts.1.notify_all();
        posts = self
            .posts
            .1
            .wait_while(posts, |posts| closed(posts))
            .expect("no panic");
        posts.waiting -= 1;
    }
}

/// The storage behind the gate.
#[derive(Clone, Debug)]
pub(super) struct Gated {
    inner: Arc<dyn Storage>,
    gate: Gate,
}

impl Gated {
    pub(super) fn new(gate: &Gate) -> Self {
        Self {
            inner: Arc::new(MemoryStorage::new()),
            gate: gate.clone(),
        }
    }
}

impl Storage for Gated {
    fn create(&self) -> io::Result<()> {
        self.inner.create()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.inner.list()
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(GatedFile {
            inner: self.inner.open(name, mode)?,
            gate: self.gate.clone(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.replace(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.inner.sync_dir()
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.inner.try_lock(name)
    }

    fn place(&self) -> Place {
        self.inner.place()
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        self.inner.subdirectory(name)
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

#[derive(Debug)]
struct GatedFile {
    inner: Arc<dyn StorageFile>,
    gate: Gate,
}

impl StorageFile for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn links(&self) -> io::Result<Option<u64>> {
        self.inner.links()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.gate.pass(|posts| posts.writes_closed);
        self.inner.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass(|posts| posts.syncs_closed);
        self.inner.sync_data()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.allocate(offset, len)
    }

    fn prewrite(&self, offset: u64, len: u64) -> io::Result<bool> {
        self.inner.prewrite(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
}
