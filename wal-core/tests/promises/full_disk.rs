//! A full disk is met before a record is accepted: nothing torn, the log readable, appends work again once there is room.

use std::sync::Arc;

use wal_core::Offline;
use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, Lsn, Record, RecordRef, Result};
use wal_io::Storage;
use wal_io::fault::{Fault, Moment, OperationKind, Seeded, SystemError};

use crate::common::trace::{segment, spare, temporary};
use crate::common::{Machine, SMALL, WINDOW, append, assert_holds, large, payload, policies};

const KIB: u64 = 1 << 10;

#[track_caller]
fn is_no_space<T: std::fmt::Debug>(outcome: Result<T>) {
    match outcome {
        Err(Error::NoSpace { location, what }) => {
            assert_eq!(location, "fault:/log");
            assert!(!what.is_empty());
        }
        other => panic!("expected NoSpace, got {other:?}"),
    }
}

/// Appends records of about `len` bytes until the disk is full; the last LSN.
fn fill(wal: &Wal, from: u64, len: usize) -> u64 {
    let mut n = from;
    loop {
        match wal.append(RecordRef::data(&large(n, len))) {
            Ok(position) => assert_eq!(position.lsn.get(), n),
            Err(Error::NoSpace { .. }) => return n - 1,
            Err(error) => panic!("{error}"),
        }
        n += 1;
        assert!(n < 100_000, "the disk is never full");
    }
}

/// The log has these records, of about `len` bytes.
fn assert_has(wal: &Wal, from: u64, to: u64, len: usize) {
    let mut next = from;
    for step in wal.read_from(Lsn::ZERO).expect("a reader") {
        let (record, position) = step.expect("a record");
        assert_eq!(position.lsn.get(), next);
        assert_eq!(record.value, large(next, len));
        next += 1;
    }
    assert_eq!(next, to + 1);
}

/// What a full disk may do to a log that is open: refuse.
fn assert_only_refused(wal: &Wal, last: u64, len: usize) {
    for _ in 0..3 {
        is_no_space(wal.append(RecordRef::data(&large(last + 1, len))));
        is_no_space(wal.durable().append(RecordRef::data(&large(last + 1, len))));
        let batch = [Record::data(large(0, len)), Record::data(large(0, len))];
        is_no_space(wal.append_batch(&batch));
        assert_eq!(wal.last_lsn().get(), last);
    }
    assert_has(wal, wal.first_lsn().get(), last, len);
    wal.sync().expect("what was accepted can be synced");
    assert_eq!(wal.durable_lsn().get(), last);
}

/// Three segments fit beside the reserve; with preallocation.
fn narrow(policy: FsyncPolicy) -> Machine {
    let machine = Machine::new(policy).segments_of(16 * KIB);
    let reserve = machine.reserve_len();
    machine
        .storage
        .set_capacity(Some(reserve + 3 * 16 * KIB + 4 * KIB));
    machine
}

/// Segments grow by a mebibyte at a time; the second has room for one step.
fn narrow_and_growing(policy: FsyncPolicy) -> Machine {
    let machine = Machine::new(policy).segments_of(2 << 20).growing();
    let reserve = machine.reserve_len();
    machine
        .storage
        .set_capacity(Some(reserve + (3 << 20) + 200 * KIB));
    machine
}

#[test]
fn a_full_disk_is_met_before_a_record_is_accepted() {
    for policy in policies() {
        let mut machine = narrow(policy);
        let wal = machine.open();
        let last = fill(&wal, 1, 700);
        assert!(last > 30);
        assert_only_refused(&wal, last, 700);
        // Nothing torn, nothing half-made.
        machine.lose_unsynced();
        assert_eq!(machine.verify().expect("verified").damage().count(), 0);
        let wal = machine.look().expect("the log is looked at");
        assert_has(&wal, 1, last, 700);
    }
}

#[test]
fn a_full_disk_is_met_before_a_record_is_accepted_without_preallocation() {
    for policy in policies() {
        let mut machine = narrow_and_growing(policy);
        let wal = machine.open();
        let last = fill(&wal, 1, 20_000);
        assert!(last > 100);
        assert_only_refused(&wal, last, 20_000);
        machine.lose_unsynced();
        assert_eq!(machine.verify().expect("verified").damage().count(), 0);
        let wal = machine.look().expect("the log is looked at");
        assert_has(&wal, 1, last, 20_000);
    }
}

#[test]
fn appends_work_again_after_truncate_before() {
    for policy in policies() {
        let machine = narrow(policy);
        let wal = machine.open();
        let mut last = fill(&wal, 1, 700);
        for _ in 0..5 {
            // The cut itself finds room in the reserve that each segment keeps.
            wal.truncate_before(Lsn::new(last - 3)).expect("truncated");
            let before = last;
            last = fill(&wal, last + 1, 700);
            assert!(last > before + 20, "{policy:?}: {before} to {last}");
            assert_only_refused(&wal, last, 700);
        }
    }
}

