//! `truncate_after` beside appends, the other truncation, syncs and a reader: nobody takes one record for another.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use shuttle::thread::scope;
use wal_core::blocking::Wal;
use wal_core::{Error, Lsn, RecordRef};

use super::explore::{below, explore, pick};
use super::machine::{HALF, Machine, SMALL};

/// Records that are there from the start.
const FIRST: u64 = 4;

/// Every record that was given an LSN, with it. Not a part of the model.
#[derive(Default)]
struct Given(Mutex<BTreeSet<(u64, Vec<u8>)>>);

impl Given {
    fn append(&self, wal: &Wal, text: &str) {
        let mut payload = text.as_bytes().to_vec();
        payload.resize(HALF, b'x');
        match wal.append(RecordRef::data(&payload)) {
            Ok(position) => self.note(position.lsn.get(), payload),
            // It was in the log, was made durable, and was dropped.
            Err(Error::Truncated { kept: Some(_), .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn note(&self, lsn: u64, payload: Vec<u8>) {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert((lsn, payload));
    }

    /// The records are dense, and each was given its LSN.
    fn check(&self, records: &[(u64, Vec<u8>)]) {
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, record) in records.iter().enumerate() {
            assert_eq!(record.0, records[0].0 + at as u64, "LSNs are dense");
            assert!(given.contains(record), "LSN {} is another record", record.0);
        }
    }
}

fn records(wal: &Wal) -> Vec<(u64, Vec<u8>)> {
    let reader = wal.read_from(Lsn::ZERO).expect("a reader");
    reader
        .map(|step| step.expect("read"))
        .map(|(record, position)| (position.lsn.get(), record.value.to_vec()))
        .collect()
}

/// Reads on until the others are through. What it holds is one history, or it was told where it forked.
fn follow(wal: &Wal) {
    let mut next = Lsn::ZERO;
    for _ in 0..4 {
        let reader = match wal.read_from(next) {
            Err(Error::Truncated { first, .. }) => {
                next = first;
                continue;
            }
            // It has read what was dropped since.
            Err(Error::NotAppended { next: now, .. }) => {
                next = now;
                continue;
            }
            other => other.expect("a reader"),
        };
        for step in reader {
            match step {
                Ok((_, position)) => {
                    assert!(next == Lsn::ZERO || position.lsn == next, "one by one");
                    next = position.lsn.next();
                }
                Err(Error::Truncated {
                    kept: Some(kept), ..
                }) => {
                    assert!(kept.next() < next, "it has read none of what was dropped");
                    next = kept.next();
                }
                Err(Error::Truncated { first, kept: None }) => next = first,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn histories() {
    let machine = Machine::any(SMALL);
    let wal = machine.open();
    let given = Given::default();
    for n in 1..=FIRST {
        given.append(&wal, &format!("first {n} "));
    }
    scope(|scope| {
        let (wal, given) = (&wal, &given);
        for writer in 0..2 {
            scope.spawn(move || {
                for n in 0..3 {
                    given.append(wal, &format!("writer {writer}, {n} "));
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(move || {
                let kept = FIRST - below(2);
                match wal.truncate_after(Lsn::new(kept)) {
                    // The other one kept less.
                    Ok(()) | Err(Error::NotAppended { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            });
        }
        scope.spawn(move || {
            wal.truncate_before(Lsn::new(1 + below(FIRST)))
                .expect("truncated");
            wal.sync().expect("synced");
        });
        scope.spawn(move || follow(wal));
    });
    let live = records(&wal);
    given.check(&live);
    let durable = wal.durable_lsn().get();
    let powerless = pick(&[false, true]);
    let disk = if powerless {
        machine.disk.crash(&mut wal_io::fault::Script::default())
    } else {
        wal.close().expect("closed");
        machine.disk.clone()
    };
    drop(wal);
    let opened = machine.open_on(&disk);
    let found = records(&opened);
    if powerless {
        assert!(found.len() <= live.len() && found == live[..found.len()]);
        assert!(opened.last_lsn().get() >= durable, "{durable} is lost");
    } else {
        assert!(found == live, "the closed log holds something else");
    }
}

#[test]
fn rewinding() {
    explore("rewinding", histories);
}
