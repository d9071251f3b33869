//! Keys that expire: gone for every read, gone after reopening, and nothing older comes to light.

#![forbid(unsafe_code)]

mod common;

use std::time::Duration;

use wal_core::UnixMillis;
use wal_core::clock::ManualClock;
use wal_io::MemoryStorage;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Condition, FsyncPolicy};

const TTL: Duration = Duration::from_millis(10);

fn open(storage: &MemoryStorage, clock: &ManualClock) -> KvStore {
    common::open(storage, FsyncPolicy::Os, clock).expect("a store")
}

#[test]
fn a_key_is_gone_when_its_time_is_over() {
    let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
    let store = open(&storage, &clock);
    store.put_with_ttl("session", "user", TTL).expect("put");
    clock.advance(Duration::from_millis(9));
    assert_eq!(store.get(b"session").as_deref(), Some(&b"user"[..]));
    assert_eq!(store.len(), 1);
    clock.advance(Duration::from_millis(1));
    assert_eq!(store.get(b"session"), None);
    assert!(!store.contains_key(b"session"));
    assert!(store.is_empty());
    // The next write reclaims it.
    store.put("other", "value").expect("put");
    assert_eq!(store.len(), 1);
}

#[test]
fn an_expired_key_is_dropped_when_the_log_is_replayed() {
    let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
    let store = open(&storage, &clock);
    store.put("session", "for ever").expect("put");
    store.put_with_ttl("session", "user", TTL).expect("put");
    store.close().expect("closed");
    clock.advance(TTL);
    let store = open(&storage, &clock);
    assert_eq!(
        store.get(b"session"),
        None,
        "not the value before it either"
    );
    assert!(store.is_empty());
}

#[test]
fn the_last_put_decides_how_long_a_key_lasts() {
    let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
    let mut store = open(&storage, &clock);
    store.put_with_ttl("a", "1", TTL).expect("put");
    store.put("a", "2").expect("put");
    store.put_with_ttl("b", "1", TTL).expect("put");
    store.put_with_ttl("b", "2", TTL * 3).expect("put");
    store.put_with_ttl("c", "1", TTL * 3).expect("put");
    store.put_with_ttl("c", "2", TTL).expect("put");
    store.put_with_ttl("d", "1", TTL).expect("put");
    store.delete("d").expect("deleted");
    store.put("d", "2").expect("put");
    store.put_with_ttl("e", "1", Duration::ZERO).expect("put");
    clock.advance(TTL * 2);
    for _ in 0..2 {
        let found: Vec<_> = ["a", "b", "c", "d", "e"]
            .into_iter()
            .filter(|key| store.contains_key(key.as_bytes()))
            .collect();
        assert_eq!(found, ["a", "b", "d"]);
        assert_eq!(store.len(), 3);
        drop(store);
        store = open(&storage, &clock);
    }
}

#[test]
fn a_conditional_put_keeps_the_expiry_of_what_it_replaces() {
    let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
    let store = open(&storage, &clock);
    for key in ["if", "swap", "longer", "plain"] {
        store.put_with_ttl(key, "old", TTL).expect("put");
    }
    let present = &Condition::Present;
    let done = [
        store.put_if("if", "new", present),
        store.compare_and_swap("swap", Some(b"old"), Some(b"new")),
        store.put_if_with_ttl("longer", "new", TTL * 3, present),
        store.put_if_with_ttl("lock", "mine", TTL, &Condition::Absent),
        store.put_if("without", "new", &Condition::Absent),
    ];
    for outcome in done {
        assert!(outcome.expect("decided").is_applied());
    }
    store.put("plain", "new").expect("put");
    assert_eq!(store.get(b"if").as_deref(), Some(&b"new"[..]));
    clock.advance(TTL);
    // One that has expired is no longer replaced: its time does not go over to the next value.
    let again = store.put_if("if", "newer", &Condition::Absent);
    assert!(again.expect("decided").is_applied());
    clock.advance(TTL);
    let left: Vec<_> = store.iter().map(|pair| pair.key().to_vec()).collect();
    assert_eq!(left, [&b"if"[..], b"longer", b"plain", b"without"]);
    drop(store);
    let store = open(&storage, &clock);
    assert_eq!(store.len(), 4);
    clock.advance(TTL);
    assert!(!store.contains_key(b"longer"));
}

