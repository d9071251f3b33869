//! Real forks of a process that has a store open: the calls that can fail are refused in the child, none of them hangs, and nothing
//! that the child does or drops reaches the store.

#![cfg(unix)]
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Condition, Error, FsyncPolicy, KvConfig, Lsn, Result, Scan, View};

/// How long a child may take. It does next to nothing.
const PATIENCE: Duration = Duration::from_secs(20);

fn open(dir: &Path) -> Result<KvStore> {
    let config = KvConfig {
        fsync_policy: FsyncPolicy::Batch(Duration::from_millis(5)),
        ..KvConfig::default()
    };
    KvStore::open(dir, config)
}

/// Runs `child` in a fork of this process. Its number is the exit code: 0 if all is well, else what was wrong.
#[track_caller]
fn in_a_fork(child: impl FnOnce() -> i32) {
    // What the child leaves behind is the parent's.
    #[allow(clippy::disallowed_methods)]
    let pid = match fork::fork().expect("a fork") {
        fork::Fork::Child => std::process::exit(child()),
        fork::Fork::Parent(pid) => pid,
    };
    let begun = Instant::now();
    loop {
        match fork::waitpid_nohang(pid).expect("the child is waited for") {
            Some(status) => {
                assert_eq!(
                    status,
                    0,
                    "exit code {}, signal {}",
                    status >> 8,
                    status & 127
                );
                return;
            }
            None if begun.elapsed() > PATIENCE => {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
                panic!("the child hangs");
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn is_refused<T>(outcome: &Result<T>) -> bool {
    let opener = match outcome {
        Err(Error::Log(wal_core::Error::OtherProcess { opener, .. })) => *opener,
        _ => return false,
    };
    opener != std::process::id()
}

/// The number of the first call that is not refused; 0 if all are.
fn first_not_refused(store: &KvStore) -> i32 {
    let absent = Condition::Absent;
    let refused = [
        is_refused(&store.put("k", "child")),
        is_refused(&store.durable().put("k", "child")),
        is_refused(&store.put_with_ttl("k", "child", PATIENCE)),
        is_refused(&store.delete("k")),
        is_refused(&store.durable().delete("k")),
        is_refused(&store.write(Batch::new().put("k", "child"))),
        is_refused(&store.durable().write(Batch::new().put("k", "child"))),
        is_refused(&store.put_if("k", "child", &absent)),
        is_refused(&store.delete_if("k", &absent)),
        is_refused(&store.compare_and_swap("k", None, Some(b"child"))),
        is_refused(&store.sync()),
        is_refused(&store.wait_durable(Lsn::new(1))),
        is_refused(&store.snapshot()),
        is_refused(&store.close()),
    ];
    // These take no lock.
    let _ = (store.durable_lsn(), store.open_report());
    let before = refused.iter().take_while(|refused| **refused).count();
    if before == refused.len() {
        0
    } else {
        i32::try_from(before + 1).unwrap_or(i32::MAX)
    }
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_fork_can_do_nothing_to_the_store_and_its_drop_ends_nothing() {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = outer.path().join("store");
    let store = open(&dir).expect("a store");
    for number in 0..100_u32 {
        store.put(number.to_be_bytes(), "parent").expect("written");
    }
    store.snapshot().expect("a snapshot");
    store.put("last", "parent").expect("written");
    store.sync().expect("synced");
    let before = names(&dir);
    let mut mine: Option<(KvStore, View, Scan)> = Some((store.clone(), store.view(), store.iter()));
    drop(store);
    in_a_fork(|| {
        // In the child these are the only handles, and the last to go.
        let (store, view, scan) = mine.take().expect("the child has its copy");
        let code = first_not_refused(&store);
        drop((scan, view));
        drop(store);
        code
    });
    assert_eq!(names(&dir), before);
    let locked = open(&dir);
    assert!(
        matches!(locked, Err(Error::Log(wal_core::Error::Locked { .. }))),
        "{locked:?}"
    );
    let (store, ..) = mine.take().expect("the parent has its own");
    store.put("after", "parent").expect("it goes on");
    store.close().expect("closed");
    drop(store);
    let store = open(&dir).expect("a store");
    assert_eq!(store.len(), 102);
    assert!(store.iter().all(|pair| pair.value() == b"parent"));
}

#[test]
fn a_fork_of_a_process_with_a_busy_store_does_not_hang() {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = outer.path().join("store");
    let store = open(&dir).expect("a store");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2_u32 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                let mut number = 0_u32;
                while !done.load(Ordering::Relaxed) {
                    number += 1;
                    let key = [writer, number % 50].map(u32::to_be_bytes).concat();
                    store.put(key, number.to_be_bytes()).expect("written");
                    let _ = (store.len(), store.iter().count());
                    if number.is_multiple_of(100) {
                        store.snapshot().expect("a snapshot");
                    }
                }
            });
        }
        // The child drops the last handles while other threads of the parent hold its locks.
        let mut mine = Some((store.clone(), store.view(), store.iter()));
        for _ in 0..200 {
            in_a_fork(|| {
                let (store, view, scan) = mine.take().expect("the child has its copy");
                let code = first_not_refused(&store);
                drop((store, view, scan));
                code
            });
        }
        done.store(true, Ordering::Relaxed);
    });
    store.close().expect("closed");
}
