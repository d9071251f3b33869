//! The 64 bytes that each group starts with.

use super::Frame;
use crate::checksum::crc32;
use crate::error::GroupError;
use crate::ids::{Epoch, Lsn, Offset};
use crate::limits::{GROUP_HEADER_LEN, HEADER_LEN};
use crate::record::UnixMillis;
use crate::version::Version;
use crate::wire::{array_at, is_zero, put, u16_at, u32_at, u64_at};

/// `WGRP`
pub(super) const MAGIC: [u8; 4] = *b"WGRP";
/// The checksum covers all behind itself.
const CHECKED: usize = 8;
/// Where the time is; in version 1, where the fields end and the reserved bytes begin.
const TIME: usize = 58;

/// What a group holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "engine"), non_exhaustive)]
pub enum GroupKind {
    /// Records.
    Records,
    /// Nothing: it carries a watermark.
    Stamp,
    /// The first group of a segment: facts about the predecessor.
    Link,
    /// The log's new first LSN. Version 1 only: later it is a change of the control state.
    Cut,
    /// The last group of a sealed or cleanly closed segment.
    Footer,
    /// LSNs whose records are lost: a repair has put it in their place.
    Gap,
    /// The control state, or changes of it. From version 2 on.
    Control,
    /// Where records are: the pages of an index. From version 2 on.
    Index,
    /// A kind that this crate does not know, and may skip. From version 2 on.
    Other(u8),
}

impl GroupKind {
    const fn number(self) -> u8 {
        match self {
            Self::Records => 1,
            Self::Stamp => 2,
            Self::Link => 3,
            Self::Cut => 4,
            Self::Footer => 5,
            Self::Gap => 6,
            Self::Control => 7,
            Self::Index => 8,
            Self::Other(kind) => kind,
        }
    }

    const fn of_version_1(kind: u8) -> Option<Self> {
        match kind {
            1 => Some(Self::Records),
            2 => Some(Self::Stamp),
            3 => Some(Self::Link),
            4 => Some(Self::Cut),
            5 => Some(Self::Footer),
            6 => Some(Self::Gap),
            _ => None,
        }
    }

    const fn of_version_2(kind: u8) -> Option<Self> {
        match kind {
            4 => None,
            7 => Some(Self::Control),
            8 => Some(Self::Index),
            _ => Self::of_version_1(kind),
        }
    }
}

/// Flag bit 0.
const MAY_SKIP: u8 = 1;
/// Flag bit 1.
const SET_BACK: u8 = 2;
/// Most milliseconds that a header has room for.
const MOST_TIME: u64 = (1 << 48) - 1;

/// What a group's first 64 bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// What the group holds.
    pub kind: GroupKind,
    /// The segment's epoch.
    pub epoch: Epoch,
    /// LSN of the first record; in a group without records, the one that the next record gets.
    pub first_lsn: Lsn,
    /// Highest LSN at a batch end that was known durable before this header was made; 0 for none.
    pub watermark: Lsn,
    /// Where the header stands in its file.
    pub offset: Offset,
    /// Bytes of payload, without padding.
    pub payload_len: u32,
    /// Records in the payload; in a gap, LSNs lost; 0 in every other group.
    pub record_count: u32,
    /// Checksum of the group before it in this segment; 0 in a link.
    pub previous: u32,
    /// Of the payload: the fold of the records' checksums, or the CRC-32 of any other.
    pub digest: u32,
    /// The version of the file. The header itself does not say it.
    pub version: Version,
    /// A reader that does not know the kind may skip the group. False in version 1.
    pub may_skip: bool,
    /// The clock was set back before this group. False in version 1.
    pub set_back: bool,
    /// When the group was closed, in milliseconds since 1970, up to 2^48 - 1: none of its records was appended later. 0 in
    /// version 1.
    pub time: UnixMillis,
}

/// Kind, flags and time, which version 1 has not.
fn version_1(bytes: &[u8; GROUP_HEADER_LEN]) -> Result<(GroupKind, u8, UnixMillis), GroupError> {
    if !is_zero(&bytes[TIME..]) {
        return Err(GroupError::Field(
            "the reserved bytes of the header are not zeros",
        ));
    }
    let number = u16_at(bytes, 56);
    let kind = u8::try_from(number).ok().and_then(GroupKind::of_version_1);
    let kind = kind.ok_or(GroupError::Kind(number))?;
    Ok((kind, 0, UnixMillis::new(0)))
}

