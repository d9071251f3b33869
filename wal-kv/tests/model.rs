//! Random programs against a plain ordered map: every answer is the model's, before and after reopening, and a view goes on
//! answering as the model did when it was opened.

#![forbid(unsafe_code)]

mod common;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use wal_core::clock::{Clock as _, ManualClock};
use wal_io::MemoryStorage;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Condition, Conditional, FsyncPolicy, KvConfig, Pair, Scan, Snapshots, View};

const KEYS: u8 = 24;

/// Keys of several lengths, the empty one too, some of them prefixes of others.
fn key(n: u8) -> Vec<u8> {
    vec![b'a' + n % 3; usize::from(n / 3)]
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<u8>),
    PutFor(u8, Vec<u8>, u64),
    Delete(u8),
    Batch(Vec<(u8, Option<Vec<u8>>)>),
    /// Puts if the key is absent, present, or has the value that the model says (or does not).
    PutIf(u8, Vec<u8>, u8),
    DeleteIf(u8, u8),
    Swap(u8, bool, Option<Vec<u8>>),
    Sleep(u64),
    Sync,
    Snapshot,
    OpenView,
    CloseView,
    Scan(u8, u8, bool),
    Prefix(u8),
    /// Closes the store, or only drops it.
    Reopen {
        close: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    let value = || proptest::collection::vec(any::<u8>(), 0..300);
    let change = (key.clone(), proptest::option::of(value()));
    prop_oneof![
        8 => (key.clone(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        4 => (key.clone(), value(), 0..50_u64).prop_map(|(key, value, ms)| Step::PutFor(key, value, ms)),
        4 => key.clone().prop_map(Step::Delete),
        3 => proptest::collection::vec(change, 0..6).prop_map(Step::Batch),
        3 => (key.clone(), value(), 0..4_u8).prop_map(|(key, value, how)| Step::PutIf(key, value, how)),
        2 => (key.clone(), 0..4_u8).prop_map(|(key, how)| Step::DeleteIf(key, how)),
        2 => (key.clone(), any::<bool>(), proptest::option::of(value())).prop_map(|(key, right, new)| Step::Swap(key, right, new)),
        3 => (0..30_u64).prop_map(Step::Sleep),
        1 => Just(Step::Sync),
        1 => Just(Step::Snapshot),
        2 => Just(Step::OpenView),
        1 => Just(Step::CloseView),
        2 => (key.clone(), key.clone(), any::<bool>()).prop_map(|(from, to, closed)| Step::Scan(from, to, closed)),
        1 => key.prop_map(Step::Prefix),
        2 => any::<bool>().prop_map(|close| Step::Reopen { close }),
    ]
}

fn policy() -> impl Strategy<Value = FsyncPolicy> {
    prop_oneof![
        Just(FsyncPolicy::Always),
        Just(FsyncPolicy::Batch(Duration::from_millis(5))),
        Just(FsyncPolicy::Os),
    ]
}

fn snapshots() -> impl Strategy<Value = Snapshots> {
    prop_oneof![
        Just(Snapshots::OnCall),
        Just(Snapshots::Automatic { percent: 100 })
    ]
}

/// A value, and the time in milliseconds from which on it is gone.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

/// A conditional put keeps the time of the value that it replaces.
fn replace(model: &mut Model, key: Vec<u8>, value: Vec<u8>, now: u64) {
    let known = model.get(&key).filter(|entry| is_live(entry, now));
    let expires_at = known.and_then(|entry| entry.1);
    model.insert(key, (value, expires_at));
}

fn is_live(entry: &(Vec<u8>, Option<u64>), now: u64) -> bool {
    entry.1.is_none_or(|at| at > now)
}

fn live(model: &Model, now: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let live = model.iter().filter(|(_, entry)| is_live(entry, now));
    live.map(|(key, (value, _))| (key.clone(), value.clone()))
        .collect()
}

fn value_of<'a>(model: &'a Model, key: &[u8], now: u64) -> Option<&'a [u8]> {
    let entry = model.get(key).filter(|entry| is_live(entry, now))?;
    Some(&entry.0)
}

