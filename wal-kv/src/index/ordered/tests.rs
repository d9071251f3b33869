//! The ordered index against the standard library's, and its own invariants after each step.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use super::{Bounds, Ordered, Version};

/// Keys that share long prefixes, differ in length only, and hold bytes that look like padding.
fn key(n: u16) -> Vec<u8> {
    match n % 5 {
        0 => format!("user:{n:06}:name").into_bytes(),
        1 => vec![0; usize::from(n % 40)],
        2 => n.to_be_bytes().to_vec(),
        3 => format!("user:{n:06}").into_bytes(),
        _ => vec![0xff; usize::from(n % 30)],
    }
}

fn version(key: &[u8], lsn: u64) -> Version {
    Version::put(&mut Vec::new(), lsn, key, b"value", None)
}

type Model = BTreeMap<Vec<u8>, u64>;

fn check(ordered: &Ordered, model: &Model) {
    let mut keys = Vec::new();
    ordered.root.check(Bounds::ALL, &mut keys);
    let expected: Vec<_> = model.keys().cloned().collect();
    assert_eq!(keys, expected);
    assert_eq!(ordered.bytes(), ordered.recount());
}

/// All keys from `from` on, in stretches of `most`.
fn walk_up(ordered: &Ordered, from: &[u8], most: usize) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut at = Bound::Included(from.to_vec());
    loop {
        let stretch = ordered.forward(at.as_ref().map(Vec::as_slice), most);
        keys.extend(stretch.versions.iter().map(|one| one.key().to_vec()));
        match stretch.next {
            Some(next) => at = next,
            None => return keys,
        }
    }
}

/// All keys up to `to`, downwards.
fn walk_down(ordered: &Ordered, to: &[u8], most: usize) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut at = Bound::Included(to.to_vec());
    loop {
        let stretch = ordered.backward(at.as_ref().map(Vec::as_slice), most);
        keys.extend(stretch.versions.iter().rev().map(|one| one.key().to_vec()));
        match stretch.next {
            Some(next) => at = next,
            None => return keys,
        }
    }
}

fn check_walks(ordered: &Ordered, model: &Model, from: u16, most: usize) {
    let from = key(from);
    let up: Vec<_> = model
        .range(from.clone()..)
        .map(|(key, _)| key.clone())
        .collect();
    assert_eq!(walk_up(ordered, &from, most), up);
    let down = model.range(..=from.clone()).rev();
    let down: Vec<_> = down.map(|(key, _)| key.clone()).collect();
    assert_eq!(walk_down(ordered, &from, most), down);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn puts_and_removals_give_what_a_map_gives(
        steps in proptest::collection::vec((any::<u16>(), 0..10_u8), 1..6000),
        most in 1..300_usize,
    ) {
        let (mut ordered, mut model) = (Ordered::default(), Model::new());
        for (at, (n, action)) in steps.iter().enumerate() {
            let (key, lsn) = (key(*n), at as u64 + 1);
            if *action < 7 {
                let replaced = ordered.put(version(&key, lsn)).map(|old| old.lsn());
                assert_eq!(replaced, model.insert(key, lsn));
            } else if let Some(known) = model.get(&key).copied() {
                // A version that is not the newest any more removes nothing.
                assert!(ordered.remove(&key, known + 1).is_none());
                assert_eq!(ordered.remove(&key, known).map(|old| old.lsn()), Some(known));
                model.remove(&key);
            } else {
                assert!(ordered.remove(&key, lsn).is_none());
            }
        }
        check(&ordered, &model);
        check_walks(&ordered, &model, steps[0].0, most);
        // Down to nothing, and nodes are joined on the way.
        for (at, (key, lsn)) in model.clone().into_iter().enumerate() {
            assert!(ordered.remove(&key, lsn).is_some());
            model.remove(&key);
            if at % 512 == 0 {
                check(&ordered, &model);
            }
        }
        check(&ordered, &model);
    }

    #[test]
    fn what_is_built_is_as_if_it_were_put(keys in proptest::collection::btree_set(any::<u16>(), 0..3000), from: u16, threads in 1..4_usize) {
        let model: Model = keys.iter().map(|n| (key(*n), 1)).collect();
        let versions = model.keys().map(|key| version(key, 1)).collect();
        let mut ordered = Ordered::build(versions, threads);
        check(&ordered, &model);
        check_walks(&ordered, &model, from, 100);
        let mut model = model;
        for n in keys.iter().map(|n| n.wrapping_add(7)) {
            ordered.put(version(&key(n), 2));
            model.insert(key(n), 2);
        }
        check(&ordered, &model);
    }
}

#[test]
fn keys_in_order_fill_their_leaves() {
    let mut ordered = Ordered::default();
    let mut model = Model::new();
    for n in 0..50_000_u32 {
        let key = format!("key:{n:08}").into_bytes();
        ordered.put(version(&key, 1));
        model.insert(key, 1);
    }
    check(&ordered, &model);
    // Three words a key, and nearly as much for what is above the small nodes of a test.
    assert!(ordered.bytes() < 50_000 * 44, "{} bytes", ordered.bytes());
}

/// Bytes of the nodes after nine of ten keys have left, in no order, against those of a fresh index of the rest.
#[test]
fn nodes_shrink_as_their_keys_leave() {
    let mut ordered = Ordered::default();
    let key = |n: u32| format!("key:{:08}", n.wrapping_mul(0x9e37_79b9)).into_bytes();
    for n in 0..50_000 {
        ordered.put(version(&key(n), 1));
    }
    for n in (0..50_000).filter(|n| n % 10 != 0) {
        ordered.remove(&key(n), 1);
    }
    let mut fresh = Ordered::default();
    for n in (0..50_000).filter(|n| n % 10 == 0) {
        fresh.put(version(&key(n), 1));
    }
    let (left, fresh) = (ordered.bytes(), fresh.bytes());
    assert!(
        2 * left < 5 * fresh,
        "{left} bytes, a fresh index has {fresh}"
    );
    for n in (0..50_000).filter(|n| n % 10 == 0) {
        ordered.remove(&key(n), 1);
    }
    assert_eq!(ordered.bytes(), 0);
}

/// A queue: keys come at one end and leave at the other.
#[test]
fn nodes_whose_keys_have_left_do_not_pile_up_beside_full_ones() {
    let key = |n: u32| format!("key:{n:08}").into_bytes();
    for backward in [false, true] {
        let key = |n: u32| key(if backward { 90_000 - n } else { n });
        let mut ordered = Ordered::default();
        let mut most = 0;
        for n in 0..50_000 {
            ordered.put(version(&key(n), 1));
            if n >= 1000 {
                ordered.remove(&key(n - 1000), 1);
                most = most.max(ordered.bytes());
            }
        }
        let mut fresh = Ordered::default();
        for n in 49_000..50_000 {
            fresh.put(version(&key(n), 1));
        }
        let model = (49_000..50_000).map(|n| (key(n), 1)).collect();
        check(&ordered, &model);
        assert!(
            most < 2 * fresh.bytes(),
            "{most} bytes, a fresh index has {}",
            fresh.bytes()
        );
    }
}
