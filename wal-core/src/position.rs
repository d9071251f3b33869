//! Where a record is: its LSN, which is its identity, and a hint of its place.

use std::fmt;

use wal_format::{Lsn, Offset, SegmentId};

/// The place of a record.
///
/// The LSN is the record's identity. Segment and offset are a hint: recovery and truncation may move a record to
/// another segment, so a reader uses them only if the record there verifies for this LSN, and else looks the LSN up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Position {
    /// Dense number of the record, from 1.
    pub lsn: Lsn,
    /// The segment that took the record.
    pub segment_id: SegmentId,
    /// Offset of the record in that segment's file, in bytes.
    pub offset: Offset,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LSN {} (segment {}, offset {})",
            self.lsn, self.segment_id, self.offset
        )
    }
}

impl From<Position> for Lsn {
    fn from(position: Position) -> Self {
        position.lsn
    }
}

/// Where a reader starts: an LSN, with a hint of the place if one is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub(crate) lsn: Lsn,
    pub(crate) hint: Option<(SegmentId, Offset)>,
}

impl From<Lsn> for Start {
    fn from(lsn: Lsn) -> Self {
        Self { lsn, hint: None }
    }
}

impl From<u64> for Start {
    fn from(lsn: u64) -> Self {
        Lsn::new(lsn).into()
    }
}

impl From<Position> for Start {
    fn from(position: Position) -> Self {
        Self {
            lsn: position.lsn,
            hint: Some((position.segment_id, position.offset)),
        }
    }
}

/// Where a batch went: LSNs `first.lsn` to `last_lsn`, without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Appended {
    /// The first record.
    pub first: Position,
    /// LSN of the last record; the one before `first` for an empty batch.
    pub last_lsn: Lsn,
}

/// A record to wait for: its LSN, and the segment that took it, if that is known.
///
/// `truncate_after` removes records and gives their LSNs again. An LSN alone stands for the record that has it now. What
/// `append` returned identifies the removed record: segment ids only grow, and a record that gets an LSN again is in a later
/// segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    pub(crate) lsn: Lsn,
    pub(crate) segment: Option<SegmentId>,
}

impl From<Lsn> for Awaited {
    fn from(lsn: Lsn) -> Self {
        Self { lsn, segment: None }
    }
}

impl From<Position> for Awaited {
    fn from(position: Position) -> Self {
        Self {
            lsn: position.lsn,
            segment: Some(position.segment_id),
        }
    }
}

/// The last record of the batch.
impl From<Appended> for Awaited {
    fn from(appended: Appended) -> Self {
        let Appended { first, last_lsn } = appended;
        Self {
            lsn: last_lsn,
            // An empty batch has no position.
            segment: (last_lsn >= first.lsn).then_some(first.segment_id),
        }
    }
}
