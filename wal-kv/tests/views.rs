//! What views keep: of each key the versions that some open view shows, for as long as one shows them.

#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use wal_core::clock::ManualClock;
use wal_io::MemoryStorage;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, FsyncPolicy, KvConfig, View};

const POLICIES: [FsyncPolicy; 2] = [FsyncPolicy::Os, FsyncPolicy::Always];
const TTL: Duration = Duration::from_millis(10);

fn open(policy: FsyncPolicy, clock: &ManualClock) -> KvStore {
    let config = KvConfig {
        max_segment_size: 1 << 20,
        ..common::config(policy)
    };
    let builder = common::builder(&MemoryStorage::new(), config, Arc::new(clock.clone()));
    builder.open().expect("a store")
}

fn put(store: &KvStore, key: &str, n: u32) {
    store.put(key, n.to_be_bytes()).expect("put");
}

fn number(view: &View, key: &str) -> Option<u32> {
    let value = view.get(key.as_bytes())?;
    let scanned = view.scan_prefix(key.as_bytes()).next();
    let scanned = scanned.map(|pair| pair.to_value());
    assert_eq!(scanned.as_ref(), Some(&value));
    let four = value.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*four))
}

/// How many replaced versions the store keeps.
fn kept(store: &KvStore) -> u64 {
    store.stats().kept_versions
}

#[test]
fn a_hot_key_under_a_view_keeps_the_version_that_the_view_shows_and_no_other() {
    for policy in POLICIES {
        let store = open(policy, &ManualClock::default());
        put(&store, "hot", 0);
        let view = store.view();
        let mut most = 0;
        for n in 1..=3000 {
            put(&store, "hot", n);
            most = most.max(kept(&store));
        }
        assert_eq!((most, number(&view, "hot")), (1, Some(0)), "{policy:?}");
        drop(view);
        assert_eq!(kept(&store), 0);
        assert_eq!(number(&store.view(), "hot"), Some(3000));
    }
}

#[test]
fn a_key_that_a_view_does_not_show_keeps_nothing_for_it() {
    for policy in POLICIES {
        let store = open(policy, &ManualClock::default());
        let view = store.view();
        for n in 0..100 {
            put(&store, "later", n);
            store.delete("later").expect("deleted");
        }
        assert_eq!((kept(&store), number(&view, "later")), (0, None));
    }
}

#[test]
fn each_view_keeps_what_only_it_shows_until_it_closes() {
    for policy in POLICIES {
        let store = open(policy, &ManualClock::default());
        let mut views = Vec::new();
        for n in 0..20_u32 {
            put(&store, "hot", n);
            if n % 4 == 0 {
                put(&store, "warm", n);
            }
            views.push((store.view(), n));
        }
        put(&store, "hot", 20);
        put(&store, "warm", 20);
        store.delete("hot").expect("deleted");
        // Each of 20 views shows another "hot", four of them together the same "warm".
        assert_eq!(kept(&store), 20 + 5);
        // In an order of no order.
        while !views.is_empty() {
            let (view, _) = views.swap_remove(views.len() * 7 % 3 % views.len());
            drop(view);
            let mut warm: Vec<_> = views.iter().map(|(_, n)| n / 4).collect();
            warm.sort_unstable();
            warm.dedup();
            assert_eq!(kept(&store), (views.len() + warm.len()) as u64);
            for (view, n) in &views {
                assert_eq!(number(view, "hot"), Some(*n), "{policy:?}");
                assert_eq!(number(view, "warm"), Some(n / 4 * 4), "{policy:?}");
            }
        }
        // The delete of "hot" has left nothing.
        store.delete("warm").expect("deleted");
        let stats = store.stats();
        assert_eq!((stats.keys, stats.memory_bytes), (0, 0), "{policy:?}");
    }
}

#[test]
fn a_batch_that_names_a_key_many_times_keeps_none_of_what_it_replaces_itself() {
    for policy in POLICIES {
        let store = open(policy, &ManualClock::default());
        put(&store, "hot", 0);
        let view = store.view();
        let mut batch = Batch::new();
        for n in 1..=1000_u32 {
            batch = batch.put("hot", n.to_be_bytes()).delete("gone");
            batch = batch.put("gone", "for a moment").delete("gone");
        }
        store.write(batch).expect("written");
        assert_eq!(kept(&store), 1, "{policy:?}");
        assert_eq!(number(&view, "hot"), Some(0));
        drop(view);
        store.delete("hot").expect("deleted");
        let stats = store.stats();
        assert_eq!((stats.keys, stats.kept_versions), (0, 0), "{policy:?}");
        assert_eq!(stats.memory_bytes, 0, "{policy:?}");
    }
}

#[test]
fn expired_keys_that_a_view_shows_an_older_value_of_do_not_hold_up_the_sweep() {
    for policy in POLICIES {
        let clock = ManualClock::default();
        let store = open(policy, &clock);
        let keys: Vec<_> = (0..200_u32).map(|n| format!("shown {n}")).collect();
        for key in &keys {
            put(&store, key, 7);
        }
        let view = store.view();
        for key in &keys {
            store.put_with_ttl(key, "short", TTL).expect("put");
        }
        for n in 0..500_u32 {
            let key = format!("other {n}");
            store.put_with_ttl(key, "short", TTL).expect("put");
        }
        clock.advance(TTL);
        put(&store, "kept", 1);
        let stats = store.stats();
        assert_eq!((stats.reclaimed, stats.keys), (700, 1), "{policy:?}");
        assert_eq!(stats.kept_versions, 200);
        for key in &keys {
            assert_eq!(number(&view, key), Some(7));
            assert!(!store.contains_key(key.as_bytes()));
        }
        // One is put again, which the view does not see either.
        put(&store, "shown 5", 8);
        assert_eq!(number(&view, "shown 5"), Some(7));
        drop(view);
        store.delete("shown 5").expect("deleted");
        store.delete("kept").expect("deleted");
        let stats = store.stats();
        assert_eq!((stats.keys, stats.kept_versions), (0, 0), "{policy:?}");
        assert_eq!(stats.memory_bytes, 0, "{policy:?}");
    }
}

#[test]
fn len_counts_many_expired_keys_before_they_are_swept() {
    let clock = ManualClock::default();
    let store = open(FsyncPolicy::Os, &clock);
    let mut batch = Batch::new();
    for n in 0..1000_u32 {
        batch = batch.put_with_ttl(n.to_be_bytes(), "short", TTL * (1 + n % 4));
    }
    store.write(batch).expect("written");
    for left in [750, 500, 250, 0] {
        clock.advance(TTL);
        assert_eq!(store.len(), left);
    }
    assert_eq!(store.stats().reclaimed, 0, "nothing was written since");
    // What expired and was counted is replaced: it is there again.
    put(&store, "0000", 1);
    assert_eq!(store.len(), 1);
}
