//! The log over the memory backend, small enough for an interpreter (`cargo xtask miri`): no file, no system call but the
//! clock's and the random generator's.
//!
//! Deliberately absent: crashes and errors, which this backend does not have.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::clock::ManualClock;
use wal_core::entropy::SeededEntropy;
use wal_core::{Builder, Compression, FsyncPolicy, Lsn, Record, WalConfig};
use wal_io::MemoryStorage;

const POLICIES: [FsyncPolicy; 3] = [
    FsyncPolicy::Always,
    FsyncPolicy::Batch(Duration::from_millis(1)),
    FsyncPolicy::Os,
];

fn builder(storage: &MemoryStorage, policy: FsyncPolicy) -> Builder<Wal> {
    Wal::builder("log")
        .storage(Arc::new(storage.clone()))
        .config(WalConfig {
            max_segment_size: 8 << 10,
            fsync_policy: policy,
            ..WalConfig::default()
        })
        .buffer_size(4 << 10)
        .small_segments()
}

/// Without threads, on a clock that stands still.
fn open(storage: &MemoryStorage, policy: FsyncPolicy, seed: u64) -> Wal {
    builder(storage, policy)
        .clock(Arc::new(ManualClock::default()))
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .driven_by_caller()
        .open()
        .expect("a log")
}

fn record(n: u64) -> Record {
    let value = n.to_le_bytes().repeat(20);
    match n % 4 {
        0 => Record::put(n.to_le_bytes(), value).with_compression(Compression::Lz4),
        1 => Record::delete(n.to_le_bytes()),
        _ => Record::data(value),
    }
}

#[track_caller]
fn assert_holds(wal: &Wal, first: u64, last: u64) {
    let mut next = first;
    for step in wal.read_from(Lsn::ZERO).expect("a reader") {
        let (read, position) = step.expect("a record");
        let written = record(next);
        assert_eq!(position.lsn.get(), next);
        assert_eq!((&read.key, &read.value), (&written.key, &written.value));
        next += 1;
    }
    assert_eq!(next, last + 1);
}

#[test]
fn append_rotate_truncate_close_and_open_again() {
    for policy in POLICIES {
        let storage = MemoryStorage::new();
        let wal = open(&storage, policy, 1);
        for n in 1..=40 {
            wal.append(&record(n)).expect("appended");
            let _ = wal.drive();
        }
        let batch: Vec<_> = (41..=45).map(record).collect();
        wal.append_batch(&batch).expect("appended");
        assert!(wal.list_segments().expect("segments").len() > 1);
        wal.truncate_before(Lsn::new(12)).expect("truncated");
        assert_holds(&wal, 12, 45);
        wal.close().expect("closed");

        let wal = open(&storage, policy, 2);
        assert!(wal.recovery_report().clean);
        wal.append(&record(46)).expect("appended");
        assert_holds(&wal, 12, 46);
        wal.close().expect("closed");
        let verified = wal_core::Offline::on(Arc::new(storage))
            .verify(wal_core::VerifyOptions::default())
            .expect("verified");
        assert_eq!(verified.damage().count(), 0);
    }
}

#[test]
fn a_log_that_was_dropped_is_recovered() {
    let storage = MemoryStorage::new();
    let wal = open(&storage, FsyncPolicy::Os, 1);
    for n in 1..=20 {
        wal.append(&record(n)).expect("appended");
    }
    wal.flush().expect("flushed");
    drop(wal);
    let look = builder(&storage, FsyncPolicy::Os).read_only().open();
    assert_holds(&look.expect("looked at"), 1, 20);
    assert_holds(&open(&storage, FsyncPolicy::Os, 2), 1, 20);
}

#[test]
fn threads_share_commits() {
    for policy in POLICIES {
        let storage = MemoryStorage::new();
        let wal = builder(&storage, policy).open().expect("a log");
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for n in 0..6 {
                        let position = wal.append(&record(n)).expect("appended");
                        if n % 3 == 0 {
                            wal.wait_durable(position.lsn).expect("durable");
                        }
                    }
                });
            }
        });
        wal.sync().expect("synced");
        assert_eq!(wal.read_from(Lsn::ZERO).expect("a reader").count(), 12);
        wal.close().expect("closed");
    }
}
