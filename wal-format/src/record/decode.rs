//! The one decoder of records. It borrows, and works on a window that may end anywhere.
//!
//! Deliberately absent: where the bytes come from, and reading on. When the window is too short,
//! the caller is told so and brings more.

use std::ops::Range;

use bytes::Bytes;

use super::{
    CHECKSUM_LEN, Compression, Expiry, InBatch, Record, RecordKind, RecordRef, UnixMillis, flags,
};
use crate::checksum::crc32;
use crate::compress::decompress;
use crate::error::RecordError;
use crate::limits::MIN_RECORD_LEN;
use crate::varint::{self, VarintError};
use crate::wire::{put, u32_at, u64_at};

/// The fixed part of an encoded record. It says how long the record is; nothing of it is
/// proven until the checksum of the whole record verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// What the record is.
    pub kind: RecordKind,
    /// How the value is stored.
    pub compression: Compression,
    /// Whether the next record belongs to the same batch.
    pub in_batch: InBatch,
    /// Bytes of the key.
    pub key_len: u32,
    /// Bytes of the value as stored.
    pub value_len: u32,
    /// Bytes of the value before compression.
    pub raw_len: u32,
    /// When the record expires.
    pub expiry: Option<UnixMillis>,
    /// Bytes of the fixed part.
    pub head_len: usize,
}

impl RecordHead {
    /// Reads the fixed part of the record that `bytes` begin with, by rules 1 to 3 of a valid
    /// record. `payload_left` is how many bytes of the group's payload lie ahead, this record
    /// included; `bytes` may hold fewer of them, or go on behind them.
    ///
    /// # Errors
    ///
    /// [`RecordError::Incomplete`] if the bytes end inside the fixed part although the payload
    /// goes on, [`RecordError::Malformed`] and [`RecordError::TooLarge`] if it is not valid.
    #[inline]
    pub fn parse(bytes: &[u8], payload_left: u64, record_limit: u64) -> Result<Self, RecordError> {
        let whole = bytes.len() as u64 >= payload_left;
        // The narrowing is exact: `payload_left` is no more than a length in memory.
        let bytes = if whole {
            &bytes[..payload_left as usize]
        } else {
            bytes
        };
        let short = || {
            if whole {
                RecordError::Malformed("it does not end within its group")
            } else {
                RecordError::Incomplete
            }
        };
        let varint = |at| match varint::read(bytes, at) {
            Ok(read) => Ok(read),
            Err(VarintError::Short) => Err(short()),
            Err(VarintError::Malformed) => Err(RecordError::Malformed("a length")),
        };

        let Some(&bits) = bytes.get(CHECKSUM_LEN) else {
            return Err(short());
        };
        let (kind, compression) = parse_flags(bits)?;
        let in_batch = if bits & flags::MORE == 0 {
            InBatch::Last
        } else {
            InBatch::More
        };
        let mut at = CHECKSUM_LEN + 1;
        let (mut key_len, mut value_len) = (0, 0);
        if kind.has_key() {
            (key_len, at) = varint(at)?;
        }
        if kind.has_value() {
            (value_len, at) = varint(at)?;
        }
        let mut raw_len = value_len;
        if compression != Compression::None {
            (raw_len, at) = varint(at)?;
            if value_len >= raw_len {
                return Err(RecordError::Malformed(
                    "a compressed value that is not shorter",
                ));
            }
        }
        let mut expiry = None;
        if bits & flags::EXPIRY != 0 {
            if bytes.len() < at + 8 {
                return Err(short());
            }
            expiry = Some(UnixMillis::new(u64_at(bytes, at)));
            at += 8;
        }

        let head = Self {
            kind,
            compression,
            in_batch,
            key_len,
            value_len,
            raw_len,
            expiry,
            head_len: at,
        };
        let len = u64::from(key_len) + u64::from(raw_len);
        if len > record_limit {
            return Err(RecordError::TooLarge {
                len,
                limit: record_limit,
            });
        }
        if head.total_len() > payload_left {
            return Err(RecordError::Malformed("it does not end within its group"));
        }
        Ok(head)
    }

    /// Bytes of the whole record.
    #[inline]
    #[must_use]
    pub const fn total_len(&self) -> u64 {
        self.head_len as u64 + self.key_len as u64 + self.value_len as u64
    }

    /// Where the key is, from the start of the record. Only meaningful for a record that is
    /// whole in memory.
    #[inline]
    #[must_use]
    pub const fn key_range(&self) -> Range<usize> {
        self.head_len..self.head_len + self.key_len as usize
    }

    /// Where the stored value is, from the start of the record. Only meaningful for a record
    /// that is whole in memory.
    #[inline]
    #[must_use]
    pub const fn value_range(&self) -> Range<usize> {
        let start = self.head_len + self.key_len as usize;
        start..start + self.value_len as usize
    }
}

#[inline]
fn parse_flags(bits: u8) -> Result<(RecordKind, Compression), RecordError> {
    if bits & flags::RESERVED != 0 {
        return Err(RecordError::Malformed("reserved flags"));
    }
    let kind = match bits & flags::KIND {
        1 => RecordKind::Data,
        2 => RecordKind::Put,
        3 => RecordKind::Delete,
        _ => return Err(RecordError::Malformed("its kind is unknown")),
    };
    let compression = match (bits & flags::COMPRESSION) >> flags::COMPRESSION_SHIFT {
        0 => Compression::None,
        1 => Compression::Lz4,
        2 => Compression::Zstd,
        _ => return Err(RecordError::Malformed("its compression is unknown")),
    };
    if kind == RecordKind::Delete && compression != Compression::None {
        return Err(RecordError::Malformed("a delete with compression"));
    }
    Ok((kind, compression))
}

