//! Writers at the bound of the log, beside snapshots that fail for a while, deletes and a close.

use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::thread::{scope, yield_now};
use wal_core::Error as LogError;
use wal_kv::blocking::KvStore;
use wal_kv::{Error, Snapshots};

use super::explore::{below, explore};
use super::machine::{Machine, SNAPSHOT_AFTER, number};

const WRITES: u8 = 4;
/// Three due lengths with two keys of this length, and a write of each writer.
const LONG: usize = 200;
const MOST: u64 = 3 * SNAPSHOT_AFTER + 3 * (LONG as u64 + 100);

/// How a write has ended: `None` for closed.
fn outcome(written: Result<wal_kv::Position, Error>, refuses: bool) -> Option<bool> {
    match written {
        Ok(_) => Some(true),
        Err(Error::SnapshotOverdue { .. }) if refuses => Some(false),
        Err(Error::Log(LogError::Closed)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Puts until it is told that the store is closed; returns what was acknowledged last.
fn write(store: &KvStore, key: &str, refuses: bool) -> Option<u8> {
    let mut last = None;
    for n in 1..=WRITES {
        match outcome(store.put(key, vec![n; LONG]), refuses) {
            Some(true) => last = Some(n),
            Some(false) => {
                // What makes the store smaller goes on.
                if last.is_some() {
                    match outcome(store.delete(key), false) {
                        Some(_) => last = None,
                        None => return last,
                    }
                }
            }
            None => return last,
        }
        let logged = store.stats().log_bytes;
        assert!(logged <= MOST, "{logged} bytes of log");
        assert_eq!(number(store, key), last);
    }
    last
}

fn run(refuses: bool, closes: bool) {
    let mut machine = Machine::any();
    machine.config.snapshots = Snapshots::Automatic { percent: 10 };
    // Failed ones are tried again before long.
    machine.tick = 200;
    let store = machine.open();
    machine.refuses.store(refuses, Ordering::SeqCst);
    let (mut one, mut other) = (None, None);
    let done = AtomicBool::new(false);
    scope(|scope| {
        scope.spawn(|| one = write(&store, "a", refuses));
        scope.spawn(|| other = write(&store, "b", refuses));
        if closes {
            scope.spawn(|| store.close().expect("closed"));
        } else if refuses {
            scope.spawn(|| {
                for _ in 0..below(20) {
                    yield_now();
                }
                machine.refuses.store(false, Ordering::SeqCst);
                // By itself a snapshot is written again, and writers are let in.
                while store.put("c", vec![1; LONG]).is_err() {
                    yield_now();
                }
                done.store(true, Ordering::SeqCst);
            });
        }
    });
    if refuses && !closes {
        assert!(done.load(Ordering::SeqCst));
    }
    assert_eq!((number(&store, "a"), number(&store, "b")), (one, other));
    machine.refuses.store(false, Ordering::SeqCst);
    store.close().expect("closed");
    drop(store);
    let store = machine.open_on(&machine.disk);
    assert_eq!((number(&store, "a"), number(&store, "b")), (one, other));
}

#[test]
fn writers_at_the_bound() {
    explore("writers_at_the_bound", || run(false, false));
}

#[test]
fn writers_at_the_bound_beside_close() {
    explore("writers_at_the_bound_beside_close", || {
        run(below(2) == 0, true);
    });
}

#[test]
fn writers_at_the_bound_while_snapshots_fail() {
    explore("writers_at_the_bound_while_snapshots_fail", || {
        run(true, false);
    });
}
