//! Groups: the header's rules, the bodies' rules, the writer, one case each.

mod support;

use support::{Builder, NOW, frame};
use wal_format::{
    Alignment, EncodedRecord, Epoch, FooterTrailer, Frame, GroupError, GroupHeader, GroupKind,
    GroupWriter, Histories, InBatch, LinkBody, LinkCause, Lsn, Offset, RecordError, RecordRef,
    RecordsCursor, SegmentId, UnixMillis, Version, crc32, decode_cut, decode_gap, decode_stamp,
    scan_headers,
};

const EPOCH: Epoch = Epoch::new(77);
const PLACE: Offset = Offset::new(8192);

fn here() -> Frame {
    frame(EPOCH, Alignment::Eight)
}

fn stamp() -> GroupHeader {
    GroupHeader {
        kind: GroupKind::Stamp,
        epoch: EPOCH,
        first_lsn: Lsn::new(10),
        watermark: Lsn::new(9),
        offset: PLACE,
        payload_len: 0,
        record_count: 0,
        previous: 0xABCD,
        digest: 0,
        version: Version::V1,
        may_skip: false,
        set_back: false,
        time: UnixMillis::new(0),
    }
}

fn decode(header: &GroupHeader) -> Result<GroupHeader, GroupError> {
    let (bytes, checksum) = header.encode(here());
    let (decoded, found) = GroupHeader::decode(&bytes, here(), PLACE)?;
    assert_eq!(found, checksum);
    Ok(decoded)
}

fn record(payload: &[u8], in_batch: InBatch) -> EncodedRecord<'_> {
    EncodedRecord::new(RecordRef::data(payload), in_batch, NOW, 1 << 20).unwrap()
}

/// A group of records as a writer makes it, and its header.
fn group(records: &[EncodedRecord<'_>]) -> (Vec<u8>, GroupHeader) {
    let mut writer = GroupWriter::new(here(), 0);
    writer.reset(here(), PLACE, 0xABCD, Lsn::new(10));
    for record in records {
        writer.push(record);
    }
    writer.close_group(Lsn::new(9));
    let header = GroupHeader::decode(writer.bytes(), here(), PLACE)
        .unwrap()
        .0;
    (writer.bytes().to_vec(), header)
}

fn walk(header: &GroupHeader, mut payload: &[u8]) -> Result<u32, GroupError> {
    let mut cursor = RecordsCursor::new(header, here(), 1 << 20)?;
    let mut records = 0;
    while let Some(head) = cursor.step(payload)? {
        payload = &payload[head.total_len() as usize..];
        records += 1;
    }
    Ok(records)
}

#[test]
fn a_header_round_trips() {
    assert_eq!(decode(&stamp()), Ok(stamp()));
}

#[test]
fn a_header_at_another_place_does_not_verify() {
    let bytes = stamp().encode(here()).0;
    let other = Offset::new(8200);
    let error = GroupHeader::decode(&bytes, here(), other).unwrap_err();
    assert!(matches!(error, GroupError::Checksum { .. }), "{error}");
    for nowhere in [0, 4088, 8193] {
        let nowhere = Offset::new(nowhere);
        let error = GroupHeader::decode(&bytes, here(), nowhere).unwrap_err();
        assert_eq!(error, GroupError::Place(nowhere));
    }
}

#[test]
fn a_header_of_another_life_of_the_file_does_not_verify() {
    let bytes = stamp().encode(here()).0;
    let epoch = Epoch::new(78);
    let other = frame(epoch, Alignment::Eight);
    let error = GroupHeader::decode(&bytes, other, PLACE).unwrap_err();
    assert!(matches!(error, GroupError::Checksum { .. }), "{error}");
    // Should the checksum ever agree by chance, the epoch in clear does not.
    let error = GroupHeader::decode(&bytes, Frame { epoch, ..here() }, PLACE).unwrap_err();
    assert_eq!(
        error,
        GroupError::Epoch {
            expected: epoch,
            found: EPOCH
        }
    );
}

#[test]
fn a_header_that_is_cut_short_is_too_short() {
    let bytes = stamp().encode(here()).0;
    for len in 0..64 {
        let error = GroupHeader::decode(&bytes[..len], here(), PLACE).unwrap_err();
        assert_eq!(
            error,
            GroupError::TooShort {
                needed: 64,
                len: len as u64
            }
        );
    }
}

#[test]
fn every_bit_of_a_header_counts() {
    let bytes = stamp().encode(here()).0;
    for bit in 0..64 * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(
            GroupHeader::decode(&flipped, here(), PLACE).is_err(),
            "bit {bit}"
        );
    }
}

