//! A log is its directory, not its path: moved, replaced or deleted under it, it stops, says so, and has written nothing elsewhere.

use std::io;
use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::{Displaced, Displacement, Error, FsyncPolicy, Lsn, RecordRef, Result, SegmentId};
use wal_io::fault::{Fault, FaultConfig, Moment, OperationKind, Rename, Seeded, SystemError};
use wal_io::{DirEntry, FaultStorage, OpenMode, Place, Storage, StorageFile, StorageLock};

use crate::common::trace::{segment, spare};
use crate::common::{Machine, PATIENCE, SMALL, WINDOW, append, assert_holds, payload, policies};

#[track_caller]
fn displaced<T: std::fmt::Debug>(outcome: Result<T>) -> Displaced {
    match outcome {
        Err(Error::Displaced(displaced)) => displaced,
        other => panic!("expected Displaced, got {other:?}"),
    }
}

/// Appends, each record made durable, until the log refuses.
#[track_caller]
fn append_until_displaced(wal: &Wal) -> Displaced {
    for _ in 0..1_000 {
        let lsn = wal.last_lsn().get() + 1;
        if let Err(error) = wal.durable().append(RecordRef::data(&payload(lsn))) {
            return displaced(Err::<(), _>(error));
        }
    }
    panic!("it is never noticed")
}

#[test]
fn a_deleted_file_is_never_acknowledged() {
    for policy in policies() {
        let machine = Machine::new(policy);
        let wal = machine.open();
        append(&wal, 1..=3);
        wal.sync().expect("synced");
        machine.storage.remove_file(&segment(1)).expect("a file");
        let error = displaced(wal.durable().append(RecordRef::data(&payload(4))));
        assert_eq!(error.what, Displacement::FileDeleted(SegmentId::new(1)));
        assert_eq!(error.durable_lsn.get(), 3);
        let message = error.to_string();
        for word in [
            "segment 1 was deleted",
            "LSN 3",
            "the deleted file are lost",
            "open it again",
        ] {
            assert!(message.contains(word), "{message}");
        }
        assert_eq!(wal.durable_lsn().get(), 3);
        // From then on everything is refused.
        displaced(wal.append(RecordRef::data(b"late")));
        displaced(wal.sync());
        displaced(wal.close());
    }
}

#[test]
fn a_file_that_is_deleted_before_the_close_makes_it_fail() {
    for policy in policies() {
        let machine = Machine::new(policy);
        let wal = machine.open();
        append(&wal, 1..=3);
        wal.sync().expect("synced");
        machine.storage.remove_file(&segment(1)).expect("a file");
        displaced(wal.close());
    }
}

#[test]
fn nothing_is_acknowledged_in_the_segment_after_one_that_was_deleted() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        let mut offset = 0;
        while offset < SMALL - 3_000 {
            let position = wal.append(RecordRef::data(&[7; 300])).expect("appended");
            assert_eq!(position.segment_id, SegmentId::new(1));
            offset = position.offset.get();
        }
        // All is durable: the file that is deleted now is never synced again.
        wal.sync().expect("synced");
        let durable = wal.durable_lsn();
        machine.storage.remove_file(&segment(1)).expect("a file");
        let error = displaced(wal.durable().append(RecordRef::data(&[7; 3_000])));
        assert_eq!(error.what, Displacement::FileDeleted(SegmentId::new(1)));
        assert_eq!(wal.durable_lsn(), durable);
    }
}

#[test]
fn a_moved_directory_is_noticed_at_the_next_rotation_and_at_the_close() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=3);
        wal.sync().expect("synced");
        let moved = machine.storage.move_directory("moved").expect("moved");
        let error = append_until_displaced(&wal);
        assert_eq!(error.what, Displacement::DirectoryGone);
        let message = error.to_string();
        for word in [
            "fault:/log",
            "was moved or deleted",
            "use the log at its new path",
        ] {
            assert!(message.contains(word), "{message}");
        }
        let durable = wal.durable_lsn().get();
        assert!(durable >= 3);
        drop(wal);
        assert_eq!(machine.storage.at_the_same_path().place(), Place::Here);
        assert!(
            machine.storage.at_the_same_path().list().is_err(),
            "it was made again"
        );
        machine.storage = moved;
        let wal = machine.open();
        let last = wal.last_lsn().get();
        assert!(last >= durable);
        assert_holds(&wal, 1..=last);
        // And without a record in between.
        machine.storage = {
            let moved = machine.storage.move_directory("elsewhere").expect("moved");
            assert_eq!(displaced(wal.close()).what, Displacement::DirectoryGone);
            drop(wal);
            moved
        };
        let wal = machine.open();
        assert!(wal.recovery_report().clean, "all was durable");
        assert_holds(&wal, 1..=last);
    }
}

