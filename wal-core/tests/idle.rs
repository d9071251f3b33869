//! What a log costs that does nothing: no thread, little memory, no more descriptors than its files. Each test is alone in its
//! process, because it counts what the process has.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

// What others need of it.
#[allow(dead_code)]
#[path = "common/watched.rs"]
mod watched;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use wal_core::blocking::Wal;
use wal_core::{FsyncPolicy, RecordRef, WalConfig};
use wal_io::FaultStorage;
use watched::Watched;

/// No test takes a part of this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// From how many bytes on the allocator takes memory from the system for one allocation alone.
const ALLOCATOR: &str = "MALLOC_MMAP_THRESHOLD_";
/// How many logs are open at the same time.
const LOGS: usize = 1000;
/// What each of them may cost.
const MOST: usize = 64 << 10;

fn config(fsync_policy: FsyncPolicy) -> WalConfig {
    WalConfig {
        max_segment_size: 1 << 20,
        preallocate: false,
        fsync_policy,
        ..WalConfig::default()
    }
}

fn open(dir: &Path, policy: FsyncPolicy) -> Wal {
    Wal::open(dir, config(policy)).expect("a log")
}

/// In memory where that is possible: making a thousand logs takes thousands of syncs.
fn directory() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory
        .or_else(|_| tempfile::tempdir())
        .expect("a directory")
}

/// The names of the process's threads that belong to a log.
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

fn descriptors_at_most() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    // A number, or that there is no limit.
    soft.and_then(|soft| soft.parse().ok())
        .unwrap_or(usize::MAX)
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("descriptors").count()
}

#[test]
fn a_thousand_idle_logs_have_no_thread_and_little_memory() {
    // What a log frees is the system's again: the allocator would keep it for the next one. And there are as many descriptors as
    // there may be.
    if std::env::var_os(ALLOCATOR).is_none() {
        let program = std::env::current_exe().expect("a program");
        let name = "a_thousand_idle_logs_have_no_thread_and_little_memory";
        let again = Command::new("sh")
            .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "sh"])
            .arg(program)
            .args(["--exact", name, "--nocapture"])
            .env(ALLOCATOR, "65536")
            .status();
        assert!(again.expect("started").success());
        return;
    }
    let dir = directory();
    let logs = LOGS.min(descriptors_at_most() / 5);
    // What the process needs once.
    let first = open(&dir.path().join("first"), FsyncPolicy::Os);
    first.append(RecordRef::data(b"first")).expect("appended");
    let (memory, files) = (resident(), descriptors());
    let policies = [
        FsyncPolicy::Os,
        FsyncPolicy::Batch(Duration::from_millis(1)),
        FsyncPolicy::Batch(Duration::from_secs(2)),
    ];
    let open_one = |number: usize| {
        let policy = policies[number % policies.len()];
        let wal = open(&dir.path().join(number.to_string()), policy);
        // Enough to fill a buffer several times.
        for _ in 0..20 {
            wal.append(RecordRef::data(&[7; 4_000])).expect("appended");
        }
        wal
    };
    let wals: Vec<Wal> = (0..logs).map(open_one).collect();
    wait_for_idleness();
    let each = resident().saturating_sub(memory) / logs;
    assert!(each <= MOST, "{each} bytes each");
    let each = descriptors().saturating_sub(files) / logs;
    assert!(each <= 4, "{each} descriptors each");
    // Each is still of use.
    for (number, wal) in wals.iter().enumerate().step_by(97) {
        wal.append(RecordRef::data(b"again")).expect("appended");
        wal.sync()
            .unwrap_or_else(|error| panic!("{number}: {error}"));
    }
    drop(wals);
    wait_for_idleness();
}

#[test]
fn what_is_due_later_than_a_thread_waits_is_done_by_an_alarm() {
    let dir = tempfile::tempdir().expect("a directory");
    let window = Duration::from_millis(2_500);
    let wal = open(dir.path(), FsyncPolicy::Batch(window));
    for _ in 0..2 {
        let begun = Instant::now();
        let lsn = wal.append(RecordRef::data(b"one")).expect("appended").lsn;
        wait_for_idleness();
        wait_until(|| wal.durable_lsn() >= lsn);
        assert!(begun.elapsed() >= window, "nobody asked for it earlier");
    }
    wal.close().expect("closed");
}

#[test]
fn a_stalled_disk_of_one_log_delays_no_other() {
    let stalled = Watched::new(&FaultStorage::new());
    let policy = FsyncPolicy::Batch(Duration::from_millis(5));
    let slow = Wal::builder("stalled")
        .storage(std::sync::Arc::new(stalled.clone()))
        .config(config(policy))
        .open()
        .expect("a log");
    let dir = tempfile::tempdir().expect("a directory");
    let wal = open(dir.path(), policy);
    slow.append(RecordRef::data(b"one")).expect("appended");
    slow.sync().expect("synced");
    wait_for_idleness();
    stalled.hold_syncs();
    slow.append(RecordRef::data(b"two")).expect("appended");
    stalled.wait_for_a_sync();
    for _ in 0..3 {
        // An alarm has to ring at the end of the window.
        let lsn = wal.append(RecordRef::data(b"one")).expect("appended").lsn;
        wait_until(|| wal.durable_lsn() >= lsn);
        wait_until(|| threads().len() <= 2);
    }
    assert!(slow.durable_lsn() < slow.last_lsn());
    stalled.let_syncs_go();
    slow.close().expect("closed");
    wal.close().expect("closed");
}
