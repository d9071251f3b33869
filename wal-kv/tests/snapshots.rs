//! Snapshots: the log is cut behind them, a damaged one is never used, and they are written while writers go on.

#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use wal_core::clock::ManualClock;
use wal_io::{MemoryStorage, OpenMode, Storage as _, StorageFileExt as _};
use wal_kv::blocking::KvStore;
use wal_kv::{Compression, Error, FsyncPolicy, KvConfig, Lsn, OpenPhase, Snapshots};

fn open(storage: &MemoryStorage) -> wal_kv::Result<KvStore> {
    common::open(storage, FsyncPolicy::Os, &ManualClock::default())
}

fn snapshots(storage: &MemoryStorage) -> Vec<String> {
    let entries = storage.list().expect("the directory");
    let names = entries.into_iter().map(|entry| entry.name);
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".snapshot")).collect();
    names.sort();
    names
}

fn read(storage: &MemoryStorage, name: &str) -> Vec<u8> {
    let file = storage.open(name, OpenMode::Read).expect("a file");
    let mut bytes = vec![0; file.len().expect("a length") as usize];
    file.read_exact_at(&mut bytes, 0).expect("read");
    bytes
}

fn write(storage: &MemoryStorage, name: &str, bytes: &[u8]) {
    let _ = storage.remove(name);
    let file = storage.open(name, OpenMode::CreateNew).expect("a file");
    file.write_all_at(bytes, 0).expect("written");
}

fn fill(store: &KvStore, keys: u32, round: u8) {
    for n in 0..keys {
        store.put(n.to_be_bytes(), [round; 50]).expect("put");
    }
}

fn holds(store: &KvStore, keys: u32, round: u8) {
    assert_eq!(store.len(), keys as usize);
    for (n, pair) in store.iter().enumerate() {
        assert_eq!(pair.key(), (n as u32).to_be_bytes());
        assert_eq!(pair.value(), [round; 50]);
    }
}

#[test]
fn a_snapshot_stands_for_the_log_before_it() {
    let storage = MemoryStorage::new();
    let store = open(&storage).expect("a store");
    fill(&store, 500, 1);
    let segments = store.stats().log.segments;
    let report = store.snapshot().expect("a snapshot");
    assert_eq!((report.lsn, report.pairs), (Lsn::new(500), 500));
    let stats = store.stats();
    assert!(stats.log.segments < segments && stats.log.first_lsn == Lsn::new(501));
    assert_eq!((stats.snapshot_lsn, stats.log_bytes), (report.lsn, 0));
    // Nothing was written since: the same one.
    assert_eq!(store.snapshot().expect("the same"), report);
    store.delete(7_u32.to_be_bytes()).expect("deleted");
    store.put(7_u32.to_be_bytes(), [1; 50]).expect("put");
    store.close().expect("closed");
    drop(store);
    let store = open(&storage).expect("a store");
    holds(&store, 500, 1);
    let report = store.open_report();
    assert_eq!((report.snapshot, report.records), (Some(Lsn::new(500)), 2));
    assert_eq!((report.keys, report.snapshot_pairs), (500, 500));
    // The version of a key outlives the log that made it.
    let pair = store.get_pair(&3_u32.to_be_bytes()).expect("it is there");
    assert_eq!(pair.lsn(), Lsn::new(4));
    fill(&store, 500, 2);
    store.snapshot().expect("a snapshot");
    assert_eq!(snapshots(&storage).len(), 1, "the one before is removed");
    holds(&store, 500, 2);
}

#[test]
fn a_snapshot_of_nothing_and_of_every_compression() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let storage = MemoryStorage::new();
        let open = || {
            let config = common::config(FsyncPolicy::Always);
            let clock = Arc::new(ManualClock::default());
            let builder = common::builder(&storage, config, clock);
            builder
                .snapshot_compression(compression)
                .open()
                .expect("a store")
        };
        let store = open();
        assert_eq!(store.snapshot().expect("a snapshot").pairs, 0);
        drop(store);
        let store = open();
        assert!(store.is_empty());
        fill(&store, 3000, 3);
        let report = store.snapshot().expect("a snapshot");
        let shrunk = report.bytes < report.raw_bytes / 2;
        assert_eq!(shrunk, compression != Compression::None, "{report:?}");
        drop(store);
        holds(&open(), 3000, 3);
    }
}

