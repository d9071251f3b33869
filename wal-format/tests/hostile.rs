//! Lengths that lie allocate nothing. On Linux the cases run once more in a process that may not
//! have the memory that they claim.

mod support;

use bytes::Bytes;
use wal_format::{
    Alignment, Compression, DEFAULT_RECORD_LIMIT, DecompressError, Epoch, Footer, GroupError,
    GroupFacts, GroupHeader, GroupKind, History, LinkBody, Lsn, Offset, RecordError, RecordHead,
    RecordsCursor, SegmentHeader, SegmentId, SegmentView, UnixMillis, Version, crc32, decompress,
    read_record,
};

const FOUR_GIB: [u8; 5] = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F];

fn header(kind: GroupKind, payload: &[u8]) -> GroupHeader {
    GroupHeader {
        kind,
        epoch: Epoch::new(1),
        first_lsn: Lsn::new(5),
        watermark: Lsn::new(4),
        offset: Offset::new(8192),
        payload_len: payload.len() as u32,
        record_count: 0,
        previous: 0,
        digest: crc32(payload),
        version: Version::V1,
        may_skip: false,
        set_back: false,
        time: UnixMillis::new(0),
    }
}

fn lengths_of_records() {
    for flags in [0b01, 0b10, 0b11, 0b0101, 0b1010] {
        let bytes = [&[0, 0, 0, 0, flags][..], &FOUR_GIB, &FOUR_GIB, &FOUR_GIB].concat();
        for left in [bytes.len() as u64, u64::MAX] {
            let result = RecordHead::parse(&bytes, left, DEFAULT_RECORD_LIMIT);
            assert!(
                matches!(
                    result,
                    Err(RecordError::TooLarge { .. } | RecordError::Malformed(_))
                ),
                "{result:?}"
            );
        }
        // Even where the limit allows it, a head alone makes no record.
        if let Ok(head) = RecordHead::parse(&bytes, u64::MAX, u64::MAX) {
            let result = read_record(&Bytes::from(bytes), &head);
            assert!(matches!(result, Err(RecordError::Malformed(_))));
        }
    }
}

fn lengths_of_compressed_values() {
    let claimed = u32::MAX as usize;
    for stored in [
        &[][..],
        &[0],
        &[0xFF; 1000],
        &[0x28, 0xB5, 0x2F, 0xFD, 0x20, 5, 1],
    ] {
        for compression in [Compression::Lz4, Compression::Zstd] {
            assert!(decompress(compression, stored, claimed).is_err());
        }
    }
    if Compression::Zstd.is_available() {
        // A whole frame that claims 4 GiB in its own header and holds one empty block.
        let frame = [
            0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0,
        ];
        let result = decompress(Compression::Zstd, &frame, 1000);
        let error = DecompressError::Length {
            expected: 1000,
            found: u64::from(u32::MAX),
        };
        assert_eq!(result, Err(error));
    }
}

fn lengths_of_groups() {
    let records = GroupHeader {
        record_count: u32::MAX,
        payload_len: u32::MAX,
        ..header(GroupKind::Records, &[])
    };
    let mut cursor = RecordsCursor::new(
        &records,
        support::frame(Epoch::new(1), Alignment::Eight),
        DEFAULT_RECORD_LIMIT,
    )
    .unwrap();
    let error = cursor.step(&[]).unwrap_err();
    assert!(matches!(
        error,
        GroupError::Record {
            error: RecordError::Incomplete,
            ..
        }
    ));

    let mut payload = vec![0; 80];
    payload[40..44].fill(0xFF);
    let result = Footer::decode(&payload, &header(GroupKind::Footer, &payload));
    assert!(matches!(result, Err(GroupError::Field(_))));

    // The pages of an index, the table of the control state, and the entries of a table.
    let of_version_2 = |kind, payload: &[u8]| GroupHeader {
        version: Version::V2,
        ..header(kind, payload)
    };
    for field in [40..44, 72..76] {
        let mut payload = vec![0; 120];
        payload[field].fill(0xFF);
        let result = Footer::decode(&payload, &of_version_2(GroupKind::Footer, &payload));
        assert!(matches!(result, Err(GroupError::Field(_))), "{result:?}");
    }
    for form in [1, 2] {
        let mut payload = vec![0; 24];
        payload[0] = form;
        payload[4..8].fill(0xFF);
        payload[8..12].copy_from_slice(&[3, 0, 0xFF, 0xFF]);
        let result = GroupFacts::decode(&payload, &of_version_2(GroupKind::Control, &payload));
        assert!(result.is_err(), "{result:?}");
    }
    // The stretches of a link.
    let mut payload = vec![0; 80];
    payload[46..48].fill(0xFF);
    let result = LinkBody::decode(&payload, &of_version_2(GroupKind::Link, &payload));
    assert!(result.is_err(), "{result:?}");
}

