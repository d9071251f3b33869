//! Many writers at once: the map's order is the log's, and a reader sees its own writes.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use wal_kv::blocking::KvStore;
use wal_kv::{FsyncPolicy, KvConfig, Lsn};

const WRITERS: u64 = 4;
const KEYS: u64 = 3;

fn config(policy: FsyncPolicy) -> KvConfig {
    KvConfig {
        max_segment_size: 1 << 20,
        fsync_policy: policy,
        ..KvConfig::default()
    }
}

fn key(n: u64) -> [u8; 1] {
    [b'a' + (n % KEYS) as u8]
}

fn contents(store: &KvStore) -> Vec<Option<Vec<u8>>> {
    let get = |n| store.get(&key(n)).map(|value| value.to_vec());
    (0..KEYS).map(get).collect()
}

#[test]
fn reopening_gives_what_was_shown_last() {
    for (policy, writes) in [
        (FsyncPolicy::Os, 3000),
        (FsyncPolicy::Batch(Duration::from_millis(1)), 3000),
        (FsyncPolicy::Always, 60),
    ] {
        let tmp = tempfile::tempdir().expect("a directory");
        let store = KvStore::open(tmp.path().join("store"), config(policy)).expect("a store");
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let store = store.clone();
                scope.spawn(move || {
                    for n in 0..writes {
                        if n % 5 == writer {
                            store.delete(key(n)).expect("deleted");
                        } else {
                            store.put(key(n), format!("{writer} {n}")).expect("put");
                        }
                    }
                });
            }
        });
        let last = contents(&store);
        store.close().expect("closed");
        let store = KvStore::open(tmp.path().join("store"), config(policy)).expect("a store");
        assert_eq!(contents(&store), last, "{policy:?}");
    }
}

#[test]
fn of_writes_at_the_same_time_the_one_with_the_highest_lsn_is_shown() {
    const ROUNDS: usize = 3000;
    let tmp = tempfile::tempdir().expect("a directory");
    let store = KvStore::open(tmp.path().join("store"), config(FsyncPolicy::Os)).expect("a store");
    let barrier = Barrier::new(WRITERS as usize);
    let highest = Mutex::new((Lsn::ZERO, 0));
    let wrong = AtomicU64::new(0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, barrier, highest, wrong) = (&store, &barrier, &highest, &wrong);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    barrier.wait();
                    // All see the same here: the one who looked has told before it came.
                    if wrong.load(Ordering::Relaxed) > 0 {
                        break;
                    }
                    let put = store.put("key", writer.to_be_bytes()).expect("put");
                    let mut last = highest.lock().expect("no writer has failed");
                    *last = (*last).max((put.lsn, writer));
                    drop(last);
                    // The others wait in the next round until this look is over.
                    if barrier.wait().is_leader() {
                        let (_, last) = *highest.lock().expect("no writer has failed");
                        let shown = store.get(b"key").expect("it is never deleted");
                        let is_wrong = shown != last.to_be_bytes()[..];
                        wrong.fetch_add(u64::from(is_wrong), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(wrong.into_inner(), 0, "of {ROUNDS} rounds");
}

#[test]
fn a_put_that_returned_is_read_and_numbers_never_go_back() {
    let tmp = tempfile::tempdir().expect("a directory");
    let store = KvStore::open(tmp.path().join("store"), config(FsyncPolicy::Os)).expect("a store");
    let done = AtomicBool::new(false);
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    store.put("n", 0_u64.to_be_bytes()).expect("put");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Acquire) {
                    let seen = number(&store.get(b"n").expect("it is never deleted"));
                    assert!(seen >= last, "{seen} after {last}");
                    last = seen;
                }
            });
        }
        for n in 1..5000_u64 {
            store.put("n", n.to_be_bytes()).expect("put");
            assert_eq!(number(&store.get(b"n").expect("just put")), n);
        }
        done.store(true, Ordering::Release);
    });
    store.close().expect("closed");
}
