//! Segments: the header's rules, the footer's rules, names, how a view ends, one case each.

mod support;

use support::{Builder, header};
use wal_format::{
    Alignment, Epoch, FileName, Footer, GroupBody, GroupError, GroupHeader, GroupKind, GroupWriter,
    HeaderError, Layout, Lsn, Offset, RecordRef, SegmentError, SegmentHeader, SegmentId,
    SegmentView, Version, crc32, first_name, segment_name, spare_name, temporary_name,
};

const ID: SegmentId = SegmentId::FIRST;

/// A header with these bytes changed and a checksum that verifies.
fn forged(at: usize, bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
    let mut header = header(1, 8192, Alignment::Eight).encode();
    header[at..at + bytes.len()].copy_from_slice(bytes);
    header[8..12].fill(0);
    let checksum = crc32(&header);
    header[8..12].copy_from_slice(&checksum.to_le_bytes());
    SegmentHeader::decode(&header, ID)
}

#[test]
fn a_header_round_trips() {
    for align in [
        Alignment::Eight,
        Alignment::Sector512,
        Alignment::Sector4096,
    ] {
        let header = header(1, 1 << 20, align);
        assert_eq!(SegmentHeader::decode(&header.encode(), ID), Ok(header));
    }
}

#[test]
fn a_header_of_a_later_version_is_refused_by_name() {
    assert_eq!(forged(12, &[3]), Err(HeaderError::UnknownVersion(3)));
    assert_eq!(forged(12, &[0]), Err(HeaderError::UnknownVersion(0)));
    // A version that does not verify is damage, not news.
    let mut damaged = header(1, 8192, Alignment::Eight).encode();
    damaged[12] = 2;
    let error = SegmentHeader::decode(&damaged, ID).unwrap_err();
    assert!(matches!(error, HeaderError::Checksum { .. }), "{error}");
}

#[test]
fn a_file_that_is_no_segment_is_refused_by_name() {
    assert_eq!(
        SegmentHeader::decode(&[0; 4096], ID),
        Err(HeaderError::NotASegment)
    );
    assert_eq!(
        SegmentHeader::decode(&[0; 4095], ID),
        Err(HeaderError::TooShort { len: 4095 })
    );
}

#[test]
fn a_renamed_segment_is_refused() {
    let bytes = header(1, 8192, Alignment::Eight).encode();
    let two = SegmentId::new(2);
    let error = HeaderError::WrongId {
        expected: two,
        found: ID,
    };
    assert_eq!(SegmentHeader::decode(&bytes, two), Err(error));
    let nameless = header(0, 8192, Alignment::Eight).encode();
    let error = SegmentHeader::decode(&nameless, SegmentId::NONE).unwrap_err();
    assert_eq!(error, HeaderError::Field("the segment id is 0"));
}

#[test]
fn fields_that_verify_must_still_make_sense() {
    assert!(
        matches!(forged(40, &[0; 8]), Err(HeaderError::Field(_))),
        "epoch"
    );
    assert!(
        matches!(forged(68, &[16]), Err(HeaderError::Field(_))),
        "alignment"
    );
    assert!(
        matches!(forged(80, &[0]), Err(HeaderError::Field(_))),
        "origin"
    );
    assert!(forged(80, &[2]).is_ok());
    assert!(
        matches!(forged(80, &[3]), Err(HeaderError::Field(_))),
        "origin"
    );
    assert!(
        matches!(forged(84, &[1]), Err(HeaderError::Field(_))),
        "reserved"
    );
    assert!(
        matches!(forged(4095, &[1]), Err(HeaderError::Field(_))),
        "reserved"
    );
    let most = Layout {
        version: Version::V1,
        segment_len: 8192,
        alignment: Alignment::Eight,
        record_limit: 0,
    }
    .max_record_limit();
    assert!(forged(56, &most.to_le_bytes()).is_ok());
    let above = (most + 1).to_le_bytes();
    assert!(
        matches!(forged(56, &above), Err(HeaderError::Field(_))),
        "record limit"
    );
    assert!(
        matches!(forged(48, &[0; 8]), Err(HeaderError::Field(_))),
        "capacity"
    );
    assert!(
        matches!(
            forged(72, &4095_u64.to_le_bytes()),
            Err(HeaderError::Field(_))
        ),
        "allocated: less than the header"
    );
    assert!(
        matches!(
            forged(72, &8193_u64.to_le_bytes()),
            Err(HeaderError::Field(_))
        ),
        "allocated: more than the capacity"
    );
}

