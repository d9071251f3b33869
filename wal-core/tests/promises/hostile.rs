//! No length read from disk is believed before it is bounded, and no input makes the log panic or hang: files that were made
//! to hurt, with checksums that hold.

use std::sync::{Arc, mpsc};
use std::thread;

use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, Lsn, OnDamage, RepairMode};
use wal_format::{
    Alignment, Control, Epoch, FooterFacts, GroupHeader, GroupKind, GroupWriter, Histories,
    History, IndexEntry, LinkBody, LinkCause, LogId, Offset, Origin, SegmentHeader, SegmentId,
    UnixMillis, Version, crc32,
};
use wal_io::fault::Chooser;
use wal_io::fault::{Image, Seeded};

use crate::common::trace::segment;
use crate::common::watched::Watched;
use crate::common::{Machine, PATIENCE};

const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

pub(super) fn header() -> SegmentHeader {
    SegmentHeader {
        log_id: LogId::from_bytes([3; 16]),
        segment_id: SegmentId::FIRST,
        epoch: Epoch::new(0x1234_5678_9abc),
        capacity: 64 << 10,
        record_limit: 16 << 10,
        node_id: 1,
        alignment: Alignment::Eight,
        // So that no file is too short for it.
        allocated: wal_format::HEADER_LEN,
        origin: Origin::Spare,
        version: Version::V1,
        replaces: None,
        log_capacity: 64 << 10,
        log_record_limit: 16 << 10,
    }
}

pub(super) fn header_of(version: Version) -> SegmentHeader {
    SegmentHeader {
        version,
        ..header()
    }
}

/// Where the first group after the beginning starts.
fn data(header: &SegmentHeader) -> u64 {
    beginning(header).0.len() as u64
}

pub(super) fn first_link(version: Version) -> LinkBody {
    if version == Version::V2 {
        return LinkBody::first(Lsn::FIRST, History::new(7));
    }
    LinkBody {
        predecessor: SegmentId::NONE,
        predecessor_epoch: Epoch::new(0),
        end_lsn: Lsn::ZERO,
        end_offset: Offset::new(0),
        log_first: Lsn::FIRST,
        end_digest: 0,
        cause: LinkCause::First,
        kept: Lsn::ZERO,
        histories: Histories::unknown(),
    }
}

/// Header and link of a first segment, in version 2 its control state too, and what chains a group to it.
pub(super) fn beginning(header: &SegmentHeader) -> (Vec<u8>, u32) {
    let groups = begun(header);
    let mut bytes = header.encode();
    bytes.extend_from_slice(groups.bytes());
    (bytes, groups.previous())
}

pub(super) fn begun(header: &SegmentHeader) -> GroupWriter {
    let mut groups = GroupWriter::new(header.frame(), 0);
    groups.link(&first_link(header.version), Lsn::ZERO);
    if header.version == Version::V2 {
        groups.control(&Control::default(), Lsn::ZERO);
    }
    groups
}

/// Opens a directory with these segments in every way, and reads what it gives: no panic, no hang, and each error is one that
/// a reader of files may give. The LSNs of the records that were shown, which follow each other.
pub(super) fn survive(segments: &[(u64, Vec<u8>)], case: &str) {
    let mut image = Image::new();
    image.insert("lock", b"".to_vec());
    for (id, bytes) in segments {
        image.insert(&segment(*id), bytes.clone());
    }
    survive_image(&image, case);
}

/// The same on a thread of its own, so that a hang is seen.
#[track_caller]
fn survive_or_hang(segments: Vec<(u64, Vec<u8>)>, case: String) {
    let (tell, told) = mpsc::channel();
    let name = case.clone();
    thread::spawn(move || {
        survive(&segments, &case);
        let _ = tell.send(());
    });
    let outcome = told.recv_timeout(PATIENCE);
    assert!(outcome.is_ok(), "{name}: {outcome:?}");
}

