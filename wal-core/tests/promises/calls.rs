//! The calls beside append: sync, flush, waiting; LSNs and positions.

use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, Lsn, Position, Record, RecordRef, SegmentId};
use wal_io::fault::OperationKind;

use crate::common::trace::{Trace, segment};
use crate::common::{
    Machine, SMALL, WINDOW, append, assert_holds, batch, large, payload, policies,
};

#[test]
fn sync_makes_all_appended_before_durable() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=200);
        wal.sync().expect("synced");
        assert_eq!(wal.durable_lsn().get(), 200);
        machine.lose_unsynced();
        assert_holds(&machine.open(), 1..=200);
    }
}

#[test]
fn flush_survives_a_kill() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=200);
        wal.flush().expect("flushed");
        machine.kill();
        assert_holds(&machine.open(), 1..=200);
    }
}

#[test]
fn a_durable_lsn_implies_that_every_smaller_one_is_across_segments() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        let mut n = 0;
        // Just into the second segment, of which the first was not synced yet.
        while wal.list_segments().expect("segments").len() < 2 {
            n += 1;
            append(&wal, n..=n);
        }
        wal.durable()
            .append(RecordRef::data(&payload(n + 1)))
            .expect("appended");
        machine.lose_unsynced();
        assert_holds(&machine.open(), 1..=n + 1);
    }
}

#[test]
fn lsns_are_dense_from_one() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        assert_eq!(wal.current_position().lsn, Lsn::FIRST);
        append(&wal, 1..=50);
        let appended = wal.append_batch(&batch(51..=60)).expect("appended");
        assert_eq!(
            (appended.first.lsn.get(), appended.last_lsn.get()),
            (51, 60)
        );
        append(&wal, 61..=250);
        assert!(wal.list_segments().expect("segments").len() > 1);
        wal.close().expect("closed");
        // And go on where they were.
        let wal = machine.open();
        assert_eq!(wal.current_position().lsn.get(), 251);
        append(&wal, 251..=260);
        assert_holds(&wal, 1..=260);
    }
}

#[test]
fn a_refused_record_takes_no_lsn() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=3);
    let refused = wal.append(RecordRef::data(&large(4, 10_000)));
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
    let refused = wal.append_batch(&batch(4..=400));
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
    append(&wal, 4..=5);
    assert_holds(&wal, 1..=5);
}

#[test]
fn an_empty_batch_appends_nothing() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=2);
    let appended = wal
        .append_batch::<Record>(&[])
        .expect("nothing is appended");
    assert_eq!((appended.first.lsn.get(), appended.last_lsn.get()), (3, 2));
    append(&wal, 3..=3);
    assert_holds(&wal, 1..=3);
}

#[test]
fn current_position_is_where_the_next_record_goes() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    for n in 1..=20 {
        let next = wal.current_position();
        let position = wal.append(RecordRef::data(&payload(n))).expect("appended");
        assert_eq!(position, next);
        if n % 5 == 0 {
            wal.flush().expect("flushed");
        }
    }
}

#[test]
fn a_position_leads_to_its_record() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        let positions = appended_at(&wal, 1..=200);
        assert_all_found(&wal, &positions);
    }
}

fn appended_at(wal: &Wal, lsns: std::ops::RangeInclusive<u64>) -> Vec<Position> {
    lsns.map(|n| wal.append(RecordRef::data(&payload(n))).expect("appended"))
        .collect()
}

/// From each position on, all records to the end are read, each once.
fn assert_all_found(wal: &Wal, positions: &[Position]) {
    let last = positions.last().expect("a position").lsn.get();
    for position in positions {
        let reader = wal.read_from(*position).expect("a reader");
        let mut next = position.lsn.get();
        for step in reader {
            let (record, found) = step.expect("a record");
            assert_eq!(found.lsn.get(), next, "from {position}");
            assert_eq!(record.value, payload(next), "from {position}");
            next += 1;
        }
        assert_eq!(next, last + 1, "from {position}");
    }
}

#[test]
fn a_position_that_moved_is_resolved_by_lsn() {
    let mut machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    let mut positions = appended_at(&wal, 1..=5);
    wal.sync().expect("synced");
    positions.extend(appended_at(&wal, 6..=10));
    wal.flush().expect("flushed");
    machine.kill();
    // Proven are 1 to 5 at most: the others are copied to a new segment, and lie in the old one as well.
    let wal = machine.open();
    let report = wal.recovery_report();
    assert!(report.unproven >= 5, "{report:?}");
    assert_all_found(&wal, &positions);
    let mut reader = wal.read_from(positions[9]).expect("a reader");
    let (_, found) = reader.next_record().expect("read").expect("a record");
    assert_ne!(found.segment_id, positions[9].segment_id);
    // The old place now belongs to nobody, also after more was appended.
    positions.extend(appended_at(&wal, 11..=20));
    assert_all_found(&wal, &positions);
}

