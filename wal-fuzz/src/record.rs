//! One record. What decodes encodes to the same bytes; no length is believed before it is bounded.
//!
//! Deliberately absent: the checksum as an obstacle. It is put right, so that all behind it is reached.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use wal_format::{
    Compression, EncodedRecord, Expiry, InBatch, Record, RecordError, RecordHead, RecordRef,
    UnixMillis, crc32, decompress, read_record, verify_record,
};

/// Most bytes that a value is decompressed to.
const MOST: u64 = 1 << 20;
const NOW: UnixMillis = UnixMillis::new(1_700_000_000_000);

/// Bytes as a record, bytes as a compressed value, bytes as the parts of a record.
pub fn record(data: &[u8]) {
    let Some(([mode, knobs @ ..], bytes)) = data.split_first_chunk::<9>() else {
        return;
    };
    let knob =
        |at: usize| u32::from_le_bytes([knobs[at], knobs[at + 1], knobs[at + 2], knobs[at + 3]]);
    match mode % 4 {
        0 => stored(
            bytes,
            u64::from(knob(0)) % (2 * bytes.len() as u64 + 1),
            knob(4),
        ),
        1 => stored(bytes, bytes.len() as u64, knob(4)),
        2 => compressed(bytes, knob(0), knob(4)),
        // Fewer bytes than a record needs are no record.
        _ => drop(parts(&mut Unstructured::new(bytes), knob(4))),
    }
}

/// The bytes are a window of a group's payload, of which `left` bytes lie ahead.
fn stored(bytes: &[u8], left: u64, mask: u32) {
    let limit = MOST - u64::from(mask % 7) * 1000;
    let parsed = RecordHead::parse(bytes, left, limit);
    for cut in 0..bytes.len().min(40) {
        let window = RecordHead::parse(&bytes[..cut], left, limit);
        assert!(
            window == parsed || window == Err(RecordError::Incomplete) || cut as u64 >= left,
            "a window of {cut} bytes says {window:?}, all of it {parsed:?}"
        );
    }
    let Ok(head) = parsed else { return };
    assert!(head.total_len() <= left, "{head:?} in {left} bytes");
    assert!(
        u64::from(head.key_len) + u64::from(head.raw_len) <= limit,
        "{head:?} above {limit}"
    );
    let Some(record) = bytes.get(..head.total_len() as usize) else {
        return;
    };
    let mut record = record.to_vec();
    let checksum = crc32(&record[4..]) ^ mask;
    record[..4].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(verify_record(&record, mask), Ok(checksum));
    assert!(verify_record(&record, mask ^ 1).is_err());
    match read_record(&Bytes::copy_from_slice(&record), &head) {
        Ok(read) => same_again(&read, &head, &record, mask),
        Err(RecordError::Decompress(_)) => assert_ne!(head.compression, Compression::None),
        Err(other) => unreachable!("a whole record is refused: {other}"),
    }
}

/// A record that was read encodes to the bytes that it was read from. A compressed value may have been compressed by someone
/// else; then the record is the same.
fn same_again(read: &Record, head: &RecordHead, stored: &[u8], mask: u32) {
    assert_eq!(read.key.len(), head.key_len as usize);
    assert_eq!(read.value.len(), head.raw_len as usize);
    let (again, bytes) = round_trip(read.as_ref(), head.in_batch, mask);
    if head.compression == Compression::None {
        assert_eq!(bytes, stored);
    }
    assert_eq!((&again.key, &again.value), (&read.key, &read.value));
    assert_eq!(again.kind(), read.kind());
    assert_eq!(again.expires_at(), read.expires_at());
}

/// Encodes and decodes.
fn round_trip(record: RecordRef<'_>, in_batch: InBatch, mask: u32) -> (Record, Vec<u8>) {
    let encoded = EncodedRecord::new(record, in_batch, NOW, MOST).expect("within the limit");
    let mut bytes = Vec::new();
    encoded.write_to(&mut bytes, mask);
    assert_eq!(bytes.len(), encoded.len());
    let head = RecordHead::parse(&bytes, bytes.len() as u64, MOST).expect("it was just encoded");
    assert_eq!(head.total_len(), bytes.len() as u64);
    assert_eq!(head.in_batch, in_batch);
    assert!(verify_record(&bytes, mask).is_ok());
    let stored = Bytes::from(bytes);
    let read = read_record(&stored, &head).expect("it was just encoded");
    (read, stored.to_vec())
}

/// What decompresses has the length that was asked for, and no other length is accepted.
fn compressed(bytes: &[u8], raw_len: u32, seed: u32) {
    let raw_len = (u64::from(raw_len) % MOST) as usize;
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        if let Ok(raw) = decompress(compression, bytes, raw_len) {
            assert_eq!(raw.len(), raw_len);
            let other = raw_len ^ (1 << (seed % 8));
            assert!(decompress(compression, bytes, other).is_err());
        }
    }
}

fn parts(u: &mut Unstructured<'_>, mask: u32) -> Result<()> {
    let kind = u.int_in_range(0..=2)?;
    let compression = *u.choose(&[Compression::None, Compression::Lz4, Compression::Zstd])?;
    let expiry = *u.choose(&[
        Expiry::Never,
        Expiry::At(UnixMillis::new(u64::MAX)),
        Expiry::At(NOW),
    ])?;
    let in_batch = *u.choose(&[InBatch::Last, InBatch::More])?;
    // Something that shrinks.
    let repeat = u.int_in_range(1..=64)?;
    let key_len = u.int_in_range(0..=300)?.min(u.len());
    let key = u.bytes(key_len)?;
    let value = u.bytes(u.len())?.repeat(repeat);
    let record = match kind {
        0 => RecordRef::data(&value),
        1 => RecordRef::put(key, &value),
        _ => RecordRef::delete(key),
    }
    .with_compression(compression);
    let record = match expiry {
        Expiry::At(at) => record.with_expiry(at),
        _ => record,
    };
    if value.len() + key.len() > MOST as usize {
        return Ok(());
    }
    let (read, _) = round_trip(record, in_batch, mask);
    assert_eq!(
        (&read.key[..], &read.value[..]),
        (record.key(), record.value())
    );
    assert_eq!(
        (read.kind(), read.expiry()),
        (record.kind(), record.expiry())
    );
    assert!([Compression::None, compression].contains(&read.compression()));
    Ok(())
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let value = b"value value value value value value ".repeat(4);
    let compressions = [Compression::None, Compression::Lz4, Compression::Zstd];
    let mut seeds = Vec::new();
    for compression in compressions {
        for record in [
            RecordRef::data(&value),
            RecordRef::put(b"key", &value).with_expiry(NOW),
            RecordRef::delete(b"key"),
        ] {
            let record = record.with_compression(compression);
            let (_, bytes) = round_trip(record, InBatch::More, 0);
            seeds.push([&[1, 0, 0, 0, 0, 0, 0, 0, 0], &bytes[..]].concat());
        }
        if let Ok(Some(stored)) = wal_format::compress(compression, &value) {
            let [low, high, ..] = value.len().to_le_bytes();
            seeds.push([&[2, low, high, 0, 0, 0, 0, 0, 0], &stored[..]].concat());
        }
    }
    seeds.push([&[3; 9][..], &value].concat());
    seeds
}