#[test]
fn a_snapshot_that_is_damaged_anywhere_is_not_used() {
    let storage = MemoryStorage::new();
    let store = open(&storage).expect("a store");
    fill(&store, 40, 1);
    store.snapshot().expect("a snapshot");
    store.close().expect("closed");
    drop(store);
    let name = snapshots(&storage).pop().expect("a snapshot");
    let whole = read(&storage, &name);
    let refused = |damage: &str| {
        let error = open(&storage).expect_err(damage);
        let named = matches!(&error, Error::NoSnapshot { damaged, .. } if damaged[0].0 == name);
        let version = matches!(error, Error::UnknownVersion { .. });
        assert!(named || version, "{damage}: {error}");
    };
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        write(&storage, &name, &bytes);
        refused(&format!("a bit of byte {at}"));
        write(&storage, &name, &whole[..at]);
        refused(&format!("cut at {at}"));
    }
    let mut longer = whole.clone();
    longer.push(0);
    write(&storage, &name, &longer);
    refused("a byte too many");
    storage.remove(&name).expect("removed");
    refused_without(&storage);
    write(&storage, &name, &whole);
    holds(&open(&storage).expect("a store"), 40, 1);
}

fn refused_without(storage: &MemoryStorage) {
    let error = open(storage).expect_err("the log does not reach back");
    assert!(
        matches!(&error, Error::NoSnapshot { damaged, .. } if damaged.is_empty()),
        "{error}"
    );
}

#[test]
fn while_the_log_reaches_back_a_damaged_snapshot_costs_nothing() {
    let storage = MemoryStorage::new();
    let store = open(&storage).expect("a store");
    fill(&store, 40, 1);
    let first = store.snapshot().expect("a snapshot");
    fill(&store, 40, 2);
    store.close().expect("closed");
    drop(store);
    // As a crash between the name and the cut leaves it, and then a bad sector.
    let name = snapshots(&storage).pop().expect("a snapshot");
    let whole = read(&storage, &name);
    let newer = "kv-00000000000000000080.snapshot";
    // Under another name it is another snapshot's.
    write(&storage, newer, &whole);
    write(&storage, "kv-00000000000000000081.tmp", &whole);
    let store = open(&storage).expect("a store");
    holds(&store, 40, 2);
    let report = store.open_report();
    assert_eq!(report.snapshot, Some(first.lsn));
    assert_eq!(report.damaged.len(), 1);
    assert_eq!(report.damaged[0].0, newer);
    assert_eq!(report.leftovers, ["kv-00000000000000000081.tmp"]);
    store.snapshot().expect("a snapshot");
    assert_eq!(
        snapshots(&storage),
        [newer],
        "written anew, under the same name"
    );
    drop(store);
    holds(&open(&storage).expect("a store"), 40, 2);
}

#[test]
fn a_snapshot_that_a_crash_has_left_beside_its_successor_is_removed_by_the_next_open() {
    let storage = MemoryStorage::new();
    let store = open(&storage).expect("a store");
    fill(&store, 40, 1);
    store.snapshot().expect("a snapshot");
    let first = snapshots(&storage).pop().expect("a snapshot");
    let whole = read(&storage, &first);
    fill(&store, 40, 2);
    store.snapshot().expect("a snapshot");
    let second = snapshots(&storage);
    store.close().expect("closed");
    drop(store);
    // As a crash between the cut and the removal leaves it.
    write(&storage, &first, &whole);
    let store = open(&storage).expect("a store");
    holds(&store, 40, 2);
    assert_eq!(snapshots(&storage), second);
}