/// The footer of a segment with three groups, and its payload.
fn footer() -> (GroupHeader, Vec<u8>) {
    let large = vec![0; 70_000];
    let mut segment = Builder::first(1 << 20, Alignment::Eight);
    segment
        .records(&[RecordRef::data(&large)], 0)
        .records(&[RecordRef::data(&large)], 0);
    segment.records(&[RecordRef::data(b"x"), RecordRef::data(b"y")], 2);
    let place = segment.groups.end();
    let bytes = segment.footer(SegmentId::new(2), 1).bytes();
    let bytes = &bytes[place.get() as usize..];
    let (header, _) = GroupHeader::decode(bytes, segment.header.frame(), place).unwrap();
    (header, bytes[64..].to_vec())
}

#[test]
fn a_footer_says_what_the_segment_holds() {
    let (header, payload) = footer();
    let footer = Footer::decode(&payload, &header).unwrap();
    assert_eq!((footer.record_count, footer.last_lsn), (4, Lsn::new(4)));
    assert_eq!(
        (footer.successor, footer.log_first),
        (SegmentId::new(2), Lsn::FIRST)
    );
    assert_eq!(
        (footer.data_len, footer.data_digest),
        (header.offset, header.previous)
    );
    let first_lsns: Vec<_> = footer
        .index
        .iter()
        .map(|entry| entry.first_lsn.get())
        .collect();
    assert_eq!(
        first_lsns,
        [1, 2, 3],
        "each group starts 64 KiB behind the last"
    );
}

#[test]
fn a_footer_must_agree_with_its_header() {
    let (header, payload) = footer();
    let forge = |at: usize, byte: u8| {
        let mut payload = payload.clone();
        payload[at] ^= byte;
        let digest = crc32(&payload);
        Footer::decode(&payload, &GroupHeader { digest, ..header })
    };
    assert!(forge(0, 0).is_ok());
    let trailer = payload.len() - 24;
    for at in [
        8,
        16,
        40,
        43,
        44,
        48,
        55,
        trailer,
        trailer + 8,
        trailer + 16,
        trailer + 20,
    ] {
        assert!(
            matches!(forge(at, 1), Err(GroupError::Field(_))),
            "byte {at}"
        );
    }
    // The index: the second entry before the first, behind the last LSN, behind the data.
    for (at, byte) in [(56 + 16, 2), (56 + 32, 8), (56 + 32 + 15, 1)] {
        assert!(
            matches!(forge(at, byte), Err(GroupError::Field(_))),
            "byte {at}"
        );
    }
    let watermark = GroupHeader {
        watermark: Lsn::new(3),
        ..header
    };
    assert!(matches!(
        Footer::decode(&payload, &watermark),
        Err(GroupError::Field(_))
    ));
    let other = GroupHeader {
        offset: Offset::new(8),
        ..header
    };
    assert!(matches!(
        Footer::decode(&payload, &other),
        Err(GroupError::Field(_))
    ));
    let other = GroupHeader {
        epoch: Epoch::new(8),
        ..header
    };
    assert!(matches!(
        Footer::decode(&payload, &other),
        Err(GroupError::Field(_))
    ));
}

#[test]
fn a_footer_that_is_cut_anywhere_is_refused() {
    let (header, payload) = footer();
    for len in 0..payload.len() {
        let cut = &payload[..len];
        let header = GroupHeader {
            payload_len: len as u32,
            digest: crc32(cut),
            ..header
        };
        assert!(
            matches!(Footer::decode(cut, &header), Err(GroupError::Field(_))),
            "{len} bytes"
        );
    }
}

#[test]
fn names_are_made_and_read_by_one_pair_of_functions() {
    for id in [1, 42, u64::MAX] {
        let id = SegmentId::new(id);
        assert_eq!(FileName::parse(&segment_name(id)), FileName::Segment(id));
        assert_eq!(FileName::parse(&spare_name(id)), FileName::Spare(id));
        assert_eq!(
            FileName::parse(&temporary_name(id)),
            FileName::Temporary(id)
        );
        let lsn = Lsn::new(id.get());
        let first = FileName::parse(&first_name(lsn));
        let expected = if lsn.get() == u64::MAX {
            FileName::Foreign
        } else {
            FileName::First(lsn)
        };
        assert_eq!(first, expected);
    }
    assert_eq!(
        segment_name(SegmentId::new(u64::MAX)),
        "18446744073709551615.wal"
    );
    assert_eq!(FileName::parse("lock"), FileName::Lock);
    assert_eq!(FileName::parse("lock.pid"), FileName::LockPid);
    assert_eq!(FileName::parse("quarantine"), FileName::Quarantine);
    for ignored in [".", "..", ".nfs0001", "lost+found"] {
        assert_eq!(FileName::parse(ignored), FileName::Ignored, "{ignored}");
    }
}