/// Verifies the checksum of the record that is exactly `bytes`, under the mask of its place;
/// returns the checksum as stored (what [`Digest::push`](crate::Digest::push) takes).
///
/// # Errors
///
/// [`RecordError::Checksum`] if it does not verify, [`RecordError::Malformed`] if the bytes are
/// shorter than any record.
#[inline]
pub fn verify_record(bytes: &[u8], mask: u32) -> Result<u32, RecordError> {
    if bytes.len() < MIN_RECORD_LEN {
        return Err(RecordError::Malformed("shorter than any record"));
    }
    let found = u32_at(bytes, 0);
    let expected = crc32(&bytes[CHECKSUM_LEN..]) ^ mask;
    if found == expected {
        Ok(found)
    } else {
        Err(RecordError::Checksum { expected, found })
    }
}

/// Moves an encoded record to another place: takes the mask `old` out of its checksum and puts
/// `new` in. A record that did not verify still does not.
///
/// # Panics
///
/// If `record` is shorter than a checksum.
pub fn remask_record(record: &mut [u8], old: u32, new: u32) {
    let checksum = u32_at(record, 0) ^ old ^ new;
    put(record, 0, &checksum.to_le_bytes());
}

/// Makes the record that is exactly `bytes`, verified under `mask`, the last of its batch; its mask stays.
/// For logs that are cut inside a batch.
///
/// # Panics
///
/// If `record` is shorter than a checksum and flags.
pub fn end_batch(record: &mut [u8], mask: u32) {
    record[CHECKSUM_LEN] &= !flags::MORE;
    let checksum = crc32(&record[CHECKSUM_LEN..]) ^ mask;
    put(record, 0, &checksum.to_le_bytes());
}

/// Makes the record that is exactly `bytes`, whose fixed part is `head` and whose checksum the
/// caller has verified. Key and uncompressed value are slices of `bytes`; only a compressed
/// value is allocated, `raw_len` bytes.
///
/// # Errors
///
/// [`RecordError::Decompress`] if the value does not decompress to exactly `raw_len` bytes or
/// the build cannot decompress it, [`RecordError::Malformed`] if `bytes` has not the record's
/// length.
pub fn read_record(bytes: &Bytes, head: &RecordHead) -> Result<Record, RecordError> {
    if bytes.len() as u64 != head.total_len() {
        return Err(RecordError::Malformed(
            "another length than its fixed part says",
        ));
    }
    read_record_in(bytes, 0, head)
}

/// The same for the record that begins at byte `at` of `window`, which may go on behind it: a
/// reader of many records counts one reference to its window for each key and each value, and none for
/// the record.
///
/// # Errors
///
/// As [`read_record`]; [`RecordError::Malformed`] if the window ends before the record does.
pub fn read_record_in(window: &Bytes, at: usize, head: &RecordHead) -> Result<Record, RecordError> {
    if (window.len() as u64) < (at as u64).saturating_add(head.total_len()) {
        return Err(RecordError::Malformed("the window ends before it does"));
    }
    let mut record = slice_record(window, at, head);
    if head.compression != Compression::None {
        record.value = decompressed(&record.value, head)?;
    }
    Ok(record)
}

/// The same without the decompression: the value is the bytes as they are stored.
///
/// # Panics
///
/// If the window ends before the record does.
// The result is made where the caller wants it: moving it costs as much as making it.
#[allow(clippy::inline_always)]
#[inline(always)]
#[must_use]
pub fn slice_record(window: &Bytes, at: usize, head: &RecordHead) -> Record {
    let within = |part: Range<usize>| window.slice(at + part.start..at + part.end);
    Record::from_parts(
        head.kind,
        within(head.key_range()),
        within(head.value_range()),
        head.compression,
        head.expiry.map_or(Expiry::Never, Expiry::At),
    )
}

/// The record that `bytes` begin with, borrowed; its value as it is stored.
///
/// # Panics
///
/// If the bytes end before the record does.
#[inline]
#[must_use]
pub fn borrow_record<'a>(bytes: &'a [u8], head: &RecordHead) -> RecordRef<'a> {
    RecordRef {
        kind: head.kind,
        key: &bytes[head.key_range()],
        value: &bytes[head.value_range()],
        compression: head.compression,
        expiry: head.expiry.map_or(Expiry::Never, Expiry::At),
    }
}

/// Checks that the value of the record that `bytes` begin with can be read, without making it if it is stored as it is.
///
/// # Errors
///
/// As [`read_record`].
pub fn check_value(bytes: &[u8], head: &RecordHead) -> Result<(), RecordError> {
    if head.compression == Compression::None {
        return Ok(());
    }
    let stored = bytes.get(head.value_range());
    let stored = stored.ok_or(RecordError::Malformed("shorter than its fixed part says"))?;
    decompressed(stored, head).map(drop)
}

#[cold]
fn decompressed(stored: &[u8], head: &RecordHead) -> Result<Bytes, RecordError> {
    Ok(decompress(head.compression, stored, head.raw_len as usize)?.into())
}
