//! Dropping the newest records.
//!
//! All that was appended is made durable first, and nothing else goes on meanwhile: appends wait. Then a new segment says where the
//! log ends in an older one. It holds a copy of what stays of the last group, and is whole when it gets its name: its rename is the
//! truncation. Only then are superseded files unlinked, newest first. LSNs above are given again, in a new [era](super::eras).

use std::io;

use wal_format::{Control, Epoch, GroupKind, History, LinkCause, Lsn, Offset, Origin, SegmentId};
use wal_io::OpenMode;

use super::begin::{Predecessor, link_body};
use super::commit::Failure;
use super::commit::Scope;
use super::open::draw_history;
use super::rotate::new_header;
use super::state::{Active, ChainEntry, Dirty, LiveSegment, Mark, Sealing, Spare, State, Status};
use super::{Engine, Goal};
use crate::error::Corruption;
use crate::recovery::{Copied, Copy, GroupEnd, Source};
use crate::segment::{GroupStep, RecordStep, SegmentCursor, SegmentFacts, copied};
use crate::shell::Shell;
use crate::sync::{Arc, Ordering, wake_all};
use crate::{Error, Result, sabotage};

/// Where the log is cut.
#[derive(Debug)]
struct Place {
    /// The segment of the chain that stays, and where its data ends; `None`: nothing stays.
    at: Option<(usize, GroupEnd)>,
    /// The part of a group that has to be copied.
    rest: Option<Source>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rewind {
    /// To drop the records above this LSN.
    To(Lsn),
    /// To go on in the reserve, with all records.
    IntoReserve,
}

/// How the log goes on in a new segment.
#[derive(Debug)]
pub(super) struct Way {
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
    pub(super) sources: Vec<Source>,
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

impl Engine {
    /// Removes all records above `lsn`; 0 stands for all records.
    pub(crate) async fn truncate_after(&self, lsn: Lsn, shell: Shell) -> Result<()> {
        let number = {
            let mut state = self.state();
            Self::check_rewind(&state, lsn)?;
            state.rewinds.ask(Rewind::To(lsn))
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

    /// The last LSN that stays, if there is any to drop.
    fn check_rewind(state: &State, lsn: Lsn) -> Result<Option<Lsn>> {
        Self::check_open(state)?;
        let last = state.last_lsn();
        if lsn > last {
            let next = state.next_lsn;
            return Err(Error::NotAppended { lsn, next });
        }
        let before = state.log_first.prev();
        if lsn < before && lsn != Lsn::ZERO {
            return Err(Error::Truncated {
                first: state.log_first,
                kept: None,
            });
        }
        let kept = lsn.max(before);
        Ok((kept < last).then_some(kept))
    }

    /// Carries out what was asked for: the caller has taken `syncing` and `rewinding`.
    pub(super) fn rewind(&self) -> Result<()> {
        let outcome = self.quiesce().map(|()| self.rewind_all());
        let mut state = self.state();
        state.rewinding = false;
        state.syncing = false;
        let mut wakers = Vec::new();
        state.waiters.take_all(&mut wakers);
        drop(state);
        for condvar in [&self.writer, &self.syncer, &self.keeper, &self.leaders] {
            condvar.notify_all();
        }
        wake_all(wakers);
        outcome
    }

    /// Makes all durable and finishes what is under way. Nothing new begins while `rewinding` is taken.
    fn quiesce(&self) -> Result<()> {
        let state = self.state();
        let serial = state.entered_serial();
        let state = self.write_up_to(state, serial)?;
        // What stays is durable before a segment says that it ends there.
        sabotage::unless("truncation-before-all-is-durable", || {
            self.sync_files(state, Scope::All)
        })?;
        self.settle_housekeeping()?;
        let mut state = self.state();
        while state.writing {
            state.parked.leaders += 1;
            state = self.leaders.wait(state);
            state.parked.leaders -= 1;
        }
        Self::check_poison(&state)
    }

    fn rewind_all(&self) {
        loop {
            let Some((number, rewind)) = self.state().rewinds.take() else {
                return;
            };
            let outcome = match rewind {
                Rewind::To(lsn) => self.rewind_to(lsn),
                Rewind::IntoReserve => self.go_into_reserve(),
            };
            self.state().rewinds.finish(number, outcome);
        }
    }

    fn rewind_to(&self, lsn: Lsn) -> Result<()> {
        let (chain, kept, kept_history, mut control, log_first, in_reserve) = {
            let state = self.state();
            let Some(kept) = Self::check_rewind(&state, lsn)? else {
                return Ok(());
            };
            let mut chain = state.chain.to_vec();
            if let Some(active) = chain.last_mut() {
                let end = (state.last_lsn(), state.filling.end().get());
                active.end.get_or_insert(end);
            }
            (
                chain,
                kept,
                state.history_of(kept),
                state.control.clone(),
                state.log_first,
                state.in_reserve().cloned(),
            )
        };
        let place = self.place_of(&chain, kept, log_first)?;
        let history = draw_history(&self.settings, &*self.entropy)
            .map_err(|error| Error::io(self.location(), "drawing a history", error))?;
        // A consumer that has seen removed records has to see those that take their LSNs.
        if !sabotage::is("consumers-not-moved-by-a-truncation") {
            control.truncate_after(kept, kept_history);
        }
        if sabotage::is("control-state-lost-by-a-truncation") {
            control = Control::default();
        }
        let mut way = Way {
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
    pub(super) fn go_on(&self, chain: &[ChainEntry], log_first: Lsn, way: &Way) -> Result<()> {
        let (id, spare) = {
            let mut state = self.state();
            // Its file may serve if the disk is full.
            (state.next_segment, state.spare.take())
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
            let state = self.state();
            let active = state.active.as_ref().map(|active| &active.segment);
            active.filter(|segment| segment.id() == id).map(Arc::clone)
        };
        active.map_or(Ok(()), |segment| segment.check_linked())
    }

    fn make_next(
        &self,
        chain: &[ChainEntry],
        log_first: Lsn,
        way: &Way,
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
        let log_id = self.state().log_id;
        let mut new = new_header(&self.settings, &*self.entropy, id, log_id)
            .map_err(|error| Error::io(self.location(), "drawing an epoch", error))?;
        new.origin = Origin::Copy;
        // Superseded files go when the truncation is durable.
        if sabotage::is("superseded-removed-before-the-truncation") {
            let gone = way.stays.map_or(0, |(at, _)| at + 1);
            for entry in &chain[gone..] {
                let name = wal_format::segment_name(entry.header.segment_id);
                let _ = self.storage.remove(&name);
            }
        }
        let mut committed = false;
        let preallocate = self.settings.config.preallocate;
        match copy.run(new, preallocate, || committed = true) {
            Ok(copied) => {
                let checked = self.check_place();
                let checked = checked.and_then(|()| self.check_predecessor(way.predecessor.id));
                if let Err((during, cause)) = checked {
                    return Err(self.poison(self.state(), during, cause));
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
                Err(self.poison(self.state(), during, io::Error::other(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Nothing has come of it: the spare stays a spare, if its file was not used up.
    fn keep_spare(&self, spare: Option<Spare>) {
        let Some(spare) = spare else { return };
        let name = wal_format::spare_name(spare.segment.id());
        if self.storage.open(&name, OpenMode::Read).is_ok() {
            self.state().spare = Some(spare);
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
                rest: Some(Source {
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
        way: &Way,
        copied: &Copied,
        shortened: Option<Sealing>,
    ) {
        let kept = way.kept;
        let mut state = self.state();
        (state.control, state.history) = (way.control.clone(), way.history);
        let at = way.stays;
        let at = at.map(|(at, end)| (chain[at].header.segment_id, end));
        let header = copied.header;
        let id = header.segment_id;
        // By its id: a truncation of the oldest records may have taken segments off the chain meanwhile.
        let stays = at.and_then(|(stays, _)| {
            let same = |entry: &ChainEntry| entry.header.segment_id == stays;
            state.chain.iter().position(same)
        });
        let stays = stays.map_or(0, |at| at + 1);
        let chain = Arc::make_mut(&mut state.chain);
        for entry in chain.split_off(stays).into_iter().rev() {
            let name = wal_format::segment_name(entry.header.segment_id);
            state.retiring.push_back(name);
        }
        let mut before = None;
        if let (Some((_, end)), Some(entry)) = (at, Arc::make_mut(&mut state.chain).last_mut()) {
            entry.end = Some((end.lsn, end.offset));
            before = Some((entry.header, end.offset));
        }
        // A segment of this session gets a footer: where it ends now, or after the dropped records.
        let written = state.active.as_ref().map(|active| active.segment.id());
        let before = before.filter(|(header, _)| Some(header.segment_id) != written);
        state.replace(id, before.filter(|_| shortened.is_none()));
        state.seal_rewound(id, shortened);
        Arc::make_mut(&mut state.chain).push(ChainEntry {
            header,
            first_lsn: copied.first_lsn,
            histories: copied.link.histories.clone(),
            end: None,
        });
        state.next_lsn = kept.next();
        self.locked.figures.changed(&state);
        state.next_segment = id.next();
        state.reserve &= !copied.was_reserve;
        let end = copied.end_offset.get();
        let mark = Mark {
            lsn: kept,
            segment: id,
            offset: end,
        };
        (state.written, state.durable) = (mark, mark);
        (state.written_watermark, state.proven) = (kept, kept);
        (state.renamed, state.dir_synced) = (id, id);
        state.cut_segment = id;
        state.unsynced.clear();
        state.dirty.clear();
        state.predecessor = None;
        state.unmarked = false;
        state.shut_gate();
        state.filling.reset(
            header.frame(),
            copied.end_offset,
            copied.end_digest,
            kept.next(),
        );
        let segment = Arc::new(LiveSegment::new(header, Arc::clone(&copied.file)));
        state.dirty.push_back(Dirty {
            segment: Arc::clone(&segment),
            written: end,
            written_lsn: kept,
            synced: end,
            synced_lsn: kept,
            end: None,
        });
        state.active = Some(Active::of(segment, copied));
        if !way.into_reserve {
            state.eras.begin(kept, id);
            self.era.store(state.eras.now().0, Ordering::Release);
        }
        self.durable.store(kept.get(), Ordering::Release);
    }
}

impl State {
    /// The segment that stays gets a footer that names the new one, so that a missing file is noticed.
    fn seal_rewound(&mut self, successor: SegmentId, shortened: Option<Sealing>) {
        let (end_lsn, end_offset, end_digest) =
            (self.last_lsn(), self.filling.end(), self.filling.previous());
        let active = self.active.take();
        let newest = self.chain.last().map(|entry| entry.header.segment_id);
        // A truncation of the oldest records may have removed it since.
        let stays = |sealing: &Sealing| newest == Some(sealing.segment.id());
        if let Some(sealing) = shortened.filter(stays)
            && !sabotage::is("cut-segment-not-sealed")
        {
            self.sealing.push_back(sealing);
            return;
        }
        let Some(active) = active else {
            return;
        };
        // A missing new segment is noticed.
        if newest == Some(active.segment.id()) && !sabotage::is("cut-segment-not-sealed") {
            self.sealing.push_back(Sealing {
                segment: active.segment,
                end_lsn,
                end_offset,
                end_digest,
                records: active.records,
                index: active.index,
                control: self.control.clone(),
                until: self.dates.now(),
                successor,
            });
        }
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
        self.engine.state().rewinds.take_error(self.number)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.engine.process.is_current() {
            return;
        }
        let mut state = self.engine.state();
        let _ = state.rewinds.take_error(self.number);
        if matches!(state.status, Status::Poisoned(_) | Status::Closed) {
            state.rewinds.clear();
        }
    }
}
