//! What a failing sync leaves behind, as measured on real file systems.

mod common;

use std::sync::Arc;

use common::{S, bytes, created, keep_all, lose_all, new_file, read};
use wal_io::fault::{
    Access, Background, Fault, FaultConfig, OperationKind, Script, Seeded, SyncFailure, SystemError,
};
use wal_io::{FaultStorage, OpenMode, Storage, StorageFile, StorageFileExt};

const MEASURED: [SyncFailure; 3] = [SyncFailure::Ext4, SyncFailure::Xfs, SyncFailure::Btrfs];

fn machine(sync_failure: SyncFailure) -> FaultStorage {
    created(FaultConfig {
        sync_failure,
        ..FaultConfig::default()
    })
}

fn is_eio(result: std::io::Result<()>) -> bool {
    let eio: std::io::Error = SystemError::Io.into();
    result.is_err_and(|error| error.raw_os_error() == eio.raw_os_error() && !is_lost(&error))
}

fn is_lost(error: &std::io::Error) -> bool {
    wal_io::fault::PowerLost::is(error)
}

/// A synced file of one sector of ones, and one sector of twos whose sync has failed.
fn failed_append(dir: &FaultStorage) -> Arc<dyn StorageFile> {
    let file = new_file(dir, "a", &bytes(1, S));
    file.write_all_at(&bytes(2, S), S as u64).unwrap();
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    assert!(is_eio(file.sync_data()));
    file
}

fn new_data() -> Vec<u8> {
    [bytes(1, S), bytes(2, S)].concat()
}

fn lost_data() -> Vec<u8> {
    [bytes(1, S), bytes(0, S)].concat()
}

#[test]
fn the_second_sync_succeeds_and_the_data_is_gone() {
    for failure in MEASURED {
        let dir = machine(failure);
        let file = failed_append(&dir);
        file.sync_data().unwrap();
        assert_eq!(read(&dir, "a"), new_data(), "reads still show it");
        dir.open("a", OpenMode::ReadWrite)
            .unwrap()
            .sync_data()
            .unwrap();
        file.evict(0, 0).unwrap();
        assert_eq!(read(&dir, "a"), lost_data(), "the disk never had it");
    }
}

#[test]
fn a_crash_after_the_second_sync_shows_the_loss() {
    for failure in MEASURED {
        let dir = machine(failure);
        failed_append(&dir).sync_data().unwrap();
        assert_eq!(
            dir.crash(&mut keep_all()).image().get("a").unwrap(),
            lost_data()
        );
    }
}

#[test]
fn a_new_process_sees_the_ghost() {
    let dir = machine(SyncFailure::Ext4);
    failed_append(&dir);
    let next = dir.kill();
    assert_eq!(read(&next, "a"), new_data());
    let file = next.open("a", OpenMode::ReadWrite).unwrap();
    file.sync_data().unwrap();
    file.evict(S as u64, 1).unwrap();
    assert_eq!(read(&next, "a"), lost_data());
}

#[test]
fn writing_again_is_no_repair_on_ext4() {
    for (failure, repaired) in [
        (SyncFailure::Ext4, false),
        (SyncFailure::Xfs, true),
        (SyncFailure::Btrfs, true),
    ] {
        let dir = machine(failure);
        let file = failed_append(&dir);
        file.write_all_at(&bytes(2, S), S as u64).unwrap();
        file.sync_data().unwrap();
        assert_eq!(read(&dir, "a"), new_data());
        file.evict(0, 0).unwrap();
        assert_eq!(
            read(&dir, "a"),
            if repaired { new_data() } else { lost_data() }
        );
    }
}

#[test]
fn writing_again_is_a_repair_where_the_blocks_were_written_before() {
    for failure in MEASURED {
        let dir = machine(failure);
        let file = new_file(&dir, "a", &bytes(0, 2 * S));
        file.write_all_at(&new_data(), 0).unwrap();
        dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
        assert!(is_eio(file.sync_data()));
        file.write_all_at(&new_data(), 0).unwrap();
        file.sync_data().unwrap();
        file.evict(0, 0).unwrap();
        assert_eq!(read(&dir, "a"), new_data());
    }
}

