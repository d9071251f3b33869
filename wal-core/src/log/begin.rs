//! What a new segment begins with: what its link says, and where its records start.

use wal_format::{Epoch, Histories, History, Layout, LinkBody, LinkCause, Lsn, Offset, SegmentId};

use super::state::State;
use crate::segment::history_at;

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

impl State {
    /// Where the first record of the next segment will stand.
    pub(crate) fn first_of_next(&self, layout: Layout) -> Offset {
        let start = layout.data_start_after(self.control.table_len() as u64);
        Offset::new(start + wal_format::GROUP_HEADER_LEN as u64)
    }

    /// The history of a record of the chain, or of the one before its first.
    pub(crate) fn history_of(&self, lsn: Lsn) -> History {
        let entries = self.chain.iter();
        let entry = entries.rev().find(|entry| entry.first_lsn <= lsn);
        let entry = entry.or(self.chain.first());
        entry.map_or(History::NONE, |entry| {
            history_at(entry.first_lsn, &entry.histories, lsn)
        })
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
