//! The reserve as a part of the log: on a full disk the log goes on in it, for what must still be written.
//!
//! The segment there has room for a few truncations of the oldest records, each with a record, and for a few other small records. Other
//! appends are refused until a segment can be allocated again and the reserve is whole. Then the log rotates into that segment.
//!
//! Deliberately absent: the files, and what a segment in the reserve becomes when the log is opened (see [`crate::recovery`]).

use wal_format::{EncodedRecord, LinkBody, LinkCause, Lsn, Origin, RecordRef, SegmentId, Version};

use super::ahead::Prewritten;
use super::append::Durability;
use super::begin::Predecessor;
use super::entrant::Entrant;
use super::rewind::{Asked, Rewind, Way};
use super::state::{Active, ChainEntry, LiveSegment, State};
use super::{Engine, Goal};
use crate::recovery::{Copied, Counts, GroupEnd, Reserve, Source, reserve_limit};
use crate::shell::Shell;
use crate::sync::Arc;
use crate::{Error, Position, Result};

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
    fn of(copied: &Copied) -> Option<Self> {
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
    pub(super) fn copy_whole(&self, chain: &[ChainEntry], way: &mut Way) {
        let (Some(newest), Some((_, end))) = (chain.last(), way.stays) else {
            return;
        };
        let (to, copied_to) = way
            .sources
            .first()
            .map_or((end.offset, end.offset), |rest| (rest.end, rest.copied_to));
        way.sources = vec![Source {
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

impl Active {
    /// A segment that is whole already.
    pub(super) fn of(segment: Arc<LiveSegment>, copied: &Copied) -> Self {
        let in_reserve = InReserve::of(copied);
        Self {
            segment,
            allocated: copied.header.allocated,
            records: copied.records,
            index: copied.index.clone(),
            spare_tried: false,
            // It has been written to.
            prewritten: match in_reserve {
                Some(_) => Prewritten::never(),
                None => Prewritten::none(),
            },
            in_reserve,
        }
    }
}

impl State {
    pub(super) fn in_reserve(&self) -> Option<&InReserve> {
        self.active.as_ref()?.in_reserve.as_ref()
    }

    /// How many files the reserve has while the log is as it is.
    pub(super) fn reserve_files(&self, reserve: Reserve) -> usize {
        reserve.files - usize::from(self.in_reserve().is_some())
    }
}

impl Engine {
    /// Appends a small record. On a full disk the reserve has room for some.
    pub(crate) async fn append_reserved(
        &self,
        record: RecordRef<'_>,
        shell: Shell,
    ) -> Result<Position> {
        let record = [self.encode_reserved(record, Counts::RECORD)?];
        let entered = self.enter(Entrant::reserved(&record), shell).await?;
        if self.waits(Durability::Policy) {
            self.reach_in(entered.era, Goal::Durable, entered.last.get(), shell)
                .await?;
        }
        Ok(entered.first)
    }

    /// Appends a record, and lets the log start at `lsn`, in one write.
    pub(crate) async fn truncate_before_with(
        &self,
        lsn: Lsn,
        record: RecordRef<'_>,
        shell: Shell,
    ) -> Result<Position> {
        let record = [self.encode_reserved(record, Counts::TRUNCATION_RECORD)?];
        let entered = self.enter(Entrant::dropping(&record, lsn), shell).await?;
        self.drop_before(lsn, shell).await?;
        Ok(entered.first)
    }

    fn encode_reserved<'a>(&self, record: RecordRef<'a>, limit: u64) -> Result<EncodedRecord<'a>> {
        let len = (record.key().len() + record.value().len()) as u64;
        if len > limit {
            return Err(Error::TooLarge {
                what: "record",
                len,
                limit,
                advice: "on a full disk the log has room for short records only: shorten it",
            });
        }
        self.encode(record)
    }

    /// Lets the log go on in its reserve, if it has one.
    pub(super) async fn enter_reserve(&self, shell: Shell) -> Result<()> {
        let number = {
            let mut state = self.state();
            Self::check_open(&state)?;
            state.rewinds.ask(Rewind::IntoReserve)
        };
        let asked = Asked {
            engine: self,
            number,
        };
        self.reach(Goal::Rewound, number, shell).await?;
        asked.take_error().map_or(Ok(()), Err)
    }

    /// Carries that out. All records are durable, and nothing else goes on.
    pub(super) fn go_into_reserve(&self) -> Result<()> {
        let (chain, log_first, way) = {
            let state = self.state();
            Self::check_open(&state)?;
            // Another caller has done it, or there is room by now.
            if state.in_reserve().is_some() || state.spare.is_some() {
                return Ok(());
            }
            (
                state.chain.to_vec(),
                state.log_first,
                state.way_into_reserve(),
            )
        };
        self.go_on(&chain, log_first, &way)
    }

    /// Whether the log may go on in its reserve, and does not yet.
    pub(super) fn may_enter_reserve(&self) -> bool {
        self.settings.version >= Version::V2 && self.state().in_reserve().is_none()
    }
}

impl State {
    fn way_into_reserve(&self) -> Way {
        let last = self.last_lsn();
        let before = match (&self.active, self.predecessor) {
            (Some(active), _) => Predecessor {
                id: active.segment.id(),
                epoch: active.segment.header.epoch,
                end_offset: self.filling.end(),
                end_digest: self.filling.previous(),
                cause: LinkCause::Rotated,
                kept: Lsn::ZERO,
            },
            (None, Some(before)) => before,
            (None, None) => Predecessor::of(&LinkBody::first(last.next(), self.history)),
        };
        let end = GroupEnd {
            lsn: last,
            offset: before.end_offset.get(),
            digest: before.end_digest,
        };
        let newest = self.chain.len().checked_sub(1);
        Way {
            what: "a segment in the reserve",
            predecessor: before,
            end_lsn: last,
            stays: newest
                .filter(|_| before.id != SegmentId::NONE)
                .map(|at| (at, end)),
            parts_from: newest.unwrap_or(0),
            sources: Vec::new(),
            kept: last,
            control: self.control.clone(),
            history: self.history,
            into_reserve: true,
            shortens: false,
        }
    }
}