pub(super) fn survive_image(image: &Image, case: &str) {
    repair(&Machine::holding(image, FsyncPolicy::Os), case);
    let machine = Machine::holding(image, FsyncPolicy::Os);
    let storage = Arc::new(machine.storage.clone());
    let whole = match wal_core::Offline::on(storage).verify(wal_core::VerifyOptions::default()) {
        Ok(report) => report.damage().map(ToString::to_string).count() == 0,
        Err(error) => {
            assert_expected(&error, case);
            false
        }
    };
    for opened in [machine.look(), machine.look_at_damage(), machine.try_open()] {
        let wal = match opened {
            Ok(wal) => wal,
            Err(error) => {
                assert_expected(&error, case);
                continue;
            }
        };
        let mut next = None;
        let mut reader = match wal.read_from(Lsn::ZERO) {
            Ok(reader) => reader,
            Err(error) => {
                assert_expected(&error, case);
                continue;
            }
        };
        loop {
            match reader.next_record() {
                Ok(Some((_, position))) => {
                    assert!(next.is_none_or(|next| next == position.lsn), "{case}");
                    next = Some(position.lsn.next());
                }
                Ok(None) => break,
                Err(error) => {
                    let recorded = matches!(error, Error::Gap { cause: None, .. });
                    assert!(!whole || recorded, "{case}: it verifies, but {error}");
                    assert_expected(&error, case);
                    break;
                }
            }
        }
        skip_through(&wal, case);
        for id in wal.list_segments().unwrap_or_default() {
            if let Ok(mut reader) = wal.read_segment(id) {
                while let Ok(Some(_)) = reader.next_record() {}
            }
        }
        assert!(wal.stats().segments <= 64, "{case}");
    }
}

/// A reader that skips damage comes to the end too, and says of each LSN what became of it.
fn skip_through(wal: &Wal, case: &str) {
    let Ok(reader) = wal.read_from(Lsn::ZERO) else {
        return;
    };
    let mut next: Option<Lsn> = None;
    let mut reader = reader.on_damage(OnDamage::Skip);
    loop {
        let (from, to) = match reader.next_record() {
            Ok(Some((_, position))) => (position.lsn, position.lsn),
            Ok(None) => return,
            Err(Error::Gap { from, to, .. }) => (from, to),
            Err(error) => {
                assert_expected(&error, case);
                return;
            }
        };
        assert!(from <= to && next.is_none_or(|next| next == from), "{case}");
        next = Some(to.next());
    }
}

/// A repair is refused, or it leaves a log that opens.
fn repair(machine: &Machine, case: &str) {
    let storage: Arc<dyn wal_io::Storage> = Arc::new(machine.storage.clone());
    let repair = |mode| wal_core::Offline::on(Arc::clone(&storage)).repair(mode);
    let planned = match repair(RepairMode::DryRun) {
        Ok(planned) => planned,
        Err(error) => return assert_expected(&error, case),
    };
    // What a group claims that was made up may be more than a simulated disk should hold.
    if planned.is_whole() || planned.bytes_needed > 64 << 20 {
        return;
    }
    match repair(RepairMode::Apply) {
        Ok(_) => drop(
            machine
                .try_open()
                .unwrap_or_else(|error| panic!("{case}: {error}")),
        ),
        Err(error) => assert_expected(&error, case),
    }
    let again = repair(RepairMode::DryRun);
    assert!(again.is_ok_and(|again| again.is_whole()), "{case}");
}

fn assert_expected(error: &Error, case: &str) {
    let expected = matches!(
        error,
        Error::Corruption(_)
            | Error::MissingSegment { .. }
            | Error::Gap { .. }
            | Error::UnknownVersion { .. }
            | Error::UnknownFeature { .. }
            | Error::NotALog { .. }
            | Error::NoSpace { .. }
            | Error::Truncated { .. }
            | Error::Io { .. }
    );
    assert!(expected, "{case}: {error}");
}

pub(super) fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Seeded::new(seed);
    (0..len).map(|_| random.choose(256) as u8).collect()
}

#[test]
fn random_bytes_behind_a_valid_header() {
    for seed in 0..300 {
        let len = (seed as usize * 97) % 9000;
        for version in VERSIONS {
            let mut bytes = header_of(version).encode();
            bytes.extend(random_bytes(seed, len));
            survive(&[(1, bytes)], &format!("{version:?}, seed {seed}"));
        }
    }
}