/// A header with this byte changed and a checksum that verifies.
fn forged(at: usize, byte: u8) -> Result<(GroupHeader, u32), GroupError> {
    let mut bytes = stamp().encode(here()).0;
    bytes[at] = byte;
    let checksum = crc32(&bytes[8..]) ^ here().salt.group_mask(PLACE);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    GroupHeader::decode(&bytes, here(), PLACE)
}

#[test]
fn a_header_that_verifies_must_still_make_sense() {
    assert_eq!(forged(56, 0), Err(GroupError::Kind(0)));
    assert_eq!(forged(56, 7), Err(GroupError::Kind(7)));
    assert_eq!(forged(57, 1), Err(GroupError::Kind(0x102)));
    for reserved in 58..64 {
        assert!(matches!(forged(reserved, 1), Err(GroupError::Field(_))));
    }
    assert!(matches!(forged(32, 8), Err(GroupError::Offset { .. })));
    assert!(matches!(forged(8, 78), Err(GroupError::Epoch { .. })));
}

#[test]
fn a_watermark_is_below_the_first_lsn() {
    let header = GroupHeader {
        watermark: Lsn::new(10),
        ..stamp()
    };
    let error = GroupError::Watermark {
        watermark: Lsn::new(10),
        first_lsn: Lsn::new(10),
    };
    assert_eq!(decode(&header), Err(error));
    let nothing = GroupHeader {
        watermark: Lsn::ZERO,
        first_lsn: Lsn::ZERO,
        ..stamp()
    };
    assert!(matches!(
        decode(&nothing),
        Err(GroupError::Watermark { .. })
    ));
}

#[test]
fn lsns_that_overflow_are_refused() {
    let last = Lsn::new(u64::MAX - 3);
    let header = GroupHeader {
        kind: GroupKind::Records,
        first_lsn: last,
        ..stamp()
    };
    assert!(
        decode(&GroupHeader {
            record_count: 3,
            ..header
        })
        .is_ok()
    );
    let error = decode(&GroupHeader {
        record_count: 4,
        ..header
    });
    assert!(matches!(error, Err(GroupError::Field(_))), "{error:?}");
}

#[test]
fn a_link_stands_first_and_only_there() {
    let link = GroupHeader {
        kind: GroupKind::Link,
        ..stamp()
    };
    assert!(matches!(decode(&link), Err(GroupError::Field(_))));
    let first = Offset::new(4096);
    for (kind, valid) in [(GroupKind::Link, true), (GroupKind::Stamp, false)] {
        let header = GroupHeader {
            kind,
            offset: first,
            ..stamp()
        };
        let bytes = header.encode(here()).0;
        assert_eq!(
            GroupHeader::decode(&bytes, here(), first).is_ok(),
            valid,
            "{kind:?}"
        );
    }
}

#[test]
fn a_group_follows_the_one_before_it() {
    let header = stamp();
    assert_eq!(header.follows(Lsn::new(10), 0xABCD), Ok(()));
    let lsn = GroupError::Lsn {
        expected: Lsn::new(11),
        found: Lsn::new(10),
    };
    assert_eq!(header.follows(Lsn::new(11), 0xABCD), Err(lsn));
    let previous = GroupError::Previous {
        expected: 1,
        found: 0xABCD,
    };
    assert_eq!(header.follows(Lsn::new(10), 1), Err(previous));

    let link = GroupHeader {
        kind: GroupKind::Link,
        previous: 0,
        ..stamp()
    };
    assert_eq!(link.follows(Lsn::ZERO, 5), Ok(()));
    let chained = GroupHeader {
        previous: 1,
        ..link
    };
    let error = GroupError::Previous {
        expected: 0,
        found: 1,
    };
    assert_eq!(chained.follows(Lsn::ZERO, 1), Err(error));
}

