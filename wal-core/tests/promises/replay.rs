//! A replay on several threads gives what reading in order gives: the same records, and the same error.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use wal_core::blocking::Wal;
use wal_core::{
    Compression, Error, FsyncPolicy, Lsn, Position, Record, RecordRef, Result, Threads,
};
use wal_io::fault::{Fault, OperationKind, SystemError};

use crate::common::trace::segment;
use crate::common::{Machine, SMALL, append, assert_holds, large, payload, policies, read_all};

const THREADS: [usize; 3] = [1, 2, 5];

fn threads(count: usize) -> Threads {
    Threads::Exactly(NonZeroUsize::new(count).expect("some"))
}

type Read = Vec<(u64, Vec<u8>)>;

/// Each segment's records.
fn replay(wal: &Wal, start: u64, count: usize) -> Result<Vec<Read>> {
    wal.replay(
        Lsn::new(start),
        threads(count),
        Read::new,
        |read, record, position| read.push((position.lsn.get(), record.value().to_vec())),
    )
}

#[track_caller]
fn assert_replays(wal: &Wal, start: u64) {
    let from = |lsn: u64| wal.read_from(Lsn::new(lsn)).expect("a reader");
    let expected: Read = from(start)
        .map(|step| step.expect("a record"))
        .map(|(record, position)| (position.lsn.get(), record.value.to_vec()))
        .collect();
    for count in THREADS {
        let segments = replay(wal, start, count).expect("replayed");
        assert_eq!(segments.concat(), expected, "{count} threads from {start}");
    }
}

fn segments(wal: &Wal) -> usize {
    wal.list_segments().expect("segments").len()
}

/// A closed log of some segments.
fn closed() -> (Machine, Vec<Position>) {
    let machine = Machine::new(FsyncPolicy::Os)
        .segments_of(SMALL)
        .buffers_of(4 << 10);
    let wal = machine.open();
    let append = |n| wal.append(RecordRef::data(&payload(n))).expect("appended");
    let positions = (1..=400).map(append).collect();
    assert!(segments(&wal) > 3);
    wal.close().expect("closed");
    (machine, positions)
}

#[test]
fn a_replay_gives_what_reading_in_order_gives() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL).buffers_of(4 << 10);
        let wal = machine.open();
        assert_replays(&wal, 0);
        append(&wal, 1..=300);
        assert!(segments(&wal) > 3);
        for start in [0, 1, 2, 150, 299, 300, 301] {
            assert_replays(&wal, start);
        }
        wal.truncate_before(Lsn::new(77)).expect("truncated");
        assert_replays(&wal, 0);
        assert!(matches!(
            replay(&wal, 76, 2),
            Err(Error::Truncated { first, kept: None }) if first.get() == 77
        ));
        wal.close().expect("closed");
        let look = machine.look().expect("opened");
        for start in [0, 77, 150, 300, 301] {
            assert_replays(&look, start);
        }
    }
}

#[test]
fn a_replay_shows_what_was_appended_before_the_call() {
    for policy in policies() {
        let machine = Machine::new(policy);
        let wal = machine.open();
        for last in [1, 5, 30] {
            let next = wal.last_lsn().get() + 1;
            append(&wal, next..=last);
            assert_eq!(
                replay(&wal, 0, 2).expect("replayed").concat().len() as u64,
                last
            );
        }
    }
}

#[test]
fn each_segment_has_a_state_of_its_own_and_its_records_in_order() {
    let (machine, positions) = closed();
    let wal = machine.open();
    let segments = wal
        .replay(Lsn::ZERO, threads(3), Vec::new, |read, _, position| {
            read.push(position);
        })
        .expect("replayed");
    let mut expected: Vec<Vec<Position>> = Vec::new();
    for position in positions {
        match expected.last_mut() {
            Some(last) if last[0].segment_id == position.segment_id => last.push(position),
            _ => expected.push(vec![position]),
        }
    }
    assert_eq!(segments, expected);
}

#[test]
fn keys_expiries_and_compressed_values_come_as_they_were_appended() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    let value = large(1, 5000);
    let records = [
        Record::put("key", &value).with_compression(Compression::Lz4),
        Record::put("key", &value).with_compression(Compression::Zstd),
        Record::put("", "value").with_expiry(wal_core::UnixMillis::new(77)),
        Record::delete("key"),
    ];
    for record in &records {
        wal.append(record).expect("appended");
    }
    let read = wal.replay(Lsn::ZERO, threads(2), Vec::new, |read, record, _| {
        read.push(record.to_record());
    });
    assert_eq!(read.expect("replayed").concat(), records);
}

