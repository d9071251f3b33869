//! The limits of memory: what counts against them, and what makes room.

#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use wal_core::clock::ManualClock;
use wal_io::MemoryStorage;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Builder, Condition, Error, FsyncPolicy, KvConfig, Result};

const POLICIES: [FsyncPolicy; 2] = [FsyncPolicy::Os, FsyncPolicy::Always];
const LIMIT: u64 = 100_000;
const TTL: Duration = Duration::from_millis(10);

fn builder(policy: FsyncPolicy, limit: Option<u64>, clock: &ManualClock) -> Builder<KvStore> {
    let config = KvConfig {
        max_segment_size: 1 << 20,
        memory_limit: limit,
        ..common::config(policy)
    };
    common::builder(&MemoryStorage::new(), config, Arc::new(clock.clone()))
}

fn open(policy: FsyncPolicy, clock: &ManualClock) -> KvStore {
    let builder = builder(policy, Some(LIMIT), clock);
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
        assert!((5000..5700).contains(&used), "{used}");
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
fn keys_that_have_expired_make_room_while_the_log_has_none_for_their_mark() {
    for policy in POLICIES {
        let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
        let open = || {
            let config = KvConfig {
                memory_limit: Some(LIMIT),
                ..common::config(policy)
            };
            let builder = common::builder(&storage, config, Arc::new(clock.clone()));
            builder.open().expect("a store")
        };
        let store = open();
        fill(&store, Some(TTL));
        store.close().expect("closed");
        drop(store);
        // No segment has been prepared yet that the mark of their sweep could go into.
        let store = open();
        clock.advance(TTL);
        store.put("key", vec![0; 3000]).expect("there is room");
        assert_eq!(store.len(), 1, "{policy:?}");
    }
}

/// The same through the async store, which has no thread to spare for waiting.
#[tokio::test]
async fn keys_that_have_expired_make_room_for_a_write_of_the_async_store() {
    let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
    let open = || {
        let config = KvConfig {
            memory_limit: Some(LIMIT),
            max_segment_size: 1 << 20,
            ..common::config(FsyncPolicy::Os)
        };
        let builder = wal_kv::KvStore::builder("store").config(config);
        let builder = builder.storage(Arc::new(storage.clone()));
        builder.clock(Arc::new(clock.clone())).open()
    };
    let store = open().await.expect("a store");
    let mut n = 0;
    while store.put_with_ttl(key(n), [0; 100], TTL).await.is_ok() {
        n += 1;
    }
    store.close().await.expect("closed");
    drop(store);
    let store = open().await.expect("a store");
    clock.advance(TTL);
    let put = store.put("key", vec![0; 80_000]).await;
    put.expect("there is room");
    assert_eq!(store.len(), 1);
}

#[test]
fn an_expiry_counts_with_its_entry_in_the_set_of_expiries() {
    let store = open(FsyncPolicy::Os, &ManualClock::default());
    store.put("b", "value").expect("put");
    let plain = store.stats().memory_bytes;
    store.put_with_ttl("b", "value", TTL).expect("put");
    // Its own eight bytes, which here need no more of the allocator, and a place among eleven in a node of a tree.
    let entry = store.stats().memory_bytes - plain;
    assert!((24..=64).contains(&entry), "{entry}");
    store.put("b", "value").expect("put");
    assert_eq!(store.stats().memory_bytes, plain);
}

#[test]
fn values_of_the_same_length_replace_each_other_at_the_limit_whatever_a_view_holds() {
    for policy in POLICIES {
        let clock = ManualClock::default();
        let builder = builder(policy, Some(LIMIT), &clock).view_memory_limit(u64::MAX);
        let store = builder.open().expect("a store");
        let keys = fill(&store, None);
        let mut views = Vec::new();
        for round in 1..=5 {
            views.push(store.view());
            for n in 0..keys {
                store.put(key(n), [round; 100]).expect("it does not grow");
            }
        }
        let stats = store.stats();
        // Each view holds each key's value of another round.
        assert!(stats.view_bytes > 4 * LIMIT / 2, "{stats:?}");
        assert!(stats.view_bytes <= stats.kept_bytes);
        for (view, round) in views.iter().zip(0..) {
            assert_eq!(view.get(&key(0)).as_deref(), Some(&[round; 100][..]));
        }
        drop(views);
        assert_eq!(store.stats().kept_bytes, 0);
    }
}

fn refused<T>(result: Result<T>) -> (u64, u64, u64, Duration) {
    match result {
        Err(Error::OverViewMemoryLimit {
            held,
            needed,
            limit,
            oldest_view,
        }) => (held, needed, limit, oldest_view),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn above_their_limit_views_stop_writes_of_what_they_show_and_nothing_else() {
    for policy in POLICIES {
        let clock = ManualClock::default();
        let builder = builder(policy, None, &clock).view_memory_limit(20_000);
        let store = builder.open().expect("a store");
        for n in 0..1000 {
            store.put(key(n), [1; 100]).expect("put");
        }
        let view = store.view();
        clock.advance(Duration::from_secs(5));
        let younger = store.view();
        clock.advance(Duration::from_secs(2));
        let mut n = 0;
        let error = loop {
            assert!(n < 1000, "never refused");
            match store.put(key(n), [2; 100]) {
                Ok(_) => n += 1,
                Err(error) => break error,
            }
        };
        let text = error.to_string();
        assert!(
            text.contains("7s") && text.contains("view_memory_limit"),
            "{text}"
        );
        let (held, needed, limit, age) = refused::<()>(Err(error));
        assert!(
            held + needed > limit && limit == 20_000,
            "{held} + {needed}"
        );
        assert_eq!(age, Duration::from_secs(7));
        assert_eq!(held, store.stats().view_bytes);
        assert_eq!(store.stats().oldest_view, Some(age));
        assert!((100..200).contains(&n), "{n}");
        // A delete, a conditional write, a lifetime: whatever replaces what a view shows.
        refused(store.delete(key(n)));
        refused(store.put_with_ttl(key(n + 1), "short", TTL));
        refused(store.write(Batch::new().put("new", "value").delete(key(999))));
        refused(store.put_if(key(n), "other", &Condition::Present));
        assert!(!store.contains_key(b"new"));
        // Keys that no view shows, or that were replaced since: all writes go on, also of what is written now.
        for round in 0..10 {
            store.put("new", [round; 1000]).expect("put");
            store.put(key(0), [round; 1000]).expect("put");
            store.delete(key(1)).expect("deleted");
            store.put(key(1), [round; 1000]).expect("put");
        }
        store.delete("new").expect("deleted");
        store.delete("was never there").expect("deleted");
        // Both views are whole.
        for n in 0..1000 {
            for view in [&view, &younger] {
                assert_eq!(view.get(&key(n)).as_deref(), Some(&[1; 100][..]));
            }
        }
        // The younger one shows all of it too.
        drop(view);
        let (.., age) = refused(store.delete(key(n)));
        assert_eq!(age, Duration::from_secs(2));
        drop(younger);
        assert_eq!(store.stats().oldest_view, None);
        for n in 0..1000 {
            store.delete(key(n)).expect("writes go on");
        }
        store.sync().expect("synced");
        let stats = store.stats();
        assert_eq!((stats.memory_bytes, stats.kept_bytes), (0, 0), "{policy:?}");
    }
}

#[test]
fn a_batch_that_puts_and_deletes_a_key_counts_the_delete_that_a_view_shows() {
    for policy in POLICIES {
        let builder = builder(policy, None, &ManualClock::default()).view_memory_limit(1500);
        let store = builder.open().expect("a store");
        let key = [b'k'; 1000];
        store.put(key, "value").expect("put");
        let _value = store.view();
        store.delete(key).expect("deleted");
        let _none = store.view();
        let held = store.stats().view_bytes;
        assert!((1000..1200).contains(&held), "{held}");
        // The delete has to stay for the view that shows it.
        refused(store.write(Batch::new().put(key, "again").delete(key)));
        refused(store.write(Batch::new().put(key, "again").put(key, "and again")));
        store
            .write(Batch::new().delete(key).delete(key))
            .expect("it changes nothing");
        assert_eq!(store.stats().view_bytes, held);
    }
}

#[test]
fn views_may_hold_as_much_as_the_live_data_where_they_have_no_limit_of_their_own() {
    let store = open(FsyncPolicy::Os, &ManualClock::default());
    store.put("key", vec![1; 60_000]).expect("put");
    let first = store.view();
    store.put("key", vec![2; 60_000]).expect("put");
    let second = store.view();
    let (held, needed, limit, _) = refused(store.put("key", vec![3; 60_000]));
    assert!(held > 60_000 && needed > 60_000 && limit == LIMIT);
    drop(first);
    store.put("key", vec![3; 60_000]).expect("put");
    drop(second);
    // Without any limit, all is taken.
    let builder = builder(FsyncPolicy::Os, None, &ManualClock::default());
    let store = builder.open().expect("a store");
    let views: Vec<_> = (0..20)
        .map(|n| {
            store.put("key", vec![n; 100_000]).expect("put");
            store.view()
        })
        .collect();
    assert!(store.stats().view_bytes > 1_900_000);
    drop(views);
}

/// Six of ten keys leave, then nine of ten, then all, one by one or in batches.
#[test]
fn tables_and_nodes_shrink_when_keys_leave() {
    const KEYS: u32 = 60_000;
    let open = |policy| {
        let builder = builder(policy, None, &ManualClock::default());
        builder.open().expect("a store")
    };
    let all = || (0..KEYS).map(|n| n.wrapping_mul(0x9e37_79b9));
    let put = |store: &KvStore, keep: u32| {
        for n in all().filter(|n| n % 10 < keep) {
            store.put(key(n), "value").expect("put");
        }
    };
    for policy in POLICIES {
        for batched in [false, true] {
            let store = open(policy);
            put(&store, 10);
            for keep in [4, 1, 0] {
                let mut batch = Batch::new();
                for n in all().filter(|n| n % 10 >= keep) {
                    if !batched {
                        store.delete(key(n)).expect("deleted");
                    } else if store.contains_key(&key(n)) {
                        batch = batch.delete(key(n));
                    }
                    if batch.len() == 10_000 {
                        store.write(std::mem::take(&mut batch)).expect("deleted");
                    }
                }
                store.write(batch).expect("deleted");
                store.sync().expect("synced");
                // What is due is done beside a write here, and by the store's thread elsewhere.
                store.delete("nothing").expect("deleted");
                let left = store.stats();
                let fresh = open(policy);
                put(&fresh, keep);
                let fresh = fresh.stats();
                assert_eq!(left.keys, fresh.keys);
                assert_eq!(
                    left.memory_bytes - left.index_bytes,
                    fresh.memory_bytes - fresh.index_bytes
                );
                let (left, fresh) = (left.index_bytes, fresh.index_bytes);
                assert!(
                    left * 10 <= fresh * 16,
                    "{left} bytes where {keep} of 10 keys are left, a fresh store has {fresh}"
                );
            }
            assert_eq!(store.stats().kept_bytes, 0);
        }
    }
}

#[test]
fn values_of_the_same_length_replace_each_other_at_the_limit_while_snapshots_are_written() {
    let tmp = tempfile::tempdir().expect("a directory");
    let config = KvConfig {
        memory_limit: Some(1 << 20),
        ..common::config(FsyncPolicy::Os)
    };
    let config = KvConfig {
        max_segment_size: 1 << 20,
        ..config
    };
    // The snapshot alone would exceed this at once.
    let builder = KvStore::builder(tmp.path()).config(config);
    let store = builder.view_memory_limit(1000).open().expect("a store");
    store.put("one", "more").expect("put");
    let keys = fill(&store, None);
    let beside = std::thread::scope(|scope| {
        let snapshots = scope.spawn(|| {
            for _ in 0..100 {
                store.put("one", "more").expect("there is room for it");
                store.snapshot().expect("a snapshot");
            }
        });
        let (mut beside, mut round) = (0, 0_u8);
        while !snapshots.is_finished() {
            round = round.wrapping_add(1);
            for n in 0..keys {
                store.put(key(n), [round; 100]).expect("never refused");
                beside += u32::from(n % 64 == 0 && store.stats().views > 0) * 64;
            }
        }
        beside
    });
    assert!(beside > 1000, "{beside} writes beside snapshots");
    let stats = store.stats();
    assert!(stats.snapshots > 0 && stats.snapshot_failures == 0);
    assert_eq!((stats.kept_bytes, stats.view_bytes), (0, 0));
}

/// A queue: keys come at one end and leave at the other, whatever lies between.
#[test]
fn a_queue_of_keys_takes_no_more_memory_than_its_keys() {
    let builder = builder(FsyncPolicy::Os, None, &ManualClock::default());
    let store = builder.open().expect("a store");
    let (mut first, mut last) = (0, 0);
    for n in 0..200_000 {
        store.put(key(n), "value").expect("put");
        if n >= 2000 {
            store.delete(key(n - 2000)).expect("deleted");
        }
        if n == 20_000 {
            first = store.stats().index_bytes;
        }
        last = store.stats().index_bytes;
    }
    assert!(last < first * 5 / 4, "{first} bytes, and then {last}");
}

#[test]
fn where_a_pair_was_deleted_another_one_of_its_lengths_fits() {
    for policy in POLICIES {
        let store = open(policy, &ManualClock::default());
        let keys = fill(&store, None);
        for n in 0..20_000 {
            store.delete(key(n)).expect("deleted");
            store.put(key(n + keys), [1; 100]).expect("there is room");
            assert!(store.put(key(n), [1; 100]).is_err());
        }
        assert_eq!(store.len(), keys as usize);
    }
}
