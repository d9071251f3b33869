//! The end of a handle, and the next one's beginning.

use wal_core::{Error, FsyncPolicy, Lsn, Record, RecordRef};
use wal_io::fault::OperationKind;

use crate::common::trace::{Trace, segment};
use crate::common::{Machine, SMALL, append, assert_holds, batch, is_half_made, large, policies};

#[test]
fn close_makes_all_durable_and_clean() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=150);
        wal.close().expect("closed");
        assert_eq!(wal.durable_lsn().get(), 150);
        machine.lose_unsynced();
        let wal = machine.open();
        let report = wal.recovery_report();
        assert!(report.clean);
        assert_eq!((report.proven_lsn.get(), report.unproven), (150, 0));
        assert_eq!(report.left_behind_bytes(), 0);
        assert_eq!(report.leftovers, [""; 0]);
        assert_holds(&wal, 1..=150);
    }
}

#[test]
fn after_a_close_others_get_closed() {
    for policy in policies() {
        let machine = Machine::new(policy);
        let wal = machine.open();
        let other = wal.clone();
        append(&wal, 1..=3);
        wal.close().expect("closed");
        for refused in [
            other.append(RecordRef::data(b"late")).map(drop),
            other.durable().append(RecordRef::data(b"late")).map(drop),
            other.append_batch(&batch(4..=5)).map(drop),
            other.append_batch::<Record>(&[]).map(drop),
            other.sync(),
            other.flush(),
            other.truncate_before(Lsn::new(2)),
        ] {
            assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
        }
        // Closing again is no error, and what is there can be read.
        other.close().expect("it is closed");
        assert_holds(&other, 1..=3);
        assert_eq!(other.durable_lsn().get(), 3);
    }
}

#[test]
fn a_closed_log_can_be_opened_while_old_handles_live() {
    let machine = Machine::new(FsyncPolicy::Os);
    let old = machine.open();
    append(&old, 1..=3);
    old.close().expect("closed");
    let new = machine.open();
    append(&new, 4..=5);
    assert!(matches!(
        old.append(RecordRef::data(b"late")),
        Err(Error::Closed)
    ));
    drop(old);
    append(&new, 6..=6);
    new.close().expect("closed");
    assert_holds(&machine.open(), 1..=6);
}

#[test]
fn dropping_the_last_handle_hands_over_and_syncs_without_a_clean_mark() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        let other = wal.clone();
        append(&wal, 1..=150);
        drop(wal);
        // It was not the last one.
        append(&other, 151..=152);
        drop(other);
        machine.lose_unsynced();
        let wal = machine.open();
        assert!(!wal.recovery_report().clean);
        assert_holds(&wal, 1..=152);
    }
}

#[test]
fn dropping_the_last_handle_with_threads_is_the_same() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open_with_threads();
        append(&wal, 1..=150);
        drop(wal);
        machine.lose_unsynced();
        let wal = machine.open();
        assert!(!wal.recovery_report().clean);
        assert_holds(&wal, 1..=150);
    }
}

#[test]
fn close_and_drop_leave_no_spare_and_no_temporary_file() {
    for close in [true, false] {
        let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
        let wal = machine.open();
        let mut n = 0;
        while !machine
            .file_names()
            .iter()
            .any(|name| name.ends_with("2.spare"))
        {
            n += 1;
            append(&wal, n..=n);
            let _ = wal.drive();
        }
        if close {
            wal.close().expect("closed");
        }
        drop(wal);
        let mut names = machine.file_names();
        names.retain(|name| !machine.reserve().contains(name));
        assert_eq!(names, [segment(1), "lock".into(), "lock.pid".into()]);
    }
}

#[test]
fn a_clean_close_cuts_the_file_behind_its_footer() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=3);
    wal.close().expect("closed");
    let (_, bytes) = machine.segments().remove(0);
    assert!(bytes.len() < 5000);
    assert_eq!(bytes[bytes.len() - 4..], *b"WEND");
}

