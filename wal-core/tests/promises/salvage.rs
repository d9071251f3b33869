//! Damage costs what it hits and no more: a reader that skips it returns every other record, with its LSN.

use std::collections::BTreeMap;
use std::sync::Arc;

use wal_core::blocking::{Reader, Wal};
use wal_core::{Error, FsyncPolicy, Lsn, OnDamage, Position, RecordRef};
use wal_io::fault::{Fill, Image, Site};

use crate::common::trace::segment;
use crate::common::{Machine, SMALL, append, is_segment, payload};

/// What a reader that skips damage gave.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    pub(super) records: BTreeMap<u64, Vec<u8>>,
    /// First and last LSN, and whether there is a cause.
    pub(super) gaps: Vec<(u64, u64, bool)>,
}

impl Skipped {
    pub(super) fn ranges(&self) -> Vec<(u64, u64)> {
        self.gaps.iter().map(|(from, to, _)| (*from, *to)).collect()
    }

    /// The last LSN.
    pub(super) fn end(&self) -> u64 {
        let record = self.records.last_key_value().map_or(0, |(lsn, _)| *lsn);
        self.gaps
            .last()
            .map_or(record, |(_, to, _)| record.max(*to))
    }

    pub(super) fn lost(&self) -> u64 {
        self.gaps.iter().map(|(from, to, _)| to - from + 1).sum()
    }

    /// The records are the same.
    #[track_caller]
    pub(super) fn has_records_of(&self, other: &Self, case: &str) {
        let differs = |lsn: &&u64| self.records.get(lsn) != other.records.get(lsn);
        let all = self.records.keys().chain(other.records.keys());
        let differing: Vec<&u64> = all.filter(differs).collect();
        assert!(differing.is_empty(), "{case}: LSNs {differing:?}");
    }

    /// Every record is the one that was appended.
    #[track_caller]
    pub(super) fn are_payloads(&self, case: &str) {
        for (lsn, value) in &self.records {
            assert_eq!(*value, payload(*lsn), "{case}: LSN {lsn}");
        }
    }
}

/// Reads it all: each LSN comes once, as a record or in a gap, and gaps do not touch.
#[track_caller]
pub(super) fn skip_through(reader: Reader, case: &str) -> Skipped {
    let mut skipped = Skipped::default();
    let mut next: Option<u64> = None;
    let mut reader = reader.on_damage(OnDamage::Skip);
    loop {
        let (from, to) = match reader.next_record() {
            Ok(Some((record, position))) => {
                let lsn = position.lsn.get();
                skipped.records.insert(lsn, record.value.to_vec());
                (lsn, lsn)
            }
            Ok(None) => break,
            Err(Error::Gap { from, to, cause }) => {
                let (from, to) = (from.get(), to.get());
                let touches = skipped
                    .gaps
                    .last()
                    .is_some_and(|(_, last, _)| last + 1 == from);
                assert!(!touches, "{case}: two gaps at LSN {from}");
                skipped.gaps.push((from, to, cause.is_some()));
                (from, to)
            }
            Err(error) => panic!("{case}: {error}"),
        };
        assert!(
            next.is_none_or(|next| next == from),
            "{case}: {from} after {next:?}"
        );
        assert!(from <= to, "{case}");
        next = Some(to + 1);
    }
    assert!(matches!(reader.next_record(), Ok(None)), "{case}");
    skipped
}

/// As [`skip_through`], from the start of a log that may not open for writing.
#[track_caller]
pub(super) fn skip_all(machine: &Machine, case: &str) -> Skipped {
    let wal = machine
        .look_at_damage()
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), case)
}

/// A log of several segments, eight records to a group.
fn several(last: u64) -> (Machine, Wal, Vec<Position>) {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    let mut positions = Vec::new();
    for n in 1..=last {
        positions.push(wal.append(RecordRef::data(&payload(n))).expect("appended"));
        if n % 8 == 0 {
            wal.flush().expect("flushed");
        }
    }
    (machine, wal, positions)
}

pub(super) fn closed(last: u64) -> (Image, Vec<Position>) {
    let (machine, wal, positions) = several(last);
    wal.close().expect("closed");
    (machine.storage.image(), positions)
}