#[test]
fn a_time_to_live_below_a_millisecond_is_rounded_up() {
    let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
    let store = open(&storage, &clock);
    let short = Duration::from_micros(999);
    store.put_with_ttl("one", "value", short).expect("put");
    let batch = Batch::new().put_with_ttl("two", "value", Duration::from_nanos(1));
    store.write(batch).expect("put");
    assert!(store.contains_key(b"one") && store.contains_key(b"two"));
    clock.advance(Duration::from_millis(1));
    assert!(store.is_empty());
}

#[test]
fn a_clock_that_is_set_back_revives_nothing_in_an_open_store() {
    let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
    let store = open(&storage, &clock);
    store.put_with_ttl("session", "user", TTL).expect("put");
    clock.advance(TTL);
    assert_eq!(store.get(b"session"), None);
    clock.set_wall(UnixMillis::new(1));
    assert_eq!(store.get(b"session"), None);
    assert_eq!(store.len(), 0);
}

#[test]
fn a_clock_that_is_set_back_before_reopening_revives_nothing() {
    let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
    let set_back = || clock.set_wall(UnixMillis::new(1));
    let store = open(&storage, &clock);
    store.put_with_ttl("a", "1", TTL).expect("put");
    store.put_with_ttl("b", "1", TTL * 2).expect("put");
    store.put_with_ttl("c", "1", TTL * 3).expect("put");
    clock.advance(TTL);
    assert!(!store.contains_key(b"a"));
    store.close().expect("closed");
    // By the log's time mark.
    set_back();
    let store = open(&storage, &clock);
    assert!(!store.contains_key(b"a") && store.contains_key(b"b"));
    assert_eq!(store.len(), 2);
    // By the snapshot, which outlives the mark.
    clock.advance(TTL);
    store.snapshot().expect("a snapshot");
    drop(store);
    set_back();
    let store = open(&storage, &clock);
    assert!(!store.contains_key(b"b") && store.contains_key(b"c"));
    assert_eq!(store.len(), 1);
    drop(store);
    // What had expired when the store was opened is marked as well.
    clock.set_wall(UnixMillis::new(30));
    let store = open(&storage, &clock);
    assert!(store.is_empty());
    store.close().expect("closed");
    set_back();
    assert!(open(&storage, &clock).is_empty());
}

#[test]
fn keys_that_have_expired_are_reclaimed() {
    let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
    let store = open(&storage, &clock);
    store.put("kept", "value").expect("put");
    let before = store.stats().memory_bytes;
    for n in 0..1500_u32 {
        store
            .put_with_ttl(n.to_be_bytes(), "user", TTL)
            .expect("put");
    }
    // Expired under a view that needs the value before it.
    store.put("replaced", "old").expect("put");
    let view = store.view();
    store.put_with_ttl("replaced", "new", TTL).expect("put");
    clock.advance(TTL);
    store.put("kept", "value").expect("put");
    assert_eq!(store.len(), 1);
    assert_eq!(view.get(b"replaced").as_deref(), Some(&b"old"[..]));
    assert_eq!(view.get(&7_u32.to_be_bytes()), None);
    drop(view);
    store.put("kept", "value").expect("put");
    let stats = store.stats();
    assert_eq!(stats.keys, 1);
    // How many vacant places a leaf of the ordered index keeps depends on the order of the removals, and so on the random hashes of
    // the keys: 408, 472 or 616 bytes in 1,500 runs. It keeps at most 48 places of 24 bytes.
    let left = stats.memory_bytes - before;
    assert!(left <= 48 * 24, "{left} bytes more than before");
    assert_eq!(stats.reclaimed, 1501);
    assert_eq!((stats.kept_versions, stats.views), (0, 0));
}
