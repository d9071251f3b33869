//! Dropping the newest records.
//!
//! All that was appended is made durable first, and nothing else goes on meanwhile: appends wait. Then a new segment says where the
//! log ends in an older one. It holds a copy of what stays of the last group, and is whole when it gets its name: its rename is the
//! truncation. Only then are superseded files unlinked, newest first. LSNs above are given again, in a new [era](super::eras).

use std::io;

use wal_format::{Epoch, GroupKind, LinkCause, Lsn, Offset, Origin, SegmentId};
use wal_io::OpenMode;

use super::engine::{Engine, Right, StateGuard};
use super::in_reserve::Continuation;
use super::rights::{REWIND, SYNC, WRITE};
use super::segments::{Active, Spare};
use super::truncations::Rewind;
use super::waiters::Goal;
use crate::error::{Corruption, Failure};
use crate::recovery::{Copied, Copy, CopyFrom, GroupEnd};
use crate::segment::{
    ChainEntry, GroupStep, LiveSegment, Mark, Predecessor, RecordStep, Sealing, SegmentCursor,
    SegmentFacts, copied, link_body,
};
use crate::settings::{draw_history, new_header};
use crate::shell::Shell;
use crate::sync::Arc;
use crate::{Error, Result};

/// Where the log is cut.
#[derive(Debug)]
struct Place {
    /// The segment of the chain that stays, and where its data ends; `None`: nothing stays.
    at: Option<(usize, GroupEnd)>,
    /// The part of a group that has to be copied.
    rest: Option<CopyFrom>,
}

impl Engine {
    /// Removes all records above `lsn`; 0 stands for all records.
    pub(crate) async fn truncate_after(&self, lsn: Lsn, shell: Shell) -> Result<()> {
        let number = {
            let mut state = self.state();
            state.life.check_open()?;
            let last = state.buffers.last_lsn();
            state.truncations.kept_by(lsn, last)?;
            state.truncations.rewinds.ask(Rewind::To(lsn))
        };
        let asked = Asked {
            engine: self,
            number,
        };
        self.reach(Goal::Rewound, number, shell).await?;
        if let Some(error) = asked.take_error() {
            return Err(error);
        }
        self.reach(Goal::Retired, 0, shell).await
    }

    /// Carries out what was asked for.
    pub(super) fn rewind(
        &self,
        right: Right<'_, { SYNC | REWIND }>,
        state: StateGuard<'_>,
    ) -> Result<()> {
        let outcome = self.quiesce(&right, state).map(|()| self.rewind_all());
        let mut state = self.state();
        state.give_back(right);
        state.waiters.wake_all();
        outcome
    }

