//! Reading allocates nothing for a record whose value is stored as it is: not for its key, not for its value.
//!
//! The allocator of this program counts. What a window of many records costs is left: less than one allocation for each 20
//! records here. Deliberately absent: time.

#![forbid(unsafe_code)]

use std::num::NonZeroUsize;

use allocation_counter::measure;
use wal_core::blocking::{Reader, Wal};
use wal_core::{FsyncPolicy, Lsn, RecordRef, Threads, WalConfig};

const RECORDS: u64 = 20_000;
/// For windows, groups and segments.
const MOST: u64 = RECORDS / 20;

/// A closed log of data, puts with and without a key or a value, and deletes, in some segments.
fn log() -> (tempfile::TempDir, Wal) {
    let dir = tempfile::tempdir().expect("a directory");
    let config = WalConfig {
        max_segment_size: 1 << 20,
        fsync_policy: FsyncPolicy::Os,
        ..WalConfig::default()
    };
    let wal = Wal::open(dir.path(), config).expect("a log");
    let value = [7; 300];
    for n in 0..RECORDS {
        let key = n.to_le_bytes();
        let record = match n % 5 {
            0 => RecordRef::put(&key, &value),
            1 => RecordRef::put(&key, b""),
            2 => RecordRef::put(b"", &value),
            3 => RecordRef::delete(&key),
            _ => RecordRef::data(&value),
        };
        wal.append(record).expect("appended");
    }
    wal.close().expect("closed");
    let wal = Wal::builder(dir.path()).read_only().open().expect("a log");
    assert!(wal.list_segments().expect("segments").len() > 2);
    (dir, wal)
}

fn reader(wal: &Wal) -> Reader {
    wal.read_from(Lsn::ZERO).expect("a reader")
}

#[test]
fn a_reader_allocates_nothing_per_record() {
    let (_dir, wal) = log();
    let mut read = 0;
    let counted = measure(|| {
        let mut reader = reader(&wal);
        while reader.next_record().expect("a record").is_some() {
            read += 1;
        }
    });
    assert_eq!(read, RECORDS);
    assert!(counted.count_total < MOST, "{counted:?}");
}

#[test]
fn a_record_that_is_kept_until_the_next_one_costs_no_window() {
    let (_dir, wal) = log();
    // The first two windows are the only ones that are made; one in each segment is cut short by its end.
    let counted = measure(|| {
        let mut reader = reader(&wal);
        let mut kept = None;
        while let Some((record, _)) = reader.next_record().expect("a record") {
            kept = Some(record);
        }
        drop(kept);
    });
    assert!(counted.count_total < MOST, "{counted:?}");
    assert!(counted.bytes_max < 1 << 20, "{counted:?}");
}

#[test]
fn a_replay_allocates_nothing_per_record() {
    let (_dir, wal) = log();
    let mut read = 0;
    // What other threads allocate is not counted.
    let alone = Threads::Exactly(NonZeroUsize::MIN);
    let counted = measure(|| {
        let counts = wal.replay(Lsn::ZERO, alone, || 0, |count, _, _| *count += 1);
        read = counts.expect("replayed").into_iter().sum();
    });
    assert_eq!(read, RECORDS);
    assert!(counted.count_total < MOST, "{counted:?}");
}

#[test]
fn the_counter_counts() {
    let (_dir, wal) = log();
    let counted = measure(|| {
        let mut reader = reader(&wal);
        while let Some((record, _)) = reader.next_record().expect("a record") {
            std::hint::black_box(record.key.to_vec());
            std::hint::black_box(record.value.to_vec());
        }
    });
    assert!(counted.count_total > RECORDS, "{counted:?}");
}
