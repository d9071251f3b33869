//! A repair loses what is damaged and nothing else: records keep their LSNs, losses become gaps that the log knows of, and
//! every damaged byte is kept.

use std::sync::Arc;

use wal_core::{
    Error, FsyncPolicy, Lsn, Record, RecordRef, RecoveryMode, RecoveryReport, RepairMode,
    RepairReport, Result, VerifyReport,
};
use wal_io::fault::{Fault, Fill, Image, Moment, Seeded, Site};

use super::salvage::{Skipped, closed, killed, skip_all, skip_through};
use crate::common::trace::segment;
use crate::common::{Machine, WINDOW, append, is_segment, payload, read_all};

impl Machine {
    pub(super) fn repair(&self, mode: RepairMode) -> Result<RepairReport> {
        let storage = Arc::new(self.storage.clone());
        wal_core::Offline::on(storage).repair(mode)
    }
}

/// The directory without what says who holds the lock.
pub(super) fn directory(machine: &Machine) -> Image {
    let mut image = machine.storage.image();
    image.remove("lock");
    image.remove("lock.pid");
    image
}

/// What may happen to the files of a log.
#[derive(Clone, Debug)]
pub(super) enum Harm {
    Flip(String, u64),
    Sector(String, u64),
    Cut(String, u64),
    Remove(String),
    Swap(String, String),
}

impl Harm {
    pub(super) fn inflict(&self, machine: &Machine) {
        let storage = &machine.storage;
        let done = match self {
            Self::Flip(name, at) => storage.flip_bits(name, at * 8 + 2, 1),
            Self::Sector(name, sector) => {
                let site = Site {
                    file: name,
                    sector: *sector,
                };
                storage.fill_sector(site, Fill::Zeros)
            }
            Self::Cut(name, len) => storage.truncate_file(name, *len),
            Self::Remove(name) => storage.remove_file(name),
            Self::Swap(one, other) => storage.swap_files(one, other),
        };
        done.expect("the file is there");
    }
}

/// Harm of every kind to every segment of the log in `image`.
pub(super) fn harms(image: &Image) -> Vec<Harm> {
    let files: Vec<(String, usize)> = image
        .files()
        .filter(|(name, _)| is_segment(name))
        .map(|(name, bytes)| {
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
            (name.to_owned(), used)
        })
        .collect();
    let mut harms = Vec::new();
    for (at, (name, used)) in files.iter().enumerate() {
        let used = *used as u64;
        // Header, link, the first group's header and record, further on, the end.
        for byte in [
            9,
            40,
            4100,
            4104,
            4170,
            4232,
            4290,
            4700,
            5555,
            used - 200,
            used - 10,
        ] {
            harms.push(Harm::Flip(name.clone(), byte.min(used - 1)));
        }
        for sector in [0, 8, 9, 10, 12, used / 512] {
            harms.push(Harm::Sector(name.clone(), sector.min((used - 1) / 512)));
        }
        for len in [0, 100, 4096, 4224, used / 2, used - 20] {
            harms.push(Harm::Cut(name.clone(), len.min(used - 1)));
        }
        harms.push(Harm::Remove(name.clone()));
        if let Some((other, _)) = files.get(at + 1) {
            harms.push(Harm::Swap(name.clone(), other.clone()));
        }
    }
    harms
}

/// What a repaired log must be.
#[track_caller]
pub(super) fn is_repaired(machine: &Machine, before: &Skipped, last: u64, case: &str) {
    let verified = machine
        .verify()
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    let damage: Vec<_> = verified.damage().map(ToString::to_string).collect();
    assert_eq!(damage, [""; 0], "{case}");
    let wal = machine
        .try_open()
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    let after = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), case);
    after.has_records_of(before, case);
    assert_eq!(after.ranges(), before.ranges(), "{case}");
    assert!(after.gaps.iter().all(|(.., cause)| !cause), "{case}");
    assert_eq!(wal.last_lsn().get(), last, "{case}");
    let mut recorded: Vec<(u64, u64)> = Vec::new();
    for (from, to) in verified.gaps() {
        match recorded.last_mut() {
            // It goes on in the next segment.
            Some(last) if last.1 + 1 == from.get() => last.1 = to.get(),
            _ => recorded.push((from.get(), to.get())),
        }
    }
    assert_eq!(recorded, before.ranges(), "{case}");
    counts_what_exists(&verified, wal.recovery_report(), after.records.len(), case);
    let position = wal
        .durable()
        .append(RecordRef::data(b"behind it"))
        .expect("appended");
    assert_eq!(position.lsn.get(), last + 1, "{case}");
    wal.close().expect("closed");
    let wal = machine.open();
    let again = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), case);
    assert_eq!(again.records.len(), before.records.len() + 1, "{case}");
    drop(wal);
    let second = machine.repair(RepairMode::Apply).expect("repaired");
    assert!(second.is_whole(), "{case}: {second}");
}