fn pairs(scan: impl Iterator<Item = Pair>) -> Vec<(Vec<u8>, Vec<u8>)> {
    scan.map(|pair| (pair.key().to_vec(), pair.value().to_vec()))
        .collect()
}

/// Forwards, backwards, and from both ends in turns.
fn check_scan(
    scan: impl Fn() -> Scan,
    expected: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(pairs(scan()), expected);
    let mut back = pairs(scan().rev());
    back.reverse();
    prop_assert_eq!(back, expected);
    let (mut ends, mut front, mut back) = (scan(), Vec::new(), Vec::new());
    for turn in 0.. {
        let pair = if turn % 3 == 0 {
            ends.next_back()
        } else {
            ends.next()
        };
        let Some(pair) = pair else { break };
        let into = if turn % 3 == 0 { &mut back } else { &mut front };
        into.push((pair.key().to_vec(), pair.value().to_vec()));
    }
    back.reverse();
    front.extend(back);
    prop_assert_eq!(front, expected);
    Ok(())
}

fn compare(store: &KvStore, model: &Model, now: u64) -> Result<(), TestCaseError> {
    let expected = live(model, now);
    for n in 0..KEYS {
        let key = key(n);
        let value = value_of(model, &key, now);
        let found = store.get(&key);
        prop_assert_eq!(found.as_deref(), value);
        prop_assert_eq!(store.contains_key(&key), value.is_some());
    }
    prop_assert_eq!(store.len(), expected.len());
    prop_assert_eq!(store.is_empty(), expected.is_empty());
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    for (key, value) in keys.iter().zip(store.multi_get(&keys)) {
        prop_assert_eq!(value.as_deref(), value_of(model, key, now));
    }
    check_scan(|| store.iter(), &expected)
}

fn compare_view(view: &View, model: &Model, now: u64) -> Result<(), TestCaseError> {
    for n in 0..KEYS {
        let key = key(n);
        let found = view.get(&key);
        prop_assert_eq!(found.as_deref(), value_of(model, &key, now));
    }
    check_scan(|| view.iter(), &live(model, now))
}

fn put(model: &mut Model, key: Vec<u8>, value: Vec<u8>) {
    model.insert(key, (value, None));
}

/// A condition, and whether the model says that it holds.
fn condition(model: &Model, key: &[u8], how: u8, now: u64) -> (Condition, bool) {
    let value = value_of(model, key, now);
    match how {
        0 => (Condition::Absent, value.is_none()),
        1 => (Condition::Present, value.is_some()),
        2 => {
            let wanted = value.unwrap_or(b"not there").to_vec();
            (Condition::ValueIs(Bytes::from(wanted)), value.is_some())
        }
        _ => {
            let wanted = Bytes::from_static(b"never put");
            (Condition::ValueIs(wanted), false)
        }
    }
}

fn check_conditional(
    outcome: &Conditional,
    holds: bool,
    found: Option<&[u8]>,
) -> Result<(), TestCaseError> {
    match outcome {
        Conditional::Applied(_) => prop_assert!(holds),
        Conditional::Refused { found: value } => {
            prop_assert!(!holds);
            prop_assert_eq!(value.as_deref(), found);
        }
    }
    Ok(())
}