#[test]
fn the_first_error_in_the_order_of_lsns_is_returned() {
    let (machine, positions) = closed();
    // In the third segment and in the second.
    for id in [3, 2] {
        let inside = positions.iter().filter(|at| at.segment_id.get() == id);
        let hit = inside.min_by_key(|at| at.lsn).expect("it has records");
        let bit = (hit.offset.get() + 8) * 8;
        let name = segment(id);
        machine.storage.flip_bits(&name, bit, 1).expect("a bit");
        for count in THREADS {
            for wal in [machine.open(), machine.look().expect("opened")] {
                match replay(&wal, 0, count) {
                    Err(Error::Corruption(found)) => {
                        assert_eq!(found.segment_id, hit.segment_id);
                        assert_eq!(found.first_lsn, hit.lsn);
                    }
                    other => panic!("expected the damage, got {other:?}"),
                }
                // Nobody asks for what lies before it.
                let behind = positions.iter().filter(|at| at.segment_id.get() > 3);
                let start = behind.map(|at| at.lsn).min().expect("there are more");
                assert_replays(&wal, start.get());
            }
        }
    }
}

#[test]
fn a_missing_segment_is_met_in_its_place() {
    let (machine, positions) = closed();
    machine.storage.remove_file(&segment(2)).expect("removed");
    let look = machine.look_at_damage().expect("opened");
    let expected = look
        .read_from(Lsn::ZERO)
        .expect("a reader")
        .find_map(Result::err)
        .expect("it is met")
        .to_string();
    for count in THREADS {
        let error = replay(&look, 0, count).expect_err("a hole").to_string();
        assert_eq!(error, expected);
    }
    let behind = positions.iter().find(|at| at.segment_id.get() == 3);
    assert_replays(&look, behind.expect("a third segment").lsn.get());
}

#[test]
fn an_unreadable_segment_is_an_error() {
    let (machine, _) = closed();
    let wal = machine.open();
    machine.storage.inject(
        Fault::error(SystemError::Io)
            .on(OperationKind::Read)
            .in_file(&segment(2)),
    );
    assert!(matches!(replay(&wal, 0, 2), Err(Error::Io { .. })));
    assert_replays(&wal, 0);
}

#[test]
fn records_that_are_removed_meanwhile_are_never_mixed_with_those_that_get_their_lsns() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=300);
    for (kept, count) in [(150, 1), (40, 1), (150, 2), (40, 2)] {
        let last = wal.last_lsn().get();
        let done = AtomicBool::new(false);
        let outcome = wal.replay(
            Lsn::ZERO,
            threads(count),
            || (),
            |(), _, position| {
                if position.lsn.get() > 200 && !done.swap(true, Ordering::SeqCst) {
                    wal.truncate_after(Lsn::new(kept)).expect("truncated");
                    append(&wal, kept + 1..=300);
                }
            },
        );
        assert!(done.into_inner());
        match outcome {
            Err(Error::Truncated {
                kept: Some(found), ..
            }) => assert_eq!(found.get(), kept),
            other => panic!("of {last}: expected to be told, got {other:?}"),
        }
        assert_replays(&wal, 0);
    }
    assert_holds(&wal, 1..=300);
}

/// The same between two segments, where no reader of a segment can know.
#[test]
fn records_that_are_removed_between_two_segments_are_not_mixed_either() {
    for kept in [150, 40] {
        let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=300);
        let segments = replay(&wal, 0, 1).expect("a replay");
        let behind = |segment: &Read| segment.first().is_some_and(|(lsn, _)| *lsn > 200);
        let at = segments.iter().position(behind).expect("a later segment");
        let begun = AtomicUsize::new(0);
        let outcome = wal.replay(
            Lsn::ZERO,
            threads(1),
            || {
                if begun.fetch_add(1, Ordering::SeqCst) == at {
                    wal.truncate_after(Lsn::new(kept)).expect("truncated");
                    append(&wal, kept + 1..=300);
                    wal.sync().expect("synced");
                }
            },
            |(), _, _| {},
        );
        match outcome {
            Err(Error::Truncated {
                kept: Some(found), ..
            }) => assert_eq!(found.get(), kept),
            other => panic!("expected to be told, got {other:?}"),
        }
        assert_replays(&wal, 0);
    }
}

#[test]
fn records_that_are_dropped_at_the_front_meanwhile_are_read_or_missed_aloud() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=300);
    let done = AtomicBool::new(false);
    // On one thread the first segment is open by then, and the others are not.
    let outcome = wal.replay(
        Lsn::ZERO,
        threads(1),
        || (),
        |(), _, _| {
            if !done.swap(true, Ordering::SeqCst) {
                wal.truncate_before(Lsn::new(250)).expect("truncated");
            }
        },
    );
    assert!(matches!(outcome, Err(Error::Truncated { first, kept: None }) if first.get() == 250));
    assert_eq!(read_all(&wal).expect("read")[0].0, 250);
}

#[test]
fn a_poisoned_log_is_not_replayed_behind_what_is_durable() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=5);
    wal.sync().expect("synced");
    append(&wal, 6..=9);
    wal.flush().expect("flushed");
    machine
        .storage
        .inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    assert!(wal.sync().is_err());
    assert!(matches!(replay(&wal, 0, 2), Err(Error::Poisoned(_))));
}
