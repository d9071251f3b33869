//! In version 2 of the format, a repair writes damaged segments anew in their places and touches no other: damage costs its own
//! segment, whatever the log's length.

use std::collections::BTreeMap;
use std::sync::Arc;

use wal_core::{
    Cursor, Error, FormatVersion, FsyncPolicy, Lsn, Record, RecordRef, RecoveryMode, RepairMode,
    RepairOptions, RepairReport,
};
use wal_format::{
    FileName, GroupBody, GroupFacts, GroupHeader, GroupKind, Origin, SegmentId, SegmentView,
};
use wal_io::fault::{Chooser, Fault, Image, Moment, Seeded};

use super::repair::{Harm, directory, is_repaired};
use super::salvage::skip_all;
use crate::common::trace::segment;
use crate::common::{Machine, SMALL, append, is_segment, large, payload};

pub(super) fn machine() -> Machine {
    Machine::new(FsyncPolicy::Os)
        .segments_of(SMALL)
        .in_version(FormatVersion::V2)
}

pub(super) fn holding(image: &Image) -> Machine {
    Machine::holding(image, FsyncPolicy::Os)
        .segments_of(SMALL)
        .in_version(FormatVersion::V2)
}

/// Numbers below a bound.
fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut seeded = Seeded::new(seed);
    move |below| u64::from(seeded.choose(below.max(2) as u32)) % below.max(1)
}

/// A log of several sessions: records of many lengths, batches, truncations at both ends, clean and unclean ends.
fn some_log(seed: u64) -> Image {
    let mut machine = machine();
    let mut below = random(seed);
    for session in 0..4 {
        let wal = machine.open();
        for _ in 0..below(60) {
            let next = wal.last_lsn().get() + 1;
            match below(8) {
                0 => {
                    let batch = next..=next + below(6);
                    let batch: Vec<Record> = batch.map(|n| Record::data(payload(n))).collect();
                    wal.append_batch(&batch).map(drop)
                }
                1 => {
                    let len = 200 + below(1500) as usize;
                    wal.append(RecordRef::data(&large(next, len))).map(drop)
                }
                2 => wal.flush(),
                _ => wal.append(RecordRef::data(&payload(next))).map(drop),
            }
            .expect("done");
        }
        let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
        if session == 2 && last > first + 20 {
            match below(3) {
                0 => wal.truncate_before(Lsn::new(first + below(20))),
                1 => wal.truncate_after(Lsn::new(last - below(20))),
                _ => Ok(()),
            }
            .expect("truncated");
        }
        if below(3) == 0 && session < 3 {
            wal.sync().expect("synced");
            machine.kill();
            drop(wal);
        } else {
            wal.close().expect("closed");
        }
    }
    machine.storage.image()
}

/// A closed log of five segments or more, in groups of eight.
pub(super) fn closed() -> Image {
    let machine = machine();
    for session in 0..2 {
        let wal = machine.open();
        for n in session * 150 + 1..=(session + 1) * 150 {
            append(&wal, n..=n);
            if n % 8 == 0 {
                wal.flush().expect("flushed");
            }
        }
        wal.close().expect("closed");
    }
    assert!(machine.segments().len() > 4);
    machine.storage.image()
}

fn closed_names() -> Vec<String> {
    let machine = holding(&closed());
    let names = machine.segments().into_iter().map(|(name, _)| name);
    names.collect()
}

/// All cursors of the log.
fn cursors(image: &Image) -> Vec<Cursor> {
    let wal = holding(image).open();
    let lsns = wal.first_lsn().get()..=wal.last_lsn().get();
    lsns.map(|lsn| wal.cursor(Lsn::new(lsn)).expect("a cursor"))
        .collect()
}

fn used(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1
}

/// Flips a bit of the byte at `at`.
fn flip(machine: &Machine, name: &str, at: u64) {
    Harm::Flip(name.to_owned(), at).inflict(machine);
}

/// Damages a record in the middle of the segment.
pub(super) fn damage(machine: &Machine, name: &str) {
    let groups = groups(machine, name);
    let records = groups
        .iter()
        .filter(|group| group.kind == GroupKind::Records);
    let records: Vec<_> = records.collect();
    let middle = records.get(records.len() / 2);
    let link = wal_format::HEADER_LEN + 4;
    let at = middle.map_or(link, |group| group.payload_offset().get() + 7);
    flip(machine, name, at);
}

/// The header of a segment.
fn header(machine: &Machine, name: &str) -> wal_format::SegmentHeader {
    let image = machine.storage.image();
    let FileName::Segment(id) = FileName::parse(name) else {
        panic!("{name} is no segment");
    };
    let bytes = image.get(name).expect("a file");
    *SegmentView::parse(bytes, id).expect("a header").header()
}

