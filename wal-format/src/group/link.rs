//! The link: the first group of a segment. It gives the segments their order.
//!
//! Deliberately absent: proof. A link says nothing about what was durable.

use super::decode::check_body;
use super::header::{GroupHeader, GroupKind};
use crate::error::GroupError;
use crate::histories::{Histories, History};
use crate::ids::{Epoch, Lsn, Offset, SegmentId};
use crate::limits::LINK_BODY_LEN;
use crate::version::Version;
use crate::wire::{is_zero, put, u16_at, u32_at, u64_at};

/// Reserved bytes of version 1, between the fields and after them.
const RESERVED: [std::ops::Range<usize>; 2] = [46..48, 56..LINK_BODY_LEN];

/// Why a segment was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "engine"), non_exhaustive)]
pub enum LinkCause {
    /// It is the first of its log.
    First = 1,
    /// The predecessor was full.
    Rotated = 2,
    /// The log was reopened after a clean close.
    Reopened = 3,
    /// The log was recovered after an unclean stop.
    Recovered = 4,
    /// The newest records were dropped.
    TruncatedAfter = 5,
    /// The log was repaired: what could be read behind damage was copied.
    Repaired = 6,
}

impl LinkCause {
    const fn from_u16(cause: u16) -> Option<Self> {
        match cause {
            1 => Some(Self::First),
            2 => Some(Self::Rotated),
            3 => Some(Self::Reopened),
            4 => Some(Self::Recovered),
            5 => Some(Self::TruncatedAfter),
            6 => Some(Self::Repaired),
            _ => None,
        }
    }
}

/// What a segment says about the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkBody {
    /// The predecessor; [`SegmentId::NONE`] if there is none.
    pub predecessor: SegmentId,
    /// The predecessor's epoch; 0 if there is none.
    pub predecessor_epoch: Epoch,
    /// Last LSN that the log takes from the predecessor or before.
    pub end_lsn: Lsn,
    /// Where the predecessor's data ends: behind its last group that counts, rounded up to its
    /// alignment.
    pub end_offset: Offset,
    /// The log's first LSN when the link was made.
    pub log_first: Lsn,
    /// Checksum of the predecessor's last group that counts.
    pub end_digest: u32,
    /// Why the segment was begun.
    pub cause: LinkCause,
    /// With [`LinkCause::TruncatedAfter`]: the last LSN that stayed. [`Lsn::ZERO`] with every other cause.
    pub kept: Lsn,
    /// Which histories the segment's records have. A link of version 1 does not say it.
    pub histories: Histories,
}

impl LinkBody {
    /// The link of a log's first segment, whose first record will be `first_lsn`, and whose records have that history.
    #[must_use]
    pub fn first(first_lsn: Lsn, history: History) -> Self {
        Self {
            predecessor: SegmentId::NONE,
            predecessor_epoch: Epoch::new(0),
            end_lsn: first_lsn.prev(),
            end_offset: Offset::new(0),
            log_first: first_lsn,
            end_digest: 0,
            cause: LinkCause::First,
            kept: Lsn::ZERO,
            histories: Histories::after(History::NONE, &[], history),
        }
    }

    /// The payload in a file of that version.
    #[must_use]
    pub fn encode(&self, version: Version) -> Vec<u8> {
        let mut bytes = vec![0; LINK_BODY_LEN];
        put(&mut bytes, 0, &self.predecessor.get().to_le_bytes());
        put(&mut bytes, 8, &self.predecessor_epoch.get().to_le_bytes());
        put(&mut bytes, 16, &self.end_lsn.get().to_le_bytes());
        put(&mut bytes, 24, &self.end_offset.get().to_le_bytes());
        put(&mut bytes, 32, &self.log_first.get().to_le_bytes());
        put(&mut bytes, 40, &self.end_digest.to_le_bytes());
        put(&mut bytes, 44, &(self.cause as u16).to_le_bytes());
        put(&mut bytes, 48, &self.kept.get().to_le_bytes());
        if version >= Version::V2 {
            self.histories.encode(&mut bytes);
        }
        bytes
    }

    /// Reads the payload of the group with that header (rule 9 of a valid group).
    ///
    /// # Errors
    ///
    /// A [`GroupError`] that says what is wrong.
    pub fn decode(payload: &[u8], header: &GroupHeader) -> Result<Self, GroupError> {
        check_body(GroupKind::Link, payload, header)?;
        let has_length = match header.version {
            Version::V1 => payload.len() == LINK_BODY_LEN,
            Version::V2 => payload.len() > LINK_BODY_LEN,
        };
        if !has_length {
            return Err(GroupError::Field(
                "the payload has not the length of a link",
            ));
        }
        let histories = if header.version >= Version::V2 {
            Histories::decode(payload, header.first_lsn)?
        } else if RESERVED.into_iter().all(|range| is_zero(&payload[range])) {
            Histories::unknown()
        } else {
            return Err(GroupError::Field(
                "the reserved bytes of the link are not zeros",
            ));
        };
        let link = Self {
            predecessor: SegmentId::new(u64_at(payload, 0)),
            predecessor_epoch: Epoch::new(u64_at(payload, 8)),
            end_lsn: Lsn::new(u64_at(payload, 16)),
            end_offset: Offset::new(u64_at(payload, 24)),
            log_first: Lsn::new(u64_at(payload, 32)),
            end_digest: u32_at(payload, 40),
            cause: LinkCause::from_u16(u16_at(payload, 44))
                .ok_or(GroupError::Field("the link's cause is unknown"))?,
            kept: Lsn::new(u64_at(payload, 48)),
            histories,
        };
        if link.end_lsn != header.first_lsn.prev() {
            return Err(GroupError::Field(
                "the link's last LSN is not the one before its first",
            ));
        }
        let least = match link.cause {
            LinkCause::TruncatedAfter => link.end_lsn..=Lsn::new(u64::MAX - 1),
            _ => Lsn::ZERO..=Lsn::ZERO,
        };
        if !least.contains(&link.kept) {
            return Err(GroupError::Field(
                "the link keeps another LSN than its cause allows",
            ));
        }
        Ok(link)
    }
}
