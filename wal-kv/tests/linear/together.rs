//! Several keys as one register: a batch is seen whole or not at all, by reads of many keys and by reads of one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};

use wal_io::MemoryStorage;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, FsyncPolicy, Snapshots};

use super::checker::Event;
use super::program::{Caller, POLICIES, Random, many};
use super::recorder::{Moments, Recorder, decode, encode, judge, open};
use super::register::{All, Joint, TOGETHER, Tuple};

/// Calls of all threads of a history.
const CALLS: usize = 160;

fn key(n: usize) -> [u8; 1] {
    [b'a' + n as u8]
}

fn read_all(store: &KvStore, how: u64) -> All {
    let mut found = [None; TOGETHER];
    match how {
        0 => {
            let keys: Vec<_> = (0..TOGETHER).map(key).collect();
            for (at, value) in store.multi_get(&keys).into_iter().enumerate() {
                found[at] = value.as_deref().map(decode);
            }
        }
        1 => {
            let view = store.view();
            // Others write meanwhile.
            thread::yield_now();
            for (at, found) in found.iter_mut().enumerate().rev() {
                *found = view.get(&key(at)).as_deref().map(decode);
            }
        }
        _ => {
            let scan = store.iter();
            let pairs: Vec<_> = if how == 2 {
                scan.collect()
            } else {
                scan.rev().collect()
            };
            for pair in pairs {
                found[usize::from(pair.key()[0] - b'a')] = Some(decode(pair.value()));
            }
        }
    }
    found
}

/// One call; nothing fails here.
fn call(caller: &mut Caller<'_, Joint>) {
    let store = caller.store;
    match caller.random.below(10) {
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
                    Some(value) => batch.put(key(at), encode(value, caller.random.longer())),
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

fn history(policy: FsyncPolicy, seed: u64) -> usize {
    let mut random = Random::new(seed);
    let threads = 2 + random.below(4) as usize;
    let moments = Moments::default();
    let store = open(&MemoryStorage::new(), policy, Snapshots::OnCall).expect("a store");
    let done = AtomicBool::new(false);
    let events: Vec<Event<Joint>> = thread::scope(|scope| {
        let (store, moments, done) = (&store, &moments, &done);
        if random.below(2) == 0 {
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
                        call(&mut caller);
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
    judge::<Tuple>(
        [None; TOGETHER],
        &events,
        &format!("{policy:?}, seed {seed}"),
    );
    events.len()
}

#[test]
fn several_keys_are_one_register() {
    many("several keys", |seed| {
        POLICIES
            .into_iter()
            .map(|policy| history(policy, seed))
            .sum()
    });
}