#[test]
fn appends_work_again_after_truncate_before_without_preallocation() {
    for policy in policies() {
        let machine = narrow_and_growing(policy);
        let wal = machine.open();
        let mut last = fill(&wal, 1, 20_000);
        for _ in 0..3 {
            wal.truncate_before(Lsn::new(last - 3)).expect("truncated");
            let before = last;
            last = fill(&wal, last + 1, 20_000);
            assert!(last > before + 20, "{policy:?}: {before} to {last}");
            assert_only_refused(&wal, last, 20_000);
        }
    }
}

#[test]
fn appends_work_again_after_the_disk_has_grown() {
    for machine in [narrow(FsyncPolicy::Os), narrow_and_growing(FsyncPolicy::Os)] {
        let wal = machine.open();
        let last = fill(&wal, 1, 700);
        machine.storage.set_capacity(None);
        let records: Vec<_> = (last + 1..=last + 100)
            .map(|n| Record::data(large(n, 700)))
            .collect();
        for record in &records {
            wal.append(record).expect("appended");
        }
        assert_has(&wal, 1, last + 100, 700);
        wal.close().expect("closed");
        assert_has(&machine.open(), 1, last + 100, 700);
    }
}

#[test]
fn a_log_on_a_full_disk_is_closed_and_opened() {
    for policy in policies() {
        let machine = narrow(policy);
        let wal = machine.open();
        let last = fill(&wal, 1, 700);
        wal.close().expect("closed");
        drop(wal);
        let wal = machine.open();
        assert!(wal.recovery_report().clean);
        assert_has(&wal, 1, last, 700);
        // It needs a new segment for anything at all.
        machine
            .storage
            .set_capacity(Some(machine.storage.used_space()));
        is_no_space(wal.append(RecordRef::data(&large(last + 1, 700))));
        assert_has(&wal, 1, last, 700);
        wal.close().expect("closed");
    }
}

#[test]
fn a_new_log_on_a_full_disk_is_no_space() {
    // At each of the files and directories that it needs.
    for room in 0..4 {
        let machine = Machine::new(FsyncPolicy::Always);
        machine.storage.set_capacity(Some(room * 512));
        let outcome = machine
            .try_open()
            .and_then(|wal| wal.append(RecordRef::data(b"first")));
        is_no_space(outcome);
        machine.storage.set_capacity(None);
        append(&machine.open(), 1..=3);
    }
}

#[test]
fn a_quota_and_the_largest_file_size_mean_a_full_disk() {
    let full = [
        SystemError::NoSpace,
        SystemError::QuotaExceeded,
        SystemError::FileTooLarge,
    ];
    for error in full {
        for kind in [OperationKind::Allocate, OperationKind::CreateFile] {
            let machine = Machine::new(FsyncPolicy::Always);
            let wal = machine.open();
            let fault = Fault::error(error).on(kind).persistent();
            machine.storage.inject(fault);
            is_no_space(wal.append(RecordRef::data(&payload(1))));
            machine.storage.clear_faults();
            append(&wal, 1..=3);
            assert_holds(&wal, 1..=3);
        }
    }
}

#[test]
fn an_error_from_the_keeper_ahead_of_time_is_not_the_callers() {
    // A spare that is tried for in the background is not needed yet.
    for kind in [OperationKind::Allocate, OperationKind::SyncData] {
        let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
        let wal = machine.open();
        let fault = Fault::error(SystemError::NoSpace).on(kind);
        machine.storage.inject(fault.in_file(&spare(2)));
        let mut n = 0;
        while wal.list_segments().expect("segments").len() < 3 {
            n += 1;
            append(&wal, n..=n);
            machine.pass(&wal, WINDOW);
        }
        assert_eq!(machine.storage.faults_struck(), 1);
        assert_holds(&wal, 1..=n);
    }
}

/// A killed log with unproven records and a spare, on a disk that is then full but for `room` bytes.
fn killed_on_a_full_disk(room: u64) -> Machine {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(16 * KIB);
    let wal = machine.open();
    append(&wal, 1..=3);
    wal.sync().expect("synced");
    let mut n = 3;
    while !machine.file_names().contains(&spare(2)) {
        n += 1;
        append(&wal, n..=n);
        let _ = wal.drive();
    }
    wal.flush().expect("flushed");
    machine.kill();
    if room == 0 {
        machine.storage.remove_file(&spare(2)).expect("a spare");
    }
    machine.remove_reserve();
    let used = machine.storage.used_space();
    machine.storage.set_capacity(Some(used));
    machine
}

