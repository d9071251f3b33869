//! The control state (a term and consumers) is as durable as records, and no truncation takes it away.

use std::sync::Arc;
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{
    Builder, ControlChange, ControlState, Cursor, Error, FormatVersion, FsyncPolicy, Lsn,
    RecordRef, SegmentId,
};
use wal_format::{ControlBody, FileName, GroupBody, GroupFacts, GroupKind, SegmentView};
use wal_io::fault::OperationKind;

use crate::common::trace::segment;
use crate::common::{Machine, SMALL, WINDOW, append, assert_holds, payload, policies, read_all};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn builder(machine: &Machine) -> Builder<Wal> {
    Wal::builder("log")
        .storage(Arc::new(machine.storage.clone()))
        .config(machine.config.clone())
        .clock(Arc::new(machine.clock.clone()))
        // Small segments have no room for control state beside the largest record that would fit.
        .record_limit(machine.config.max_segment_size / 8)
        .small_segments()
        .driven_by_caller()
}

pub(super) fn open(machine: &Machine) -> Wal {
    let builder = builder(machine).format_version(FormatVersion::V2);
    builder.open().expect("the log opens")
}

pub(super) fn consumer(wal: &Wal, name: &str, lsn: u64) -> ControlChange {
    ControlChange::Consumer {
        name: name.into(),
        at: wal.cursor(Lsn::new(lsn)).expect("a cursor"),
    }
}

pub(super) fn gone(name: &str) -> ControlChange {
    ControlChange::NoConsumer { name: name.into() }
}

pub(super) fn change(wal: &Wal, changes: &[ControlChange]) {
    wal.change_control(changes).expect("changed");
}

/// Term, and each consumer's LSN; `!` for one that a truncation has moved.
pub(super) fn shown(wal: &Wal) -> String {
    let state = wal.control().expect("the state");
    let mut text = vec![state.term.to_string()];
    for (name, consumer) in &state.consumers {
        if consumer.at.lsn() >= wal.first_lsn().prev() {
            wal.check_cursor(&consumer.at).expect("a valid cursor");
        }
        let moved = if consumer.moved { "!" } else { "" };
        text.push(format!("{name}:{}{moved}", consumer.at.lsn()));
    }
    text.join(" ")
}

/// The control groups of each segment that are no tables, by their numbers of changes.
fn change_groups(machine: &Machine) -> Vec<usize> {
    let mut found = Vec::new();
    for (name, bytes) in machine.segments() {
        let FileName::Segment(id) = FileName::parse(&name) else {
            continue;
        };
        let view = SegmentView::parse(&bytes, id).expect("a header");
        for group in view.groups().map_while(Result::ok) {
            if let GroupBody::Facts(GroupFacts::Control(ControlBody::Changes(changes))) = group.body
            {
                found.push(changes.len());
            }
        }
    }
    found
}

/// Where the last group of a kind starts and ends in a segment.
pub(super) fn last_group(machine: &Machine, id: u64, kind: GroupKind) -> (u64, u64) {
    let segments = machine.segments();
    let (_, bytes) = segments
        .iter()
        .find(|(name, _)| *name == segment(id))
        .expect("the segment");
    let view = SegmentView::parse(bytes, SegmentId::new(id)).expect("a header");
    let groups = view.groups().map_while(Result::ok);
    let last = groups
        .filter(|group| group.header.kind == kind)
        .last()
        .expect("such a group");
    (last.header.offset.get(), last.header.end_offset())
}

pub(super) fn zero(machine: &Machine, id: u64, (from, to): (u64, u64)) {
    let zeros = vec![0; (to - from) as usize];
    let done = machine.storage.overwrite(&segment(id), from, &zeros);
    done.expect("overwritten");
}

