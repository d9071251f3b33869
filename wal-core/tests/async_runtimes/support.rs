//! Logs to try, and the looks at them that all tests share.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wal_core::{Builder, FsyncPolicy, Lsn, Wal, WalConfig, blocking};

use super::runtimes::Executor;

pub(super) fn policies() -> [FsyncPolicy; 3] {
    [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(Duration::from_millis(2)),
        FsyncPolicy::Os,
    ]
}

/// Every policy, on every executor.
pub(super) fn everywhere() -> impl Iterator<Item = (Executor, FsyncPolicy)> {
    let executors = Executor::ALL.into_iter();
    executors.flat_map(|executor| policies().map(|policy| (executor, policy)))
}

pub(super) fn config(policy: FsyncPolicy) -> WalConfig {
    WalConfig {
        max_segment_size: 1 << 20,
        fsync_policy: policy,
        ..WalConfig::default()
    }
}

pub(super) fn open(executor: Executor, dir: &TempDir, policy: FsyncPolicy) -> Wal {
    let builder = Wal::builder(dir.path()).config(config(policy));
    executor.run(builder.open()).expect("a log")
}

/// Opens with segments of 64 KiB and buffers of 4 KiB, so that little data meets every limit.
pub(super) fn small(dir: &Path, policy: FsyncPolicy) -> Builder<Wal> {
    let config = WalConfig {
        max_segment_size: 64 << 10,
        ..config(policy)
    };
    Wal::builder(dir)
        .config(config)
        .buffer_size(4 << 10)
        .small_segments()
}

pub(super) fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// All records of the log, by LSN, through a reader of the handle.
pub(super) async fn read_all(wal: &Wal) -> BTreeMap<u64, Vec<u8>> {
    let mut reader = wal.read_from(Lsn::ZERO).await.expect("a reader");
    let mut records = BTreeMap::new();
    while let Some((record, position)) = reader.next_record().await.expect("a record") {
        let earlier = records.insert(position.lsn.get(), record.value.to_vec());
        assert_eq!(earlier, None, "{position} was read twice");
    }
    assert_dense(records.keys().copied());
    records
}

/// All records of the log in `dir`, which nobody has open; whether it was closed.
pub(super) fn reopen(dir: &TempDir) -> (BTreeMap<u64, Vec<u8>>, bool) {
    let wal = blocking::Wal::open(dir.path(), WalConfig::default()).expect("a log");
    let reader = wal.read_from(Lsn::ZERO).expect("a reader");
    let records: BTreeMap<_, _> = reader
        .map(|step| step.expect("a record"))
        .map(|(record, position)| (position.lsn.get(), record.value.to_vec()))
        .collect();
    assert_dense(records.keys().copied());
    let clean = wal.recovery_report().clean;
    wal.close().expect("closed");
    (records, clean)
}

/// LSNs run from 1 without a gap.
pub(super) fn assert_dense(lsns: impl IntoIterator<Item = u64>) {
    for (expected, lsn) in (1..).zip(lsns) {
        assert_eq!(lsn, expected);
    }
}

/// Waits until `lsn` is durable, without a call that would help it along.
pub(super) fn becomes_durable(wal: &Wal, lsn: u64) {
    let begun = Instant::now();
    while wal.durable_lsn().get() < lsn {
        let waited = begun.elapsed();
        assert!(
            waited < Duration::from_secs(60),
            "LSN {lsn} never gets durable"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}
