//! Prewrites on the simulated machine: what they leave, how they fail, and the promises of the caller.

mod common;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{S, bytes, created, keep_all, lose_all, new_file};
use wal_io::fault::{
    Exhaustive, Fault, FaultConfig, Fill, Moment, Operation, OperationKind, Overwrite, PowerLost,
    Prewrite, Script, Site, SystemError,
};
use wal_io::{FaultStorage, OpenMode, Storage, StorageFile, StorageFileExt};

const PAGE: u64 = 4096;

fn machine() -> FaultStorage {
    created(FaultConfig::default())
}

/// A durable file of `pages` that were reserved and not written.
fn reserved(dir: &FaultStorage, pages: u64) -> Arc<dyn StorageFile> {
    let file = new_file(dir, "a", b"");
    file.allocate(0, pages * PAGE).unwrap();
    file.sync_data().unwrap();
    file
}

/// What the panic of `action` says.
#[track_caller]
fn complaint<T>(action: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(action))
        .err()
        .expect("a caller that breaks its promise is told");
    panic.downcast_ref::<String>().expect("a message").clone()
}

/// Every different content that the file `a` has after some crash.
fn after_any_crash(dir: &FaultStorage) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut choices = Exhaustive::new();
    while choices.next_run() {
        let image = dir.crash(&mut choices).image();
        let content = image.get("a").expect("the file is durable").to_vec();
        if !found.contains(&content) {
            found.push(content);
        }
    }
    found
}

#[test]
fn a_prewrite_is_an_operation_and_a_change() {
    let dir = machine();
    let file = reserved(&dir, 2);
    let (operations, changes) = (dir.operation_count(), dir.change_count());
    dir.record_operations();
    assert!(file.prewrite(PAGE, PAGE).unwrap());
    assert_eq!(dir.operation_count() - operations, 1);
    assert_eq!(dir.change_count() - changes, 1);
    let expected = Operation {
        kind: OperationKind::Prewrite,
        name: "a".into(),
        to: None,
        offset: PAGE,
        len: PAGE,
        result: Ok(0),
    };
    assert_eq!(dir.operations(), [expected]);
}

#[test]
fn a_file_system_that_cannot_is_not_asked() {
    let dir = created(FaultConfig {
        prewrite: Prewrite::Unsupported,
        ..FaultConfig::default()
    });
    let file = reserved(&dir, 1);
    file.write_all_at(b"x", 0).unwrap();
    dir.inject(Fault::error(SystemError::Io));
    let operations = dir.operation_count();
    assert!(!file.prewrite(0, PAGE).unwrap());
    assert_eq!(dir.operation_count(), operations);
    assert_eq!(dir.faults_struck(), 0);
    assert_eq!(dir.image().get("a").unwrap()[0], b'x');
    let kind = file.prewrite(1, PAGE).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::InvalidInput);
    dir.clear_faults();
    let _ = dir.crash(&mut lose_all());
    assert!(PowerLost::is(&file.prewrite(0, PAGE).unwrap_err()));
}

#[test]
fn a_crash_finds_zeros_prewritten_or_not() {
    let dir = machine();
    reserved(&dir, 2).prewrite(0, 2 * PAGE).unwrap();
    assert_eq!(dir.crash_states(), 1, "what was there is there again");
    assert_eq!(after_any_crash(&dir), [bytes(0, 2 * PAGE as usize)]);
}

#[test]
fn a_write_into_a_prewritten_range_is_kept_or_lost() {
    let dir = machine();
    let file = reserved(&dir, 2);
    file.prewrite(0, 2 * PAGE).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    assert!(dir.crash_states() >= 2);
    let mut written = bytes(0, 2 * PAGE as usize);
    written[0] = b'x';
    let lost = bytes(0, 2 * PAGE as usize);
    assert_eq!(after_any_crash(&dir), [lost, written]);
}

#[test]
fn a_prewrite_is_durable_with_the_next_sync() {
    let crashed = |synced: bool| {
        let dir = created(FaultConfig {
            overwrite: Overwrite::Torn,
            ..FaultConfig::default()
        });
        let file = reserved(&dir, 1);
        file.prewrite(0, PAGE).unwrap();
        if synced {
            file.sync_data().unwrap();
        }
        assert_eq!(dir.crash_states() == 1, synced);
        let left = dir.crash(&mut keep_all()).image();
        left.get("a").unwrap().iter().all(|byte| *byte == 0)
    };
    assert!(!crashed(false), "a sector that was being written is torn");
    assert!(crashed(true));
}

#[test]
fn power_fails_before_during_and_after_a_prewrite() {
    for moment in [Moment::Before, Moment::During, Moment::After] {
        let dir = machine();
        let file = reserved(&dir, 1);
        dir.set_chooser(Script::new(vec![3]));
        dir.inject(Fault::power_cut(moment).on(OperationKind::Prewrite));
        assert!(PowerLost::is(&file.prewrite(0, PAGE).unwrap_err()));
        assert!(PowerLost::is(&file.prewrite(0, PAGE).unwrap_err()));
        let asked = dir.choices().len();
        assert_eq!(asked, usize::from(moment == Moment::During));
        assert_eq!(after_any_crash(&dir), [bytes(0, PAGE as usize)]);
    }
}