#[test]
fn what_was_set_is_there_after_a_close_a_kill_and_a_power_loss() {
    for policy in policies() {
        for life in 0..6_u64 {
            let mut machine = Machine::new(policy).segments_of(SMALL);
            let wal = open(&machine);
            append(&wal, 1..=40);
            wal.sync().expect("synced");
            change(&wal, &[ControlChange::Term(3), consumer(&wal, "a", 7)]);
            change(&wal, &[consumer(&wal, "b", 40), consumer(&wal, "c", 1)]);
            append(&wal, 41..=60);
            change(&wal, &[consumer(&wal, "a", 9), gone("c")]);
            wal.sync().expect("synced");
            match life % 3 {
                0 => wal.close().expect("closed"),
                1 => machine.kill(),
                _ => machine.crash(life),
            }
            drop(wal);
            let wal = open(&machine);
            assert_eq!(shown(&wal), "3 a:9 b:40", "{policy:?}, {life}");
            // Also where nothing is appended meanwhile, and over and over.
            machine.lose_unsynced();
            drop(wal);
            for _ in 0..3 {
                let wal = open(&machine);
                assert_eq!(shown(&wal), "3 a:9 b:40", "{policy:?}, {life}");
                wal.close().expect("closed");
            }
            assert_holds(&open(&machine), 1..=60);
        }
    }
}

#[test]
fn a_change_is_durable_when_the_policy_says_so() {
    // `Always`: when the call returns.
    let mut machine = Machine::new(FsyncPolicy::Always);
    for term in 1..10 {
        let wal = open(&machine);
        assert_eq!(wal.control().expect("the state").term, term - 1);
        change(&wal, &[ControlChange::Term(term)]);
        machine.lose_unsynced();
        drop(wal);
    }
    // `Batch`: within the window, also without a record.
    let mut machine = Machine::new(FsyncPolicy::Batch(WINDOW));
    let wal = open(&machine);
    append(&wal, 1..=3);
    wal.sync().expect("synced");
    change(&wal, &[ControlChange::Term(5), consumer(&wal, "a", 3)]);
    machine.pass(&wal, WINDOW);
    machine.lose_unsynced();
    drop(wal);
    assert_eq!(shown(&open(&machine)), "5 a:3");
    // `Os`: soon with the operating system, and by `flush` at once.
    for flush in [false, true] {
        let mut machine = Machine::new(FsyncPolicy::Os);
        let wal = open(&machine);
        change(&wal, &[ControlChange::Term(5)]);
        if flush {
            wal.flush().expect("flushed");
        } else {
            machine.pass(&wal, Duration::from_millis(1));
        }
        machine.kill();
        drop(wal);
        assert_eq!(shown(&open(&machine)), "5");
    }
}

#[test]
fn changes_between_two_syncs_share_a_group_and_leave_the_group_of_records_open() {
    let machine = Machine::new(FsyncPolicy::Batch(WINDOW));
    let wal = open(&machine);
    append(&wal, 1..=1);
    wal.sync().expect("synced");
    machine.storage.record_operations();
    for n in 2..=50 {
        append(&wal, n..=n);
        change(&wal, &[consumer(&wal, "a", 1), consumer(&wal, "b", 0)]);
        change(&wal, &[ControlChange::Term(n)]);
    }
    wal.sync().expect("synced");
    let operations = machine.storage.operations();
    let count = |kind| operations.iter().filter(|done| done.kind == kind).count();
    assert_eq!(
        (count(OperationKind::Write), count(OperationKind::SyncData)),
        (1, 1)
    );
    // The last value of each counts.
    assert_eq!(change_groups(&machine), [3]);
    let (from, to) = last_group(&machine, 1, GroupKind::Records);
    assert!(to - from > 49 * payload(2).len() as u64);
    wal.close().expect("closed");
    assert_eq!(shown(&open(&machine)), "50 a:1 b:0");
}

