//! Entering the log without waiting: room is waited for apart, and durability is the caller's to ask for.

#![forbid(unsafe_code)]

use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::clock::ManualClock;
use wal_core::entropy::SeededEntropy;
use wal_core::{Error, FsyncPolicy, Lsn, Record, WalConfig};
use wal_io::FaultStorage;
use wal_io::fault::{Fault, OperationKind, Seeded, SystemError};

fn open(storage: &FaultStorage, policy: FsyncPolicy) -> Wal {
    let config = WalConfig {
        max_segment_size: 8 << 10,
        fsync_policy: policy,
        ..WalConfig::default()
    };
    Wal::builder("log")
        .storage(Arc::new(storage.clone()))
        .config(config)
        .clock(Arc::new(ManualClock::default()))
        .entropy(Arc::new(SeededEntropy::new(7)))
        .small_segments()
        .driven_by_caller()
        .open()
        .expect("a log")
}

#[test]
fn a_record_enters_without_a_sync_and_is_durable_when_it_is_asked_for() {
    for policy in [FsyncPolicy::Always, FsyncPolicy::Os] {
        let storage = FaultStorage::new();
        let wal = open(&storage, policy);
        let record = Record::put("key", "value");
        let prepared = wal.prepare(&record).expect("prepared");
        // There is no segment yet: nothing has entered.
        assert_eq!(wal.try_append(&prepared).expect("asked"), None);
        assert_eq!(wal.last_lsn(), Lsn::ZERO);
        wal.wait_for_room(&prepared).expect("room");
        let changes = storage.change_count();
        let first = wal.try_append(&prepared).expect("entered").expect("room");
        let again = wal.try_append(&prepared).expect("entered").expect("room");
        assert_eq!((first.first.lsn, first.last_lsn), (Lsn::FIRST, Lsn::FIRST));
        assert_eq!(again.last_lsn, Lsn::new(2));
        assert_eq!(storage.change_count(), changes, "{policy:?}: no I/O");
        assert_eq!(wal.durable_lsn(), Lsn::ZERO);
        wal.wait_durable(again.last_lsn).expect("durable");
        let after = storage.crash(&mut Seeded::new(1));
        drop(wal);
        let wal = open(&after, policy);
        assert_eq!(wal.last_lsn(), Lsn::new(2), "{policy:?}");
    }
}

#[test]
fn a_batch_enters_as_a_whole_and_room_is_made_for_all_of_it() {
    let storage = FaultStorage::new();
    let wal = open(&storage, FsyncPolicy::Always);
    let records: Vec<_> = (0..5_u8).map(|n| Record::put([n], vec![n; 500])).collect();
    let prepared = wal.prepare_batch(&records).expect("prepared");
    assert!(prepared.encoded_len() > 2500);
    let mut rounds = 0;
    for round in 0..20_u64 {
        let entered = loop {
            if let Some(entered) = wal.try_append(&prepared).expect("asked") {
                break entered;
            }
            rounds += 1;
            wal.wait_for_room(&prepared).expect("room");
        };
        assert_eq!(entered.first.lsn.get(), round * 5 + 1);
        assert_eq!(entered.last_lsn.get(), round * 5 + 5);
    }
    assert!(rounds > 5, "several segments were needed");
    let empty = wal.prepare_batch(&[]).expect("prepared");
    let entered = wal.try_append(&empty).expect("asked").expect("nothing");
    assert_eq!(
        (entered.first.lsn.get(), entered.last_lsn.get()),
        (101, 100)
    );
    wal.close().expect("closed");
    assert!(matches!(wal.try_append(&prepared), Err(Error::Closed)));
    assert!(matches!(wal.wait_for_room(&prepared), Err(Error::Closed)));
    let found = wal.read_from(Lsn::ZERO).expect("a reader");
    let found: Result<Vec<_>, _> = found.collect();
    assert_eq!(found.expect("read").len(), 100);
}

#[test]
fn where_there_is_no_room_and_none_to_come_the_error_says_so() {
    let storage = FaultStorage::new();
    let wal = open(&storage, FsyncPolicy::Os);
    let record = Record::put("key", "value");
    let prepared = wal.prepare(&record).expect("prepared");
    storage.inject(Fault::error(SystemError::NoSpace).on(OperationKind::Allocate));
    assert_eq!(wal.try_append(&prepared).expect("asked"), None);
    let error = wal.wait_for_room(&prepared).expect_err("a full disk");
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    // Nothing entered, and the next attempt is a new one.
    wal.wait_for_room(&prepared).expect("room");
    let entered = wal.try_append(&prepared).expect("asked").expect("room");
    assert_eq!(entered.first.lsn, Lsn::FIRST);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn both_handles_are_of_one_log() {
    let tmp = tempfile::tempdir().expect("a directory");
    let wal = Wal::open(tmp.path(), WalConfig::default()).expect("a log");
    let other = wal_core::Wal::from(wal.clone());
    let record = Record::put("key", "value");
    let prepared = wal.prepare(&record).expect("prepared");
    other.wait_for_room(&prepared).await.expect("room");
    let entered = wal.try_append(&prepared).expect("asked").expect("room");
    other.wait_durable(entered.last_lsn).await.expect("durable");
    assert_eq!(wal.durable_lsn(), Lsn::FIRST);
    drop(wal);
    let wal = Wal::from(other);
    assert_eq!(wal.last_lsn(), Lsn::FIRST);
    wal.close().expect("closed");
}
