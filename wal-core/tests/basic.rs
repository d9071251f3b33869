//! The log from end to end on a real directory: append, read back, rotate, reopen.

use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{Error, ErrorKind, FsyncPolicy, Lsn, Record, RecordRef, WalConfig};

fn config(policy: FsyncPolicy) -> WalConfig {
    WalConfig {
        max_segment_size: 1 << 20,
        fsync_policy: policy,
        ..WalConfig::default()
    }
}

fn policies() -> [FsyncPolicy; 3] {
    [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(Duration::from_millis(2)),
        FsyncPolicy::Os,
    ]
}

fn payload(n: u64) -> Vec<u8> {
    format!("record {n} {}", "x".repeat((n % 97) as usize)).into_bytes()
}

fn read_all(wal: &Wal) -> Vec<(u64, Vec<u8>)> {
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    let mut records = Vec::new();
    while let Some((record, position)) = reader.next_record().expect("a record") {
        records.push((position.lsn.get(), record.value.to_vec()));
    }
    records
}

#[test]
fn what_was_appended_is_read_back() {
    for policy in policies() {
        let dir = tempfile::tempdir().expect("a directory");
        let wal = Wal::open(dir.path().join("log"), config(policy)).expect("a log");
        for n in 1..=100 {
            let position = wal.append(RecordRef::data(&payload(n))).expect("appended");
            assert_eq!(position.lsn.get(), n);
        }
        let records = read_all(&wal);
        assert_eq!(records.len(), 100);
        for (lsn, value) in records {
            assert_eq!(value, payload(lsn));
        }
        wal.close().expect("closed");
    }
}

#[test]
fn records_survive_rotation_and_reopening() {
    for policy in [
        FsyncPolicy::Batch(Duration::from_millis(2)),
        FsyncPolicy::Os,
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let mut next = 1;
        for round in 0..4 {
            let wal = Wal::open(&path, config(policy)).expect("a log");
            assert!(wal.recovery_report().clean, "round {round}");
            for _ in 0..50_000 {
                wal.append(RecordRef::data(&payload(next)))
                    .expect("appended");
                next += 1;
            }
            wal.close().expect("closed");
            assert!(matches!(
                wal.append(RecordRef::data(b"x")),
                Err(Error::Closed)
            ));
        }
        let wal = Wal::open(&path, config(policy)).expect("a log");
        let records = read_all(&wal);
        assert_eq!(records.len() as u64, next - 1);
        for (at, (lsn, value)) in records.into_iter().enumerate() {
            assert_eq!(lsn, at as u64 + 1);
            assert_eq!(value, payload(lsn));
        }
        assert!(wal.list_segments().expect("segments").len() > 10);
        let report = wal_core::Offline::at(&path)
            .verify(wal_core::VerifyOptions::default())
            .expect("verified");
        assert_eq!(report.damage().count(), 0, "{:?}", report.damage().next());
        assert_eq!(report.records(), next - 1);
    }
}

#[test]
fn dropping_the_last_handle_keeps_everything() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let wal = Wal::open(&path, config(FsyncPolicy::Os)).expect("a log");
    for n in 1..=1000 {
        wal.append(&Record::data(payload(n))).expect("appended");
    }
    drop(wal);
    let wal = Wal::open(&path, config(FsyncPolicy::Os)).expect("a log");
    assert!(!wal.recovery_report().clean);
    assert_eq!(read_all(&wal).len(), 1000);
}

#[test]
fn a_reader_without_the_lock_learns_of_a_truncation() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let wal = Wal::open(&path, config(FsyncPolicy::Os)).expect("a log");
    let large = vec![7; 100_000];
    for _ in 0..50 {
        wal.append(RecordRef::data(&large)).expect("appended");
    }
    wal.flush().expect("flushed");
    let view = Wal::builder(&path)
        .read_only()
        .open()
        .expect("a read-only log");
    let mut early = view.read_from(Lsn::ZERO).expect("a reader");
    wal.truncate_before(Lsn::new(45)).expect("truncated");
    let first = loop {
        match early.next_record() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end of a log that goes on"),
            Err(Error::Truncated { first, .. }) => break first,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(first.get(), 45);
    let late = view.read_from(first).expect("a reader").count();
    assert_eq!(late, 6);
}

#[test]
fn an_error_tells_its_kind() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let wal = Wal::open(&path, WalConfig::default()).expect("opened");
    let second = Wal::open(&path, WalConfig::default()).expect_err("locked");
    assert_eq!(second.kind(), ErrorKind::Locked);
    let beyond = wal.wait_durable(Lsn::FIRST).expect_err("no record");
    assert_eq!(beyond.kind(), ErrorKind::NotYet);
    wal.close().expect("closed");
    let closed = wal.append("a record").expect_err("closed");
    assert_eq!(closed.kind(), ErrorKind::Closed);
    let cause = Some(Box::new(closed));
    let (from, to) = (Lsn::FIRST, Lsn::FIRST);
    assert_eq!(Error::Gap { from, to, cause }.kind(), ErrorKind::Closed);
    let cause = None;
    assert_eq!(Error::Gap { from, to, cause }.kind(), ErrorKind::Lost);
}
