//! After a failed write or sync nothing goes on: later calls fail, readers stop at the durable LSN, and only reopening recovers.

use std::sync::mpsc;

use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, Lsn, Record, RecordRef};
use wal_io::fault::{Fault, FaultConfig, OperationKind, Script, SyncFailure, SystemError};

use crate::common::trace::{Trace, segment, spare};
use crate::common::watched::Watched;
use crate::common::{
    Machine, PATIENCE, SMALL, WINDOW, append, assert_holds, large, payload, poisoned, policies,
    read_all,
};

/// Five durable records, then a fault, then one more whose commit meets it; the error that its caller gets.
fn meet(machine: &Machine, wal: &Wal, fault: Fault) -> wal_core::Poisoned {
    append(wal, 1..=5);
    wal.sync().expect("synced");
    machine.storage.inject(fault);
    let error = poisoned(wal.durable().append(RecordRef::data(&payload(6))));
    assert_eq!(error.durable_lsn.get(), 5);
    assert_eq!(error.lsn, Some(Lsn::new(6)));
    error
}

/// Every call fails with the poison and the true durable LSN; what is durable is read.
#[track_caller]
fn assert_poisoned(wal: &Wal, durable: u64) {
    let refusals = [
        poisoned(wal.append(RecordRef::data(b"late"))),
        poisoned(wal.durable().append(RecordRef::data(b"late"))),
        poisoned(wal.append_batch::<Record>(&[])),
        poisoned(wal.sync()),
        poisoned(wal.flush()),
        poisoned(wal.truncate_before(Lsn::new(2))),
        poisoned(wal.close()),
    ];
    for refusal in refusals {
        assert_eq!(refusal.durable_lsn.get(), durable);
        assert_eq!(refusal.lsn, None, "no LSN was given");
        assert_eq!(refusal.location, "fault:/log");
    }
    assert_eq!(wal.durable_lsn().get(), durable);
    wal.wait_durable(Lsn::new(durable)).expect("it is durable");
    if wal.last_lsn().get() > durable {
        let refusal = poisoned(wal.wait_durable(Lsn::new(durable + 1)));
        assert_eq!(refusal.durable_lsn.get(), durable);
    }
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    for n in 1..=durable {
        let (record, position) = reader.next_record().expect("read").expect("a record");
        assert_eq!(position.lsn.get(), n);
        assert_eq!(record.value, payload(n));
    }
    assert_eq!(poisoned(reader.next_record()).durable_lsn.get(), durable);
    assert!(reader.next_record().expect("it has ended").is_none());
}

#[test]
fn a_failed_sync_poisons() {
    for policy in policies() {
        for error in [
            SystemError::Io,
            SystemError::NoSpace,
            SystemError::QuotaExceeded,
        ] {
            let machine = Machine::new(policy);
            let wal = machine.open();
            let fault = Fault::error(error).on(OperationKind::SyncData);
            let error = meet(&machine, &wal, fault);
            assert!(error.during.contains("sync"), "{}", error.during);
            assert_poisoned(&wal, 5);
            // The fault is over; the poison is not.
            machine.pass(&wal, WINDOW);
            assert_poisoned(&wal, 5);
            assert_poisoned(&wal.clone(), 5);
        }
    }
}

#[test]
fn a_failed_write_poisons() {
    for policy in policies() {
        for error in [
            SystemError::Io,
            SystemError::NoSpace,
            SystemError::FileTooLarge,
        ] {
            let machine = Machine::new(policy);
            let wal = machine.open();
            let fault = Fault::error(error).on(OperationKind::Write);
            let error = meet(&machine, &wal, fault);
            assert!(error.during.contains("write"), "{}", error.during);
            assert_poisoned(&wal, 5);
            machine.pass(&wal, WINDOW);
            assert_poisoned(&wal, 5);
        }
    }
}

#[test]
fn enospc_from_a_write_or_sync_poisons() {
    for kind in [OperationKind::Write, OperationKind::SyncData] {
        let machine = Machine::new(FsyncPolicy::Os);
        let wal = machine.open();
        meet(&machine, &wal, Fault::error(SystemError::NoSpace).on(kind));
        assert_poisoned(&wal, 5);
    }
}

