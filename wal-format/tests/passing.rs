//! Two other ways through a group: the short one, for records that are whole and stored as they are, and the one past records
//! that nobody is shown.

mod support;

use support::NOW;
use wal_format::{
    Alignment, Compression, EncodedRecord, Epoch, Frame, GroupError, GroupHeader, GroupWriter,
    InBatch, LogId, Lsn, Offset, RecordError, RecordRef, RecordsCursor, Salt, Version,
};

const EPOCH: Epoch = Epoch::new(77);
const PLACE: Offset = Offset::new(8192);
const HEADER: usize = wal_format::GROUP_HEADER_LEN;

fn here() -> Frame {
    Frame {
        version: Version::V1,
        salt: Salt::new(LogId::from_bytes([5; 16]), EPOCH),
        epoch: EPOCH,
        alignment: Alignment::Eight,
    }
}

/// Three records, the second one compressed where the build can.
fn group() -> (Vec<u8>, RecordsCursor) {
    let value = [3; 400];
    let compression = if Compression::Lz4.is_available() {
        Compression::Lz4
    } else {
        Compression::None
    };
    let mut writer = GroupWriter::new(here(), 0);
    writer.reset(here(), PLACE, 0, Lsn::FIRST);
    for record in [
        RecordRef::put(b"key", &value),
        RecordRef::data(&value).with_compression(compression),
        RecordRef::delete(b"key"),
    ] {
        writer.push(&EncodedRecord::new(record, InBatch::Last, NOW, 1 << 20).unwrap());
    }
    writer.close_group(Lsn::ZERO);
    let (header, _) = GroupHeader::decode(writer.bytes(), here(), PLACE).unwrap();
    let cursor = RecordsCursor::new(&header, here(), 1 << 20).unwrap();
    (writer.bytes().to_vec(), cursor)
}

fn rest<'a>(bytes: &'a [u8], cursor: &RecordsCursor) -> &'a [u8] {
    &bytes[(cursor.offset().get() - PLACE.get()) as usize..]
}

#[test]
fn the_short_way_stays_where_a_record_needs_more_than_a_look() {
    let (bytes, mut cursor) = group();
    let payload = &bytes[HEADER..];
    assert_eq!(cursor.step_plain(&payload[..200]), None, "not whole");
    let mut damaged = payload.to_vec();
    damaged[100] ^= 1;
    assert_eq!(cursor.step_plain(&damaged), None, "not valid");
    assert_eq!((cursor.lsn(), cursor.remaining()), (Lsn::FIRST, 3));
    let mut same = cursor.clone();
    let plain = cursor.step_plain(payload).unwrap();
    assert_eq!(same.step(payload).unwrap(), Some(plain));
    assert_eq!(cursor.offset(), same.offset());
    if Compression::Lz4.is_available() {
        assert_eq!(cursor.step_plain(rest(&bytes, &cursor)), None, "compressed");
    }
    assert!(cursor.step(rest(&bytes, &cursor)).unwrap().is_some());
    assert!(cursor.step_plain(rest(&bytes, &cursor)).is_some());
    assert_eq!(
        cursor.step_plain(&[]),
        None,
        "the group's end is for `step`"
    );
    assert_eq!(cursor.step(&[]), Ok(None));
}

#[test]
fn records_are_passed_by_their_fixed_parts_alone() {
    let (bytes, mut cursor) = group();
    let mut damaged = bytes.clone();
    // In the value of the first record, of which no more than the fixed part is looked at.
    damaged[HEADER + 100] ^= 1;
    let head = cursor.pass(&damaged[HEADER..HEADER + 20]).unwrap();
    assert_eq!(head.map(|head| head.key_len), Some(3));
    assert!(matches!(
        cursor.pass(&[]),
        Err(GroupError::Record { lsn, error: RecordError::Incomplete, .. }) if lsn.get() == 2
    ));
    assert!(cursor.step(rest(&damaged, &cursor)).unwrap().is_some());
    assert!(cursor.pass(rest(&damaged, &cursor)).unwrap().is_some());
    assert_eq!(
        cursor.pass(&[]),
        Ok(None),
        "the checksums are those of the group"
    );
}

#[test]
fn a_checksum_that_was_passed_still_counts_for_the_group() {
    let (mut bytes, mut cursor) = group();
    bytes[HEADER] ^= 1;
    while cursor.remaining() > 0 {
        assert!(cursor.pass(rest(&bytes, &cursor)).unwrap().is_some());
    }
    assert!(matches!(cursor.pass(&[]), Err(GroupError::Digest { .. })));
}
