//! Torn is not corrupt; and damage to data that was durable is never dropped in silence, by whoever reads it.

use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{Corruption, Error, FsyncPolicy, Lsn, Position, RecordRef, Result, Tail};
use wal_io::fault::{Chooser, FaultConfig, Fill, Image, Seeded, Site, Unpersisted};
use wal_io::{OpenMode, Storage};

use crate::common::trace::segment;
use crate::common::{
    Machine, SMALL, WINDOW, append, assert_holds, is_segment, large, payload, policies, read_all,
};

const GROUP_HEADER: u64 = wal_format::GROUP_HEADER_LEN as u64;

#[track_caller]
fn corruption<T: std::fmt::Debug>(outcome: Result<T>) -> Corruption {
    match outcome {
        Err(Error::Corruption(corruption)) => *corruption,
        other => panic!("expected corruption, got {other:?}"),
    }
}

#[test]
fn torn_is_not_corrupt() {
    for policy in policies() {
        let mut torn = 0;
        for seed in 0..60 {
            let mut machine = Machine::new(policy);
            let wal = machine.open();
            append(&wal, 1..=5);
            wal.sync().expect("synced");
            // Written, not synced: some of its sectors reach the disk.
            machine.storage.record_operations();
            let big = RecordRef::data(&large(6, 6000)).to_record();
            if policy == FsyncPolicy::Always {
                use wal_io::fault::{Fault, Moment};
                machine
                    .storage
                    .inject(Fault::power_cut(Moment::After).after(0));
                assert!(wal.append(&big).is_err());
            } else {
                wal.append(&big).expect("appended");
                wal.flush().expect("flushed");
            }
            machine.crash(seed);
            let verified = machine.verify().expect("verified");
            assert_eq!(verified.damage().count(), 0, "seed {seed}");
            let wal = machine.open();
            let report = wal.recovery_report();
            assert!(!report.clean);
            let last = wal.last_lsn().get();
            if let Tail::Torn {
                segment_id,
                offset,
                bytes,
            } = report.tail
            {
                torn += 1;
                assert_eq!(last, 5);
                assert_eq!(segment_id.get(), 1);
                assert!(offset.get() > 4096 && bytes > 0 && bytes <= 6200);
            }
            assert!(last == 5 || last == 6);
            // What is left behind is never met again.
            wal.durable()
                .append(RecordRef::data(b"next"))
                .expect("appended");
            let records = read_all(&wal).expect("the log is read");
            assert_eq!(records.len() as u64, last + 1);
            drop(wal);
            assert_eq!(machine.open().last_lsn().get(), last + 1);
        }
        assert!(torn > 10, "{torn} of 60");
    }
}

#[test]
fn a_whole_end_is_not_reported_as_torn() {
    for policy in policies() {
        let mut machine = Machine::new(policy);
        let wal = machine.open();
        append(&wal, 1..=20);
        wal.flush().expect("flushed");
        machine.kill();
        let wal = machine.open();
        assert_eq!(wal.recovery_report().tail, Tail::Whole);
        assert_eq!(wal.recovery_report().left_behind_bytes(), 0);
        assert_holds(&wal, 1..=20);
    }
}

/// Everything that was not synced survives.
struct KeepAll;

impl Chooser for KeepAll {
    fn choose(&mut self, n: u32) -> u32 {
        n - 1
    }

    fn trace(&self) -> Vec<u32> {
        Vec::new()
    }
}

