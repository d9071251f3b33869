//! What a store takes on disk keeps to its bound: under any load, during a snapshot, after failed ones, and after restarts.

#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::reluctant::{Reluctant, Snapshot};
use wal_core::clock::ManualClock;
use wal_io::{FaultStorage, MemoryStorage, OpenMode, Storage};
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Compression, Error, FsyncPolicy, KvConfig, Snapshots};

const SEGMENT: u64 = 1 << 20;

fn config() -> KvConfig {
    KvConfig {
        max_segment_size: SEGMENT,
        fsync_policy: FsyncPolicy::Os,
        ..KvConfig::default()
    }
}

fn taken(storage: &dyn Storage) -> u64 {
    let entries = storage.list().expect("the directory");
    // A name may be gone by now.
    let files = entries
        .iter()
        .filter_map(|entry| storage.open(&entry.name, OpenMode::Read).ok());
    files.map(|file| file.len().expect("a length")).sum()
}

fn put_some(store: &KvStore, n: u32) {
    store
        .put((n % 100).to_be_bytes(), vec![n as u8; 1000])
        .expect("put");
}

/// Far longer than the store's thread takes for anything here. A store that is broken on purpose is not waited for as long.
const PATIENCE: Duration = Duration::from_secs(if cfg!(wal_sabotage) { 10 } else { 60 });

/// Waits for the store's thread.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn automatic_snapshots_go_on_after_a_burst() {
    let storage = MemoryStorage::new();
    let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
    let store = builder.config(config()).snapshot_after(1 << 20).open();
    let store = store.expect("a store");
    let mut longest = 0;
    for n in 0..40_000 {
        put_some(&store, n);
        if n % 100 == 0 {
            longest = longest.max(taken(&storage));
            let stats = store.stats();
            let bound = stats.disk_bound.expect("there is one");
            assert!(longest <= bound, "{longest} of {bound}: {stats:?}");
            assert!(stats.log_bytes <= 3 * (1 << 20) + 1100, "{stats:?}");
        }
    }
    // The log passed the mark again and again while one was being written. It is due again, and is written with no further put.
    eventually("the last one", || store.stats().log_bytes < 1 << 20);
    let stats = store.stats();
    assert!(stats.snapshots >= 40_000 / 3000 - 1, "{stats:?}");
    assert_eq!(stats.snapshot_failures, 0);
    // A call does not end the automatic ones.
    store.snapshot().expect("a snapshot");
    let before = store.stats().snapshots;
    for n in 0..3000 {
        put_some(&store, n);
    }
    eventually("more of them", || store.stats().snapshots > before);
}

#[test]
fn a_snapshot_that_is_due_when_one_is_written_comes_with_no_further_put() {
    const DUE: u64 = 64 << 10;
    let storage = Reluctant::new(FaultStorage::new());
    let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
    let store = builder.config(config()).snapshot_after(DUE).open();
    let store = store.expect("a store");
    storage.let_snapshots_be(Snapshot::Held);
    let put_until = |log_bytes| {
        while store.stats().log_bytes < log_bytes {
            store.put("key", vec![7; 1000]).expect("put");
        }
    };
    put_until(DUE);
    eventually("a snapshot", || storage.begun() > 0);
    // The log will be as long again when it is written.
    put_until(store.stats().log_bytes + DUE);
    storage.let_snapshots_be(Snapshot::Written);
    eventually("the next one", || store.stats().log_bytes < DUE);
}

#[test]
fn the_bound_holds_through_restarts_without_a_close() {
    let storage = MemoryStorage::new();
    for session in 0..40 {
        let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
        let store = builder.config(config()).snapshot_after(1 << 20).open();
        let store = store.expect("a store");
        for n in 0..500 {
            put_some(&store, session * 500 + n);
        }
        let stats = store.stats();
        let (taken, bound) = (taken(&storage), stats.disk_bound.expect("there is one"));
        assert!(taken <= bound, "session {session}: {taken} of {bound}");
        assert!(stats.log_bytes <= 3 * (1 << 20) + 1100, "{stats:?}");
        drop(store);
    }
}