#[test]
fn names_that_are_not_canonical_are_foreign() {
    for foreign in [
        "",
        "wal",
        "1.wal",
        "00000000000000000000.wal",
        "0000000000000000001.wal",
        "000000000000000000001.wal",
        "18446744073709551616.wal",
        "99999999999999999999.wal",
        "+0000000000000000001.wal",
        "0000000000000000000a.wal",
        "00000000000000000001.WAL",
        "00000000000000000001.wal ",
        "00000000000000000001.wal.tmp",
        "00000000000000000001",
        "00000000000000000001.",
        "٠٠٠٠٠٠٠٠٠٠.wal",
        "Lock",
        "quarantine/",
        "notes.txt",
    ] {
        assert_eq!(FileName::parse(foreign), FileName::Foreign, "{foreign}");
    }
}

#[test]
fn a_view_ends_behind_a_footer_whatever_follows() {
    let mut segment = Builder::first(8192, Alignment::Eight);
    let mut bytes = segment
        .records(&[RecordRef::data(b"x")], 0)
        .footer(ID.next(), 1)
        .bytes();
    let end = bytes.len() as u64;
    bytes.extend_from_slice(b"an earlier life of the file");
    let mut groups = SegmentView::parse(&bytes, ID).unwrap().groups();
    let kinds: Vec<_> = groups
        .by_ref()
        .map(|group| group.unwrap().header.kind)
        .collect();
    assert_eq!(
        kinds,
        [GroupKind::Link, GroupKind::Records, GroupKind::Footer]
    );
    assert!(groups.is_sealed());
    assert_eq!(
        (groups.offset().get(), groups.next_lsn()),
        (end, Lsn::new(2))
    );
}

#[test]
fn a_view_ends_where_nothing_was_written() {
    let mut segment = Builder::first(8192, Alignment::Sector512);
    segment.records(&[RecordRef::data(b"x")], 0).cut(1, 1);
    for bytes in [segment.bytes(), segment.bytes_in(8192)] {
        let mut groups = SegmentView::parse(&bytes, ID).unwrap().groups();
        assert_eq!(groups.by_ref().map(Result::unwrap).count(), 3);
        assert!(!groups.is_sealed());
        assert_eq!(
            (groups.offset().get(), groups.next_lsn()),
            (4096 + 3 * 512, Lsn::new(2))
        );
        assert!(groups.next().is_none());
    }
}

/// The first invalid place of a segment of two groups of records and a stamp, damaged at `at`.
fn damaged(at: usize, stamp: u64) -> wal_format::InvalidAt {
    let mut segment = Builder::first(8192, Alignment::Eight);
    segment
        .records(&[RecordRef::data(b"x")], 0)
        .records(&[RecordRef::data(b"y")], 1);
    let mut bytes = segment.stamp(stamp).bytes_in(8192);
    bytes[at] ^= 1;
    let mut groups = SegmentView::parse(&bytes, ID).unwrap().groups();
    groups.find_map(Result::err).unwrap()
}

#[test]
fn an_invalid_place_below_a_later_watermark_is_proven_corrupt() {
    let second = 4096 + 128 + 72;
    let invalid = damaged(second + 64, 2);
    assert_eq!(
        (invalid.offset.get(), invalid.lsn.get()),
        (second as u64, 2)
    );
    assert_eq!(invalid.witness.unwrap().kind, GroupKind::Stamp);
    // The group before it is proven by the second group's watermark already.
    assert_eq!(
        damaged(4096 + 128, 1).witness.unwrap().kind,
        GroupKind::Records
    );
}

#[test]
fn an_invalid_place_above_every_watermark_is_not() {
    let invalid = damaged(4096 + 128 + 72, 1);
    assert_eq!((invalid.lsn.get(), invalid.witness), (2, None));
}

#[test]
fn a_zeroed_place_below_a_later_watermark_is_proven_corrupt() {
    let mut segment = Builder::first(8192, Alignment::Eight);
    let mut bytes = segment
        .records(&[RecordRef::data(b"x")], 0)
        .stamp(1)
        .bytes_in(8192);
    bytes[4096 + 128..4096 + 128 + 72].fill(0);
    let mut groups = SegmentView::parse(&bytes, ID).unwrap().groups();
    assert!(groups.next().unwrap().is_ok());
    assert!(groups.next().unwrap().unwrap_err().witness.is_some());
    assert!(groups.next().is_none());
}