    /// Makes all durable and finishes what is under way. Nothing new begins meanwhile.
    fn quiesce<'a>(
        &'a self,
        right: &Right<'_, { SYNC | REWIND }>,
        state: StateGuard<'a>,
    ) -> Result<()> {
        // What stays is durable before a segment says that it ends there.
        drop(self.commit_all(right, state)?);
        self.settle_housekeeping()?;
        let state = self.state().until_free(WRITE);
        state.life.check_poison()
    }

    fn rewind_all(&self) {
        loop {
            let Some((number, rewind)) = self.state().truncations.rewinds.take() else {
                return;
            };
            let outcome = match rewind {
                Rewind::To(lsn) => self.rewind_to(lsn),
                Rewind::IntoReserve => self.go_into_reserve(),
            };
            self.state().truncations.rewinds.finish(number, outcome);
        }
    }

    fn rewind_to(&self, lsn: Lsn) -> Result<()> {
        let (chain, kept, kept_history, mut control, log_first, in_reserve) = {
            let state = self.look();
            state.life.check_open()?;
            let (last, segments) = (state.buffers.last_lsn(), &state.segments);
            let Some(kept) = state.truncations.kept_by(lsn, last)? else {
                return Ok(());
            };
            let mut chain = segments.chain().to_vec();
            if let Some(active) = chain.last_mut() {
                let end = (last, state.buffers.filling().end().get());
                active.end.get_or_insert(end);
            }
            (
                chain,
                kept,
                segments.history_of(kept),
                state.changes.control().clone(),
                state.truncations.log_first(),
                segments.in_reserve().cloned(),
            )
        };
        let place = self.place_of(&chain, kept, log_first)?;
        let history = draw_history(&self.settings, &*self.entropy)
            .map_err(|error| Error::io(self.location(), "drawing a history", error))?;
        // A consumer that has seen removed records has to see those that take their LSNs.
        control.truncate_after(kept, kept_history);
        let mut way = Continuation {
            what: "the segment that ends the log earlier",
            predecessor: predecessor(&chain, place.at, kept),
            end_lsn: place.at.map_or(log_first.prev(), |(_, end)| end.lsn),
            stays: place.at,
            parts_from: place.at.map_or(0, |(at, _)| at),
            sources: place.rest.into_iter().collect(),
            kept,
            control,
            history,
            into_reserve: false,
            shortens: true,
        };
        let newest = chain.len().checked_sub(1);
        if let Some(in_reserve) = in_reserve
            && place.at.is_some_and(|(at, _)| Some(at) == newest)
        {
            in_reserve.copy_whole(&chain, &mut way);
        }
        self.go_on(&chain, log_first, &way)
    }

    /// Makes the segment in which the log goes on, and lets it go on there.
    pub(super) fn go_on(
        &self,
        chain: &[ChainEntry],
        log_first: Lsn,
        way: &Continuation,
    ) -> Result<()> {
        let (id, spare) = {
            let mut state = self.state();
            // Its file may serve if the disk is full.
            (state.segments.next(), state.segments.take_spare())
        };
        let spare_id = spare.as_ref().map(|spare| spare.segment.id());
        match self.make_next(chain, log_first, way, id, spare_id) {
            Ok((copied, shortened)) => {
                self.continue_in(chain, way, &copied, shortened);
                if let Some(spare) = spare_id {
                    // Best effort: what stays is a leftover that the next open removes.
                    let _ = self.storage.remove(&wal_format::spare_name(spare));
                }
                Ok(())
            }
            Err(error) => {
                self.keep_spare(spare);
                // It may have been used up.
                self.state().reserve = false;
                Err(error)
            }
        }
    }

    /// Whether the file that the log goes on after still has a name, if this process writes it.
    fn check_predecessor(&self, id: SegmentId) -> Result<(), Failure> {
        let active = {
            let state = self.look();
            let active = state.segments.active_is(id);
            active.map(|active| Arc::clone(&active.segment))
        };
        active.map_or(Ok(()), |segment| segment.check_linked())
    }

    fn make_next(
        &self,
        chain: &[ChainEntry],
        log_first: Lsn,
        way: &Continuation,
        id: SegmentId,
        spare: Option<SegmentId>,
    ) -> Result<(Copied, Option<Sealing>)> {
        let parts = chain.iter().skip(way.parts_from);
        let parts = parts.map(|entry| (entry.first_lsn, &entry.histories, way.kept));
        let histories = copied(parts, way.end_lsn, way.kept, way.history);
        let location = self.location();
        let copy = Copy {
            storage: &*self.storage,
            location: &location,
            what: way.what,
            link: link_body(Some(way.predecessor), way.end_lsn, log_first, histories),
            control: &way.control,
            sources: &way.sources,
            last: way.kept,
            spares: spare.as_slice(),
            reserve: self.settings.reserve(),
            only_reserve: way.into_reserve,
        };
        let log_id = self.look().segments.log_id();
        let mut new = new_header(&self.settings, &*self.entropy, id, log_id)
            .map_err(|error| Error::io(self.location(), "drawing an epoch", error))?;
        new.origin = Origin::Copy;
        let mut committed = false;
        let preallocate = self.settings.config.preallocate;
        match copy.run(new, preallocate, || committed = true) {
            Ok(copied) => {
                let checked = self.check_place();
                let checked = checked.and_then(|()| self.check_predecessor(way.predecessor.id));
                if let Err(failure) = checked {
                    return Err(self.state().poison(failure));
                }
                // Best effort: if it fails, the file keeps its length.
                let cut = way.stays.filter(|_| way.shortens);
                let shortened = cut.and_then(|(at, end)| {
                    self.shortened(&chain[at], end, id, &way.control).ok()?
                });
                Ok((copied, shortened))
            }
            // Whether the log has its new end is known only after reopening.
            Err(error) if committed => {
                let during = format!("giving segment {id} its name");
                Err(self.state().poison((during, io::Error::other(error))))
            }
            Err(error) => Err(error),
        }
    }

    /// Nothing has come of it: the spare stays a spare, if its file was not used up.
    fn keep_spare(&self, spare: Option<Spare>) {
        let Some(spare) = spare else { return };
        let name = wal_format::spare_name(spare.segment.id());
        if self.storage.open(&name, OpenMode::Read).is_ok() {
            self.state().segments.set_spare(spare);
        }
    }

    /// Finds the group that holds `kept`.
    fn place_of(&self, chain: &[ChainEntry], kept: Lsn, log_first: Lsn) -> Result<Place> {
        let at = chain.iter().rposition(|entry| entry.first_lsn <= kept);
        let Some(at) = at.filter(|_| kept >= log_first) else {
            return Ok(Place {
                at: None,
                rest: None,
            });
        };
        let entry = &chain[at];
        let header = entry.header;
        let id = header.segment_id;
        let io = |error| Error::io(self.location(), format!("reading segment {id}"), error);
        let limit = entry.end.map_or(0, |(_, end)| end);
        let name = wal_format::segment_name(id);
        let file = self.storage.open(&name, OpenMode::Read).map_err(io)?;
        let index = match self.indexed(id, kept) {
            Some(index) => Some(index),
            None => SegmentFacts::indexed(header, &file, kept).map_err(io)?,
        };
        let mut cursor = SegmentCursor::new(file, header, limit);
        if let Some(index) = index.filter(|index| index.offset.get() < limit) {
            cursor.jump(index.lsn, index.offset);
        }
        loop {
            let offset = cursor.offset();
            let group = match cursor.next_group().map_err(io)? {
                GroupStep::Group(group) => group,
                GroupStep::Invalid(error) => {
                    return Err(self.damaged(id, offset, kept, error.to_string()));
                }
                GroupStep::End => {
                    return Err(self.damaged(id, offset, kept, "the data ends before it".into()));
                }
            };
            if group.end_lsn() < kept || group.record_count == 0 {
                cursor.skip_group();
                continue;
            }
            if group.end_lsn() == kept {
                cursor.skip_group();
                let end = GroupEnd {
                    lsn: kept,
                    offset: header.alignment.round_up(group.end_offset()),
                    digest: cursor.previous(),
                };
                return Ok(Place {
                    at: Some((at, end)),
                    rest: None,
                });
            }
            let mut copied_to = group.end_offset();
            if group.kind == GroupKind::Records {
                if let Err(error) = cursor.check_group().map_err(io)? {
                    return Err(self.damaged(id, offset, kept, error.to_string()));
                }
                copied_to = behind_record(&mut cursor, kept).map_err(io)?;
            }
            let after = GroupEnd {
                lsn: group.first_lsn.prev(),
                offset: group.offset.get(),
                digest: group.previous,
            };
            return Ok(Place {
                at: Some((at, after)),
                rest: Some(CopyFrom {
                    header,
                    after: Some(after),
                    start: after.offset,
                    end: header.alignment.round_up(group.end_offset()).min(limit),
                    copied_to,
                }),
            });
        }
    }

    fn damaged(&self, id: SegmentId, offset: u64, lsn: Lsn, what: String) -> Error {
        Error::Corruption(Box::new(Corruption {
            location: self.location(),
            segment_id: id,
            offset: Offset::new(offset),
            first_lsn: lsn,
            last_lsn: None,
            what,
            witness: "the log continues after it".into(),
        }))
    }

    /// The new segment is durable: the log goes on in it.
    fn continue_in(
        &self,
        chain: &[ChainEntry],
        way: &Continuation,
        copied: &Copied,
        shortened: Option<Sealing>,
    ) {
        let kept = way.kept;
        let header = copied.header;
        let id = header.segment_id;
        let stays = way.stays;
        let stays = stays.map(|(at, end)| (chain[at].header.segment_id, end));
        let mut state = self.state();
        let gone = state.segments.drop_after(stays.map(|(id, _)| id));
        state.leftovers.retire(gone);
        let ended = stays.and_then(|(_, end)| {
            let newest = state.segments.end_newest((end.lsn, end.offset))?;
            Some((newest, end.offset))
        });
        let newest = ended.map(|(header, _)| header.segment_id);
        // The segment that stays gets a footer that names the new one, so that a missing file is noticed: where it ends now, or
        // after the dropped records. One of an earlier session gets none.
        let active = state.segments.take_active();
        let written = active.as_ref().map(Active::id);
        let before = ended.filter(|_| newest != written && shortened.is_none());
        state.leftovers.replace(id, before);
        // A truncation of the oldest records may have removed it since.
        let shortened = shortened.filter(|sealing| newest == Some(sealing.segment.id()));
        let active = active.filter(|active| newest == Some(active.id()));
        let sealing = shortened.or_else(|| active.map(|active| state.sealing(active, id)));
        if let Some(sealing) = sealing {
            state.segments.seal_later(sealing);
        }
        let (control, history) = (way.control.clone(), way.history);
        state.changes.replace(control, history);
        state.reserve &= !copied.was_reserve;
        let mark = Mark {
            lsn: kept,
            segment: id,
            offset: copied.end_offset.get(),
        };
        let segment = Arc::new(LiveSegment::new(header, Arc::clone(&copied.file)));
        state.progress.restart(mark, Arc::clone(&segment));
        state
            .truncations
            .rewound((!way.into_reserve).then_some(kept), id);
        let (end, digest) = (copied.end_offset, copied.end_digest);
        state.buffers.go_on(segment.frame, end, digest, kept.next());
        let active = Active::of(segment, copied);
        let histories = copied.link.histories.clone();
        state.segments.begin(active, copied.first_lsn, histories);
    }
}