#[test]
fn a_position_whose_hint_is_wrong_is_resolved_by_lsn() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    let positions = appended_at(&wal, 1..=200);
    wal.flush().expect("flushed");
    for (at, position) in positions.iter().enumerate() {
        let other = positions[(at * 31 + 7) % positions.len()];
        let wrong = [
            Position {
                offset: other.offset,
                ..*position
            },
            Position {
                segment_id: other.segment_id,
                ..*position
            },
            Position {
                segment_id: SegmentId::new(999),
                ..*position
            },
            Position {
                offset: u64::MAX.into(),
                ..*position
            },
            Position {
                offset: 0.into(),
                ..*position
            },
        ];
        for hint in wrong {
            let mut reader = wal.read_from(hint).expect("a reader");
            let (record, found) = reader.next_record().expect("read").expect("a record");
            assert_eq!(found, *position, "by {hint}");
            assert_eq!(record.value, payload(position.lsn.get()));
        }
    }
}

#[test]
fn wait_durable_of_an_lsn_never_given_is_an_error() {
    for policy in policies() {
        let machine = Machine::new(policy);
        let wal = machine.open();
        append(&wal, 1..=3);
        for never in [4, 5, u64::MAX] {
            match wal.wait_durable(Lsn::new(never)) {
                Err(Error::NotAppended { lsn, next }) => {
                    assert_eq!((lsn.get(), next.get()), (never, 4));
                }
                other => panic!("{other:?}"),
            }
        }
        wal.wait_durable(Lsn::new(3)).expect("durable");
    }
}

#[test]
fn wait_durable_starts_a_sync_under_os() {
    let mut machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=3);
    wal.wait_durable(Lsn::new(2)).expect("durable");
    assert!(wal.durable_lsn().get() >= 2);
    machine.lose_unsynced();
    assert!(machine.open().last_lsn().get() >= 2);
}

#[test]
fn wait_durable_of_what_is_durable_starts_no_sync() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=3);
    wal.sync().expect("synced");
    append(&wal, 4..=4);
    machine.storage.record_operations();
    wal.wait_durable(Lsn::new(3)).expect("durable");
    assert_eq!(Trace::of(&machine.storage).0, []);
}

#[test]
fn wait_durable_waits_for_the_timer_or_syncs_under_batch() {
    let mut machine = Machine::new(FsyncPolicy::Batch(WINDOW));
    let wal = machine.open();
    append(&wal, 1..=1);
    wal.wait_durable(Lsn::new(1)).expect("durable");
    machine.lose_unsynced();
    assert_holds(&machine.open(), 1..=1);
}

#[test]
fn a_durable_append_overrides_the_policy() {
    for policy in policies() {
        let mut machine = Machine::new(policy);
        let wal = machine.open();
        append(&wal, 1..=4);
        wal.durable()
            .append(RecordRef::data(&payload(5)))
            .expect("appended");
        assert_eq!(wal.durable_lsn().get(), 5);
        append(&wal, 6..=6);
        let batch = [payload(7), payload(8)];
        wal.durable().append_batch(&batch).expect("appended");
        machine.lose_unsynced();
        assert_holds(&machine.open(), 1..=8);
    }
}

#[test]
fn text_or_bytes_alone_are_data() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    wal.append("text").expect("appended");
    wal.append(&String::from("text")).expect("appended");
    wal.append(b"text").expect("appended");
    wal.append(&vec![b't', b'e', b'x', b't']).expect("appended");
    wal.append_batch(&["text", "text"]).expect("appended");
    let read: Result<Vec<_>, _> = wal.read_from(0).expect("a reader").collect();
    let read = read.expect("records");
    assert_eq!(read.len(), 6);
    assert!(
        read.iter()
            .all(|(record, _)| *record == Record::data("text"))
    );
}

#[test]
fn always_is_one_write_and_one_sync_for_an_append() {
    let machine = Machine::new(FsyncPolicy::Always);
    let wal = machine.open();
    append(&wal, 1..=1);
    machine.storage.record_operations();
    append(&wal, 2..=21);
    let trace = Trace::of(&machine.storage);
    assert_eq!(trace.count_in(OperationKind::Write, &segment(1)), 20);
    assert_eq!(trace.count_in(OperationKind::SyncData, &segment(1)), 20);
    assert_eq!(trace.0.len(), 40);
}

#[test]
fn an_idle_log_gets_a_stamp_that_proves_its_end() {
    for policy in [FsyncPolicy::Always, FsyncPolicy::Batch(WINDOW)] {
        let mut machine = Machine::new(policy);
        let wal = machine.open();
        append(&wal, 1..=5);
        machine.pass(&wal, WINDOW);
        machine.pass(&wal, Duration::from_secs(1));
        machine.lose_unsynced();
        let wal = machine.open();
        let report = wal.recovery_report();
        assert_eq!((report.proven_lsn.get(), report.unproven), (5, 0));
        assert_holds(&wal, 1..=5);
    }
}

#[test]
fn a_sync_that_finds_all_durable_does_nothing() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=2);
    wal.sync().expect("synced");
    machine.storage.record_operations();
    wal.sync().expect("synced");
    wal.flush().expect("flushed");
    assert_eq!(Trace::of(&machine.storage).0, []);
}