#[test]
fn stale_bytes_behind_the_end_are_not_reported_as_torn() {
    let rules = FaultConfig {
        unpersisted: Unpersisted::Stale,
        ..FaultConfig::default()
    };
    let mut machine = Machine::with_rules(rules, FsyncPolicy::Os)
        .segments_of(4 << 20)
        .growing();
    let wal = machine.open();
    // A file full of data, which then goes.
    let mut n = 0;
    while wal.list_segments().expect("segments").len() < 2 {
        n += 1;
        wal.append(RecordRef::data(&large(n, 60_000)))
            .expect("appended");
    }
    wal.sync().expect("synced");
    machine.pass(&wal, WINDOW);
    wal.truncate_before(Lsn::new(n)).expect("truncated");
    // The next step of the new one's allocation is taken, and not synced.
    let before = machine.storage.used_space();
    while machine.storage.used_space() == before {
        n += 1;
        wal.append(RecordRef::data(&large(n, 60_000)))
            .expect("appended");
        wal.sync().expect("synced");
        let _ = wal.drive();
    }
    let end = wal.current_position();
    machine.storage = machine.storage.crash(&mut KeepAll);
    let name = segment(end.segment_id.get());
    let behind = &image_of(&machine.storage.image(), &name)[end.offset.get() as usize..];
    assert!(behind.iter().any(|byte| *byte != 0), "nothing is stale");
    let wal = machine.open();
    assert_eq!(wal.last_lsn().get(), n);
    assert_eq!(wal.recovery_report().tail, Tail::Whole);
}

/// A log under `Always` that was killed behind its twelfth record: each group proves those before it.
fn killed() -> (Image, Vec<Position>) {
    let mut machine = Machine::new(FsyncPolicy::Always);
    let wal = machine.open();
    let positions = (1..=12)
        .map(|n| wal.append(RecordRef::data(&payload(n))).expect("appended"))
        .collect();
    machine.kill();
    (machine.storage.image(), positions)
}

#[test]
fn damage_to_durable_data_is_corruption_with_its_place() {
    let (image, positions) = killed();
    let last_proven = 11;
    for position in &positions[..last_proven] {
        let start = position.offset.get() - GROUP_HEADER;
        // In the header of its group, in the record's own head, in its payload.
        for at in [
            start + 20,
            position.offset.get() + 1,
            position.offset.get() + 9,
        ] {
            let machine = Machine::holding(&image, FsyncPolicy::Always);
            machine
                .storage
                .flip_bits(&segment(1), at * 8 + 3, 1)
                .expect("a bit of the file");
            let damage = corruption(machine.try_open());
            assert_eq!(damage.location, "fault:/log");
            assert_eq!(damage.segment_id.get(), 1);
            assert_eq!(damage.offset.get(), start, "LSN {}", position.lsn);
            assert_eq!(damage.first_lsn, position.lsn);
            assert_eq!(damage.last_lsn, Some(Lsn::new(11)));
            assert!(damage.witness.contains("LSN 11"), "{}", damage.witness);
            let message = damage.to_string();
            for part in ["segment 1", "offset", "LSN", "nothing was changed"] {
                assert!(message.contains(part), "{message}");
            }
            corruption(machine.look());
            let verified = machine.verify().expect("verified");
            assert!(verified.damage().count() > 0);
            // And nothing was changed.
            machine
                .storage
                .flip_bits(&segment(1), at * 8 + 3, 1)
                .expect("a bit of the file");
            let name = segment(1);
            let before = image_of(&image, &name);
            assert_eq!(machine.segments(), [(name, before)]);
        }
    }
}

fn image_of(image: &Image, name: &str) -> Vec<u8> {
    image.get(name).expect("a segment").to_vec()
}

#[test]
fn damage_to_the_last_group_of_always_is_a_torn_tail() {
    // The residual that DESIGN names: nothing behind it proves that it was durable.
    let (image, positions) = killed();
    let machine = Machine::holding(&image, FsyncPolicy::Always);
    let bit = (positions[11].offset.get() + 9) * 8;
    machine
        .storage
        .flip_bits(&segment(1), bit, 1)
        .expect("a bit of the file");
    let wal = machine.open();
    assert!(matches!(wal.recovery_report().tail, Tail::Torn { .. }));
    assert_holds(&wal, 1..=11);
}

#[test]
fn after_an_idle_stamp_the_last_group_is_proven_too() {
    let mut machine = Machine::new(FsyncPolicy::Always);
    let wal = machine.open();
    let positions: Vec<_> = (1..=4)
        .map(|n| wal.append(RecordRef::data(&payload(n))).expect("appended"))
        .collect();
    machine.pass(&wal, WINDOW * 1000);
    machine.kill();
    let bit = (positions[3].offset.get() + 9) * 8;
    machine
        .storage
        .flip_bits(&segment(1), bit, 1)
        .expect("a bit of the file");
    let damage = corruption(machine.try_open());
    assert_eq!(damage.first_lsn.get(), 4);
}

