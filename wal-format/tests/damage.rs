//! Every single bit flipped and every truncation of small segments: each is found, at the right
//! place and with the right verdict, or it provably changes nothing.

mod support;

use support::{Builder, noise};
use wal_format::{
    Alignment, Compression, GroupKind, HeaderError, InvalidAt, Lsn, Record, RecordRef,
    SegmentError, SegmentId, SegmentView,
};

const LEN: usize = 8 << 10;

/// What a reader gets from a segment.
#[derive(Debug, PartialEq)]
struct Read {
    records: Vec<(Lsn, Record)>,
    /// Where each valid group starts, its unpadded end, and the LSN that follows it.
    groups: Vec<(usize, usize, Lsn)>,
    sealed: bool,
    invalid: Option<InvalidAt>,
    /// The highest watermark in the valid groups.
    watermark: Lsn,
}

fn read(bytes: &[u8]) -> Result<Read, SegmentError> {
    let mut walk = SegmentView::parse(bytes, SegmentId::FIRST)?.groups();
    let mut read = Read {
        records: Vec::new(),
        groups: Vec::new(),
        sealed: false,
        invalid: None,
        watermark: Lsn::ZERO,
    };
    for group in walk.by_ref() {
        match group {
            Ok(group) => {
                let header = group.header;
                let place = (header.offset.get() as usize, header.end_offset() as usize);
                read.groups.push((place.0, place.1, header.next_lsn()));
                read.watermark = read.watermark.max(header.watermark);
                let records = group.records();
                read.records
                    .extend(records.map(|(lsn, _, r)| (lsn, r.to_record().unwrap())));
            }
            Err(invalid) => read.invalid = Some(invalid),
        }
    }
    read.sealed = walk.is_sealed();
    Ok(read)
}

fn builder(align: Alignment) -> Builder {
    let text = "the log is a log is a log; ".repeat(9);
    let compression = if Compression::Lz4.is_available() {
        Compression::Lz4
    } else {
        Compression::None
    };
    let compressed = RecordRef::put(b"text", text.as_bytes()).with_compression(compression);
    let expiring = RecordRef::delete(b"key").with_expiry(support::NOW);
    let mut segment = Builder::first(LEN as u64, align);
    segment
        .records(&[RecordRef::put(b"key", b"value"), RecordRef::data(b"")], 0)
        .group(&[&[compressed, expiring]], 2)
        .cut(2, 4)
        .records(&[RecordRef::data(b"last")], 4);
    segment
}

/// A whole segment, the rest of the file behind it, and what it reads as.
fn sealed(align: Alignment) -> (Vec<u8>, Read) {
    let bytes = builder(align).footer(SegmentId::new(2), 2).bytes_in(LEN);
    let whole = read(&bytes).unwrap();
    assert!(whole.sealed && whole.invalid.is_none());
    assert_eq!((whole.records.len(), whole.groups.len()), (5, 6));
    (bytes, whole)
}

/// A segment that was not closed, with what an earlier life of the file left behind it.
fn unclean(align: Alignment) -> (Vec<u8>, Read) {
    let mut bytes = builder(align).stamp(5).bytes();
    let end = bytes.len();
    bytes.extend_from_slice(&noise(LEN - end, 3));
    let whole = read(&bytes).unwrap();
    assert!(!whole.sealed && whole.invalid.is_some());
    assert_eq!((whole.records.len(), whole.groups.len()), (5, 6));
    (bytes, whole)
}

/// The prefix of `whole` that ends before the group that starts at `place`.
#[track_caller]
fn assert_prefix(damaged: &Read, whole: &Read, place: usize) {
    let valid = whole
        .groups
        .iter()
        .take_while(|group| group.0 < place)
        .count();
    assert_eq!(
        damaged.groups,
        whole.groups[..valid],
        "groups before {place}"
    );
    let next = valid
        .checked_sub(1)
        .map_or(Lsn::FIRST, |last| whole.groups[last].2);
    let records = whole
        .records
        .iter()
        .take_while(|(lsn, _)| *lsn < next)
        .count();
    assert_eq!(
        damaged.records,
        whole.records[..records],
        "records before {place}"
    );
    assert!(!damaged.sealed);
}

