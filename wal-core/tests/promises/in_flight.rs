//! One sync at a time for each file, and what it covers: the writes that returned before it began.

use std::thread;
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{FsyncPolicy, Lsn, RecordRef};

use crate::common::trace::segment;
use crate::common::watched::Watched;
use crate::common::{Machine, SMALL, append, assert_holds, large, payload, until};

#[test]
fn at_most_one_sync_in_flight_per_file() {
    let policies = [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(Duration::from_micros(100)),
        FsyncPolicy::Os,
    ];
    for policy in policies {
        let machine = Machine::new(policy).segments_of(SMALL).buffers_of(4 << 10);
        let mut watched = Watched::new(&machine.storage);
        watched.slow = Duration::from_micros(200);
        let wal = machine.open_watched(&watched);
        thread::scope(|scope| {
            for number in 0..6 {
                let wal = &wal;
                scope.spawn(move || {
                    for n in 0..80 {
                        let record = large(n, 120);
                        match (n + number) % 6 {
                            0 => drop(wal.durable().append(RecordRef::data(&record))),
                            1 => wal.sync().expect("synced"),
                            2 if n % 30 == 2 => {
                                let lsn = Lsn::new(wal.durable_lsn().get());
                                wal.truncate_before(lsn).expect("truncated");
                            }
                            _ => drop(wal.append(RecordRef::data(&record)).expect("appended")),
                        }
                    }
                });
            }
        });
        wal.close().expect("closed");
        assert!(watched.syncs() > 20, "{policy:?}: {}", watched.syncs());
        assert_eq!(watched.most_syncs_in_flight(), 1, "{policy:?}");
    }
}

#[test]
fn appends_go_on_during_a_sync_which_does_not_cover_them() {
    let mut machine = Machine::new(FsyncPolicy::Os);
    let watched = Watched::new(&machine.storage);
    let wal = machine.open_watched(&watched);
    append(&wal, 1..=1);
    wal.flush().expect("flushed");
    watched.hold_syncs_of(&segment(1));
    let sync = {
        let wal = wal.clone();
        thread::spawn(move || wal.sync())
    };
    watched.wait_for_a_sync();
    // The sync is under way: appends and hand-overs are not held up by it.
    append(&wal, 2..=3);
    wal.flush().expect("flushed");
    watched.let_syncs_go();
    sync.join().expect("no panic").expect("synced");
    assert_eq!(wal.durable_lsn().get(), 1);
    wal.sync().expect("synced");
    assert_eq!(wal.durable_lsn().get(), 3);
    drop(wal);
    machine.lose_unsynced();
    assert_holds(&machine.open(), 1..=3);
}

#[test]
fn an_append_during_a_sync_is_not_acknowledged_by_it() {
    let mut machine = Machine::new(FsyncPolicy::Always);
    let watched = Watched::new(&machine.storage);
    let wal = machine.open_watched(&watched);
    append(&wal, 1..=1);
    watched.hold_syncs();
    let append_on_a_thread = |n: u64| {
        let wal = wal.clone();
        thread::spawn(move || wal.append(RecordRef::data(&payload(n))))
    };
    let first = append_on_a_thread(2);
    watched.wait_for_a_sync();
    let second = append_on_a_thread(3);
    until("it is in the log", || wal.last_lsn().get() == 3);
    assert!(!first.is_finished() && !second.is_finished());
    assert_eq!(wal.durable_lsn().get(), 1);
    watched.let_syncs_go();
    for thread in [first, second] {
        thread.join().expect("no panic").expect("appended");
    }
    assert_eq!(wal.durable_lsn().get(), 3);
    drop(wal);
    machine.lose_unsynced();
    assert_holds(&machine.open(), 1..=3);
}

#[test]
fn appends_that_wait_at_the_same_time_share_a_sync() {
    let machine = Machine::new(FsyncPolicy::Always);
    let watched = Watched::new(&machine.storage);
    let wal = machine.open_watched(&watched);
    append(&wal, 1..=1);
    watched.hold_syncs();
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let wal = wal.clone();
            thread::spawn(move || wal.append(RecordRef::data(&payload(n))))
        })
        .collect();
    until("all are in the log", || wal.last_lsn().get() == 9);
    watched.wait_for_a_sync();
    let before = watched.syncs();
    watched.let_syncs_go();
    for thread in threads {
        thread.join().expect("no panic").expect("appended");
    }
    // The one that was held, and one for all who came meanwhile.
    assert!(watched.syncs() <= before + 1);
    assert_eq!(wal.durable_lsn().get(), 9);
}

#[test]
fn a_third_segment_waits_for_the_sync_of_the_first() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let watched = Watched::new(&machine.storage);
    let wal = machine.open_watched(&watched);
    append(&wal, 1..=1);
    wal.flush().expect("flushed");
    watched.hold_syncs_of(&segment(1));
    let on_a_thread = |call: fn(&Wal)| {
        let wal = wal.clone();
        thread::spawn(move || call(&wal))
    };
    // The caller's sync is held up, so the background is free to make spares.
    let sync = on_a_thread(|wal| wal.sync().expect("synced"));
    watched.wait_for_a_sync();
    let appends = on_a_thread(|wal| append(wal, 2..=1000));
    until("the second segment is begun", || segments(&wal) >= 2);
    until("the appends wait", || {
        let last = wal.last_lsn();
        thread::sleep(Duration::from_millis(50));
        wal.last_lsn() == last
    });
    assert_eq!(segments(&wal), 2);
    assert!(!appends.is_finished());
    watched.let_syncs_go();
    sync.join().expect("no panic");
    appends.join().expect("no panic");
    assert!(segments(&wal) > 3);
    drop(wal);
    assert_holds(&machine.open(), 1..=1000);
}

fn segments(wal: &Wal) -> usize {
    wal.list_segments().expect("segments").len()
}
