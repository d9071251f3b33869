//! Close beside appends, two closers, the last handle.

use shuttle::thread::scope;

use super::explore::{below, explore, pick};
use super::machine::{End, HALF, LARGE, Machine, SMALL, is_closed};

fn closing() {
    let machine = Machine::any(pick(&[SMALL, LARGE]));
    let wal = machine.open();
    let written = below(2);
    for _ in 0..written {
        machine.append(&wal, 9, HALF).expect("appended");
    }
    scope(|scope| {
        let (machine, wal) = (&machine, &wal);
        for writer in 0..2 {
            scope.spawn(move || {
                for _ in 0..3 {
                    let outcome = machine.append_any(wal, writer, HALF);
                    if is_closed(&outcome) {
                        return;
                    }
                    outcome.expect("appended");
                }
            });
        }
        scope.spawn(move || {
            let outcome = machine.sync(wal);
            assert!(outcome.is_ok() || is_closed(&outcome), "{outcome:?}");
        });
        scope.spawn(move || wal.close().expect("closed"));
    });
    assert!(is_closed(&machine.append(&wal, 9, 40)));
    assert_eq!(wal.durable_lsn(), wal.last_lsn());
    machine.end(wal, End::Close);
}

#[test]
fn close_beside_appends() {
    explore("close_beside_appends", closing);
}

fn closers() {
    let machine = Machine::any(pick(&[SMALL, LARGE]));
    let wal = machine.open();
    for _ in 0..=below(3) {
        machine.append(&wal, 9, HALF).expect("appended");
    }
    scope(|scope| {
        let (machine, wal) = (&machine, &wal);
        for _ in 0..2 {
            scope.spawn(move || {
                wal.close().expect("closed");
                assert_eq!(wal.durable_lsn(), wal.last_lsn());
            });
        }
        scope.spawn(move || {
            let outcome = machine.truncate_before(wal, below(3));
            assert!(outcome.is_ok() || is_closed(&outcome), "{outcome:?}");
        });
        scope.spawn(move || {
            let outcome = machine.append(wal, 1, 40);
            assert!(outcome.is_ok() || is_closed(&outcome), "{outcome:?}");
        });
    });
    machine.end(wal, End::Close);
}

#[test]
fn two_closers() {
    explore("two_closers", closers);
}

fn handles() {
    let machine = Machine::any(pick(&[SMALL, LARGE]));
    let wal = machine.open();
    scope(|scope| {
        for (writer, wal) in (0..).zip([wal.clone(), wal.clone(), wal]) {
            let machine = &machine;
            scope.spawn(move || {
                for _ in 0..below(3) {
                    machine.append(&wal, writer, HALF).expect("appended");
                }
                // Whoever is last ends the log.
                drop(wal);
            });
        }
    });
    // The lock is free, and all of it is there.
    machine.reopen(&machine.disk, machine.ledger.highest(), false);
}

#[test]
fn the_last_handle() {
    explore("the_last_handle", handles);
}