/// Where the record `lsn` of the open group ends. The record was checked.
fn behind_record(cursor: &mut SegmentCursor, lsn: Lsn) -> io::Result<u64> {
    loop {
        match cursor.next_record()? {
            RecordStep::Record {
                lsn: found,
                offset,
                head,
            } if found == lsn => return Ok(offset + head.total_len()),
            RecordStep::Record { .. } => {}
            RecordStep::GroupEnd | RecordStep::Invalid(_) => return Ok(cursor.offset()),
        }
    }
}

/// What the new segment says of the one that it follows.
fn predecessor(chain: &[ChainEntry], at: Option<(usize, GroupEnd)>, kept: Lsn) -> Predecessor {
    let none = Predecessor {
        id: SegmentId::NONE,
        epoch: Epoch::new(0),
        end_offset: Offset::new(0),
        end_digest: 0,
        cause: LinkCause::TruncatedAfter,
        kept,
    };
    at.map_or(none, |(at, end)| Predecessor {
        id: chain[at].header.segment_id,
        epoch: chain[at].header.epoch,
        end_offset: Offset::new(end.offset),
        end_digest: end.digest,
        ..none
    })
}

/// Forgets the outcome of a truncation that nobody waits for any more. It is carried out all the same.
pub(super) struct Asked<'a> {
    pub(super) engine: &'a Engine,
    pub(super) number: u64,
}

impl Asked<'_> {
    pub(super) fn take_error(&self) -> Option<Error> {
        self.engine
            .state()
            .truncations
            .rewinds
            .take_error(self.number)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.engine.process.is_current() {
            return;
        }
        let mut state = self.engine.state();
        let _ = state.truncations.rewinds.take_error(self.number);
        if state.life.ended().is_some() {
            state.truncations.rewinds.clear();
        }
    }
}