#[test]
fn a_group_fits_in_its_file() {
    let header = GroupHeader {
        payload_len: 100,
        ..stamp()
    };
    assert_eq!(header.end_offset(), 8192 + 64 + 100);
    assert_eq!(header.fits(8356), Ok(()));
    assert_eq!(
        header.fits(8355),
        Err(GroupError::TooShort {
            needed: 164,
            len: 163
        })
    );
}

#[test]
fn the_lsns_of_a_group() {
    let empty = stamp();
    assert_eq!(
        (empty.end_lsn(), empty.next_lsn()),
        (Lsn::new(9), Lsn::new(10))
    );
    let three = GroupHeader {
        record_count: 3,
        ..stamp()
    };
    assert_eq!(
        (three.end_lsn(), three.next_lsn()),
        (Lsn::new(12), Lsn::new(13))
    );
}

#[test]
fn a_group_of_records_is_walked_to_its_end() {
    let (bytes, header) = group(&[record(b"one", InBatch::More), record(b"two", InBatch::Last)]);
    assert_eq!(walk(&header, &bytes[64..]), Ok(2));
}

#[test]
fn a_batch_ends_in_its_group() {
    let (bytes, header) = group(&[record(b"one", InBatch::Last), record(b"two", InBatch::More)]);
    assert_eq!(
        walk(&header, &bytes[64..]),
        Err(GroupError::Field("it ends inside a batch"))
    );
}

#[test]
fn the_records_are_as_many_as_the_header_says() {
    let (bytes, header) = group(&[record(b"one", InBatch::Last), record(b"two", InBatch::Last)]);
    let payload = &bytes[64..];
    let fewer = GroupHeader {
        record_count: 1,
        ..header
    };
    let error = GroupError::Field("its records do not fill the payload");
    assert_eq!(walk(&fewer, payload), Err(error));
    let more = GroupHeader {
        record_count: 3,
        ..header
    };
    assert!(matches!(
        walk(&more, payload),
        Err(GroupError::Record { lsn, error: RecordError::Malformed(_), .. }) if lsn.get() == 12
    ));
    let none = GroupHeader {
        record_count: 0,
        payload_len: 0,
        ..header
    };
    assert!(matches!(walk(&none, &[]), Err(GroupError::Field(_))));
    let other = GroupHeader {
        kind: GroupKind::Stamp,
        ..header
    };
    assert!(matches!(walk(&other, payload), Err(GroupError::Field(_))));
}

#[test]
fn the_digest_binds_the_records_to_the_header() {
    let (bytes, header) = group(&[record(b"one", InBatch::Last)]);
    let forged = GroupHeader {
        digest: header.digest ^ 1,
        ..header
    };
    let error = GroupError::Digest {
        expected: header.digest ^ 1,
        found: header.digest,
    };
    assert_eq!(walk(&forged, &bytes[64..]), Err(error));
}

#[test]
fn a_damaged_record_is_named_by_lsn_and_offset() {
    let (mut bytes, header) =
        group(&[record(b"one", InBatch::Last), record(b"two", InBatch::Last)]);
    bytes[64 + 9 + 7] ^= 1;
    let error = walk(&header, &bytes[64..]).unwrap_err();
    assert!(
        matches!(
            error,
            GroupError::Record { lsn, offset, error: RecordError::Checksum { .. } }
                if lsn.get() == 11 && offset.get() == 8192 + 64 + 9
        ),
        "{error:?}"
    );
}