#[test]
fn a_failed_sync_of_the_timer_poisons() {
    let machine = Machine::new(FsyncPolicy::Batch(WINDOW));
    let wal = machine.open();
    append(&wal, 1..=3);
    machine.pass(&wal, WINDOW);
    append(&wal, 4..=4);
    let fault = Fault::error(SystemError::Io).on(OperationKind::SyncData);
    machine.storage.inject(fault);
    machine.pass(&wal, WINDOW);
    assert_poisoned(&wal, 3);
}

#[test]
fn a_failed_sync_of_the_directory_poisons() {
    for policy in policies() {
        // The sync that makes the first segment's name durable, and the one before it, of its spare.
        for at in 0..2 {
            let machine = Machine::new(policy);
            let wal = machine.open();
            machine.storage.inject(
                Fault::error(SystemError::Io)
                    .on(OperationKind::SyncDirectory)
                    .after(at),
            );
            let error = poisoned(wal.durable().append(RecordRef::data(&payload(1))));
            assert!(error.during.contains("directory"), "{}", error.during);
            assert_eq!(error.durable_lsn, Lsn::ZERO);
            assert_poisoned(&wal, 0);
        }
    }
}

#[test]
fn a_segment_that_does_not_get_its_name_poisons() {
    let machine = Machine::new(FsyncPolicy::Always);
    let wal = machine.open();
    machine
        .storage
        .inject(Fault::error(SystemError::Io).on(OperationKind::Rename));
    poisoned(wal.append(RecordRef::data(&payload(1))));
    assert_poisoned(&wal, 0);
}

#[test]
fn a_footer_that_cannot_be_written_poisons() {
    for kind in [
        OperationKind::Write,
        OperationKind::SyncData,
        OperationKind::SetLength,
    ] {
        let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        let wal = machine.open();
        let mut n = 0;
        while wal.list_segments().expect("segments").len() < 2 {
            n += 1;
            append(&wal, n..=n);
        }
        // All of the first segment is durable: what is left to do in it is its footer.
        let fault = Fault::error(SystemError::Io).on(kind).in_file(&segment(1));
        machine.storage.inject(fault);
        let _ = wal.drive();
        assert_poisoned(&wal, n);
    }
}

#[test]
fn a_close_that_fails_poisons() {
    for kind in [OperationKind::Write, OperationKind::SyncData] {
        let machine = Machine::new(FsyncPolicy::Os);
        let wal = machine.open();
        append(&wal, 1..=5);
        wal.sync().expect("synced");
        machine
            .storage
            .inject(Fault::error(SystemError::Io).on(kind));
        let error = poisoned(wal.close());
        assert_eq!(error.durable_lsn.get(), 5);
        poisoned(wal.close());
        drop(wal);
        assert_holds(&machine.open(), 1..=5);
    }
}

#[test]
fn a_failed_sync_is_never_retried() {
    for policy in policies() {
        let machine = Machine::new(policy);
        let wal = machine.open();
        append(&wal, 1..=5);
        wal.sync().expect("synced");
        machine.storage.record_operations();
        let fault = Fault::error(SystemError::Io).on(OperationKind::SyncData);
        machine.storage.inject(fault);
        append_and_fail(&wal);
        let failed = Trace::of(&machine.storage).0.len();
        // Whatever is tried then, and time, and the end of the handle: no write and no sync.
        assert_poisoned(&wal, 5);
        machine.pass(&wal, WINDOW * 1000);
        drop(wal);
        let trace = Trace::of(&machine.storage);
        assert!(trace.0[failed - 1].result.is_err());
        assert_eq!(trace.0[failed - 1].kind, OperationKind::SyncData);
        let tried_again: Vec<_> = trace.0[failed..]
            .iter()
            .filter(|done| done.kind.is_change())
            .collect();
        assert!(tried_again.is_empty(), "{tried_again:?}");
    }
}

fn append_and_fail(wal: &Wal) {
    poisoned(wal.durable().append(RecordRef::data(&payload(6))));
}