fn run(policy: FsyncPolicy, snapshots: Snapshots, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let storage = MemoryStorage::new();
    let clock = ManualClock::default();
    let open = || {
        let config = KvConfig {
            snapshots,
            ..common::config(policy)
        };
        let builder = common::builder(&storage, config, Arc::new(clock.clone()));
        builder.snapshot_after(3000).open().expect("a store")
    };
    let mut store = open();
    let mut model = Model::new();
    let mut views: Vec<(View, Model)> = Vec::new();
    for step in steps {
        let now = clock.unix().get();
        match step {
            Step::Put(n, value) => {
                store.put(key(n), &value).expect("put");
                put(&mut model, key(n), value);
            }
            Step::PutFor(n, value, ms) => {
                let ttl = Duration::from_millis(ms);
                store.put_with_ttl(key(n), &value, ttl).expect("put");
                model.insert(key(n), (value, Some(now + ms)));
            }
            Step::Delete(n) => {
                store.delete(key(n)).expect("deleted");
                model.remove(&key(n));
            }
            Step::Batch(changes) => {
                let mut batch = Batch::new();
                for (n, value) in changes {
                    if let Some(value) = value {
                        batch = batch.put(key(n), &value);
                        put(&mut model, key(n), value);
                    } else {
                        batch = batch.delete(key(n));
                        model.remove(&key(n));
                    }
                }
                store.write(batch).expect("written");
            }
            Step::PutIf(n, value, how) => {
                let (condition, holds) = condition(&model, &key(n), how, now);
                let outcome = store.put_if(key(n), &value, &condition).expect("decided");
                check_conditional(&outcome, holds, value_of(&model, &key(n), now))?;
                if holds {
                    replace(&mut model, key(n), value, now);
                }
            }
            Step::DeleteIf(n, how) => {
                let (condition, holds) = condition(&model, &key(n), how, now);
                let outcome = store.delete_if(key(n), &condition).expect("decided");
                check_conditional(&outcome, holds, value_of(&model, &key(n), now))?;
                if holds {
                    model.remove(&key(n));
                }
            }
            Step::Swap(n, right, new) => {
                let current = value_of(&model, &key(n), now).map(<[u8]>::to_vec);
                let expected = if right {
                    current.clone()
                } else {
                    Some(b"never put".to_vec())
                };
                let outcome = store.compare_and_swap(key(n), expected.as_deref(), new.as_deref());
                check_conditional(&outcome.expect("decided"), right, current.as_deref())?;
                match (right, new) {
                    (true, Some(value)) => replace(&mut model, key(n), value, now),
                    (true, None) => drop(model.remove(&key(n))),
                    (false, _) => {}
                }
            }
            Step::Sleep(ms) => clock.advance(Duration::from_millis(ms)),
            Step::Sync => store.sync().expect("synced"),
            Step::Snapshot => {
                let report = store.snapshot().expect("a snapshot");
                prop_assert_eq!(store.stats().snapshot_lsn, report.lsn);
            }
            Step::OpenView => views.push((store.view(), model.clone())),
            Step::CloseView => drop(views.pop()),
            Step::Scan(from, to, closed) => {
                let (low, high) = (key(from), key(to));
                let range = if closed {
                    (Bound::Included(low.clone()), Bound::Included(high.clone()))
                } else {
                    (Bound::Excluded(low.clone()), Bound::Excluded(high.clone()))
                };
                let within = |key: &Vec<u8>| {
                    if closed {
                        low <= *key && *key <= high
                    } else {
                        low < *key && *key < high
                    }
                };
                let mut expected = live(&model, now);
                expected.retain(|(key, _)| within(key));
                check_scan(|| store.scan::<Vec<u8>>(range.clone()), &expected)?;
            }
            Step::Prefix(n) => {
                let mut expected = live(&model, now);
                expected.retain(|(found, _)| found.starts_with(&key(n)));
                check_scan(|| store.scan_prefix(&key(n)), &expected)?;
            }
            Step::Reopen { close } => {
                views.clear();
                if close {
                    store.close().expect("closed");
                }
                drop(store);
                store = open();
            }
        }
        let now = clock.unix().get();
        compare(&store, &model, now)?;
        for (view, model) in &views {
            compare_view(view, model, now)?;
        }
    }
    // Nothing is kept for nobody.
    drop(views);
    let kept = store.stats();
    prop_assert_eq!((kept.kept_versions, kept.views), (0, 0));
    for n in 0..KEYS {
        store.delete(key(n)).expect("deleted");
    }
    store.sync().expect("synced");
    prop_assert_eq!(store.len(), 0);
    prop_assert_eq!(store.stats().memory_bytes, 0);
    prop_assert_eq!(store.stats().live_bytes, 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_the_model_s(
        policy in policy(),
        snapshots in snapshots(),
        steps in proptest::collection::vec(step(), 1..100),
    ) {
        run(policy, snapshots, steps)?;
    }
}
