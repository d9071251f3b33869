//! A segment in the reserve: what there is still room for in it, and how the log goes on after it.

use wal_format::{Control, History, LinkBody, Lsn, Origin};

use crate::recovery::{Copied, CopyFrom, Counts, GroupEnd, reserve_limit};
use crate::segment::{ChainEntry, Predecessor};

/// How the log goes on in a new segment.
#[derive(Debug)]
pub(super) struct Continuation {
    /// For messages.
    pub(super) what: &'static str,
    /// What the new segment follows.
    pub(super) predecessor: Predecessor,
    /// The last LSN before it.
    pub(super) end_lsn: Lsn,
    /// The last segment of the chain that stays, and where its data ends.
    pub(super) stays: Option<(usize, GroupEnd)>,
    /// The first segment of the chain whose histories count for what is copied.
    pub(super) parts_from: usize,
    /// What is copied.
    pub(super) sources: Vec<CopyFrom>,
    /// The last LSN that stays.
    pub(super) kept: Lsn,
    pub(super) control: Control,
    /// Of the records to come.
    pub(super) history: History,
    /// It is a segment in the reserve, and no record is dropped.
    pub(super) into_reserve: bool,
    /// The segment that stays becomes shorter.
    pub(super) shortens: bool,
}

/// What the active segment still has room for, if it lives in the reserve.
#[derive(Clone, Debug)]
pub(crate) struct InReserve {
    link: LinkBody,
    /// Where its groups after link and table start.
    start: u64,
    /// Offset at which its last group must end.
    limit: u64,
    /// Truncations that there is room for, and the bytes of one.
    truncations: u32,
    truncation: u64,
}

impl InReserve {
    pub(super) fn of(copied: &Copied) -> Option<Self> {
        let header = &copied.header;
        if header.origin != Origin::Reserve {
            return None;
        }
        let (limit, truncation) = (
            reserve_limit(header, &copied.link, copied.table),
            Counts::truncation(header.alignment),
        );
        let room = limit.saturating_sub(copied.end_offset.get()) / truncation;
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let truncations = Counts::of(header).truncations;
        Some(Self {
            link: copied.link.clone(),
            start: copied.start,
            limit,
            truncations: truncations.saturating_sub(copied.truncations).min(room),
            truncation,
        })
    }

    /// Where a record that is no truncation's must end.
    pub(super) fn record_limit(&self) -> u64 {
        self.limit
            .saturating_sub(u64::from(self.truncations) * self.truncation)
    }

    /// Where a truncation must end; 0 if there is no room for any.
    pub(super) fn truncation_limit(&self) -> u64 {
        if self.truncations == 0 {
            return 0;
        }
        self.record_limit() + self.truncation
    }

    pub(super) fn truncated(&mut self) {
        self.truncations = self.truncations.saturating_sub(1);
    }

    /// All that stays of the segment is copied, so that its file becomes the reserve again. It is the newest of `chain`.
    pub(super) fn copy_whole(&self, chain: &[ChainEntry], way: &mut Continuation) {
        let (Some(newest), Some((_, end))) = (chain.last(), way.stays) else {
            return;
        };
        let (to, copied_to) = way
            .sources
            .first()
            .map_or((end.offset, end.offset), |rest| (rest.end, rest.copied_to));
        way.sources = vec![CopyFrom {
            header: newest.header,
            after: None,
            start: self.start,
            end: to,
            copied_to,
        }];
        way.predecessor = Predecessor {
            cause: way.predecessor.cause,
            kept: way.predecessor.kept,
            ..Predecessor::of(&self.link)
        };
        way.end_lsn = self.link.end_lsn;
        way.parts_from = chain.len() - 1;
        let follows = |entry: &ChainEntry| entry.header.segment_id == self.link.predecessor;
        way.stays = chain.iter().position(follows).map(|at| {
            let promised = (self.link.end_lsn, self.link.end_offset.get());
            let (lsn, offset) = chain[at].end.unwrap_or(promised);
            let digest = self.link.end_digest;
            let end = GroupEnd {
                lsn,
                offset,
                digest,
            };
            (at, end)
        });
        way.shortens = false;
    }
}