#[test]
fn a_reader_that_was_ahead_of_the_durable_lsn_gets_the_error() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=5);
    wal.sync().expect("synced");
    append(&wal, 6..=8);
    let mut reader = wal.read_from(Lsn::new(4)).expect("a reader");
    for n in 4..=7 {
        let (record, _) = reader.next_record().expect("read").expect("a record");
        assert_eq!(record.value, payload(n));
    }
    let fault = Fault::error(SystemError::Io).on(OperationKind::SyncData);
    machine.storage.inject(fault);
    poisoned(wal.sync());
    assert_eq!(poisoned(reader.next_record()).durable_lsn.get(), 5);
    assert!(reader.next_record().expect("it has ended").is_none());
    // A new one from behind the durable LSN does not fare better.
    let mut reader = wal.read_from(Lsn::new(7)).expect("a reader");
    assert_eq!(poisoned(reader.next_record()).durable_lsn.get(), 5);
}

#[test]
fn only_reopening_recovers() {
    for policy in policies() {
        for kind in [OperationKind::Write, OperationKind::SyncData] {
            let mut machine = Machine::new(policy);
            let wal = machine.open();
            meet(&machine, &wal, Fault::error(SystemError::Io).on(kind));
            drop(wal);
            let wal = machine.open();
            // The record that failed may be found, or not.
            let last = wal.last_lsn().get();
            assert!(last == 5 || last == 6);
            assert_holds(&wal, 1..=last);
            append(&wal, last + 1..=9);
            wal.sync().expect("synced");
            machine.lose_unsynced();
            assert_holds(&machine.open(), 1..=9);
        }
    }
}

#[test]
fn reopening_after_a_failed_sync_shows_only_what_it_makes_durable() {
    for sync_failure in [
        SyncFailure::Ext4,
        SyncFailure::Xfs,
        SyncFailure::Btrfs,
        SyncFailure::BtrfsRevert,
    ] {
        for policy in policies() {
            // The syncs of a run with rotations, one after the other.
            for at in 0..20 {
                let rules = FaultConfig {
                    sync_failure,
                    ..FaultConfig::default()
                };
                let mut machine = Machine::with_rules(rules, policy).segments_of(SMALL);
                let wal = machine.open();
                machine.storage.inject(
                    Fault::error(SystemError::Io)
                        .on(OperationKind::SyncData)
                        .after(at),
                );
                for n in 1..=40 {
                    if wal.append(RecordRef::data(&large(n, 500))).is_err()
                        || (n % 4 == 0 && wal.sync().is_err())
                    {
                        break;
                    }
                }
                let durable = wal.durable_lsn().get();
                drop(wal);
                // The cache still shows what the disk does not have.
                machine.kill();
                machine.storage.clear_faults();
                let case = format!("{sync_failure:?}, {policy:?}, sync {at}");
                let shown = read_all(&machine.open()).expect("the log is read");
                assert!(shown.len() as u64 >= durable, "{case}");
                machine.lose_unsynced();
                let kept = read_all(&machine.open()).expect("the log is read");
                assert_eq!(kept, shown, "{case}");
            }
        }
    }
}

#[test]
fn a_spare_that_cannot_be_made_poisons_nothing() {
    for kind in [
        OperationKind::CreateFile,
        OperationKind::Allocate,
        OperationKind::Write,
        OperationKind::SyncData,
    ] {
        let machine = Machine::new(FsyncPolicy::Os);
        let wal = machine.open();
        let fault = Fault::error(SystemError::Io).on(kind).in_file(&spare(1));
        machine.storage.inject(fault);
        let refused = wal.append(RecordRef::data(&payload(1)));
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
        assert_eq!(wal.last_lsn(), Lsn::ZERO);
        assert!(!machine.file_names().contains(&spare(1)));
        append(&wal, 1..=3);
        wal.sync().expect("synced");
        assert_holds(&wal, 1..=3);
    }
}

#[test]
fn a_file_that_a_failed_attempt_has_left_is_in_nobodys_way() {
    // What `open` with an error leaves, and what could not be removed after a later step had failed.
    for kind in [OperationKind::CreateFile, OperationKind::Allocate] {
        let machine = Machine::new(FsyncPolicy::Os);
        let wal = machine.open();
        machine.storage.set_chooser(Script::new(vec![1]));
        let fault = Fault::error(SystemError::Io).on(kind).in_file(&spare(1));
        machine.storage.inject(fault);
        machine
            .storage
            .inject(Fault::error(SystemError::Io).on(OperationKind::Remove));
        let refused = wal.append(RecordRef::data(&payload(1)));
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
        assert!(machine.file_names().contains(&spare(1)));
        machine.storage.clear_faults();
        append(&wal, 1..=3);
        wal.sync().expect("synced");
        assert_holds(&wal, 1..=3);
    }
}

