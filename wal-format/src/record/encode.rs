//! The one encoder of records. All that costs time happens before the record has its place:
//! compression, checksum, fixed part. What is left is one copy.
//!
//! Deliberately absent: LSN and offset. They come in as a mask when the record is written.

use std::borrow::Cow;

use super::{CHECKSUM_LEN, Compression, InBatch, RecordKind, RecordRef, UnixMillis, flags};
use crate::compress::compress;
use crate::error::EncodeError;
use crate::limits::MAX_RECORD_HEAD;
use crate::varint;

/// Room for the fixed part, a length that copies in a few instructions.
const HEAD_ROOM: usize = 32;
const _: () = assert!(HEAD_ROOM >= MAX_RECORD_HEAD);

/// Most bytes of key and value, so that all lengths, the record's too, fit in 32 bits.
const MOST: u64 = u32::MAX as u64 - MAX_RECORD_HEAD as u64;

/// A record ready to be written: everything but the mask of its place.
///
/// ```
/// use wal_format::{EncodedRecord, InBatch, RecordRef, UnixMillis};
///
/// let record = RecordRef::put(b"key", b"value");
/// let encoded = EncodedRecord::new(record, InBatch::Last, UnixMillis::new(0), 1 << 20)?;
/// assert_eq!(encoded.len(), 7 + 3 + 5);
/// # Ok::<(), wal_format::EncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct EncodedRecord<'a> {
    /// The fixed part; its first four bytes are left for the checksum.
    head: [u8; HEAD_ROOM],
    head_len: usize,
    /// CRC-32 of all behind the checksum, not masked yet.
    crc: u32,
    key: &'a [u8],
    value: Cow<'a, [u8]>,
}

impl<'a> EncodedRecord<'a> {
    /// Compresses, lays out and checksums `record`. A relative time to live counts from `now`.
    /// Allocates only for a value that is compressed.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLarge`] if key and uncompressed value together have more than
    /// `record_limit` bytes, [`EncodeError::CompressionUnavailable`] if the compression was left
    /// out of the build, [`EncodeError::NotOfItsKind`] for data with a key or a delete with a
    /// value.
    #[inline]
    pub fn new(
        record: RecordRef<'a>,
        in_batch: InBatch,
        now: UnixMillis,
        record_limit: u64,
    ) -> Result<Self, EncodeError> {
        check(&record, record_limit)?;
        let compressed = match record.kind {
            RecordKind::Delete => None,
            RecordKind::Data | RecordKind::Put => compress(record.compression, record.value)?,
        };
        let (compression, value) = match compressed {
            Some(stored) => (record.compression, Cow::Owned(stored)),
            None => (Compression::None, Cow::Borrowed(record.value)),
        };
        let expiry = record.expiry.resolve(now);

        let mut head = [0; HEAD_ROOM];
        head[CHECKSUM_LEN] = record.kind as u8
            | ((compression as u8) << flags::COMPRESSION_SHIFT)
            | if expiry.is_some() { flags::EXPIRY } else { 0 }
            | if in_batch == InBatch::More {
                flags::MORE
            } else {
                0
            };
        let mut at = CHECKSUM_LEN + 1;
        if record.kind.has_key() {
            at = varint::write(&mut head, at, record.key.len() as u32);
        }
        if record.kind.has_value() {
            at = varint::write(&mut head, at, value.len() as u32);
        }
        if compression != Compression::None {
            at = varint::write(&mut head, at, record.value.len() as u32);
        }
        if let Some(expiry) = expiry {
            head[at..at + 8].copy_from_slice(&expiry.get().to_le_bytes());
            at += 8;
        }

        let mut crc = crc32fast::Hasher::new();
        crc.update(&head[CHECKSUM_LEN..at]);
        crc.update(record.key);
        crc.update(&value);
        Ok(Self {
            head,
            head_len: at,
            crc: crc.finalize(),
            key: record.key,
            value,
        })
    }

    /// Bytes of the whole record as stored.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.head_len + self.key.len() + self.value.len()
    }

    /// Never: a record has a fixed part.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The checksum as it is stored under `mask`.
    #[inline]
    #[must_use]
    pub(crate) const fn checksum(&self, mask: u32) -> u32 {
        self.crc ^ mask
    }

    /// Appends the record to `out`, with the checksum under the mask of its place.
    #[inline]
    pub fn write_to(&self, out: &mut Vec<u8>, mask: u32) {
        let mut head = self.head;
        head[..CHECKSUM_LEN].copy_from_slice(&self.checksum(mask).to_le_bytes());
        out.reserve(HEAD_ROOM + self.key.len() + self.value.len());
        let head_end = out.len() + self.head_len;
        // Copying a fixed length is cheaper than copying the right one.
        out.extend_from_slice(&head);
        out.truncate(head_end);
        out.extend_from_slice(self.key);
        out.extend_from_slice(&self.value);
    }
}

fn check(record: &RecordRef<'_>, record_limit: u64) -> Result<(), EncodeError> {
    if !record.kind.has_key() && !record.key.is_empty() {
        return Err(EncodeError::NotOfItsKind("a data record stores no key"));
    }
    if !record.kind.has_value() && !record.value.is_empty() {
        return Err(EncodeError::NotOfItsKind("a delete stores no value"));
    }
    let limit = record_limit.min(MOST);
    let len = record.key.len() as u64 + record.value.len() as u64;
    if len > limit {
        Err(EncodeError::TooLarge { len, limit })
    } else {
        Ok(())
    }
}