#[test]
fn a_group_that_does_not_chain_ends_the_view() {
    let mut segment = Builder::first(8192, Alignment::Eight);
    segment.records(&[RecordRef::data(b"x")], 0);
    let bytes = segment.bytes();
    let header = segment.header;
    for (lsn, previous, valid) in [
        (2, segment.groups.previous(), true),
        (3, segment.groups.previous(), false),
        (1, segment.groups.previous(), false),
        (2, segment.groups.previous() ^ 1, false),
    ] {
        let end = segment.groups.end();
        let mut next = GroupWriter::new(header.frame(), 0);
        next.reset(header.frame(), end, previous, Lsn::new(lsn));
        next.stamp(Lsn::ZERO);
        let bytes = [&bytes[..], next.bytes()].concat();
        let last = SegmentView::parse(&bytes, ID)
            .unwrap()
            .groups()
            .nth(2)
            .unwrap();
        assert_eq!(last.is_ok(), valid, "LSN {lsn}, previous {previous:#x}");
        assert!(last.is_ok_and(|group| group.checksum == next.previous()) == valid);
    }
}

#[test]
fn a_group_that_the_file_cuts_off_is_no_witness() {
    let mut segment = Builder::first(8192, Alignment::Eight);
    segment.records(&[RecordRef::data(b"x")], 0);
    let mut bytes = segment.records(&[RecordRef::data(b"y")], 1).bytes();
    bytes[4096 + 128] ^= 1;
    let witness = |bytes: &[u8]| {
        let mut groups = SegmentView::parse(bytes, ID).unwrap().groups();
        groups.find_map(Result::err).unwrap().witness
    };
    assert_eq!(witness(&bytes).unwrap().first_lsn, Lsn::new(2));
    // Its header is whole, its record is not.
    assert_eq!(witness(&bytes[..bytes.len() - 2]), None);
}

#[test]
fn a_damaged_link_is_proven_by_durable_records_or_a_footer() {
    assert!(damaged(4096, 2).witness.is_some());
    let mut empty = Builder::first(8192, Alignment::Eight);
    let mut bytes = empty.footer(SegmentId::NONE, 1).bytes();
    bytes[4096] ^= 1;
    let invalid = SegmentView::parse(&bytes, ID)
        .unwrap()
        .groups()
        .next()
        .unwrap()
        .unwrap_err();
    assert_eq!(invalid.witness.unwrap().kind, GroupKind::Footer);
}

#[test]
fn a_segment_without_a_link_is_invalid_from_its_start() {
    let bytes = header(1, 8192, Alignment::Eight).encode();
    let mut groups = SegmentView::parse(&bytes, ID).unwrap().groups();
    let invalid = groups.next().unwrap().unwrap_err();
    assert_eq!(
        (invalid.offset.get(), invalid.lsn, invalid.witness),
        (4096, Lsn::ZERO, None)
    );
    assert!(
        SegmentError::from(invalid)
            .to_string()
            .contains("offset 4096")
    );
}

#[test]
fn a_view_hands_out_what_lies_there() {
    let mut segment = Builder::first(8192, Alignment::Eight);
    let bytes = segment
        .group(&[&[RecordRef::put(b"k", b"v"), RecordRef::delete(b"k")]], 0)
        .footer(SegmentId::NONE, 1)
        .bytes();
    let view = SegmentView::parse(&bytes, ID).unwrap();
    assert_eq!(view.header(), &segment.header);
    let group = view.groups().nth(1).unwrap().unwrap();
    let records: Vec<_> = group.records().collect();
    let (lsn, offset, put) = records[0];
    assert_eq!((lsn.get(), offset.get()), (1, 4096 + 128 + 64));
    assert_eq!(
        (put.key(), put.stored_value(), put.expires_at()),
        (&b"k"[..], &b"v"[..], None)
    );
    assert_eq!(put.value().unwrap(), &b"v"[..]);
    assert!(
        bytes.as_ptr_range().contains(&put.key().as_ptr()),
        "borrowed, not copied"
    );
    let (lsn, offset, delete) = records[1];
    assert_eq!((lsn.get(), offset.get()), (2, 4096 + 128 + 64 + 9));
    assert_eq!((delete.key(), delete.stored_value()), (&b"k"[..], &b""[..]));
    let GroupBody::Records(body) = group.body else {
        panic!("{:?}", group.body)
    };
    assert_eq!((&body).into_iter().count(), 2);
    let link = view.groups().next().unwrap().unwrap();
    assert_eq!(link.records().count(), 0);
}