/// Records are those that exist, and gaps are reported: by the open as well, which does not read all of it.
#[track_caller]
fn counts_what_exists(
    verified: &VerifyReport,
    opened: &RecoveryReport,
    records: usize,
    case: &str,
) {
    assert_eq!(verified.records(), records as u64, "{case}");
    for report in [&verified.recovery, opened] {
        assert_eq!(report.records(), records as u64, "{case}");
        assert_eq!(report.gaps, verified.gaps().collect::<Vec<_>>(), "{case}");
    }
}

#[test]
fn a_repaired_log_opens_with_all_that_could_be_read() {
    for (kind, image) in [("closed", closed(130).0), ("killed", killed(130))] {
        let mut repaired = 0;
        let harms = harms(&image);
        for harm in &harms {
            let case = format!("{kind}: {harm:?}");
            let machine =
                Machine::holding(&image, FsyncPolicy::Os).segments_of(crate::common::SMALL);
            harm.inflict(&machine);
            let damaged = directory(&machine);
            if machine
                .verify()
                .is_ok_and(|found| found.damage().count() == 0)
            {
                continue;
            }
            let before = skip_all(&machine, &case);
            before.are_payloads(&case);
            let planned = machine.repair(RepairMode::DryRun).expect("planned");
            assert_eq!(directory(&machine), damaged, "{case}");
            let report = machine
                .repair(RepairMode::Apply)
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            repaired += 1;
            assert!(!report.is_whole());
            assert_eq!(
                RepairReport::clone(&report)
                    .to_string()
                    .replace("would be", ""),
                report.to_string()
            );
            assert_eq!(planned.gaps, report.gaps, "{case}");
            assert_eq!(planned.records_kept, report.records_kept, "{case}");
            assert_eq!(report.records_lost(), before.lost(), "{case}");
            // Whatever was damaged is kept to the byte.
            let now = machine.storage.image();
            for name in &report.quarantined {
                let kept = now.get(&format!("quarantine/{name}"));
                assert_eq!(kept, damaged.get(name), "{case}: {name}");
            }
            for name in &report.removed {
                assert_eq!(now.get(name), None, "{case}");
            }
            // What is not damaged is not put aside, and no copy is larger than the log's segments.
            for name in &report.quarantined {
                assert_ne!(damaged.get(name), image.get(name), "{case}: {name}");
            }
            assert_eq!(planned.bytes_needed, report.bytes_needed, "{case}");
            for id in &report.new_segments {
                let copy = now.get(&segment(id.get())).expect("a new segment");
                assert!(copy.len() as u64 <= crate::common::SMALL, "{case}");
            }
            is_repaired(&machine, &before, report.last_lsn.get(), &case);
        }
        // Much of a log that was not closed is proven by nothing: there a crash explains the harm.
        let least = if kind == "closed" { 25 } else { 15 };
        assert!(repaired > least, "{kind}: {repaired} of {}", harms.len());
    }
}

