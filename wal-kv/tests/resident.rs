//! What the store says it takes of memory against what the system says that the process takes.
//!
//! Each measurement is made in a process of its own, so that nothing else comes and goes in its memory.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use wal_kv::blocking::KvStore;
use wal_kv::{FsyncPolicy, KvConfig, Snapshots};

const DIRECTORY: &str = "WAL_TEST_STORE";
const SHAPE: &str = "WAL_TEST_SHAPE";
/// The file that says what was measured.
const MEASURED: &str = "measured";

/// How the keys come into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Puts,
    /// Everything is put twice, the second time under a view.
    UnderAView,
    /// Everything is put, deleted, and put again, four times.
    DeletesAndPuts,
    Log,
    Snapshot,
}

/// When keys expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifetime {
    None,
    InOrder,
    Random,
}

const LOADS: [Load; 5] = [
    Load::Puts,
    Load::UnderAView,
    Load::DeletesAndPuts,
    Load::Log,
    Load::Snapshot,
];
const LIFETIMES: [Lifetime; 3] = [Lifetime::None, Lifetime::InOrder, Lifetime::Random];

#[derive(Clone, Copy, Debug)]
struct Shape {
    load: Load,
    key: usize,
    value: usize,
    lifetime: Lifetime,
    keys: u64,
}

impl Shape {
    /// For the process that is measured.
    fn to_text(self) -> String {
        let load = LOADS.iter().position(|load| *load == self.load);
        let life = LIFETIMES.iter().position(|life| *life == self.lifetime);
        let (load, life) = (load.expect("a load"), life.expect("a lifetime"));
        format!("{load} {} {} {life} {}", self.key, self.value, self.keys)
    }

    fn of_text(text: &str) -> Self {
        let words = text.split(' ').map(|word| word.parse().expect("a number"));
        let words: Vec<usize> = words.collect();
        Self {
            load: LOADS[words[0]],
            key: words[1],
            value: words[2],
            lifetime: LIFETIMES[words[3]],
            keys: words[4] as u64,
        }
    }

    fn fill(self, store: &KvStore) {
        let value = vec![7; self.value];
        for n in 0..self.keys {
            let ttl = match self.lifetime {
                Lifetime::None => None,
                Lifetime::InOrder => Some(3600),
                Lifetime::Random => Some(3600 + n.wrapping_mul(0x9e37_79b9) % 100_000),
            };
            let key = self.key_of(n);
            let put = match ttl {
                Some(ttl) => store.put_with_ttl(key, &value, Duration::from_secs(ttl)),
                None => store.put(key, &value),
            };
            put.expect("put");
        }
    }

    fn empty(self, store: &KvStore) {
        for n in 0..self.keys {
            store.delete(self.key_of(n)).expect("deleted");
        }
    }

    /// Keys in no order.
    fn key_of(self, n: u64) -> Vec<u8> {
        let mut key = vec![b'k'; self.key];
        let mut mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        key[..8].copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
        key
    }
}

fn config() -> KvConfig {
    KvConfig {
        fsync_policy: FsyncPolicy::Os,
        max_segment_size: 16 << 20,
        snapshots: Snapshots::OnCall,
        ..KvConfig::default()
    }
}

/// Bytes of memory that the process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .expect("a number of KiB");
    kib << 10
}

/// Uses a store for a while, and leaves nothing in it: its buffers and threads are there.
fn warm_up(store: &KvStore) {
    for n in 0..32_768_u32 {
        let key = (n % 100).to_be_bytes();
        store.put(key, [0; 1000]).expect("put");
    }
    for n in 0..100_u32 {
        store.delete(n.to_be_bytes()).expect("deleted");
    }
}

/// How many processes are measured at most, as long as one has grown by too much.
const PROCESSES: usize = 3;