#[test]
fn what_cannot_be_set_is_refused_and_changes_nothing() {
    let machine = Machine::new(FsyncPolicy::Os);
    let one = builder(&machine).format_version(FormatVersion::V1);
    let wal = one.open().expect("opened");
    append(&wal, 1..=1);
    let error = wal.change_control(&[ControlChange::Term(1)]);
    let Err(Error::OldVersion {
        version, needed, ..
    }) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((version, needed), (1, 2));
    assert_eq!(wal.control().expect("none"), ControlState::default());
    wal.close().expect("closed");

    let wal = open(&machine);
    append(&wal, 2..=20);
    wal.sync().expect("synced");
    change(&wal, &[ControlChange::Term(7), consumer(&wal, "a", 20)]);
    let removed = consumer(&wal, "b", 19);
    wal.truncate_after(Lsn::new(15)).expect("truncated");
    append(&wal, 16..=19);
    wal.sync().expect("synced");
    append(&wal, 20..=20);
    let refused = |change: ControlChange| {
        // With one that would be possible: all or nothing.
        let changes = [consumer(&wal, "fine", 3), change];
        let error = wal.change_control(&changes).expect_err("refused");
        assert_eq!(shown(&wal), "7 a:15!", "{error}");
        error
    };
    let not_durable = refused(consumer(&wal, "b", 20));
    assert!(
        matches!(not_durable, Error::NotDurable { lsn, durable } if lsn.get() == 20 && durable.get() == 19)
    );
    let cut = refused(removed);
    assert!(matches!(cut, Error::Truncated { kept: Some(kept), .. } if kept.get() == 15));
    let other: Cursor = format!("{}:3:{}", "ab".repeat(16), "0".repeat(16))
        .parse()
        .expect("a cursor");
    let name = "b".to_owned();
    let other = refused(ControlChange::Consumer { name, at: other });
    assert!(matches!(other, Error::OtherLog { .. }));
    for change in [
        ControlChange::Term(6),
        consumer(&wal, "", 3),
        consumer(&wal, &"x".repeat(65), 3),
        gone(""),
    ] {
        let error = refused(change);
        assert!(matches!(error, Error::InvalidControl { .. }), "{error}");
    }
    // The file has 64 KiB: the table a sixteenth of that.
    let many: Vec<_> = (0..200)
        .map(|n| consumer(&wal, &format!("consumer {n}"), 3))
        .collect();
    let error = wal.change_control(&many).expect_err("refused");
    assert!(
        matches!(error, Error::TooLarge { limit: 4096, .. }),
        "{error}"
    );
    let fits = many.len() / 3;
    change(&wal, &many[..fits]);
    wal.close().expect("closed");
    let wal = open(&machine);
    assert_eq!(wal.control().expect("the state").consumers.len(), fits + 1);
    wal.close().expect("closed");
    assert!(matches!(
        wal.change_control(&[ControlChange::Term(9)]),
        Err(Error::Closed)
    ));
    let look = machine.look().expect("a reader");
    assert_eq!(look.control().expect("the state").term, 7);
    assert!(matches!(
        look.change_control(&[ControlChange::Term(9)]),
        Err(Error::ReadOnly)
    ));
}

#[test]
fn opening_a_closed_log_reads_a_thousand_consumers_and_nothing_else_more() {
    let reads = |consumers: usize| {
        let machine = Machine::new(FsyncPolicy::Os).segments_of(2 << 20);
        let wal = open(&machine);
        append(&wal, 1..=500);
        wal.sync().expect("synced");
        let name = |n: usize| format!("{n:064}");
        let changes: Vec<_> = (0..consumers)
            .map(|n| consumer(&wal, &name(n), n as u64 % 500))
            .collect();
        change(&wal, &changes);
        append(&wal, 501..=600);
        wal.close().expect("closed");
        machine.storage.record_operations();
        let wal = open(&machine);
        let operations = machine.storage.operations();
        let reads: Vec<u64> = operations
            .iter()
            .filter(|done| done.kind == OperationKind::Read)
            .map(|done| done.result.expect("read"))
            .collect();
        let state = wal.control().expect("the state");
        assert_eq!(state.consumers.len(), consumers);
        for n in 0..consumers {
            assert_eq!(state.consumers[&name(n)].at.lsn().get(), n as u64 % 500);
        }
        (reads.len(), reads.iter().sum::<u64>())
    };
    let (without, with) = (reads(0), reads(1000));
    assert_eq!(without.0, with.0, "as many reads");
    assert_eq!(with.1 - without.1, 1000 * (4 + 24 + 64), "the table");
}

