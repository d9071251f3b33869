//! The memory's limit beside writers, and keys that expire beside readers.

use std::time::Duration;

use shuttle::thread::{scope, yield_now};
use wal_kv::blocking::KvStore;
use wal_kv::{Error, FsyncPolicy};

use super::explore::{below, explore};
use super::machine::{Machine, number};

/// Room for three values of [`LONG`] bytes, about.
const LIMIT: u64 = 1000;
const LONG: u64 = 200;
/// What the index of so few keys takes at most, beside what is counted for it.
const INDEX: u64 = 500;

/// Puts two keys of its own until there is no room; then deletes.
fn fill(store: &KvStore, keys: [&'static str; 2]) {
    let mut own = [None; 2];
    for n in 1..=4 {
        let at = below(2) as usize;
        let value = vec![n; LONG as usize + below(LONG) as usize];
        match store.put(keys[at], value) {
            Ok(_) => own[at] = Some(n),
            Err(Error::OverMemoryLimit {
                used,
                needed,
                limit,
            }) => {
                assert!(used + needed > limit && limit == LIMIT);
                store.delete(keys[1 - at]).expect("deletes always work");
                own[1 - at] = None;
            }
            Err(error) => panic!("{error}"),
        }
        // What was refused has changed nothing.
        for (key, own) in keys.into_iter().zip(own) {
            assert_eq!(number(store, key), own, "{key}");
        }
        let memory = store.stats().memory_bytes;
        assert!(memory <= LIMIT + INDEX, "{memory}");
    }
}

fn memory() {
    let mut machine = Machine::any();
    machine.config.memory_limit = Some(LIMIT);
    let store = machine.open();
    scope(|scope| {
        scope.spawn(|| fill(&store, ["a", "b"]));
        scope.spawn(|| fill(&store, ["c", "d"]));
    });
    for key in ["a", "b", "c", "d"] {
        store.delete(key).expect("deleted");
    }
    store.sync().expect("synced");
    assert_eq!(store.len(), 0);
    let stats = store.stats();
    assert_eq!((stats.memory_bytes, stats.live_bytes), (0, 0));
    store.close().expect("closed");
    drop(store);
    assert!(machine.open_on(&machine.disk).is_empty());
}

/// A key that was gone once stays gone, swept or not, with the clock back at its start too.
fn expiry() {
    let machine = Machine::new(FsyncPolicy::Os);
    let store = machine.open();
    let ttl = Duration::from_millis(3);
    store.put_with_ttl("a", [1], ttl).expect("put");
    scope(|scope| {
        scope.spawn(|| store.put("b", [1]).expect("put"));
        for _ in 0..2 {
            scope.spawn(|| {
                while store.contains_key(b"a") {
                    yield_now();
                }
                for _ in 0..3 {
                    assert_eq!(number(&store, "a"), None);
                    assert!(store.scan_prefix(b"a").next().is_none());
                    yield_now();
                }
            });
        }
    });
    assert_eq!(store.len(), 1);
    store.close().expect("closed");
    drop(store);
    let store = machine.open_on(&machine.disk);
    assert_eq!((number(&store, "a"), number(&store, "b")), (None, Some(1)));
}

#[test]
fn memory_is_limited() {
    explore("memory_is_limited", memory);
}

#[test]
fn expired_keys_stay_away() {
    explore("expired_keys_stay_away", expiry);
}
