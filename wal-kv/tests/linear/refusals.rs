//! A refused condition tells what is there: under `Always` nothing that a crash could take back.

use wal_core::clock::ManualClock;
use wal_io::FaultStorage;
use wal_io::fault::{Fault, OperationKind, SystemError};
use wal_kv::{Condition, FsyncPolicy};

#[test]
fn a_refusal_tells_nothing_that_a_crash_could_take_back() {
    let storage = FaultStorage::new();
    let clock = ManualClock::default();
    let store = crate::common::open(&storage, FsyncPolicy::Always, &clock).expect("a store");
    store.put("key", "old").expect("put");
    storage.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    store.put("key", "new").expect_err("its sync fails");
    // The condition is checked against the newest value, which never gets durable.
    for refused in [
        store.put_if("key", "newer", &Condition::Absent),
        store.compare_and_swap("key", Some(b"old"), Some(b"newer")),
        store.delete_if("key", &Condition::ValueIs("old".into())),
    ] {
        let error = refused.expect_err("nobody can say");
        let poisoned = matches!(error, wal_kv::Error::Log(wal_core::Error::Poisoned(_)));
        assert!(poisoned, "{error}");
    }
    assert_eq!(store.get(b"key").as_deref(), Some(&b"old"[..]));
}
