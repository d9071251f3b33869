//! What a view hands out: groups, and the records in them where they lie.
//!
//! Deliberately absent: verification. A group is handed out only when all of it was verified.

use std::borrow::Cow;

use bytes::Bytes;

use crate::compress::decompress;
use crate::compression::Compression;
use crate::error::{DecompressError, RecordError};
use crate::group::{GroupFacts, GroupHeader};
use crate::ids::{Lsn, Offset};
use crate::record::{InBatch, Record, RecordHead, RecordKind, UnixMillis, read_record};

/// A valid group.
#[derive(Clone, Debug)]
pub struct GroupView<'a> {
    /// Its header.
    pub header: GroupHeader,
    /// The header's checksum as stored.
    pub checksum: u32,
    /// What it holds.
    pub body: GroupBody<'a>,
}

impl<'a> GroupView<'a> {
    /// Walks the records in it; none if it holds something else.
    #[must_use]
    pub fn records(&self) -> Records<'a> {
        match &self.body {
            GroupBody::Records(records) => records.iter(),
            GroupBody::Facts(_) => Records::default(),
        }
    }
}

/// What a group holds.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "engine"), non_exhaustive)]
pub enum GroupBody<'a> {
    /// Records.
    Records(RecordsView<'a>),
    /// Anything else.
    Facts(GroupFacts),
}

/// The verified records of a group.
#[derive(Clone, Copy, Debug)]
pub struct RecordsView<'a> {
    pub(super) header: GroupHeader,
    pub(super) record_limit: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> RecordsView<'a> {
    /// Walks them in order.
    #[must_use]
    pub fn iter(&self) -> Records<'a> {
        Records {
            lsn: self.header.first_lsn,
            offset: self.header.payload_offset(),
            record_limit: self.record_limit,
            payload: self.payload,
        }
    }
}

impl<'a> IntoIterator for &RecordsView<'a> {
    type Item = (Lsn, Offset, BorrowedRecord<'a>);
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.iter()
    }
}

/// Walks the verified records of a group: LSN, offset in the file, record.
#[derive(Clone, Debug, Default)]
pub struct Records<'a> {
    lsn: Lsn,
    offset: Offset,
    record_limit: u64,
    payload: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = (Lsn, Offset, BorrowedRecord<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        // All of it was verified when the group was: an error here can only mean the end.
        let head =
            RecordHead::parse(self.payload, self.payload.len() as u64, self.record_limit).ok()?;
        let (bytes, rest) = self.payload.split_at_checked(head.total_len() as usize)?;
        let item = (self.lsn, self.offset, BorrowedRecord { head, bytes });
        self.lsn = self.lsn.next();
        self.offset = Offset::new(self.offset.get() + head.total_len());
        self.payload = rest;
        Some(item)
    }
}

/// A record where it lies in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BorrowedRecord<'a> {
    head: RecordHead,
    bytes: &'a [u8],
}

impl<'a> BorrowedRecord<'a> {
    /// The fixed part.
    #[must_use]
    pub const fn head(&self) -> &RecordHead {
        &self.head
    }

    /// What the record is.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        self.head.kind
    }

    /// How the value is stored.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        self.head.compression
    }

    /// When the record expires.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixMillis> {
        self.head.expiry
    }

    /// Whether the next record belongs to the same batch.
    #[must_use]
    pub const fn in_batch(&self) -> InBatch {
        self.head.in_batch
    }

    /// The whole record as stored.
    #[must_use]
    pub const fn stored(&self) -> &'a [u8] {
        self.bytes
    }

    /// The key; empty for data.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        &self.bytes[self.head.key_range()]
    }

    /// The value as stored, compressed or not.
    #[must_use]
    pub fn stored_value(&self) -> &'a [u8] {
        &self.bytes[self.head.value_range()]
    }

    /// Copies the record into one of its own.
    ///
    /// # Errors
    ///
    /// [`RecordError::Decompress`] as for [`value`](Self::value).
    pub fn to_record(&self) -> Result<Record, RecordError> {
        read_record(&Bytes::copy_from_slice(self.bytes), &self.head)
    }

    /// The uncompressed value. Only a compressed one is allocated.
    ///
    /// # Errors
    ///
    /// [`DecompressError`] if it does not decompress to exactly the length that it should have.
    pub fn value(&self) -> Result<Cow<'a, [u8]>, DecompressError> {
        match self.head.compression {
            Compression::None => Ok(Cow::Borrowed(self.stored_value())),
            compression => {
                let raw_len = self.head.raw_len as usize;
                decompress(compression, self.stored_value(), raw_len).map(Cow::Owned)
            }
        }
    }
}