fn a_segment_of_groups_that_claim_the_most() {
    for version in [Version::V1, Version::V2] {
        groups_that_claim_the_most(version);
    }
}

fn groups_that_claim_the_most(version: Version) {
    let segment = SegmentHeader {
        version,
        ..support::header(1, 4 << 30, Alignment::Eight)
    };
    let most = [GroupKind::Link, GroupKind::Records, GroupKind::Control];
    let link_len = if version < Version::V2 { 128 } else { 144 };
    for kind in most {
        let hostile = GroupHeader {
            kind,
            epoch: segment.epoch,
            offset: Offset::new(if kind == GroupKind::Link {
                4096
            } else {
                4096 + link_len
            }),
            record_count: u32::MAX,
            payload_len: u32::MAX,
            version,
            ..header(kind, &[])
        };
        let history = History::new(u64::from(version >= Version::V2));
        let link = LinkBody::first(Lsn::new(5), history);
        let mut bytes = support::Builder::new(segment, &link, Lsn::new(4)).bytes();
        bytes.resize(8192, 0);
        let at = hostile.offset.get() as usize;
        bytes[at..at + 64].copy_from_slice(&hostile.encode(segment.frame()).0);
        let mut groups = SegmentView::parse(&bytes, SegmentId::FIRST)
            .unwrap()
            .groups();
        let invalid = groups.find_map(Result::err).unwrap();
        assert_eq!(invalid.offset, hostile.offset);
    }
}

#[test]
fn lengths_that_lie_allocate_nothing() {
    lengths_of_records();
    lengths_of_compressed_values();
    lengths_of_groups();
    a_segment_of_groups_that_claim_the_most();
}

#[cfg(target_os = "linux")]
#[test]
fn lengths_that_lie_do_no_harm_where_memory_is_short() {
    use std::process::Command;

    let this = std::env::current_exe().unwrap();
    let mut child = Command::new("sh");
    child
        .args([
            "-c",
            "ulimit -v 1000000 && exec \"$0\" --exact lengths_that_lie_allocate_nothing",
        ])
        .arg(this)
        .env("RUST_TEST_THREADS", "1");
    let output = child.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && shown.contains("1 passed"),
        "{shown}"
    );
}

/// A claim within the record limit may be allocated, and only that much is ever made.
#[test]
fn a_decompression_bomb_makes_no_more_than_it_claims() {
    let raw = vec![0; 1 << 20];
    for compression in [Compression::Lz4, Compression::Zstd] {
        let Ok(Some(stored)) = wal_format::compress(compression, &raw) else {
            continue;
        };
        for claimed in [0, 1, 4096, raw.len() - 1] {
            let error = decompress(compression, &stored, claimed).unwrap_err();
            let expected = claimed as u64;
            assert!(
                matches!(error, DecompressError::Failed(_))
                    || matches!(error, DecompressError::Length { expected: e, .. } if e == expected),
                "{compression:?}: {error}"
            );
        }
    }
}