#[test]
fn the_bound_holds_through_any_number_of_restarts_with_a_write_each() {
    let storage = FaultStorage::new();
    let mut most = 0;
    for session in 0..1500 {
        let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
        let store = builder.config(config()).snapshot_after(1 << 20).open();
        let store = store.expect("a store");
        put_some(&store, session);
        store.sync().expect("synced");
        let bound = store.stats().disk_bound.expect("there is one");
        let taken = taken(&storage);
        assert!(taken <= bound, "session {session}: {taken} of {bound}");
        most = most.max(storage.list().expect("the directory").len());
        drop(store);
    }
    assert!(most < 500, "{most} files");
}

/// Writes until the log was cut several times.
fn stays_within_its_bound(store: &KvStore, storage: &FaultStorage, place: &str) {
    for n in 0..3000 {
        put_some(store, n);
        if n % 20 == 0 {
            let bound = store.stats().disk_bound.expect("there is one");
            let taken = taken(storage);
            assert!(taken <= bound, "{place}, write {n}: {taken} of {bound}");
        }
    }
    assert!(store.stats().snapshots > 2, "{place}");
}

#[test]
fn the_bound_holds_for_segments_of_a_size_that_was_chosen_before() {
    for (before, now) in [
        (SEGMENT, None),
        (4 * SEGMENT, None),
        (4 * SEGMENT, Some(SEGMENT)),
        (SEGMENT, Some(4 * SEGMENT)),
    ] {
        for puts in [1, 8000] {
            let storage = FaultStorage::new();
            let config = |size| KvConfig {
                max_segment_size: size,
                ..config()
            };
            let builder = || KvStore::builder("store").storage(Arc::new(storage.clone()));
            let store = builder().config(config(before)).open().expect("a store");
            for n in 0..puts {
                put_some(&store, n);
            }
            // The last segment has no more than its records then.
            store.close().expect("closed");
            drop(store);
            let mut builder = builder().snapshot_after(64 << 10);
            if let Some(size) = now {
                builder = builder.config(config(size));
            }
            let store = builder.open().expect("a store");
            let place = format!("{before} bytes, then {now:?}, after {puts} puts");
            stays_within_its_bound(&store, &storage, &place);
        }
    }
}

#[test]
fn a_store_whose_log_never_comes_to_a_snapshot_opens() {
    let storage = FaultStorage::new();
    storage.set_capacity(Some(u64::MAX));
    for snapshot_after in [u64::MAX, u64::MAX / 8, 0] {
        let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
        let store = builder.snapshot_after(snapshot_after).open();
        let store = store.expect("a store");
        put_some(&store, 1);
        assert!(store.stats().disk_bound.is_some());
        store.close().expect("closed");
    }
}

#[test]
fn a_batch_that_deletes_a_key_many_times_does_not_pass_the_bound() {
    let storage = Reluctant::new(FaultStorage::new());
    storage.let_snapshots_be(Snapshot::Refused);
    let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
    let store = builder.config(config()).snapshot_after(64 << 10).open();
    let store = store.expect("a store");
    let refused = (0..1000_u16).find_map(|n| store.put([(n % 20) as u8], [7; 1000]).err());
    assert!(refused.is_some(), "the log has a bound");
    let deletes = |keys: &[u8]| {
        let keys = keys.iter();
        keys.fold(Batch::new(), |batch, key| batch.delete([*key]))
    };
    for batch in [
        deletes(&[3; 1000]),
        deletes(&[3, 4, 5, 4]),
        deletes(&[3, 77]),
    ] {
        let refused = store.write(batch).expect_err("at the bound");
        assert!(
            matches!(refused, Error::SnapshotOverdue { .. }),
            "{refused}"
        );
    }
    store.write(deletes(&[3, 4, 5])).expect("deleted");
    assert_eq!(store.len(), 17);
}

#[test]
fn a_log_that_is_long_when_the_store_is_opened_is_cut_without_a_write() {
    let storage = MemoryStorage::new();
    let open = |snapshots| {
        let config = KvConfig {
            snapshots,
            ..config()
        };
        let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
        builder
            .config(config)
            .snapshot_after(1 << 20)
            .open()
            .expect("a store")
    };
    let store = open(Snapshots::OnCall);
    for n in 0..5000 {
        put_some(&store, n);
    }
    assert_eq!(store.stats().disk_bound, None);
    store.close().expect("closed");
    drop(store);
    let store = open(Snapshots::default());
    eventually("a snapshot", || store.stats().snapshots > 0);
    assert!(store.stats().log_bytes < 1 << 20);
}

