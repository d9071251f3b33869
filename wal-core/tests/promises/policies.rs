//! What an append has done when it returns, under each policy, and what a crash or a kill can take back.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use wal_core::{FsyncPolicy, RecordRef};
use wal_io::fault::{OperationKind, Seeded};

use crate::common::trace::{Trace, segment};
use crate::common::{
    Machine, SMALL, WINDOW, append, assert_holds, large, payload, read_all, until,
};

const MICROSECOND: Duration = Duration::from_micros(1);
const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn always_append_returns_only_when_the_record_and_all_before_it_are_durable() {
    for count in 1..=30 {
        // Small segments: rotations are among them.
        let mut machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        let wal = machine.open();
        for n in 1..=count {
            wal.append(RecordRef::data(&large(n, 300)))
                .expect("appended");
            assert_eq!(wal.durable_lsn().get(), n);
        }
        machine.lose_unsynced();
        let records = read_all(&machine.open()).expect("the log is read");
        let expected: Vec<_> = (1..=count).map(|n| (n, large(n, 300))).collect();
        assert_eq!(records, expected);
    }
}

/// Cuts the power at the end of a block.
struct CutPower<'a>(&'a Machine);

impl Drop for CutPower<'_> {
    fn drop(&mut self) {
        self.0.storage.cut_power();
    }
}

#[test]
fn always_appends_of_many_threads_are_durable_when_they_return() {
    const ENOUGH: usize = 300;
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open_with_threads();
    let acknowledged = Mutex::new(BTreeMap::new());
    let acks = || acknowledged.lock().expect("no panic");
    thread::scope(|scope| {
        for number in 0..4 {
            let (wal, acks) = (&wal, &acks);
            scope.spawn(move || {
                for n in 0.. {
                    let value = large(n, 50 + number);
                    match wal.append(RecordRef::data(&value)) {
                        Ok(position) => acks().insert(position.lsn.get(), value),
                        // The power is off.
                        Err(_) => break,
                    };
                }
            });
        }
        // Also if it is not: the threads go on until the power is off.
        let _end = CutPower(&machine);
        until("enough is acknowledged", || acks().len() >= ENOUGH);
    });
    let acknowledged = acknowledged.into_inner().expect("no panic");
    for seed in 0..20 {
        let mut after = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        after.storage = machine.storage.crash(&mut Seeded::streaky(seed));
        let found: BTreeMap<_, _> = read_all(&after.open())
            .expect("the log is read")
            .into_iter()
            .collect();
        for (lsn, value) in &acknowledged {
            assert_eq!(found.get(lsn), Some(value), "LSN {lsn}, seed {seed}");
        }
    }
}

#[test]
fn batch_syncs_by_itself_when_nothing_more_is_appended() {
    let mut machine = Machine::new(FsyncPolicy::Batch(WINDOW));
    let wal = machine.open();
    append(&wal, 1..=1);
    machine.pass(&wal, Duration::from_micros(4999));
    assert_eq!(wal.durable_lsn().get(), 0);
    machine.pass(&wal, MICROSECOND);
    assert_eq!(wal.durable_lsn().get(), 1);
    machine.lose_unsynced();
    assert_holds(&machine.open(), 1..=1);
}

#[test]
fn batch_syncs_by_itself_on_a_thread_of_its_own() {
    let mut machine = Machine::new(FsyncPolicy::Batch(WINDOW));
    let wal = machine.open_with_threads();
    append(&wal, 1..=3);
    until("the timer syncs", || wal.durable_lsn().get() == 3);
    machine.lose_unsynced();
    assert_holds(&machine.open(), 1..=3);
}

