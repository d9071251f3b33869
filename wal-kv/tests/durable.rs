//! The writes of `durable()` return when they are on stable storage, whatever the policy.

#![forbid(unsafe_code)]

mod common;

use std::time::Duration;

use wal_core::clock::ManualClock;
use wal_io::FaultStorage;
use wal_io::fault::Script;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Condition, Conditional, FsyncPolicy, Lsn, Result};

const POLICIES: [FsyncPolicy; 3] = [
    FsyncPolicy::Always,
    FsyncPolicy::Batch(Duration::from_secs(10)),
    FsyncPolicy::Os,
];
const TTL: Duration = Duration::from_secs(3600);

/// The LSN of a write whose condition held.
fn applied(result: Result<Conditional>) -> Lsn {
    match result.expect("written") {
        Conditional::Applied(position) => position.lsn,
        Conditional::Refused { found } => panic!("refused, with {found:?}"),
    }
}

/// What the store shows.
fn shown(store: &KvStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = store.iter();
    let pairs = pairs.map(|pair| (pair.key().to_vec(), pair.value().to_vec()));
    pairs.collect()
}

/// One write of each form, with the LSN of its last record.
type Write = fn(&KvStore) -> Lsn;

const WRITES: [Write; 8] = [
    |store| store.durable().put("put", "1").expect("written").lsn,
    |store| {
        let put = store.durable().put_with_ttl("ttl", "2", TTL);
        put.expect("written").lsn
    },
    |store| {
        let batch = Batch::new().put("batch", "3").delete("put");
        store.durable().write(batch).expect("written").lsn.next()
    },
    |store| applied(store.durable().put_if("if", "4", &Condition::Absent)),
    |store| {
        let durable = store.durable();
        applied(durable.put_if_with_ttl("if", "5", TTL, &Condition::Present))
    },
    |store| applied(store.durable().delete_if("ttl", &Condition::Present)),
    |store| {
        applied(
            store
                .durable()
                .compare_and_swap("if", Some(b"5"), Some(b"6")),
        )
    },
    |store| store.durable().delete("batch").expect("written").lsn,
];

#[test]
fn every_form_of_a_durable_write_survives_a_power_loss() {
    for policy in POLICIES {
        let clock = ManualClock::default();
        let mut disk = FaultStorage::new();
        let mut store = common::open(&disk, policy, &clock).expect("a store");
        for (n, write) in WRITES.iter().enumerate() {
            // One that is not durable comes before it.
            store.put("before", [n as u8]).expect("written");
            let lsn = write(&store);
            assert!(store.durable_lsn() >= lsn, "write {n} under {policy:?}");
            let before = shown(&store);
            disk = disk.crash(&mut Script::default());
            store = common::open(&disk, policy, &clock).expect("a store");
            assert_eq!(shown(&store), before, "write {n} under {policy:?}");
        }
        assert_eq!(store.len(), 2);
    }
}

#[test]
fn what_a_refused_durable_write_returns_is_durable() {
    for policy in POLICIES {
        let disk = FaultStorage::new();
        let store = common::open(&disk, policy, &ManualClock::default()).expect("a store");
        let position = store.put("key", "value").expect("written");
        let refused = store.durable().put_if("key", "other", &Condition::Absent);
        let found = Some("value".into());
        assert_eq!(refused.expect("decided"), Conditional::Refused { found });
        assert!(store.durable_lsn() >= position.lsn, "{policy:?}");
    }
}

#[tokio::test]
async fn an_async_durable_write_is_durable() {
    for policy in POLICIES {
        let tmp = tempfile::tempdir().expect("a directory");
        let config = common::config(policy);
        let builder = wal_kv::KvStore::builder(tmp.path()).config(config);
        let store = builder.small_segments().open().await.expect("a store");
        let put = store.durable().put("key", "value");
        let position = put.await.expect("written");
        assert!(store.durable_lsn() >= position.lsn, "{policy:?}");
        let swap = store
            .durable()
            .compare_and_swap("key", Some(b"value"), None);
        let swapped = applied(swap.await);
        assert!(store.durable_lsn() >= swapped, "{policy:?}");
        store.close().await.expect("closed");
    }
}
