//! A saved cursor is valid as long as the log has the record that it names, whatever happened to the log meanwhile.

use wal_core::blocking::Wal;
use wal_core::{Cursor, Error, FormatVersion, FsyncPolicy, Lsn, RepairMode};
use wal_io::fault::{Fill, Image, Site};

use crate::common::{Machine, SMALL, append, policies};

fn open(machine: &Machine) -> Wal {
    let builder = Wal::builder("log")
        .storage(std::sync::Arc::new(machine.storage.clone()))
        .config(machine.config.clone())
        .format_version(FormatVersion::V2)
        .small_segments()
        .driven_by_caller();
    builder.open().expect("the log opens")
}

fn cursor(wal: &Wal, lsn: u64) -> Cursor {
    wal.cursor(Lsn::new(lsn)).expect("a cursor")
}

/// Where the log says that the cursor was cut off.
#[track_caller]
fn cut(wal: &Wal, cursor: &Cursor) -> (u64, Option<u64>) {
    match wal.check_cursor(cursor) {
        Err(Error::Truncated { first, kept }) => (first.get(), kept.map(Lsn::get)),
        other => panic!("{cursor}: {other:?}"),
    }
}

#[test]
fn no_number_of_restarts_and_kills_invalidates_the_cursor_of_a_durable_record() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let mut saved: Vec<Cursor> = Vec::new();
        for life in 0..100_u64 {
            let wal = open(&machine);
            for cursor in &saved {
                wal.check_cursor(cursor)
                    .unwrap_or_else(|error| panic!("{policy:?}, {life}: {error}"));
            }
            let last = wal.last_lsn().get();
            append(&wal, last + 1..=last + 3);
            wal.sync().expect("synced");
            saved.push(cursor(&wal, last + 2));
            append(&wal, last + 4..=last + 6);
            match life % 3 {
                0 => wal.close().expect("closed"),
                1 => {
                    machine.kill();
                    drop(wal);
                }
                _ => {
                    machine.crash(life);
                    drop(wal);
                }
            }
        }
    }
}

#[test]
fn two_continuations_of_a_copied_log_know_each_other_apart() {
    let machine = Machine::new(FsyncPolicy::Always);
    let wal = open(&machine);
    append(&wal, 1..=10);
    let shared = cursor(&wal, 10);
    wal.close().expect("closed");
    let (one, (_copy, other)) = (open(&machine), restored(&machine.storage.image()));
    // The same records, with the same LSNs.
    append(&one, 11..=12);
    append(&other, 11..=12);
    for wal in [&one, &other] {
        wal.check_cursor(&shared).expect("shared by both");
    }
    one.check_cursor(&cursor(&one, 12)).expect("its own");
    assert_eq!(cut(&other, &cursor(&one, 12)), (1, None));
    assert_eq!(cut(&one, &cursor(&other, 11)), (1, None));
}

/// The log whose files are those of a backup. Its random numbers are not those of other machines.
fn restored(backup: &Image) -> (Machine, Wal) {
    let machine = Machine::holding(backup, FsyncPolicy::Always);
    let builder = Wal::builder("log")
        .storage(std::sync::Arc::new(machine.storage.clone()))
        .format_version(FormatVersion::V2)
        .driven_by_caller();
    let wal = builder.open().expect("opened");
    (machine, wal)
}

/// Appends the same records each time, and closes the log: its files, and a cursor of its last record.
fn continued(backup: &Image, records: std::ops::RangeInclusive<u64>) -> (Image, Cursor) {
    let (machine, wal) = restored(backup);
    let last = *records.end();
    append(&wal, records);
    let cursor = cursor(&wal, last);
    wal.close().expect("closed");
    (machine.storage.image(), cursor)
}

#[test]
fn after_a_restore_of_a_restore_only_the_cursors_of_what_was_restored_are_valid() {
    let (ten, shared) = continued(&Image::new(), 1..=10);
    let (fifteen, at_fifteen) = continued(&ten, 11..=15);
    let (_, gone) = continued(&fifteen, 16..=20);
    // The first backup, put back twice more; then a backup of the log before that, put back again.
    let (_, other_fifteen) = continued(&ten, 11..=15);
    let (again, at_eighteen) = continued(&fifteen, 16..=18);
    let (_, wal) = restored(&again);
    append(&wal, 19..=20);
    for cursor in [&shared, &at_fifteen, &at_eighteen] {
        wal.check_cursor(cursor).expect("in the backup");
    }
    for cursor in [&gone, &other_fifteen] {
        assert_eq!(cut(&wal, cursor), (1, None));
    }
    // A backup that is older than a cursor: the history of the cursor ends where the backup does, as far as the log names it.
    let (_, wal) = restored(&ten);
    append(&wal, 11..=20);
    wal.check_cursor(&shared).expect("in the backup");
    for cursor in [&at_fifteen, &at_eighteen, &gone] {
        assert_eq!(cut(&wal, cursor), (1, None));
    }
}