fn every_bit((mut bytes, whole): (Vec<u8>, Read)) {
    let highest = if whole.sealed {
        Lsn::new(5)
    } else {
        whole.watermark
    };
    let (mut found, mut harmless) = (0, 0);
    for bit in 0..bytes.len() * 8 {
        let at = bit / 8;
        bytes[at] ^= 1 << (bit % 8);
        let group = whole
            .groups
            .iter()
            .find(|group| (group.0..group.1).contains(&at));
        match (read(&bytes), group) {
            (Err(SegmentError::Header(_)), None) => {
                assert!(at < 4096, "byte {at} is in the segment header");
                found += 1;
            }
            (Ok(read), Some(group)) => {
                assert_prefix(&read, &whole, group.0);
                let invalid = read.invalid.expect("the place is told");
                assert_eq!(invalid.offset.get() as usize, group.0, "bit {bit}");
                // Corruption if and only if what stood there was proven durable.
                let is_last = *group == whole.groups[whole.groups.len() - 1];
                let proven = !is_last && invalid.lsn.max(Lsn::FIRST) <= highest || {
                    whole.sealed && !is_last
                };
                assert_eq!(invalid.witness.is_some(), proven, "bit {bit}: {invalid}");
                found += 1;
            }
            (Ok(read), None) => {
                // Padding, or the rest of the file: it has no meaning.
                assert!(at >= 4096);
                assert_eq!(
                    (&read.records, &read.groups),
                    (&whole.records, &whole.groups)
                );
                assert_eq!(read.sealed, whole.sealed);
                assert!(read.invalid.is_none_or(|invalid| invalid.witness.is_none()));
                harmless += 1;
            }
            (Err(error), group) => panic!("bit {bit}: {error}, in {group:?}"),
        }
        bytes[at] ^= 1 << (bit % 8);
    }
    let meaningful: usize = whole.groups.iter().map(|group| group.1 - group.0).sum();
    assert_eq!(
        (found, harmless),
        ((4096 + meaningful) * 8, (LEN - 4096 - meaningful) * 8)
    );
}

fn every_truncation((bytes, whole): &(Vec<u8>, Read)) {
    for len in 0..bytes.len() {
        let damaged = match read(&bytes[..len]) {
            Ok(damaged) => damaged,
            Err(SegmentError::Header(HeaderError::TooShort { len: found })) => {
                assert!(len < 4096 && found == len as u64);
                continue;
            }
            Err(error) => panic!("{len} bytes: {error}"),
        };
        let Some(cut) = whole.groups.iter().find(|group| group.1 > len) else {
            assert_eq!(
                (&damaged.records, damaged.sealed),
                (&whole.records, whole.sealed)
            );
            continue;
        };
        assert_prefix(&damaged, whole, cut.0);
        let told = damaged
            .invalid
            .map(|invalid| (invalid.offset.get() as usize, invalid.witness));
        // Cut between two groups, nothing stands there; a segment has at least a link.
        let nothing_there = len <= cut.0 && cut.0 > 4096;
        assert_eq!(
            told,
            (!nothing_there).then_some((cut.0, None)),
            "{len} bytes"
        );
    }
}

#[test]
fn every_bit_of_a_sealed_segment() {
    every_bit(sealed(Alignment::Eight));
}

#[test]
fn every_bit_of_a_sealed_segment_of_sectors() {
    every_bit(sealed(Alignment::Sector512));
}

#[test]
fn every_bit_of_an_unclean_segment() {
    every_bit(unclean(Alignment::Eight));
}

#[test]
fn every_bit_of_an_unclean_segment_of_sectors() {
    every_bit(unclean(Alignment::Sector512));
}

#[test]
fn every_truncation_of_each() {
    for align in [Alignment::Eight, Alignment::Sector512] {
        every_truncation(&sealed(align));
        every_truncation(&unclean(align));
    }
}

#[test]
fn every_sector_zeroed() {
    for align in [Alignment::Eight, Alignment::Sector512] {
        let (bytes, whole) = sealed(align);
        for sector in (4096..LEN).step_by(512) {
            let mut damaged = bytes.clone();
            damaged[sector..sector + 512].fill(0);
            let read = read(&damaged).unwrap();
            let hit = |group: &&(usize, usize, Lsn)| group.0 < sector + 512 && sector < group.1;
            let Some(group) = whole.groups.iter().find(hit) else {
                assert_eq!(read, whole);
                continue;
            };
            assert_prefix(&read, &whole, group.0);
            let footer = whole.groups[whole.groups.len() - 1];
            let proven = footer.0 >= sector + 512;
            let witness = read.invalid.and_then(|invalid| invalid.witness);
            assert_eq!(witness.is_some(), proven, "sector {sector}");
            assert!(witness.is_none_or(|w| w.kind == GroupKind::Footer || w.watermark > Lsn::ZERO));
        }
    }
}

#[test]
fn groups_of_another_life_are_not_read() {
    // The same log, the same place, an earlier epoch: what a reused file would hold.
    let (stale, _) = sealed(Alignment::Eight);
    let mut header = support::header(1, LEN as u64, Alignment::Eight);
    header.epoch = wal_format::Epoch::new(99);
    let link = wal_format::LinkBody::first(Lsn::FIRST, wal_format::History::NONE);
    let mut fresh = Builder::new(header, &link, Lsn::ZERO).bytes();
    fresh.extend_from_slice(&stale[fresh.len()..]);
    let read = read(&fresh).unwrap();
    assert_eq!((read.records.len(), read.groups.len()), (0, 1));
    assert_eq!(read.invalid.and_then(|invalid| invalid.witness), None);
}
