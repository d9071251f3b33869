//! Several keys as one register: a batch is seen whole or not at all, by reads of many keys and by reads of one. The keys are hot: views
//! stay open while they are overwritten, and are read much later.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use wal_io::FaultStorage;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, FsyncPolicy, Snapshots, View};

use super::checker::Event;
use super::program::{Caller, POLICIES, Random, many};
use super::recorder::{Moments, Recorder, decode, encode, judge, open};
use super::register::{All, Joint, TOGETHER, Tuple};
use crate::common::reluctant::{Reluctant, Snapshot};

/// Calls of all threads of a history.
const CALLS: usize = 160;
/// Values near the bound are longer by this many bytes.
const LONGER: usize = 150;
/// Views that a thread has open at a time.
const OPEN: usize = 3;

/// What goes on beside the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// A thread writes one snapshot after another.
    Snapshots,
    /// The store writes them, and each is held up: the log comes near its bound, and to it. Writers are slowed, and wait.
    TheBound,
}

/// A view, and when it was opened: the moment that its reads are judged by.
type Held = (u64, u64, View);

fn key(n: usize) -> [u8; 1] {
    [b'a' + n as u8]
}

fn read_all(store: &KvStore, how: u64) -> All {
    if how == 0 {
        let keys: Vec<_> = (0..TOGETHER).map(key).collect();
        let mut found = [None; TOGETHER];
        for (at, value) in store.multi_get(&keys).into_iter().enumerate() {
            found[at] = value.as_deref().map(decode);
        }
        return found;
    }
    let view = store.view();
    if how == 1 {
        // Others write meanwhile.
        thread::yield_now();
    }
    read_view(&view, how)
}

fn read_view(view: &View, how: u64) -> All {
    let mut found = [None; TOGETHER];
    if how == 1 {
        for (at, found) in found.iter_mut().enumerate().rev() {
            *found = view.get(&key(at)).as_deref().map(decode);
        }
        return found;
    }
    let pairs: Vec<_> = if how == 2 {
        view.iter().collect()
    } else {
        view.iter().rev().collect()
    };
    for pair in pairs {
        found[usize::from(pair.key()[0] - b'a')] = Some(decode(pair.value()));
    }
    found
}

/// Opens a view, or reads one that was opened long ago.
fn hold(caller: &mut Caller<'_, Joint>, held: &mut Vec<Held>) {
    if held.len() < OPEN && caller.random.below(2) == 0 {
        let begin = caller.recorder.moments.next();
        let view = caller.store.view();
        held.push((begin, caller.recorder.moments.next(), view));
        return;
    }
    if held.is_empty() {
        return;
    }
    let (begin, end, view) = held.swap_remove(caller.random.below(held.len() as u64) as usize);
    let found = read_view(&view, 1 + caller.random.below(3));
    caller.recorder.read_as_of(begin, end, Joint::Read(found));
}

/// One call; nothing fails here.
fn call(caller: &mut Caller<'_, Joint>, held: &mut Vec<Held>) {
    let store = caller.store;
    match caller.random.below(13) {
        10..=12 => hold(caller, held),
        0..=2 => {
            let how = caller.random.below(4);
            caller.recorder.read(|| read_all(store, how), Joint::Read);
        }
        3 => caller.recorder.read(|| store.len(), Joint::Len),
        4..=6 => {
            let mut changes = Vec::new();
            let mut batch = Batch::new();
            for _ in 0..2 + caller.random.below(3) {
                let at = caller.random.below(TOGETHER as u64) as usize;
                let value = (caller.random.below(5) > 0).then(|| caller.recorder.moments.value());
                batch = match value {
                    Some(value) => batch.put(key(at), encode(value, caller.longer())),
                    None => batch.delete(key(at)),
                };
                changes.push((at, value));
            }
            let write = || Joint::Write(changes.clone());
            let written = caller
                .recorder
                .write(|| store.write(batch), |_| write(), write);
            assert!(written, "nothing fails here");
        }
        _ => {
            let at = caller.random.below(TOGETHER as u64) as usize;
            assert!(
                caller.one(&key(at), |call| Joint::One(at, call)),
                "nothing fails here"
            );
        }
    }
}

fn history(policy: FsyncPolicy, beside: Beside, seed: u64, slowed: &Cell<Duration>) -> usize {
    let mut random = Random::new(seed);
    let threads = 2 + random.below(4) as usize;
    let moments = Moments::default();
    let storage = Reluctant::new(FaultStorage::new());
    let snapshots = match beside {
        Beside::Nothing | Beside::Snapshots => Snapshots::OnCall,
        Beside::TheBound => Snapshots::Automatic { percent: 10 },
    };
    let store = open(&storage, policy, snapshots).expect("a store");
    let done = AtomicBool::new(false);
    let events: Vec<Event<Joint>> = thread::scope(|scope| {
        let (store, moments, done, storage) = (&store, &moments, &done, &storage);
        match beside {
            Beside::Nothing => {}
            Beside::Snapshots => drop(scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    store.snapshot().expect("a snapshot");
                    thread::yield_now();
                }
            })),
            Beside::TheBound => drop(scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    storage.let_snapshots_be(Snapshot::Held);
                    thread::sleep(Duration::from_millis(2));
                    storage.let_snapshots_be(Snapshot::Written);
                    thread::sleep(Duration::from_micros(200));
                }
            })),
        }
        let callers: Vec<_> = (0..threads)
            .map(|thread| {
                let random = Random::new(seed << 8 | thread as u64);
                let recorder = Recorder::new(moments, thread);
                scope.spawn(move || {
                    let mut caller = Caller::new(store, recorder, random);
                    if beside == Beside::TheBound {
                        caller.longer = LONGER;
                    }
                    let mut held = Vec::new();
                    for _ in 0..CALLS / threads {
                        call(&mut caller, &mut held);
                    }
                    for (begin, end, view) in held {
                        let found = read_view(&view, 1 + caller.random.below(3));
                        caller.recorder.read_as_of(begin, end, Joint::Read(found));
                    }
                    caller.recorder.into_events()
                })
            })
            .collect();
        let noted: Vec<_> = callers.into_iter().map(ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Release);
        let noted = noted.into_iter();
        noted.flat_map(|noted| noted.expect("no panic")).collect()
    });
    slowed.set(slowed.get() + store.stats().slowed);
    judge::<Tuple>(
        [None; TOGETHER],
        &events,
        &format!("{policy:?}, {beside:?}, seed {seed}"),
    );
    events.len()
}

/// How long writers were slowed, over all histories.
fn every_policy(name: &str, beside: Beside) -> Duration {
    let slowed = Cell::default();
    many(name, |seed| {
        let one = |policy| history(policy, beside, seed, &slowed);
        POLICIES.into_iter().map(one).sum()
    });
    slowed.get()
}

#[test]
fn several_keys_are_one_register() {
    every_policy("several keys", Beside::Nothing);
}

#[test]
fn several_keys_are_one_register_while_snapshots_are_written() {
    every_policy("several keys beside snapshots", Beside::Snapshots);
}

#[test]
fn several_keys_are_one_register_while_writers_are_slowed_and_wait() {
    let slowed = every_policy("several keys at the bound", Beside::TheBound);
    println!("linear: several keys at the bound: writers slept for {slowed:?}");
    assert!(
        slowed > Duration::ZERO,
        "the log has not come near its bound"
    );
}