#[test]
fn a_repair_of_the_newest_segment_copies_one_segment_at_most() {
    let image = closed(130).0;
    let machine = Machine::holding(&image, FsyncPolicy::Os);
    let newest = machine.segments().last().expect("a segment").0.clone();
    let mut repaired = 0;
    for harm in harms(&image) {
        let only_newest = match &harm {
            Harm::Flip(name, _) | Harm::Sector(name, _) | Harm::Cut(name, _) => *name == newest,
            Harm::Remove(_) | Harm::Swap(..) => false,
        };
        let machine = Machine::holding(&image, FsyncPolicy::Os);
        harm.inflict(&machine);
        let report = machine.repair(RepairMode::DryRun);
        let Some(report) = report
            .ok()
            .filter(|report| only_newest && !report.is_whole())
        else {
            continue;
        };
        repaired += 1;
        assert!(report.new_segments.len() <= 1, "{harm:?}: {report}");
        // The copy, and the damaged bytes.
        assert!(report.bytes_needed <= 2 * crate::common::SMALL, "{harm:?}");
        assert!(
            report.quarantined.iter().all(|name| *name == newest),
            "{harm:?}"
        );
    }
    assert!(repaired > 5, "{repaired}");
}

#[test]
fn a_repair_without_space_for_all_of_it_is_not_begun() {
    let image = hurt();
    let machine = Machine::holding(&image, FsyncPolicy::Os);
    let needed = machine
        .repair(RepairMode::DryRun)
        .expect("planned")
        .bytes_needed;
    let used = machine.storage.used_space();
    let before = directory(&machine);
    for (short, mode) in [
        (1, RepairMode::DryRun),
        (1, RepairMode::Apply),
        (needed, RepairMode::Apply),
    ] {
        machine.storage.set_capacity(Some(used + needed - short));
        match machine.repair(mode) {
            Err(error @ Error::NoSpace { .. }) => {
                assert!(
                    error.to_string().contains(&format!("needs {needed} bytes")),
                    "{error}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(directory(&machine), before, "{mode:?}");
    }
    // The lock's files, and what a file needs beside its bytes.
    machine
        .storage
        .set_capacity(Some(used + needed + (8 << 10)));
    let report = machine.repair(RepairMode::Apply).expect("repaired");
    assert_eq!(report.bytes_needed, needed);
}

#[test]
fn without_damage_a_repair_does_nothing() {
    for image in [closed(130).0, killed(130)] {
        let machine = Machine::holding(&image, FsyncPolicy::Os);
        let report = machine.repair(RepairMode::Apply).expect("repaired");
        assert!(report.is_whole());
        assert_eq!(report.to_string(), "nothing is damaged; nothing to do");
        assert_eq!(
            machine.segments(),
            Machine::holding(&image, FsyncPolicy::Os).segments()
        );
        assert_eq!(machine.storage.image().get("quarantine"), None);
    }
}

/// A log with damage in its second segment and its third one missing.
fn hurt() -> Image {
    let (image, positions) = closed(280);
    let machine = Machine::holding(&image, FsyncPolicy::Os);
    let inside = positions
        .iter()
        .rfind(|position| position.segment_id.get() == 2);
    let at = inside.expect("a record there").offset.get() - 300;
    machine
        .storage
        .flip_bits(&segment(2), at * 8, 3)
        .expect("bits");
    machine.storage.remove_file(&segment(3)).expect("a file");
    machine.storage.image()
}

#[test]
fn a_crash_at_every_change_of_a_repair() {
    let image = hurt();
    let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(crate::common::SMALL);
    let before = skip_all(&machine, "before");
    assert!(
        before.lost() > 1 && before.gaps.len() == 2,
        "{:?}",
        before.gaps
    );
    let last = machine
        .repair(RepairMode::DryRun)
        .expect("planned")
        .last_lsn
        .get();
    let begun = machine.storage.change_count();
    machine.repair(RepairMode::Apply).expect("repaired");
    let changes = machine.storage.change_count() - begun;
    assert!(changes > 10, "{changes}");
    let (mut damaged, mut whole) = (0, 0);
    for change in 0..changes {
        for moment in [Moment::Before, Moment::During, Moment::After] {
            for seed in 0..4 {
                let case = format!("change {change}, {moment:?}, seed {seed}");
                let mut machine =
                    Machine::holding(&image, FsyncPolicy::Os).segments_of(crate::common::SMALL);
                let cut = Fault::power_cut(moment).on_changes().after(change);
                machine.storage.inject(cut);
                let cut_short = machine.repair(RepairMode::Apply);
                assert!(cut_short.is_err() || change + 1 == changes, "{case}");
                machine.storage = machine.storage.crash(&mut Seeded::streaky(seed));
                // What is there can be read as before, and a repair of what is left comes to the same.
                let between = skip_all(&machine, &case);
                assert_eq!(between.records, before.records, "{case}");
                let report = machine
                    .repair(RepairMode::Apply)
                    .unwrap_or_else(|error| panic!("{case}: {error}"));
                if report.is_whole() {
                    whole += 1;
                } else {
                    damaged += 1;
                }
                is_repaired(&machine, &before, last, &case);
            }
        }
    }
    assert!(
        damaged > 10 && whole > 5,
        "{damaged} damaged, {whole} whole"
    );
}

#[test]
fn an_error_at_every_change_of_a_repair_leaves_one_that_can_be_repaired() {
    use wal_io::fault::SystemError;
    let image = hurt();
    let machine = Machine::holding(&image, FsyncPolicy::Os);
    let before = skip_all(&machine, "before");
    let last = machine
        .repair(RepairMode::DryRun)
        .expect("planned")
        .last_lsn
        .get();
    for error in [SystemError::NoSpace, SystemError::Io] {
        let mut refused = 0;
        for change in 0.. {
            let case = format!("{error:?} at change {change}");
            let machine =
                Machine::holding(&image, FsyncPolicy::Os).segments_of(crate::common::SMALL);
            machine
                .storage
                .inject(Fault::error(error).on_changes().after(change));
            let outcome = machine.repair(RepairMode::Apply);
            if machine.storage.faults_struck() == 0 {
                break;
            }
            machine.storage.clear_faults();
            refused += u32::from(outcome.is_err());
            machine
                .repair(RepairMode::Apply)
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            is_repaired(&machine, &before, last, &case);
        }
        assert!(refused > 8, "{refused}");
    }
}

#[test]
fn a_repair_takes_the_lock() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=5);
    wal.sync().expect("synced");
    for mode in [RepairMode::DryRun, RepairMode::Apply] {
        assert!(matches!(machine.repair(mode), Err(Error::Locked { .. })));
    }
    wal.close().expect("closed");
    assert!(
        machine
            .repair(RepairMode::Apply)
            .expect("repaired")
            .is_whole()
    );
}

#[test]
fn a_batch_that_lost_a_record_keeps_the_others() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=3);
    let batch: Vec<Record> = (4..=8).map(|n| Record::data(payload(n))).collect();
    wal.append_batch(&batch).expect("appended");
    append(&wal, 9..=10);
    wal.close().expect("closed");
    let image = machine.storage.image();
    let positions: Vec<_> = machine
        .open()
        .read_from(Lsn::ZERO)
        .expect("a reader")
        .map(|step| step.expect("read").1)
        .collect();
    // In the middle of the batch, and its last one, without which the others have no end.
    for lost in [6, 8] {
        let machine = Machine::holding(&image, FsyncPolicy::Os);
        let at = positions[lost as usize - 1].offset.get() + 8;
        machine
            .storage
            .flip_bits(&segment(1), at * 8, 1)
            .expect("a bit");
        let before = skip_all(&machine, "before");
        assert_eq!(before.ranges(), [(lost, lost)]);
        let report = machine.repair(RepairMode::Apply).expect("repaired");
        is_repaired(&machine, &before, report.last_lsn.get(), "a batch");
    }
}

