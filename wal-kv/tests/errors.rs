//! What the store refuses, and that it goes on reading.

#![forbid(unsafe_code)]

mod common;

use wal_core::clock::ManualClock;
use wal_core::{RecordRef, WalConfig, blocking::Wal};
use wal_io::FaultStorage;
use wal_io::fault::{Fault, OperationKind, SystemError};
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Error, ErrorKind, FsyncPolicy, KvConfig, Lsn, MAX_KEY};

#[test]
fn a_plain_log_is_not_a_store_and_a_store_is_not_a_plain_log() {
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("log");
    let wal = Wal::open(&dir, WalConfig::default()).expect("a log");
    let last = wal.append(RecordRef::put(b"key", b"value")).expect("put");
    wal.close().expect("closed");
    for _ in 0..2 {
        let error = KvStore::open(&dir, KvConfig::default()).expect_err("refused");
        assert!(
            matches!(
                error,
                Error::PlainLog {
                    last_lsn: Lsn::FIRST,
                    ..
                }
            ),
            "{error}"
        );
    }
    // The log is as it was.
    let wal = Wal::open(&dir, WalConfig::default()).expect("a log");
    assert_eq!(wal.last_lsn(), last.lsn);
    drop(wal);

    let dir = tmp.path().join("store");
    let store = KvStore::open(&dir, KvConfig::default()).expect("a store");
    store.put("key", "value").expect("put");
    store.close().expect("closed");
    let error = Wal::open(&dir, WalConfig::default()).expect_err("refused");
    assert!(matches!(error, wal_core::Error::NotALog { .. }), "{error}");
    let store = KvStore::open(&dir, KvConfig::default()).expect("a store");
    assert_eq!(store.get(b"key").as_deref(), Some(&b"value"[..]));
}

#[test]
fn an_empty_log_becomes_a_store() {
    let tmp = tempfile::tempdir().expect("a directory");
    let wal = Wal::open(tmp.path(), WalConfig::default()).expect("a log");
    wal.close().expect("closed");
    drop(wal);
    let store = KvStore::open(tmp.path(), KvConfig::default()).expect("a store");
    assert!(store.is_empty());
}

#[test]
fn a_file_that_is_nobody_s_is_refused() {
    for name in ["kv-unknown", "notes.txt", "kv-1.snapshot"] {
        let tmp = tempfile::tempdir().expect("a directory");
        std::fs::write(tmp.path().join(name), "text").expect("written");
        let error = KvStore::open(tmp.path(), KvConfig::default()).expect_err("refused");
        let foreign = matches!(
            error,
            Error::ForeignFile { .. } | Error::Log(wal_core::Error::NotALog { .. })
        );
        assert!(foreign, "{name}: {error}");
        let left = std::fs::read_dir(tmp.path()).expect("a directory").count();
        assert_eq!(left, 1, "{name}: something was made beside it");
    }
}

