//! A storage whose operations take a while: others may run before and behind each, while the caller waits for it.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wal_io::{DirEntry, FaultStorage, OpenMode, Place, Storage, StorageFile, StorageLock};

/// The simulated machine's directory, one step of the scheduler before and one behind each operation that changes it.
#[derive(Clone, Debug)]
pub(super) struct Slow {
    disk: FaultStorage,
    directory: Arc<Syncs>,
}

/// Syncs of one file, or of the directory: one at a time, and none after one that failed.
#[derive(Debug, Default)]
struct Syncs {
    under_way: AtomicBool,
    failed: AtomicBool,
}

impl Syncs {
    fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        alone(&self.under_way, "a sync", || {
            let retried = self.failed.load(Ordering::SeqCst);
            assert!(!retried, "a failed sync is retried");
            let done = sync();
            self.failed.store(done.is_err(), Ordering::SeqCst);
            done
        })
    }
}

impl Slow {
    pub(super) fn new(disk: &FaultStorage) -> Self {
        Self {
            disk: disk.clone(),
            directory: Arc::default(),
        }
    }
}

/// Others may run here.
fn step() {
    shuttle::thread::sleep(Duration::ZERO);
}

fn slowly<T>(work: impl FnOnce() -> T) -> T {
    step();
    let done = work();
    step();
    done
}

/// The same, where two at a time are a bug of the log.
fn alone<T>(taken: &AtomicBool, what: &str, work: impl FnOnce() -> T) -> T {
    assert!(
        !taken.swap(true, Ordering::SeqCst),
        "{what} while one is under way"
    );
    let done = slowly(work);
    taken.store(false, Ordering::SeqCst);
    done
}

impl Storage for Slow {
    fn create(&self) -> io::Result<()> {
        self.disk.create()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        slowly(|| self.disk.list())
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let inner = slowly(|| self.disk.open(name, mode))?;
        Ok(Arc::new(SlowFile {
            inner,
            write: AtomicBool::new(false),
            ahead: Mutex::default(),
            syncs: Syncs::default(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        slowly(|| self.disk.rename(from, to))
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        slowly(|| self.disk.replace(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        slowly(|| self.disk.remove(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.sync(|| self.disk.sync_dir())
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.disk.try_lock(name)
    }

    fn place(&self) -> Place {
        self.disk.place()
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        self.disk.subdirectory(name)
    }

    fn location(&self) -> String {
        self.disk.location()
    }
}

#[derive(Debug)]
struct SlowFile {
    inner: Arc<dyn StorageFile>,
    write: AtomicBool,
    /// The range that is being overwritten with zeros.
    ahead: Mutex<Option<Range<u64>>>,
    syncs: Syncs,
}

impl StorageFile for SlowFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn links(&self) -> io::Result<Option<u64>> {
        self.inner.links()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        step();
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        alone(&self.write, "a write", || {
            let end = offset + buf.len() as u64;
            let ahead = self.ahead.lock().expect("no panic").clone();
            if let Some(ahead) = ahead {
                assert!(
                    end <= ahead.start || offset >= ahead.end,
                    "a write of {offset}..{end} while zeros are written to {ahead:?}"
                );
            }
            self.inner.write_at(buf, offset)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.sync(|| self.inner.sync_data())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        slowly(|| self.inner.allocate(offset, len))
    }

    fn prewrite(&self, offset: u64, len: u64) -> io::Result<bool> {
        *self.ahead.lock().expect("no panic") = Some(offset..offset + len);
        let done = slowly(|| self.inner.prewrite(offset, len));
        *self.ahead.lock().expect("no panic") = None;
        done
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        slowly(|| self.inner.set_len(len))
    }
}