#[test]
fn other_data_written_over_a_ghost_is_what_is_read() {
    let dir = machine(SyncFailure::Xfs);
    let file = failed_append(&dir);
    file.write_all_at(&bytes(3, S), S as u64).unwrap();
    file.sync_data().unwrap();
    assert_eq!(read(&dir, "a"), [bytes(1, S), bytes(3, S)].concat());
}

#[test]
fn the_trap_ends_where_the_file_is_cut() {
    let dir = machine(SyncFailure::Ext4);
    let file = failed_append(&dir);
    file.set_len(S as u64).unwrap();
    file.write_all_at(&bytes(2, S), S as u64).unwrap();
    file.sync_data().unwrap();
    file.evict(0, 0).unwrap();
    assert_eq!(read(&dir, "a"), new_data());
}

#[test]
fn the_trap_outlasts_a_second_failure() {
    let dir = machine(SyncFailure::Ext4);
    let file = failed_append(&dir);
    file.write_all_at(&bytes(2, S), S as u64).unwrap();
    // Were it not trapped, this failure would write it.
    dir.set_chooser(Script::new(vec![1]));
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    assert!(is_eio(file.sync_data()));
    file.evict(0, 0).unwrap();
    assert_eq!(read(&dir, "a"), lost_data());
}

#[test]
fn what_was_cut_off_does_not_come_back_with_an_eviction() {
    let dir = machine(SyncFailure::Xfs);
    let file = new_file(&dir, "a", &bytes(1, 3 * S));
    file.set_len(0).unwrap();
    file.set_len(3 * S as u64).unwrap();
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    assert!(is_eio(file.sync_data()));
    file.evict(0, 0).unwrap();
    assert_eq!(read(&dir, "a"), bytes(0, 3 * S));
}

#[test]
fn an_eviction_reaches_as_far_as_it_says() {
    let dir = machine(SyncFailure::Xfs);
    let file = new_file(&dir, "a", &bytes(1, 3 * S));
    file.write_all_at(&bytes(2, 3 * S), 0).unwrap();
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    assert!(is_eio(file.sync_data()));
    file.evict(S as u64, S as u64).unwrap();
    assert_eq!(
        read(&dir, "a"),
        [bytes(2, S), bytes(1, S), bytes(2, S)].concat()
    );
}

#[test]
fn a_copy_to_a_new_file_is_a_repair() {
    for failure in MEASURED {
        let dir = machine(failure);
        failed_append(&dir);
        let ghost = read(&dir, "a");
        new_file(&dir, "b", &ghost);
        let after = dir.crash(&mut lose_all());
        assert_eq!(after.image().get("b").unwrap(), new_data());
    }
}

#[test]
fn a_failing_sync_may_write_any_subset() {
    let dir = machine(SyncFailure::Xfs);
    let file = new_file(&dir, "a", b"");
    file.write_all_at(&bytes(3, 3 * S), 0).unwrap();
    dir.set_chooser(Script::new(vec![1, 0, 1]));
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    assert!(is_eio(file.sync_data()));
    assert_eq!(dir.choices(), [1, 0, 1]);
    file.sync_data().unwrap();
    let after = dir.crash(&mut lose_all()).image();
    assert_eq!(
        after.get("a").unwrap(),
        [bytes(3, S), bytes(0, S), bytes(3, S)].concat()
    );
}

#[test]
fn the_cache_goes_back_on_btrfs_as_published() {
    let dir = machine(SyncFailure::BtrfsRevert);
    let file = failed_append(&dir);
    assert_eq!(read(&dir, "a"), lost_data());
    file.sync_data().unwrap();
    assert_eq!(read(&dir, "a"), lost_data());
}

#[test]
fn btrfs_may_report_the_error_twice() {
    let dir = machine(SyncFailure::Btrfs);
    let file = new_file(&dir, "a", &bytes(1, S));
    file.write_all_at(&bytes(2, S), 0).unwrap();
    dir.set_chooser(Script::new(vec![0, 1]));
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    assert!(is_eio(file.sync_data()));
    assert!(is_eio(file.sync_data()));
    file.sync_data().unwrap();
}

