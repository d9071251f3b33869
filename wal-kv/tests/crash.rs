//! The power fails at every change that a short program makes to its storage, and after each the store holds what it must.

#![forbid(unsafe_code)]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use wal_core::clock::ManualClock;
use wal_io::FaultStorage;
use wal_io::fault::{Fault, Moment, Seeded};
use wal_kv::FsyncPolicy;
use wal_kv::blocking::KvStore;

/// Keys that the program uses.
const KEYS: u8 = 5;
/// Crashes tried at each change.
const SEEDS: u64 = 6;
/// Writes from one sync to the next.
const SYNC_EVERY: usize = 7;

type Model = HashMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Write {
    Put(u8, Vec<u8>),
    Delete(u8),
}

/// Puts, deletes and puts again, over several segments.
fn program() -> Vec<Write> {
    let mut writes = Vec::new();
    for n in 0..60_u8 {
        writes.push(match n % 4 {
            3 => Write::Delete((n / 4) % KEYS),
            _ => Write::Put(n % KEYS, vec![n; 100 + 3 * usize::from(n)]),
        });
    }
    writes
}

impl Write {
    fn run(&self, store: &KvStore) -> wal_kv::Result<wal_kv::Position> {
        match self {
            Self::Put(key, value) => store.put([*key], value),
            Self::Delete(key) => store.delete([*key]),
        }
    }

    fn note(&self, model: &mut Model) {
        match self {
            Self::Put(key, value) => {
                model.insert(vec![*key], value.clone());
            }
            Self::Delete(key) => {
                model.remove([*key].as_slice());
            }
        }
    }
}

/// The states of the program after each number of writes.
fn states(writes: &[Write]) -> Vec<Model> {
    let mut states = vec![Model::new()];
    for write in writes {
        let mut next = states.last().expect("the empty one").clone();
        write.note(&mut next);
        states.push(next);
    }
    states
}

fn shown(store: &KvStore) -> Model {
    let pairs = (0..KEYS).filter_map(|key| Some((vec![key], store.get(&[key])?.to_vec())));
    let shown: Model = pairs.collect();
    assert_eq!(store.len(), shown.len());
    shown
}

/// What a life that ended with a power loss came to.
struct Life {
    /// Writes that returned Ok.
    acknowledged: usize,
    /// Of these, those before the last sync that returned Ok.
    synced: usize,
    /// Writes that were tried.
    tried: usize,
    /// The power did fail.
    failed: bool,
}

/// Runs the program until the power fails, at the change `at`.
fn live(
    storage: &FaultStorage,
    policy: FsyncPolicy,
    writes: &[Write],
    at: u64,
    moment: Moment,
) -> Life {
    storage.inject(Fault::power_cut(moment).after(at));
    let clock = ManualClock::default();
    let mut life = Life {
        acknowledged: 0,
        synced: 0,
        tried: 0,
        failed: false,
    };
    if let Ok(store) = common::open(storage, policy, &clock) {
        let states = states(writes);
        for write in writes {
            life.tried += 1;
            let before = &states[life.acknowledged];
            if write.run(&store).is_err() {
                assert_eq!(shown(&store), *before, "a failed write is shown");
                break;
            }
            life.acknowledged += 1;
            if life.acknowledged.is_multiple_of(SYNC_EVERY) && store.sync().is_ok() {
                life.synced = life.acknowledged;
            }
        }
        if store.close().is_ok() {
            life.synced = life.acknowledged;
        }
    }
    life.failed = storage.has_lost_power();
    life
}

fn crash_everywhere(policy: FsyncPolicy, check: impl Fn(&[Model], &Life, &Model, &str)) {
    let writes = program();
    let states = states(&writes);
    let mut crashes = 0;
    for moment in [Moment::Before, Moment::During, Moment::After] {
        for at in 0.. {
            let storage = FaultStorage::new();
            storage.set_chooser(Seeded::new(at));
            let life = live(&storage, policy, &writes, at, moment);
            if !life.failed {
                assert_eq!(life.acknowledged, writes.len());
                break;
            }
            for seed in 0..SEEDS {
                let after = storage.crash(&mut Seeded::streaky(seed));
                let place = format!("{moment:?} change {at}, seed {seed}, {policy:?}");
                let store = common::open(&after, policy, &ManualClock::default())
                    .unwrap_or_else(|error| panic!("{place}: {error}"));
                check(&states, &life, &shown(&store), &place);
                // What was shown once stays.
                let (first, again) = (shown(&store), after.crash(&mut Seeded::streaky(seed + 1)));
                let store = common::open(&again, policy, &ManualClock::default())
                    .unwrap_or_else(|error| panic!("{place}, again: {error}"));
                assert_eq!(shown(&store), first, "{place}, again");
                crashes += 1;
            }
        }
    }
    assert!(crashes > 500, "only {crashes} crashes");
}

#[test]
fn under_always_every_acknowledged_write_is_there_after_a_power_loss() {
    crash_everywhere(FsyncPolicy::Always, |states, life, found, place| {
        // The write that was under way may have made it.
        let allowed = &states[life.acknowledged..=life.tried];
        assert!(
            allowed.contains(found),
            "{place}: {} of {} writes acknowledged, found {found:?}",
            life.acknowledged,
            life.tried
        );
    });
}

#[test]
fn under_os_and_batch_a_power_loss_leaves_a_prefix_that_holds_what_was_synced() {
    for policy in [
        FsyncPolicy::Os,
        FsyncPolicy::Batch(Duration::from_millis(5)),
    ] {
        crash_everywhere(policy, |states, life, found, place| {
            let allowed = &states[life.synced..=life.tried];
            assert!(
                allowed.contains(found),
                "{place}: {} of {} writes synced, found {found:?}",
                life.synced,
                life.tried
            );
        });
    }
}

#[test]
fn a_write_whose_sync_failed_is_not_shown() {
    use wal_io::fault::{OperationKind, SystemError};

    let storage = FaultStorage::new();
    let store = common::open(&storage, FsyncPolicy::Always, &ManualClock::default()).expect("open");
    store.put("key", "old").expect("put");
    storage.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    for result in [store.put("key", "new"), store.delete("key")] {
        let error = result.expect_err("the log is poisoned");
        assert!(
            matches!(error, wal_kv::Error::Log(wal_core::Error::Poisoned(_))),
            "{error}"
        );
        assert_eq!(store.get(b"key").as_deref(), Some(&b"old"[..]));
    }
}
