//! Hot keys: overwritten, deleted, expiring and swept, under views and scans that come and go.

use std::time::Duration;

use shuttle::thread::{scope, yield_now};
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, View};

use super::explore::{below, explore};
use super::machine::{Machine, number};

const ROUNDS: u8 = 5;

fn shown(view: &View, key: &str) -> Option<u8> {
    let got = view.get(key.as_bytes()).map(|value| value[0]);
    let scanned = view.scan_prefix(key.as_bytes()).next();
    let scanned = scanned.map(|pair| pair.value()[0]);
    assert_eq!(got, scanned, "{key}");
    got
}

/// Two views overlap, and are closed in either order; what each shows does not change.
fn look_twice(store: &KvStore) {
    let older = store.view();
    let first = shown(&older, "a");
    yield_now();
    let newer = store.view();
    let second = shown(&newer, "a");
    assert!(second.unwrap_or(ROUNDS) >= first.unwrap_or(0));
    if below(2) == 0 {
        drop(older);
        yield_now();
        assert_eq!(shown(&newer, "a"), second);
    } else {
        drop(newer);
        yield_now();
        assert_eq!(shown(&older, "a"), first);
    }
}

fn nothing_is_kept(store: &KvStore) {
    store.sync().expect("synced");
    assert_eq!(store.len(), store.iter().count());
    let stats = store.stats();
    assert_eq!((stats.views, stats.kept_versions), (0, 0));
}

fn hot() {
    let machine = Machine::any();
    let store = machine.open();
    scope(|scope| {
        let store = &store;
        scope.spawn(move || {
            for round in 1..=ROUNDS {
                match below(4) {
                    0 => {
                        let batch = Batch::new().put("b", [round]).put("a", [round]);
                        store.write(batch).expect("written");
                    }
                    1 => {
                        store.delete("a").expect("deleted");
                        store.put("a", [round]).expect("put");
                    }
                    _ => drop(store.put("a", [round]).expect("put")),
                }
                assert_eq!(number(store, "a"), Some(round), "its own write");
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                for _ in 0..2 {
                    look_twice(store);
                }
            });
        }
    });
    nothing_is_kept(&store);
    assert_eq!(number(&store, "a"), Some(ROUNDS));
    store.close().expect("closed");
    drop(store);
    assert_eq!(number(&machine.open_on(&machine.disk), "a"), Some(ROUNDS));
}

/// A view outlives its store's close, beside a writer that is refused.
fn close() {
    let machine = Machine::any();
    let store = machine.open();
    store.put("a", [1]).expect("put");
    scope(|scope| {
        let store = &store;
        scope.spawn(move || {
            for round in 2..=ROUNDS {
                if store.put("a", [round]).is_err() {
                    return;
                }
            }
        });
        scope.spawn(move || look_twice(store));
        scope.spawn(move || store.close().expect("closed"));
    });
    let stats = store.stats();
    assert_eq!((stats.views, stats.kept_versions), (0, 0));
    let last = number(&store, "a");
    drop(store);
    assert_eq!(number(&machine.open_on(&machine.disk), "a"), last);
}

/// A key that expires, is swept and is put again; a view shows its value, or none once that has expired.
fn sweep() {
    let machine = Machine::any();
    let store = machine.open();
    let ttl = Duration::from_millis(4);
    scope(|scope| {
        let store = &store;
        scope.spawn(move || {
            for round in 1..=ROUNDS {
                if round % 2 == 1 {
                    store.put_with_ttl("a", [round], ttl).expect("put");
                } else {
                    store.put("a", [round]).expect("put");
                }
            }
            // The last one expires.
            while store.contains_key(b"a") {
                yield_now();
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                for _ in 0..2 {
                    let view = store.view();
                    let first = view.get(b"a").map(|value| value[0]);
                    yield_now();
                    let second = view.get(b"a").map(|value| value[0]);
                    let expired = second.is_none() && first.is_none_or(|round| round % 2 == 1);
                    assert!(second == first || expired, "{first:?}, then {second:?}");
                }
            });
        }
    });
    nothing_is_kept(&store);
    // Written under the lock that the sweep takes.
    store.put("a", [0]).expect("put");
    store.delete("a").expect("deleted");
    nothing_is_kept(&store);
    assert_eq!(store.stats().keys, 0);
    store.close().expect("closed");
    drop(store);
    assert!(machine.open_on(&machine.disk).is_empty());
}

#[test]
fn hot_keys_under_views() {
    explore("hot_keys_under_views", hot);
}

#[test]
fn views_beside_close() {
    explore("views_beside_close", close);
}

#[test]
fn sweeps_under_views() {
    explore("sweeps_under_views", sweep);
}