#[test]
fn recovery_without_room_for_the_copy_is_no_space_and_changes_nothing() {
    let machine = killed_on_a_full_disk(0);
    let before = machine.segments();
    is_no_space(machine.try_open());
    assert_eq!(machine.segments(), before);
    assert!(!machine.file_names().contains(&temporary(3)));
    assert!(!machine.file_names().contains(&temporary(2)));
    // Who only reads is not concerned.
    let look = machine.look().expect("the log is looked at");
    let last = look.last_lsn().get();
    assert_holds(&look, 1..=last);
    machine.storage.set_capacity(None);
    assert_holds(&machine.open(), 1..=last);
}

#[test]
fn recovery_without_room_reuses_a_spare() {
    let mut machine = killed_on_a_full_disk(1);
    let last = machine.look().expect("looked at").last_lsn().get();
    let wal = machine.open();
    assert_holds(&wal, 1..=last);
    assert!(!machine.file_names().contains(&spare(2)));
    machine.lose_unsynced();
    assert_holds(&machine.open(), 1..=last);
}

#[test]
fn a_refused_append_leaves_no_gap_for_others() {
    // The first is refused, smaller ones still fit.
    let machine = narrow(FsyncPolicy::Os);
    let wal = machine.open();
    let last = fill(&wal, 1, 4000);
    let small = wal.append(RecordRef::data(&payload(last + 1)));
    assert_eq!(small.expect("appended").lsn.get(), last + 1);
    assert!(machine.file_names().contains(&segment(1)));
}

/// A killed log on a full disk: an open has no room for the copy of what is not proven. The last LSN, and the first that is proven.
fn too_full_to_open() -> Machine {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=150);
    wal.sync().expect("synced");
    append(&wal, 151..=200);
    wal.flush().expect("flushed");
    machine.kill();
    drop(wal);
    machine.remove_reserve();
    machine
        .storage
        .set_capacity(Some(machine.storage.used_space()));
    is_no_space(machine.try_open());
    machine
}

fn storage_of(machine: &Machine) -> Arc<dyn Storage> {
    Arc::new(machine.storage.clone())
}

#[test]
fn a_log_that_cannot_be_opened_for_lack_of_space_can_be_truncated() {
    let machine = too_full_to_open();
    let storage = storage_of(&machine);
    let done = Offline::on(Arc::clone(&storage))
        .truncate_before(Lsn::new(100))
        .expect("truncated");
    assert_eq!(done.first_lsn.get(), 100);
    assert!(!done.removed.is_empty() && done.bytes > 0);
    // Now there is room; a second call has nothing to do.
    let again = Offline::on(Arc::clone(&storage))
        .truncate_before(Lsn::new(100))
        .expect("truncated");
    assert!(again.removed.is_empty());
    assert_holds(&machine.look().expect("opened"), 100..=200);
    let wal = machine.open();
    assert_holds(&wal, 100..=200);
    let names = machine.file_names();
    assert!(
        !names.iter().any(|name| name.contains("first")),
        "{names:?}"
    );
    machine.storage.set_capacity(None);
    append(&wal, 201..=201);
    drop(wal);
    assert_holds(&machine.open(), 100..=201);
}

#[test]
fn only_what_is_proven_is_dropped_without_opening() {
    let machine = too_full_to_open();
    let storage = storage_of(&machine);
    assert!(matches!(
        Offline::on(Arc::clone(&storage)).truncate_before(Lsn::new(202)),
        Err(Error::NotAppended { .. })
    ));
    let done = Offline::on(Arc::clone(&storage))
        .truncate_before(Lsn::new(201))
        .expect("truncated");
    let first = done.first_lsn.get();
    assert!((2..=151).contains(&first), "{first}");
    assert_holds(&machine.open(), first..=200);
}

#[test]
fn a_truncation_without_opening_is_refused_beside_a_writer() {
    let machine = Machine::new(FsyncPolicy::Always);
    let wal = machine.open();
    append(&wal, 1..=3);
    assert!(matches!(
        Offline::on(storage_of(&machine)).truncate_before(Lsn::new(2)),
        Err(Error::Locked { .. })
    ));
    let empty = Machine::new(FsyncPolicy::Always);
    assert!(matches!(
        Offline::on(storage_of(&empty)).truncate_before(Lsn::new(1)),
        Err(Error::NotALog { .. })
    ));
}

