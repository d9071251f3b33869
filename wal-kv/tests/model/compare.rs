//! The store beside the map.

use proptest::prelude::*;
use wal_kv::blocking::KvStore;
use wal_kv::{Conditional, Pair, Scan, View};

use super::steps::{KEYS, key};
use crate::common::expected::{Expected, Now, Pairs};

pub(super) type Checked<T = ()> = Result<T, TestCaseError>;

fn pair(pair: &Pair) -> (Vec<u8>, Vec<u8>) {
    (pair.key().to_vec(), pair.value().to_vec())
}

fn pairs(scan: impl Iterator<Item = Pair>) -> Pairs {
    scan.map(|found| pair(&found)).collect()
}

/// Forwards, backwards, and from both ends in turns.
pub(super) fn check_scan(scan: impl Fn() -> Scan, expected: &Pairs) -> Checked {
    prop_assert_eq!(&pairs(scan()), expected);
    let mut back = pairs(scan().rev());
    back.reverse();
    prop_assert_eq!(&back, expected);
    let (mut ends, mut front, mut back) = (scan(), Vec::new(), Vec::new());
    for turn in 0.. {
        let found = if turn % 3 == 0 {
            ends.next_back()
        } else {
            ends.next()
        };
        let Some(found) = found else { break };
        let into = if turn % 3 == 0 { &mut back } else { &mut front };
        into.push(pair(&found));
    }
    back.reverse();
    front.extend(back);
    prop_assert_eq!(&front, expected);
    Ok(())
}

pub(super) fn compare(store: &KvStore, expected: &Expected, now: Now) -> Checked {
    let live = expected.live(now);
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    for key in &keys {
        let value = expected.value(key, now);
        let found = store.get(key);
        prop_assert_eq!(found.as_deref(), value);
        prop_assert_eq!(store.contains_key(key), value.is_some());
    }
    prop_assert_eq!(store.len(), live.len());
    prop_assert_eq!(store.is_empty(), live.is_empty());
    for (key, value) in keys.iter().zip(store.multi_get(&keys)) {
        prop_assert_eq!(value.as_deref(), expected.value(key, now));
    }
    check_scan(|| store.iter(), &live)
}

pub(super) fn compare_view(view: &View, expected: &Expected, now: Now) -> Checked {
    for n in 0..KEYS {
        let key = key(n);
        let found = view.get(&key);
        prop_assert_eq!(found.as_deref(), expected.value(&key, now));
    }
    check_scan(|| view.iter(), &expected.live(now))
}

/// Reads the given number of pairs of a scan that was opened when `left` was what was there.
pub(super) fn advance(
    scan: &mut Scan,
    left: &mut Expected,
    count: u8,
    back: bool,
    now: Now,
) -> Checked {
    for _ in 0..count {
        let found = if back { scan.next_back() } else { scan.next() };
        prop_assert_eq!(found.as_ref().map(pair), left.take(back, now));
    }
    Ok(())
}

pub(super) fn check_conditional(
    outcome: &Conditional,
    holds: bool,
    found: Option<&[u8]>,
) -> Checked {
    match outcome {
        Conditional::Applied(_) => prop_assert!(holds),
        Conditional::Refused { found: value } => {
            prop_assert!(!holds);
            prop_assert_eq!(value.as_deref(), found);
        }
    }
    Ok(())
}
