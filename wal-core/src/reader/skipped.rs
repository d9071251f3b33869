//! What a reader that skips damage has in hand (`skip.rs`).

use wal_format::{Lsn, Record, SegmentId};

use crate::recovery::Walk;
use crate::{Error, Position};

/// What a reader that skips damage has in hand.
#[derive(Debug, Default)]
pub(super) struct Skip {
    /// LSNs that cannot be read, up to where the reader is; it says so before it says anything else.
    pub(super) gap: Option<Unread>,
    /// The record behind them.
    pub(super) held: Option<(Record, Position)>,
    pub(super) walk: Option<Salvaging>,
    /// The whole log was salvaged, from its first record to its end.
    pub(super) ended: bool,
    /// Where the rest of a segment was passed over, so that it is done once.
    pub(super) left: Option<(SegmentId, u64)>,
}

impl Skip {
    /// Whether there is nothing in hand: the reader reads on as ever.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_none() && self.gap.is_none() && self.walk.is_none() && !self.ended
    }
}

#[derive(Debug)]
pub(super) struct Unread {
    pub(super) from: Lsn,
    pub(super) to: Lsn,
    pub(super) cause: Option<Error>,
}

#[derive(Debug)]
pub(super) struct Salvaging {
    pub(super) walk: Walk,
    /// Every LSN up to this one has its record, or is in a gap.
    pub(super) last: Lsn,
    /// Where the segment is read on as ever.
    pub(super) then: Option<u64>,
    /// Why this is needed; for the first gap that has no reason of its own.
    pub(super) cause: Option<Error>,
}