#[test]
fn a_truncation_of_the_newest_records_moves_consumers_back_once() {
    for policy in policies() {
        for end in 0..3 {
            let mut machine = Machine::new(policy).segments_of(SMALL);
            let wal = open(&machine);
            append(&wal, 1..=400);
            wal.sync().expect("synced");
            let all = [
                ControlChange::Term(2),
                consumer(&wal, "ahead", 390),
                consumer(&wal, "behind", 30),
                consumer(&wal, "there", 300),
            ];
            change(&wal, &all);
            wal.truncate_after(Lsn::new(300)).expect("truncated");
            let moved = "2 ahead:300! behind:30 there:300";
            assert_eq!(shown(&wal), moved, "{policy:?}");
            match end {
                0 => wal.close().expect("closed"),
                1 => machine.kill(),
                _ => machine.lose_unsynced(),
            }
            drop(wal);
            let wal = open(&machine);
            assert_eq!(shown(&wal), moved, "{policy:?}, {end}");
            // Who was told goes on, and is not told again.
            append(&wal, 301..=310);
            wal.sync().expect("synced");
            change(&wal, &[consumer(&wal, "ahead", 300)]);
            wal.truncate_after(Lsn::new(305)).expect("truncated");
            assert_eq!(shown(&wal), "2 ahead:300 behind:30 there:300");
            wal.truncate_after(Lsn::ZERO).expect("truncated");
            assert_eq!(shown(&wal), "2 ahead:0! behind:0! there:0!");
        }
    }
}

#[test]
fn every_segment_takes_the_state_over() {
    let mut machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let mut last = 0;
    for life in 0..12 {
        let wal = open(&machine);
        if life > 0 {
            let expected = format!("{life} a:{} b:{}", last - 1, last - 20);
            assert_eq!(shown(&wal), expected);
        }
        append(&wal, last + 1..=last + 40);
        last += 40;
        let changes = [
            consumer(&wal, "a", last - 1),
            consumer(&wal, "b", last - 20),
        ];
        change(&wal, &changes);
        change(&wal, &[ControlChange::Term(life + 1)]);
        // Each session has its own segments, and so do full ones.
        if life % 3 == 2 {
            wal.truncate_before(Lsn::new(last - 50)).expect("truncated");
        }
        match life % 4 {
            0 => wal.close().expect("closed"),
            1 => machine.kill(),
            _ => machine.lose_unsynced(),
        }
        drop(wal);
    }
    let segments = open(&machine).list_segments().expect("a list");
    assert!(segments.last().is_some_and(|newest| newest.get() > 12));
}

#[test]
fn a_log_of_version_1_has_control_state_from_its_first_segment_of_version_2_on() {
    let mut machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let one = || builder(&machine).format_version(FormatVersion::V1);
    let wal = one().open().expect("opened");
    append(&wal, 1..=300);
    wal.close().expect("closed");
    let wal = open(&machine);
    assert_eq!(shown(&wal), "0");
    change(&wal, &[consumer(&wal, "a", 300), ControlChange::Term(1)]);
    machine.lose_unsynced();
    drop(wal);
    let wal = open(&machine);
    assert_eq!(shown(&wal), "1 a:300");
    // Back into records of version 1.
    wal.truncate_after(Lsn::new(100)).expect("truncated");
    assert_eq!(shown(&wal), "1 a:100!");
    machine.lose_unsynced();
    drop(wal);
    assert_eq!(shown(&open(&machine)), "1 a:100!");
}

#[test]
fn what_an_open_has_shown_survives_the_next_power_loss() {
    for rotated in [false, true] {
        let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
        let wal = open(&machine);
        append(&wal, 1..=20);
        wal.sync().expect("synced");
        change(&wal, &[ControlChange::Term(4), consumer(&wal, "a", 20)]);
        if rotated {
            // The next segment begins with the state, and no record of it is durable.
            let before = machine.segments().len();
            let mut n = 21;
            while machine.segments().len() == before {
                append(&wal, n..=n);
                wal.flush().expect("flushed");
                n += 1;
            }
        }
        wal.flush().expect("flushed");
        machine.kill();
        drop(wal);
        let wal = open(&machine);
        assert_eq!(shown(&wal), "4 a:20");
        machine.lose_unsynced();
        drop(wal);
        assert_eq!(shown(&open(&machine)), "4 a:20", "{rotated}");
    }
}

