//! Readers share a bounded number of open files, whatever they read.

use std::sync::Barrier;

use wal_core::blocking::{Reader, Wal};
use wal_core::{Error, FsyncPolicy, Lsn, Offline, SegmentId, Threads, VerifyOptions};

use crate::common::{Machine, SMALL, append, payload, read_all};

/// Most files that the readers of a handle have open.
const MOST: usize = 16;

/// A log of many segments, closed.
fn many_segments() -> (Machine, u64) {
    let machine = Machine::new(FsyncPolicy::Os)
        .segments_of(SMALL)
        .buffers_of(4 << 10);
    let wal = machine.open();
    append(&wal, 1..=3000);
    wal.close().expect("closed");
    (machine, 3000)
}

fn readers(wal: &Wal) -> Vec<Reader> {
    let segments = wal.list_segments().expect("segments");
    assert!(segments.len() > 30);
    let reader = |id: SegmentId| wal.read_segment(id).expect("a reader");
    segments.into_iter().map(reader).collect()
}

#[test]
fn readers_of_many_segments_share_sixteen_files() {
    let (machine, last) = many_segments();
    for read_only in [false, true] {
        let wal = if read_only {
            machine.look().expect("opened")
        } else {
            machine.open()
        };
        let before = machine.storage.open_files();
        let mut readers = readers(&wal);
        let mut read = 0;
        // All of them at once, a record of each in turn.
        while !readers.is_empty() {
            readers.retain_mut(|reader| {
                let record = reader.next_record().expect("read");
                read += u64::from(record.is_some());
                assert!(machine.storage.open_files() <= before + MOST);
                record.is_some()
            });
        }
        assert_eq!(read, last);
        assert_eq!(
            machine.storage.open_files(),
            before,
            "nobody reads any more"
        );
    }
}

#[test]
fn threads_that_read_at_the_same_time_wait_for_a_file() {
    let (machine, last) = many_segments();
    for read_only in [false, true] {
        let wal = if read_only {
            machine.look().expect("opened")
        } else {
            machine.open()
        };
        let open = machine.storage.open_files();
        machine.storage.set_open_file_limit(Some(open + MOST));
        let readers = readers(&wal);
        let together = Barrier::new(readers.len());
        let read: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = readers
                .into_iter()
                .map(|reader| {
                    let together = &together;
                    scope.spawn(move || {
                        together.wait();
                        reader
                            .inspect(|step| assert!(step.is_ok(), "{step:?}"))
                            .count()
                    })
                })
                .collect();
            let counts = threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"));
            counts.sum()
        });
        assert_eq!(read as u64, last);
        let many = Threads::Exactly(std::num::NonZeroUsize::new(40).expect("some"));
        let counts = wal.replay(Lsn::ZERO, many, || 0, |count: &mut u64, _, _| *count += 1);
        assert_eq!(counts.expect("replayed").into_iter().sum::<u64>(), last);
        let storage = std::sync::Arc::new(machine.storage.clone());
        let report = Offline::on(storage).verify(VerifyOptions::default().threads(many));
        assert_eq!(report.expect("verified").damage().count(), 0);
        machine.storage.set_open_file_limit(None);
    }
}

#[test]
fn readers_that_wait_at_the_end_hold_one_file_together() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=500);
    let look = machine.look().expect("opened");
    for other in [&wal, &look] {
        let before = machine.storage.open_files();
        let mut readers: Vec<Reader> = (0..50)
            .map(|_| other.read_from(Lsn::ZERO).expect("a reader"))
            .collect();
        for reader in &mut readers {
            assert_eq!(reader.by_ref().count(), 500);
        }
        assert!(machine.storage.open_files() <= before + 1);
        drop(readers);
        assert_eq!(machine.storage.open_files(), before);
    }
}

#[test]
fn the_files_of_removed_segments_are_closed_at_once() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=500);
    let look = machine.look().expect("opened");
    for other in [&wal, &look] {
        let first = wal.first_lsn().get();
        let last = wal.last_lsn().get();
        let before = machine.storage.open_files();
        let space = machine.storage.used_space();
        // In the middle of segments that go.
        let mut readers: Vec<Reader> = (0..5)
            .map(|n| other.read_from(Lsn::new(first + n * 60)).expect("a reader"))
            .collect();
        for reader in &mut readers {
            reader.next_record().expect("read").expect("a record");
        }
        assert!(machine.storage.open_files() > before);
        wal.truncate_before(Lsn::new(last)).expect("truncated");
        append(&wal, last + 1..=last + 500);
        let _ = other.last_lsn();
        let more = machine.storage.open_files() - before;
        assert!(more <= 2, "{more} files more are open");
        assert!(machine.storage.used_space() < space + (40 << 10));
        // What is in memory may still be shown; behind that, the reader is told.
        for reader in &mut readers {
            let told = reader.find_map(Result::err);
            assert!(
                matches!(told, Some(Error::Truncated { first, kept: None }) if first.get() == last),
                "{told:?}"
            );
        }
    }
}

#[test]
fn a_reader_whose_segment_was_copied_goes_on() {
    // The writer stops without a word, and what nothing proves is copied to another segment.
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=50);
    wal.flush().expect("flushed");
    let look = machine.look().expect("opened");
    let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
    for _ in 0..20 {
        reader.next_record().expect("read").expect("a record");
    }
    drop(wal);
    let wal = machine.open();
    append(&wal, 51..=400);
    wal.flush().expect("flushed");
    let rest: Vec<_> = reader.map(|step| step.expect("read")).collect();
    assert_eq!(rest.len(), 380);
    for ((record, position), n) in rest.into_iter().zip(21..) {
        assert_eq!(
            (position.lsn.get(), &record.value[..]),
            (n, &payload(n)[..])
        );
    }
    assert_eq!(read_all(&look).expect("read").len(), 400);
}
