//! Readers beside a writer: each LSN exactly once, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::thread::{scope, yield_now};
use wal_core::Lsn;
use wal_core::blocking::Wal;

use super::explore::{explore, pick};
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
