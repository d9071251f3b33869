//! The open segment files of one handle's readers. Their number is bounded, whatever the number of readers and segments.
//!
//! A reader owns no file. It borrows one for each read, and all readers of a segment share it. When the table is full, the
//! least recently used file is closed. If all of them are being read, a read waits until one is returned. A file without
//! readers is closed, and so is a removed file.
//!
//! The writer's own files are not in this table.

use std::collections::BTreeMap;
use std::io;

use wal_format::SegmentId;
use wal_io::{OpenMode, Process, Storage, StorageFile};

use super::known::Known;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Most files open at a time. A read-only handle that reads the directory may open two more: 16 in all.
const MOST: usize = if cfg!(wal_shuttle) { 1 } else { 14 };

/// The open files of a handle's readers.
#[derive(Debug)]
pub(crate) struct Files {
    /// The process whose readers use them.
    process: Process,
    storage: Arc<dyn Storage>,
    table: Mutex<Table>,
    returned: Condvar,
    pub(super) known: Known,
}

#[derive(Debug, Default)]
struct Table {
    slots: Vec<OpenFile>,
    /// Readers in each segment.
    readers: BTreeMap<SegmentId, usize>,
    /// Counts the slots made and the uses of them.
    ticks: u64,
    waiting: usize,
}

/// Room for one file.
#[derive(Debug)]
struct OpenFile {
    /// No two slots have the same.
    key: u64,
    /// [`SegmentId::NONE`]: the file can no longer be found by its id, and is closed when the last read from it ends.
    id: SegmentId,
    /// `None` while it is being opened or closed.
    file: Option<Arc<dyn StorageFile>>,
    reads: usize,
    used: u64,
}

impl Files {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Arc<Self> {
        Arc::new(Self {
            process: Process::current(),
            storage,
            table: Mutex::default(),
            returned: Condvar::default(),
            known: Known::default(),
        })
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// A segment's file, for a reader. It is opened at once, so that a missing file is noticed.
    pub(crate) fn open(self: &Arc<Self>, id: SegmentId) -> io::Result<Arc<dyn StorageFile>> {
        *self.table.lock().readers.entry(id).or_default() += 1;
        let file = Shared {
            files: Arc::clone(self),
            id,
        };
        drop(self.borrow(id)?);
        Ok(Arc::new(file))
    }

    /// The file was removed, or another file may get its name. It is no longer read.
    pub(crate) fn forget(&self, id: SegmentId) {
        self.retain(|open| open != id);
    }

    /// The same for all files for which `stays` is false.
    pub(crate) fn retain(&self, stays: impl Fn(SegmentId) -> bool) {
        self.known.retain(&stays);
        let mut table = self.table.lock();
        for slot in &mut table.slots {
            if !stays(slot.id) {
                slot.id = SegmentId::NONE;
            }
        }
        self.close_unused(table);
    }

    /// A file to read from until the result is dropped.
    fn borrow(&self, id: SegmentId) -> io::Result<Borrowed<'_>> {
        let mut table = self.table.lock();
        let evicted = loop {
            table.ticks += 1;
            let used = table.ticks;
            if let Some(slot) = table.slots.iter_mut().find(|slot| slot.id == id) {
                if let Some(file) = slot.file.clone() {
                    slot.reads += 1;
                    slot.used = used;
                    return Ok(Borrowed {
                        files: self,
                        key: slot.key,
                        file: Some(file),
                    });
                }
            } else {
                // A reader has no file of its own.
                if table.slots.len() < MOST {
                    break None;
                }
                let idle = |slot: &&OpenFile| slot.reads == 0 && slot.file.is_some();
                let oldest = table.slots.iter().filter(idle).min_by_key(|slot| slot.used);
                if let Some(key) = oldest.map(|slot| slot.key) {
                    break Some(table.remove(key));
                }
            }
            table.waiting += 1;
            table = self.returned.wait(table);
            table.waiting -= 1;
        };
        let key = table.ticks;
        table.slots.push(OpenFile {
            key,
            id,
            file: None,
            reads: 1,
            used: key,
        });
        drop(table);
        let mut borrowed = Borrowed {
            files: self,
            key,
            file: None,
        };
        // Close it before the next one is opened, so that the table's size is never exceeded.
        drop(evicted);
        let name = wal_format::segment_name(id);
        let file = self.storage.open(&name, OpenMode::Read)?;
        borrowed.file = Some(Arc::clone(&file));
        let mut table = self.table.lock();
        if let Some(slot) = table.slot(key) {
            slot.file = Some(file);
        }
        self.tell(&table);
        drop(table);
        Ok(borrowed)
    }

