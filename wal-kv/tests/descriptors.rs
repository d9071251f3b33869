//! No file can be opened for a while, at every place where a store opens one: nothing is lost, nothing is poisoned, and the store goes
//! on when descriptors are to be had again.

#![forbid(unsafe_code)]

mod common;

use wal_core::clock::ManualClock;
use wal_io::FaultStorage;
use wal_io::fault::{Fault, SystemError};
use wal_kv::blocking::KvStore;
use wal_kv::{Error, FsyncPolicy};

/// Writes of the program, over several segments, with a snapshot now and then.
const WRITES: u32 = 90;
const SNAPSHOT_EVERY: u32 = 20;

fn value(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(60)
}

/// It failed because no file could be opened, and for nothing else.
#[track_caller]
fn assert_no_descriptor(error: &Error, context: &str) {
    let text = error.to_string();
    let none = std::io::Error::from(SystemError::TooManyOpenFiles).to_string();
    assert!(text.contains(&none), "{context}: {text}");
    let poisoned = matches!(error, Error::Log(wal_core::Error::Poisoned(_)));
    assert!(!poisoned, "{context}: {text}");
}

/// The program; the numbers of the writes that were acknowledged.
fn live(store: &KvStore, context: &str) -> Vec<u32> {
    let mut done = Vec::new();
    for number in 0..WRITES {
        match store.put((number % 7).to_be_bytes(), value(number)) {
            Ok(_) => done.push(number),
            Err(error) => assert_no_descriptor(&error, context),
        }
        if number % SNAPSHOT_EVERY == SNAPSHOT_EVERY - 1
            && let Err(error) = store.snapshot()
        {
            assert_no_descriptor(&error, context);
        }
    }
    done
}

#[track_caller]
fn assert_holds(store: &KvStore, done: &[u32], context: &str) {
    for key in 0..7_u32 {
        let last = done.iter().rev().find(|number| *number % 7 == key);
        let expected = last.map(|number| value(*number));
        let found = store.get(&key.to_be_bytes()).map(|value| value.to_vec());
        assert_eq!(found, expected, "{context}: key {key}");
    }
}

fn without_descriptors(policy: FsyncPolicy, times: u64) {
    let mut met = 0;
    for after in 0.. {
        let context = format!("{policy:?}, {times} times after {after}");
        let storage = FaultStorage::new();
        let clock = ManualClock::default();
        storage.inject(
            Fault::error(SystemError::TooManyOpenFiles)
                .on_opening()
                .after(after)
                .times(times),
        );
        let store = match common::open(&storage, policy, &clock) {
            Ok(store) => store,
            Err(error) => {
                assert_no_descriptor(&error, &context);
                met += 1;
                storage.clear_faults();
                common::open(&storage, policy, &clock).expect("it opens when files can be opened")
            }
        };
        let mut done = live(&store, &context);
        let struck = storage.faults_struck();
        // Descriptors are to be had again.
        storage.clear_faults();
        let last = WRITES;
        store
            .put((last % 7).to_be_bytes(), value(last))
            .expect("the store goes on");
        done.push(last);
        assert_holds(&store, &done, &context);
        store.snapshot().expect("a snapshot");
        store.close().expect("closed");
        drop(store);
        assert_eq!(storage.open_files(), 0, "{context}: files are still open");
        let store = common::open(&storage, policy, &clock).expect("reopened");
        assert_holds(&store, &done, &context);
        if struck == 0 {
            break;
        }
        met += 1;
    }
    assert!(met > 10, "the program opens too little: {met}");
}

#[test]
fn one_open_fails() {
    for policy in [FsyncPolicy::Always, FsyncPolicy::Os] {
        without_descriptors(policy, 1);
    }
}

#[test]
fn opens_fail_for_a_while() {
    for policy in [FsyncPolicy::Always, FsyncPolicy::Os] {
        without_descriptors(policy, 5);
    }
}

/// The number of open files is bounded, and none stays open.
#[test]
fn a_store_needs_few_descriptors_and_leaks_none() {
    let storage = FaultStorage::new();
    storage.set_open_file_limit(Some(16));
    for life in 0..20 {
        let store = common::open(&storage, FsyncPolicy::Always, &ManualClock::default());
        let store = store.expect("16 are enough to open");
        assert_eq!(
            live(&store, "16 files").len(),
            WRITES as usize,
            "life {life}"
        );
        if life % 2 == 0 {
            store.close().expect("closed");
        }
        drop(store);
        assert_eq!(storage.open_files(), 0, "life {life}");
    }
}