const SMALL: u64 = 20_000;

fn open_small(storage: &Reluctant, policy: FsyncPolicy) -> KvStore {
    let config = KvConfig {
        snapshots: Snapshots::default(),
        ..common::config(policy)
    };
    let clock = Arc::new(ManualClock::default());
    let builder = common::builder(storage, config, clock).snapshot_after(SMALL);
    builder.open().expect("a store")
}

#[test]
fn at_the_bound_writes_are_refused_with_the_failed_snapshot_and_reads_and_deletes_go_on() {
    for policy in [FsyncPolicy::Always, FsyncPolicy::Os] {
        let storage = Reluctant::new(FaultStorage::new());
        let store = open_small(&storage, policy);
        storage.let_snapshots_be(Snapshot::Refused);
        let mut puts = 0_u32;
        let refused = loop {
            match store.put((puts % 20).to_be_bytes(), [puts as u8; 100]) {
                Ok(_) => puts += 1,
                Err(error) => break error,
            }
            assert!(puts < 2000, "the log has no bound");
        };
        let Error::SnapshotOverdue {
            name,
            log_bytes,
            limit,
            source,
            ..
        } = &refused
        else {
            panic!("{refused}");
        };
        assert!(name.ends_with(".snapshot"), "{refused}");
        assert!(
            source.to_string().contains("takes no snapshots"),
            "{refused}"
        );
        assert!(
            refused.to_string().contains("takes no snapshots"),
            "{refused}"
        );
        assert!(
            *limit >= 3 * SMALL && *log_bytes <= limit + 500,
            "{refused}"
        );
        let failures = store.stats().snapshot_failures;
        assert!(
            (2..20).contains(&failures),
            "not with every write: {failures}"
        );
        // Reads go on, and so does what makes the store smaller.
        assert_eq!(store.len(), 20);
        let last = puts - 1;
        let value = store.get(&(last % 20).to_be_bytes());
        assert_eq!(value.as_deref(), Some(&[last as u8; 100][..]));
        store.delete(3_u32.to_be_bytes()).expect("deleted");
        let two = Batch::new()
            .delete(4_u32.to_be_bytes())
            .delete(5_u32.to_be_bytes());
        store.write(two).expect("deleted");
        assert_eq!(store.len(), 17);
        // Deletes of what is not there would let the log grow without end.
        for _ in 0..3 {
            let error = store.delete(3_u32.to_be_bytes()).expect_err("refused");
            assert!(matches!(error, Error::SnapshotOverdue { .. }), "{error}");
        }
        let mixed = Batch::new().delete(6_u32.to_be_bytes()).put("new", "value");
        store.write(mixed).expect_err("refused");
        assert!(store.contains_key(&6_u32.to_be_bytes()) && !store.contains_key(b"new"));
        // The bound holds across a restart.
        drop(store);
        let store = open_small(&storage, policy);
        store.put("new", "value").expect_err("refused");
        assert_eq!(store.len(), 17);
        storage.let_snapshots_be(Snapshot::Written);
        store
            .put("new", "value")
            .expect("the snapshot is tried again");
        assert!(store.stats().log_bytes < SMALL);
        store.close().expect("closed");
    }
}

#[test]
fn writers_at_the_bound_are_let_in_when_a_snapshot_succeeds_again() {
    let storage = Reluctant::new(FaultStorage::new());
    let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
    let store = builder.config(config()).snapshot_after(1 << 20).open();
    let store = store.expect("a store");
    storage.let_snapshots_be(Snapshot::Refused);
    let refused = (0..40_000_u32).find_map(|n| store.put((n % 100).to_be_bytes(), [1; 1000]).err());
    let refused = refused.expect("the log has a bound");
    assert!(
        matches!(refused, Error::SnapshotOverdue { .. }),
        "{refused}"
    );
    storage.let_snapshots_be(Snapshot::Written);
    // By itself, within a second or two.
    eventually("a snapshot", || store.stats().snapshots > 0);
    store.put("new", "value").expect("put");
}

