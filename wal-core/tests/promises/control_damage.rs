//! Damage never brings an older control state back in silence, and no removal of files takes the newest one away.

use std::sync::Arc;
use std::time::Duration;

use wal_core::Offline;
use wal_core::blocking::Wal;
use wal_core::{
    ControlChange, Error, FormatVersion, FsyncPolicy, Lsn, RecordRef, RepairMode, Result,
};
use wal_format::{GroupKind, HEADER_LEN, UnixMillis};
use wal_io::Storage;

use super::control::{builder, change, consumer, last_group, open, shown, zero};
use super::in_place::groups;
use crate::common::trace::segment;
use crate::common::{Machine, SMALL, append, payload, read_all};

fn try_open(machine: &Machine) -> Result<Wal> {
    builder(machine).format_version(FormatVersion::V2).open()
}

fn repair(machine: &Machine) {
    let storage = Arc::new(machine.storage.clone());
    Offline::on(storage)
        .repair(RepairMode::Apply)
        .expect("repaired");
}

fn storage(machine: &Machine) -> Arc<dyn Storage> {
    Arc::new(machine.storage.clone())
}

/// Retention is refused, and nothing is removed by it.
#[track_caller]
fn is_stopped(machine: &Machine, wal: &Wal) {
    let first = wal.first_lsn();
    for outcome in [
        wal.truncate_before(wal.last_lsn()),
        wal.truncate_before(first),
        wal.change_control(&[ControlChange::Term(1000)]),
    ] {
        assert!(
            matches!(outcome, Err(Error::ControlLost { .. })),
            "{outcome:?}"
        );
    }
    assert_eq!(wal.first_lsn(), first);
    assert!(wal.control().expect("the state").lost.is_some());
    // Everything else goes on.
    wal.durable()
        .append(RecordRef::data(&payload(1)))
        .expect("appended");
    assert_eq!(machine.verify().expect("verified").damage().count(), 0);
}

/// A log of three segments, killed or closed; its state was set in each of them.
fn with_state(closed: bool) -> Machine {
    let mut machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    // A group's time tells its version where the header is damaged.
    machine.clock.set_wall(UnixMillis::new(1_800_000_000_000));
    let wal = open(&machine);
    let mut term = 0;
    while machine.segments().len() < 3 {
        let last = wal.last_lsn().get();
        append(&wal, last + 1..=last + 10);
        term += 1;
        let at = consumer(&wal, "a", last + 5);
        change(&wal, &[ControlChange::Term(term), at]);
    }
    machine.pass(&wal, Duration::from_secs(1));
    if closed {
        wal.close().expect("closed");
    } else {
        machine.kill();
    }
    drop(wal);
    machine
}

#[test]
fn damage_never_brings_an_older_state_back_in_silence() {
    for closed in [false, true] {
        let image = with_state(closed).storage.image();
        let machine = || Machine::holding(&image, FsyncPolicy::Always).segments_of(SMALL);
        let newest = shown(&open(&machine()));
        let (mut lost, mut kept) = (0, 0);
        for (name, bytes) in machine().segments() {
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
            let places = (0..used as u64).step_by(24).map(Some);
            for place in places.chain([None]) {
                let case = format!("{closed}, {name}, {place:?}");
                let machine = machine();
                match place {
                    Some(at) => machine.storage.flip_bits(&name, at * 8, 3),
                    None => machine.storage.remove_file(&name),
                }
                .expect("the file is there");
                let mut was_repaired = false;
                let wal = match try_open(&machine) {
                    Err(Error::Corruption(_) | Error::MissingSegment { .. }) => {
                        repair(&machine);
                        was_repaired = true;
                        try_open(&machine).expect(&case)
                    }
                    opened => opened.expect(&case),
                };
                let state = wal.control().expect("the state");
                if state.lost.is_none() {
                    assert_eq!(shown(&wal), newest, "{case}");
                    kept += 1;
                    continue;
                }
                assert!(was_repaired, "{case}");
                lost += 1;
                is_stopped(&machine, &wal);
                // A clean stop does not make it whole, nor does another segment.
                wal.close().expect("closed");
                let refused = Offline::on(storage(&machine)).truncate_before(Lsn::new(10));
                assert!(matches!(refused, Err(Error::ControlLost { .. })), "{case}");
                let wal = open(&machine);
                is_stopped(&machine, &wal);
                let at = ("b".to_owned(), wal.cursor(wal.durable_lsn()).expect("one"));
                let lower = wal.set_control(state.term.saturating_sub(1), &[]);
                assert_eq!(lower.is_err(), state.term > 0, "{case}: {lower:?}");
                wal.set_control(100, &[at]).expect("set");
                let expected = format!("100 b:{}", wal.last_lsn());
                assert_eq!(shown(&wal), expected);
                wal.truncate_before(wal.last_lsn()).expect("truncated");
                wal.close().expect("closed");
                let wal = open(&machine);
                assert_eq!(shown(&wal), expected, "{case}");
                assert_eq!(wal.control().expect("the state").lost, None);
            }
        }
        // The footer of a closed log has all of it.
        let least = if closed { 1 } else { 20 };
        assert!(lost >= least && kept > 200, "{lost} lost, {kept} kept");
    }
}

#[test]
fn a_log_whose_state_was_never_used_has_none_to_lose() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = open(&machine);
    append(&wal, 1..=300);
    wal.close().expect("closed");
    let (newest, _) = machine.segments().pop().expect("a segment");
    machine.storage.remove_file(&newest).expect("removed");
    repair(&machine);
    let wal = open(&machine);
    assert_eq!(wal.control().expect("the state").lost, None);
    wal.truncate_before(Lsn::new(20)).expect("truncated");
}