    fn give_back(&self, key: u64) {
        let mut table = self.table.lock();
        let Some(slot) = table.slot(key) else { return };
        slot.reads -= 1;
        if slot.file.is_none() && slot.reads == 0 {
            // It could not be opened.
            table.remove(key);
        }
        self.tell(&table);
        self.close_unused(table);
    }

    fn leave(&self, id: SegmentId) {
        let mut table = self.table.lock();
        if let Some(readers) = table.readers.get_mut(&id) {
            *readers -= 1;
            if *readers == 0 {
                table.readers.remove(&id);
            }
        }
        self.close_unused(table);
    }

    /// Closes files without a reader. Files are closed without the lock, and keep their slots until then.
    fn close_unused<'a>(&'a self, mut table: MutexGuard<'a, Table>) {
        loop {
            let Table { slots, readers, .. } = &mut *table;
            let unused = |slot: &&mut OpenFile| {
                slot.reads == 0 && slot.file.is_some() && !readers.contains_key(&slot.id)
            };
            let Some(slot) = slots.iter_mut().find(unused) else {
                return;
            };
            slot.id = SegmentId::NONE;
            let (key, file) = (slot.key, slot.file.take());
            drop(table);
            drop(file);
            table = self.table.lock();
            table.remove(key);
            self.tell(&table);
        }
    }

    fn tell(&self, table: &Table) {
        if table.waiting > 0 {
            self.returned.notify_all();
        }
    }
}

impl Table {
    fn slot(&mut self, key: u64) -> Option<&mut OpenFile> {
        self.slots.iter_mut().find(|slot| slot.key == key)
    }

    fn remove(&mut self, key: u64) -> Option<OpenFile> {
        let at = self.slots.iter().position(|slot| slot.key == key)?;
        Some(self.slots.swap_remove(at))
    }
}

/// A file for one read.
struct Borrowed<'a> {
    files: &'a Files,
    key: u64,
    file: Option<Arc<dyn StorageFile>>,
}

impl Borrowed<'_> {
    fn read<T>(&self, read: impl FnOnce(&dyn StorageFile) -> io::Result<T>) -> io::Result<T> {
        // A slot has a file from the start, unless opening it failed.
        let file = self.file.as_deref();
        file.map_or_else(|| Err(io::ErrorKind::NotFound.into()), read)
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.file = None;
        self.files.give_back(self.key);
    }
}

/// A segment's file for its readers. They may assume only that it is open during a read.
#[derive(Debug)]
struct Shared {
    files: Arc<Files>,
    id: SegmentId,
}

impl StorageFile for Shared {
    fn len(&self) -> io::Result<u64> {
        self.files.borrow(self.id)?.read(StorageFile::len)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.files
            .borrow(self.id)?
            .read(|file| file.read_at(buf, offset))
    }

    fn links(&self) -> io::Result<Option<u64>> {
        self.files.borrow(self.id)?.read(StorageFile::links)
    }

    fn write_at(&self, _buf: &[u8], _offset: u64) -> io::Result<usize> {
        Err(for_reading())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(for_reading())
    }

    fn allocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(for_reading())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(for_reading())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // In a fork, the lock may never be released.
        if self.files.process.is_current() {
            self.files.leave(self.id);
        }
    }
}

fn for_reading() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the file is open for reading",
    )
}