#[test]
fn a_log_that_takes_the_old_path_of_another_is_never_written_to_by_it() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let first = machine.open();
        append(&first, 1..=3);
        first.sync().expect("synced");
        let moved = machine.storage.move_directory("moved").expect("moved");
        machine.storage = machine.storage.at_the_same_path();
        let second = machine.open();
        append(&second, 1..=200);
        second.sync().expect("synced");
        let before = machine.storage.image();
        assert_eq!(
            append_until_displaced(&first).what,
            Displacement::DirectoryReplaced
        );
        drop(first);
        assert!(machine.storage.image() == before);
        second.close().expect("closed");
        assert_holds(&machine.open(), 1..=200);
        machine.storage = moved;
        let wal = machine.open();
        let last = wal.last_lsn().get();
        assert_holds(&wal, 1..=last);
    }
}

#[test]
fn who_waits_when_the_directory_is_found_gone_is_told() {
    let machine = Machine::new(FsyncPolicy::Batch(WINDOW)).segments_of(SMALL);
    let wal = machine.open_with_threads();
    append(&wal, 1..=3);
    wal.sync().expect("synced");
    machine.storage.move_directory("moved").expect("moved");
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let begun = std::time::Instant::now();
                    while begun.elapsed() < PATIENCE {
                        wal.durable().append(RecordRef::data(&[7; 500]))?;
                    }
                    Ok(())
                })
            })
            .collect();
        for waiter in waiters {
            displaced(waiter.join().expect("no panic"));
        }
    });
}

/// A storage whose directory vanishes once it is locked.
#[derive(Debug)]
struct Vanishing(FaultStorage);