#[test]
fn a_cursor_waits_for_more_bytes_and_goes_on() {
    let (bytes, header) = group(&[record(&[1; 300], InBatch::Last), record(b"", InBatch::Last)]);
    let payload = &bytes[64..];
    let mut cursor = RecordsCursor::new(&header, here(), 1 << 20).unwrap();
    for window in 0..300 + 7 {
        let error = cursor.step(&payload[..window]).unwrap_err();
        assert!(matches!(
            error,
            GroupError::Record {
                error: RecordError::Incomplete,
                ..
            }
        ));
        assert_eq!((cursor.lsn().get(), cursor.remaining()), (10, 2));
    }
    let head = cursor.step(&payload[..307]).unwrap().unwrap();
    assert_eq!((head.total_len(), cursor.payload_left()), (307, 6));
    assert_eq!(
        (cursor.lsn().get(), cursor.offset().get()),
        (11, 8192 + 64 + 307)
    );
    assert!(cursor.step(&payload[307..]).unwrap().is_some());
    assert_eq!(cursor.step(&[]), Ok(None));
    assert_eq!(cursor.step(&[]), Ok(None));
}

#[test]
fn a_stamp_is_empty() {
    assert_eq!(decode_stamp(&[], &stamp()), Ok(()));
    let body = GroupHeader {
        payload_len: 1,
        digest: crc32(b"x"),
        ..stamp()
    };
    assert!(matches!(
        decode_stamp(b"x", &body),
        Err(GroupError::Field(_))
    ));
    let counted = GroupHeader {
        record_count: 1,
        ..stamp()
    };
    assert!(matches!(
        decode_stamp(&[], &counted),
        Err(GroupError::Field(_))
    ));
    let cut = GroupHeader {
        kind: GroupKind::Cut,
        ..stamp()
    };
    assert!(matches!(decode_stamp(&[], &cut), Err(GroupError::Field(_))));
}

#[test]
fn a_cut_is_one_lsn() {
    let cut = |payload: &[u8]| {
        let header = GroupHeader {
            kind: GroupKind::Cut,
            payload_len: payload.len() as u32,
            digest: crc32(payload),
            ..stamp()
        };
        decode_cut(payload, &header)
    };
    assert_eq!(cut(&5_u64.to_le_bytes()), Ok(Lsn::new(5)));
    assert!(matches!(cut(&[5; 7]), Err(GroupError::Field(_))));
    assert!(matches!(cut(&[5; 9]), Err(GroupError::Field(_))));
}

#[test]
fn a_payload_has_the_length_that_its_header_says() {
    let payload = 5_u64.to_le_bytes();
    let header = GroupHeader {
        kind: GroupKind::Cut,
        digest: crc32(&payload),
        ..stamp()
    };
    let longer = GroupHeader {
        payload_len: 9,
        ..header
    };
    assert!(matches!(
        decode_cut(&payload, &longer),
        Err(GroupError::Field(_))
    ));
    let exact = GroupHeader {
        payload_len: 8,
        ..header
    };
    assert_eq!(decode_cut(&payload, &exact), Ok(Lsn::new(5)));
}

#[test]
fn a_search_finds_each_header_and_only_headers() {
    use GroupKind::{Link, Records, Stamp};

    let mut segment = Builder::first(8192, Alignment::Eight);
    segment
        .records(&[RecordRef::data(b"one")], 0)
        .stamp(1)
        .records(&[RecordRef::data(b"two")], 1);
    let bytes = segment.bytes_in(8192);
    let found = |start: usize, alignment| -> Vec<_> {
        let frame = frame(segment.header.epoch, alignment);
        let start_offset = Offset::new(start as u64);
        scan_headers(&bytes[start..], start_offset, frame)
            .map(|(header, _)| header.kind)
            .collect()
    };
    assert_eq!(found(0, Alignment::Eight), [Link, Records, Stamp, Records]);
    // A window may start anywhere.
    assert_eq!(found(4097, Alignment::Eight), [Records, Stamp, Records]);
    assert_eq!(found(4097, Alignment::Sector512), []);
    assert_eq!(found(8190, Alignment::Sector4096), []);
    assert_eq!(found(8192, Alignment::Eight), []);
}

