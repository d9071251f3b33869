//! The power fails at every change that writes, snapshots, cuts and the opening after them make, and again while the store recovers.
//! After each crash the store holds what it must, and its scans say the same as its gets.

#![forbid(unsafe_code)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wal_core::clock::ManualClock;
use wal_io::fault::{Fault, Moment, OperationKind, Seeded, SystemError};
use wal_io::{FaultStorage, Storage as _};
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, FsyncPolicy, KvConfig, Position, Result, Snapshots};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

const KEYS: u8 = 6;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<u8>),
    Delete(u8),
    /// A put and a delete together.
    Batch(u8, Vec<u8>, u8),
    Sync,
    Snapshot,
}

/// Writes over several segments, a snapshot every few of them.
fn program() -> Vec<Step> {
    let mut steps = Vec::new();
    for n in 0..48_u8 {
        let value = vec![n; 80 + 9 * usize::from(n)];
        steps.push(match n % 5 {
            2 => Step::Delete((n / 5) % KEYS),
            4 => Step::Batch(n % KEYS, value, (n + 1) % KEYS),
            _ => Step::Put(n % KEYS, value),
        });
        if n % 11 == 7 {
            steps.push(Step::Snapshot);
        }
        if n % 17 == 9 {
            steps.push(Step::Sync);
        }
    }
    steps
}

impl Step {
    fn is_write(&self) -> bool {
        !matches!(self, Self::Sync | Self::Snapshot)
    }

    fn run(&self, store: &KvStore) -> Result<Option<Position>> {
        match self {
            Self::Put(key, value) => store.put([*key], value).map(Some),
            Self::Delete(key) => store.delete([*key]).map(Some),
            Self::Batch(put, value, delete) => {
                let batch = Batch::new().put([*put], value).delete([*delete]);
                store.write(batch).map(Some)
            }
            Self::Sync => store.sync().map(|()| None),
            Self::Snapshot => store.snapshot().map(|_| None),
        }
    }

    /// Records that it takes.
    fn records(&self) -> u64 {
        match self {
            Self::Put(..) | Self::Delete(_) => 1,
            Self::Batch(..) => 2,
            Self::Sync | Self::Snapshot => 0,
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
            Self::Batch(put, value, delete) => {
                model.insert(vec![*put], value.clone());
                model.remove([*delete].as_slice());
            }
            Self::Sync | Self::Snapshot => {}
        }
    }
}

/// The states after each number of writes.
fn states(steps: &[Step]) -> Vec<Model> {
    let mut states = vec![Model::new()];
    for step in steps.iter().filter(|step| step.is_write()) {
        let mut next = states.last().expect("the empty one").clone();
        step.note(&mut next);
        states.push(next);
    }
    states
}

/// What the store shows, by gets and by scans.
fn shown(store: &KvStore, place: &str) -> Model {
    let got = (0..KEYS).filter_map(|key| Some((vec![key], store.get(&[key])?.to_vec())));
    let got: Model = got.collect();
    let pair = |pair: wal_kv::Pair| (pair.key().to_vec(), pair.value().to_vec());
    let scanned: Vec<_> = store.iter().map(pair).collect();
    let expected: Vec<_> = got.clone().into_iter().collect();
    assert_eq!(scanned, expected, "{place}: a scan");
    let mut back: Vec<_> = store.iter().rev().map(pair).collect();
    back.reverse();
    assert_eq!(back, expected, "{place}: a scan from behind");
    assert_eq!(store.len(), got.len(), "{place}: len");
    got
}

fn open(storage: &FaultStorage, policy: FsyncPolicy, snapshots: Snapshots) -> Result<KvStore> {
    let config = KvConfig {
        snapshots,
        ..common::config(policy)
    };
    let clock = Arc::new(ManualClock::default());
    let builder = common::builder(storage, config, clock);
    builder.snapshot_after(2000).open()
}

/// What a life that ended with a power loss came to: writes that returned Ok, those of them that were said to be durable, and
/// those that were tried.
#[derive(Debug, Default)]
struct Life {
    acknowledged: usize,
    durable: usize,
    tried: usize,
    snapshots: u64,
    failed: bool,
}

