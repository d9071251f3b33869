//! A failed write or sync, and power loss, in the midst of appends, waits, rotation and truncation.

use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::thread::scope;
use wal_core::blocking::Wal;
use wal_core::{Error, Result};
use wal_io::fault::{Fault, Moment, OperationKind, Seeded, SystemError};

use super::explore::{below, explore, pick};
use super::machine::{HALF, LARGE, Machine, SMALL};

const KINDS: [OperationKind; 4] = [
    OperationKind::Write,
    OperationKind::SyncData,
    OperationKind::SyncDirectory,
    OperationKind::Rename,
];

/// Looks at outcomes: once anybody was told of the poison, nobody is told anything else.
#[derive(Debug, Default)]
struct Witness {
    told: AtomicBool,
}

impl Witness {
    /// Makes a call that needs the log to be well; false if it is not.
    fn call<T>(&self, wal: &Wal, call: impl FnOnce() -> Result<T>) -> bool {
        let before = self.told.load(Ordering::SeqCst);
        match call() {
            Ok(_) => {
                assert!(!before, "the log went on after it had failed");
                true
            }
            Err(Error::Poisoned(poisoned)) => {
                self.told.store(true, Ordering::SeqCst);
                assert_eq!(poisoned.durable_lsn, wal.durable_lsn());
                false
            }
            // The next segment could not be made: no harm.
            Err(Error::NoSpace { .. } | Error::Io { .. }) => {
                assert!(!before, "the log went on after it had failed");
                false
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn failing() {
    let machine = Machine::any(pick(&[SMALL, LARGE]));
    let wal = machine.open();
    let witness = Witness::default();
    machine.append_durable(&wal, 9, 40).expect("appended");
    let fault = Fault::error(pick(&[SystemError::Io, SystemError::NoSpace]));
    machine.disk.inject(fault.on(pick(&KINDS)).after(below(4)));
    scope(|scope| {
        let (machine, wal, witness) = (&machine, &wal, &witness);
        for writer in 0..2 {
            scope.spawn(move || {
                for _ in 0..3 {
                    witness.call(wal, || machine.append_any(wal, writer, HALF));
                }
            });
        }
        scope.spawn(move || {
            witness.call(wal, || machine.sync(wal));
            witness.call(wal, || machine.flush(wal));
        });
        scope.spawn(move || {
            let last = wal.last_lsn().get();
            if machine.wait_durable(wal, last).is_ok() {
                machine.ledger.durable(last);
            }
            witness.call(wal, || machine.truncate_before(wal, last));
        });
    });
    let closed = witness.call(&wal, || wal.close());
    if !closed {
        assert!(
            witness.told.load(Ordering::SeqCst),
            "a close that fails says why"
        );
        let durable = wal.durable_lsn().get();
        assert!(durable >= machine.ledger.known_durable());
        assert!(!witness.call(&wal, || machine.append(&wal, 9, 40)));
        assert!(!witness.call(&wal, || machine.sync(&wal)));
        assert_eq!(
            wal.durable_lsn().get(),
            durable,
            "nothing became durable afterwards"
        );
        // The durable LSN is true.
        machine.ledger.durable(durable);
    }
    machine.disk.clear_faults();
    let disk = match below(3) {
        0 => machine.disk.kill(),
        _ => machine.disk.crash(&mut Seeded::streaky(below(1 << 32))),
    };
    drop(wal);
    machine.reopen(&disk, machine.ledger.known_durable(), closed);
}

#[test]
fn poison() {
    explore("poison", failing);
}

fn lights_out() {
    let machine = Machine::any(SMALL);
    let wal = machine.open();
    let moment = pick(&[Moment::Before, Moment::During, Moment::After]);
    machine
        .disk
        .inject(Fault::power_cut(moment).after(below(60)));
    scope(|scope| {
        let (machine, wal) = (&machine, &wal);
        for writer in 0..2 {
            scope.spawn(move || {
                for _ in 0..4 {
                    // What it promises is in the ledger.
                    let _ = machine.append_any(wal, writer, HALF);
                }
            });
        }
        scope.spawn(move || {
            let _ = machine.sync(wal);
            let _ = machine.truncate_before(wal, wal.last_lsn().get());
            let _ = machine.sync(wal);
        });
    });
    // Whatever it knows to be durable is.
    machine.ledger.durable(wal.durable_lsn().get());
    let disk = machine.disk.crash(&mut Seeded::streaky(below(1 << 32)));
    drop(wal);
    machine.reopen(&disk, machine.ledger.known_durable(), false);
}

#[test]
fn power_loss() {
    explore("power_loss", lights_out);
}
