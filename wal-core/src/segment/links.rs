//! The chain of segments that makes a log: what is known of each, and what a link says of the segment before it.

use wal_format::{
    Epoch, Histories, Layout, LinkBody, LinkCause, Lsn, Offset, SegmentHeader, SegmentId,
};

/// A place in the log: the last LSN before it, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) lsn: Lsn,
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
}

/// A segment of the log, as readers see it.
#[derive(Clone, Debug)]
pub(crate) struct ChainEntry {
    pub(crate) header: SegmentHeader,
    pub(crate) first_lsn: Lsn,
    pub(crate) histories: Histories,
    /// Last LSN and end offset; `None` while the segment is active.
    pub(crate) end: Option<(Lsn, u64)>,
}

/// The end of what the log takes from a segment: what the next link says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predecessor {
    pub(crate) id: SegmentId,
    pub(crate) epoch: Epoch,
    pub(crate) end_offset: Offset,
    pub(crate) end_digest: u32,
    pub(crate) cause: LinkCause,
    /// With a truncation: the last LSN that stayed.
    pub(crate) kept: Lsn,
}

impl Predecessor {
    /// What this link says of it.
    pub(crate) fn of(link: &LinkBody) -> Self {
        Self {
            id: link.predecessor,
            epoch: link.predecessor_epoch,
            end_offset: link.end_offset,
            end_digest: link.end_digest,
            cause: link.cause,
            kept: link.kept,
        }
    }
}

/// Where the first record of a segment stands; in version 2, at the latest.
pub(crate) fn first_record_offset(layout: Layout) -> Offset {
    Offset::new(layout.data_start() + wal_format::GROUP_HEADER_LEN as u64)
}

/// What a link says. Without a predecessor the log starts here: nothing before it is proven, or nothing is left of it.
pub(crate) fn link_body(
    predecessor: Option<Predecessor>,
    end_lsn: Lsn,
    log_first: Lsn,
    histories: Histories,
) -> LinkBody {
    let none = Predecessor {
        id: SegmentId::NONE,
        epoch: Epoch::new(0),
        end_offset: Offset::new(0),
        end_digest: 0,
        cause: LinkCause::First,
        kept: Lsn::ZERO,
    };
    let before = predecessor.unwrap_or(none);
    LinkBody {
        predecessor: before.id,
        predecessor_epoch: before.epoch,
        end_lsn,
        end_offset: before.end_offset,
        log_first,
        end_digest: before.end_digest,
        cause: before.cause,
        kept: before.kept,
        histories,
    }
}
