//! Group commit, waits beside appends, full buffers, and the timers.

use shuttle::thread::scope;
use wal_core::{FsyncPolicy, Record};

use super::explore::{below, explore, pick, until};
use super::machine::{BATCH, ENDS, End, HALF, LARGE, Machine};

fn writers_share_syncs() {
    let machine = Machine::new(FsyncPolicy::Always, LARGE);
    let wal = machine.open();
    scope(|scope| {
        for writer in 0..3 {
            let (machine, wal) = (&machine, wal.clone());
            scope.spawn(move || {
                for _ in 0..2 {
                    machine.append(&wal, writer, 40).expect("appended");
                }
            });
        }
    });
    assert_eq!(wal.stats().records_appended, 6);
    machine.end(wal, pick(&ENDS));
}

#[test]
fn group_commit() {
    explore("group_commit", writers_share_syncs);
}

fn waits_and_appends() {
    let machine = Machine::new(pick(&[BATCH, FsyncPolicy::Os]), LARGE);
    let wal = machine.open();
    scope(|scope| {
        let (machine, wal) = (&machine, &wal);
        for writer in 0..2 {
            scope.spawn(move || {
                for _ in 0..2 {
                    machine.append_any(wal, writer, 40).expect("appended");
                }
            });
        }
        scope.spawn(move || {
            machine.sync(wal).expect("synced");
            machine.flush(wal).expect("flushed");
        });
        scope.spawn(move || {
            machine.flush(wal).expect("flushed");
            machine
                .wait_durable(wal, wal.last_lsn().get())
                .expect("durable");
        });
    });
    machine.end(wal, pick(&ENDS));
}

#[test]
fn waits_beside_appends() {
    explore("waits_beside_appends", waits_and_appends);
}

fn small_buffers() {
    let machine = Machine::any(LARGE).tight();
    let wal = machine.open();
    scope(|scope| {
        for writer in 0..3 {
            let (machine, wal) = (&machine, &wal);
            scope.spawn(move || {
                for _ in 0..3 {
                    // The third does not fit beside two of them.
                    machine.append(wal, writer, 1_500).expect("appended");
                }
            });
        }
    });
    machine.end(wal, pick(&ENDS));
}

#[test]
fn full_buffers() {
    explore("full_buffers", small_buffers);
}

fn nobody_calls_in_the_end() {
    let machine = Machine::new(pick(&[BATCH, FsyncPolicy::Os]), LARGE);
    let wal = machine.open();
    scope(|scope| {
        let (machine, wal) = (&machine, &wal);
        for writer in 0..2 {
            scope.spawn(move || {
                for _ in 0..=below(2) {
                    machine.append(wal, writer, 2_000).expect("appended");
                }
            });
        }
        // Whoever looks while it writes or syncs finds somebody at it.
        scope.spawn(move || machine.flush(wal).expect("flushed"));
        scope.spawn(move || machine.sync(wal).expect("synced"));
    });
    let last = wal.last_lsn().get();
    let end = if machine.policy == FsyncPolicy::Os {
        // Records are larger than all headers together: none is missing.
        until(|| wal.stats().bytes_written >= wal.stats().bytes_appended);
        machine.ledger.flushed(last);
        pick(&[End::Kill, End::Drop])
    } else {
        until(|| wal.durable_lsn().get() == last);
        machine.ledger.durable(last);
        pick(&ENDS)
    };
    machine.end(wal, end);
}

#[test]
fn the_timers() {
    explore("the_timers", nobody_calls_in_the_end);
}

/// Records enter without waiting and nobody commits: who waits for room while another hands over is told when that one is through.
fn room_behind_a_flush() {
    let machine = Machine::new(FsyncPolicy::Always, LARGE).tight();
    let wal = machine.open();
    let record = Record::data(vec![1; HALF]);
    let prepared = wal.prepare(&record).expect("prepared");
    wal.wait_for_room(&prepared).expect("room");
    // All of one buffer.
    for _ in 0..3 {
        let entered = wal.try_append(&prepared).expect("asked");
        assert!(entered.is_some());
    }
    scope(|scope| {
        let (wal, prepared) = (&wal, &prepared);
        scope.spawn(move || wal.flush().expect("flushed"));
        scope.spawn(move || {
            // Two more are full where the flush has taken the first.
            while wal.try_append(prepared).expect("asked").is_some() {}
            wal.wait_for_room(prepared).expect("room");
        });
    });
}

#[test]
fn room_where_nobody_commits() {
    explore("room_where_nobody_commits", room_behind_a_flush);
}