#[test]
fn a_log_that_ends_before_the_snapshot_is_refused() {
    let storage = MemoryStorage::new();
    let store = open(&storage).expect("a store");
    fill(&store, 40, 1);
    store.snapshot().expect("a snapshot");
    store.close().expect("closed");
    drop(store);
    for entry in storage.list().expect("the directory") {
        if !entry.name.starts_with("kv-") {
            storage.remove(&entry.name).expect("removed");
        }
    }
    let error = open(&storage).expect_err("refused");
    let Error::LogTooShort {
        snapshot, last_lsn, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((snapshot, last_lsn), (Lsn::new(40), Lsn::ZERO));
}

#[test]
fn a_snapshot_of_another_version_is_refused() {
    let storage = MemoryStorage::new();
    let store = open(&storage).expect("a store");
    fill(&store, 10, 1);
    store.snapshot().expect("a snapshot");
    drop(store);
    let name = snapshots(&storage).pop().expect("a snapshot");
    let mut bytes = read(&storage, &name);
    // What a later version would write: the checksum is linear, so the same change of both parts verifies.
    let before = wal_format::crc32(&bytes[..32]);
    bytes[8] = 2;
    let change = before ^ wal_format::crc32(&bytes[..32]);
    for (byte, change) in bytes[32..36].iter_mut().zip(change.to_le_bytes()) {
        *byte ^= change;
    }
    write(&storage, &name, &bytes);
    let error = open(&storage).expect_err("refused");
    let Error::UnknownVersion { version, known, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((version, known), (2, 1));
}

#[test]
fn what_the_disk_took_keeps_its_bound() {
    let storage = MemoryStorage::new();
    let config = KvConfig {
        snapshots: Snapshots::Automatic { percent: 100 },
        ..common::config(FsyncPolicy::Os)
    };
    let clock = Arc::new(ManualClock::default());
    let builder = common::builder(&storage, config, clock);
    let builder = builder
        .snapshot_after(10_000)
        .snapshot_compression(Compression::None);
    let store = builder.open().expect("a store");
    for round in 0..40 {
        fill(&store, 500, round);
    }
    let stats = store.stats();
    assert!(stats.snapshots > 10, "{stats:?}");
    let written = stats.log.bytes_written + stats.snapshot_bytes;
    assert!(
        written <= 2 * stats.log.bytes_written,
        "{written} bytes for {} of the log",
        stats.log.bytes_written
    );
    // The log is bounded too: by the live bytes, and the segments that are not full.
    assert!(stats.log_bytes <= stats.live_bytes + 16 * stats.keys + 100);
    assert!(stats.log.segments < 12, "{stats:?}");
}

#[test]
fn writers_and_scans_go_on_while_snapshots_are_written() {
    const KEYS: u32 = 4000;
    let tmp = tempfile::tempdir().expect("a directory");
    let config = KvConfig {
        max_segment_size: 1 << 20,
        fsync_policy: FsyncPolicy::Os,
        snapshots: Snapshots::Automatic { percent: 100 },
        ..KvConfig::default()
    };
    let open = || {
        let builder = KvStore::builder(tmp.path().join("store")).config(config.clone());
        builder.snapshot_after(1 << 18).open().expect("a store")
    };
    let store = open();
    fill(&store, KEYS, 0);
    thread::scope(|scope| {
        for writer in 0..2_u32 {
            let store = store.clone();
            scope.spawn(move || {
                for round in 1..8_u8 {
                    for n in (writer..KEYS).step_by(2) {
                        store.put(n.to_be_bytes(), [round; 50]).expect("put");
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                // A point in time: of each writer's keys a prefix is one round ahead.
                let view = store.view();
                let rounds: Vec<u8> = view.iter().map(|pair| pair.value()[0]).collect();
                assert_eq!(rounds.len(), KEYS as usize);
                for writer in 0..2 {
                    let own: Vec<_> = rounds.iter().skip(writer).step_by(2).collect();
                    assert!(own.is_sorted_by(|a, b| a >= b));
                    assert!(*own[0] - *own[own.len() - 1] <= 1);
                }
                let back: Vec<u8> = view.iter().rev().map(|pair| pair.value()[0]).collect();
                assert!(back.iter().rev().eq(&rounds));
            }
        });
        scope.spawn(|| {
            for _ in 0..5 {
                store.snapshot().expect("a snapshot");
            }
        });
    });
    holds(&store, KEYS, 7);
    let stats = store.stats();
    assert_eq!(stats.snapshot_failures, 0);
    assert!(stats.snapshots > 1, "{stats:?}");
    // One more snapshot may be due, and has a view while it is written.
    let begun = Instant::now();
    let beside = || {
        let stats = store.stats();
        (stats.views, stats.kept_versions)
    };
    while beside() != (0, 0) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", beside());
        thread::sleep(Duration::from_millis(1));
    }
    store.close().expect("closed");
    drop(store);
    let store = open();
    holds(&store, KEYS, 7);
    assert!(store.open_report().snapshot.is_some());
    // Dropped without a close.
    store.put("last", "value").expect("put");
    drop(store);
    assert!(open().contains_key(b"last"));
}

#[test]
fn progress_is_told_from_nothing_to_all() {
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("store");
    let store = KvStore::open(&dir, KvConfig::default()).expect("a store");
    fill(&store, 20_000, 1);
    store.snapshot().expect("a snapshot");
    fill(&store, 1000, 1);
    store.close().expect("closed");
    drop(store);
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    let builder = KvStore::builder(&dir).progress(move |progress| {
        teller.lock().expect("nobody panics").push(progress);
    });
    let store = builder.open().expect("a store");
    holds(&store, 20_000, 1);
    let told = told.lock().expect("nobody panics");
    for phase in [OpenPhase::Snapshot, OpenPhase::Log, OpenPhase::Index] {
        let of_phase: Vec<_> = told.iter().filter(|one| one.phase == phase).collect();
        assert_eq!(of_phase.first().map(|one| one.done), Some(0), "{phase:?}");
        assert!(
            of_phase.iter().any(|one| one.done == one.total),
            "{phase:?}"
        );
    }
    assert!(store.open_report().time > Duration::ZERO);
}