#[test]
fn bad_bytes_cost_their_records_and_their_segments() {
    let (mut middle, mut newest_too, mut several, mut histories) = (0, 0, 0, 0);
    for seed in 0..400 {
        let image = some_log(seed);
        let whole = skip_all(&holding(&image), "whole");
        let saved = cursors(&image);
        let machine = holding(&image);
        let mut below = random(seed + 1_000_000);
        let names: Vec<String> = machine
            .segments()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let (mut hit, mut flips) = (Vec::new(), Vec::new());
        let bad = 1 + below(3);
        for _ in 0..bad {
            let name = names[below(names.len() as u64) as usize].clone();
            let at = below(used(image.get(&name).expect("a file")));
            flip(&machine, &name, at);
            flips.push((name.clone(), at));
            hit.push(name);
        }
        hit.sort();
        hit.dedup();
        let case = format!("seed {seed}: {flips:?}");
        let before = skip_all(&machine, &case);
        assert!(before.lost() <= bad, "{case}: {:?}", before.gaps);
        for (lsn, value) in &before.records {
            assert_eq!(whole.records.get(lsn), Some(value), "{case}");
        }
        let damaged = directory(&machine);
        let space = machine.storage.used_space();
        let report = machine.repair(RepairMode::Apply).expect("repaired");
        if report.is_whole() {
            continue;
        }
        // No other file changes.
        let now = machine.storage.image();
        let newest = names.last().expect("a segment");
        for name in names.iter().filter(|name| !hit.contains(name)) {
            // A segment without records before the newest one goes, if that one is damaged.
            let records = |(group, _): &(GroupHeader, _)| group.kind == GroupKind::Records;
            let empty = !contents(&image, name).iter().any(records);
            let goes = now.get(name).is_none() && empty && hit.contains(newest);
            assert!(goes || now.get(name) == damaged.get(name), "{case}: {name}");
        }
        assert!(
            report.quarantined.iter().all(|name| hit.contains(name)),
            "{case}: {report}"
        );
        // A copy of an earlier recovery may be as long as two segments.
        assert!(report.new_segments.len() <= 2, "{case}: {report}");
        let only_before = !hit.contains(newest);
        assert!(
            !only_before || report.new_segments.is_empty(),
            "{case}: {report}"
        );
        // Two segments each: the damaged bytes, and the replacement.
        let len = |name: &String| damaged.get(name).map_or(0, |bytes| bytes.len() as u64);
        let most: u64 = hit.iter().map(|name| 2 * len(name).max(SMALL) + 2048).sum();
        assert!(report.bytes_needed <= most, "{case}: {report}");
        let taken = machine.storage.used_space().saturating_sub(space);
        assert!(taken <= most, "{case}: {taken}");
        for id in &report.replaced {
            let name = segment(id.get());
            assert!(hit.contains(&name), "{case}: {report}");
            assert_eq!(
                header(&machine, &name).origin,
                Origin::Replacement,
                "{case}"
            );
        }
        middle += usize::from(only_before);
        newest_too += usize::from(!only_before && !report.replaced.is_empty());
        several += usize::from(report.replaced.len() > 1);
        let lost = |(name, at): &(String, u64)| is_of_histories(&image, name, *at);
        if flips.iter().any(lost) {
            histories += 1;
        } else {
            let wal = machine.open();
            for cursor in &saved {
                wal.check_cursor(cursor)
                    .unwrap_or_else(|error| panic!("{case}: {cursor}: {error}"));
            }
        }
        is_repaired(&machine, &before, report.last_lsn.get(), &case);
    }
    assert!(
        middle > 100 && newest_too > 20 && several > 20 && histories < 20,
        "{middle} {newest_too} {several} {histories}"
    );
}

#[test]
fn who_was_cut_off_by_a_truncation_is_told_the_same_after_a_repair() {
    let machine = machine();
    let wal = machine.open();
    append(&wal, 1..=40);
    let cut_off = wal.cursor(Lsn::new(40)).expect("a cursor");
    wal.truncate_after(Lsn::new(20)).expect("truncated");
    let begun = machine.segments().pop().expect("a segment").0;
    append(&wal, 21..=400);
    wal.close().expect("closed");
    let told = || format!("{:?}", machine.open().check_cursor(&cut_off));
    let before = told();
    assert!(before.contains("kept: Some(Lsn(20))"), "{before}");
    damage(&machine, &begun);
    let report = machine.repair(RepairMode::Apply).expect("repaired");
    assert_eq!(report.replaced.len(), 1, "{report}");
    assert_eq!(told(), before);
}

