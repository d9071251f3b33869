//! What the store refuses, and that it goes on reading.

#![forbid(unsafe_code)]

use wal_core::{RecordRef, blocking::Wal};
use wal_kv::blocking::KvStore;
use wal_kv::{Error, WalConfig};

#[test]
fn a_log_without_keys_is_not_a_store() {
    let tmp = tempfile::tempdir().expect("a directory");
    let wal = Wal::open(tmp.path(), WalConfig::default()).expect("a log");
    wal.append(RecordRef::put(b"key", b"value")).expect("put");
    let data = wal.append(RecordRef::data(b"payload")).expect("appended");
    wal.close().expect("closed");
    for _ in 0..2 {
        let error = KvStore::open(tmp.path(), WalConfig::default()).expect_err("refused");
        assert!(
            matches!(error, Error::NotAStore { position } if position.lsn == data.lsn),
            "{error}"
        );
    }
    // The log is as it was.
    let wal = Wal::open(tmp.path(), WalConfig::default()).expect("a log");
    assert_eq!(wal.last_lsn(), data.lsn);
}

#[test]
fn a_log_of_puts_is_read_as_a_store() {
    let tmp = tempfile::tempdir().expect("a directory");
    let wal = Wal::open(tmp.path(), WalConfig::default()).expect("a log");
    wal.append(RecordRef::put(b"a", b"1")).expect("put");
    wal.append(RecordRef::put(b"b", b"2")).expect("put");
    wal.append(RecordRef::delete(b"a")).expect("deleted");
    wal.close().expect("closed");
    let store = KvStore::open(tmp.path(), WalConfig::default()).expect("a store");
    assert_eq!(store.len(), 1);
    assert_eq!(store.get(b"b").as_deref(), Some(&b"2"[..]));
}

#[test]
fn a_second_opener_is_refused() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = KvStore::open(tmp.path(), WalConfig::default()).expect("a store");
    let error = KvStore::open(tmp.path(), WalConfig::default()).expect_err("refused");
    assert!(
        matches!(error, Error::Log(wal_core::Error::Locked { .. })),
        "{error}"
    );
    store.close().expect("closed");
}

#[test]
fn a_closed_store_reads_and_does_not_write() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = KvStore::open(tmp.path(), WalConfig::default()).expect("a store");
    store.put("key", "value").expect("put");
    let other = store.clone();
    other.close().expect("closed");
    for result in [store.put("key", "new"), store.delete("key")] {
        let error = result.expect_err("refused");
        assert!(
            matches!(error, Error::Log(wal_core::Error::Closed)),
            "{error}"
        );
    }
    assert_eq!(store.get(b"key").as_deref(), Some(&b"value"[..]));
    store.close().expect("closed already");
}