/// Appends one record a millisecond, hands over and rotates now and then; the records that must survive at the end.
fn a_busy_time(machine: &Machine, milliseconds: u64) -> u64 {
    let wal = machine.open();
    let mut appended_at = Vec::new();
    let mut n = 0;
    for now in 0..milliseconds {
        let records = if now % 7 == 3 { 4 } else { 1 };
        for _ in 0..records {
            n += 1;
            let len = if now % 7 == 3 { 1200 } else { 40 };
            wal.append(RecordRef::data(&large(n, len)))
                .expect("appended");
            appended_at.push(Duration::from_millis(now));
        }
        if now % 3 == 1 {
            // A hand-over in between must not begin the window anew.
            wal.flush().expect("flushed");
        }
        machine.pass(&wal, MILLISECOND);
    }
    let now = Duration::from_millis(milliseconds);
    let old = |at: &&Duration| **at + WINDOW <= now;
    let safe = appended_at.iter().take_while(old).count() as u64;
    assert!(wal.durable_lsn().get() >= safe);
    safe
}

#[test]
fn batch_loses_at_most_the_window() {
    for milliseconds in 1..80 {
        let mut machine = Machine::new(FsyncPolicy::Batch(WINDOW)).segments_of(SMALL);
        let safe = a_busy_time(&machine, milliseconds);
        machine.lose_unsynced();
        let last = machine.open().last_lsn().get();
        assert!(last >= safe, "{last} of {safe} after {milliseconds} ms");
    }
}

#[test]
fn batch_loses_at_most_the_window_when_the_process_is_killed() {
    for milliseconds in 1..80 {
        let mut machine = Machine::new(FsyncPolicy::Batch(WINDOW)).segments_of(SMALL);
        let safe = a_busy_time(&machine, milliseconds);
        machine.kill();
        let last = machine.open().last_lsn().get();
        assert!(last >= safe, "{last} of {safe} after {milliseconds} ms");
    }
}

#[test]
fn os_hands_over_within_a_millisecond() {
    let mut machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=1);
    machine.storage.record_operations();
    machine.pass(&wal, Duration::from_micros(999));
    let writes = |machine: &Machine| Trace::of(&machine.storage).count(OperationKind::Write);
    assert_eq!(writes(&machine), 0);
    machine.pass(&wal, MICROSECOND);
    assert_eq!(writes(&machine), 1);
    machine.kill();
    assert_holds(&machine.open(), 1..=1);
}

#[test]
fn os_hands_over_256_kib_at_once() {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(1 << 20);
    let wal = machine.open();
    let record = large(1, 1024);
    wal.append(RecordRef::data(&record)).expect("appended");
    machine.pass(&wal, MILLISECOND);
    machine.storage.record_operations();
    let writes = |machine: &Machine| Trace::of(&machine.storage).count(OperationKind::Write);
    for _ in 0..250 {
        wal.append(RecordRef::data(&record)).expect("appended");
        let _ = wal.drive();
    }
    assert_eq!(writes(&machine), 0);
    for _ in 0..6 {
        wal.append(RecordRef::data(&record)).expect("appended");
        let _ = wal.drive();
    }
    assert_eq!(writes(&machine), 1);
    machine.kill();
    assert!(machine.open().last_lsn().get() >= 255);
}

#[test]
fn os_hands_over_on_a_thread_of_its_own() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open_with_threads();
    append(&wal, 1..=2);
    until("another process sees the records", || {
        let look = machine.look().expect("the log is looked at");
        look.last_lsn().get() == 2
    });
    assert_eq!(wal.durable_lsn().get(), 0);
}

#[test]
fn os_loses_at_most_the_two_buffers_when_the_process_is_killed() {
    const BUFFER: usize = 4 << 10;
    for count in 1..150 {
        let mut machine = Machine::new(FsyncPolicy::Os).buffers_of(BUFFER);
        let wal = machine.open();
        append(&wal, 1..=count);
        machine.kill();
        let last = machine.open().last_lsn().get();
        let bytes: usize = (last + 1..=count).map(|n| payload(n).len()).sum();
        assert!(bytes <= 2 * BUFFER, "{bytes} bytes of {count} records");
    }
}

#[test]
fn os_syncs_no_data_that_was_not_rotated() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    machine.storage.record_operations();
    for n in 1..=20 {
        append(&wal, n..=n);
        machine.pass(&wal, Duration::from_secs(30));
    }
    let trace = Trace::of(&machine.storage);
    assert_eq!(trace.count_in(OperationKind::SyncData, &segment(1)), 0);
    assert_eq!(wal.durable_lsn().get(), 0);
}
