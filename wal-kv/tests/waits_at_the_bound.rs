//! Writers near the bound of the log and at it, through the blocking and the async face: they are slowed, wait, or are refused.

#![forbid(unsafe_code)]

mod common;

use std::pin::pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use common::reluctant::{Reluctant, Snapshot};
use wal_core::UnixMillis;
use wal_core::clock::ManualClock;
use wal_io::FaultStorage;
use wal_io::fault::{Fault, OperationKind, SystemError};
use wal_kv::{Batch, Condition, Error, FsyncPolicy, KvConfig, KvStore, Stats, blocking};

/// A store is slowed from twice this length of the log on, and takes no writes from three times on.
const DUE: u64 = 256 << 10;
const KEYS: u32 = 20;
const VALUE: [u8; 1000] = [7; 1000];

fn builder<S>(builder: wal_kv::Builder<S>, storage: &Reluctant, due: u64) -> wal_kv::Builder<S> {
    let config = KvConfig {
        max_segment_size: 1 << 20,
        fsync_policy: FsyncPolicy::Os,
        ..KvConfig::default()
    };
    let builder = builder.storage(Arc::new(storage.clone()));
    builder.config(config).snapshot_after(due)
}

fn open(storage: &Reluctant, due: u64) -> blocking::KvStore {
    let builder = builder(blocking::KvStore::builder("store"), storage, due);
    builder.open().expect("a store")
}

async fn open_async(storage: &Reluctant, due: u64) -> KvStore {
    let builder = builder(KvStore::builder("store"), storage, due);
    builder.open().await.expect("a store")
}

/// Far longer than the store's thread takes for anything here. A store that is broken on purpose is not waited for as long.
const PATIENCE: Duration = Duration::from_secs(if cfg!(wal_sabotage) { 10 } else { 60 });

/// Waits for the store's thread.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// How long writers have slept at least when the log has this length: a byte costs up to a microsecond, and what it costs grows with
/// the square of the distance from where it begins. What is less than a millisecond is not slept yet.
fn at_least(log_bytes: u64) -> Duration {
    let over = log_bytes.saturating_sub(2 * DUE).min(DUE);
    let third = over * over / DUE * over / DUE / 3;
    // A write is counted by where it ends, and in steps of a thousandth.
    Duration::from_micros(third - third / 8).saturating_sub(Duration::from_millis(1))
}

fn check_slowed(stats: &Stats) {
    assert!(stats.slowed >= at_least(stats.log_bytes), "{stats:?}");
    assert!(
        stats.log_bytes >= 2 * DUE || stats.slowed.is_zero(),
        "{stats:?}"
    );
}

