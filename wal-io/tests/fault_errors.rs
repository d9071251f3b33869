//! Errors at the n-th operation, short transfers, limits of the machine, and the record of operations.

mod common;

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{S, bytes, created, lose_all, new_file, read};
use wal_io::fault::{
    Access, Fault, FaultConfig, Moment, Operation, OperationKind, PowerLost, Script, SystemError,
};
use wal_io::{FaultStorage, OpenMode, Storage, StorageFileExt};

fn machine() -> FaultStorage {
    created(FaultConfig::default())
}

#[test]
fn the_nth_operation_fails_and_no_other() {
    let dir = machine();
    dir.inject(Fault::error(SystemError::PermissionDenied).after(2));
    assert!(dir.list().is_ok());
    assert!(dir.sync_dir().is_ok());
    assert_eq!(dir.list().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(dir.list().is_ok());
}

#[test]
fn only_operations_in_scope_count() {
    let dir = machine();
    let a = new_file(&dir, "a", b"1");
    let b = new_file(&dir, "b", b"1");
    let fault = Fault::error(SystemError::Io).on(OperationKind::Write);
    dir.inject(fault.in_file("b").after(1).times(2));
    a.write_all_at(b"2", 0).unwrap();
    a.write_all_at(b"3", 0).unwrap();
    b.write_all_at(b"2", 0).unwrap();
    b.sync_data().unwrap();
    assert!(b.write_at(b"3", 0).is_err());
    assert!(b.write_at(b"4", 0).is_err());
    b.write_all_at(b"5", 0).unwrap();
    assert_eq!(read(&dir, "b"), b"5");
}

#[test]
fn faults_follow_a_file_through_a_rename() {
    let dir = machine();
    let file = new_file(&dir, "a", b"1");
    dir.rename("a", "b").unwrap();
    dir.inject(Fault::error(SystemError::Io).in_file("b"));
    assert!(file.sync_data().is_err());
}

#[test]
fn persistent_faults_stay_until_cleared() {
    let dir = machine();
    let file = new_file(&dir, "a", b"1");
    dir.inject(
        Fault::error(SystemError::NoSpace)
            .on(OperationKind::Write)
            .persistent(),
    );
    for _ in 0..3 {
        assert_eq!(
            file.write_at(b"2", 0).unwrap_err().kind(),
            ErrorKind::StorageFull
        );
    }
    dir.clear_faults();
    file.write_all_at(b"2", 0).unwrap();
}

#[test]
fn errors_are_those_of_the_system() {
    let kinds = [
        (SystemError::NoSpace, ErrorKind::StorageFull),
        (SystemError::QuotaExceeded, ErrorKind::QuotaExceeded),
        (SystemError::Interrupted, ErrorKind::Interrupted),
        (SystemError::ReadOnly, ErrorKind::ReadOnlyFilesystem),
        (SystemError::FileTooLarge, ErrorKind::FileTooLarge),
        (SystemError::PermissionDenied, ErrorKind::PermissionDenied),
    ];
    for (error, kind) in kinds {
        assert_eq!(std::io::Error::from(error).kind(), kind);
    }
    if cfg!(target_os = "linux") {
        assert_eq!(
            std::io::Error::from(SystemError::Io).raw_os_error(),
            Some(5)
        );
        assert_eq!(
            std::io::Error::from(SystemError::TooManyOpenFiles).raw_os_error(),
            Some(24)
        );
    }
}

#[test]
fn short_and_interrupted_transfers_are_continued() {
    let dir = machine();
    let file = new_file(&dir, "a", b"");
    dir.inject(Fault::short(3).on(OperationKind::Write).times(2));
    dir.inject(
        Fault::error(SystemError::Interrupted)
            .on(OperationKind::Write)
            .after(2),
    );
    file.write_all_at(b"0123456789", 0).unwrap();
    assert_eq!(dir.image().get("a"), Some(&b"0123456789"[..]));

    dir.inject(Fault::short(4).on(OperationKind::Read).times(2));
    dir.inject(
        Fault::error(SystemError::Interrupted)
            .on(OperationKind::Read)
            .after(1),
    );
    let mut buf = [0; 10];
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"0123456789");
}

