//! Round trips of arbitrary records through groups and segments, and arbitrary bytes through
//! every decoder.

mod support;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use support::{Builder, NOW, frame};
use wal_format::{
    Alignment, Compression, EncodedRecord, Epoch, Expiry, FileName, Footer, FooterTrailer,
    GroupError, GroupHeader, GroupKind, History, InBatch, LinkBody, Lsn, Offset, Record,
    RecordError, RecordHead, RecordKind, RecordsCursor, SegmentHeader, SegmentId, SegmentView,
    UnixMillis, Version, crc32, decode_cut, decode_gap, decode_stamp, decompress, read_record,
    scan_headers, verify_record,
};

fn alignment() -> impl Strategy<Value = Alignment> {
    prop_oneof![
        Just(Alignment::Eight),
        Just(Alignment::Sector512),
        Just(Alignment::Sector4096)
    ]
}

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::None),
        Just(Compression::Lz4),
        Just(Compression::Zstd)
    ]
    .prop_map(|c| {
        if c.is_available() {
            c
        } else {
            Compression::None
        }
    })
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Never),
        any::<std::time::Duration>().prop_map(Expiry::After),
        any::<u64>().prop_map(|at| Expiry::At(UnixMillis::new(at))),
    ]
}

/// Bytes of which some compress and some do not.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..3000_usize).prop_map(|(b, n)| vec![b; n])
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let kind = prop_oneof![
        (vec(any::<u8>(), 0..200), value()).prop_map(|(key, value)| Record::put(key, value)),
        vec(any::<u8>(), 0..200).prop_map(Record::delete),
        value().prop_map(Record::data),
    ];
    (kind, compression(), expiry()).prop_map(|(record, compression, expiry)| {
        let record = record.with_compression(compression);
        match expiry {
            Expiry::Never => record,
            Expiry::After(ttl) => record.with_ttl(ttl),
            Expiry::At(at) => record.with_expiry(at),
            other => panic!("{other:?}"),
        }
    })
}

/// What is read back: the time is absolute, and the compression is the one that was used.
fn same(written: &Record, read: &Record) -> Result<(), TestCaseError> {
    prop_assert_eq!(written.kind(), read.kind());
    prop_assert_eq!(&written.key, &read.key);
    prop_assert_eq!(&written.value, &read.value);
    prop_assert_eq!(written.expiry().resolve(NOW), read.expires_at());
    let used = [Compression::None, written.compression()];
    prop_assert!(used.contains(&read.compression()));
    Ok(())
}