/// Two damaged segments, the second without its link, one that is missing, and damage in the newest.
fn badly_hurt() -> Image {
    let machine = holding(&closed());
    let names: Vec<String> = machine
        .segments()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    damage(&machine, &names[0]);
    damage(&machine, &names[1]);
    flip(&machine, &names[1], 4100);
    machine.storage.remove_file(&names[2]).expect("a file");
    let newest = names.last().expect("a segment");
    damage(&machine, newest);
    machine.storage.image()
}

/// Cuts the power at every change of a repair, and repairs what is left: how many segments the second repair replaced.
fn crash_at_every_change(image: &Image) -> BTreeMap<usize, u32> {
    let machine = holding(image);
    let before = skip_all(&machine, "before");
    assert!(before.records.len() > 100);
    let begun = machine.storage.change_count();
    let report = machine.repair(RepairMode::Apply).expect("repaired");
    let (changes, last) = (
        machine.storage.change_count() - begun,
        report.last_lsn.get(),
    );
    let mut replaced: BTreeMap<usize, u32> = BTreeMap::new();
    for change in 0..changes {
        for moment in [Moment::Before, Moment::During, Moment::After] {
            for seed in 0..4 {
                let case = format!("change {change}, {moment:?}, seed {seed}");
                let mut machine = holding(image);
                let cut = Fault::power_cut(moment).on_changes().after(change);
                machine.storage.inject(cut);
                let cut_short = machine.repair(RepairMode::Apply);
                assert!(cut_short.is_err() || change + 1 == changes, "{case}");
                machine.storage = machine.storage.crash(&mut Seeded::streaky(seed));
                let between = skip_all(&machine, &case);
                between.has_records_of(&before, &case);
                let report = machine
                    .repair(RepairMode::Apply)
                    .unwrap_or_else(|error| panic!("{case}: {error}"));
                *replaced.entry(report.replaced.len()).or_default() += 1;
                is_repaired(&machine, &before, last, &case);
            }
        }
    }
    replaced
}

#[test]
fn a_crash_at_every_change_of_a_repair_in_place() {
    let image = badly_hurt();
    let report = holding(&image).repair(RepairMode::DryRun).expect("planned");
    let segments = (report.replaced.len(), report.new_segments.len());
    assert_eq!(segments, (3, 1), "{report}");
    let replaced = crash_at_every_change(&image);
    // The crashes fell before, between and after the commits.
    assert!(replaced.len() > 2, "{replaced:?}");
}

#[test]
fn a_crash_inside_a_repair_of_files_with_swapped_names_loses_nothing() {
    let names: Vec<String> = closed_names();
    let newest = names.last().expect("a segment");
    for (one, other) in [(&names[0], &names[1]), (&names[1], newest)] {
        let machine = holding(&closed());
        damage(&machine, &names[2]);
        machine.storage.swap_files(one, other).expect("files");
        crash_at_every_change(&machine.storage.image());
    }
}

#[test]
fn an_error_at_every_change_of_a_repair_in_place_loses_nothing() {
    use wal_io::fault::SystemError;
    let image = badly_hurt();
    let before = skip_all(&holding(&image), "before");
    let last = before.end();
    for error in [SystemError::NoSpace, SystemError::Io] {
        let mut refused = 0;
        for change in 0.. {
            let case = format!("{error:?} at change {change}");
            let machine = holding(&image);
            machine
                .storage
                .inject(Fault::error(error).on_changes().after(change));
            let outcome = machine.repair(RepairMode::Apply);
            if machine.storage.faults_struck() == 0 {
                break;
            }
            machine.storage.clear_faults();
            refused += u32::from(outcome.is_err());
            let between = skip_all(&machine, &case);
            between.has_records_of(&before, &case);
            machine
                .repair(RepairMode::Apply)
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            is_repaired(&machine, &before, last, &case);
        }
        assert!(refused > 20, "{refused}");
    }
}