#[test]
fn a_write_of_nothing_is_an_error() {
    let dir = machine();
    let file = new_file(&dir, "a", b"");
    dir.inject(Fault::short(0).on(OperationKind::Write));
    assert_eq!(
        file.write_all_at(b"x", 0).unwrap_err().kind(),
        ErrorKind::WriteZero
    );
}

#[test]
fn a_failing_write_may_have_written_a_part() {
    let write = |choices| {
        let dir = machine();
        let file = new_file(&dir, "a", &bytes(1, 3 * S));
        dir.set_chooser(Script::new(choices));
        dir.inject(Fault::error(SystemError::Io).on(OperationKind::Write));
        assert!(file.write_at(&bytes(2, 3 * S - 10), 10).is_err());
        read(&dir, "a")
    };
    assert_eq!(write(vec![]), bytes(1, 3 * S));
    assert_eq!(
        write(vec![1]),
        [bytes(1, 10), bytes(2, S - 10), bytes(1, 2 * S)].concat()
    );
    assert_eq!(
        write(vec![2]),
        [bytes(1, 10), bytes(2, 2 * S - 10), bytes(1, S)].concat()
    );
}

#[test]
fn a_full_disk_shortens_and_then_refuses() {
    let dir = machine();
    dir.set_capacity(Some(4 * S as u64));
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    file.allocate(0, 2 * S as u64).unwrap();
    assert_eq!(dir.used_space(), 2 * S as u64);
    assert_eq!(file.write_at(&bytes(1, 5 * S), 10).unwrap(), 4 * S - 10);
    let full = |result: std::io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::StorageFull);
    };
    full(file.write_at(b"x", 4 * S as u64).map(drop));
    full(file.allocate(0, 5 * S as u64));
    full(dir.open("b", OpenMode::CreateNew).map(drop));
    file.write_all_at(&bytes(2, 4 * S), 0).unwrap();
    file.sync_data().unwrap();
    file.set_len(S as u64).unwrap();
    assert_eq!(dir.used_space(), S as u64);
    file.write_all_at(&bytes(3, 3 * S), S as u64).unwrap();
}

#[test]
fn space_in_a_gap_is_not_taken() {
    let dir = machine();
    dir.set_capacity(Some(3 * S as u64));
    let file = new_file(&dir, "a", b"x");
    file.write_all_at(b"x", 100 * S as u64).unwrap();
    assert_eq!(dir.used_space(), 2 * S as u64);
    file.write_all_at(b"x", 50 * S as u64).unwrap();
    assert!(file.write_at(b"x", 60 * S as u64).is_err());
}

#[test]
fn removal_frees_space_with_the_last_handle() {
    let dir = machine();
    dir.set_capacity(Some(2 * S as u64));
    let file = new_file(&dir, "a", &bytes(1, 2 * S));
    dir.remove("a").unwrap();
    assert!(dir.open("b", OpenMode::CreateNew).is_err());
    drop(file);
    assert_eq!(dir.used_space(), 0);
    new_file(&dir, "b", &bytes(1, 2 * S));
    let after = dir.crash(&mut lose_all());
    assert!(
        after.open("c", OpenMode::CreateNew).is_err(),
        "a crash makes no room"
    );
}

#[test]
fn space_is_that_of_what_is_there() {
    let dir = machine();
    let file = new_file(&dir, "a", &bytes(1, S));
    file.write_all_at(&bytes(2, 3 * S), 0).unwrap();
    assert_eq!(dir.used_space(), 3 * S as u64);
    assert_eq!(dir.crash(&mut lose_all()).used_space(), S as u64);
    // The handle died with the process.
    let next = dir.kill();
    next.remove("a").unwrap();
    assert_eq!(next.used_space(), 0);
}

#[test]
fn overlapping_allocations_count_once() {
    let dir = machine();
    let file = new_file(&dir, "a", b"");
    let mut allocated = std::collections::BTreeSet::new();
    let ranges = [
        (0, 2),
        (4, 2),
        (9, 1),
        (1, 4),
        (8, 4),
        (3, 1),
        (20, 5),
        (0, 30),
        (40, 1),
        (39, 1),
        (41, 2),
    ];
    for (start, len) in ranges {
        file.allocate(start * S as u64, len * S as u64).unwrap();
        allocated.extend(start..start + len);
        assert_eq!(
            dir.used_space(),
            (allocated.len() * S) as u64,
            "after {start}, {len}"
        );
    }
    file.set_len(35 * S as u64).unwrap();
    assert_eq!(dir.used_space(), 30 * S as u64);
    file.set_len(10 * S as u64 - 1).unwrap();
    assert_eq!(dir.used_space(), 10 * S as u64);
}