/// A log of several segments that was closed.
fn closed() -> (Image, Vec<Position>) {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    let mut positions = Vec::new();
    for n in 1..=160 {
        positions.push(wal.append(RecordRef::data(&payload(n))).expect("appended"));
        if n % 9 == 0 {
            wal.flush().expect("flushed");
        }
    }
    assert!(wal.list_segments().expect("segments").len() >= 3);
    wal.close().expect("closed");
    (machine.storage.image(), positions)
}

/// The records up to an error, and the error.
fn read_up_to_error(wal: &Wal) -> (Vec<u64>, Option<Error>) {
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    let mut lsns = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some((record, position))) => {
                assert_eq!(record.value, payload(position.lsn.get()), "{position}");
                lsns.push(position.lsn.get());
            }
            Ok(None) => return (lsns, None),
            Err(error) => return (lsns, Some(error)),
        }
    }
}

#[test]
fn damage_in_an_older_segment_is_found_by_who_reads_it() {
    let (image, positions) = closed();
    for position in positions.iter().filter(|at| at.segment_id.get() < 3) {
        let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
        let name = segment(position.segment_id.get());
        machine
            .storage
            .flip_bits(&name, (position.offset.get() + 8) * 8, 1)
            .expect("a bit of the file");
        let verified = machine.verify().expect("verified");
        let damage: Vec<_> = verified.damage().collect();
        assert_eq!(damage.len(), 1, "{damage:?}");
        assert!(matches!(damage[0], Error::Corruption(found)
            if found.segment_id == position.segment_id && found.first_lsn <= position.lsn));
        // An open need not read it; a reader does.
        let wal = machine.open();
        let (read, error) = read_up_to_error(&wal);
        let last = read.last().copied().unwrap_or(0);
        assert_eq!(read, (1..=last).collect::<Vec<_>>());
        assert!(last < position.lsn.get());
        let found = corruption::<()>(Err(error.expect("the damage is met")));
        assert_eq!(found.segment_id, position.segment_id);
        assert_eq!(found.first_lsn.get(), last + 1);
        // By its position, too.
        let mut reader = wal.read_from(*position).expect("a reader");
        corruption(reader.next_record());
    }
}

#[test]
fn a_reader_returns_the_error_once_and_ends() {
    let (image, positions) = closed();
    let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
    let bit = (positions[10].offset.get() + 8) * 8;
    machine
        .storage
        .flip_bits(&segment(1), bit, 1)
        .expect("a bit of the file");
    for wal in [
        machine.open(),
        machine.look().expect("opened"),
        machine.look_at_damage().expect("opened"),
    ] {
        let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
        let error = loop {
            match reader.next_record() {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        corruption(error);
        for _ in 0..3 {
            assert!(reader.next_record().expect("it has ended").is_none());
        }
    }
}

#[test]
fn damage_met_under_the_writing_handle_is_corruption() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=3);
    let position = wal.append(RecordRef::data(&payload(4))).expect("appended");
    append(&wal, 5..=6);
    wal.flush().expect("flushed");
    machine
        .storage
        .flip_bits(&segment(1), (position.offset.get() + 8) * 8, 1)
        .expect("a bit of the file");
    let (read, error) = read_up_to_error(&wal);
    assert!(read.len() < 4);
    let found = corruption::<()>(Err(error.expect("the damage is met")));
    assert_eq!(found.segment_id.get(), 1);
    assert_eq!(found.first_lsn.get(), read.len() as u64 + 1);
}

/// What whoever opens and reads learns: all records, or an error.
fn outcome(machine: &Machine) -> Result<Vec<u64>> {
    let wal = machine.try_open()?;
    match read_up_to_error(&wal) {
        (_, Some(error)) => Err(error),
        (read, None) => Ok(read),
    }
}