fn live(storage: &FaultStorage, policy: FsyncPolicy, snapshots: Snapshots, steps: &[Step]) -> Life {
    let mut life = Life::default();
    if let Ok(store) = open(storage, policy, snapshots) {
        let states = states(steps);
        let mut lasts = Vec::new();
        for step in steps {
            if step.is_write() {
                life.tried += 1;
            }
            let Ok(position) = step.run(&store) else {
                let expected = &states[life.acknowledged];
                assert_eq!(shown(&store, "after an error"), *expected);
                break;
            };
            if let Some(position) = position {
                life.acknowledged += 1;
                lasts.push(position.lsn.get() + step.records() - 1);
            }
        }
        let closed = store.close().is_ok();
        let durable = store.durable_lsn().get();
        life.durable = lasts.iter().filter(|last| **last <= durable).count();
        assert!(!closed || life.durable == life.acknowledged);
        life.snapshots = store.stats().snapshots;
    }
    life.failed = storage.has_lost_power();
    life
}

/// Opens after a crash, checks, writes on, and opens once more.
fn check(after: &FaultStorage, policy: FsyncPolicy, allowed: &[Model], place: &str) -> Model {
    let store =
        open(after, policy, Snapshots::OnCall).unwrap_or_else(|error| panic!("{place}: {error}"));
    let found = shown(&store, place);
    assert!(allowed.contains(&found), "{place}: found {found:?}");
    found
}

fn crash_everywhere(policy: FsyncPolicy, snapshots: Snapshots) {
    let steps = program();
    let states = states(&steps);
    let (mut crashes, mut nested) = (0, 0);
    for moment in [Moment::Before, Moment::During, Moment::After] {
        for at in 0.. {
            let storage = FaultStorage::new();
            storage.set_chooser(Seeded::new(at));
            storage.inject(Fault::power_cut(moment).after(at));
            let life = live(&storage, policy, snapshots, &steps);
            if !life.failed {
                assert_eq!(life.acknowledged, states.len() - 1);
                assert!(life.snapshots > 2, "{life:?}");
                break;
            }
            let sure = if policy == FsyncPolicy::Always {
                life.acknowledged
            } else {
                life.durable
            };
            let allowed = &states[sure..=life.tried];
            for seed in 0..3 {
                let place =
                    format!("{policy:?}, {snapshots:?}, {moment:?} change {at}, seed {seed}");
                let after = storage.crash(&mut Seeded::streaky(seed));
                // Again, at each change of the opening.
                if moment == Moment::During && seed == 0 {
                    for again in 0.. {
                        let place = format!("{place}, then {again}");
                        let second = storage.crash(&mut Seeded::streaky(seed));
                        second.set_chooser(Seeded::new(again));
                        second.inject(Fault::power_cut(Moment::During).after(again));
                        let opened = open(&second, policy, snapshots).map(drop);
                        if !second.has_lost_power() {
                            opened.unwrap_or_else(|error| panic!("{place}: {error}"));
                            break;
                        }
                        let third = second.crash(&mut Seeded::streaky(again));
                        check(&third, policy, allowed, &place);
                        nested += 1;
                    }
                }
                let found = check(&after, policy, allowed, &place);
                // What was shown once stays, and the store goes on from it.
                let again = after.crash(&mut Seeded::streaky(seed + 1));
                check(&again, policy, std::slice::from_ref(&found), &place);
                let store = open(&again, policy, snapshots).expect("it opened before");
                store.put([0], "new").expect("put");
                store.snapshot().expect("a snapshot");
                store.delete([1]).expect("deleted");
                store.close().expect("closed");
                drop(store);
                let mut expected = found;
                expected.insert(vec![0], b"new".to_vec());
                expected.remove([1].as_slice());
                check(&again, policy, &[expected], &place);
                crashes += 1;
            }
        }
    }
    assert!(
        crashes > 500 && nested > 300,
        "only {crashes} crashes, {nested} nested"
    );
}

#[test]
fn with_snapshots_on_call_under_always() {
    crash_everywhere(FsyncPolicy::Always, Snapshots::OnCall);
}

#[test]
fn with_snapshots_on_call_under_os() {
    crash_everywhere(FsyncPolicy::Os, Snapshots::OnCall);
}