#[test]
fn writers_at_the_bound_wait_for_the_snapshot_that_is_being_written() {
    let storage = MemoryStorage::new();
    let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
    // Each put is more than the bound.
    let store = builder.config(config()).snapshot_after(1000).open();
    let store = store.expect("a store");
    thread::scope(|scope| {
        for writer in 0..4_u32 {
            let store = store.clone();
            scope.spawn(move || {
                for _ in 0..50 {
                    store.put(writer.to_be_bytes(), [7; 5000]).expect("put");
                }
            });
        }
    });
    let stats = store.stats();
    assert_eq!(stats.snapshot_failures, 0);
    // Four keys, three due lengths, one write more.
    assert!(stats.log_bytes < 3 * 4 * 5100 + 5100, "{stats:?}");
    store.close().expect("closed");
}

#[test]
fn a_full_disk_is_met_with_a_snapshot_first() {
    let storage = Reluctant::new(FaultStorage::new());
    let store = {
        let config = KvConfig {
            snapshots: Snapshots::default(),
            ..common::config(FsyncPolicy::Os)
        };
        let clock = Arc::new(ManualClock::default());
        // Nothing is due before the disk is full.
        let builder = common::builder(&storage, config, clock).snapshot_after(1 << 30);
        builder
            .snapshot_compression(Compression::None)
            .open()
            .expect("a store")
    };
    let used = storage.storage.used_space();
    storage.storage.set_capacity(Some(used + 100_000));
    for n in 0..3000_u32 {
        store
            .put((n % 20).to_be_bytes(), [n as u8; 100])
            .expect("put");
    }
    assert!(store.stats().snapshots > 1);
    // Where that does not help, it is the log's error, and nothing is torn.
    storage.let_snapshots_be(Snapshot::Refused);
    let refused = (0..3000_u32).find_map(|n| store.put((n % 20).to_be_bytes(), [1; 100]).err());
    let Some(Error::Log(wal_core::Error::NoSpace { .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(store.len(), 20);
    storage.let_snapshots_be(Snapshot::Written);
    store
        .put("new", "value")
        .expect("there is room after a snapshot");
    store.close().expect("closed");
}

#[test]
fn opening_warns_if_the_disk_has_less_room_than_the_bound() {
    let storage = FaultStorage::new();
    for (capacity, warns) in [(60 << 20, true), (1 << 30, false)] {
        storage.set_capacity(Some(capacity));
        let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
        let store = builder.config(config()).open().expect("a store");
        let report = store.open_report();
        let bound = report.disk_bound.expect("there is one");
        assert_eq!(report.disk_bound, store.stats().disk_bound);
        let warning = report.warning();
        assert_eq!(warning.is_some(), warns, "{report:?}");
        assert!(warning.is_none_or(|text| text.contains(&bound.to_string())));
        store.close().expect("closed");
    }
}

/// Opens a store of `keys` keys whose log has `puts` puts of values of `len` bytes; returns how many versions were in memory.
fn versions_in_memory_at_an_open(keys: u32, puts: u32, len: usize) -> u64 {
    let storage = MemoryStorage::new();
    let builder = || {
        let config = KvConfig {
            snapshots: Snapshots::OnCall,
            ..config()
        };
        let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
        builder.config(config)
    };
    let value = |n: u32| n.to_be_bytes().into_iter().cycle().take(len);
    let store = builder().open().expect("a store");
    for n in 0..puts {
        let value: Vec<u8> = value(n).collect();
        store.put((n % keys).to_be_bytes(), value).expect("put");
    }
    store.close().expect("closed");
    drop(store);
    let store = builder().open().expect("a store");
    let report = store.open_report();
    assert_eq!(report.records, u64::from(puts));
    assert_eq!(store.len(), keys as usize);
    let last = store.get(&((puts - 1) % keys).to_be_bytes());
    let last = last.expect("the last value");
    assert!(last.iter().copied().eq(value(puts - 1)));
    report.most_versions
}

#[test]
fn opening_takes_no_memory_for_keys_that_were_deleted() {
    const KEYS: u32 = 200_000;
    let storage = MemoryStorage::new();
    let open = |open_threads| {
        let config = KvConfig {
            snapshots: Snapshots::OnCall,
            open_threads,
            ..config()
        };
        let builder = KvStore::builder("store").storage(Arc::new(storage.clone()));
        builder.config(config).open().expect("a store")
    };
    let store = open(1);
    // Keys of a snapshot go as well.
    for n in 0..1000_u32 {
        store.put(n.to_be_bytes(), "in the snapshot").expect("put");
    }
    store.snapshot().expect("a snapshot");
    for n in 0..KEYS {
        store.put(n.to_be_bytes(), "for a moment").expect("put");
        store.delete(n.to_be_bytes()).expect("deleted");
    }
    store.put("kept", "value").expect("put");
    store.close().expect("closed");
    drop(store);
    for threads in [1, 2, 4] {
        let store = open(threads);
        let report = store.open_report();
        assert_eq!(report.records, u64::from(2 * KEYS + 1));
        let keys: Vec<_> = store.iter().map(|pair| pair.key().to_vec()).collect();
        assert_eq!((store.len(), keys), (1, vec![b"kept".to_vec()]));
        // What comes before a delete may be read after it, by another thread.
        let most = 70_000 * (threads as u64 + 1);
        assert!(report.most_versions < most, "{threads}: {report:?}");
        store.close().expect("closed");
    }
}

#[test]
fn opening_takes_memory_for_live_data_and_not_for_its_history() {
    let versions = versions_in_memory_at_an_open(100, 400_000, 4);
    assert!(versions < 100_000, "{versions} were in memory");
}

#[test]
fn opening_takes_memory_for_live_data_and_not_for_a_history_of_long_values() {
    // 200 MB of log for 1 MB of data.
    let versions = versions_in_memory_at_an_open(10, 2_000, 100_000);
    assert!(versions < 500, "{versions} were in memory");
}

/// A store whose log may have ten times the bytes of its data.
fn open_with_a_long_log(storage: &Reluctant) -> KvStore {
    let config = KvConfig {
        max_segment_size: 128 << 10,
        snapshots: Snapshots::Automatic { percent: 1000 },
        ..common::config(FsyncPolicy::Os)
    };
    let clock = Arc::new(ManualClock::default());
    let builder = common::builder(storage, config, clock).snapshot_after(SMALL);
    builder.open().expect("a store")
}

/// Writes 400 KB of data the given number of times.
fn write_all(store: &KvStore, times: u32) {
    for n in 0..times * 200 {
        store
            .put((n % 200).to_be_bytes(), [n as u8; 2000])
            .expect("put");
    }
}

fn delete_all(store: &KvStore) {
    for n in 0..200_u32 {
        store.delete(n.to_be_bytes()).expect("deleted");
    }
}

#[test]
fn the_bound_holds_for_a_snapshot_and_a_log_of_data_that_is_gone_by_now() {
    let storage = Reluctant::new(FaultStorage::new());
    let store = open_with_a_long_log(&storage);
    write_all(&store, 1);
    storage.let_snapshots_be(Snapshot::Held);
    let writer = store.clone();
    let snapshot = thread::spawn(move || writer.snapshot());
    eventually("a snapshot", || storage.begun() > 0);
    write_all(&store, 8);
    let before = store.stats().disk_bound;
    delete_all(&store);
    // The snapshot is of what was there when it was begun.
    assert!(store.stats().disk_bound >= before);
    storage.let_snapshots_be(Snapshot::Written);
    let snapshot = snapshot.join().expect("no panic");
    assert!(snapshot.expect("a snapshot").raw_bytes > 400_000);
    // The log has what was written meanwhile, when more was due.
    let bound = store.stats().disk_bound.expect("there is one");
    let taken = taken(&storage);
    assert!(taken <= bound, "{taken} of {bound}");
}

#[test]
fn the_bound_holds_for_a_log_of_data_that_was_gone_before_a_restart() {
    let storage = Reluctant::new(FaultStorage::new());
    let store = open_with_a_long_log(&storage);
    write_all(&store, 8);
    delete_all(&store);
    drop(store);
    let store = open_with_a_long_log(&storage);
    let bound = store.stats().disk_bound.expect("there is one");
    let taken = taken(&storage);
    assert!(taken <= bound, "{taken} of {bound}");
}
