//! A storage that counts the syncs under way, and holds them up where a test says so.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use wal_io::{DirEntry, FaultStorage, OpenMode, Place, Storage, StorageFile, StorageLock};

use super::PATIENCE;

/// Which syncs wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Held {
    #[default]
    None,
    All,
    Of(usize),
}

impl Held {
    fn holds(self, file: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Of(held) => held == file,
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    held: Held,
    waiting: usize,
    /// The file behind each name.
    files: BTreeMap<String, usize>,
    made: usize,
    in_flight: BTreeMap<usize, usize>,
    most: usize,
    syncs: usize,
    largest_read: usize,
    panics: bool,
}

/// The directory's own place among the files.
const DIRECTORY: usize = usize::MAX;

/// A storage around the simulated one. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    inner: FaultStorage,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    /// How long each sync takes at least.
    pub(crate) slow: Duration,
}

impl Watched {
    pub(crate) fn new(inner: &FaultStorage) -> Self {
        Self {
            inner: inner.clone(),
            seen: Arc::default(),
            slow: Duration::ZERO,
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.0.lock().expect("no test panics in here")
    }

    /// Most syncs of one file, or of the directory, at the same time.
    pub(crate) fn most_syncs_in_flight(&self) -> usize {
        self.seen().most
    }

    pub(crate) fn syncs(&self) -> usize {
        self.seen().syncs
    }

    /// The most bytes that one read has asked for.
    pub(crate) fn largest_read(&self) -> usize {
        self.seen().largest_read
    }

    /// Syncs wait from now on.
    pub(crate) fn hold_syncs(&self) {
        self.seen().held = Held::All;
    }

    /// The syncs of one file do, which was opened by this name or has it now; those of others go.
    pub(crate) fn hold_syncs_of(&self, name: &str) {
        let mut seen = self.seen();
        seen.held = Held::Of(seen.files[name]);
        self.seen.1.notify_all();
    }

    /// Those of the directory do; those of files go.
    pub(crate) fn hold_syncs_of_the_directory(&self) {
        self.seen().held = Held::Of(DIRECTORY);
        self.seen.1.notify_all();
    }

    /// Syncs panic from now on.
    pub(crate) fn panic_in_syncs(&self) {
        self.seen().panics = true;
    }

    pub(crate) fn let_syncs_go(&self) {
        self.seen().held = Held::None;
        self.seen.1.notify_all();
    }

    /// Blocks until a sync waits.
    #[track_caller]
    pub(crate) fn wait_for_a_sync(&self) {
        let nobody = |seen: &mut Seen| seen.waiting == 0;
        let waited = self
            .seen
            .1
            .wait_timeout_while(self.seen(), PATIENCE, nobody);
        let (_seen, waited) = waited.expect("no test panics in here");
        assert!(!waited.timed_out(), "no sync comes");
    }

    fn sync(&self, file: usize, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let panics = self.seen().panics;
        assert!(!panics, "a storage that panics");
        {
            let mut seen = self.seen();
            seen.syncs += 1;
            let now = seen.in_flight.entry(file).or_default();
            *now += 1;
            let now = *now;
            seen.most = seen.most.max(now);
            if seen.held.holds(file) {
                seen.waiting += 1;
                self.seen.1.notify_all();
                // Not for ever, so that a test that has failed comes to its end.
                (seen, _) = self
                    .seen
                    .1
                    .wait_timeout_while(seen, 2 * PATIENCE, |seen| seen.held.holds(file))
                    .expect("no test panics in here");
                seen.waiting -= 1;
            }
        }
        if !self.slow.is_zero() {
            std::thread::sleep(self.slow);
        }
        let outcome = sync();
        *self.seen().in_flight.entry(file).or_default() -= 1;
        outcome
    }
}

impl Storage for Watched {
    fn create(&self) -> io::Result<()> {
        self.inner.create()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.inner.list()
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let inner = self.inner.open(name, mode)?;
        let mut seen = self.seen();
        if mode == OpenMode::CreateNew || !seen.files.contains_key(name) {
            seen.made += 1;
            let number = seen.made;
            seen.files.insert(name.to_owned(), number);
        }
        Ok(Arc::new(WatchedFile {
            inner,
            file: seen.files[name],
            storage: self.clone(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)?;
        let mut seen = self.seen();
        if let Some(file) = seen.files.remove(from) {
            seen.files.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.replace(from, to)?;
        let mut seen = self.seen();
        if let Some(file) = seen.files.remove(from) {
            seen.files.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.sync(DIRECTORY, || self.inner.sync_dir())
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
struct WatchedFile {
    inner: Arc<dyn StorageFile>,
    file: usize,
    storage: Watched,
}

impl StorageFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn links(&self) -> io::Result<Option<u64>> {
        self.inner.links()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        {
            let mut seen = self.storage.seen();
            seen.largest_read = seen.largest_read.max(buf.len());
        }
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync(self.file, || self.inner.sync_data())
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