#[test]
fn a_failing_prewrite_changes_nothing_that_is_seen_and_no_sync() {
    for error in [
        SystemError::Io,
        SystemError::NoSpace,
        SystemError::Interrupted,
    ] {
        let dir = machine();
        let file = reserved(&dir, 1);
        file.write_all_at(b"x", 0).unwrap();
        file.allocate(PAGE, PAGE).unwrap();
        dir.set_chooser(Script::new(vec![2]));
        dir.inject(Fault::error(error).on(OperationKind::Prewrite));
        let kind = file.prewrite(PAGE, PAGE).unwrap_err().kind();
        assert_eq!(kind, std::io::Error::from(error).kind());
        file.sync_data().unwrap();
        assert!(file.prewrite(PAGE, PAGE).unwrap());
        let mut expected = bytes(0, 2 * PAGE as usize);
        expected[0] = b'x';
        assert_eq!(dir.on_disk().get("a").unwrap(), expected);
    }
}

/// With `SyncFailure::Ext4` a sector that was never written stays lost after a failed sync; a prewritten one does not.
#[test]
fn a_prewritten_sector_is_no_trap() {
    let rewritten = |prewritten: bool| {
        let dir = machine();
        let file = reserved(&dir, 1);
        if prewritten {
            file.prewrite(0, PAGE).unwrap();
            file.sync_data().unwrap();
        }
        file.write_all_at(b"x", 0).unwrap();
        dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
        assert!(file.sync_data().is_err());
        file.write_all_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        dir.on_disk().get("a").unwrap()[0]
    };
    assert_eq!(rewritten(false), 0);
    assert_eq!(rewritten(true), b'x');
}

#[test]
fn a_read_only_file_system_refuses() {
    let dir = machine();
    let file = reserved(&dir, 1);
    dir.set_access(wal_io::fault::Access::ReadOnly);
    let kind = file.prewrite(0, PAGE).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::ReadOnlyFilesystem);
    dir.set_access(wal_io::fault::Access::ReadWrite);
    let reader = dir.open("a", OpenMode::Read).unwrap();
    let kind = reader.prewrite(0, PAGE).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::PermissionDenied);
}

#[test]
fn a_range_with_bytes_in_it_is_a_mistake_of_the_caller() {
    let dir = machine();
    let file = reserved(&dir, 3);
    let at = PAGE + S as u64 + 7;
    file.write_all_at(b"x", at).unwrap();
    let said = complaint(|| file.prewrite(0, 3 * PAGE));
    assert!(said.contains("\"a\""), "{said}");
    assert!(said.contains(&format!("offset {at} is not zero")), "{said}");
    // Not written by it, and nobody waits for it.
    assert_eq!(dir.image().get("a").unwrap()[at as usize], b'x');
    assert!(file.prewrite(0, PAGE).unwrap());
    assert!(file.prewrite(2 * PAGE, PAGE).unwrap());
    file.write_all_at(b"x", 0).unwrap();
}

#[test]
fn a_range_that_is_not_reserved_is_a_mistake_of_the_caller() {
    let dir = machine();
    let file = reserved(&dir, 1);
    let said = complaint(|| file.prewrite(0, 2 * PAGE));
    assert!(said.contains("\"a\""), "{said}");
    assert!(said.contains("not all of them are reserved"), "{said}");
    assert!(said.contains("the file has 4096 bytes"), "{said}");
    file.set_len(2 * PAGE).unwrap();
    let said = complaint(|| file.prewrite(0, 2 * PAGE));
    assert!(said.contains("not all of them are reserved"), "{said}");
    file.allocate(0, 2 * PAGE).unwrap();
    assert!(file.prewrite(0, 2 * PAGE).unwrap());
}

#[test]
fn damage_while_a_file_is_open_is_no_mistake_of_the_caller() {
    let dir = machine();
    let file = reserved(&dir, 1);
    let damage = || {
        let site = Site {
            file: "a",
            sector: 1,
        };
        dir.fill_sector(site, Fill::Ones).unwrap();
    };
    damage();
    assert!(file.prewrite(0, PAGE).unwrap());
    damage();
    dir.truncate_file("a", 2 * S as u64).unwrap();
    let kind = file.prewrite(0, PAGE).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::InvalidInput);
    // Who opens the file again could have seen it.
    drop(file);
    let file = dir.open("a", OpenMode::ReadWrite).unwrap();
    file.allocate(0, PAGE).unwrap();
    complaint(|| file.prewrite(0, PAGE));
}

/// Two threads at one range, until one of them is told. What is written is zeros, so that nothing else gives it away.
#[test]
fn a_write_to_a_range_that_is_being_prewritten_is_a_mistake_of_the_caller() {
    const ROUNDS: usize = 1_000_000;
    let dir = machine();
    let file = reserved(&dir, 1);
    let told = AtomicBool::new(false);
    let rounds = |step: &dyn Fn()| {
        for _ in 0..ROUNDS {
            if catch_unwind(AssertUnwindSafe(step)).is_err() {
                told.store(true, Ordering::Relaxed);
            }
            if told.load(Ordering::Relaxed) {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| rounds(&|| assert!(file.prewrite(0, PAGE).unwrap())));
        rounds(&|| {
            file.write_all_at(&[0], 100).unwrap();
            file.sync_data().unwrap();
        });
    });
    assert!(told.load(Ordering::Relaxed));
    // The machine is as usable as before.
    file.write_all_at(&[0], 100).unwrap();
    assert!(file.prewrite(0, PAGE).unwrap());
}