/// Kind, flags and time.
fn version_2(bytes: &[u8; GROUP_HEADER_LEN]) -> Result<(GroupKind, u8, UnixMillis), GroupError> {
    let (number, flags) = (bytes[56], bytes[57]);
    if flags & !(MAY_SKIP | SET_BACK) != 0 {
        return Err(GroupError::UnknownFlags(flags));
    }
    let kind = match GroupKind::of_version_2(number) {
        Some(kind) => kind,
        None if flags & MAY_SKIP != 0 => GroupKind::Other(number),
        None => return Err(GroupError::UnknownKind(number)),
    };
    let mut time = [0; 8];
    time[..6].copy_from_slice(&bytes[TIME..]);
    Ok((kind, flags, UnixMillis::new(u64::from_le_bytes(time))))
}

impl GroupHeader {
    /// The bytes of the header, and the checksum as stored: the next group's `previous`.
    #[must_use]
    pub fn encode(&self, frame: Frame) -> ([u8; GROUP_HEADER_LEN], u32) {
        let mut bytes = [0; GROUP_HEADER_LEN];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &self.epoch.get().to_le_bytes());
        put(&mut bytes, 16, &self.first_lsn.get().to_le_bytes());
        put(&mut bytes, 24, &self.watermark.get().to_le_bytes());
        put(&mut bytes, 32, &self.offset.get().to_le_bytes());
        put(&mut bytes, 40, &self.payload_len.to_le_bytes());
        put(&mut bytes, 44, &self.record_count.to_le_bytes());
        put(&mut bytes, 48, &self.previous.to_le_bytes());
        put(&mut bytes, 52, &self.digest.to_le_bytes());
        bytes[56] = self.kind.number();
        if self.version >= Version::V2 {
            let skip = if self.may_skip { MAY_SKIP } else { 0 };
            let back = if self.set_back { SET_BACK } else { 0 };
            bytes[57] = skip | back;
            let time = self.time.get().min(MOST_TIME);
            put(&mut bytes, TIME, &time.to_le_bytes()[..6]);
        }
        let checksum = crc32(&bytes[CHECKED..]) ^ frame.salt.group_mask(self.offset);
        put(&mut bytes, 4, &checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// Reads the header that `bytes` begin with and that stands at `offset` of the file that `frame` is of; returns it and its
    /// checksum as stored.
    ///
    /// Checks all that needs no knowledge of the neighbours: rules 2, 3, 4 and 6 of a valid
    /// group header, and of rule 1 that the offset is one under the smallest alignment. The
    /// segment's own alignment is the caller's to check, rule 5 is [`follows`](Self::follows),
    /// rule 7 is [`fits`](Self::fits).
    ///
    /// # Errors
    ///
    /// A [`GroupError`] that names the rule.
    #[inline]
    pub fn decode(bytes: &[u8], frame: Frame, offset: Offset) -> Result<(Self, u32), GroupError> {
        let Some(bytes) = bytes.first_chunk::<GROUP_HEADER_LEN>() else {
            return Err(GroupError::TooShort {
                needed: GROUP_HEADER_LEN as u64,
                len: bytes.len() as u64,
            });
        };
        // First, because a search for headers asks at every place.
        let magic = array_at(bytes, 0);
        if magic != MAGIC {
            return Err(GroupError::Magic(magic));
        }
        Self::decode_checked(bytes, frame, offset)
    }

    fn decode_checked(
        bytes: &[u8; GROUP_HEADER_LEN],
        frame: Frame,
        offset: Offset,
    ) -> Result<(Self, u32), GroupError> {
        if offset.get() < HEADER_LEN || !offset.get().is_multiple_of(8) {
            return Err(GroupError::Place(offset));
        }
        let found = u32_at(bytes, 4);
        let expected = crc32(&bytes[CHECKED..]) ^ frame.salt.group_mask(offset);
        if found != expected {
            return Err(GroupError::Checksum { expected, found });
        }
        let (kind, flags, time) = match frame.version {
            Version::V1 => version_1(bytes)?,
            Version::V2 => version_2(bytes)?,
        };
        let header = Self {
            kind,
            epoch: Epoch::new(u64_at(bytes, 8)),
            first_lsn: Lsn::new(u64_at(bytes, 16)),
            watermark: Lsn::new(u64_at(bytes, 24)),
            offset: Offset::new(u64_at(bytes, 32)),
            payload_len: u32_at(bytes, 40),
            record_count: u32_at(bytes, 44),
            previous: u32_at(bytes, 48),
            digest: u32_at(bytes, 52),
            version: frame.version,
            may_skip: flags & MAY_SKIP != 0,
            set_back: flags & SET_BACK != 0,
            time,
        };
        header.check(frame.epoch, offset)?;
        Ok((header, found))
    }

    fn check(&self, epoch: Epoch, offset: Offset) -> Result<(), GroupError> {
        if self.epoch != epoch {
            return Err(GroupError::Epoch {
                expected: epoch,
                found: self.epoch,
            });
        }
        if self.offset != offset {
            return Err(GroupError::Offset {
                expected: offset,
                found: self.offset,
            });
        }
        if (self.kind == GroupKind::Link) != (offset.get() == HEADER_LEN) {
            return Err(GroupError::Field(
                "a link stands first in a segment, and nowhere else",
            ));
        }
        if self.watermark >= self.first_lsn {
            return Err(GroupError::Watermark {
                watermark: self.watermark,
                first_lsn: self.first_lsn,
            });
        }
        if self
            .first_lsn
            .get()
            .checked_add(u64::from(self.record_count))
            .is_none()
        {
            return Err(GroupError::Field("its LSNs do not fit in 64 bits"));
        }
        Ok(())
    }

    /// Rule 5 of a valid group header: whether the group follows one with the checksum
    /// `previous`, where `expected_lsn` is next. A link follows nothing: its LSN is not looked
    /// at, and it must name no previous group.
    ///
    /// # Errors
    ///
    /// [`GroupError::Lsn`] or [`GroupError::Previous`].
    #[inline]
    pub fn follows(&self, expected_lsn: Lsn, previous: u32) -> Result<(), GroupError> {
        let is_link = self.kind == GroupKind::Link;
        if !is_link && self.first_lsn != expected_lsn {
            return Err(GroupError::Lsn {
                expected: expected_lsn,
                found: self.first_lsn,
            });
        }
        let expected = if is_link { 0 } else { previous };
        if self.previous != expected {
            return Err(GroupError::Previous {
                expected,
                found: self.previous,
            });
        }
        Ok(())
    }

    /// Rule 7 of a valid group header: whether the group ends within a file of `file_len` bytes.
    ///
    /// # Errors
    ///
    /// [`GroupError::TooShort`].
    #[inline]
    pub fn fits(&self, file_len: u64) -> Result<(), GroupError> {
        if self.end_offset() <= file_len {
            return Ok(());
        }
        Err(GroupError::TooShort {
            needed: GROUP_HEADER_LEN as u64 + u64::from(self.payload_len),
            len: file_len.saturating_sub(self.offset.get()),
        })
    }

    /// The last LSN in the group; for a group that takes none, the LSN before its first.
    #[inline]
    #[must_use]
    pub const fn end_lsn(&self) -> Lsn {
        self.next_lsn().prev()
    }

    /// The LSN that follows the group.
    #[inline]
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        Lsn::new(
            self.first_lsn
                .get()
                .saturating_add(self.record_count as u64),
        )
    }

    /// Where the payload starts, in bytes from the start of the file.
    #[inline]
    #[must_use]
    pub const fn payload_offset(&self) -> Offset {
        Offset::new(self.offset.get().saturating_add(GROUP_HEADER_LEN as u64))
    }

    /// Where the payload ends, in bytes from the start of the file; padding may follow.
    #[inline]
    #[must_use]
    pub const fn end_offset(&self) -> u64 {
        self.payload_offset()
            .get()
            .saturating_add(self.payload_len as u64)
    }
}