#[test]
fn a_crash_in_a_truncation_without_opening() {
    for change in 0..100 {
        let mut over = false;
        for seed in 0..12 {
            let mut machine = too_full_to_open();
            let cut = Fault::power_cut(Moment::During).after(change);
            machine.storage.inject(cut);
            let outcome = Offline::on(storage_of(&machine)).truncate_before(Lsn::new(100));
            machine.storage.clear_faults();
            over |= outcome.is_ok();
            machine.storage = machine.storage.crash(&mut Seeded::streaky(seed));
            machine.storage.set_capacity(None);
            let wal = machine.open();
            let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
            assert!(first == 100 || (first == 1 && outcome.is_err()), "{first}");
            assert!(last >= 150);
            assert_holds(&wal, first..=last);
            // It stays so, also when the next segment is lost.
            machine.lose_unsynced();
            assert_holds(&machine.open(), first..=last);
        }
        if over {
            assert!(change > 3, "it was cut short");
            return;
        }
    }
    panic!("it never came to an end");
}

#[test]
fn a_truncation_without_opening_that_was_cut_short_is_finished_by_the_next() {
    // The process was killed inside: what is left over takes the space that opening the log needs.
    for change in 0..100 {
        let mut machine = too_full_to_open();
        let fault = Fault::error(SystemError::Io).on_changes();
        let fault = fault.after(change).persistent();
        machine.storage.inject(fault);
        let outcome = Offline::on(storage_of(&machine)).truncate_before(Lsn::new(100));
        let over = machine.storage.faults_struck() == 0;
        machine.storage.clear_faults();
        assert!(outcome.is_ok() || !over, "{outcome:?}");
        machine.kill();
        let done = Offline::on(storage_of(&machine))
            .truncate_before(Lsn::new(100))
            .expect("truncated");
        assert_eq!(done.first_lsn.get(), 100);
        assert_holds(&machine.open(), 100..=200);
        if over {
            assert!(change > 3, "it was cut short");
            return;
        }
    }
    panic!("it never came to an end");
}

#[test]
fn a_crash_may_take_all_that_a_truncation_without_opening_has_left() {
    // All that is proven was dropped. What stays is in a segment of which nothing is durable.
    let mut alone = 0;
    for last in (60..=160).step_by(20) {
        for seed in 0..20 {
            let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
            let wal = machine.open();
            append(&wal, 1..=last);
            wal.flush().expect("flushed");
            let _ = wal.drive();
            machine.kill();
            drop(wal);
            let look = machine.look().expect("looked at");
            let proven = look.recovery_report().proven_lsn;
            drop(look);
            let done = Offline::on(storage_of(&machine))
                .truncate_before(proven.next())
                .expect("truncated");
            let first = done.first_lsn.get();
            machine.crash(seed);
            let wal = machine.open();
            assert_eq!(wal.first_lsn().get(), first);
            let end = wal.last_lsn().get();
            assert!(end >= proven.get(), "{end}, {proven}");
            alone += u64::from(first > 1 && end == proven.get());
            append(&wal, end + 1..=end + 3);
            wal.sync().expect("synced");
            machine.lose_unsynced();
            assert_holds(&machine.open(), first..=end + 3);
        }
    }
    assert!(alone > 0);
}

#[test]
fn a_spare_that_could_not_be_used_is_not_in_the_way() {
    // `truncate_after` on a full disk takes the spare's file for the new segment, and the write into it fails.
    for kind in [OperationKind::Write, OperationKind::SyncData] {
        let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        let wal = machine.open();
        let mut last = 0;
        while !machine.file_names().contains(&spare(2)) {
            last += 1;
            append(&wal, last..=last);
            let _ = wal.drive();
        }
        machine.remove_reserve();
        let used = machine.storage.used_space();
        machine.storage.set_capacity(Some(used));
        let fault = Fault::error(SystemError::Io).on(kind);
        machine.storage.inject(fault.in_file(&temporary(2)));
        is_no_space(wal.truncate_after(Lsn::new(5)));
        assert_eq!(machine.storage.faults_struck(), 1);
        machine.storage.set_capacity(None);
        wal.truncate_after(Lsn::new(5)).expect("truncated");
        assert_holds(&wal, 1..=5);
    }
}

#[test]
fn truncate_after_takes_space_for_one_group_at_most() {
    let machine = Machine::new(FsyncPolicy::Always)
        .segments_of(8 << 20)
        .growing();
    let wal = machine.open();
    let batch: Vec<Record> = (1..=3).map(|n| Record::data(payload(n))).collect();
    wal.append_batch(&batch).expect("appended");
    for n in 4..=7 {
        let record = large(n, 1 << 20);
        wal.append(RecordRef::data(&record)).expect("appended");
    }
    // Inside the batch: a part of it is copied, and nothing of what follows.
    wal.truncate_after(Lsn::new(2)).expect("truncated");
    let segments = machine.segments();
    let (name, bytes) = segments.last().expect("a segment");
    assert!(bytes.len() < 1 << 20, "{name}: {}", bytes.len());
    assert_holds(&wal, 1..=2);
}
