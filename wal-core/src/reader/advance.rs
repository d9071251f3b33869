//! From record to record, group to group and segment to segment.
//!
//! Deliberately absent: entering a segment (see `enter.rs`).

use std::io;

use wal_format::{GroupKind, Lsn, Offset};

use super::{FirstPlace, RawReader, Source, Step, read_error};
use crate::segment::{ChainEntry, Mark};
use crate::segment::{GroupStep, RecordStep};
use crate::{Error, Position, Result};

impl RawReader {
    pub(super) fn advance(&mut self) -> Result<Step> {
        loop {
            let error = match self.walk() {
                Err(error) if is_not_found(&error) => error,
                walked => return walked,
            };
            // The file was removed while it was not open.
            let Some(place) = self.place.take() else {
                return Err(error);
            };
            if !self.gone(place.id)? {
                return Err(error);
            }
        }
    }

    #[cold]
    fn at_first_place(&mut self) -> Result<Option<Step>> {
        match std::mem::take(&mut self.first_place) {
            FirstPlace::Unknown => Ok(None),
            FirstPlace::InIndex => self.at_index(),
            FirstPlace::Hinted(id, offset) => self.at_hint(id, offset),
        }
    }

    fn walk(&mut self) -> Result<Step> {
        // Once for a reader, and this is done for each record.
        if self.first_place != FirstPlace::Unknown
            && let Some(step) = self.at_first_place()?
        {
            return Ok(step);
        }
        loop {
            let Some(place) = &mut self.place else {
                if !self.enter()?
                    && let Some(step) = self.at_end()?
                {
                    return Ok(step);
                }
                continue;
            };
            if place.cursor.in_group() {
                match place
                    .cursor
                    .next_record()
                    .map_err(|error| read_error(&self.source, place.id, error))?
                {
                    RecordStep::Record { lsn, .. } if lsn < self.next => {}
                    RecordStep::Record { lsn, offset, head } => {
                        let position = Position {
                            lsn,
                            segment_id: place.id,
                            offset: Offset::new(offset),
                        };
                        return match place.cursor.record(offset, &head) {
                            Ok(record) => {
                                self.next = lsn.next();
                                Ok(Step::Record(record, position))
                            }
                            Err(error) => {
                                Err(self.of_record(lsn, self.damage(offset, error.to_string())))
                            }
                        };
                    }
                    RecordStep::GroupEnd => {}
                    // Never fewer records without a word.
                    RecordStep::Invalid(error) => {
                        let offset = place.cursor.offset();
                        return Err(self.damage(offset, error.to_string()));
                    }
                }
                continue;
            }
            if place.cursor.offset() >= place.cursor.limit()
                || place.end.is_some_and(|(last, _)| self.next > last)
            {
                if !self.move_on()?
                    && let Some(step) = self.at_end()?
                {
                    return Ok(step);
                }
                continue;
            }
            if !self.next_group()?
                && let Some(step) = self.at_end()?
            {
                return Ok(step);
            }
        }
    }

    /// Opens the next group; false at the end for now.
    fn next_group(&mut self) -> Result<bool> {
        let Some(place) = &mut self.place else {
            return Ok(false);
        };
        let (offset, previous) = (place.cursor.offset(), place.cursor.previous_known());
        place.group = (offset, place.cursor.expected());
        let step = place
            .cursor
            .next_group()
            .map_err(|error| read_error(&self.source, place.id, error))?;
        let fixed = place.end.is_some() || matches!(self.source, Source::Live(_));
        let header = match step {
            GroupStep::Group(header) => header,
            GroupStep::End => return Ok(true),
            // Damage is not the end.
            GroupStep::Invalid(error) if fixed => {
                return Err(self.damage(offset, error.to_string()));
            }
            GroupStep::Invalid(_) => return self.wait_for_more(),
        };
        if header.kind == GroupKind::Footer && !fixed {
            // Closed, or sealed: what follows is in another segment, if anywhere.
            place.cursor.rewind(&header, previous);
            return self.wait_for_more();
        }
        // Never fewer records without a word.
        if header.kind == GroupKind::Gap && header.end_lsn() >= self.next {
            return Err(Error::Gap {
                from: self.next,
                to: header.end_lsn(),
                cause: None,
            });
        }
        if header.kind == GroupKind::Records {
            if header.end_lsn() < self.next {
                place.cursor.skip_group();
                return Ok(true);
            }
            if fixed {
                // Who asks for a record in the middle does not pay for those before it.
                place
                    .cursor
                    .pass_until(self.next)
                    .map_err(|error| read_error(&self.source, place.id, error))?;
            } else {
                // Nothing of a group is shown before all of it is there: it holds whole batches.
                let checked = place.cursor.check_group();
                if !matches!(checked, Ok(Ok(()))) {
                    place.cursor.rewind(&header, previous);
                }
                if checked
                    .map_err(|error| read_error(&self.source, place.id, error))?
                    .is_err()
                {
                    return self.wait_for_more();
                }
            }
        }
        Ok(true)
    }