#[test]
fn with_automatic_snapshots_under_always() {
    crash_everywhere(FsyncPolicy::Always, Snapshots::Automatic { percent: 100 });
}

#[test]
fn with_automatic_snapshots_under_batch() {
    let policy = FsyncPolicy::Batch(Duration::from_millis(5));
    crash_everywhere(policy, Snapshots::Automatic { percent: 50 });
}

#[test]
fn an_error_of_the_storage_at_any_place_loses_nothing() {
    let steps = program();
    let states = states(&steps);
    let mut struck = 0;
    for error in [SystemError::Io, SystemError::NoSpace] {
        for at in 0.. {
            let storage = FaultStorage::new();
            storage.set_chooser(Seeded::new(at));
            storage.inject(Fault::error(error).on_changes().after(at));
            let place = format!("{error:?} at change {at}");
            let policy = FsyncPolicy::Always;
            let mut acknowledged = 0;
            let mut tried = 0;
            if let Ok(store) = open(&storage, policy, Snapshots::OnCall) {
                for step in &steps {
                    tried += usize::from(step.is_write());
                    let done = step.run(&store);
                    match (step.is_write(), done) {
                        (true, Ok(_)) => acknowledged += 1,
                        // A snapshot that failed changes nothing, and the next one tries again.
                        (false, _) => assert_eq!(shown(&store, &place), states[acknowledged]),
                        (true, Err(_)) => break,
                    }
                }
                // It may be poisoned.
                let _ = store.close();
            }
            if storage.faults_struck() == 0 {
                break;
            }
            struck += 1;
            storage.clear_faults();
            for after in [storage.kill(), storage.crash(&mut Seeded::new(at))] {
                check(&after, policy, &states[acknowledged..=tried], &place);
            }
        }
    }
    assert!(struck > 200, "only {struck}");
}

#[test]
fn a_snapshot_that_is_tried_again_after_an_error_is_there_at_every_moment() {
    let mut crashes = 0;
    for policy in [FsyncPolicy::Always, FsyncPolicy::Os] {
        let steps = program();
        let states = states(&steps);
        let written = [states.last().expect("there are some").clone()];
        for (at, cut) in (0..).flat_map(|at| (0..16).map(move |cut| (at, cut))) {
            let storage = FaultStorage::new();
            let store = open(&storage, policy, Snapshots::OnCall).expect("a store");
            for step in &steps {
                step.run(&store).expect("run");
            }
            store.sync().expect("synced");
            storage.inject(Fault::error(SystemError::Io).after(at));
            let failed = store.snapshot().is_err();
            if storage.faults_struck() == 0 {
                break;
            }
            storage.clear_faults();
            storage.inject(Fault::power_cut(Moment::During).after(cut));
            let again = store.snapshot().is_ok();
            let place = format!("{policy:?}, error at {at} ({failed}), crash at {cut} ({again})");
            for seed in 0..4 {
                let after = storage.crash(&mut Seeded::new(seed));
                check(&after, policy, &written, &place);
                crashes += 1;
            }
        }
    }
    assert!(crashes > 1000, "only {crashes}");
}

#[test]
fn a_snapshot_that_cannot_be_removed_does_not_keep_the_others() {
    let steps = program();
    let storage = FaultStorage::new();
    let store = open(&storage, FsyncPolicy::Os, Snapshots::OnCall).expect("a store");
    steps[0].run(&store).expect("run");
    let first = store.snapshot().expect("a snapshot").lsn.get();
    let name = format!("kv-{first:020}.snapshot");
    let fault = Fault::error(SystemError::PermissionDenied).on(OperationKind::Remove);
    storage.inject(fault.in_file(&name).persistent());
    for step in steps.iter().filter(|step| step.is_write()) {
        step.run(&store).expect("run");
        let refused = store.snapshot().expect_err("one is left");
        assert!(
            refused.to_string().contains("removing a snapshot"),
            "{refused}"
        );
        let names = storage.list().expect("the directory");
        let snapshots = names
            .iter()
            .filter(|entry| entry.name.ends_with(".snapshot"));
        assert_eq!(snapshots.count(), 2);
    }
}
