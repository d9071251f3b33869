//! Single keys under every policy: each is a register, beside snapshots too, and after a reopening it holds what it held.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};

use wal_io::MemoryStorage;
use wal_kv::{FsyncPolicy, Snapshots};

use super::checker::Event;
use super::program::{Caller, POLICIES, Random, many};
use super::recorder::{Moments, Recorder, decode, end_life, judge, open};
use super::register::{Call, Key};

/// Few, so that threads meet.
const KEYS: u8 = 3;
/// Calls of all threads of a history.
const CALLS: usize = 320;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// A thread writes one snapshot after another.
    SnapshotsOnCall,
    /// The store writes them when they are due.
    AutomaticSnapshots,
}

type Noted = (u8, Call);

/// One history; how many calls it had.
fn history(policy: FsyncPolicy, beside: Beside, seed: u64) -> usize {
    let mut random = Random::new(seed);
    let threads = 2 + random.below(7) as usize;
    let storage = MemoryStorage::new();
    let moments = Moments::default();
    let snapshots = match beside {
        Beside::AutomaticSnapshots => Snapshots::Automatic { percent: 10 },
        Beside::Nothing | Beside::SnapshotsOnCall => Snapshots::OnCall,
    };
    let store = open(&storage, policy, snapshots).expect("a store");
    let done = AtomicBool::new(false);
    let mut events: Vec<Event<Noted>> = thread::scope(|scope| {
        let (store, moments, done) = (&store, &moments, &done);
        if beside == Beside::SnapshotsOnCall {
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    store.snapshot().expect("a snapshot");
                    thread::yield_now();
                }
            });
        }
        let callers: Vec<_> = (0..threads)
            .map(|thread| {
                let random = Random::new(seed << 8 | thread as u64);
                let recorder = Recorder::new(moments, thread);
                scope.spawn(move || {
                    let mut caller = Caller::new(store, recorder, random);
                    for _ in 0..CALLS / threads {
                        let key = caller.random.below(u64::from(KEYS)) as u8;
                        assert!(caller.one(&[key], |call| (key, call)), "nothing fails here");
                        if caller.random.below(4) == 0 {
                            thread::yield_now();
                        }
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
    if random.below(2) == 0 {
        store.close().expect("closed");
    }
    drop(store);
    end_life(&moments, &mut events);
    let store = open(&storage, policy, Snapshots::OnCall).expect("a store");
    let mut reader = Recorder::new(&moments, threads);
    for key in 0..KEYS {
        let get = || store.get(&[key]).as_deref().map(decode);
        reader.read(get, |found| (key, Call::Get(found)));
    }
    events.extend(reader.into_events());
    for key in 0..KEYS {
        let of_key: Vec<_> = events
            .iter()
            .filter(|event| event.call.0 == key)
            .cloned()
            .collect();
        let of_key: Vec<Event<Call>> = of_key
            .into_iter()
            .map(|event| Event {
                thread: event.thread,
                begin: event.begin,
                end: event.end,
                fate: event.fate,
                call: event.call.1,
            })
            .collect();
        let place = format!("{policy:?}, {beside:?}, seed {seed}, key {key}");
        judge::<Key>(None, &of_key, &place);
    }
    events.len()
}

fn every_policy(name: &str, beside: Beside) {
    many(name, |seed| {
        let one = |policy| history(policy, beside, seed);
        POLICIES.into_iter().map(one).sum()
    });
}

#[test]
fn each_key_is_a_register() {
    every_policy("keys", Beside::Nothing);
}

#[test]
fn each_key_is_a_register_while_snapshots_are_written() {
    every_policy("keys beside snapshots", Beside::SnapshotsOnCall);
}

#[test]
fn each_key_is_a_register_while_the_store_cuts_its_log() {
    every_policy(
        "keys beside automatic snapshots",
        Beside::AutomaticSnapshots,
    );
}