#[test]
fn writers_are_slowed_from_two_due_lengths_on_and_more_with_each_byte() {
    let storage = Reluctant::new(FaultStorage::new());
    storage.let_snapshots_be(Snapshot::Refused);
    let store = open(&storage, DUE);
    let mut n = 0_u32;
    let refused = loop {
        match store.put((n % KEYS).to_be_bytes(), VALUE) {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
        check_slowed(&store.stats());
        assert!(n < 2000, "the log has no bound");
    };
    assert!(
        matches!(refused, Error::SnapshotOverdue { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn writers_of_the_async_store_are_slowed_alike() {
    let storage = Reluctant::new(FaultStorage::new());
    storage.let_snapshots_be(Snapshot::Refused);
    let store = open_async(&storage, DUE).await;
    let mut n = 0_u32;
    let refused = loop {
        match store.put((n % KEYS).to_be_bytes(), VALUE).await {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
        check_slowed(&store.stats());
        assert!(n < 2000, "the log has no bound");
    };
    assert!(
        matches!(refused, Error::SnapshotOverdue { .. }),
        "{refused}"
    );
    assert!(store.stats().slowed > Duration::from_millis(50));
}

fn is_overdue<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.expect_err("refused");
    let Error::SnapshotOverdue { source, .. } = &error else {
        panic!("{error}");
    };
    assert!(source.to_string().contains("takes no snapshots"), "{error}");
}

#[test]
fn at_the_bound_every_write_of_the_blocking_store_but_a_delete_is_refused() {
    let storage = Reluctant::new(FaultStorage::new());
    storage.let_snapshots_be(Snapshot::Refused);
    let store = open(&storage, 20_000);
    let refused = (0..200_u32).find_map(|n| store.put((n % KEYS).to_be_bytes(), VALUE).err());
    is_overdue::<()>(Err(refused.expect("the log has a bound")));
    let (key, ttl) = (3_u32.to_be_bytes(), Duration::from_secs(1));
    is_overdue(store.durable().put(key, VALUE));
    is_overdue(store.put_with_ttl(key, VALUE, ttl));
    is_overdue(store.write(Batch::new().put(key, VALUE)));
    is_overdue(store.put_if(key, VALUE, &Condition::Present));
    is_overdue(store.compare_and_swap(key, Some(&VALUE), Some(b"new")));
    is_overdue(store.delete("not there"));
    assert_eq!(store.get(&key).as_deref(), Some(&VALUE[..]));
    assert!(
        store
            .compare_and_swap(key, Some(&VALUE), None)
            .expect("deleted")
            .is_applied()
    );
    store.delete(4_u32.to_be_bytes()).expect("deleted");
    assert_eq!(store.len(), KEYS as usize - 2);
}

#[tokio::test]
async fn at_the_bound_every_write_of_the_async_store_but_a_delete_is_refused() {
    let storage = Reluctant::new(FaultStorage::new());
    storage.let_snapshots_be(Snapshot::Refused);
    let store = open_async(&storage, 20_000).await;
    let mut n = 0_u32;
    while store.put((n % KEYS).to_be_bytes(), VALUE).await.is_ok() {
        n += 1;
        assert!(n < 200, "the log has no bound");
    }
    let (key, ttl) = (3_u32.to_be_bytes(), Duration::from_secs(1));
    is_overdue(store.put(key, VALUE).await);
    is_overdue(store.durable().put(key, VALUE).await);
    is_overdue(store.put_with_ttl(key, VALUE, ttl).await);
    is_overdue(store.write(Batch::new().put(key, VALUE)).await);
    is_overdue(store.put_if(key, VALUE, &Condition::Present).await);
    is_overdue(
        store
            .compare_and_swap(key, Some(&VALUE), Some(b"new"))
            .await,
    );
    is_overdue(store.delete("not there").await);
    assert_eq!(store.get(&key).as_deref(), Some(&VALUE[..]));
    assert!(
        store
            .compare_and_swap(key, Some(&VALUE), None)
            .await
            .expect("deleted")
            .is_applied()
    );
    store.delete(4_u32.to_be_bytes()).await.expect("deleted");
    assert_eq!(store.len(), KEYS as usize - 2);
}

/// Fills the log up to its bound while a snapshot is held; returns the last LSN.
async fn fill(store: &KvStore, storage: &Reluctant, due: u64) -> u64 {
    storage.let_snapshots_be(Snapshot::Held);
    let mut last = 0;
    let mut n = 0_u32;
    while store.stats().log_bytes < 3 * due {
        let position = store
            .put((n % KEYS).to_be_bytes(), VALUE)
            .await
            .expect("put");
        (last, n) = (position.lsn.get(), n + 1);
    }
    eventually("a snapshot", || storage.begun() > 0);
    last
}

fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

// The runtime has one thread: a write that blocked it would not return from its poll.
#[tokio::test]
async fn a_future_dropped_while_it_waits_at_the_bound_leaves_nothing_and_blocks_nobody() {
    const DUE: u64 = 40_000;
    let storage = Reluctant::new(FaultStorage::new());
    let store = open_async(&storage, DUE).await;
    let last = fill(&store, &storage, DUE).await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.put("waits", "for the snapshot").await }
    });
    for _ in 0..3 {
        let mut dropped = pin!(store.put("dropped", "value"));
        assert!(poll_once(dropped.as_mut()).is_pending());
        // Other tasks go on, and so do reads.
        tokio::task::yield_now().await;
        assert!(poll_once(dropped.as_mut()).is_pending());
        assert_eq!(store.len(), KEYS as usize);
        assert!(!waiting.is_finished());
    }
    storage.let_snapshots_be(Snapshot::Written);
    let position = waiting.await.expect("no panic").expect("put");
    assert_eq!(position.lsn.get(), last + 1, "the dropped ones have no LSN");
    let position = store.put("after", "value").await.expect("put");
    assert_eq!(position.lsn.get(), last + 2);
    assert!(!store.contains_key(b"dropped"));
    store.close().await.expect("closed");
    drop(store);
    let store = open_async(&storage, DUE).await;
    assert!(store.contains_key(b"waits") && store.contains_key(b"after"));
    assert!(!store.contains_key(b"dropped"));
}

fn is_closed<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.expect_err("closed");
    let closed = matches!(error, Error::Log(wal_core::Error::Closed));
    assert!(closed, "{error}");
}

#[test]
fn a_close_wakes_writers_that_wait_at_the_bound() {
    const DUE: u64 = 40_000;
    let storage = Reluctant::new(FaultStorage::new());
    let store = open(&storage, DUE);
    storage.let_snapshots_be(Snapshot::Held);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u32)
            .map(|writer| {
                let store = store.clone();
                scope.spawn(move || {
                    loop {
                        if let Err(error) = store.put(writer.to_be_bytes(), VALUE) {
                            break error;
                        }
                    }
                })
            })
            .collect();
        eventually("the bound", || store.stats().log_bytes >= 3 * DUE);
        assert!(writers.iter().all(|writer| !writer.is_finished()));
        store.close().expect("closed");
        // The snapshot is still held.
        eventually("they are told", || {
            writers.iter().all(ScopedJoinHandle::is_finished)
        });
        for writer in writers {
            is_closed::<()>(Err(writer.join().expect("no panic")));
        }
        storage.let_snapshots_be(Snapshot::Written);
    });
    let keys = store.len();
    drop(store);
    assert_eq!(open(&storage, DUE).len(), keys);
}

