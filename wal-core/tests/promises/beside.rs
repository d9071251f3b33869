//! A read-only open beside a writer that closes, or goes on, between any two of its steps.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use wal_core::blocking::{Reader, Wal};
use wal_core::{Error, FsyncPolicy, Lsn, RecordRef};
use wal_io::{DirEntry, FaultStorage, OpenMode, Place, Storage, StorageFile, StorageLock};

use crate::common::{Machine, SMALL, append, large, payload, read_all};

/// What someone else does meanwhile, and behind how many operations of the reader.
struct Meanwhile {
    left: u64,
    work: Option<Box<dyn FnOnce() + Send>>,
}

/// A directory in which someone else does something behind one operation of the reader.
#[derive(Clone)]
struct Shared {
    inner: FaultStorage,
    meanwhile: Arc<Mutex<Meanwhile>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Shared {
    fn new(inner: &FaultStorage, after: u64, work: impl FnOnce() + Send + 'static) -> Self {
        let work: Box<dyn FnOnce() + Send> = Box::new(work);
        Self {
            inner: inner.clone(),
            meanwhile: Arc::new(Mutex::new(Meanwhile {
                left: after,
                work: Some(work),
            })),
        }
    }

    fn has_happened(&self) -> bool {
        self.meanwhile.lock().expect("no panic").work.is_none()
    }

    fn step<T>(&self, outcome: T) -> T {
        let mut meanwhile = self.meanwhile.lock().expect("no panic");
        let work = match meanwhile.left.checked_sub(1) {
            Some(left) => {
                meanwhile.left = left;
                None
            }
            None => meanwhile.work.take(),
        };
        drop(meanwhile);
        if let Some(work) = work {
            work();
        }
        outcome
    }
}

impl Storage for Shared {
    fn create(&self) -> io::Result<()> {
        self.inner.create()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.step(self.inner.list())
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let inner = self.step(self.inner.open(name, mode))?;
        let shared = self.clone();
        Ok(Arc::new(SharedFile { inner, shared }))
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
struct SharedFile {
    inner: Arc<dyn StorageFile>,
    shared: Shared,
}

impl StorageFile for SharedFile {
    fn len(&self) -> io::Result<u64> {
        self.shared.step(self.inner.len())
    }

    fn links(&self) -> io::Result<Option<u64>> {
        self.inner.links()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.shared.step(self.inner.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
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

/// Opens beside a log of five records that does `work` behind each of the reader's operations in turn, and reads to the end.
/// What is found is at least those, in order.
fn look_beside(policy: FsyncPolicy, work: fn(&Wal)) {
    for after in 0.. {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=5);
        wal.flush().expect("flushed");
        let writer = wal.clone();
        let shared = Shared::new(&machine.storage, after, move || work(&writer));
        let builder = Wal::builder("log").storage(Arc::new(shared.clone()));
        let look = builder.read_only().open();
        let look = look.unwrap_or_else(|error| panic!("step {after}: {error}"));
        let found = read_all(&look).unwrap_or_else(|error| panic!("step {after}: {error}"));
        assert!(found.len() >= 5, "step {after}: {} records", found.len());
        for ((lsn, value), expected) in found.iter().zip(1..) {
            assert_eq!(*lsn, expected, "step {after}");
            assert!(value.starts_with(&payload(*lsn)), "step {after}");
        }
        if !shared.has_happened() {
            assert_eq!(found.len(), 5);
            return;
        }
    }
}

#[test]
fn a_read_only_open_beside_a_writer_that_closes() {
    for policy in crate::common::policies() {
        look_beside(policy, |wal| wal.close().expect("closed"));
    }
}

#[test]
fn a_read_only_open_beside_a_writer_that_goes_on_in_new_segments() {
    for policy in crate::common::policies() {
        look_beside(policy, |wal| {
            for n in 6..=9 {
                let record = large(n, 2_000);
                wal.durable()
                    .append(RecordRef::data(&record))
                    .expect("appended");
                let _ = wal.drive();
            }
        });
    }
}

#[test]
fn a_reader_of_a_closed_log_follows_the_next_writer() {
    for policy in crate::common::policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=5);
        wal.close().expect("closed");
        let look = machine.look().expect("it is looked at");
        let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
        assert_eq!(reader.by_ref().count(), 5);
        let wal = machine.open();
        append(&wal, 6..=200);
        wal.flush().expect("flushed");
        let rest = reader.map(|step| step.expect("read").1.lsn.get());
        assert!(rest.eq(6..=200), "{policy:?}");
    }
}

fn read(reader: &mut Reader, count: u64) {
    for _ in 0..count {
        reader.next_record().expect("read").expect("a record");
    }
}

/// Reads until the end for now or an error.
fn read_on(reader: &mut Reader) -> (Vec<Vec<u8>>, Option<Error>) {
    let mut values = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some((record, _))) => values.push(record.value.to_vec()),
            Ok(None) => return (values, None),
            Err(error) => return (values, Some(error)),
        }
    }
}

