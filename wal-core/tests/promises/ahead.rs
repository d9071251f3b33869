//! Zeros written ahead of the records: where, and that they cost nothing but time.

use std::thread;

use wal_core::{FsyncPolicy, Prewrite, RecordRef};
use wal_io::fault::{Fault, OperationKind, SystemError};

use crate::common::trace::Trace;
use crate::common::{Machine, WINDOW, append, assert_holds, large, policies, read_all};

const RECORDS: u64 = 400;

fn prewrites(machine: &Machine) -> usize {
    Trace::of(&machine.storage).count(OperationKind::Prewrite)
}

#[test]
fn only_always_writes_zeros_ahead() {
    for policy in policies() {
        let machine = Machine::new(policy);
        machine.storage.record_operations();
        let wal = machine.open();
        append(&wal, 1..=RECORDS / 2);
        machine.pass(&wal, WINDOW);
        append(&wal, RECORDS / 2 + 1..=RECORDS);
        wal.sync().expect("synced");
        assert_eq!(
            prewrites(&machine) > 0,
            policy == FsyncPolicy::Always,
            "{policy:?}"
        );
        assert_holds(&wal, 1..=RECORDS);
        wal.close().expect("closed");
        assert_holds(&machine.open(), 1..=RECORDS);
    }
}

#[test]
fn none_where_it_is_off_or_nothing_is_allocated_ahead() {
    let off = Machine::new(FsyncPolicy::Always).prewriting(Prewrite::Off);
    let growing = Machine::new(FsyncPolicy::Always).growing();
    for machine in [off, growing] {
        machine.storage.record_operations();
        let wal = machine.open();
        append(&wal, 1..=RECORDS);
        machine.pass(&wal, WINDOW);
        assert_eq!(prewrites(&machine), 0);
        assert_holds(&wal, 1..=RECORDS);
    }
}

#[test]
fn a_crash_finds_the_records_and_no_zeros_between_them() {
    for seed in 1..40 {
        let mut machine = Machine::new(FsyncPolicy::Always);
        machine.storage.record_operations();
        let wal = machine.open();
        append(&wal, 1..=seed * 3 + 1);
        machine.pass(&wal, WINDOW);
        append(&wal, seed * 3 + 2..=seed * 7 + 1);
        machine.crash(seed);
        drop(wal);
        assert_holds(&machine.open(), 1..=seed * 7 + 1);
    }
}

#[test]
fn an_error_ends_it_and_nothing_else() {
    for error in [SystemError::Io, SystemError::NoSpace] {
        let machine = Machine::new(FsyncPolicy::Always);
        machine.storage.record_operations();
        let wal = machine.open();
        let fault = Fault::error(error).on(OperationKind::Prewrite);
        machine.storage.inject(fault);
        append(&wal, 1..=10);
        machine.pass(&wal, WINDOW);
        append(&wal, 11..=20);
        machine.pass(&wal, WINDOW);
        assert_eq!(prewrites(&machine), 1, "the file is given up");
        assert_eq!(wal.durable_lsn().get(), 20);
        assert_holds(&wal, 1..=20);
        wal.close().expect("closed");
        assert_holds(&machine.open(), 1..=20);
    }
}

#[test]
fn appends_keep_away_from_the_zeros() {
    // The simulated machine panics at a write into a range that is being overwritten, and that poisons the log.
    for _ in 0..60 {
        let machine = Machine::new(FsyncPolicy::Always);
        machine.storage.record_operations();
        let wal = machine.open_with_threads();
        thread::scope(|scope| {
            for writer in 0..4 {
                let wal = &wal;
                scope.spawn(move || {
                    for n in 0..150 {
                        wal.append(RecordRef::data(&large(n, 500 + writer)))
                            .expect("appended");
                    }
                });
            }
        });
        assert_eq!(read_all(&wal).expect("read").len(), 600);
        assert!(prewrites(&machine) > 0);
    }
}