#[test]
fn a_late_report_comes_with_the_next_sync() {
    let failed = || {
        let dir = machine(SyncFailure::Ext4Journal);
        let file = new_file(&dir, "a", &bytes(1, S));
        file.write_all_at(&bytes(2, S), S as u64).unwrap();
        dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
        file.sync_data().unwrap();
        (dir, file)
    };
    let (dir, file) = failed();
    assert!(is_eio(file.sync_data()));
    file.sync_data().unwrap();
    assert_eq!(
        dir.crash(&mut keep_all()).image().get("a").unwrap(),
        lost_data()
    );

    let (dir, _file) = failed();
    let other = dir.open("a", OpenMode::ReadWrite).unwrap();
    assert!(is_eio(other.sync_data()), "a new handle is told too, once");
    other.sync_data().unwrap();
    dir.open("a", OpenMode::ReadWrite)
        .unwrap()
        .sync_data()
        .unwrap();
}

#[test]
fn a_crash_ends_what_was_still_to_be_reported() {
    let dir = machine(SyncFailure::Ext4Journal);
    let file = new_file(&dir, "a", &bytes(1, S));
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    file.sync_data().unwrap();
    let after = dir.crash(&mut lose_all());
    after
        .open("a", OpenMode::ReadWrite)
        .unwrap()
        .sync_data()
        .unwrap();
}

#[test]
fn each_handle_is_told_once() {
    let dir = machine(SyncFailure::Ext4);
    let file = new_file(&dir, "a", &bytes(1, S));
    let other = dir.open("a", OpenMode::ReadWrite).unwrap();
    file.write_all_at(&bytes(2, S), 0).unwrap();
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    assert!(is_eio(file.sync_data()));
    file.sync_data().unwrap();
    assert!(is_eio(other.sync_data()));
    other.sync_data().unwrap();
    let late = dir.open("a", OpenMode::ReadWrite).unwrap();
    late.sync_data().unwrap();
}

#[test]
fn a_lying_disk_says_nothing() {
    let dir = machine(SyncFailure::Lying);
    let file = new_file(&dir, "a", &bytes(1, S));
    dir.inject(
        Fault::error(SystemError::Io)
            .on(OperationKind::SyncData)
            .persistent(),
    );
    file.write_all_at(&bytes(2, S), 0).unwrap();
    file.sync_data().unwrap();
    file.sync_data().unwrap();
    assert_eq!(
        dir.crash(&mut lose_all()).image().get("a").unwrap(),
        bytes(1, S)
    );
}

#[test]
fn an_interrupted_sync_has_done_nothing() {
    let dir = machine(SyncFailure::Ext4);
    let file = new_file(&dir, "a", &bytes(1, S));
    file.write_all_at(&bytes(2, S), 0).unwrap();
    dir.inject(Fault::error(SystemError::Interrupted).on(OperationKind::SyncData));
    let error = file.sync_data().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
    file.sync_data().unwrap();
    assert_eq!(
        dir.crash(&mut lose_all()).image().get("a").unwrap(),
        bytes(2, S)
    );
}

#[test]
fn a_failing_directory_sync_forgets_names_on_ext4() {
    let dir = machine(SyncFailure::Ext4);
    dir.open("a", OpenMode::CreateNew).unwrap();
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncDirectory));
    assert!(is_eio(dir.sync_dir()));
    dir.sync_dir().unwrap();
    assert!(dir.open("a", OpenMode::Read).is_ok());
    assert_eq!(dir.crash(&mut keep_all()).image().get("a"), None);
}

#[test]
fn a_failing_directory_sync_shuts_xfs_down() {
    let dir = machine(SyncFailure::Xfs);
    let file = new_file(&dir, "a", b"kept");
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncDirectory));
    assert!(is_eio(dir.sync_dir()));
    assert!(is_eio(file.sync_data()));
    assert!(is_eio(dir.list().map(drop)));
    assert!(
        is_eio(dir.kill().list().map(drop)),
        "a new process changes nothing"
    );
    assert_eq!(
        read(&dir.crash(&mut lose_all()), "a"),
        b"kept",
        "a new mount does"
    );
}

