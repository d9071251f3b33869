//! Reading the log from an LSN on, across segments, beside a writer.
//!
//! One reader serves the blocking and the async calls. It asks its source how far it may read: the writing handle knows
//! exactly; without it, the first group that does not verify is the end for now.
//!
//! ```text
//! reader.rs   the next record: from memory where that is enough, and what makes it not enough
//! advance.rs  from record to record, group to group, segment to segment
//! enter.rs    entering a segment, near an LSN
//! visit.rs    many records at a time, borrowed
//! skip.rs     going on past damage; skipped.rs is what it has in hand
//! when.rs     the place of a time
//! source.rs   who knows the log
//! ```

mod advance;
mod enter;
mod skip;
mod skipped;
mod source;
mod visit;
mod when;

use std::io;

use wal_format::{Lsn, Offset, Record, SegmentId};

use crate::error::Corruption;
use crate::log::Engine;
use crate::position::Start;
use crate::segment::Era;
use crate::segment::SegmentCursor;
use crate::sync::Arc;
use crate::{Error, OnDamage, Position, Result};

use skipped::Skip;
pub(crate) use source::Source;
pub(crate) use when::lsn_at;

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
struct InSegment {
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
    first_place: FirstPlace,
    place: Option<InSegment>,
    /// What was read is of this era.
    era: Era,
    /// An error was returned that ends the reader.
    ended: bool,
    /// The buffered bytes at the reader's place were read in this call.
    fresh: bool,
    /// Return only records that are known to be durable.
    pub(crate) durable_only: bool,
    /// Records above this are not returned before the durable LSN is read again.
    bound: Lsn,
    /// The start of the log, if that is what was asked for.
    start: Option<Lsn>,
    pub(crate) on_damage: OnDamage,
    skip: Skip,
}

/// Where the first record is, before anything was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FirstPlace {
    /// At a segment's start, or found by its groups.
    #[default]
    Unknown,
    /// An index may say it.
    InIndex,
    /// A position says it.
    Hinted(SegmentId, Offset),
}

impl RawReader {
    /// From a record that is in the log, or is the next one to be appended.
    pub(crate) fn from(source: Source, start: Start) -> Result<Self> {
        source.check_process()?;
        if start.lsn > Lsn::FIRST
            && let Some(next) = source.next_lsn(start.lsn)?
            && start.lsn > next
        {
            // A caller that would wait for a record that never comes is told at once.
            let lsn = start.lsn;
            return Err(Error::NotAppended { lsn, next });
        }
        Self::follow_from(source, start)
    }

    /// From a record that need not exist yet.
    pub(crate) fn follow_from(source: Source, start: Start) -> Result<Self> {
        source.check_process()?;
        let era = source.era();
        let first = source.first_lsn();
        if start.lsn < first && start.lsn > Lsn::ZERO {
            return Err(Error::Truncated { first, kept: None });
        }
        let next = start.lsn.max(first);
        Ok(Self {
            first_place: match start.hint {
                Some((id, offset)) => FirstPlace::Hinted(id, offset),
                None if start.lsn > first => FirstPlace::InIndex,
                None => FirstPlace::Unknown,
            },
            start: Some(next).filter(|_| start.lsn == Lsn::ZERO),
            ..Self::at(source, era, next)
        })
    }

    fn at(source: Source, era: Era, next: Lsn) -> Self {
        Self {
            source,
            only: None,
            next,
            first_place: FirstPlace::Unknown,
            place: None,
            era,
            ended: false,
            fresh: false,
            durable_only: false,
            bound: Lsn::new(u64::MAX),
            start: None,
            on_damage: OnDamage::Stop,
            skip: Skip::default(),
        }
    }

    pub(crate) fn segment(source: Source, id: SegmentId) -> Result<Self> {
        source.check_process()?;
        let era = source.era();
        let Some(entry) = source.entry(id) else {
            let location = source.location();
            return Err(Error::MissingSegment {
                location,
                segment_id: id,
                needed_by: "it was asked for, and is not a segment of the log".into(),
            });
        };
        let next = entry.first_lsn.max(source.first_lsn());
        Ok(Self {
            only: Some(id),
            ..Self::at(source, era, next)
        })
    }

    /// Returns only records that are known to be on stable storage.
    pub(crate) fn durable_only(mut self) -> Self {
        self.durable_only = true;
        self.bound = Lsn::ZERO;
        self
    }

