//! Scans and views beside writers.

use shuttle::thread::{scope, yield_now};
use wal_kv::{Batch, View};

use super::explore::{below, explore};
use super::machine::{Machine, number};

const ROUNDS: u8 = 3;

/// What a view shows, forwards or backwards.
fn pairs(view: &View) -> Vec<(Vec<u8>, u8)> {
    let pair = |pair: wal_kv::Pair| (pair.key().to_vec(), pair.value()[0]);
    if below(2) == 0 {
        return view.iter().map(pair).collect();
    }
    let mut pairs: Vec<_> = view.iter().rev().map(pair).collect();
    pairs.reverse();
    pairs
}

/// One writer changes the keys of "a" together, the other one those of "b" one after the other.
fn one_moment() {
    let machine = Machine::any();
    let store = machine.open();
    scope(|scope| {
        let store = &store;
        scope.spawn(move || {
            for round in 1..=ROUNDS {
                let batch = if below(3) == 0 {
                    Batch::new().delete("a1").delete("a2")
                } else {
                    Batch::new().put("a1", [round]).put("a2", [round])
                };
                store.write(batch.put("c", [round])).expect("written");
            }
        });
        scope.spawn(move || {
            for round in 1..=ROUNDS {
                store.put("b1", [round]).expect("put");
                store.put("b2", [round]).expect("put");
            }
        });
        scope.spawn(move || {
            for _ in 0..2 {
                // Of a batch that one read has met, another misses nothing.
                let (met, last) = (number(store, "a1"), number(store, "c"));
                assert!(last >= met, "half a batch: {met:?}, {last:?}");
                let view = store.view();
                let seen = pairs(&view);
                let of = |key: &str| {
                    let found = seen.iter().find(|(found, _)| found == key.as_bytes());
                    found.map(|(_, round)| *round)
                };
                assert!(seen.is_sorted(), "{seen:?}");
                assert_eq!(of("a1"), of("a2"), "half a batch: {seen:?}");
                let (first, second) = (of("b1").unwrap_or(0), of("b2").unwrap_or(0));
                assert!(second <= first && first <= second + 1, "{seen:?}");
                yield_now();
                assert_eq!(pairs(&view), seen, "the same for as long as it is there");
                for key in ["a1", "a2", "b1", "b2", "c"] {
                    let found = view.get(key.as_bytes()).map(|value| value[0]);
                    assert_eq!(found, of(key), "{key}");
                }
            }
        });
    });
    store.sync().expect("synced");
    let last = pairs(&store.view());
    assert_eq!(store.len(), last.len());
    let stats = store.stats();
    assert_eq!(
        (stats.views, stats.kept_versions),
        (0, 0),
        "nothing is kept for nobody"
    );
    store.close().expect("closed");
    drop(store);
    assert_eq!(pairs(&machine.open_on(&machine.disk).view()), last);
}

#[test]
fn scans_show_one_moment() {
    explore("scans_show_one_moment", one_moment);
}