#[test]
fn random_bytes_behind_a_valid_link() {
    for seed in 0..300 {
        let len = (seed as usize * 97) % 9000;
        for version in VERSIONS {
            let (mut bytes, _) = beginning(&header_of(version));
            bytes.extend(random_bytes(seed, len));
            survive(&[(1, bytes)], &format!("{version:?}, seed {seed}"));
        }
    }
}

#[test]
fn random_bytes_in_place_of_a_file() {
    for seed in 0..100 {
        let len = (seed as usize * 311) % 20_000;
        survive(
            &[
                (1, random_bytes(seed, len)),
                (2, random_bytes(seed + 1, len)),
            ],
            &format!("seed {seed}"),
        );
    }
}

#[test]
fn group_headers_with_lengths_and_counts_that_lie() {
    const LIES: [u32; 8] = [0, 1, 5, 63, 64, 4000, u32::MAX - 63, u32::MAX];
    const KINDS: [GroupKind; 8] = [
        GroupKind::Records,
        GroupKind::Stamp,
        GroupKind::Link,
        GroupKind::Cut,
        GroupKind::Footer,
        GroupKind::Gap,
        GroupKind::Control,
        GroupKind::Index,
    ];
    let kinds = |version| KINDS.map(|kind| (version, kind));
    for (version, kind) in VERSIONS.into_iter().flat_map(kinds) {
        for payload_len in LIES {
            for record_count in LIES {
                for (first_lsn, watermark) in [(1, 0), (u64::MAX - 2, u64::MAX - 3), (0, 0)] {
                    let header = header_of(version);
                    let (mut bytes, previous) = beginning(&header);
                    let group = GroupHeader {
                        first_lsn: Lsn::new(first_lsn),
                        watermark: Lsn::new(watermark),
                        payload_len,
                        record_count,
                        digest: crc32(&[0; 64]),
                        ..group_header(kind, &header, previous)
                    };
                    bytes.extend_from_slice(&group.encode(header.frame()).0);
                    bytes.extend([0; 4096]);
                    let case = format!("{group:?}");
                    survive(&[(1, bytes)], &case);
                }
            }
        }
    }
}

#[test]
fn no_read_asks_for_more_than_the_file_holds() {
    for (version, kind) in [
        (Version::V1, GroupKind::Records),
        (Version::V1, GroupKind::Stamp),
        (Version::V1, GroupKind::Cut),
        (Version::V2, GroupKind::Records),
        (Version::V2, GroupKind::Control),
        (Version::V2, GroupKind::Index),
        (Version::V2, GroupKind::Footer),
    ] {
        let header = header_of(version);
        let (mut bytes, previous) = beginning(&header);
        let group = GroupHeader {
            payload_len: u32::MAX,
            record_count: u32::from(kind == GroupKind::Records),
            ..group_header(kind, &header, previous)
        };
        bytes.extend_from_slice(&group.encode(header.frame()).0);
        bytes.extend([0; 4096]);
        let len = bytes.len();
        let mut image = Image::new();
        image.insert(&segment(1), bytes);
        let machine = Machine::holding(&image, FsyncPolicy::Os);
        let watched = Watched::new(&machine.storage);
        // What comes of it is for other tests. A buffer is as large as the read that it is for.
        drop(
            wal_core::Offline::on(Arc::new(watched.clone()))
                .verify(wal_core::VerifyOptions::default()),
        );
        let largest = watched.largest_read();
        assert!((1..=len).contains(&largest), "{kind:?}: {largest}, {len}");
    }
}

/// The header of an empty group after the link.
pub(super) fn group_header(kind: GroupKind, header: &SegmentHeader, previous: u32) -> GroupHeader {
    GroupHeader {
        kind,
        epoch: header.epoch,
        first_lsn: Lsn::FIRST,
        watermark: Lsn::ZERO,
        offset: Offset::new(data(header)),
        payload_len: 0,
        record_count: 0,
        previous,
        digest: 0,
        version: header.version,
        may_skip: false,
        set_back: false,
        time: UnixMillis::new(0),
    }
}