    /// At a place that was not a group when it was read: read it again if that was before this call, then see whether a new
    /// segment says where this one ends.
    fn wait_for_more(&mut self) -> Result<bool> {
        if let Some(place) = &mut self.place {
            place.cursor.refresh();
        }
        // The end must be the end at the time of the call.
        if !self.fresh {
            self.fresh = true;
            return Ok(true);
        }
        self.move_on()
    }

    /// At the end of what may be read in this segment: read further, or go to the next segment. False at the end for now.
    pub(super) fn move_on(&mut self) -> Result<bool> {
        let Some(place) = &mut self.place else {
            return Ok(true);
        };
        let id = place.id;
        // Also where the end is known: behind a sealed or closed segment the log may go on.
        if let Source::View(view) = &self.source
            && (place.end.is_none() || view.may_go_on_behind(id))
        {
            view.refresh()?;
            // Another reader of the handle may have found the next segment: its word is in the chain, not in this look.
            let goes_on = self
                .source
                .entry(id)
                .is_some_and(|entry| entry.end.is_none());
            if goes_on {
                return self.grow();
            }
        }
        let handed_over = self.source.handed_over();
        let chain = self.source.chain();
        let Some(at) = chain.iter().position(|entry| entry.header.segment_id == id) else {
            // Retired, or superseded: go on by LSN.
            self.place = None;
            return Ok(true);
        };
        let end = self.end_of(&chain[at], handed_over);
        let Some(place) = &mut self.place else {
            return Ok(true);
        };
        if place.end != chain[at].end || end > place.cursor.limit() {
            place.end = chain[at].end;
            if end != place.cursor.limit() {
                place.cursor.set_limit(end);
                return Ok(true);
            }
            if place.end.is_some_and(|(last, _)| self.next <= last) {
                return Ok(true);
            }
        }
        let (offset, next) = (place.cursor.offset(), self.next);
        if let Some((last, end)) = place.end
            && next <= last
            && offset >= end
        {
            let what = format!("its groups end at LSN {}, and not at {last}", next.prev());
            return Err(self.damage(offset, what));
        }
        if at + 1 < chain.len() && self.only.is_none() {
            // Only forward: what recovery copied to the next segment may have been read here already.
            self.place = None;
            return Ok(chain[at + 1].first_lsn <= self.next);
        }
        Ok(false)
    }

    /// Without the writer's word, the file's length is the limit. True if it has grown.
    pub(super) fn grow(&mut self) -> Result<bool> {
        let Some(place) = &mut self.place else {
            return Ok(false);
        };
        let len = place
            .cursor
            .file_len()
            .map_err(|error| read_error(&self.source, place.id, error))?;
        let grown = len > place.cursor.limit();
        place.cursor.set_limit(len.max(place.cursor.offset()));
        Ok(grown)
    }

    /// How far the segment may be read now.
    fn end_of(&self, entry: &ChainEntry, handed_over: Option<Mark>) -> u64 {
        let limit = self.place.as_ref().map_or(0, |place| place.cursor.limit());
        Self::end_of_new(entry, handed_over).unwrap_or(limit)
    }

    /// Where nothing more can be read now; `None`: more was handed over since it was looked at.
    pub(super) fn at_end(&mut self) -> Result<Option<Step>> {
        let step = match &self.source {
            Source::Live(engine) => {
                if let (_, Some(error)) = engine.readable() {
                    return Err(error);
                }
                let last = match self.only.map(|id| self.source.entry(id)) {
                    None => engine.last_lsn(),
                    Some(None) => Lsn::ZERO,
                    Some(Some(entry)) => match entry.end {
                        Some((last, _)) => last,
                        None => engine.last_lsn(),
                    },
                };
                if self.next > last {
                    Step::End
                } else if engine.unwritten_from(self.next) {
                    Step::Unflushed
                } else {
                    return Ok(None);
                }
            }
            Source::View(view) => {
                let known = view.known();
                match view.damage_at(self.next) {
                    Some(error) if self.only.is_none() => return Err(error),
                    _ => self.check_end(known)?,
                }
                Step::End
            }
        };
        Ok(Some(step))
    }
}

impl RawReader {
    /// Never fewer records without a word: what a look has found may be damaged before it is read. What is not proven may go with a
    /// sync that fails.
    fn check_end(&self, (known, proven): (Mark, Lsn)) -> Result<()> {
        match &self.place {
            Some(place)
                if place.end.is_none()
                    && place.id == known.segment
                    && place.cursor.offset() < known.offset
                    && self.next <= known.lsn.min(proven) =>
            {
                let last = self.next.prev();
                let what = format!("its groups end at LSN {last}, and not at {}", known.lsn);
                Err(self.damage(place.cursor.offset(), what))
            }
            _ => Ok(()),
        }
    }
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
