//! Random programs against a plain map: every answer is the model's, before and after reopening.

#![forbid(unsafe_code)]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use wal_core::clock::{Clock as _, ManualClock};
use wal_io::MemoryStorage;
use wal_kv::FsyncPolicy;
use wal_kv::blocking::KvStore;

const KEYS: u8 = 12;

/// Keys of several lengths, the empty one too.
fn key(n: u8) -> Vec<u8> {
    vec![n; usize::from(n)]
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<u8>),
    PutFor(u8, Vec<u8>, u64),
    Delete(u8),
    Sleep(u64),
    Sync,
    /// Closes the store, or only drops it.
    Reopen {
        close: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    let value = || proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        8 => (key.clone(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        4 => (key.clone(), value(), 0..50_u64).prop_map(|(key, value, ms)| Step::PutFor(key, value, ms)),
        4 => key.prop_map(Step::Delete),
        3 => (0..30_u64).prop_map(Step::Sleep),
        1 => Just(Step::Sync),
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

/// A value, and the time in milliseconds from which on it is gone.
type Model = HashMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn compare(store: &KvStore, model: &Model, now: u64) -> Result<(), TestCaseError> {
    let live = |key: &[u8]| {
        let (value, at) = model.get(key)?;
        at.is_none_or(|at| at > now).then_some(value)
    };
    let mut count = 0;
    for n in 0..KEYS {
        let key = key(n);
        let expected = live(&key);
        count += usize::from(expected.is_some());
        let found = store.get(&key);
        prop_assert_eq!(found.as_deref(), expected.map(Vec::as_slice));
        prop_assert_eq!(store.contains_key(&key), expected.is_some());
    }
    prop_assert_eq!(store.len(), count);
    prop_assert_eq!(store.is_empty(), count == 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_the_model_s(policy in policy(), steps in proptest::collection::vec(step(), 1..120)) {
        let storage = MemoryStorage::new();
        let clock = ManualClock::default();
        let mut store = common::open(&storage, policy, &clock).expect("a store");
        let mut model = Model::new();
        for step in steps {
            let now = clock.unix().get();
            match step {
                Step::Put(n, value) => {
                    store.put(key(n), &value).expect("put");
                    model.insert(key(n), (value, None));
                }
                Step::PutFor(n, value, ms) => {
                    store.put_with_ttl(key(n), &value, Duration::from_millis(ms)).expect("put");
                    model.insert(key(n), (value, Some(now + ms)));
                }
                Step::Delete(n) => {
                    store.delete(key(n)).expect("deleted");
                    model.remove(&key(n));
                }
                Step::Sleep(ms) => clock.advance(Duration::from_millis(ms)),
                Step::Sync => store.sync().expect("synced"),
                Step::Reopen { close } => {
                    if close {
                        store.close().expect("closed");
                    }
                    drop(store);
                    store = common::open(&storage, policy, &clock).expect("a store");
                }
            }
            compare(&store, &model, clock.unix().get())?;
        }
    }
}