/// The process died, and the last groups were not proven.
pub(super) fn killed(last: u64) -> Image {
    let (machine, wal, _) = several(last);
    wal.flush().expect("flushed");
    machine.storage.kill().image()
}

#[test]
fn one_damaged_record_is_lost_and_none_of_its_neighbours() {
    let (image, positions) = closed(120);
    for position in &positions {
        let lsn = position.lsn.get();
        let name = segment(position.segment_id.get());
        // Its checksum, flags, length, payload.
        for at in [0, 3, 4, 5, 7, 12] {
            for bit in [0, 6, 7] {
                let machine = Machine::holding(&image, FsyncPolicy::Os);
                let flipped = (position.offset.get() + at) * 8 + bit;
                machine.storage.flip_bits(&name, flipped, 1).expect("a bit");
                let case = format!("LSN {lsn}, byte {at}, bit {bit}");
                let skipped = skip_all(&machine, &case);
                skipped.are_payloads(&case);
                assert_eq!(skipped.gaps, [(lsn, lsn, true)], "{case}");
                assert_eq!(skipped.records.len(), 119, "{case}");
            }
        }
    }
}

/// Lengths that are whole lead from record to record, whatever has become of the values.
#[test]
fn damaged_values_of_a_group_cost_their_records_in_any_combination() {
    let (image, positions) = closed(120);
    let group = &positions[32..40];
    for damaged in 1..1_u32 << group.len() {
        let machine = Machine::holding(&image, FsyncPolicy::Os);
        let mut lost = Vec::new();
        for (at, position) in group.iter().enumerate() {
            if damaged & 1 << at != 0 {
                let bit = (position.offset.get() + 12) * 8;
                let name = segment(position.segment_id.get());
                machine.storage.flip_bits(&name, bit, 1).expect("a bit");
                lost.push(position.lsn.get());
            }
        }
        let case = format!("{lost:?}");
        let skipped = skip_all(&machine, &case);
        skipped.are_payloads(&case);
        let there = |lsn: &u64| !lost.contains(lsn);
        let lsns: Vec<u64> = skipped.records.into_keys().collect();
        assert_eq!(lsns, (1..=120).filter(there).collect::<Vec<_>>(), "{case}");
    }
}