#[test]
fn a_copy_without_records_is_whole_or_damaged() {
    // A kill after a change without records: the state is copied, and only that.
    let mut machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = open(&machine);
    append(&wal, 1..=10);
    change(&wal, &[ControlChange::Term(1)]);
    machine.pass(&wal, Duration::from_secs(1));
    change(&wal, &[ControlChange::Term(2)]);
    machine.kill();
    drop(wal);
    let wal = open(&machine);
    assert_eq!(shown(&wal), "2");
    let segments = wal.list_segments().expect("a list");
    assert_eq!(segments.len(), 2);
    machine.kill();
    drop(wal);
    let copy = segments[1].get();
    zero(
        &machine,
        copy,
        last_group(&machine, copy, GroupKind::Control),
    );
    assert!(matches!(try_open(&machine), Err(Error::Corruption(_))));
    repair(&machine);
    let wal = open(&machine);
    assert_eq!(read_all(&wal).expect("read").len(), 10);
    is_stopped(&machine, &wal);
}

#[test]
fn on_a_full_disk_the_newest_table_stays_until_a_later_one_is_durable() {
    for crash in 0..20_u64 {
        // The second segment gets a first step of its space, and no more.
        let mut machine = Machine::new(FsyncPolicy::Os).segments_of(2 << 20).growing();
        let wal = open(&machine);
        let record = vec![7; 100 << 10];
        let mut last = 0;
        change(&wal, &[ControlChange::Term(6), consumer(&wal, "a", 0)]);
        while machine.segments().len() < 2 {
            wal.append(RecordRef::data(&record)).expect("appended");
            wal.flush().expect("flushed");
            last += 1;
        }
        machine
            .storage
            .set_capacity(Some(machine.storage.used_space()));
        // The first segment is synced in the background, the second one is not.
        let _ = wal.drive();
        assert_eq!(wal.durable_lsn().get(), last - 1);
        while wal.append(RecordRef::data(&record)).is_ok() {}
        while wal.append(RecordRef::data(b"small")).is_ok() {}
        wal.truncate_before(Lsn::new(last)).expect("truncated");
        assert!(!machine.file_names().contains(&segment(1)), "{crash}");
        machine.storage.set_capacity(None);
        if crash == 0 {
            machine.lose_unsynced();
        } else {
            machine.crash(crash);
        }
        drop(wal);
        assert_eq!(shown(&open(&machine)), "6 a:0", "{crash}");
    }
}

#[test]
fn a_closed_log_is_truncated_no_further_than_its_newest_durable_table() {
    // Killed in its second segment, of which nothing is durable.
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = open(&machine);
    append(&wal, 1..=60);
    change(&wal, &[ControlChange::Term(6)]);
    let mut last = 60;
    while machine.segments().len() < 2 {
        wal.sync().expect("synced");
        last += 1;
        append(&wal, last..=last);
        wal.flush().expect("flushed");
    }
    machine.kill();
    drop(wal);
    Offline::on(storage(&machine))
        .truncate_before(Lsn::new(last))
        .expect("truncated");
    machine.lose_unsynced();
    assert_eq!(shown(&open(&machine)), "6");
}

#[test]
fn a_segment_without_a_record_of_the_log_keeps_the_state_until_a_later_one_has_it() {
    for records in [0, 10] {
        for closed in [false, true] {
            let mut machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
            let wal = open(&machine);
            append(&wal, 1..=records);
            change(&wal, &[ControlChange::Term(1)]);
            wal.truncate_before(Lsn::new(records + 1))
                .expect("truncated");
            if closed {
                wal.close().expect("closed");
            } else {
                machine.kill();
                // What nothing proves is copied. The copy takes no records of a later session.
                drop(open(&machine));
                machine.kill();
            }
            drop(wal);
            // The next segment was begun, and of its first write the disk has the link only.
            let wal = open(&machine);
            append(&wal, records + 1..=records + 1);
            let segments = wal.list_segments().expect("a list");
            let newest = segments.last().expect("a segment").get();
            machine.kill();
            drop(wal);
            let (table, _) = last_group(&machine, newest, GroupKind::Control);
            zero(&machine, newest, (table, SMALL));
            for _ in 0..2 {
                let wal = open(&machine);
                assert_eq!(shown(&wal), "1", "{records}, {closed}");
                assert_eq!(wal.control().expect("the state").lost, None);
                machine.lose_unsynced();
                drop(wal);
            }
        }
    }
}

/// Damage to a header hides what else is damaged.
#[test]
fn a_repaired_log_is_whole_whatever_was_hidden() {
    for closed in [false, true] {
        let image = with_state(closed).storage.image();
        let machine = Machine::holding(&image, FsyncPolicy::Always);
        let segments: Vec<String> = machine.segments().into_iter().map(|it| it.0).collect();
        let headers = segments.iter().flat_map(|name| {
            let groups = groups(&machine, name);
            let offsets = groups.into_iter().map(|group| group.offset.get() + 20);
            offsets.map(move |offset| (name, offset))
        });
        for (file, offset) in headers {
            let others = segments.iter().filter(|name| *name != file);
            for (name, at) in others.flat_map(|name| [20, HEADER_LEN + 20].map(|at| (name, at))) {
                let damaged = Machine::holding(&image, FsyncPolicy::Always);
                for (name, offset) in [(file, offset), (name, at)] {
                    let flipped = damaged.storage.flip_bits(name, offset * 8, 1);
                    flipped.expect("a bit");
                }
                repair(&damaged);
                let found = damaged.verify().expect("verified");
                let left: Vec<&Error> = found.damage().collect();
                assert!(
                    left.is_empty(),
                    "{file} at {offset}, {name} at {at}: {left:?}"
                );
            }
        }
    }
}
