//! New segments beside appends, truncation beside both, and a full disk.

use shuttle::thread::scope;
use wal_core::{Error, Lsn};

use super::explore::{below, explore, pick};
use super::machine::{ENDS, HALF, Machine, SMALL};

fn segments() {
    let machine = Machine::any(SMALL);
    let wal = machine.open();
    scope(|scope| {
        let (machine, wal) = (&machine, &wal);
        for writer in 0..2 {
            scope.spawn(move || {
                for _ in 0..4 {
                    machine.append_any(wal, writer, HALF).expect("appended");
                }
            });
        }
        scope.spawn(move || machine.sync(wal).expect("synced"));
    });
    assert!(wal.list_segments().expect("segments").len() > 2);
    machine.end(wal, pick(&ENDS));
}

#[test]
fn rotation() {
    explore("rotation", segments);
}

fn cuts() {
    let machine = Machine::any(SMALL);
    let wal = machine.open();
    scope(|scope| {
        let (machine, wal) = (&machine, &wal);
        for writer in 0..2 {
            scope.spawn(move || {
                for _ in 0..4 {
                    machine.append(wal, writer, HALF).expect("appended");
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(move || {
                for _ in 0..2 {
                    let next = wal.last_lsn().get() + 1;
                    machine
                        .truncate_before(wal, next - below(3).min(next))
                        .expect("truncated");
                }
            });
        }
        scope.spawn(move || read_what_is_left(machine, wal));
    });
    machine.end(wal, pick(&ENDS));
}

/// A reader sees each LSN of the log in order, or is told that it was truncated.
fn read_what_is_left(_machine: &Machine, wal: &wal_core::blocking::Wal) {
    let mut next = 0;
    for _ in 0..4 {
        let from = wal.read_from(Lsn::new(next));
        let mut reader = match from {
            Err(Error::Truncated { first, .. }) => {
                next = first.get();
                continue;
            }
            other => other.expect("a reader"),
        };
        loop {
            match reader.next_record() {
                Ok(None) => break,
                Ok(Some((_, position))) => {
                    let lsn = position.lsn.get();
                    assert!(next == 0 || lsn == next, "{lsn} instead of {next}");
                    next = lsn + 1;
                }
                Err(Error::Truncated { first, .. }) => {
                    assert!(first.get() > next);
                    next = first.get();
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn truncation() {
    explore("truncation", cuts);
}

fn no_space() {
    let machine = Machine::any(SMALL);
    let wal = machine.open();
    machine.append_durable(&wal, 9, 40).expect("appended");
    machine.disk.set_capacity(Some((1 + below(4)) * SMALL));
    scope(|scope| {
        let (machine, wal) = (&machine, &wal);
        for writer in 0..2 {
            scope.spawn(move || {
                for _ in 0..4 {
                    match machine.append(wal, writer, HALF) {
                        Ok(_) => {}
                        Err(Error::NoSpace { .. }) => {
                            // Room is made, and may be gone again.
                            machine
                                .truncate_before(wal, wal.last_lsn().get())
                                .expect("truncated");
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    machine.disk.set_capacity(None);
    machine.end(wal, pick(&ENDS));
}

#[test]
fn full_disk() {
    explore("full_disk", no_space);
}