#[tokio::test]
async fn a_close_of_the_async_store_wakes_writers_that_wait_at_the_bound() {
    const DUE: u64 = 40_000;
    let storage = Reluctant::new(FaultStorage::new());
    let store = open_async(&storage, DUE).await;
    fill(&store, &storage, DUE).await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.put("waits", "for the snapshot").await }
    });
    tokio::task::yield_now().await;
    store.close().await.expect("closed");
    is_closed(waiting.await.expect("no panic"));
    storage.let_snapshots_be(Snapshot::Written);
}

/// Puts until one is refused, and then some more, on a thread of their own.
fn put_on_until_refused(store: blocking::KvStore) -> Vec<Error> {
    let (done, told) = channel();
    thread::spawn(move || {
        let mut refused = Vec::new();
        let mut n = 0_u32;
        while refused.len() < 5 {
            refused.extend(store.put((n % KEYS).to_be_bytes(), VALUE).err());
            n += 1;
        }
        // A test that has given up does not listen.
        let _ = done.send(refused);
    });
    told.recv_timeout(Duration::from_secs(60))
        .expect("a write waits for ever")
}

// Under `Always` a snapshot syncs the log before it is begun: that is where it fails.
#[test]
fn writers_at_the_bound_of_a_log_that_takes_no_more_are_told() {
    let policies = [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(Duration::from_millis(1)),
    ];
    for (policy, driven) in policies
        .into_iter()
        .flat_map(|policy| [(policy, false), (policy, true)])
    {
        let storage = FaultStorage::new();
        let config = KvConfig {
            max_segment_size: 1 << 20,
            fsync_policy: policy,
            ..KvConfig::default()
        };
        let mut builder = blocking::KvStore::builder("store")
            .storage(Arc::new(storage.clone()))
            .config(config)
            .snapshot_after(100);
        if driven {
            builder = builder.driven_by_caller();
        }
        let store = builder.open().expect("a store");
        storage.inject(
            Fault::error(SystemError::Io)
                .on(OperationKind::SyncData)
                .in_file("00000000000000000001.wal")
                .persistent(),
        );
        for error in put_on_until_refused(store.clone()) {
            let poisoned = matches!(error, Error::Log(wal_core::Error::Poisoned(_)));
            assert!(poisoned, "{policy:?}, driven: {driven}: {error}");
        }
        // Without a thread of its own, the writers have tried it. A thread comes to it later.
        let failed = || store.stats().snapshot_failures > 0;
        assert!(!driven || failed());
        eventually("a snapshot is tried", failed);
    }
}