/// A records group whose payload is this, with a digest and a checksum of the record that hold.
fn group_of(header: &SegmentHeader, previous: u32, body: &[u8], count: u32) -> Vec<u8> {
    let salt = header.salt();
    let (lsn, offset) = (Lsn::FIRST, Offset::new(data(header) + 64));
    let checksum = crc32(body) ^ salt.record_mask(lsn, offset);
    let mut digest = wal_format::Digest::new();
    digest.push(checksum);
    let group = GroupHeader {
        first_lsn: lsn,
        payload_len: 4 + body.len() as u32,
        record_count: count,
        digest: digest.get(),
        ..group_header(GroupKind::Records, header, previous)
    };
    let mut bytes = group.encode(header.frame()).0.to_vec();
    bytes.extend(checksum.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[test]
fn records_with_lengths_that_lie() {
    const LENGTHS: [u64; 8] = [0, 1, 100, 200, 16 << 10, 1 << 30, u32::MAX as u64, 1 << 35];
    let of_version = |version| (0..=255u8).map(move |flags| (version, flags));
    for (version, flags) in VERSIONS.into_iter().flat_map(of_version) {
        for len in LENGTHS {
            for raw in LENGTHS {
                let header = header_of(version);
                let (mut bytes, previous) = beginning(&header);
                let mut body = vec![flags];
                varint(len, &mut body);
                varint(raw, &mut body);
                varint(len, &mut body);
                body.extend([0x28, 0xb5, 0x2f, 0xfd, 0x20]);
                body.extend([7; 300]);
                bytes.extend(group_of(&header, previous, &body, 1));
                if len < 2 || raw < 2 || flags < 32 {
                    survive(&[(1, bytes)], &format!("flags {flags}, {len}, {raw}"));
                }
            }
        }
    }
}

#[test]
fn compressed_values_that_do_not_decompress() {
    for flags in [0b0101, 0b1001, 0b0110, 0b1010] {
        for raw in [101, 5000, 16_000] {
            for seed in 0..40 {
                let header = header();
                let (mut bytes, previous) = beginning(&header);
                let mut body = vec![flags];
                if flags & 3 == 2 {
                    varint(0, &mut body);
                }
                varint(100, &mut body);
                varint(raw, &mut body);
                body.extend(random_bytes(seed, 100));
                bytes.extend(group_of(&header, previous, &body, 1));
                bytes.resize(8192, 0);
                survive(&[(1, bytes)], &format!("flags {flags}, {raw}, {seed}"));
            }
        }
    }
}

#[test]
fn the_error_for_a_value_that_does_not_decompress_names_its_lsn() {
    let header = header();
    let (mut bytes, previous) = beginning(&header);
    let mut body = vec![0b0101];
    varint(100, &mut body);
    varint(5000, &mut body);
    body.extend(random_bytes(1, 100));
    bytes.extend(group_of(&header, previous, &body, 1));
    bytes.resize(8192, 0);
    let mut image = Image::new();
    image.insert("00000000000000000001.wal", bytes);
    let wal = Machine::holding(&image, FsyncPolicy::Always).look();
    let mut reader = wal.expect("opened").read_from(Lsn::ZERO).expect("a reader");
    match reader.next_record() {
        Err(Error::Corruption(what)) => {
            assert_eq!(what.first_lsn.get(), 1);
            assert!(what.what.contains("decompress"), "{}", what.what);
        }
        other => panic!("expected Corruption, got {other:?}"),
    }
}

#[test]
fn footers_with_an_index_that_leads_nowhere() {
    let header = header();
    let start = data(&header);
    let offsets = [0, 8, 4096, start, start + 64, 1 << 40, u64::MAX];
    for first in [0, 1, 2, u64::MAX] {
        for offset in offsets {
            for successor in [0, 1, 2, u64::MAX] {
                for log_first in [0, 1, 5, u64::MAX] {
                    let mut groups = begun(&header);
                    let entry = IndexEntry {
                        first_lsn: Lsn::new(first),
                        offset: Offset::new(offset),
                    };
                    let facts = FooterFacts {
                        record_count: u64::MAX,
                        successor: SegmentId::new(successor),
                        log_first: Lsn::new(log_first),
                        index: &[entry],
                        more: None,
                    };
                    groups.footer(&facts);
                    let mut bytes = header.encode();
                    bytes.extend_from_slice(groups.bytes());
                    survive(&[(1, bytes)], &format!("{entry:?}, {facts:?}"));
                }
            }
        }
    }
}

/// A segment that has nothing but this link.
fn only_a_link(id: u64, body: &LinkBody) -> (u64, Vec<u8>) {
    let header = SegmentHeader {
        segment_id: SegmentId::new(id),
        ..header()
    };
    let frame = header.frame();
    let mut groups = GroupWriter::new(frame, 0);
    let start = Offset::new(wal_format::HEADER_LEN);
    groups.reset(frame, start, 0, body.end_lsn.next());
    groups.link(body, Lsn::ZERO);
    let mut bytes = header.encode();
    bytes.extend_from_slice(groups.bytes());
    bytes.resize(8192, 0);
    (id, bytes)
}

const LSNS: [u64; 4] = [0, 1, 2, u64::MAX - 2];

fn link_to(predecessor: u64, end_lsn: u64, end_offset: u64, log_first: u64) -> LinkBody {
    LinkBody {
        predecessor: SegmentId::new(predecessor),
        predecessor_epoch: header().epoch,
        end_lsn: Lsn::new(end_lsn),
        end_offset: Offset::new(end_offset),
        log_first: Lsn::new(log_first),
        end_digest: 0,
        cause: LinkCause::Rotated,
        kept: Lsn::ZERO,
        histories: Histories::unknown(),
    }
}

#[test]
fn links_that_lead_in_a_circle() {
    for end_lsn in LSNS {
        for end_offset in [4096, data(&header())] {
            for (of_first, of_second) in [(1, 1), (2, 2), (2, 1), (1, 2)] {
                let first = link_to(of_first, end_lsn, end_offset, 0);
                let second = link_to(of_second, end_lsn, end_offset, 0);
                let segments = vec![only_a_link(1, &first), only_a_link(2, &second)];
                survive_or_hang(segments, format!("{first:?}, {second:?}"));
            }
        }
    }
}

#[test]
fn links_that_lead_nowhere() {
    for predecessor in [1, 3, u64::MAX] {
        for end_lsn in LSNS {
            for end_offset in [0, 4096, data(&header()), u64::MAX - 7] {
                for log_first in LSNS {
                    let body = link_to(predecessor, end_lsn, end_offset, log_first);
                    let below = only_a_link(1, &link_to(0, 0, 0, 1));
                    let segments = vec![below, only_a_link(2, &body)];
                    survive_or_hang(segments, format!("{body:?}"));
                }
            }
        }
    }
}

#[test]
fn a_log_that_begins_behind_its_first_lsn() {
    // A gap from the log's first LSN to the first one of its oldest segment.
    for end_lsn in LSNS {
        for log_first in LSNS {
            let body = link_to(0, end_lsn, 0, log_first);
            let segments = vec![only_a_link(1, &body)];
            survive_or_hang(segments, format!("{body:?}"));
        }
    }
}

#[test]
fn headers_with_lengths_that_lie() {
    const LENGTHS: [u64; 6] = [0, 1, 4096, 1 << 40, u64::MAX - 7, u64::MAX];
    for capacity in LENGTHS {
        for allocated in LENGTHS {
            for alignment in [Alignment::Eight, Alignment::Sector4096] {
                for record_limit in LENGTHS {
                    for version in VERSIONS {
                        let header = SegmentHeader {
                            capacity,
                            allocated,
                            alignment,
                            record_limit,
                            log_capacity: capacity,
                            log_record_limit: record_limit,
                            ..header_of(version)
                        };
                        let (mut bytes, previous) = beginning(&header);
                        bytes.extend(group_of(&header, previous, &[1, 3, b'a', b'b', b'c'], 1));
                        survive(&[(1, bytes)], &format!("{header:?}"));
                    }
                }
            }
        }
    }
}