    pub(crate) fn live(&self) -> Option<&Arc<Engine>> {
        match &self.source {
            Source::Live(engine) => Some(engine),
            Source::View(_) => None,
        }
    }

    /// Whether the next step needs no I/O, as far as can be told.
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
        if self.ended
            || self.next > self.bound
            || !self.skip.is_idle()
            || self.source.is_disturbed(self.era, self.next)
        {
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

    /// The next record. An error ends the reader, unless it skips damage or the error is one of the system that may be
    /// temporary.
    pub(crate) fn step(&mut self) -> Result<Step> {
        self.source.check_process()?;
        if self.ended {
            return Ok(Step::End);
        }
        self.fresh = false;
        let step = self.step_in_era();
        self.ended = step
            .as_ref()
            .is_err_and(|error| !matches!(error, Error::Io { .. }) && !self.skips(error));
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
            let step = match refused {
                Some(error) => Err(error),
                None if self.is_beyond_durable()? => Ok(Step::End),
                None => self.go_on(),
            };
            if self.source.era() == self.era {
                if matches!(step, Err(Error::Corruption(_))) && self.is_outdated()? {
                    // A writer has cut or removed the file while it was read.
                    self.place = None;
                    continue;
                }
                return step;
            }
            self.forget_skipped();
            // The newest records were dropped meanwhile: nothing tells of which era this one is.
            self.next = next;
        }
    }

    /// Whether the segment has ended, or has left the log, since the reader entered it, or whether records were dropped. Then bytes
    /// that do not verify may be space that a writer gave back.
    fn is_outdated(&mut self) -> Result<bool> {
        let Some(place) = &self.place else {
            return Ok(false);
        };
        let (id, end, epoch) = (place.id, place.end, place.cursor.epoch());
        if let Source::View(view) = &self.source
            && view.reload().is_err()
        {
            // The damage is the better error.
            return Ok(false);
        }
        if self.source.era() != self.era {
            return Ok(true);
        }
        let first = self.source.first_lsn();
        if self.undelivered() < first {
            return Err(Error::Truncated { first, kept: None });
        }
        Ok(match self.source.entry(id) {
            // A repair may have replaced the file.
            Some(entry) => entry.end != end || entry.header.epoch != epoch,
            None => self.only.is_none(),
        })
    }

    /// Whether the next record is not known to be durable. Reads the durable LSN again before it returns true.
    fn is_beyond_durable(&mut self) -> Result<bool> {
        if !self.durable_only || self.undelivered() <= self.bound {
            return Ok(false);
        }
        self.bound = self.source.durable_lsn()?;
        Ok(self.undelivered() > self.bound)
    }

    /// The newest records were dropped, and LSNs are given again: goes on if what was read is still in the log.
    fn follow_era(&mut self) -> Result<()> {
        let (kept, now) = self.source.kept_since(self.era);
        if self.durable_only {
            self.bound = Lsn::ZERO;
        }
        let first = self.source.first_lsn();
        // A reader from the log's start that has read nothing starts where the log starts now.
        if self.start == Some(self.next) {
            (self.next, self.start) = (first, Some(first));
            (self.era, self.place) = (now, None);
            return Ok(());
        }
        // Nor are they by who reads.
        if kept.is_some_and(|kept| self.next > kept.next()) {
            // If it has missed records at the log's start, only that is known.
            let missed = self.next < first && self.source.has_lost_track(self.era);
            let kept = kept.filter(|_| !missed);
            return Err(Error::Truncated { first, kept });
        }
        self.era = now;
        self.place = None;
        Ok(())
    }

    fn damage(&self, offset: u64, what: String) -> Error {
        let place = self.place.as_ref();
        Error::Corruption(Box::new(Corruption {
            location: self.source.location(),
            segment_id: place.map_or(SegmentId::NONE, |place| place.id),
            offset: Offset::new(offset),
            first_lsn: self.next,
            last_lsn: None,
            what,
            witness: match &self.source {
                Source::Live(_) => {
                    "this handle has handed it over, or found it when it opened the log".into()
                }
                Source::View(_) => "the log continues after it".into(),
            },
        }))
    }
}

fn read_error(source: &Source, id: SegmentId, error: io::Error) -> Error {
    Error::io(source.location(), format!("reading segment {id}"), error)
}
