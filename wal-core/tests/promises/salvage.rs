//! Damage costs what it hits and no more: a reader that skips it returns every other record, with its LSN.

use std::collections::BTreeMap;

use wal_core::blocking::{Reader, Wal};
use wal_core::{Error, FsyncPolicy, Lsn, OnDamage, Position, RecordRef};
use wal_io::fault::Image;

use crate::common::trace::segment;
use crate::common::{Machine, SMALL, payload};

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
        for name in names.iter().filter(|name| name.ends_with(".wal")) {
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