#[test]
fn a_marker_of_another_version_is_refused() {
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("store");
    let store = KvStore::open(&dir, KvConfig::default()).expect("a store");
    store.close().expect("closed");
    drop(store);
    let marker = dir.join("kv-store");
    let mut bytes = std::fs::read(&marker).expect("the marker");
    bytes[8] = 2;
    let checksum = wal_format::crc32(&bytes[..12]);
    bytes[12..].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&marker, bytes).expect("written");
    let error = KvStore::open(&dir, KvConfig::default()).expect_err("refused");
    assert!(
        matches!(
            error,
            Error::UnknownVersion {
                version: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn keys_and_values_that_are_too_large_are_refused() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = KvStore::builder(tmp.path()).record_limit(1 << 20);
    let store = store.open().expect("a store");
    let key = vec![7; MAX_KEY + 1];
    for result in [store.put(&key, "value"), store.delete(&key)] {
        let error = result.expect_err("refused");
        assert!(matches!(error, Error::KeyTooLarge { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
    let error = store.write(Batch::new().put("a", "1").put(key, "2"));
    assert!(matches!(error, Err(Error::KeyTooLarge { .. })));
    let error = store.put("key", vec![0; 1 << 20]).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(store.is_empty());
    assert_eq!(
        store.put(vec![7; MAX_KEY], "value").expect("put").lsn,
        Lsn::FIRST
    );
}

#[test]
fn above_the_limit_of_memory_deletes_still_work() {
    let tmp = tempfile::tempdir().expect("a directory");
    let config = KvConfig {
        memory_limit: Some(100_000),
        ..KvConfig::default()
    };
    let store = KvStore::open(tmp.path(), config).expect("a store");
    let mut keys = 0_u32;
    let error = loop {
        match store.put(keys.to_be_bytes(), [0; 100]) {
            Ok(_) => keys += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, Error::OverMemoryLimit { used, limit: 100_000, .. } if used > 90_000),
        "{error}"
    );
    assert_eq!(store.len(), keys as usize);
    // A value of the same length does not grow; a batch counts as a whole.
    store.put(0_u32.to_be_bytes(), [1; 100]).expect("put");
    let batch = Batch::new()
        .delete(0_u32.to_be_bytes())
        .put("new", [0; 2000]);
    let error = store.write(batch).expect_err("refused");
    assert!(matches!(error, Error::OverMemoryLimit { .. }), "{error}");
    assert!(store.contains_key(&0_u32.to_be_bytes()));
    store.delete(1_u32.to_be_bytes()).expect("deleted");
    store.put("new", [0; 100]).expect("there is room again");
    for n in 0..keys {
        store.delete(n.to_be_bytes()).expect("deleted");
    }
    store.delete("new").expect("deleted");
    assert_eq!(store.stats().memory_bytes, 0);
}

#[test]
fn a_quota_and_the_largest_file_size_mean_a_full_disk() {
    let full = [
        SystemError::NoSpace,
        SystemError::QuotaExceeded,
        SystemError::FileTooLarge,
    ];
    for error in full {
        let storage = FaultStorage::new();
        let clock = ManualClock::default();
        let store = common::open(&storage, FsyncPolicy::Always, &clock).expect("a store");
        store.put("key", "value").expect("put");
        let fault = Fault::error(error).on(OperationKind::CreateFile);
        storage.inject(fault.persistent());
        let refused = store.snapshot().expect_err("refused");
        assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
        storage.clear_faults();
        store.snapshot().expect("there is room again");
        store.close().expect("closed");
    }
}

#[test]
fn a_second_opener_is_refused() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = KvStore::open(tmp.path(), KvConfig::default()).expect("a store");
    let error = KvStore::open(tmp.path(), KvConfig::default()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    store.close().expect("closed");
}

#[test]
fn a_closed_store_reads_and_does_not_write() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = KvStore::open(tmp.path(), KvConfig::default()).expect("a store");
    store.put("key", "value").expect("put");
    let other = store.clone();
    other.close().expect("closed");
    for result in [store.put("key", "new"), store.delete("key")] {
        let error = result.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    assert_eq!(store.get(b"key").as_deref(), Some(&b"value"[..]));
    store.close().expect("closed already");
}

#[test]
fn a_store_whose_marker_was_moved_away_says_so_and_opens_when_it_is_back() {
    let tmp = tempfile::tempdir().expect("a directory");
    let open = || KvStore::open(tmp.path(), KvConfig::default());
    let (marker, elsewhere) = (tmp.path().join("kv-store"), tmp.path().join(".moved"));
    for snapshot in [false, true] {
        let store = open().expect("a store");
        store.put("key", "value").expect("put");
        if snapshot {
            store.snapshot().expect("a snapshot");
        }
        store.close().expect("closed");
        drop(store);
        std::fs::rename(&marker, &elsewhere).expect("moved");
        for _ in 0..2 {
            let error = open().expect_err("refused");
            match error {
                Error::PlainLog { .. } if !snapshot => {}
                Error::NoMarker { .. } if snapshot => {}
                _ => panic!("{error}"),
            }
            assert!(error.to_string().contains("kv-store"), "{error}");
        }
        std::fs::rename(&elsewhere, &marker).expect("moved back");
    }
    let store = open().expect("a store");
    assert_eq!(store.get(b"key").as_deref(), Some(&b"value"[..]));
}

#[test]
fn a_store_keeps_its_segment_size() {
    let tmp = tempfile::tempdir().expect("a directory");
    let config = KvConfig {
        max_segment_size: 1 << 20,
        ..KvConfig::default()
    };
    let store = KvStore::open(tmp.path(), config).expect("a store");
    store.durable().put("key", "value").expect("put");
    store.close().expect("closed");
    drop(store);
    let larger = KvConfig::default();
    for builder in [
        KvStore::builder(tmp.path()),
        KvStore::builder(tmp.path())
            .config(larger)
            .keep_segment_size(),
    ] {
        let store = builder.open().expect("a store");
        store.durable().put("key", "value").expect("put");
        // The log's reserve has a length of its own.
        let files = std::fs::read_dir(tmp.path()).expect("a directory");
        let segments = files
            .map(|file| file.expect("a file"))
            .filter(|file| file.path().extension().is_some_and(|found| found == "wal"));
        let longest = segments.map(|file| file.metadata().expect("its length").len());
        assert_eq!(longest.max(), Some(1 << 20));
        store.close().expect("closed");
    }
}