#[test]
fn a_log_of_version_1_is_repaired_in_place_if_it_is_asked_for() {
    let one = |image: &Image| {
        let machine = Machine::holding(image, FsyncPolicy::Os).segments_of(SMALL);
        machine.in_version(FormatVersion::V1)
    };
    let machine = Machine::new(FsyncPolicy::Os)
        .segments_of(SMALL)
        .in_version(FormatVersion::V1);
    let wal = machine.open();
    for n in 1..=300 {
        append(&wal, n..=n);
        if n % 8 == 0 {
            wal.flush().expect("flushed");
        }
    }
    wal.close().expect("closed");
    let image = machine.storage.image();
    let saved: Vec<Cursor> = {
        let wal = one(&image).open();
        let cursor = |lsn| wal.cursor(Lsn::new(lsn)).expect("a cursor");
        (1..=300).map(cursor).collect()
    };
    let hurt = one(&image);
    damage(&hurt, &segment(2));
    let image = hurt.storage.image();
    let before = skip_all(&one(&image), "before");
    // As ever unless it is asked for.
    let machine = one(&image);
    let report = machine.repair(RepairMode::Apply).expect("repaired");
    assert!(report.replaced.is_empty() && report.new_segments.len() > 1);
    is_repaired(&machine, &before, 300, "version 1");
    // By name, and by an open that salvages.
    let options = RepairOptions::new(RepairMode::Apply).format_version(FormatVersion::V2);
    for salvage in [false, true] {
        let machine = holding(&image);
        if salvage {
            flip(&machine, &segment(2), 9);
            machine.try_open_in(RecoveryMode::Salvage).expect("opened");
        } else {
            let storage = Arc::new(machine.storage.clone());
            let report = wal_core::Offline::on(storage).repair(options);
            let report = report.expect("repaired");
            assert_eq!(report.replaced, [SegmentId::new(2)]);
            assert!(report.new_segments.is_empty(), "{report}");
        }
        let found = header(&machine, &segment(2));
        assert_eq!(
            (found.origin, found.version),
            (Origin::Replacement, FormatVersion::V2)
        );
        // There is no way back.
        let refused = one(&machine.storage.image()).try_open();
        assert!(matches!(refused, Err(Error::InvalidConfig { .. })));
        let wal = machine.open();
        for cursor in &saved {
            wal.check_cursor(cursor).expect("a record of version 1");
        }
        drop(wal);
        is_repaired(&machine, &before, 300, "upgraded");
    }
}

#[test]
fn a_leftover_of_a_repair_that_was_cut_short_is_removed_by_the_next_open() {
    let image = badly_hurt();
    let mut left = 0;
    for change in 0..60 {
        let mut machine = holding(&image);
        let cut = Fault::power_cut(Moment::After).on_changes().after(change);
        machine.storage.inject(cut);
        let _ = machine.repair(RepairMode::Apply);
        machine.storage = machine.storage.crash(&mut Seeded::new(change));
        let temporary = |name: &String| matches!(FileName::parse(name), FileName::Temporary(_));
        left += usize::from(machine.file_names().iter().any(temporary));
        let wal = machine.try_open_in(RecoveryMode::Salvage).expect("opened");
        assert!(
            !machine.file_names().iter().any(temporary),
            "change {change}"
        );
        drop(wal);
    }
    assert!(left > 5, "{left}");
}

/// The groups of a segment, as far as they are valid: their headers, and what those without records say.
pub(super) fn contents(image: &Image, name: &str) -> Vec<(GroupHeader, Option<GroupFacts>)> {
    let FileName::Segment(id) = FileName::parse(name) else {
        panic!("{name} is no segment");
    };
    let bytes = image.get(name).expect("a file");
    let view = SegmentView::parse(bytes, id).expect("a header");
    let groups = view.groups().map_while(Result::ok);
    let groups = groups.map(|group| match group.body {
        GroupBody::Facts(facts) => (group.header, Some(facts)),
        GroupBody::Records(_) => (group.header, None),
    });
    groups.collect()
}

pub(super) fn groups(machine: &Machine, name: &str) -> Vec<GroupHeader> {
    let contents = contents(&machine.storage.image(), name);
    contents.into_iter().map(|(header, _)| header).collect()
}

/// Whether the byte is one of a link that alone knows which histories the records of its segment have.
fn is_of_histories(image: &Image, name: &str, at: u64) -> bool {
    let (header, link) = contents(image, name).into_iter().next().expect("a link");
    let Some(GroupFacts::Link(link)) = link else {
        panic!("{name} begins with {header:?}");
    };
    (header.offset.get()..header.end_offset()).contains(&at) && link.histories.stretches().len() > 1
}

#[test]
fn a_repair_in_place_without_space_for_all_of_it_is_not_begun() {
    let image = badly_hurt();
    let machine = holding(&image);
    let planned: RepairReport = machine.repair(RepairMode::DryRun).expect("planned");
    let used = machine.storage.used_space();
    let before = directory(&machine);
    machine
        .storage
        .set_capacity(Some(used + planned.bytes_needed - 1));
    for mode in [RepairMode::DryRun, RepairMode::Apply] {
        let refused = machine.repair(mode);
        assert!(matches!(refused, Err(Error::NoSpace { .. })), "{mode:?}");
        assert_eq!(directory(&machine), before, "{mode:?}");
    }
    machine
        .storage
        .set_capacity(Some(used + planned.bytes_needed + (8 << 10)));
    let report = machine.repair(RepairMode::Apply).expect("repaired");
    assert_eq!(report.bytes_needed, planned.bytes_needed);
    assert_eq!(report.replaced, planned.replaced);
    let now = machine.storage.image();
    for name in &report.quarantined {
        assert!(is_segment(name));
        assert_eq!(now.get(&format!("quarantine/{name}")), before.get(name));
    }
}
