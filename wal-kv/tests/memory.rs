//! The limit of memory: what counts against it, and what makes room.

#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use wal_core::clock::ManualClock;
use wal_io::MemoryStorage;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Error, FsyncPolicy, KvConfig};

const POLICIES: [FsyncPolicy; 2] = [FsyncPolicy::Os, FsyncPolicy::Always];
const LIMIT: u64 = 100_000;
const TTL: Duration = Duration::from_millis(10);

fn open(policy: FsyncPolicy, clock: &ManualClock) -> KvStore {
    let config = KvConfig {
        max_segment_size: 1 << 20,
        memory_limit: Some(LIMIT),
        ..common::config(policy)
    };
    let builder = common::builder(&MemoryStorage::new(), config, Arc::new(clock.clone()));
    builder.open().expect("a store")
}

fn key(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

/// Puts values of 100 bytes until there is no room; returns how many.
fn fill(store: &KvStore, ttl: Option<Duration>) -> u32 {
    for n in 0.. {
        let put = match ttl {
            Some(ttl) => store.put_with_ttl(key(n), [0; 100], ttl),
            None => store.put(key(n), [0; 100]),
        };
        match put {
            Ok(_) => {}
            Err(Error::OverMemoryLimit { .. }) => return n,
            Err(error) => panic!("{error}"),
        }
    }
    0
}

#[test]
fn a_batch_that_deletes_as_much_as_it_puts_is_taken_at_the_limit() {
    for policy in POLICIES {
        let store = open(policy, &ManualClock::default());
        let keys = fill(&store, None);
        let mut batch = Batch::new();
        for n in 0..keys {
            batch = batch.put(key(keys + n), [1; 100]).delete(key(n));
        }
        store.write(batch).expect("it does not grow");
        assert_eq!(store.len(), keys as usize);
        // What it has deleted makes room at once for the next one.
        let mut batch = Batch::new();
        for n in 0..keys {
            batch = batch.delete(key(keys + n)).put(key(n), [2; 100]);
        }
        store.write(batch).expect("it does not grow");
        // One that grows is refused as a whole.
        let batch = Batch::new().delete(key(0)).put("new", [0; 2000]);
        let error = store.write(batch).expect_err("refused");
        assert!(matches!(error, Error::OverMemoryLimit { .. }), "{error}");
        assert!(store.contains_key(&key(0)));
    }
}

#[test]
fn a_batch_that_names_a_key_a_hundred_times_counts_it_once() {
    for policy in POLICIES {
        let store = open(policy, &ManualClock::default());
        let mut batch = Batch::new();
        for n in 0..100 {
            batch = batch.put("key", vec![n; 5000]);
        }
        store.write(batch).expect("the last value fits");
        let used = store.stats().memory_bytes;
        assert!((5000..5200).contains(&used), "{used}");
        // The last change of a key counts, whatever came before.
        let batch = Batch::new()
            .delete("key")
            .put("key", vec![0; 60_000])
            .put("other", vec![0; 60_000]);
        let error = store.write(batch).expect_err("refused");
        assert!(matches!(error, Error::OverMemoryLimit { .. }), "{error}");
    }
}

#[test]
fn keys_that_have_expired_make_room_for_a_write_before_they_are_swept() {
    for policy in POLICIES {
        let clock = ManualClock::default();
        let store = open(policy, &clock);
        fill(&store, Some(TTL));
        clock.advance(TTL);
        store.put("key", vec![0; 80_000]).expect("there is room");
        assert_eq!(store.len(), 1, "{policy:?}");
    }
}

#[test]
fn an_expiry_counts_with_its_entry_in_the_set_of_expiries() {
    let store = open(FsyncPolicy::Os, &ManualClock::default());
    store.put("a", "value").expect("put");
    let plain = store.stats().memory_bytes;
    store.put_with_ttl("b", "value", TTL).expect("put");
    // Its own eight bytes, and 48 for three words in a tree.
    assert_eq!(store.stats().memory_bytes, 2 * plain + 56);
    store.put("b", "value").expect("put");
    assert_eq!(store.stats().memory_bytes, 2 * plain);
}