#[test]
fn a_reader_whose_successor_is_begun_and_gone_between_two_looks_is_told() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=10);
    let look = machine.look().expect("opened");
    let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
    read(&mut reader, 10);
    assert!(reader.next_record().expect("read").is_none());
    append(&wal, 11..=300);
    wal.truncate_before(Lsn::new(250)).expect("truncated");
    let (_, error) = read_on(&mut reader);
    match error {
        Some(Error::Truncated { first, kept: None }) => assert_eq!(first.get(), 250),
        other => panic!("expected Truncated, got {other:?}"),
    }
    let (values, error) = read_on(&mut look.read_from(Lsn::ZERO).expect("a reader"));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(values, (250..=300).map(payload).collect::<Vec<_>>());
}

#[test]
fn a_reader_is_told_of_a_truncation_whose_own_segment_is_gone() {
    // The newest records were dropped, and then the segment that said so.
    let machine = Machine::new(FsyncPolicy::Always);
    let wal = machine.open();
    append(&wal, 1..=200);
    let look = machine.look().expect("opened");
    let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
    read(&mut reader, 150);
    wal.truncate_after(Lsn::new(10)).expect("truncated");
    let again = |wal: &Wal, count| {
        for _ in 0..count {
            wal.append(RecordRef::data(b"again")).expect("appended");
        }
    };
    again(&wal, 90);
    wal.close().expect("closed");
    let wal = machine.open();
    again(&wal, 200);
    wal.truncate_before(Lsn::new(101)).expect("truncated");
    let (values, error) = read_on(&mut reader);
    assert!(values.iter().all(|value| value != b"again"));
    assert!(matches!(error, Some(Error::Truncated { .. })), "{error:?}");
}

/// Does `work` behind each operation of a look at a log of several segments in turn, until the look ends before it.
fn beside_a_truncation(work: fn(&Wal), look: fn(Arc<dyn Storage>, u64)) {
    for after in 0.. {
        let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=400);
        wal.close().expect("closed");
        let wal = machine.open();
        let shared = Shared::new(&machine.storage, after, move || work(&wal));
        look(Arc::new(shared.clone()), after);
        if !shared.has_happened() {
            assert!(after > 20, "it was read");
            return;
        }
    }
}

const TRUNCATIONS: [fn(&Wal); 2] = [
    |wal| {
        wal.truncate_before(Lsn::new(300)).expect("truncated");
    },
    |wal| {
        wal.truncate_after(Lsn::new(200)).expect("truncated");
        let _ = wal.drive();
    },
];

#[test]
fn verification_beside_a_truncation_finds_no_damage() {
    for work in TRUNCATIONS {
        beside_a_truncation(work, |storage, after| {
            let found = wal_core::Offline::on(storage).verify(wal_core::VerifyOptions::default());
            let found = found.unwrap_or_else(|error| panic!("step {after}: {error}"));
            let damage: Vec<_> = found.damage().map(ToString::to_string).collect();
            assert!(damage.is_empty(), "step {after}: {damage:?}");
        });
    }
}

#[test]
fn a_read_only_open_beside_a_truncation() {
    for work in TRUNCATIONS {
        beside_a_truncation(work, |storage, after| {
            let look = Wal::builder("log").storage(storage).read_only().open();
            let look = look.unwrap_or_else(|error| panic!("step {after}: {error}"));
            let (values, error) = read_on(&mut look.read_from(Lsn::ZERO).expect("a reader"));
            assert!(
                matches!(error, None | Some(Error::Truncated { .. })),
                "step {after}: {} records, {error:?}",
                values.len()
            );
        });
    }
}