/// A repaired log whose LSNs 40 to 40 and more are lost.
fn with_gap() -> (Machine, Skipped) {
    let image = hurt();
    let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(crate::common::SMALL);
    machine.repair(RepairMode::Apply).expect("repaired");
    let before = skip_all(&machine, "repaired");
    (machine, before)
}

#[test]
fn a_recorded_gap_ends_a_reader_that_does_not_skip() {
    let (machine, before) = with_gap();
    let (from, to) = before.ranges()[0];
    for wal in [machine.look().expect("opened"), machine.open()] {
        let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
        for lsn in 1..from {
            let (_, position) = reader.next_record().expect("read").expect("a record");
            assert_eq!(position.lsn.get(), lsn);
        }
        match reader.next_record() {
            Err(Error::Gap {
                from: first,
                to: last,
                cause: None,
            }) => {
                assert_eq!((first.get(), last.get()), (from, to));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(reader.next_record(), Ok(None)));
        // Behind it all is as ever.
        let mut reader = wal.read_from(Lsn::new(to + 1)).expect("a reader");
        assert!(reader.next_record().expect("read").is_some());
    }
}

#[test]
fn a_recorded_gap_survives_rotation_recovery_and_truncation() {
    let (mut machine, before) = with_gap();
    let last = before.end();
    let wal = machine.open();
    append(&wal, last + 1..=last + 300);
    assert!(wal.list_segments().expect("segments").len() > 2);
    wal.sync().expect("synced");
    machine.pass(&wal, WINDOW);
    append(&wal, last + 301..=last + 305);
    wal.flush().expect("flushed");
    machine.kill();
    let wal = machine.open();
    let all = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), "killed");
    assert_eq!(all.ranges(), before.ranges());
    assert_eq!(all.end(), last + 305);
    let verified = machine.verify().expect("verified");
    counts_what_exists(
        &verified,
        wal.recovery_report(),
        all.records.len(),
        "killed",
    );
    // Into the middle of the second gap, from both sides.
    let (from, to) = before.ranges()[1];
    let middle = from.midpoint(to);
    wal.truncate_before(Lsn::new(middle)).expect("truncated");
    let cut = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), "cut");
    assert_eq!(cut.ranges(), [(middle, to)]);
    wal.truncate_after(Lsn::new(middle + 1)).expect("truncated");
    assert_eq!(wal.last_lsn().get(), middle + 1);
    let cut = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), "cut twice");
    assert_eq!(cut.ranges(), [(middle, middle + 1)]);
    assert!(cut.records.is_empty());
    append(&wal, middle + 2..=middle + 4);
    wal.close().expect("closed");
    let wal = machine.open();
    let cut = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), "reopened");
    assert_eq!(cut.ranges(), [(middle, middle + 1)]);
    assert_eq!(cut.records.len(), 3);
    let verified = machine.verify().expect("verified");
    counts_what_exists(&verified, wal.recovery_report(), 3, "reopened");
    assert_eq!(verified.damage().count(), 0);
    drop(wal);
    assert!(read_all(&machine.open()).is_err());
}