#[test]
fn an_error_while_reading_poisons_nothing() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=5);
    wal.flush().expect("flushed");
    let fault = Fault::error(SystemError::Io).on(OperationKind::Read);
    machine.storage.inject(fault);
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    assert!(matches!(reader.next_record(), Err(Error::Io { .. })));
    // It may be asked again.
    let lsns = reader.map(|step| step.expect("read").1.lsn.get());
    assert!(lsns.eq(1..=5));
    append(&wal, 6..=6);
    assert_holds(&wal, 1..=6);
}

#[test]
fn eintr_and_short_writes_are_continued() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let interrupted = Fault::error(SystemError::Interrupted);
        for fault in [
            interrupted.clone().on(OperationKind::Write).persistent(),
            interrupted.clone().on(OperationKind::Allocate).persistent(),
        ] {
            // Every second call, so that there is an end to it.
            for at in 0..60 {
                machine.storage.inject(fault.clone().times(1).after(2 * at));
            }
        }
        machine
            .storage
            .inject(Fault::short(13).on(OperationKind::Write).times(300));
        let wal = machine.open();
        append(&wal, 1..=200);
        wal.sync().expect("synced");
        assert!(machine.storage.faults_struck() > 100);
        machine.storage.clear_faults();
        machine.lose_unsynced();
        let wal = machine.open();
        for at in 0..60 {
            let fault = interrupted.clone().on(OperationKind::Read);
            machine.storage.inject(fault.after(2 * at));
        }
        let short = Fault::short(100).on(OperationKind::Read).times(500);
        machine.storage.inject(short);
        assert_holds(&wal, 1..=200);
    }
}

#[test]
fn a_write_that_fails_half_way_leaves_a_torn_tail_and_no_damage() {
    use wal_io::fault::Seeded;
    for seed in 0..50 {
        let mut machine = Machine::new(FsyncPolicy::Always);
        let wal = machine.open();
        append(&wal, 1..=5);
        machine.storage.set_chooser(Seeded::new(seed));
        let fault = Fault::error(SystemError::Io).on(OperationKind::Write);
        machine.storage.inject(fault);
        poisoned(wal.append(RecordRef::data(&large(6, 4000))));
        drop(wal);
        machine.crash(seed);
        let report = machine.verify().expect("verified");
        assert_eq!(report.damage().count(), 0, "seed {seed}");
        let wal = machine.open();
        assert_eq!(wal.last_lsn().get(), 5, "seed {seed}");
        assert_holds(&wal, 1..=5);
    }
}

#[test]
fn a_storage_that_panics_under_a_callers_truncation_leaves_nobody_waiting() {
    for policy in policies() {
        let machine = Machine::new(policy);
        let watched = Watched::new(&machine.storage);
        let wal = machine.open_watched(&watched);
        append(&wal, 1..=20);
        wal.sync().expect("synced");
        watched.panic_in_syncs();
        let truncates = wal.clone();
        let truncation = std::thread::spawn(move || truncates.truncate_after(Lsn::new(10)));
        // It panics where it leads itself, and gets the poison where a thread of the log was faster.
        let outcome = truncation.join();
        let told = matches!(outcome, Err(_) | Ok(Err(Error::Poisoned(_))));
        assert!(told, "{policy:?}: {outcome:?}");
        let (told, tells) = mpsc::channel();
        let appends = wal.clone();
        std::thread::spawn(move || told.send(appends.append(RecordRef::data(b"late"))));
        match tells.recv_timeout(PATIENCE) {
            Ok(outcome) => assert_eq!(poisoned(outcome).durable_lsn.get(), 20),
            Err(error) => {
                // Its drop would wait as well.
                std::mem::forget(wal);
                panic!("{policy:?}: {error}");
            }
        }
    }
}
