//! The space that a store takes on disk after many killed processes. It must also open as fast as before.

#![cfg(unix)]
#![forbid(unsafe_code)]

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use wal_kv::blocking::KvStore;
use wal_kv::{FsyncPolicy, KvConfig};

const DIRECTORY: &str = "WAL_TEST_STORE";
const KILLS: u64 = 40;
const SEGMENT: u64 = 64 << 20;

fn config() -> KvConfig {
    KvConfig {
        fsync_policy: FsyncPolicy::Always,
        ..KvConfig::default()
    }
}

/// Not a test by itself: the process that is killed. The test below starts it.
#[test]
fn a_writer_that_is_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let store = KvStore::open(PathBuf::from(dir), config()).expect("a store");
    let lives = store.get(b"lives").map_or(0, |value| value[0]);
    store.put("lives", [lives + 1]).expect("put");
    // As a kill: nothing is handed over, nothing is closed.
    std::process::abort();
}

fn taken(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).expect("a directory");
    let files = files.map(|file| file.expect("a file").metadata().expect("its facts"));
    files.map(|facts| facts.blocks() * 512).sum()
}

#[test]
fn a_store_killed_forty_times_stays_small_and_opens_fast() {
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("store");
    for n in 1..=KILLS {
        let program = std::env::current_exe().expect("this program");
        let mut writer = Command::new(program);
        writer.args(["--exact", "a_writer_that_is_killed"]);
        let ended = writer.env(DIRECTORY, &dir).output().expect("it runs");
        assert!(!ended.status.success(), "it was killed");
        let most = 3 * SEGMENT + (4 << 20) + n * 12 * 1024;
        let taken = taken(&dir);
        assert!(taken <= most, "after {n} kills: {taken} bytes of {most}");
    }
    let begun = Instant::now();
    let store = KvStore::open(&dir, config()).expect("a store");
    // It took longer with each kill; this is only far above what it takes.
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(store.get(b"lives").as_deref(), Some(&[KILLS as u8][..]));
    store.close().expect("closed");
    assert!(taken(&dir) <= (4 << 20) + (KILLS + 1) * 12 * 1024);
}