/// The records before the first that is asked for are passed over unread. Their group is checked at its end.
#[test]
fn a_reader_that_begins_after_damage_meets_none() {
    let (image, positions) = closed(120);
    let killed = killed(120);
    for (image, position) in positions
        .iter()
        .flat_map(|it| [(&image, it), (&killed, it)])
    {
        let lsn = position.lsn.get();
        let name = segment(position.segment_id.get());
        for at in [0, 3, 4, 5, 7, 12] {
            let machine = Machine::holding(image, FsyncPolicy::Os);
            let flipped = (position.offset.get() + at) * 8 + 1;
            machine.storage.flip_bits(&name, flipped, 1).expect("a bit");
            let wal = machine.look_at_damage().expect("opened");
            for start in lsn + 1..=(lsn + 8).min(wal.last_lsn().get()) {
                let case = format!("LSN {lsn}, byte {at}, from LSN {start}");
                let reader = wal.read_from(Lsn::new(start)).expect("a reader");
                let skipped = skip_through(reader, &case);
                assert_eq!(skipped.gaps, [], "{case}");
                let lsns: Vec<u64> = skipped.records.into_keys().collect();
                assert_eq!(
                    lsns,
                    (start..=wal.last_lsn().get()).collect::<Vec<_>>(),
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn a_reader_that_does_not_skip_returns_the_damage_once_and_ends() {
    let (image, positions) = closed(120);
    let machine = Machine::holding(&image, FsyncPolicy::Os);
    let position = &positions[39];
    let name = segment(position.segment_id.get());
    let bit = (position.offset.get() + 7) * 8;
    machine.storage.flip_bits(&name, bit, 1).expect("a bit");
    let wal = machine.look_at_damage().expect("opened");
    let reader = wal.read_from(Lsn::ZERO).expect("a reader");
    let mut reader = reader.on_damage(OnDamage::Stop);
    for lsn in 1..40 {
        let (_, position) = reader.next_record().expect("read").expect("a record");
        assert_eq!(position.lsn.get(), lsn);
    }
    assert!(matches!(reader.next_record(), Err(Error::Corruption(_))));
    assert!(matches!(reader.next_record(), Ok(None)));
    // The iterator goes on where the reader does.
    let reader = wal.read_from(Lsn::new(38)).expect("a reader");
    let steps: Vec<bool> = reader
        .on_damage(OnDamage::Skip)
        .map(|step| step.is_ok())
        .take(5)
        .collect();
    assert_eq!(steps, [true, true, false, true, true]);
}

#[test]
fn every_byte_of_a_small_log() {
    let (image, _) = closed(110);
    let killed = killed(110);
    for (kind, image) in [("closed", &image), ("killed", &killed)] {
        let whole = skip_all(&Machine::holding(image, FsyncPolicy::Os), kind);
        assert_eq!(whole.gaps, []);
        let all = whole.records.len();
        assert!(all > 100, "{kind}: {all}");
        let names: Vec<String> = image.files().map(|(name, _)| name.to_owned()).collect();
        let mut lost_most = 0;
        for name in names.iter().filter(|name| is_segment(name)) {
            let bytes = image.get(name).expect("a file");
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64;
            let header = (0..90).chain((90..4096).step_by(331));
            for at in header.chain(4096..=used) {
                let machine = Machine::holding(image, FsyncPolicy::Os);
                machine
                    .storage
                    .flip_bits(name, at * 8 + at % 8, 1)
                    .expect("a bit");
                let case = format!("{kind}: byte {at} of {name}");
                let skipped = skip_all(&machine, &case);
                skipped.are_payloads(&case);
                let reaches = skipped.records.len() as u64 + skipped.lost();
                if kind == "closed" {
                    assert_eq!(reaches, all as u64, "{case}: {:?}", skipped.gaps);
                    assert!(skipped.lost() <= 1, "{case}: {:?}", skipped.gaps);
                    lost_most = lost_most.max(skipped.lost());
                } else if reaches != all as u64 {
                    // The residual: the end of a log that was not closed looks torn.
                    assert_eq!(skipped.gaps, [], "{case}");
                } else {
                    assert!(skipped.lost() <= 1, "{case}: {:?}", skipped.gaps);
                }
            }
        }
        assert!(kind == "killed" || lost_most == 1);
    }
}

#[test]
fn a_lost_sector_loses_the_records_that_touch_it() {
    let (image, positions) = closed(280);
    let names: Vec<String> = image.files().map(|(name, _)| name.to_owned()).collect();
    for name in names.iter().filter(|name| is_segment(name)) {
        let sectors = image.get(name).expect("a file").len() as u64 / 512;
        for sector in 0..sectors {
            for fill in [Fill::Zeros, Fill::Garbage(sector)] {
                let machine = Machine::holding(&image, FsyncPolicy::Os);
                let site = Site { file: name, sector };
                machine.storage.fill_sector(site, fill).expect("a sector");
                let case = format!("sector {sector} of {name}, {fill:?}");
                let skipped = skip_all(&machine, &case);
                skipped.are_payloads(&case);
                assert_eq!(skipped.records.len() as u64 + skipped.lost(), 280, "{case}");
                let (from, to) = (sector * 512, (sector + 1) * 512);
                for lsn in skipped
                    .ranges()
                    .into_iter()
                    .flat_map(|(from, to)| from..=to)
                {
                    let position = &positions[lsn as usize - 1];
                    let start = position.offset.get();
                    // Its checksum, flags, length and payload.
                    let end = start + 6 + payload(lsn).len() as u64;
                    let touches =
                        *name == segment(position.segment_id.get()) && start < to && end > from;
                    assert!(touches, "{case}: LSN {lsn} at {start} to {end}");
                }
            }
        }
    }
}

#[test]
fn a_missing_segment_is_one_gap() {
    let (image, positions) = closed(360);
    let last = positions.last().expect("a record").segment_id.get();
    assert!(last >= 5);
    for id in 1..last {
        let machine = Machine::holding(&image, FsyncPolicy::Os);
        machine.storage.remove_file(&segment(id)).expect("a file");
        let of_it = positions
            .iter()
            .filter(|position| position.segment_id.get() == id);
        let lsns: Vec<u64> = of_it.map(|position| position.lsn.get()).collect();
        let case = format!("segment {id}");
        let skipped = skip_all(&machine, &case);
        assert_eq!(
            skipped.gaps,
            [(lsns[0], lsns[lsns.len() - 1], true)],
            "{case}"
        );
        assert_eq!(skipped.records.len(), 360 - lsns.len());
        // Together with the one behind it, it is one gap still.
        if id + 1 < last {
            machine
                .storage
                .remove_file(&segment(id + 1))
                .expect("a file");
            assert_eq!(skip_all(&machine, &case).gaps.len(), 1, "{case}");
        }
    }
}

#[test]
fn what_was_truncated_does_not_come_back() {
    let (machine, wal, _) = several(200);
    wal.truncate_after(Lsn::new(150)).expect("truncated");
    append(&wal, 151..=160);
    wal.truncate_before(Lsn::new(30)).expect("truncated");
    wal.close().expect("closed");
    let image = machine.storage.image();
    for (name, bytes) in image.files().filter(|(name, _)| is_segment(name)) {
        for at in (0..bytes.len() as u64).step_by(7) {
            let machine = Machine::holding(&image, FsyncPolicy::Os);
            machine.storage.flip_bits(name, at * 8, 2).expect("bits");
            let case = format!("byte {at} of {name}");
            let skipped = skip_all(&machine, &case);
            skipped.are_payloads(&case);
            assert!(skipped.lost() <= 1, "{case}: {:?}", skipped.gaps);
            assert_eq!(skipped.records.len() as u64 + skipped.lost(), 131, "{case}");
            assert_eq!(skipped.end(), 160, "{case}");
        }
    }
}

#[test]
fn a_reader_of_the_writing_handle_skips_damage_as_well() {
    let (machine, wal, positions) = several(200);
    wal.flush().expect("flushed");
    // In a sealed segment, and in the active one.
    for lsn in [40, 190] {
        let position = &positions[lsn - 1];
        let bit = (position.offset.get() + 9) * 8;
        let name = segment(position.segment_id.get());
        machine.storage.flip_bits(&name, bit, 1).expect("a bit");
    }
    let skipped = skip_through(wal.read_from(Lsn::ZERO).expect("a reader"), "live");
    skipped.are_payloads("live");
    assert_eq!(skipped.gaps, [(40, 40, true), (190, 190, true)]);
    assert_eq!(skipped.records.len(), 198);
    // It goes on with what is appended later.
    let reader = wal.read_from(Lsn::new(185)).expect("a reader");
    let mut reader = reader.on_damage(OnDamage::Skip);
    let ended = |step| matches!(step, Ok(None));
    while !ended(reader.next_record()) {}
    append(&wal, 201..=202);
    for lsn in [201, 202] {
        let (_, position) = reader.next_record().expect("read").expect("a record");
        assert_eq!(position.lsn.get(), lsn);
    }
    assert!(ended(reader.next_record()));
}

#[test]
fn an_async_reader_skips_damage_as_well() {
    let (image, positions) = closed(120);
    let machine = Machine::holding(&image, FsyncPolicy::Os);
    let name = segment(positions[49].segment_id.get());
    let bit = (positions[49].offset.get() + 9) * 8;
    machine.storage.flip_bits(&name, bit, 1).expect("a bit");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let builder = wal_core::Wal::builder("log").storage(Arc::new(machine.storage.clone()));
        let wal = builder.read_damaged().open().await.expect("opened");
        let reader = wal.read_from(Lsn::new(48)).await.expect("a reader");
        let mut reader = reader.on_damage(OnDamage::Skip);
        let mut seen = Vec::new();
        loop {
            match reader.next_record().await {
                Ok(Some((_, position))) => seen.push(position.lsn.get()),
                Ok(None) => break,
                Err(Error::Gap { from, to, .. }) => {
                    assert_eq!((from.get(), to.get()), (50, 50));
                    seen.push(0);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(seen[..4], [48, 49, 0, 51]);
        assert_eq!(seen.len(), 73);
    });
}