impl Storage for Vanishing {
    fn create(&self) -> io::Result<()> {
        self.0.create()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.0.list()
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        self.0.open(name, mode)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.replace(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        let lock = self.0.try_lock(name)?;
        self.0.remove_directory()?;
        Ok(lock)
    }

    fn place(&self) -> Place {
        // Whatever else looks: the listing has to notice.
        Place::Here
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        self.0.subdirectory(name)
    }

    fn location(&self) -> String {
        self.0.location()
    }
}

#[test]
fn a_directory_that_is_gone_once_it_is_locked_is_no_new_log() {
    let machine = Machine::new(FsyncPolicy::Always);
    append(&machine.open(), 1..=3);
    let storage = Vanishing(machine.storage.at_the_same_path());
    let opened = Wal::builder("").storage(Arc::new(storage)).open();
    assert_eq!(displaced(opened).what, Displacement::DirectoryGone);
    assert!(machine.storage.at_the_same_path().list().is_err());
}

#[test]
fn the_pid_of_the_holder_is_written_before_the_log_is_read() {
    let machine = Machine::new(FsyncPolicy::Always);
    append(&machine.open(), 1..=3);
    machine
        .storage
        .overwrite("lock.pid", 0, b"1\n\0\0\0")
        .expect("a file");
    machine.storage.record_operations();
    let wal = machine.open();
    let operations = machine.storage.operations();
    let at = |is: &dyn Fn(&wal_io::fault::Operation) -> bool| operations.iter().position(is);
    let written = at(&|done| done.kind == OperationKind::Write && &*done.name == "lock.pid");
    let locked = at(&|done| done.kind == OperationKind::Lock);
    let read = operations
        .iter()
        .skip(locked.expect("locked"))
        .position(|done| done.kind == OperationKind::Read && *done.name == segment(1))
        .map(|after| after + locked.expect("locked"));
    assert!(
        locked < written && written < read,
        "{locked:?} {written:?} {read:?}"
    );
    drop(wal);
}

/// A machine on which a rename is a link and the removal of the old name.
fn in_two_steps(policy: FsyncPolicy) -> Machine {
    let rules = FaultConfig {
        rename: Rename::LinkThenUnlink,
        ..FaultConfig::default()
    };
    Machine::with_rules(rules, policy).segments_of(SMALL)
}

#[test]
fn a_crash_inside_a_rename_in_two_steps_loses_nothing() {
    for policy in [FsyncPolicy::Always, FsyncPolicy::Os] {
        for point in 0.. {
            let mut machine = in_two_steps(policy);
            machine
                .storage
                .inject(Fault::power_cut(Moment::After).after(point));
            let (mut durable, mut segments) = (0, 0);
            if let Ok(wal) = machine.try_open() {
                for lsn in 1..=40u8 {
                    if wal.append(RecordRef::data(&[lsn; 400])).is_err() {
                        break;
                    }
                    durable = wal.durable_lsn().get();
                }
                segments = wal.list_segments().expect("segments").len();
            }
            let done = machine.storage.faults_struck() == 0;
            let crashed = machine.storage.clone();
            let after_kill = machine.storage.kill();
            let after = (0..4).map(|seed| crashed.crash(&mut Seeded::streaky(seed)));
            for (number, storage) in [after_kill].into_iter().chain(after).enumerate() {
                machine.storage = storage;
                // Twice: what the first leaves must open as well.
                for _ in 0..2 {
                    let opened = machine.try_open();
                    let wal = opened.unwrap_or_else(|error| panic!("{point}, {number}: {error}"));
                    assert!(wal.last_lsn().get() >= durable, "{point}, {number}");
                    machine.storage.cut_power();
                    drop(wal);
                    machine.storage = machine.storage.crash(&mut Seeded::streaky(point));
                }
            }
            if done {
                assert!(segments > 2, "it rotates");
                break;
            }
        }
    }
}

#[test]
fn a_truncation_that_fails_inside_a_rename_in_two_steps_is_not_called_undone() {
    // With the new name, and without the sync after it: whether the records are gone is known after reopening.
    let mut machine = in_two_steps(FsyncPolicy::Always);
    let wal = machine.open();
    append(&wal, 1..=3);
    machine.storage.inject(
        Fault::error(SystemError::NoSpace)
            .on(OperationKind::SyncDirectory)
            .persistent(),
    );
    let outcome = wal.truncate_after(Lsn::new(1));
    assert!(matches!(outcome, Err(Error::Poisoned(_))), "{outcome:?}");
    assert!(matches!(
        wal.append(RecordRef::data(b"late")),
        Err(Error::Poisoned(_))
    ));
    drop(wal);
    machine.storage.clear_faults();
    machine.kill();
    let wal = machine.open();
    // Either is right; it says itself which.
    let last = wal.last_lsn().get();
    assert!(last == 1 || last == 3, "the log ends at LSN {last}");
    assert_holds(&wal, 1..=last);
}

#[test]
fn a_spare_that_is_a_segment_under_another_name_is_only_unlinked() {
    // Records that nothing proves durable are copied at open. Where the disk is full the copy goes into an old spare: never
    // into one that is a segment as well, which a crash inside a rename leaves.
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=60);
    wal.flush().expect("flushed");
    let newest = wal
        .list_segments()
        .expect("segments")
        .last()
        .expect("some")
        .get();
    machine.kill();
    drop(wal);
    // A spare of an id that has no segment, too: only its second name tells.
    for other in [newest, newest + 1] {
        let storage = machine.storage.kill();
        let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
        machine.storage = storage;
        machine
            .storage
            .link_file(&segment(newest), &spare(other))
            .expect("linked");
        machine.remove_reserve();
        let before = machine
            .storage
            .image()
            .get(&segment(newest))
            .expect("a file")
            .to_vec();
        machine
            .storage
            .set_capacity(Some(machine.storage.used_space()));
        assert!(matches!(machine.try_open(), Err(Error::NoSpace { .. })));
        assert!(machine.storage.image().get(&segment(newest)) == Some(&before[..]));
        machine.storage.set_capacity(None);
        machine.kill();
        let wal = machine.open();
        assert_holds(&wal, 1..=60);
        assert!(!machine.file_names().contains(&spare(other)));
    }
}