#[test]
fn a_failing_directory_sync_makes_btrfs_read_only() {
    let dir = machine(SyncFailure::Btrfs);
    let file = new_file(&dir, "a", b"kept");
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncDirectory));
    assert!(is_eio(dir.sync_dir()));
    let error = file.write_at(b"x", 0).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(read(&dir, "a"), b"kept");
    dir.set_access(Access::ReadWrite);
    file.write_all_at(b"x", 0).unwrap();
}

#[test]
fn background_work_never_changes_what_was_synced() {
    for seed in 0..300 {
        let dir = machine(SyncFailure::Ext4);
        dir.set_chooser(Seeded::new(seed));
        dir.set_background(Background::Busy);
        let file = new_file(&dir, "a", &bytes(1, 2 * S));
        for mark in 2..6 {
            file.write_all_at(&bytes(mark, S), S as u64).unwrap();
        }
        assert_eq!(read(&dir, "a"), [bytes(1, S), bytes(5, S)].concat());
        let after = dir.crash(&mut lose_all()).image();
        let after = after.get("a").unwrap();
        assert_eq!(after[..S], bytes(1, S));
        assert!((1..=5).contains(&after[S]));
    }
}

/// A file of one sector with three versions, of which the background has written one.
fn written_back(version: u32) -> (FaultStorage, Arc<dyn StorageFile>) {
    let dir = machine(SyncFailure::Xfs);
    let file = new_file(&dir, "a", &bytes(1, S));
    for mark in 2..5 {
        file.write_all_at(&bytes(mark, S), 0).unwrap();
    }
    dir.set_chooser(Script::new(vec![2, version]));
    dir.set_background(Background::Busy);
    dir.list().unwrap();
    dir.set_background(Background::Idle);
    assert_eq!(dir.choices(), [2, version]);
    (dir, file)
}

#[test]
fn what_was_written_back_is_durable() {
    for (version, durable) in [(0, 2), (1, 3), (2, 4)] {
        let (dir, _file) = written_back(version);
        assert_eq!(read(&dir, "a"), bytes(4, S));
        assert_eq!(
            dir.crash(&mut lose_all()).image().get("a").unwrap(),
            bytes(durable, S)
        );
        assert_eq!(
            dir.crash(&mut keep_all()).image().get("a").unwrap(),
            bytes(4, S)
        );
    }
}

#[test]
fn what_was_written_back_cannot_fail_to_be_written() {
    let (dir, file) = written_back(2);
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    assert!(is_eio(file.sync_data()));
    file.evict(0, 0).unwrap();
    assert_eq!(read(&dir, "a"), bytes(4, S));
}

#[test]
fn background_work_can_reveal_ghosts() {
    let reads = (0..200).map(|seed| {
        let dir = machine(SyncFailure::Xfs);
        failed_append(&dir);
        dir.set_chooser(Seeded::new(seed));
        dir.set_background(Background::Busy);
        read(&dir, "a")
    });
    let reads: std::collections::BTreeSet<_> = reads.collect();
    assert_eq!(reads, [new_data(), lost_data()].into());
}

#[test]
fn the_disk_can_be_looked_at_behind_the_cache() {
    for failure in [SyncFailure::Ext4, SyncFailure::Lying] {
        let dir = machine(failure);
        let file = new_file(&dir, "a", &bytes(1, S));
        file.write_all_at(&bytes(2, S), 0).unwrap();
        dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
        let told = file.sync_data().is_err();
        assert_eq!(told, failure == SyncFailure::Ext4);
        let before = dir.operation_count();
        assert_eq!(dir.image().get("a"), Some(&bytes(2, S)[..]));
        assert_eq!(dir.on_disk().get("a"), Some(&bytes(1, S)[..]));
        assert_eq!(dir.operation_count(), before);
        // The machine goes on.
        assert!(!dir.has_lost_power());
        let other = dir.open("other", OpenMode::CreateNew).unwrap();
        other.write_all_at(b"written", 0).unwrap();
        other.sync_data().unwrap();
        assert_eq!(dir.on_disk().get("other"), None, "its name is not durable");
        dir.sync_dir().unwrap();
        assert_eq!(dir.on_disk().get("other"), Some(&b"written"[..]));
    }
}