#[test]
fn open_of_a_closed_log_syncs_and_allocates_nothing() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=150);
        wal.close().expect("closed");
        drop(wal);
        let before = machine.segments();
        machine.storage.record_operations();
        let wal = machine.open();
        assert_holds(&wal, 1..=150);
        let trace = Trace::of(&machine.storage);
        let changes = trace.changes();
        // The lock is taken; that is all.
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(changes[0].kind, OperationKind::Lock);
        // And closing what nothing was done to does nothing.
        wal.close().expect("closed");
        assert_eq!(Trace::of(&machine.storage).changes().len(), 1);
        assert_eq!(machine.segments(), before);
        assert!(machine.open().recovery_report().clean);
    }
}

#[test]
fn a_new_segment_is_made_with_the_first_append() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=3);
    wal.close().expect("closed");
    drop(wal);
    let wal = machine.open();
    assert_eq!(wal.list_segments().expect("segments").len(), 1);
    assert_eq!(machine.segments().len(), 1);
    append(&wal, 4..=4);
    wal.flush().expect("flushed");
    assert_eq!(wal.list_segments().expect("segments").len(), 2);
    assert_eq!(machine.segments().len(), 2);
}

#[test]
fn a_log_that_was_opened_and_closed_without_a_record_is_one() {
    for policy in policies() {
        let machine = Machine::new(policy);
        for _ in 0..3 {
            let wal = machine.open();
            assert!(wal.recovery_report().clean);
            assert_eq!(wal.recovery_report().records(), 0);
            wal.close().expect("closed");
        }
        let look = machine.look().expect("it is looked at");
        assert_eq!(look.last_lsn(), Lsn::ZERO);
        append(&machine.open(), 1..=1);
    }
}

#[test]
fn after_an_unclean_stop_a_close_makes_clean_again() {
    for policy in policies() {
        for records in [0, 5] {
            let mut machine = Machine::new(policy);
            let wal = machine.open();
            append(&wal, 1..=20);
            wal.sync().expect("synced");
            machine.kill();
            let wal = machine.open();
            assert!(!wal.recovery_report().clean);
            append(&wal, 21..=20 + records);
            wal.close().expect("closed");
            machine.lose_unsynced();
            let wal = machine.open();
            assert!(wal.recovery_report().clean, "{policy:?}, {records}");
            assert_holds(&wal, 1..=20 + records);
        }
    }
}

#[test]
fn a_read_only_handle_refuses_changes_and_closes() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=3);
    wal.close().expect("closed");
    let look = machine.look().expect("it is looked at");
    for refused in [
        look.append(RecordRef::data(b"x")).map(drop),
        look.append_batch(&batch(4..=5)).map(drop),
        look.sync(),
        look.flush(),
        look.truncate_before(Lsn::new(2)),
        look.wait_durable(Lsn::new(1)),
    ] {
        assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
    }
    look.close().expect("nothing to do");
    assert_holds(&look, 1..=3);
}

#[test]
fn a_closed_log_leaves_its_files_cut_and_no_half_made_ones() {
    for policy in policies() {
        for round in 0..20 {
            let machine = Machine::new(policy).segments_of(4 << 20).growing();
            let wal = machine.open_with_threads();
            // The next step of allocation, or the next segment, is due by now.
            let records = if round % 2 == 0 { 7 } else { 33 };
            for n in 1..=records {
                let payload = large(n, 100_000);
                wal.append(RecordRef::data(&payload)).expect("appended");
            }
            wal.close().expect("closed");
            let names = machine.file_names();
            assert!(!names.iter().any(|name| is_half_made(name)), "{names:?}");
            let segments = machine.segments();
            let (name, bytes) = segments.last().expect("a segment");
            let most = records as usize * 100_000 + 200_000;
            assert!(bytes.len() < most, "{name} has {} bytes", bytes.len());
        }
    }
}