#[test]
fn every_flipped_bit_of_a_closed_log_is_found_or_harmless() {
    let (image, positions) = closed();
    let all: Vec<u64> = (1..=positions.len() as u64).collect();
    let mut found = 0;
    let mut harmless = 0;
    for (name, bytes) in image.files().filter(|(name, _)| is_segment(name)) {
        for at in (0..bytes.len() as u64).step_by(5) {
            let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
            machine
                .storage
                .flip_bits(name, at * 8 + at % 8, 1)
                .expect("a bit of the file");
            let verified = machine.verify();
            let reported = verified.is_err() || verified.is_ok_and(|it| it.damage().count() > 0);
            match outcome(&machine) {
                Ok(read) => {
                    assert_eq!(read, all, "{name}, byte {at}");
                    harmless += 1;
                }
                Err(error) => {
                    let named =
                        matches!(&error, Error::Corruption(_) | Error::MissingSegment { .. });
                    assert!(named, "{name}, byte {at}: {error}");
                    assert!(reported, "{name}, byte {at}: verify does not see {error}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 1000 && harmless > 0, "{found}, {harmless}");
}

#[test]
fn every_lost_sector_of_a_closed_log_is_found_or_harmless() {
    use wal_io::fault::{Fill, Site};
    let (image, positions) = closed();
    let all: Vec<u64> = (1..=positions.len() as u64).collect();
    for (name, bytes) in image.files().filter(|(name, _)| is_segment(name)) {
        let sectors = (bytes.len() as u64).div_ceil(512);
        // With the footer in it, and nothing else of the last group's proof, the end may be taken for torn.
        for sector in 0..sectors - 2 {
            for fill in [Fill::Zeros, Fill::Ones, Fill::Garbage(sector)] {
                let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
                let site = Site { file: name, sector };
                machine.storage.fill_sector(site, fill).expect("a sector");
                match outcome(&machine) {
                    Ok(read) => assert_eq!(read, all, "{name}, {sector}, {fill:?}"),
                    Err(Error::Corruption(_)) => {}
                    Err(error) => panic!("{name}, {sector}, {fill:?}: {error}"),
                }
            }
        }
    }
}

#[test]
fn every_missing_segment_of_a_closed_log_is_found() {
    let (image, _) = closed();
    let names: Vec<_> = image
        .files()
        .map(|(name, _)| name)
        .filter(|name| is_segment(name))
        .collect();
    for (at, name) in names.iter().enumerate() {
        let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
        machine.storage.remove_file(name).expect("a file");
        match machine.try_open() {
            Err(Error::MissingSegment { segment_id, .. }) => {
                assert_eq!(segment_id.get(), at as u64 + 1);
            }
            other => panic!("{name}: {other:?}"),
        }
        let verified = machine.verify().expect("verified");
        assert!(verified.damage().count() > 0, "{name}");
    }
}

/// Puts one file in the place of another.
type Exchange = fn(&Machine, &str, &str) -> std::io::Result<()>;

#[test]
fn exchanged_and_doubled_segments_are_found() {
    let (image, positions) = closed();
    let all: Vec<u64> = (1..=positions.len() as u64).collect();
    let exchanges: [Exchange; 2] = [
        |machine, one, other| machine.storage.swap_files(one, other),
        |machine, one, other| machine.storage.duplicate_file(one, other),
    ];
    for exchange in exchanges {
        for (one, other) in [(1, 2), (2, 3), (1, 3), (3, 1), (3, 4), (1, 4)] {
            let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
            if exchange(&machine, &segment(one), &segment(other)).is_err() {
                continue;
            }
            match outcome(&machine) {
                Err(Error::Corruption(_) | Error::MissingSegment { .. }) => {}
                Ok(read) => assert_eq!(read, all, "{one}, {other}"),
                Err(error) => panic!("{one}, {other}: {error}"),
            }
        }
    }
}

#[test]
fn an_unreadable_sector_is_an_error_and_no_end() {
    use wal_io::fault::{Damage, Site};
    let (image, positions) = closed();
    let all = positions.len();
    for (name, bytes) in image.files().filter(|(name, _)| is_segment(name)) {
        for sector in 0..(bytes.len() as u64).div_ceil(512) {
            let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
            let site = Site { file: name, sector };
            machine
                .storage
                .damage_sector(site, Damage::Lasting)
                .expect("a sector");
            match outcome(&machine) {
                Err(Error::Io { location, what, .. }) => {
                    assert_eq!(location, "fault:/log");
                    assert!(!what.is_empty());
                }
                Ok(read) => assert_eq!(read.len(), all, "{name}, {sector}"),
                Err(error) => panic!("{name}, {sector}: {error}"),
            }
        }
    }
}

#[test]
fn a_crash_after_a_clean_close_leaves_no_residual() {
    // All that a close has synced survives, and is proven, whatever the crash does to the rest.
    for policy in policies() {
        for seed in 0..20 {
            let mut machine = Machine::new(policy).segments_of(SMALL);
            let wal = machine.open();
            append(&wal, 1..=100);
            wal.close().expect("closed");
            machine.storage = machine.storage.crash(&mut Seeded::streaky(seed));
            let wal = machine.open();
            let report = wal.recovery_report();
            assert_eq!((report.clean, report.unproven), (true, 0), "{report:?}");
            assert_eq!(report.proven_lsn.get(), 100);
            assert_holds(&wal, 1..=100);
        }
    }
}

#[test]
fn damage_to_what_a_read_only_handle_has_found_is_not_the_end_of_the_log() {
    for len in [40, 150] {
        let machine = Machine::new(FsyncPolicy::Always);
        let wal = machine.open();
        for lsn in 1..=20 {
            wal.append(RecordRef::data(&large(lsn, len)))
                .expect("appended");
        }
        let sectors = {
            let (name, bytes) = machine.segments().pop().expect("a segment");
            (8..(bytes.len() as u64 / 512).min(80)).map(move |sector| (name.clone(), sector))
        };
        let mut met = 0;
        for (file, sector) in sectors {
            let copy = Machine::holding(&machine.storage.image(), FsyncPolicy::Always);
            let reader = Wal::builder("log")
                .storage(std::sync::Arc::new(copy.storage.clone()))
                .read_only()
                .open()
                .expect("opened");
            assert_eq!(reader.last_lsn(), Lsn::new(20));
            let site = Site {
                file: &file,
                sector,
            };
            let before = copy.storage.image();
            copy.storage
                .fill_sector(site, Fill::Zeros)
                .expect("a sector of the file");
            let read = read_all(&reader);
            if copy.storage.image() == before {
                assert_eq!(read.expect("nothing has changed").len(), 20);
            } else if read.as_ref().is_ok_and(|records| records.len() >= 19) {
                // Padding, or the last group, of which no later one says that it was durable.
            } else {
                let names = corruption(read.map(|records| records.len()));
                assert!(names.what.contains("LSN"), "{names:?}");
                met += 1;
            }
        }
        assert!(met >= 4, "{met} of {len} bytes");
    }
}

/// A crash may leave the newest segment with nothing but its link. What the segment before has after the end that the link names was
/// written after its records were durable.
#[test]
fn a_footer_after_the_end_that_a_link_names_is_a_proof() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    let positions: Vec<Position> = (1..=20)
        .map(|n| {
            wal.append(RecordRef::data(&large(n, 600)))
                .expect("appended")
        })
        .collect();
    wal.sync().expect("synced");
    machine.pass(&wal, Duration::from_secs(1));
    let machine = Machine::holding(&machine.storage.kill().image(), FsyncPolicy::Os);
    let (file, bytes) = machine.segments().pop().expect("a segment");
    for sector in 9..bytes.len() as u64 / 512 {
        let site = Site {
            file: &file,
            sector,
        };
        machine
            .storage
            .fill_sector(site, Fill::Zeros)
            .expect("a sector");
    }
    // The last record of the segment before.
    let names: Vec<String> = positions
        .iter()
        .map(|it| segment(it.segment_id.get()))
        .collect();
    let at = names
        .iter()
        .rposition(|name| *name != file)
        .expect("a record");
    let bit = (positions[at].offset.get() + 100) * 8;
    let before = &names[at];
    machine.storage.flip_bits(before, bit, 1).expect("a bit");
    // So may the cut behind its footer.
    let opened = machine.storage.open(before, OpenMode::ReadWrite);
    let longer = opened.and_then(|opened| opened.set_len(SMALL));
    longer.expect("a longer file");
    let found = corruption(machine.try_open().map(|wal| wal.last_lsn()));
    assert_eq!(found.last_lsn, Some(positions[at].lsn));
}