#[test]
fn a_snapshot_that_fails_late_is_not_tried_again_at_once() {
    const DUE: u64 = 40_000;
    const TAKES: Duration = Duration::from_secs(10);
    const ONE_MS: Duration = Duration::from_millis(1);
    let storage = Reluctant::new(FaultStorage::new());
    let clock = ManualClock::default();
    let builder = builder(blocking::KvStore::builder("store"), &storage, DUE);
    let store = builder
        .clock(Arc::new(clock.clone()))
        .open()
        .expect("a store");
    storage.when_begun({
        let clock = clock.clone();
        move || clock.advance(TAKES)
    });
    storage.let_snapshots_be(Snapshot::Refused);
    let refused = (0..200_u32).find_map(|n| store.put((n % KEYS).to_be_bytes(), VALUE).err());
    is_overdue::<()>(Err(refused.expect("the log has a bound")));
    // Below the bound with each due length; at it not before four times what it took have passed.
    let tried = storage.begun();
    assert!((1..=4).contains(&tried), "{tried}");
    clock.advance(4 * TAKES.saturating_sub(ONE_MS));
    // The thread looks each second.
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(storage.begun(), tried);
    clock.advance(4 * ONE_MS);
    eventually("it is tried again", || storage.begun() > tried);
    assert_eq!(storage.begun(), tried + 1);
}

#[test]
fn expired_keys_are_reclaimed_while_a_long_snapshot_is_written() {
    let storage = Reluctant::new(FaultStorage::new());
    let clock = ManualClock::default();
    let open = || {
        builder(blocking::KvStore::builder("store"), &storage, 1 << 20)
            .clock(Arc::new(clock.clone()))
            .open()
            .expect("a store")
    };
    let store = open();
    let ttl = Duration::from_secs(1);
    for key in 0..500_u32 {
        store
            .put_with_ttl(key.to_be_bytes(), b"session", ttl)
            .expect("put");
    }
    store.put("plain", "value").expect("put");
    storage.when_begun({
        let clock = clock.clone();
        move || clock.advance(2 * ttl)
    });
    store.snapshot().expect("a snapshot");
    assert_eq!(store.stats().reclaimed, 500);
    // A crash now, and a clock that is set back: the mark of the sweep says how late it was.
    store.sync().expect("synced");
    drop(store);
    clock.set_wall(UnixMillis::new(0));
    let store = open();
    assert_eq!(store.len(), 1);
    assert!(store.contains_key(b"plain"));
}

#[test]
fn expired_keys_are_reclaimed_while_one_snapshot_is_due_after_another() {
    let storage = Reluctant::new(FaultStorage::new());
    let clock = ManualClock::default();
    let due = 64 << 10;
    let store = builder(blocking::KvStore::builder("store"), &storage, due)
        .clock(Arc::new(clock.clone()))
        .open()
        .expect("a store");
    let ttl = Duration::from_secs(1);
    for key in 0..50_u32 {
        store
            .put_with_ttl(key.to_be_bytes(), b"session", ttl)
            .expect("put");
    }
    // Each snapshot finds, once it is written, that the next one is due.
    let reclaimed = Arc::new(Mutex::new(Vec::new()));
    storage.when_begun({
        let (store, reclaimed) = (store.clone(), Arc::clone(&reclaimed));
        move || {
            let mut reclaimed = reclaimed.lock().expect("no panic");
            reclaimed.push(store.stats().reclaimed);
            clock.advance(ttl);
            for n in 0..(due / 1000 + 5) {
                if reclaimed.len() < 10 {
                    store.put([n as u8 % 4], VALUE).expect("put");
                }
            }
        }
    });
    for n in 0..(due / 1000 + 5) {
        store.put([n as u8 % 4], VALUE).expect("put");
    }
    eventually("ten snapshots are begun", || {
        reclaimed.lock().expect("no panic").len() >= 10
    });
    let reclaimed = reclaimed.lock().expect("no panic").clone();
    assert_eq!((reclaimed[0], reclaimed.get(9)), (0, Some(&50)));
}