#[test]
fn a_failed_allocation_changes_nothing() {
    let dir = machine();
    let file = new_file(&dir, "a", b"12");
    dir.inject(Fault::error(SystemError::NoSpace).on(OperationKind::Allocate));
    assert!(file.allocate(0, 1000).is_err());
    assert_eq!(read(&dir, "a"), b"12");
}

#[test]
fn open_files_are_limited() {
    let dir = machine();
    let file = new_file(&dir, "a", b"");
    let lock = dir.try_lock("lock").unwrap();
    dir.set_open_file_limit(Some(2));
    assert_eq!(dir.open_files(), 2);
    assert!(dir.open("a", OpenMode::Read).is_err());
    assert!(dir.try_lock("other").is_err());
    drop(file);
    let file = dir.open("a", OpenMode::Read).unwrap();
    drop((file, lock));
    assert_eq!(dir.open_files(), 0);
}

#[test]
fn a_read_only_file_system_can_be_read() {
    let dir = machine();
    let file = new_file(&dir, "a", b"kept");
    dir.set_access(Access::ReadOnly);
    let refused = |result: std::io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    };
    refused(file.write_at(b"x", 0).map(drop));
    refused(file.set_len(0));
    refused(file.allocate(0, 10));
    refused(dir.open("a", OpenMode::ReadWrite).map(drop));
    refused(dir.open("b", OpenMode::CreateNew).map(drop));
    refused(dir.rename("a", "b"));
    refused(dir.remove("a"));
    refused(dir.try_lock("lock").map(drop));
    refused(dir.subdirectory("sub").unwrap().create());
    assert_eq!(read(&dir, "a"), b"kept");
    file.sync_data().unwrap();
    dir.sync_dir().unwrap();
}

#[test]
fn operations_are_recorded() {
    let dir = machine();
    let before = dir.change_count();
    dir.record_operations();
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    file.write_all_at(b"hello", 7).unwrap();
    file.sync_data().unwrap();
    dir.rename("a", "b").unwrap();
    dir.sync_dir().unwrap();
    assert!(dir.open("a", OpenMode::Read).is_err());
    let operation = |kind, name: &str| Operation {
        kind,
        name: name.into(),
        to: None,
        offset: 0,
        len: 0,
        result: Ok(0),
    };
    let expected = [
        operation(OperationKind::CreateFile, "a"),
        Operation {
            offset: 7,
            len: 5,
            result: Ok(5),
            ..operation(OperationKind::Write, "a")
        },
        operation(OperationKind::SyncData, "a"),
        Operation {
            to: Some("b".into()),
            ..operation(OperationKind::Rename, "a")
        },
        operation(OperationKind::SyncDirectory, "fault:/log"),
        Operation {
            result: Err(ErrorKind::NotFound),
            ..operation(OperationKind::Open, "a")
        },
    ];
    assert_eq!(dir.operations(), expected);
    assert_eq!(dir.change_count() - before, 5, "a failed open is no change");
    dir.record_operations();
    assert!(dir.operations().is_empty());
}

#[test]
fn creation_syncs_what_it_changes() {
    let dir = FaultStorage::new();
    dir.record_operations();
    let deep = dir.subdirectory("sub").unwrap();
    deep.create().unwrap();
    deep.create().unwrap();
    let done: Vec<_> = dir
        .operations()
        .into_iter()
        .map(|done| (done.kind, done.name.to_string()))
        .collect();
    let step = |kind, name: &str| (kind, name.to_owned());
    let expected = [
        step(OperationKind::MakeDirectory, "fault:/log"),
        step(OperationKind::SyncDirectory, "fault:/"),
        step(OperationKind::MakeDirectory, "fault:/log/sub"),
        step(OperationKind::SyncDirectory, "fault:/log"),
        // The second time: what an earlier process may have left undone.
        step(OperationKind::SyncDirectory, "fault:/log"),
    ];
    assert_eq!(done, expected);
}

