//! The async store: the same answers on both flavours of the runtime, and futures that are dropped half-way.

#![forbid(unsafe_code)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wal_io::FaultStorage;
use wal_io::fault::{Fault, OperationKind};
use wal_kv::{FsyncPolicy, KvConfig, KvStore};

fn config() -> KvConfig {
    KvConfig {
        max_segment_size: 1 << 20,
        fsync_policy: FsyncPolicy::Always,
        ..KvConfig::default()
    }
}

async fn open(tmp: &TempDir) -> KvStore {
    let dir = tmp.path().join("store");
    KvStore::open(dir, config()).await.expect("a store")
}

async fn writers_and_a_reopening() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = open(&tmp).await;
    let tasks: Vec<_> = (0..8_u8)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..10_u8 {
                    let key = [n % 3];
                    store.put(key, [task, n]).await.expect("put");
                    assert!(store.contains_key(&key));
                }
                let own = [100 + task];
                store.put(own, "value").await.expect("put");
                store.delete(own).await.expect("deleted");
                assert!(!store.contains_key(&own));
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task that ends");
    }
    let shown: Vec<_> = (0..3_u8).map(|key| store.get(&[key])).collect();
    store.sync().await.expect("synced");
    store.close().await.expect("closed");
    let store = open(&tmp).await;
    let found: Vec<_> = (0..3_u8).map(|key| store.get(&[key])).collect();
    assert_eq!(found, shown);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_many_threads() {
    writers_and_a_reopening().await;
}

#[tokio::test]
async fn on_one_thread() {
    writers_and_a_reopening().await;
}

/// Polls a future once, which has to wait, and drops it.
fn poll_once_and_drop(future: impl Future) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(pin!(future).poll(&mut context), Poll::Pending));
}

/// A store in which `key` is `old`, and a put of `new` entered the log but was dropped while it waited for its sync.
async fn with_a_dropped_put(tmp: &TempDir) -> KvStore {
    let store = open(tmp).await;
    let old = store.put("key", "old").await.expect("put");
    poll_once_and_drop(store.put("key", "new"));
    assert_eq!(store.get(b"key").as_deref(), Some(&b"old"[..]));
    let next = store.put("other", "value").await.expect("put");
    assert_eq!(
        next.lsn.get(),
        old.lsn.get() + 2,
        "the dropped put has an LSN"
    );
    store
}

#[tokio::test]
async fn a_dropped_put_is_shown_in_its_place() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = with_a_dropped_put(&tmp).await;
    assert_eq!(store.get(b"key").as_deref(), Some(&b"new"[..]));
    store.close().await.expect("closed");
    let store = open(&tmp).await;
    assert_eq!(store.get(b"key").as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn a_sync_and_a_close_show_a_dropped_put() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = open(&tmp).await;
    store.put("first", "value").await.expect("put");
    poll_once_and_drop(store.put("a", "1"));
    store.sync().await.expect("synced");
    assert!(store.contains_key(b"a"));
    poll_once_and_drop(store.put("b", "2"));
    store.close().await.expect("closed");
    assert!(store.contains_key(b"b"));
    let store = open(&tmp).await;
    assert!(store.contains_key(b"a") && store.contains_key(b"b"));
}

#[tokio::test]
async fn a_put_that_was_never_polled_leaves_nothing() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = open(&tmp).await;
    drop(store.put("key", "value"));
    let first = store.put("other", "value").await.expect("put");
    assert_eq!(first.lsn.get(), 1);
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn dropping_the_last_handle_during_a_snapshot_does_not_block_the_thread() {
    // A snapshot is evicted before it is read back: the disk does not answer that until the gate opens.
    let (entered, opened) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let storage = FaultStorage::new();
    let (tell, gate) = (Arc::clone(&entered), Arc::clone(&opened));
    storage.set_clock(move |_| {
        tell.store(true, Ordering::SeqCst);
        while !gate.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let builder = || {
        KvStore::builder("store")
            .storage(Arc::new(storage.clone()))
            .snapshot_after(10_000)
    };
    let store = builder().open().await.expect("a store");
    let slow = Fault::slow(Duration::from_secs(1)).on(OperationKind::Evict);
    storage.inject(slow);
    for n in 0..200_u32 {
        store
            .put((n % 10).to_be_bytes(), [7; 100])
            .await
            .expect("put");
    }
    let begun = Instant::now();
    while !entered.load(Ordering::SeqCst) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no snapshot");
        thread::sleep(Duration::from_millis(1));
    }
    let (dropped, told) = std::sync::mpsc::channel();
    let dropping = thread::spawn(move || {
        drop(store);
        let _ = dropped.send(());
    });
    let in_time = told.recv_timeout(Duration::from_secs(20));
    opened.store(true, Ordering::SeqCst);
    dropping.join().expect("dropped");
    in_time.expect("it waited for the disk");
    // The thread ends the snapshot or gives it up, and then gives up the lock.
    let store = builder().lock_wait(Duration::from_secs(60)).open().await;
    assert_eq!(store.expect("a store").len(), 10);
}