#[test]
fn a_change_at_the_end_of_a_segment_may_be_lost_though_the_next_segment_is_there() {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = open(&machine);
    append(&wal, 1..=1);
    change(&wal, &[ControlChange::Term(3)]);
    wal.sync().expect("synced");
    // A change fits into the segment, and the next record does not.
    let record = vec![7; 1000];
    let mut last = 1;
    while last_group(&machine, 1, GroupKind::Records).1 < 5900 {
        last += 1;
        wal.append(RecordRef::data(&record[..100]))
            .expect("appended");
        wal.sync().expect("synced");
    }
    change(&wal, &[ControlChange::Term(4)]);
    wal.flush().expect("flushed");
    let of_change = last_group(&machine, 1, GroupKind::Control);
    wal.append(RecordRef::data(&record)).expect("appended");
    wal.flush().expect("flushed");
    assert_eq!(machine.segments().len(), 2);
    // Of what no sync has covered the disk has the next segment, and not the end of this one.
    machine.kill();
    drop(wal);
    zero(&machine, 1, of_change);
    let image = machine.storage.image();
    for table_lost in [false, true] {
        let mut machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
        if table_lost {
            zero(&machine, 2, last_group(&machine, 2, GroupKind::Control));
        }
        let (state, records) = if table_lost {
            ("3", last)
        } else {
            ("4", last + 1)
        };
        for _ in 0..2 {
            let wal = open(&machine);
            assert_eq!(shown(&wal), state);
            assert_eq!(wal.control().expect("the state").lost, None);
            assert_eq!(read_all(&wal).expect("read").len() as u64, records);
            machine.lose_unsynced();
            drop(wal);
        }
    }
}

#[test]
fn segments_become_long_enough_for_the_control_state_that_is_there() {
    let mut machine = Machine::new(FsyncPolicy::Always).segments_of(256 << 10);
    let wal = open(&machine);
    append(&wal, 1..=10);
    let many: Vec<_> = (0..200)
        .map(|n| consumer(&wal, &format!("{n:030}"), 3))
        .collect();
    change(&wal, &many);
    wal.close().expect("closed");
    machine.config.max_segment_size = SMALL;
    for life in 0..5 {
        let wal = open(&machine);
        assert_eq!(wal.control().expect("the state").consumers.len(), 200);
        assert!(wal.segment_size() > 200 * 58 * 16);
        let first = 11 + 500 * life;
        append(&wal, first..=first + 499);
        wal.close().expect("closed");
        assert_eq!(machine.verify().expect("verified").damage().count(), 0);
    }
    let wal = open(&machine);
    assert_holds(&wal, 1..=2510);
    // Without them they are as short as was asked for.
    let names: Vec<_> = (0..200).map(|n| gone(&format!("{n:030}"))).collect();
    change(&wal, &names);
    wal.close().expect("closed");
    assert_eq!(open(&machine).segment_size(), SMALL);
}

#[test]
fn an_idle_log_proves_its_last_change() {
    // Nothing after it but the stamp of an idle log says that it was durable.
    for stamped in [false, true] {
        let mut machine = Machine::new(FsyncPolicy::Always);
        let wal = open(&machine);
        append(&wal, 1..=10);
        machine.pass(&wal, SECOND);
        change(&wal, &[ControlChange::Term(4)]);
        if stamped {
            machine.pass(&wal, SECOND);
        }
        machine.kill();
        drop(wal);
        zero(&machine, 1, last_group(&machine, 1, GroupKind::Control));
        let opened = builder(&machine).format_version(FormatVersion::V2).open();
        match opened {
            Err(Error::Corruption(_)) => assert!(stamped),
            Ok(wal) => assert!(!stamped && shown(&wal) == "0"),
            Err(error) => panic!("{error}"),
        }
    }
}