/// Waits until the store has no thread but the timer's.
fn wait_for_idleness() {
    let is_busy = |task: std::io::Result<std::fs::DirEntry>| {
        let name = task.expect("a thread").path().join("comm");
        let name = std::fs::read_to_string(name).unwrap_or_default();
        name.starts_with("wal-") && name.trim() != "wal-timer"
    };
    while std::fs::read_dir("/proc/self/task")
        .expect("threads")
        .any(is_busy)
    {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Not a test by itself: the process that is measured. The tests below start it.
#[test]
fn a_process_that_is_measured() {
    let (Some(dir), Ok(shape)) = (std::env::var_os(DIRECTORY), std::env::var(SHAPE)) else {
        return;
    };
    let dir = PathBuf::from(dir);
    let shape = Shape::of_text(&shape);
    let other = KvStore::open(dir.join("other"), config()).expect("a store");
    warm_up(&other);
    let opens = matches!(shape.load, Load::Log | Load::Snapshot);
    if opens {
        // It gives its buffers back while the other store is opened, or before.
        wait_for_idleness();
    }
    let before = resident();
    let store = if opens {
        KvStore::open(dir.join("store"), config()).expect("a store")
    } else {
        other
    };
    let mut view = None;
    match shape.load {
        Load::Puts => shape.fill(&store),
        Load::UnderAView => {
            shape.fill(&store);
            view = Some(store.view());
            shape.fill(&store);
        }
        Load::DeletesAndPuts => {
            shape.fill(&store);
            for _ in 0..4 {
                shape.empty(&store);
                assert_eq!(store.stats().memory_bytes, 0);
                shape.fill(&store);
            }
        }
        Load::Log | Load::Snapshot => {}
    }
    if opens {
        wait_for_idleness();
    }
    let grown = resident().saturating_sub(before);
    let stats = store.stats();
    let counted = stats.memory_bytes + stats.kept_bytes;
    let measured = format!("{grown} {counted} {}", stats.keys);
    std::fs::write(dir.join(MEASURED), measured).expect("written");
    drop(view);
}

struct Measured {
    grown: u64,
    counted: u64,
}

fn measure(shape: Shape) -> Measured {
    let tmp = tempfile::tempdir().expect("a directory");
    if matches!(shape.load, Load::Log | Load::Snapshot) {
        let store = KvStore::open(tmp.path().join("store"), config()).expect("a store");
        shape.fill(&store);
        if shape.load == Load::Snapshot {
            store.snapshot().expect("a snapshot");
        }
        store.close().expect("closed");
    }
    let program = std::env::current_exe().expect("this program");
    let mut process = Command::new(program);
    process.args(["--exact", "a_process_that_is_measured"]);
    process
        .env(DIRECTORY, tmp.path())
        .env(SHAPE, shape.to_text());
    let output = process.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let measured = std::fs::read_to_string(tmp.path().join(MEASURED)).expect("written");
    let numbers = measured.split(' ');
    let numbers: Vec<u64> = numbers
        .map(|word| word.parse().expect("a number"))
        .collect();
    assert_eq!(numbers[2], shape.keys);
    Measured {
        grown: numbers[0],
        counted: numbers[1],
    }
}

#[test]
fn the_count_of_what_is_put_is_what_the_process_takes() {
    check_all(Load::Puts, 0);
}

#[test]
fn the_count_of_what_the_log_gave_is_what_the_process_takes() {
    check_all(Load::Log, 1);
}

#[test]
fn the_count_of_what_a_snapshot_gave_is_what_the_process_takes() {
    check_all(Load::Snapshot, 2);
}

/// Each length of a key with each of a value. The lifetimes change from one to the next, and from load to load.
fn check_all(load: Load, first: usize) {
    let mut at = first;
    for key in [8, 16, 64] {
        for (value, keys) in [(8, 400_000), (100, 200_000), (1000, 50_000), (4096, 15_000)] {
            check(Shape {
                load,
                key,
                value,
                lifetime: LIFETIMES[at % 3],
                keys,
            });
            at += 1;
        }
    }
}

#[test]
fn the_count_of_what_a_view_keeps_is_what_the_process_takes() {
    for value in [8, 100, 1000] {
        check(Shape {
            load: Load::UnderAView,
            key: 16,
            value,
            lifetime: Lifetime::None,
            keys: 100_000,
        });
    }
}

/// Within 5 percent: the sizes of all allocations are known, but an allocator has holes, tables of its own, and its own opinion of
/// where to put a page; and a set of expiries fills its nodes more or less. What it keeps of the buffers of threads that have ended
/// depends on which of them ran at the same time, so the least growth of some processes counts.
fn check(shape: Shape) {
    let mut least = None;
    for _ in 0..PROCESSES {
        let Measured { grown, counted } = measure(shape);
        let grown = least.map_or(grown, |least: u64| least.min(grown));
        if (grown * 95 / 100..=grown * 105 / 100).contains(&counted) {
            return;
        }
        assert!(
            counted < grown,
            "{shape:?}: {counted} bytes counted, a process grew by {grown}"
        );
        least = Some(grown);
    }
    panic!("{shape:?}: fewer bytes are counted than processes grew by: {least:?}");
}

/// What is free after a delete of everything is used again. It is not given back to the system at once: see the README.
#[test]
fn memory_that_deletes_have_freed_is_used_again() {
    let measured = measure(Shape {
        load: Load::DeletesAndPuts,
        key: 16,
        value: 100,
        lifetime: Lifetime::Random,
        keys: 200_000,
    });
    let Measured { grown, counted } = measured;
    assert!(
        grown <= counted * 115 / 100,
        "{counted} bytes counted, the process grew by {grown}"
    );
}
