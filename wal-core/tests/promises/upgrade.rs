//! Versions 1 and 2 in one log: how it comes to version 2, and that everything that works on a log works on such a one.

use std::num::NonZeroUsize;
use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::{
    Alignment, Builder, Cursor, Error, FormatVersion, FsyncPolicy, Lsn, OnDamage, Record,
    RepairMode, Threads,
};
use wal_io::Storage;
use wal_io::fault::{Fill, Site};

use crate::common::{Machine, SMALL, append, assert_holds, policies, read_all};

const V1: FormatVersion = FormatVersion::V1;
const V2: FormatVersion = FormatVersion::V2;

/// An opener that asks for no version.
fn any(machine: &Machine) -> Builder<Wal> {
    Wal::builder("log")
        .storage(Arc::new(machine.storage.clone()))
        .config(machine.config.clone())
        .clock(Arc::new(machine.clock.clone()))
        .small_segments()
        .driven_by_caller()
}

fn open(machine: &Machine, version: FormatVersion) -> Wal {
    let builder = any(machine).format_version(version);
    builder.open().expect("the log opens")
}

fn versions(machine: &Machine) -> Vec<(FormatVersion, usize)> {
    let wal = any(machine).read_only().open().expect("opened");
    wal.recovery_report().format_versions.clone()
}

/// A closed log whose records 1 to 100 are in segments of version 1, and 101 to 200 in segments of version 2.
fn mixed(machine: &Machine) {
    for (version, lsns) in [(V1, 1..=100), (V2, 101..=200)] {
        let wal = open(machine, version);
        append(&wal, lsns);
        wal.close().expect("closed");
    }
}

fn storage(machine: &Machine) -> Arc<dyn Storage> {
    Arc::new(machine.storage.clone())
}

#[test]
fn a_close_is_enough_for_the_new_version() {
    for policy in policies() {
        for unclean in [false, true] {
            let mut machine = Machine::new(policy).segments_of(SMALL);
            let wal = open(&machine, V1);
            append(&wal, 1..=100);
            wal.truncate_before(Lsn::new(30)).expect("truncated");
            wal.sync().expect("synced");
            if unclean {
                machine.kill();
                drop(wal);
            } else {
                wal.close().expect("closed");
            }
            let before = versions(&machine);
            assert!(before.iter().all(|(version, _)| *version == V1));
            open(&machine, V2).close().expect("closed");
            let after = versions(&machine);
            assert_eq!(after.last(), Some(&(V2, 1)), "{policy:?}, {unclean}");
            // It is done once.
            for version in [None, Some(V2)] {
                let builder = any(&machine);
                let builder = match version {
                    Some(version) => builder.format_version(version),
                    None => builder,
                };
                let wal = builder.open().expect("opened");
                assert_holds(&wal, 30..=100);
                wal.close().expect("closed");
                assert_eq!(versions(&machine), after);
            }
            let refused = any(&machine).format_version(V1).open();
            let Err(Error::InvalidConfig { field, value, .. }) = refused else {
                panic!("version 1 is refused");
            };
            assert_eq!((field, value.as_str()), ("format_version", "1"));
            let wal = any(&machine).open().expect("opened");
            append(&wal, 101..=110);
            assert_holds(&wal, 30..=110);
        }
    }
}

#[test]
fn a_log_stays_what_it_was_if_there_is_no_space_for_the_new_version() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = open(&machine, V1);
    append(&wal, 1..=20);
    wal.close().expect("closed");
    machine
        .storage
        .set_capacity(Some(machine.storage.used_space()));
    open(&machine, V2).close().expect("closed all the same");
    assert_eq!(versions(&machine), [(V1, 1)]);
    machine.storage.set_capacity(None);
    open(&machine, V2).close().expect("closed");
    assert_eq!(versions(&machine), [(V1, 1), (V2, 1)]);
}

#[test]
fn a_reader_follows_a_log_from_one_version_into_the_next() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = open(&machine, V1);
    append(&wal, 1..=20);
    let look = any(&machine).read_only().open().expect("opened");
    let old = look.cursor(Lsn::new(20)).expect("a cursor");
    let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
    let mut read = |expected| {
        let mut last = 0;
        while let Some((_, position)) = reader.next_record().expect("read") {
            last = position.lsn.get();
        }
        assert_eq!(last, expected);
    };
    read(20);
    wal.close().expect("closed");
    let wal = open(&machine, V2);
    append(&wal, 21..=100);
    read(100);
    assert_eq!(look.last_lsn().get(), 100);
    // A record of version 1 has no history; it is told from one of version 2 with its LSN.
    look.check_cursor(&old).expect("valid");
    let new = look.cursor(Lsn::new(60)).expect("a cursor");
    for handle in [&wal, &look] {
        handle.check_cursor(&old).expect("valid");
        handle.check_cursor(&new).expect("valid");
    }
    wal.truncate_after(Lsn::new(10)).expect("truncated");
    append(&wal, 11..=70);
    for handle in [&wal, &look] {
        let cut = |cursor: &Cursor| match handle.check_cursor(cursor) {
            Err(Error::Truncated { kept, .. }) => kept.map(Lsn::get),
            other => panic!("{other:?}"),
        };
        assert_eq!((cut(&old), cut(&new)), (None, None));
    }
}

