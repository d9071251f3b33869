//! Why bytes were not accepted: what was expected, what was found, where.
//!
//! Deliberately absent: what to do about it. Whether an invalid place is a torn tail or
//! corruption depends on proof that lies elsewhere in the log; these errors only state it.

use crate::compression::Compression;
use crate::ids::{Epoch, Lsn, Offset, SegmentId};

/// Why a record was not encoded. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(not(feature = "engine"), non_exhaustive)]
pub enum EncodeError {
    /// Key and uncompressed value are above the limit; both in bytes.
    #[error("the record has {len} bytes of key and value, the limit is {limit}")]
    TooLarge {
        /// Bytes of key and uncompressed value.
        len: u64,
        /// Most bytes that a record may have.
        limit: u64,
    },
    /// The crate was built without the feature of this compression.
    #[error("{0:?} compression was left out of this build")]
    CompressionUnavailable(Compression),
    /// The record has a part that its kind does not store: a key in data, or a value in a
    /// delete. (Fields of [`Record`](crate::Record) can be set by hand.)
    #[error("{0}")]
    NotOfItsKind(&'static str),
}

/// Why a record was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes given end inside the record although the payload goes on: give more.
    #[error("more bytes are needed")]
    Incomplete,
    /// The fixed part makes no sense, or the record does not end within its group.
    #[error("malformed record: {0}")]
    Malformed(&'static str),
    /// Key and uncompressed value are above the segment's record limit; both in bytes.
    #[error("the record claims {len} bytes of key and value, the limit is {limit}")]
    TooLarge {
        /// Bytes of key and uncompressed value that the record claims.
        len: u64,
        /// The segment's record limit.
        limit: u64,
    },
    /// The checksum does not verify at this place.
    #[error("record checksum: expected {expected:#010x}, found {found:#010x}")]
    Checksum {
        /// What the bytes call for.
        expected: u32,
        /// What is stored.
        found: u32,
    },
    /// The record verifies, but its value cannot be decompressed.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

/// Why a value was not decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecompressError {
    /// The crate was built without the feature of this compression. The value is not damaged.
    #[error("{0:?} compression was left out of this build")]
    Unavailable(Compression),
    /// The bytes are not what the compression makes.
    #[error("the value does not decompress: {0}")]
    Failed(String),
    /// The value has another length than the record says; both in bytes.
    #[error("the value decompresses to {found} bytes, expected {expected}")]
    Length {
        /// The record's `raw_len`.
        expected: u64,
        /// Bytes that came out, or that would have.
        found: u64,
    },
}

impl DecompressError {
    pub(crate) fn length(expected: usize, found: u64) -> Self {
        Self::Length {
            expected: expected as u64,
            found,
        }
    }
}

/// Why a group was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The file, or what was given of it, ends inside the group; both in bytes.
    #[error("the group needs {needed} bytes, there are {len}")]
    TooShort {
        /// Bytes that the header or the whole group needs.
        needed: u64,
        /// Bytes that there are.
        len: u64,
    },
    /// No group may start at this offset.
    #[error("no group may start at offset {0}")]
    Place(Offset),
    /// The header's magic is not there.
    #[error("no group header: it starts with {0:02x?}")]
    Magic([u8; 4]),
    /// The header's checksum does not verify at this place.
    #[error("group header checksum: expected {expected:#010x}, found {found:#010x}")]
    Checksum {
        /// What the bytes call for.
        expected: u32,
        /// What is stored.
        found: u32,
    },
    /// The header is of another life of the file.
    #[error("group epoch: expected {expected:?}, found {found:?}")]
    Epoch {
        /// The segment's epoch.
        expected: Epoch,
        /// The group's.
        found: Epoch,
    },
    /// The header was written for another place.
    #[error("group offset: expected {expected}, found {found}")]
    Offset {
        /// Where the header stands.
        expected: Offset,
        /// Where it says that it stands.
        found: Offset,
    },
    /// The kind is unknown.
    #[error("unknown kind of group {0}")]
    Kind(u16),
    /// The kind is unknown, and the group may not be skipped. The file is not damaged: a newer program wrote it.
    #[error(
        "groups of kind {0} are unknown to this version of the software, and must not be skipped"
    )]
    UnknownKind(u8),
    /// The header has flags that are unknown. The file is not damaged: a newer program wrote it.
    #[error("a group has the flags {0:#04x}, which are unknown to this version of the software")]
    UnknownFlags(u8),
    /// The control state has an entry that is unknown and must not be skipped. The file is not damaged: a newer program wrote it.
    #[error("control state with the tag {0} is unknown to this version of the software")]
    UnknownTag(u8),
    /// The group does not begin with the LSN that follows the group before it.
    #[error("group first LSN: expected {expected}, found {found}")]
    Lsn {
        /// The LSN after the last one before the group.
        expected: Lsn,
        /// The group's first LSN.
        found: Lsn,
    },
    /// The group does not chain to the one before it.
    #[error("group chain: expected {expected:#010x}, found {found:#010x}")]
    Previous {
        /// The checksum of the group before it, 0 for the link.
        expected: u32,
        /// What the group says.
        found: u32,
    },
    /// The watermark claims more than was written before the group.
    #[error("group watermark {watermark} is not below its first LSN {first_lsn}")]
    Watermark {
        /// The group's watermark.
        watermark: Lsn,
        /// The group's first LSN.
        first_lsn: Lsn,
    },
    /// The payload does not match the header's digest.
    #[error("group digest: expected {expected:#010x}, found {found:#010x}")]
    Digest {
        /// What the header says.
        expected: u32,
        /// What the payload gives.
        found: u32,
    },
    /// A field has a value that it cannot have.
    #[error("group: {0}")]
    Field(&'static str),
    /// A record of the group is not valid.
    #[error("record {lsn} at offset {offset}: {error}")]
    Record {
        /// The record's LSN.
        lsn: Lsn,
        /// Where the record starts.
        offset: Offset,
        /// What is wrong with it.
        error: RecordError,
    },
}

impl GroupError {
    /// Whether the group is one of a newer program, and not damage.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::UnknownKind(_) | Self::UnknownFlags(_) | Self::UnknownTag(_)
        )
    }
}

/// Why a segment header was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The file is shorter than a header.
    #[error("the file has {len} bytes, a segment header has 4096")]
    TooShort {
        /// Bytes of the file.
        len: u64,
    },
    /// The magic is not there.
    #[error("not a segment")]
    NotASegment,
    /// The header verifies and is of a version that this crate does not know.
    #[error("unknown format version {0}")]
    UnknownVersion(u32),
    /// The segment uses a feature, the bit with this number, that this crate does not know. The file is not damaged.
    #[error("unknown format feature {0}")]
    UnknownFeature(u32),
    /// The checksum does not verify.
    #[error("segment header checksum: expected {expected:#010x}, found {found:#010x}")]
    Checksum {
        /// What the bytes call for.
        expected: u32,
        /// What is stored.
        found: u32,
    },
    /// The file has the name of another segment.
    #[error("segment id: the name says {expected}, the header {found}")]
    WrongId {
        /// The id in the file's name.
        expected: SegmentId,
        /// The id in the header.
        found: SegmentId,
    },
    /// A field has a value that it cannot have.
    #[error("segment header: {0}")]
    Field(&'static str),
}