#[test]
fn salvage_mode_repairs_a_log_that_does_not_open() {
    let image = hurt();
    let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(crate::common::SMALL);
    let before = skip_all(&machine, "before");
    for refused in [RecoveryMode::Normal, RecoveryMode::Strict] {
        let opened = machine.try_open_in(refused);
        assert!(matches!(opened, Err(Error::MissingSegment { .. })));
    }
    assert_eq!(
        directory(&machine).files().count(),
        image.files().count() - 2
    );
    let wal = machine.try_open_in(RecoveryMode::Salvage).expect("opened");
    let repair = wal
        .recovery_report()
        .repair
        .clone()
        .expect("it was repaired");
    assert_eq!(repair.records_lost(), before.lost());
    let after = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), "after");
    assert_eq!(after.records, before.records);
    let last = wal.last_lsn().get();
    append(&wal, last + 1..=last + 3);
    wal.close().expect("closed");
    let wal = machine.try_open_in(RecoveryMode::Salvage).expect("opened");
    assert_eq!(wal.recovery_report().repair, None);
    assert_eq!(wal.last_lsn().get(), last + 3);
}

#[test]
fn strict_mode_refuses_a_torn_tail_and_changes_nothing() {
    let image = killed(20);
    let machine = Machine::holding(&image, FsyncPolicy::Os);
    let len = machine.segments()[0].1.iter().rposition(|byte| *byte != 0);
    let at = len.expect("data") as u64 - 3;
    machine
        .storage
        .flip_bits(&segment(1), at * 8, 1)
        .expect("a bit");
    let before = directory(&machine);
    match machine.try_open_in(RecoveryMode::Strict) {
        Err(Error::TornTail {
            segment_id,
            offset,
            bytes,
            ..
        }) => {
            assert_eq!(segment_id.get(), 1);
            assert!(offset.get() < at && offset.get() + bytes > at);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(directory(&machine), before);
    let wal = machine.try_open_in(RecoveryMode::Normal).expect("opened");
    assert_eq!(wal.last_lsn().get(), 16);
    drop(wal);
    machine
        .try_open_in(RecoveryMode::Strict)
        .expect("what was recovered is whole");
}
