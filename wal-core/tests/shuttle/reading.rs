//! Readers beside a writer: each LSN exactly once, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::thread::{scope, yield_now};
use wal_core::blocking::Wal;
use wal_core::{Error, Lsn};

use super::explore::{below, explore, pick};
use super::machine::{ENDS, HALF, Machine, SMALL};
use super::storage::Slow;

const RECORDS: u64 = 6;

/// Reads up to `last` and no further; what it saw is in the ledger in the end.
fn follow(wal: &Wal, finished: &AtomicBool) -> Vec<(u64, Vec<u8>)> {
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    let mut seen: Vec<(u64, Vec<u8>)> = Vec::new();
    loop {
        let over = finished.load(Ordering::SeqCst);
        while let Some((record, position)) = reader.next_record().expect("read") {
            let lsn = position.lsn.get();
            assert_eq!(lsn, seen.len() as u64 + 1, "each LSN once, in order");
            seen.push((lsn, record.value.to_vec()));
        }
        if over {
            return seen;
        }
        yield_now();
    }
}

fn followers() {
    let machine = Machine::any(SMALL);
    let wal = machine.open();
    let finished = AtomicBool::new(false);
    machine.append(&wal, 0, HALF).expect("appended");
    machine.flush(&wal).expect("flushed");
    scope(|scope| {
        let (machine, wal, finished) = (&machine, &wal, &finished);
        scope.spawn(move || {
            for _ in 1..RECORDS {
                machine.append(wal, 0, HALF).expect("appended");
            }
            machine.flush(wal).expect("flushed");
            finished.store(true, Ordering::SeqCst);
        });
        scope.spawn(move || {
            let seen = follow(wal, finished);
            machine.ledger.check(&seen, 1, RECORDS);
        });
        scope.spawn(move || {
            let builder = Wal::builder("log").storage(Arc::new(Slow::new(&machine.disk)));
            let view = builder.read_only().open().expect("a view");
            let seen = follow(&view, finished);
            machine.ledger.check(&seen, 1, RECORDS);
        });
    });
    machine.end(wal, pick(&ENDS));
}

#[test]
fn readers_follow() {
    explore("readers_follow", followers);
}

/// Reads everything that is there; returns the last LSN, or 0 if it was truncated meanwhile. The segment files share one slot with all other readers of the handle.
fn read_all(wal: &Wal, from: u64) -> u64 {
    let mut next = from;
    let mut reader = match wal.read_from(Lsn::new(from)) {
        Ok(reader) => reader,
        Err(Error::Truncated { .. }) => return 0,
        Err(error) => panic!("{error}"),
    };
    loop {
        let position = match reader.next_record() {
            Ok(Some((_, position))) => position,
            Ok(None) => return next - 1,
            Err(Error::Truncated { .. }) => return 0,
            Err(error) => panic!("{error}"),
        };
        let lsn = position.lsn.get();
        assert_eq!(lsn, next, "each LSN once, in order");
        next += 1;
        yield_now();
    }
}

/// Readers of one handle in different segments, of which one file can be open at a time, beside a writer that may truncate.
fn one_slot() {
    let machine = Machine::any(SMALL);
    let wal = machine.open();
    for _ in 0..RECORDS {
        machine.append(&wal, 0, HALF).expect("appended");
    }
    machine.flush(&wal).expect("flushed");
    let truncates = below(2) == 0;
    scope(|scope| {
        let (machine, wal) = (&machine, &wal);
        for from in [1, RECORDS / 2] {
            scope.spawn(move || {
                let read = read_all(wal, from);
                let all = read >= RECORDS || (truncates && read == 0);
                assert!(all, "{read} of {RECORDS}");
            });
        }
        scope.spawn(move || {
            for _ in 0..2 {
                // Enters a segment, and leaves it again.
                let mut reader = wal.read_from(Lsn::new(RECORDS)).expect("a reader");
                assert!(reader.next_record().expect("read").is_some());
            }
        });
        scope.spawn(move || {
            machine.append(wal, 0, HALF).expect("appended");
            if truncates {
                machine.truncate_before(wal, 3).expect("truncated");
            }
        });
    });
    machine.end(wal, pick(&ENDS));
}

#[test]
fn readers_share_a_slot() {
    explore("readers_share_a_slot", one_slot);
}
