//! Reading the log from an LSN on, across segments, beside a writer.
//!
//! One reader serves the blocking and the async calls. It asks its source how far it may read: the writing handle knows
//! exactly; without it, the first group that does not verify is the end for now.

mod skip;
mod source;

use std::cmp::Ordering;
use std::io;

use wal_format::{GroupKind, Lsn, Offset, Record, SegmentId};
use wal_io::{OpenMode, StorageFile};

use crate::error::Corruption;
use crate::log::{ChainEntry, Engine, Era, Mark};
use crate::position::Start;
use crate::segment::{
    GroupStep, RecordStep, SEEK_WINDOW, SegmentCursor, SegmentFacts, WINDOW, record_at,
};
use crate::sync::Arc;
use crate::{Error, OnDamage, Position, Result, sabotage};

use skip::Skip;
pub(crate) use source::Source;

/// What one step of the reader came to.
#[derive(Debug)]
pub(crate) enum Step {
    Record(Record, Position),
    /// More was appended than handed over: flush, then step again.
    Unflushed,
    /// The end, for now.
    End,
}

#[derive(Debug)]
struct Place {
    id: SegmentId,
    cursor: SegmentCursor,
    /// Where the segment's data ends, once that is fixed.
    end: Option<(Lsn, u64)>,
    /// The group that was tried last, and the LSN expected there.
    group: (u64, Lsn),
}

/// A place in the log.
#[derive(Debug)]
pub(crate) struct RawReader {
    source: Source,
    /// Stay in this segment.
    only: Option<SegmentId>,
    next: Lsn,
    hint: Option<(SegmentId, Offset)>,
    place: Option<Place>,
    /// What was read is of this era.
    era: Era,
    /// An error was returned: the reader has ended.
    ended: bool,
    pub(crate) on_damage: OnDamage,
    skip: Skip,
}

impl RawReader {
    pub(crate) fn from(source: Source, start: Start) -> Result<Self> {
        let era = source.era();
        let first = source.first_lsn();
        if start.lsn < first && start.lsn > Lsn::ZERO {
            return Err(Error::Truncated { first, kept: None });
        }
        let next = start.lsn.max(first);
        Ok(Self {
            era,
            source,
            only: None,
            next,
            hint: start.hint,
            place: None,
            ended: false,
            on_damage: OnDamage::Stop,
            skip: Skip::default(),
        })
    }

    pub(crate) fn segment(source: Source, id: SegmentId) -> Result<Self> {
        let era = source.era();
        let Some(entry) = source.entry(id) else {
            let location = source.storage().location();
            return Err(Error::MissingSegment {
                location,
                segment_id: id,
                needed_by: "it was asked for, and is not a segment of the log".into(),
            });
        };
        let next = entry.first_lsn.max(source.first_lsn());
        Ok(Self {
            era,
            source,
            only: Some(id),
            next,
            hint: None,
            place: None,
            ended: false,
            on_damage: OnDamage::Stop,
            skip: Skip::default(),
        })
    }

    pub(crate) fn live(&self) -> Option<&Arc<Engine>> {
        match &self.source {
            Source::Live(engine) => Some(engine),
            Source::View(_) => None,
        }
    }

