//! A segment that a repair in place has written anew is one like any other: it is read, truncated at both ends, and repaired
//! again.

use wal_core::{Error, Lsn, RepairMode};
use wal_format::{GroupFacts, GroupHeader, GroupKind, SegmentId, UnixMillis};

use super::in_place::{closed, contents, damage, groups, holding, machine};
use super::repair::{Harm, harms, is_repaired};
use super::salvage::{Skipped, skip_all, skip_through};
use crate::common::trace::segment;
use crate::common::{Machine, append};

#[test]
fn harm_of_every_kind_to_a_replacement_is_repaired_again() {
    let image = closed();
    let first = holding(&image);
    damage(&first, &segment(2));
    damage(&first, &segment(3));
    let report = first.repair(RepairMode::Apply).expect("repaired");
    assert_eq!(report.replaced, [SegmentId::new(2), SegmentId::new(3)]);
    let image = first.storage.image();
    let mut repaired = 0;
    for harm in harms(&image) {
        let hits = |name: &String| *name == segment(2) || *name == segment(3);
        let (Harm::Flip(name, _) | Harm::Sector(name, _) | Harm::Cut(name, _) | Harm::Remove(name)) =
            &harm
        else {
            continue;
        };
        if !hits(name) {
            continue;
        }
        let case = format!("{harm:?}");
        let machine = holding(&image);
        harm.inflict(&machine);
        let before = skip_all(&machine, &case);
        let report = machine.repair(RepairMode::Apply).expect("repaired");
        if report.is_whole() {
            continue;
        }
        repaired += 1;
        assert_eq!(report.replaced.len(), 1, "{case}: {report}");
        assert!(report.new_segments.is_empty(), "{case}: {report}");
        is_repaired(&machine, &before, report.last_lsn.get(), &case);
    }
    assert!(repaired > 20, "{repaired}");
}

/// A log whose second segment was replaced: its first and last LSN.
fn replaced() -> (Machine, Skipped, u64, u64) {
    let machine = holding(&closed());
    let first_of = |id| groups(&machine, &segment(id))[0].first_lsn.get();
    let (first, last) = (first_of(2), first_of(3) - 1);
    damage(&machine, &segment(2));
    let before = skip_all(&machine, "before");
    assert_eq!(before.lost(), 1);
    let report = machine.repair(RepairMode::Apply).expect("repaired");
    assert_eq!(report.replaced, [SegmentId::new(2)]);
    (machine, before, first, last)
}

#[test]
fn retention_removes_a_replacement_like_any_other_segment() {
    let (machine, before, first, last) = replaced();
    let wal = machine.open();
    wal.truncate_before(Lsn::new(first + 3)).expect("truncated");
    assert!(machine.file_names().contains(&segment(2)));
    let left = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), "cut inside");
    let expected = before.records.range(first + 3..).count();
    assert_eq!(left.records.len(), expected);
    wal.truncate_before(Lsn::new(last + 1)).expect("truncated");
    assert!(!machine.file_names().contains(&segment(2)));
    wal.close().expect("closed");
    let wal = machine.open();
    let left = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), "cut behind");
    assert_eq!(left.records, before.records.clone().split_off(&(last + 1)));
    assert_eq!(left.ranges(), []);
}

#[test]
fn the_log_can_be_cut_short_inside_a_replacement_and_goes_on() {
    let (_, before, first, last) = replaced();
    for kept in first - 1..=last + 1 {
        let (mut machine, ..) = replaced();
        let case = format!("kept {kept}");
        let wal = machine.open();
        wal.truncate_after(Lsn::new(kept)).expect("truncated");
        append(&wal, kept + 1..=kept + 200);
        wal.sync().expect("synced");
        let expected: Vec<u64> = before.records.range(..=kept).map(|(lsn, _)| *lsn).collect();
        for _ in 0..2 {
            let wal = machine.look().expect("opened");
            let left = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), &case);
            let found: Vec<u64> = left.records.range(..=kept).map(|(lsn, _)| *lsn).collect();
            assert_eq!(found, expected, "{case}");
            assert_eq!(left.end(), kept + 200, "{case}");
            assert_eq!(
                machine.verify().expect("verified").damage().count(),
                0,
                "{case}"
            );
            machine.kill();
        }
        drop(wal);
        // What is left of it can be damaged, too.
        let target = if kept < first { segment(1) } else { segment(2) };
        damage(&machine, &target);
        let before = skip_all(&machine, &case);
        let report = machine.repair(RepairMode::Apply).expect("repaired");
        is_repaired(
            &machine,
            &before,
            before.end().max(report.last_lsn.get()),
            &case,
        );
    }
}

