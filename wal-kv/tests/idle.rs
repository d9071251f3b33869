//! What a store costs that does nothing: no thread and little memory. Each test is alone in its process, because it counts what the
//! process has.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use wal_core::FsyncPolicy;
use wal_kv::blocking::KvStore;
use wal_kv::{KvConfig, Snapshots};

/// No test takes a part of this.
const PATIENCE: Duration = Duration::from_secs(60);
/// From how many bytes on the allocator takes memory from the system for one allocation alone.
const ALLOCATOR: &str = "MALLOC_MMAP_THRESHOLD_";
/// How many stores are open at the same time: as many as descriptors allow anywhere.
const STORES: usize = 150;
/// What each of them may cost.
const MOST: usize = 64 << 10;

fn open(dir: &Path) -> KvStore {
    let config = KvConfig {
        fsync_policy: FsyncPolicy::Batch(Duration::from_millis(1)),
        max_segment_size: 1 << 20,
        snapshots: Snapshots::default(),
        ..KvConfig::default()
    };
    KvStore::open(dir, config).expect("a store")
}

/// The names of the process's threads that belong to a store or a log.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("threads");
    let names = tasks.filter_map(|task| {
        let name = task.expect("a thread").path().join("comm");
        // It may have ended meanwhile.
        fs::read_to_string(name).ok()
    });
    let names = names.map(|name| name.trim().to_owned());
    names.filter(|name| name.starts_with("wal-")).collect()
}

#[track_caller]
fn wait_until(come: impl Fn() -> bool) {
    let begun = Instant::now();
    while !come() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", threads());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn wait_for_idleness() {
    wait_until(|| threads().iter().all(|name| name == "wal-timer"));
    assert!(threads().len() <= 1, "{:?}", threads());
}

fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("figures");
    let pages = statm.split(' ').nth(1).expect("a figure");
    pages.parse::<usize>().expect("a number") * 4096
}

#[test]
fn idle_stores_have_no_thread_and_little_memory() {
    // What a store frees is the system's again. The allocator would keep it for the next one.
    if std::env::var_os(ALLOCATOR).is_none() {
        let program = std::env::current_exe().expect("a program");
        let again = Command::new(program)
            .args(["--exact", "idle_stores_have_no_thread_and_little_memory"])
            .env(ALLOCATOR, "65536")
            .status();
        assert!(again.expect("started").success());
        return;
    }
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.expect("a directory");
    let open_one = |number: usize| {
        let store = open(&dir.path().join(number.to_string()));
        // A key that expires some day keeps no thread.
        let week = Duration::from_secs(7 * 86_400);
        store.put_with_ttl("short", "lived", week).expect("put");
        for n in 0..20_u8 {
            store.put([n % 3], [7; 1_000]).expect("put");
        }
        store
    };
    let open_all = || -> Vec<KvStore> {
        let stores = (0..STORES).map(open_one).collect();
        wait_for_idleness();
        stores
    };
    // The C library keeps the stacks of threads that have ended for others, up to 40 MiB.
    drop(open_all());
    let memory = resident();
    let stores = open_all();
    let each = resident().saturating_sub(memory) / STORES;
    assert!(each <= MOST, "{each} bytes each");
    for store in stores {
        store.put("again", "here").expect("put");
        store.close().expect("closed");
    }
}

#[test]
fn keys_of_an_idle_store_are_reclaimed_when_they_expire() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    for (lives, seconds) in [(200, 3), (100, 5)] {
        let lifetime = Duration::from_secs(seconds);
        for n in 0..lives {
            let key = [n, u8::from(lives == 100)];
            store.put_with_ttl(key, "value", lifetime).expect("put");
        }
    }
    wait_for_idleness();
    assert_eq!(store.stats().reclaimed, 0);
    wait_until(|| store.stats().reclaimed == 200);
    // The keys that a store finds when it is opened, too.
    store.close().expect("closed");
    let store = open(dir.path());
    wait_until(|| store.stats().reclaimed == 100);
    wait_for_idleness();
    store.close().expect("closed");
    wait_until(|| threads().is_empty());
}
