//! The store and its log name files in one directory: a failed sync of it stops both.

#![forbid(unsafe_code)]

mod common;

use wal_core::clock::ManualClock;
use wal_io::FaultStorage;
use wal_io::fault::{Fault, OperationKind, SystemError};
use wal_kv::{Error, FsyncPolicy};

#[test]
fn a_directory_sync_that_failed_for_a_snapshot_is_final_for_the_log() {
    let disk = FaultStorage::default();
    let store = common::open(&disk, FsyncPolicy::Always, &ManualClock::default()).expect("a store");
    store.put("key", "value").expect("put");
    disk.record_operations();
    disk.inject(Fault::error(SystemError::Io).on(OperationKind::SyncDirectory));
    store.snapshot().expect_err("its name is not durable");
    // The next segment needs a name: the log learns of it there, and nothing is acknowledged behind it.
    let refused = (0..200_u32).find_map(|n| store.put(n.to_be_bytes(), [7; 200]).err());
    assert!(
        matches!(refused, Some(Error::Log(wal_core::Error::Poisoned(_)))),
        "{refused:?}"
    );
    let operations = disk.operations();
    let syncs = operations
        .iter()
        .filter(|done| done.kind == OperationKind::SyncDirectory);
    assert_eq!(syncs.count(), 1, "a failed sync was tried again");
    assert_eq!(store.get(b"key").as_deref(), Some(&b"value"[..]));
}