#[test]
fn a_cursor_after_a_truncation_is_told_what_stayed() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = open(&machine);
    wal.append_batch(&crate::common::batch(1..=20))
        .expect("appended");
    let saved: Vec<Cursor> = (0..=20).map(|lsn| cursor(&wal, lsn)).collect();
    // Inside the batch.
    wal.truncate_after(Lsn::new(13)).expect("truncated");
    append(&wal, 14..=30);
    let next = cursor(&wal, 25);
    wal.truncate_before(Lsn::new(6)).expect("truncated");
    let check = |wal: &Wal| {
        for saved in &saved {
            let lsn = saved.lsn().get();
            match lsn {
                0..=4 => assert_eq!(cut(wal, saved), (6, None)),
                // The one before the first record, and those that are there.
                5..=13 => wal.check_cursor(saved).expect("valid"),
                _ => assert_eq!(cut(wal, saved), (6, Some(13))),
            }
        }
        wal.check_cursor(&next).expect("valid");
        let future = wal.cursor(Lsn::new(31));
        assert!(
            matches!(future, Err(Error::NotAppended { .. })),
            "{future:?}"
        );
        let removed = wal.cursor(Lsn::new(4));
        assert!(
            matches!(removed, Err(Error::Truncated { kept: None, .. })),
            "{removed:?}"
        );
    };
    check(&wal);
    // So does a reader of another process, and the next session.
    let reader = Wal::builder("log")
        .storage(std::sync::Arc::new(machine.storage.clone()))
        .read_only();
    check(&reader.open().expect("opened"));
    wal.close().expect("closed");
    check(&open(&machine));
}

#[test]
fn the_cursor_of_a_record_that_a_crash_took_is_not_valid_for_the_one_that_came_instead() {
    let mut machine = Machine::new(FsyncPolicy::Os);
    let wal = open(&machine);
    append(&wal, 1..=10);
    wal.sync().expect("synced");
    append(&wal, 11..=20);
    wal.flush().expect("flushed");
    let (durable, read) = (cursor(&wal, 10), cursor(&wal, 15));
    machine.lose_unsynced();
    drop(wal);
    let wal = open(&machine);
    assert_eq!(cut(&wal, &read), (1, Some(10)));
    append(&wal, 11..=20);
    assert_eq!(cut(&wal, &read), (1, Some(10)));
    wal.check_cursor(&durable).expect("valid");
}

#[test]
fn damage_and_its_repair_invalidate_no_cursor() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = open(&machine);
    append(&wal, 1..=200);
    let saved: Vec<Cursor> = (1..=200).map(|lsn| cursor(&wal, lsn)).collect();
    wal.close().expect("closed");
    let (name, bytes) = machine.segments().swap_remove(1);
    let sector = Site {
        file: &name,
        sector: bytes.len() as u64 / 512 - 4,
    };
    let lost = machine.storage.fill_sector(sector, Fill::Zeros);
    lost.expect("a sector of the file");
    let storage = std::sync::Arc::new(machine.storage.clone());
    let report = wal_core::Offline::on(storage).repair(RepairMode::Apply);
    let lost = report.expect("repaired").gaps.len();
    assert!(lost > 0);
    let wal = open(&machine);
    for saved in &saved {
        wal.check_cursor(saved)
            .expect("valid, also where the record is lost");
    }
    append(&wal, 201..=205);
    wal.check_cursor(&saved[199]).expect("valid");
}

#[test]
fn a_cursor_of_another_log_is_refused_by_name() {
    let machine = Machine::new(FsyncPolicy::Always);
    let wal = open(&machine);
    append(&wal, 1..=3);
    let other = Machine::holding(&Image::new(), FsyncPolicy::Always);
    let stranger = Wal::builder("log").storage(std::sync::Arc::new(other.storage.clone()));
    let stranger = stranger.driven_by_caller().open().expect("opened");
    append(&stranger, 1..=3);
    let refused = wal.check_cursor(&cursor(&stranger, 2));
    let Err(Error::OtherLog { log, cursor, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_ne!(log, cursor);
}
