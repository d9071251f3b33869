//! The reserve as a part of the log: on a full disk the log goes on in it, for what must still be written.
//!
//! The segment there has room for a few truncations of the oldest records, each with a record, and for a few other small records. Other
//! appends are refused until a segment can be allocated again and the reserve is whole. Then the log rotates into that segment.
//!
//! Deliberately absent: the files, and what a segment in the reserve becomes when the log is opened (see [`crate::recovery`]).

use wal_format::{EncodedRecord, LinkBody, Lsn, RecordRef, SegmentId, Version};

use super::append::Durability;
use super::engine::Engine;
use super::entrant::Entrant;
use super::in_reserve::Continuation;
use super::rewind::Asked;
use super::state::State;
use super::truncations::Rewind;
use super::waiters::Goal;
use crate::recovery::{Counts, GroupEnd};
use crate::segment::Predecessor;
use crate::shell::Shell;
use crate::{Error, Position, Result};

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
            state.life.check_open()?;
            state.truncations.rewinds.ask(Rewind::IntoReserve)
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
            let state = self.look();
            state.life.check_open()?;
            let segments = &state.segments;
            // Another caller has done it, or there is room by now.
            if segments.in_reserve().is_some() || segments.spare().is_some() {
                return Ok(());
            }
            let log_first = state.truncations.log_first();
            (
                segments.chain().to_vec(),
                log_first,
                way_into_reserve(&state),
            )
        };
        self.go_on(&chain, log_first, &way)
    }

    /// Whether the log may go on in its reserve, and does not yet.
    pub(super) fn may_enter_reserve(&self) -> bool {
        self.settings.version >= Version::V2 && self.look().segments.in_reserve().is_none()
    }
}

fn way_into_reserve(state: &State) -> Continuation {
    let (last, history) = (state.buffers.last_lsn(), state.changes.history());
    let first = || Predecessor::of(&LinkBody::first(last.next(), history));
    let before = state.predecessor().unwrap_or_else(first);
    let end = GroupEnd {
        lsn: last,
        offset: before.end_offset.get(),
        digest: before.end_digest,
    };
    let newest = state.segments.chain().len().checked_sub(1);
    Continuation {
        what: "a segment in the reserve",
        predecessor: before,
        end_lsn: last,
        stays: newest
            .filter(|_| before.id != SegmentId::NONE)
            .map(|at| (at, end)),
        parts_from: newest.unwrap_or(0),
        sources: Vec::new(),
        kept: last,
        control: state.changes.control().clone(),
        history,
        into_reserve: true,
        shortens: false,
    }
}