    /// Whether the next step needs no I/O, as far as can be told.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_buffered(&self) -> bool {
        self.place
            .as_ref()
            .is_some_and(|place| place.cursor.is_buffered())
    }

    /// The next record, if it is in memory and valid, and the log is as it was when it was read; otherwise the reader stays
    /// where it is. All that most records need.
    // The result is made where the caller wants it: moving it costs as much as reading it.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn step_in_memory(&mut self) -> Option<(Record, Position)> {
        let place = self.place.as_mut()?;
        if self.ended || !self.skip.is_idle() || self.source.is_disturbed(self.era, self.next) {
            return None;
        }
        // What was loaded is of this era: a truncation from here on comes after this call.
        let (lsn, offset, head) = place.cursor.record_in_memory()?;
        if lsn < self.next {
            return None;
        }
        let record = place.cursor.plain_record(offset, &head);
        self.next = lsn.next();
        let position = Position {
            lsn,
            segment_id: place.id,
            offset: Offset::new(offset),
        };
        Some((record, position))
    }

    /// The next record. After an error the reader has ended.
    pub(crate) fn step(&mut self) -> Result<Step> {
        if self.ended {
            return Ok(Step::End);
        }
        let step = self.step_in_era();
        self.ended = step.as_ref().is_err_and(|error| !self.skips(error));
        step
    }

    fn step_in_era(&mut self) -> Result<Step> {
        loop {
            if self.source.era() != self.era {
                self.next = self.forget_skipped();
                self.follow_era()?;
            }
            let next = self.undelivered();
            let refused = self.live().and_then(|engine| engine.refuses(next));
            let step = refused.map_or_else(|| self.go_on(), Err);
            if self.source.era() == self.era {
                return step;
            }
            self.forget_skipped();
            // The newest records were dropped meanwhile: nothing tells of which era this one is.
            self.next = next;
        }
    }

    /// The newest records were dropped, and LSNs are given again: goes on if what was read is still in the log.
    fn follow_era(&mut self) -> Result<()> {
        let (kept, now) = self.source.kept_since(self.era);
        // Nor are they by who reads.
        let told = !sabotage::is("reader-of-an-earlier-era-goes-on");
        if kept.is_some_and(|kept| self.next > kept.next()) && told {
            let first = self.source.first_lsn();
            return Err(Error::Truncated { first, kept });
        }
        self.era = now;
        self.place = None;
        Ok(())
    }

    fn advance(&mut self) -> Result<Step> {
        if let Some((id, offset)) = self.hint.take()
            && let Some(step) = self.at_hint(id, offset)?
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
                    RecordStep::Invalid(_) if sabotage::is("reader-skips-damage") => {
                        place.cursor.skip_group();
                    }
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
            GroupStep::Invalid(_) if sabotage::is("reader-ends-at-damage") => {
                self.next = Lsn::MAX;
                return Ok(false);
            }
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
        let passed = header.end_lsn() < self.next || sabotage::is("gap-passed-over");
        if header.kind == GroupKind::Gap && !passed {
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
            place.cursor.set_window(WINDOW);
            if !fixed {
                // Nothing of a group is shown before all of it is there: it holds whole batches.
                let checked = place.cursor.check_group();
                if checked
                    .map_err(|error| read_error(&self.source, place.id, error))?
                    .is_err()
                {
                    place.cursor.rewind(&header, previous);
                    return self.wait_for_more();
                }
            }
        }
        Ok(true)
    }

    /// At a place that is not a group yet: forget what was read, and see whether a new segment says where this one ends.
    fn wait_for_more(&mut self) -> Result<bool> {
        if let Some(place) = &mut self.place {
            place.cursor.refresh();
        }
        self.move_on()
    }

    /// At the end of what may be read in this segment: read further, or go to the next segment. False at the end for now.
    fn move_on(&mut self) -> Result<bool> {
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
    fn grow(&mut self) -> Result<bool> {
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

    /// Goes to the segment that holds `next`; false if there is none yet.
    fn enter(&mut self) -> Result<bool> {
        let first = self.source.first_lsn();
        if self.next < first {
            return Err(Error::Truncated { first, kept: None });
        }
        let handed_over = self.source.handed_over();
        let chain = self.source.chain();
        let entry = match self.only {
            Some(only) => chain.iter().find(|entry| entry.header.segment_id == only),
            None => chain
                .iter()
                .rev()
                .find(|entry| entry.first_lsn <= self.next),
        };
        let Some(entry) = entry else {
            return match &self.source {
                Source::View(view) if chain.is_empty() => view.refresh(),
                _ => Ok(false),
            };
        };
        let id = entry.header.segment_id;
        let limit = Self::end_of_new(entry, handed_over);
        if limit == Some(0) {
            return Ok(false);
        }
        let name = wal_format::segment_name(id);
        let file = match self.source.storage().open(&name, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.gone(id),
            Err(error) => return Err(read_error(&self.source, id, error)),
        };
        let limit = match limit {
            Some(limit) => limit,
            None => file
                .len()
                .map_err(|error| read_error(&self.source, id, error))?,
        };
        let mut cursor = SegmentCursor::new(Arc::clone(&file), entry.header, limit);
        if self.next > entry.first_lsn {
            self.seek(&mut cursor, entry, &file)?;
        }
        self.place = Some(Place {
            id,
            cursor,
            end: entry.end,
            group: (0, Lsn::ZERO),
        });
        Ok(true)
    }

    /// The limit for a segment that is entered; `None`: the file's length.
    fn end_of_new(entry: &ChainEntry, handed_over: Option<Mark>) -> Option<u64> {
        let end = entry.end.map(|(_, end)| end);
        let Some(mark) = handed_over else { return end };
        Some(match entry.header.segment_id.cmp(&mark.segment) {
            Ordering::Less => end.unwrap_or(0),
            Ordering::Equal => end.map_or(mark.offset, |end| end.min(mark.offset)),
            Ordering::Greater => 0,
        })
    }

    /// A file of the chain is not there: superseded or truncated meanwhile, or lost. True if the chain has changed.
    fn gone(&self, id: SegmentId) -> Result<bool> {
        if let Source::View(view) = &self.source
            && view.reload()?
        {
            return Ok(true);
        }
        let first = self.source.first_lsn();
        if self.next < first {
            return Err(Error::Truncated { first, kept: None });
        }
        Err(Error::MissingSegment {
            location: self.source.storage().location(),
            segment_id: id,
            needed_by: format!("it holds LSN {}", self.next),
        })
    }

    /// Jumps near `next` by the index: the footer's, or the writer's own.
    fn seek(
        &self,
        cursor: &mut SegmentCursor,
        entry: &ChainEntry,
        file: &Arc<dyn StorageFile>,
    ) -> Result<()> {
        cursor.set_window(SEEK_WINDOW);
        let id = entry.header.segment_id;
        let found = match &self.source {
            Source::Live(engine) => engine.indexed(id, self.next),
            Source::View(_) => None,
        };
        let found = match found {
            Some(found) => Some(found),
            None if entry.end.is_some() => SegmentFacts::indexed(entry.header, file, self.next)
                .map_err(|error| read_error(&self.source, id, error))?,
            None => None,
        };
        if let Some(index) = found.filter(|index| index.offset.get() < cursor.limit()) {
            cursor.jump(index.first_lsn, index.offset);
        }
        Ok(())
    }

    /// The record at the hinted place, if it is the one.
    fn at_hint(&mut self, id: SegmentId, offset: Offset) -> Result<Option<Step>> {
        let handed_over = self.source.handed_over();
        let Some(entry) = self.source.entry(id) else {
            return Ok(None);
        };
        let ended = entry.end.is_some_and(|(last, _)| last < self.next);
        if ended || entry.first_lsn > self.next {
            return Ok(None);
        }
        let Some(limit) = Self::end_of_new(&entry, handed_over) else {
            return Ok(None);
        };
        let Ok(file) = self
            .source
            .storage()
            .open(&wal_format::segment_name(id), OpenMode::Read)
        else {
            return Ok(None);
        };
        let record = record_at(&*file, &entry.header, self.next, offset, limit);
        let record = record.map_err(|error| read_error(&self.source, id, error))?;
        let Some(record) = record else {
            return Ok(None);
        };
        let position = Position {
            lsn: self.next,
            segment_id: id,
            offset,
        };
        self.next = self.next.next();
        Ok(Some(Step::Record(record, position)))
    }

    /// Where nothing more can be read now; `None`: more was handed over since it was looked at.
    fn at_end(&mut self) -> Result<Option<Step>> {
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
            Source::View(view) => match view.damage_at(self.next) {
                Some(error) if self.only.is_none() => return Err(error),
                _ => Step::End,
            },
        };
        Ok(Some(step))
    }

    fn damage(&self, offset: u64, what: String) -> Error {
        let place = self.place.as_ref();
        Error::Corruption(Box::new(Corruption {
            location: self.source.storage().location(),
            segment_id: place.map_or(SegmentId::NONE, |place| place.id),
            offset: Offset::new(offset),
            first_lsn: self.next,
            last_lsn: None,
            what,
            witness: match &self.source {
                Source::Live(_) => {
                    "this handle has handed it over, or found it when it opened the log".into()
                }
                Source::View(_) => "the log goes on behind it".into(),
            },
        }))
    }
}

fn read_error(source: &Source, id: SegmentId, error: io::Error) -> Error {
    Error::io(
        source.storage().location(),
        format!("reading segment {id}"),
        error,
    )
}
