//! The limits and the overhead that `docs/format.md` claims, and that what they promise fits.

mod support;

use support::{Builder, NOW, noise};
use wal_format::{
    Alignment, CONTROL_RESERVE, EncodedRecord, GROUP_HEADER_LEN, HEADER_LEN, InBatch, LINK_LEN,
    Layout, MAX_RECORD_HEAD, MAX_SEGMENT, MIN_RECORD_LEN, MIN_SEGMENT_FOR_TESTS, RecordHead,
    RecordRef, SegmentId, SegmentView, Version,
};

const ALIGNMENTS: [Alignment; 3] = [
    Alignment::Eight,
    Alignment::Sector512,
    Alignment::Sector4096,
];

fn overhead(record: RecordRef<'_>) -> usize {
    let encoded = EncodedRecord::new(record, InBatch::Last, NOW, u64::MAX).unwrap();
    encoded.len() - record.key().len() - record.value().len()
}

fn layout(segment_len: u64, alignment: Alignment) -> Layout {
    Layout {
        version: Version::V1,
        segment_len,
        alignment,
        record_limit: 0,
    }
}

#[test]
fn record_overhead_is_as_documented() {
    assert_eq!(overhead(RecordRef::data(&[0; 100])), 6);
    for value_len in [128, 1024, 16 * 1024 - 1] {
        assert_eq!(overhead(RecordRef::put(&[0; 127], &vec![0; value_len])), 8);
    }
    // The design's bound: at most 12 bytes, expiry and compression aside.
    for key_len in [0, 1, 127] {
        for value_len in [0, 1, 127, 128, 16 * 1024 - 1] {
            assert!(overhead(RecordRef::put(&vec![0; key_len], &vec![0; value_len])) <= 12);
        }
    }
    assert_eq!(overhead(RecordRef::delete(b"")), MIN_RECORD_LEN);
    assert_eq!(overhead(RecordRef::data(b"")), MIN_RECORD_LEN);
}

#[test]
fn no_fixed_part_is_longer_than_the_longest() {
    let mut bytes = vec![0, 0, 0, 0, 0b1_0110];
    for _ in 0..3 {
        bytes.extend_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0E]);
    }
    // The value as stored must be shorter than the raw one.
    bytes[5 + 5] = 0xFE;
    bytes.extend_from_slice(&NOW.get().to_le_bytes());
    let head = RecordHead::parse(&bytes, u64::MAX, u64::MAX).unwrap();
    assert_eq!(head.head_len, MAX_RECORD_HEAD);
}

#[test]
fn segment_overhead_is_as_documented() {
    for align in ALIGNMENTS {
        let up = |bytes| align.round_up(bytes);
        for len in [8 << 10, 1 << 20, (1 << 20) + 4095, 128 << 20, MAX_SEGMENT] {
            let footer = up(144 + 16 * u64::div_ceil(len, 65536));
            let overhead = up(4096 + 128) + 64 + 28 + footer + up(512);
            let limit = align.round_down(len).saturating_sub(overhead);
            assert_eq!(
                layout(len, align).max_record_limit(),
                limit,
                "{len} bytes, {align:?}"
            );
        }
    }
}

#[test]
fn alignments_round_both_ways() {
    for align in ALIGNMENTS {
        assert_eq!(Alignment::from_u32(align.get() as u32), Some(align));
        for (bytes, down, up) in [
            (0, 0, 0),
            (1, 0, align.get()),
            (align.get(), align.get(), align.get()),
            (align.get() + 1, align.get(), 2 * align.get()),
        ] {
            assert_eq!((align.round_down(bytes), align.round_up(bytes)), (down, up));
        }
        assert_eq!(align.round_up(u64::MAX), u64::MAX - (align.get() - 1));
    }
    for other in [0, 1, 16, 4095, u32::MAX] {
        assert_eq!(Alignment::from_u32(other), None);
    }
}

#[test]
fn segments_too_short_for_anything_have_no_capacity() {
    for align in ALIGNMENTS {
        for len in [0, 1, HEADER_LEN, HEADER_LEN + LINK_LEN as u64] {
            assert_eq!(layout(len, align).capacity(), 0);
            assert_eq!(layout(len, align).max_group_payload(), 0);
            assert_eq!(layout(len, align).max_record_limit(), 0);
        }
    }
    assert_eq!(
        layout(MIN_SEGMENT_FOR_TESTS, Alignment::Sector4096).capacity(),
        0
    );
    // Numbers that no file has overflow nothing.
    assert_eq!(
        layout(u64::MAX, Alignment::Sector4096).max_group_payload(),
        u64::from(u32::MAX)
    );
}

#[test]
fn the_largest_record_fits_with_controls_and_footer() {
    for align in ALIGNMENTS {
        for len in [32 << 10, 1 << 20, (1 << 20) + 24] {
            let limit = layout(len, align).max_record_limit() as usize;
            // A put with an expiry: the longest fixed part that is not compressed.
            let (key, value) = (noise(limit / 2, 1), noise(limit - limit / 2, 2));
            let mut segment = Builder::first(len, align);
            segment.records(&[RecordRef::put(&key, &value).with_expiry(NOW)], 0);
            let end = layout(len, align).data_start() + layout(len, align).capacity();
            assert!(segment.groups.end().get() <= end, "{len} bytes, {align:?}");
            // What the control reserve is for, then the footer.
            segment.cut(1, 1);
            let bytes = segment.footer(SegmentId::new(2), 1).bytes();
            assert!(
                bytes.len() as u64 <= len,
                "{} of {len} bytes, {align:?}",
                bytes.len()
            );
            let groups = SegmentView::parse(&bytes, SegmentId::FIRST)
                .unwrap()
                .groups();
            assert_eq!(groups.map(Result::unwrap).count(), 4);
        }
    }
}

#[test]
fn a_full_segment_of_small_groups_leaves_room_for_its_footer() {
    let len = 1 << 20;
    for align in ALIGNMENTS {
        let mut segment = Builder::first(len, align);
        let end = layout(len, align).data_start() + layout(len, align).capacity();
        let mut written = 0;
        while segment.groups.room_for(6) <= end {
            segment.records(&[RecordRef::data(b"")], written);
            written += 1;
        }
        let control = segment.groups.end().get() + CONTROL_RESERVE;
        while segment.groups.end().get() + GROUP_HEADER_LEN as u64 <= control {
            segment.stamp(written);
            if align != Alignment::Eight {
                break;
            }
        }
        let bytes = segment.footer(SegmentId::new(2), 1).bytes();
        assert!(
            bytes.len() as u64 <= len,
            "{} of {len} bytes, {align:?}",
            bytes.len()
        );
        assert!(layout(len, align).footer_reserve() < len);
    }
}
