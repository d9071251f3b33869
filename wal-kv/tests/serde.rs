//! What the feature `serde` writes and reads back.

use wal_kv::blocking::KvStore;
use wal_kv::{KvConfig, SnapshotReport, Stats};

#[test]
fn statistics_and_reports_survive_json() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = KvStore::open(tmp.path(), KvConfig::default()).expect("a store");
    store.put("key", "value").expect("put");
    let snapshot = store.snapshot().expect("a snapshot");
    let json = serde_json::to_string(&snapshot).expect("serialized");
    assert_eq!(
        serde_json::from_str::<SnapshotReport>(&json).expect("read"),
        snapshot
    );
    let stats = store.stats();
    let json = serde_json::to_string(&stats).expect("serialized");
    assert_eq!(serde_json::from_str::<Stats>(&json).expect("read"), stats);
    let opened = serde_json::to_value(store.open_report()).expect("serialized");
    assert_eq!(opened["log"]["first_lsn"], 1);
    store.close().expect("closed");
}