#[test]
fn a_gap_takes_lsns_and_holds_nothing() {
    let frame = frame(Epoch::new(1), Alignment::Eight);
    let mut groups = GroupWriter::new(frame, 0);
    groups.reset(frame, Offset::new(8192), 7, Lsn::new(5));
    groups.gap(Lsn::new(5 + u64::from(u32::MAX)), Lsn::new(4));
    assert_eq!(groups.next_lsn().get(), 6 + u64::from(u32::MAX));
    assert_eq!(groups.records(), 0);
    let first = GroupHeader::decode(groups.bytes(), frame, Offset::new(8192));
    let (first, previous) = first.unwrap();
    assert_eq!((first.kind, first.record_count), (GroupKind::Gap, u32::MAX));
    assert_eq!(decode_gap(&[], &first), Ok(()));
    let place = Offset::new(8192 + 64);
    let second = GroupHeader::decode(&groups.bytes()[64..], frame, place);
    let (second, _) = second.unwrap();
    assert_eq!(second.follows(first.next_lsn(), previous), Ok(()));
    assert_eq!(second.end_lsn().get(), 5 + u64::from(u32::MAX));

    let empty = GroupHeader {
        record_count: 0,
        ..first
    };
    assert!(decode_gap(&[], &empty).is_err(), "it takes no LSN");
    let full = GroupHeader {
        payload_len: 1,
        digest: crc32(b"x"),
        ..first
    };
    assert!(decode_gap(b"x", &full).is_err(), "it has a payload");
}

#[test]
fn a_link_round_trips_and_agrees_with_its_header() {
    let body = LinkBody {
        predecessor: SegmentId::new(4),
        predecessor_epoch: Epoch::new(5),
        end_lsn: Lsn::new(9),
        end_offset: Offset::new(7000),
        log_first: Lsn::new(2),
        end_digest: 0x1234,
        cause: LinkCause::TruncatedAfter,
        kept: Lsn::new(11),
        histories: Histories::unknown(),
    };
    let decode = |payload: &[u8], first_lsn| {
        let header = GroupHeader {
            kind: GroupKind::Link,
            first_lsn: Lsn::new(first_lsn),
            payload_len: payload.len() as u32,
            digest: crc32(payload),
            ..stamp()
        };
        LinkBody::decode(payload, &header)
    };
    let bytes = body.encode(Version::V1);
    assert_eq!(decode(&bytes, 10), Ok(body));
    assert!(
        matches!(decode(&bytes, 11), Err(GroupError::Field(_))),
        "another LSN"
    );
    assert!(
        matches!(decode(&bytes[..63], 10), Err(GroupError::Field(_))),
        "too short"
    );
    // Unknown causes, reserved bytes, a kept LSN that is below the link, and one without a truncation.
    for (at, byte) in [
        (44, 0),
        (44, 7),
        (45, 1),
        (46, 1),
        (48, 8),
        (44, 4),
        (56, 1),
        (63, 1),
    ] {
        let mut forged = bytes.clone();
        forged[at] = byte;
        assert!(
            matches!(decode(&forged, 10), Err(GroupError::Field(_))),
            "byte {at} is {byte}"
        );
    }
}

#[test]
fn a_trailer_is_found_from_the_end() {
    let mut segment = Builder::first(8192, Alignment::Eight);
    let place = segment.records(&[RecordRef::data(b"one")], 0).groups.end();
    let bytes = segment.footer(SegmentId::NONE, 1).bytes();
    let trailer: &[u8; 24] = bytes.last_chunk().unwrap();
    assert_eq!(
        FooterTrailer::decode(trailer),
        Ok((place, segment.header.epoch))
    );
    for bit in 0..24 * 8 {
        let mut flipped = *trailer;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(FooterTrailer::decode(&flipped).is_err(), "bit {bit}");
    }
}