#[test]
fn each_way_to_read_a_log_reads_both_versions() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    mixed(&machine);
    let found = versions(&machine);
    assert!(matches!(found[..], [(V1, old), (V2, new)] if old > 1 && new > 1));
    let verified = machine.verify().expect("verified");
    assert_eq!(verified.damage().count(), 0);
    let of_each = verified.segments.len();
    assert_eq!(of_each, found[0].1 + found[1].1);
    for builder in [
        any(&machine).read_only(),
        any(&machine).read_damaged(),
        any(&machine),
    ] {
        let wal = builder.open().expect("opened");
        assert_holds(&wal, 1..=200);
        for from in (1..=200).step_by(7) {
            let mut reader = wal.read_from(Lsn::new(from)).expect("a reader");
            let (_, position) = reader.next_record().expect("read").expect("a record");
            assert_eq!(position.lsn.get(), from);
        }
        let replayed = wal.replay(
            Lsn::new(50),
            Threads::Exactly(NonZeroUsize::MIN),
            || 0,
            |count, _, _| {
                *count += 1;
            },
        );
        assert_eq!(replayed.expect("replayed").iter().sum::<u32>(), 151);
    }
}

#[test]
fn the_oldest_records_of_a_mixed_log_are_removed_without_opening_it() {
    for lsn in [40, 101, 150] {
        let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        mixed(&machine);
        let planned = wal_core::Offline::on(storage(&machine)).truncate_before(Lsn::new(lsn));
        assert_eq!(planned.expect("truncated").first_lsn.get(), lsn);
        assert_holds(
            &any(&machine).read_only().open().expect("opened"),
            lsn..=200,
        );
        let wal = any(&machine).open().expect("opened");
        append(&wal, 201..=250);
        assert_holds(&wal, lsn..=250);
        wal.close().expect("closed");
        assert_eq!(machine.verify().expect("verified").damage().count(), 0);
        let versions = versions(&machine);
        assert_eq!(
            versions.iter().any(|(version, _)| *version == V1),
            lsn <= 100
        );
    }
}

#[test]
fn damage_to_either_version_of_a_mixed_log_is_read_past_and_repaired() {
    let undamaged = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    mixed(&undamaged);
    let segments = undamaged.segments().len();
    for at in 0..segments {
        // The header, the link and what follows it, and records.
        for sector in [Some(0), Some(8), None] {
            let machine = Machine::holding(&undamaged.storage.image(), FsyncPolicy::Always);
            let machine = machine.segments_of(SMALL);
            let (name, bytes) = machine.segments().swap_remove(at);
            let sector = sector.unwrap_or(bytes.len() as u64 / 512 - 4);
            let file = &name;
            let filled = machine
                .storage
                .fill_sector(Site { file, sector }, Fill::Ones);
            filled.expect("a sector of the file");
            let case = format!("segment {at}, sector {sector}");
            assert!(
                machine
                    .verify()
                    .map_or(true, |found| found.damage().count() > 0),
                "{case}"
            );
            let salvaged = |machine: &Machine| {
                let wal = any(machine).read_damaged().open().expect("opened");
                let reader = wal.read_from(Lsn::ZERO).expect("a reader");
                let steps = reader.on_damage(OnDamage::Skip);
                let read: Vec<u64> = steps
                    .filter_map(|step| match step {
                        Ok((_, position)) => Some(position.lsn.get()),
                        Err(Error::Gap { .. }) => None,
                        Err(error) => panic!("{case}: {error}"),
                    })
                    .collect();
                read
            };
            let readable = salvaged(&machine);
            assert!(readable.len() > 120, "{case}: {} records", readable.len());
            let repair = |mode| wal_core::Offline::on(storage(&machine)).repair(mode);
            let report = repair(RepairMode::Apply).expect("repaired");
            assert!(!report.damage.is_empty(), "{case}");
            assert!(repair(RepairMode::DryRun).expect("whole").is_whole());
            assert_eq!(salvaged(&machine), readable, "{case}");
            // The repaired log does not go back to version 1.
            assert_eq!(
                versions(&machine).last().map(|(version, _)| *version),
                Some(V2),
                "{case}"
            );
            assert!(any(&machine).format_version(V1).open().is_err(), "{case}");
            let wal = any(&machine).open().expect("opened");
            let next = wal.last_lsn().get() + 1;
            append(&wal, next..=next + 50);
            wal.close().expect("closed");
            assert_eq!(salvaged(&machine).len(), readable.len() + 51, "{case}");
        }
    }
}

#[test]
fn the_record_limit_is_kept_in_every_later_session() {
    for padding in [
        Alignment::Eight,
        Alignment::Sector512,
        Alignment::Sector4096,
    ] {
        let machine = Machine::new(FsyncPolicy::Always).segments_of(64 << 10);
        let open = |builder: Builder<Wal>| builder.sector_padding(padding).open().expect("opened");
        let wal = open(any(&machine).format_version(V1));
        let limit = wal.record_limit();
        let largest = Record::data(vec![7; limit as usize]);
        wal.append(&largest).expect("appended");
        wal.close().expect("closed");
        for session in 0..4 {
            let builder = any(&machine).format_version(V2);
            let builder = if session % 2 == 1 {
                builder.keep_segment_size()
            } else {
                builder
            };
            let wal = open(builder);
            assert_eq!(
                wal.record_limit(),
                limit,
                "padding {padding:?}, session {session}"
            );
            wal.append(&largest).expect("it still fits");
            wal.close().expect("closed");
        }
        assert_eq!(read_all(&open(any(&machine))).expect("read").len(), 5);
    }
}