proptest! {
    #[test]
    fn records(written in record(), mask in any::<u32>(), more in any::<bool>()) {
        let in_batch = if more { InBatch::More } else { InBatch::Last };
        let encoded = EncodedRecord::new(written.as_ref(), in_batch, NOW, 1 << 20).unwrap();
        let mut bytes = Vec::new();
        encoded.write_to(&mut bytes, mask);
        prop_assert_eq!(bytes.len(), encoded.len());

        let head = RecordHead::parse(&bytes, bytes.len() as u64, 1 << 20).unwrap();
        prop_assert_eq!(head.total_len(), bytes.len() as u64);
        prop_assert_eq!(head.in_batch, in_batch);
        prop_assert!(verify_record(&bytes, mask).is_ok());
        prop_assert!(verify_record(&bytes, mask ^ 1).is_err());
        same(&written, &read_record(&Bytes::from(bytes), &head).unwrap())?;
    }

    #[test]
    fn segments(
        groups in vec(vec(vec(record(), 1..4), 1..5), 0..8),
        align in alignment(),
        first in 1..=u64::MAX / 2,
        stamped in any::<bool>(),
        sealed in any::<bool>(),
    ) {
        let header = support::header(3, 1 << 20, align);
        let link = LinkBody::first(Lsn::new(first), History::NONE);
        let mut segment = Builder::new(header, &link, Lsn::new(first - 1));
        for group in &groups {
            let batches: Vec<Vec<_>> =
                group.iter().map(|batch| batch.iter().map(Record::as_ref).collect()).collect();
            let batches: Vec<&[_]> = batches.iter().map(Vec::as_slice).collect();
            segment.group(&batches, first - 1);
            if stamped {
                segment.stamp(segment.groups.next_lsn().prev().get());
            }
        }
        if sealed {
            segment.footer(SegmentId::new(4), first);
        }
        let bytes = segment.bytes();

        let view = SegmentView::parse(&bytes, SegmentId::new(3)).unwrap();
        let mut walk = view.groups();
        let mut read = Vec::new();
        for group in walk.by_ref() {
            for (lsn, offset, record) in group.unwrap().records() {
                read.push((lsn, offset, record));
            }
        }
        prop_assert_eq!(walk.is_sealed(), sealed);
        prop_assert_eq!(walk.offset().get(), bytes.len() as u64);
        let written: Vec<_> = groups.iter().flatten().flat_map(|batch| {
            batch.iter().enumerate().map(|(i, record)| (record, i + 1 < batch.len()))
        }).collect();
        prop_assert_eq!(read.len(), written.len());
        for (lsn, ((found, offset, read), (written, more))) in (first..).zip(read.iter().zip(written)) {
            prop_assert_eq!(found.get(), lsn);
            prop_assert_eq!(read.in_batch() == InBatch::More, more);
            prop_assert!(bytes[offset.get() as usize..].starts_with(read.stored()));
            let value = read.value().unwrap();
            prop_assert_eq!(&written.value[..], &value[..]);
            same(written, &read.to_record().unwrap())?;
        }
    }

    #[test]
    fn group_headers(
        (first, below) in (1..u64::MAX / 2, any::<u64>()),
        (offset, payload_len, record_count) in (513..1_u64 << 40, any::<u32>(), any::<u32>()),
        (previous, digest, epoch) in (any::<u32>(), any::<u32>(), 1_u64..),
    ) {
        let header = GroupHeader {
            kind: GroupKind::Records,
            epoch: Epoch::new(epoch),
            first_lsn: Lsn::new(first),
            watermark: Lsn::new(below % first),
            offset: Offset::new(offset * 8),
            payload_len,
            record_count,
            previous,
            digest,
            version: Version::V1,
            may_skip: false,
            set_back: false,
            time: UnixMillis::new(0),
        };
        let frame = frame(header.epoch, Alignment::Eight);
        let (bytes, checksum) = header.encode(frame);
        let decoded = GroupHeader::decode(&bytes, frame, header.offset);
        prop_assert_eq!(decoded, Ok((header, checksum)));
    }

    #[test]
    fn arbitrary_bytes_panic_nothing(
        bytes in vec(any::<u8>(), 0..600),
        (left, limit) in (any::<u64>(), any::<u64>()),
        raw_len in 0..100_000_usize,
        name in ".*",
    ) {
        if let Ok(head) = RecordHead::parse(&bytes, left, limit) {
            prop_assert!(head.total_len() <= left);
            let _ = read_record(&Bytes::copy_from_slice(&bytes), &head);
        }
        let _ = verify_record(&bytes, 0);
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            if let Ok(raw) = decompress(compression, &bytes, raw_len) {
                prop_assert_eq!(raw.len(), raw_len);
            }
        }
        let frame = frame(Epoch::new(1), Alignment::Eight);
        let _ = GroupHeader::decode(&bytes, frame, Offset::new(left));
        prop_assert_eq!(
            scan_headers(&bytes, Offset::new(8), frame).count(), 0
        );
        let _ = SegmentHeader::decode(&bytes, SegmentId::FIRST);
        if let Some(trailer) = bytes.last_chunk() {
            prop_assert!(FooterTrailer::decode(trailer).is_err());
        }
        let _ = FileName::parse(&name);
    }

    /// Heads that are likely to be believed, with lengths that are not.
    #[test]
    fn arbitrary_heads_panic_nothing(
        flags in 0_u8..64,
        lengths in vec(any::<u8>(), 0..40),
        left in 0..200_u64,
    ) {
        let bytes = [&[0, 0, 0, 0, flags][..], &lengths].concat();
        match RecordHead::parse(&bytes, left, 1 << 20) {
            Ok(head) => {
                prop_assert!(head.total_len() <= left);
                prop_assert!(head.kind != RecordKind::Delete || head.value_len == 0);
                if let Some(exact) = bytes.get(..head.total_len() as usize) {
                    let plain = head.compression == Compression::None;
                    let read = read_record(&Bytes::copy_from_slice(exact), &head);
                    prop_assert!(read.is_ok() || !plain);
                }
            }
            Err(RecordError::Incomplete) => prop_assert!((bytes.len() as u64) < left),
            Err(_) => {}
        }
    }

    /// Headers that verify, over payloads that have nothing to do with them.
    #[test]
    fn arbitrary_payloads_panic_nothing(
        payload in vec(any::<u8>(), 0..200),
        (kind, record_count) in (0_usize..6, 0..20_u32),
        seen in 0..300_usize,
        honest in any::<bool>(),
    ) {
        use GroupKind::{Cut, Footer as FooterKind, Gap, Link, Records, Stamp};
        let header = GroupHeader {
            kind: [Records, Stamp, Link, Cut, FooterKind, Gap][kind],
            epoch: Epoch::new(1),
            first_lsn: Lsn::new(5),
            watermark: Lsn::new(4),
            offset: Offset::new(8192),
            payload_len: payload.len() as u32,
            record_count,
            previous: 0,
            digest: if honest { crc32(&payload) } else { 0 },
            version: Version::V1,
            may_skip: false,
            set_back: false,
            time: UnixMillis::new(0),
        };
        let _ = decode_stamp(&payload, &header);
        let _ = decode_cut(&payload, &header);
        let _ = decode_gap(&payload, &header);
        let _ = LinkBody::decode(&payload, &header);
        let _ = Footer::decode(&payload, &header);
        let frame = frame(header.epoch, Alignment::Eight);
        if let Ok(mut cursor) = RecordsCursor::new(&header, frame, 1000) {
            let window = &payload[..seen.min(payload.len())];
            let result = cursor.step(window);
            let incomplete = matches!(
                result, Err(GroupError::Record { error: RecordError::Incomplete, .. })
            );
            prop_assert!(!incomplete || window.len() < payload.len());
        }
    }
}