#[test]
fn every_change_is_a_place_to_crash() {
    let work = |dir: &FaultStorage| -> std::io::Result<()> {
        dir.create()?;
        let file = dir.open("a", OpenMode::CreateNew)?;
        file.write_all_at(b"1", 0)?;
        file.sync_data()?;
        dir.sync_dir()
    };
    let whole = FaultStorage::new();
    work(&whole).unwrap();
    assert_eq!(whole.change_count(), 6);
    for point in 0..whole.change_count() {
        let dir = FaultStorage::new();
        dir.inject(Fault::power_cut(Moment::Before).after(point));
        assert!(PowerLost::is(&work(&dir).unwrap_err()));
        work(&dir.crash(&mut lose_all())).unwrap();
    }
}

#[test]
fn power_can_fail_after_any_operation() {
    let work = |dir: &FaultStorage| -> std::io::Result<()> {
        dir.create()?;
        let lock = dir.try_lock("lock")?;
        let file = dir.open("a", OpenMode::CreateNew)?;
        file.write_all_at(b"1", 0)?;
        file.sync_data()?;
        dir.rename("a", "b")?;
        let again = dir.open("b", OpenMode::ReadWrite)?;
        again.set_len(0)?;
        dir.remove("b")?;
        drop(lock);
        dir.sync_dir()
    };
    for moment in [Moment::Before, Moment::During, Moment::After] {
        for point in 0.. {
            let dir = FaultStorage::new();
            dir.inject(Fault::power_cut(moment).after(point));
            let result = work(&dir);
            if dir.faults_struck() == 0 {
                result.unwrap();
                assert_eq!(point, 10);
                break;
            }
            assert!(PowerLost::is(&result.unwrap_err()));
        }
    }
}

#[test]
fn without_descriptors_only_what_opens_fails() {
    let dir = machine();
    let file = new_file(&dir, "a", b"1");
    dir.inject(
        Fault::error(SystemError::TooManyOpenFiles)
            .on_opening()
            .times(4),
    );
    assert!(dir.open("a", OpenMode::Read).is_err());
    assert!(dir.open("b", OpenMode::CreateNew).is_err());
    assert!(dir.list().is_err());
    file.write_all_at(b"2", 0).unwrap();
    file.sync_data().unwrap();
    dir.rename("a", "c").unwrap();
    dir.sync_dir().unwrap();
    assert!(dir.try_lock("lock").is_err());
    // It is over.
    assert_eq!(read(&dir, "c"), b"2");
    assert_eq!(dir.list().unwrap().len(), 1, "nothing was made");
}

#[test]
fn a_file_that_could_not_be_opened_may_have_been_made() {
    for made in [0, 1] {
        let dir = machine();
        dir.set_chooser(Script::new(vec![made]));
        dir.inject(Fault::error(SystemError::Io).on(OperationKind::CreateFile));
        assert!(dir.open("a", OpenMode::CreateNew).is_err());
        assert_eq!(dir.list().unwrap().len() as u32, made);
    }
}

#[test]
fn a_slow_call_works_and_moves_the_clock_before_it_returns() {
    let dir = machine();
    let clock = Arc::new(Mutex::new(Duration::ZERO));
    let moved = Arc::clone(&clock);
    dir.set_clock(move |time| *moved.lock().unwrap() += time);
    let file = new_file(&dir, "a", b"1");
    let minute = Duration::from_secs(60);
    dir.inject(Fault::slow(minute).on(OperationKind::SyncData).after(1));
    file.sync_data().unwrap();
    assert_eq!(*clock.lock().unwrap(), Duration::ZERO);
    file.write_all_at(b"2", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(*clock.lock().unwrap(), minute);
    assert_eq!(dir.faults_struck(), 0, "nothing has failed");
    // What it did is durable, and the next machine has the same clock.
    dir.sync_dir().unwrap();
    let next = dir.crash(&mut lose_all());
    assert_eq!(read(&next, "a"), b"2");
    next.inject(Fault::slow(minute));
    next.list().unwrap();
    assert_eq!(*clock.lock().unwrap(), 2 * minute);
}
