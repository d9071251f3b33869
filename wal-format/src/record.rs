//! The record: what the caller appends, owned or borrowed.
//!
//! Deliberately absent: a clock (the caller says what time it is) and the record's LSN and
//! offset, which it gets only with its place in a group.

mod decode;
mod encode;
mod into_bytes;
mod owned;

use std::time::Duration;

use crate::compression::Compression;

pub use decode::{
    RecordHead, borrow_record, check_value, end_batch, read_record, read_record_in, remask_record,
    slice_record, verify_record,
};
pub use encode::EncodedRecord;
pub use into_bytes::IntoBytes;
pub use owned::Record;

/// Flag bits of an encoded record.
mod flags {
    pub(super) const KIND: u8 = 0b0000_0011;
    pub(super) const COMPRESSION: u8 = 0b0000_1100;
    pub(super) const COMPRESSION_SHIFT: u32 = 2;
    pub(super) const EXPIRY: u8 = 0b0001_0000;
    pub(super) const MORE: u8 = 0b0010_0000;
    pub(super) const RESERVED: u8 = 0b1100_0000;
}

/// Bytes of the stored checksum that each record begins with.
const CHECKSUM_LEN: usize = 4;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordKind {
    /// A payload without a key.
    Data = 1,
    /// A key and its value.
    Put = 2,
    /// A key that has no value any more.
    Delete = 3,
}

impl RecordKind {
    /// Whether records of this kind store a key.
    #[must_use]
    pub const fn has_key(self) -> bool {
        !matches!(self, Self::Data)
    }

    /// Whether records of this kind store a value.
    #[must_use]
    pub const fn has_value(self) -> bool {
        !matches!(self, Self::Delete)
    }
}

/// Whether the next record belongs to the same batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "engine"), non_exhaustive)]
pub enum InBatch {
    /// This record ends its batch, or is a batch of its own.
    #[default]
    Last,
    /// The next record belongs to the same batch.
    More,
}

/// A point in time: milliseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// Takes the milliseconds as they are.
    #[must_use]
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// The milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The time `later` than this one, rounded up to whole milliseconds; stays at the last representable one.
    #[must_use]
    pub fn saturating_add(self, later: Duration) -> Self {
        let millis = later.as_nanos().div_ceil(1_000_000);
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// When a record expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expiry {
    /// Never.
    #[default]
    Never,
    /// So long after it is encoded. What is stored, and read back, is [`At`](Self::At).
    After(Duration),
    /// At this time.
    At(UnixMillis),
}

impl Expiry {
    /// The point in time that it means for a record encoded at `now`.
    #[must_use]
    pub fn resolve(self, now: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::Never => None,
            Self::After(ttl) => Some(now.saturating_add(ttl)),
            Self::At(at) => Some(at),
        }
    }
}

/// A record whose key and value are borrowed: what is encoded, without a copy in between.
///
/// ```
/// use wal_format::{Compression, RecordRef};
///
/// let record = RecordRef::put(b"user:1", b"Ada").with_compression(Compression::Lz4);
/// assert_eq!(record.key(), b"user:1");
/// assert_eq!(record.to_record().value, "Ada");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    kind: RecordKind,
    key: &'a [u8],
    value: &'a [u8],
    compression: Compression,
    expiry: Expiry,
}

impl<'a> RecordRef<'a> {
    const fn new(kind: RecordKind, key: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            kind,
            key,
            value,
            compression: Compression::None,
            expiry: Expiry::Never,
        }
    }

    /// A payload without a key.
    #[must_use]
    pub const fn data(payload: &'a [u8]) -> Self {
        Self::new(RecordKind::Data, &[], payload)
    }

    /// A key and its value; either may be empty.
    #[must_use]
    pub const fn put(key: &'a [u8], value: &'a [u8]) -> Self {
        Self::new(RecordKind::Put, key, value)
    }

    /// A key that has no value any more.
    #[must_use]
    pub const fn delete(key: &'a [u8]) -> Self {
        Self::new(RecordKind::Delete, key, &[])
    }

    /// Asks for the value to be compressed. A value that does not shrink is stored as it is, and
    /// read back with [`Compression::None`]. Without effect on a delete.
    #[must_use]
    pub const fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Lets the record expire `ttl` after it is encoded; see [`Record::with_ttl`].
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.expiry = Expiry::After(ttl);
        self
    }

    /// Lets the record expire at a point in time.
    #[must_use]
    pub const fn with_expiry(mut self, at: UnixMillis) -> Self {
        self.expiry = Expiry::At(at);
        self
    }

    /// What the record is.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        self.kind
    }

    /// The key; empty for data.
    #[must_use]
    pub const fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The uncompressed value; the payload of data; empty for a delete.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The compression asked for.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// When the record expires.
    #[must_use]
    pub const fn expiry(&self) -> Expiry {
        self.expiry
    }
}
