//! A storage whose operations take a while: others may run before and behind each. That the log does not do two things at once is
//! asserted in wal-core; the store's own files have one writer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wal_io::{DirEntry, FaultStorage, OpenMode, Place, Storage, StorageFile, StorageLock};

/// The simulated machine's directory.
#[derive(Clone, Debug)]
pub(super) struct Slow {
    pub(super) disk: FaultStorage,
    /// While it is set no snapshot can be begun.
    pub(super) refuses: Arc<AtomicBool>,
}

/// Others may run before and behind `work`.
fn slowly<T>(work: impl FnOnce() -> T) -> T {
    shuttle::thread::sleep(Duration::ZERO);
    let done = work();
    shuttle::thread::sleep(Duration::ZERO);
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
        // The log makes no temporary file of this kind.
        let snapshot = name.starts_with("kv-0") && mode == OpenMode::CreateNew;
        if snapshot && self.refuses.load(Ordering::SeqCst) {
            return Err(io::Error::other("this disk takes no snapshots"));
        }
        Ok(Arc::new(SlowFile(slowly(|| self.disk.open(name, mode))?)))
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
        slowly(|| self.disk.sync_dir())
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
struct SlowFile(Arc<dyn StorageFile>);

impl StorageFile for SlowFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn links(&self) -> io::Result<Option<u64>> {
        self.0.links()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        slowly(|| self.0.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        slowly(|| self.0.write_at(buf, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        slowly(|| self.0.sync_data())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        slowly(|| self.0.allocate(offset, len))
    }

    fn prewrite(&self, offset: u64, len: u64) -> io::Result<bool> {
        slowly(|| self.0.prewrite(offset, len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        slowly(|| self.0.set_len(len))
    }
}