#[test]
fn a_reader_that_was_opened_before_a_repair_in_place_reads_what_it_wrote() {
    let machine = holding(&closed());
    damage(&machine, &segment(2));
    let before = skip_all(&machine, "before");
    let (lost, _) = before.ranges()[0];
    let beside = machine.look().expect("opened");
    let mut reader = beside.read_from(Lsn::ZERO).expect("a reader");
    let inside = beside.read_from(Lsn::new(lost - 2)).expect("a reader");
    let mut inside = inside.on_damage(wal_core::OnDamage::Skip);
    inside.next_record().expect("read").expect("a record");
    machine.repair(RepairMode::Apply).expect("repaired");
    for lsn in 1..lost {
        let (_, position) = reader.next_record().expect("read").expect("a record");
        assert_eq!(position.lsn.get(), lsn);
    }
    assert!(matches!(reader.next_record(), Err(Error::Gap { .. })));
    let mut lsns = Vec::new();
    loop {
        match inside.next_record() {
            Ok(Some((_, position))) => lsns.push(position.lsn.get()),
            Ok(None) => break,
            Err(Error::Gap { from, to, .. }) => assert_eq!((from.get(), to.get()), (lost, lost)),
            Err(error) => panic!("{error}"),
        }
    }
    let expected: Vec<u64> = (lost - 1..=before.end())
        .filter(|lsn| *lsn != lost)
        .collect();
    assert_eq!(lsns, expected);
    let all = skip_through(beside.read_from(Lsn::ZERO).expect("a reader"), "after");
    assert_eq!(all.records, before.records);
}

/// How late a sealed segment was complete.
fn complete_at(machine: &Machine, name: &str) -> UnixMillis {
    let contents = contents(&machine.storage.image(), name);
    let footer = contents.into_iter().find_map(|(_, facts)| match facts {
        Some(GroupFacts::Footer(footer)) => Some(footer),
        _ => None,
    });
    let more = footer.expect("a footer").more;
    more.expect("of version 2").time_greatest
}

#[test]
fn a_replacement_keeps_the_times_and_says_where_the_clock_was_set_back() {
    let machine = machine();
    let wal = machine.open();
    let minute = std::time::Duration::from_secs(60);
    append(&wal, 1..=10);
    wal.flush().expect("flushed");
    machine.clock.advance(minute);
    append(&wal, 11..=20);
    wal.flush().expect("flushed");
    // Noticed after ten seconds.
    machine.clock.move_wall(-600_000);
    for n in 21..=60 {
        machine.clock.advance(minute / 60);
        append(&wal, n..=n);
        wal.flush().expect("flushed");
    }
    append(&wal, 61..=300);
    wal.close().expect("closed");
    let before = groups(&machine, &segment(1));
    let at = before.iter().position(|group| group.set_back);
    let at = at.expect("the clock was set back");
    let complete = complete_at(&machine, &segment(1));
    damage(&machine, &segment(1));
    let report = machine.repair(RepairMode::Apply).expect("repaired");
    assert_eq!(report.replaced, [SegmentId::new(1)]);
    let after = groups(&machine, &segment(1));
    let marked: Vec<usize> = (0..after.len()).filter(|at| after[*at].set_back).collect();
    let [marked] = marked[..] else {
        panic!("{after:?}");
    };
    let (found, was) = (&after[marked], &before[at]);
    assert_eq!(found.first_lsn, was.first_lsn);
    // No record is later than its group.
    let lost = report.gaps[0].from;
    for was in before
        .iter()
        .filter(|group| group.kind == GroupKind::Records && group.first_lsn != lost)
    {
        let found = after.iter().rfind(|group| group.first_lsn <= was.first_lsn);
        assert!(found.is_some_and(|found| found.time >= was.time), "{was:?}");
    }
    let earliest = |groups: &[GroupHeader]| {
        let records = groups
            .iter()
            .filter(|group| group.kind == GroupKind::Records);
        records.map(|group| group.time).min()
    };
    assert_eq!(earliest(&after[marked..]), Some(after[marked].time));
    assert!(earliest(&before[at..]) <= earliest(&after[marked..]));
    assert_eq!(complete_at(&machine, &segment(1)), complete);
}
