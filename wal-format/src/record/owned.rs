//! The owned record: reference-counted key and value.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::{Compression, Expiry, IntoBytes, RecordKind, RecordRef, UnixMillis};

/// Bytes of a key or value that `Debug` shows.
const SHOWN: usize = 32;

/// A record: a kind, a key, a value, and how long and in which form they are kept.
///
/// ```
/// use std::time::Duration;
/// use wal_format::{Compression, Record};
///
/// let record = Record::put(b"user:1", "Ada")
///     .with_compression(Compression::Zstd)
///     .with_ttl(Duration::from_secs(3600));
/// assert_eq!(record.key, "user:1");
/// assert_eq!(record.value, "Ada");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The key; empty for data.
    pub key: Bytes,
    /// The uncompressed value; the payload of data; empty for a delete.
    pub value: Bytes,
    kind: RecordKind,
    compression: Compression,
    expiry: Expiry,
}

impl Record {
    /// A key and its value; either may be empty.
    pub fn put(key: impl IntoBytes, value: impl IntoBytes) -> Self {
        Self::new(RecordKind::Put, key.into_bytes(), value.into_bytes())
    }

    /// A key that has no value any more.
    pub fn delete(key: impl IntoBytes) -> Self {
        Self::new(RecordKind::Delete, key.into_bytes(), Bytes::new())
    }

    /// A payload without a key; it is in `value`.
    pub fn data(payload: impl IntoBytes) -> Self {
        Self::new(RecordKind::Data, Bytes::new(), payload.into_bytes())
    }

    fn new(kind: RecordKind, key: Bytes, value: Bytes) -> Self {
        Self::from_parts(kind, key, value, Compression::None, Expiry::Never)
    }

    pub(crate) const fn from_parts(
        kind: RecordKind,
        key: Bytes,
        value: Bytes,
        compression: Compression,
        expiry: Expiry,
    ) -> Self {
        Self {
            key,
            value,
            kind,
            compression,
            expiry,
        }
    }

    /// Asks for the value to be compressed. A value that does not shrink is stored as it is, and
    /// read back with [`Compression::None`]. Without effect on a delete.
    #[must_use]
    pub fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Lets the record expire `ttl` after it is encoded, to the millisecond.
    ///
    /// The point in time is fixed when the record is encoded, from the time that the encoder is
    /// given; a time behind the last representable one becomes that one. What is read back has
    /// the absolute time ([`Expiry::At`]).
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.expiry = Expiry::After(ttl);
        self
    }

    /// Lets the record expire at a point in time.
    #[must_use]
    pub fn with_expiry(mut self, at: UnixMillis) -> Self {
        self.expiry = Expiry::At(at);
        self
    }

    /// What the record is.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        self.kind
    }

    /// Before encoding, the compression asked for; of a record that was read, the one that its
    /// value was stored with.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// When the record expires.
    #[must_use]
    pub const fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// The point in time at which the record expires; `None` if it never does, or if that is
    /// not fixed yet because the record was not encoded.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixMillis> {
        match self.expiry {
            Expiry::At(at) => Some(at),
            Expiry::Never | Expiry::After(_) => None,
        }
    }

    /// Whether the record has expired at `now`: its time is not after it.
    #[must_use]
    pub fn is_expired_at(&self, now: UnixMillis) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    /// Borrows the record.
    #[must_use]
    pub fn as_ref(&self) -> RecordRef<'_> {
        RecordRef {
            kind: self.kind,
            key: &self.key,
            value: &self.value,
            compression: self.compression,
            expiry: self.expiry,
        }
    }
}

impl RecordRef<'_> {
    /// Copies the record into one of its own.
    #[must_use]
    pub fn to_record(&self) -> Record {
        Record::from_parts(
            self.kind,
            self.key.into_bytes(),
            self.value.into_bytes(),
            self.compression,
            self.expiry,
        )
    }
}

impl<'a> From<&'a Record> for RecordRef<'a> {
    fn from(record: &'a Record) -> Self {
        record.as_ref()
    }
}

/// So that a slice of either can be appended as a batch.
impl<'a> From<&'a RecordRef<'_>> for RecordRef<'a> {
    fn from(record: &'a RecordRef<'_>) -> Self {
        *record
    }
}

/// Text or bytes alone are a payload without a key.
impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for RecordRef<'a> {
    fn from(payload: &'a T) -> Self {
        Self::data(payload.as_ref())
    }
}

impl From<RecordRef<'_>> for Record {
    fn from(record: RecordRef<'_>) -> Self {
        record.to_record()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("kind", &self.kind)
            .field("key", &Short(&self.key))
            .field("value", &Short(&self.value))
            .field("compression", &self.compression)
            .field("expiry", &self.expiry)
            .finish()
    }
}

/// The first bytes of a byte string, and how many there are.
struct Short<'a>(&'a Bytes);

impl fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() <= SHOWN {
            return self.0.fmt(f);
        }
        let shown = self.0.slice(..SHOWN);
        write!(f, "{shown:?}... ({} bytes)", self.0.len())
    }
}
