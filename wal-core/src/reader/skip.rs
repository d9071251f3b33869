//! Reading past damage: LSNs that cannot be read are returned as one explicit gap, and the next call continues after it.
//!
//! A log that opens is read as ever until something does not verify; the rest of that segment is then salvaged. A log that does
//! not open is salvaged from its first record on. Gaps that follow each other are one.
//!
//! Deliberately absent: how records are found behind damage (see [`crate::segment`] and [`crate::recovery`]).

use std::io;

use wal_format::{Lsn, Offset, SegmentId};

use super::skipped::{Salvaging, Skip, Unread};
use super::{RawReader, Source, Step, read_error};
use crate::error::Corruption;
use crate::recovery::{Part, Walk, Walked};
use crate::sync::Arc;
use crate::{Error, OnDamage, Position, Result};

impl RawReader {
    /// Whether the reader goes on after that error.
    pub(super) fn skips(&self, error: &Error) -> bool {
        self.on_damage == OnDamage::Skip && matches!(error, Error::Gap { .. })
    }

    /// The first LSN that was not returned yet.
    pub(super) fn undelivered(&self) -> Lsn {
        let held = self.skip.held.as_ref();
        held.map_or(self.next, |(_, position)| position.lsn)
    }

    /// The same; what is in hand may not be in the log any more.
    pub(super) fn forget_skipped(&mut self) -> Lsn {
        let next = self.undelivered();
        self.skip = Skip::default();
        next
    }

    pub(super) fn go_on(&mut self) -> Result<Step> {
        match self.on_damage {
            OnDamage::Stop => self.advance(),
            OnDamage::Skip => self.skip_on(),
        }
    }

    /// The error for a record that verifies and cannot be read.
    pub(super) fn of_record(&self, lsn: Lsn, damage: Error) -> Error {
        if self.on_damage == OnDamage::Stop {
            return damage;
        }
        Error::Gap {
            from: lsn,
            to: lsn,
            cause: Some(Box::new(damage)),
        }
    }

    fn skip_on(&mut self) -> Result<Step> {
        if let Some((record, position)) = self.skip.held.take() {
            return Ok(Step::Record(record, position));
        }
        loop {
            let step = match self.salvage_on() {
                Ok(Some(step)) => Ok(step),
                Ok(None) => self.advance(),
                Err(error) => Err(error),
            };
            let step = match step {
                Err(error) => match self.meet(error) {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
                step => step,
            };
            let Some(gap) = self.skip.gap.take() else {
                return step;
            };
            // What else there is comes again with the next call.
            if let Ok(Step::Record(record, position)) = step {
                self.skip.held = Some((record, position));
            }
            return Err(Error::Gap {
                from: gap.from,
                to: gap.to,
                cause: gap.cause.map(Box::new),
            });
        }
    }

    /// LSNs from the next one up to `to` cannot be read.
    fn lose(&mut self, to: Lsn, cause: Option<Error>) {
        if to < self.next {
            return;
        }
        if let Some(gap) = &mut self.skip.gap {
            gap.to = to;
            gap.cause = gap.cause.take().or(cause);
        } else {
            let from = self.next;
            self.skip.gap = Some(Unread { from, to, cause });
        }
        self.next = to.next();
    }

    /// Damage, or a recorded loss: what to do about it. The error itself if it is none of them.
    fn meet(&mut self, error: Error) -> Result<()> {
        match error {
            Error::Gap { to, cause, .. } => self.lose(to, cause.map(|cause| *cause)),
            Error::Corruption(_) if self.is_outdated()? => {
                self.place = None;
                // Of another era, it says nothing.
                if self.source.era() != self.era {
                    return Err(error);
                }
            }
            Error::Corruption(_) => return self.salvage_segment(error),
            Error::MissingSegment { segment_id, .. } => {
                let end = self.source.entry(segment_id).and_then(|entry| entry.end);
                let Some((last, _)) = end.filter(|(last, _)| *last >= self.next) else {
                    return Err(error);
                };
                self.lose(last, Some(error));
                self.place = None;
            }
            error => return Err(error),
        }
        Ok(())
    }

    /// Salvages the segment that the reader is in, from the group on that does not verify.
    fn salvage_segment(&mut self, error: Error) -> Result<()> {
        let end = match &self.source {
            Source::Live(engine) => engine.readable().0,
            Source::View(view) => view.known().0,
        };
        let Some(place) = &self.place else {
            return Err(error);
        };
        let id = place.id;
        let Some(entry) = self.source.entry(id) else {
            return Err(error);
        };
        let active = (end.segment == id).then_some((end.lsn, end.offset));
        let end = entry.end.or(active);
        let Some((last, limit)) = end else {
            return Err(error);
        };
        if last < self.next {
            // The damage is in what was passed over before the first record. Nothing is missing.
            if self.skip.left.replace((id, limit)) == Some((id, limit)) {
                return Err(error);
            }
            self.leave(Some(limit));
            return Ok(());
        }
        let (start, first) = place.group;
        let part = Part {
            file: id,
            header: entry.header,
            whole_header: true,
            link: None,
            start: start.max(wal_format::HEADER_LEN),
            first,
            last: Some(last),
            highest: last,
            limit,
            bounded: true,
        };
        self.skip.walk = Some(Salvaging {
            walk: Walk::new(Arc::clone(self.source.files()), vec![part], self.next),
            last,
            then: Some(limit),
            cause: Some(error),
        });
        Ok(())
    }

    /// Salvages a log that does not open.
    fn salvage_all(&mut self) -> Result<bool> {
        let Source::View(view) = &self.source else {
            return Ok(false);
        };
        let Some(wreck) = view.wreck()? else {
            return Ok(false);
        };
        let mut parts = wreck.parts.clone();
        let mut last = wreck.end();
        self.next = self.next.max(wreck.log_first);
        if let Some(only) = self.only {
            parts.retain(|part| part.file == only);
            last = parts
                .first()
                .map_or(Lsn::ZERO, |part| part.last.unwrap_or(part.highest));
        }
        self.skip.walk = Some(Salvaging {
            walk: Walk::new(Arc::clone(&view.files), parts, self.next),
            last,
            then: None,
            cause: None,
        });
        Ok(true)
    }

    /// The next step of what is being salvaged; `None` where the segment is read as ever.
    fn salvage_on(&mut self) -> Result<Option<Step>> {
        if self.skip.ended {
            return Ok(Some(Step::End));
        }
        if self.skip.walk.is_none() && !self.salvage_all()? {
            return Ok(None);
        }
        while let Some(salvaging) = &mut self.skip.walk {
            let walked = match salvaging.walk.step() {
                // The file was removed: continue with the log as it is now.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && salvaging.then.is_some() =>
                {
                    self.skip.walk = None;
                    self.place = None;
                    return Ok(None);
                }
                walked => walked
                    .map_err(|error| read_error(&self.source, salvaging.walk.segment(), error))?,
            };
            match walked {
                Some(Walked::Record(taken)) => {
                    self.lose_to(taken.lsn.prev());
                    self.next = taken.lsn.next();
                    let position = Position {
                        lsn: taken.lsn,
                        segment_id: taken.segment,
                        offset: taken.offset,
                    };
                    return Ok(Some(Step::Record(taken.record, position)));
                }
                Some(Walked::Gap { to }) => self.lose(to, None),
                None => {
                    let (last, then) = (salvaging.last, salvaging.then);
                    self.lose_to(last);
                    self.skip.walk = None;
                    return Ok(self.leave(then));
                }
            }
        }
        Ok(None)
    }

    /// Behind what was salvaged: reads on as ever where a segment was, and ends where it was the whole log.
    fn leave(&mut self, then: Option<u64>) -> Option<Step> {
        if let (Some(limit), Some(place)) = (then, &mut self.place) {
            place.cursor.set_limit(limit);
            place.cursor.jump(self.next, Offset::new(limit));
            return None;
        }
        self.skip.ended = true;
        Some(Step::End)
    }

    /// LSNs up to this one have not come.
    fn lose_to(&mut self, to: Lsn) {
        if self.next <= to {
            let cause = self.cause(to);
            self.lose(to, Some(cause));
        }
    }

    /// Why the LSNs from the next one up to `to` cannot be read.
    fn cause(&mut self, to: Lsn) -> Error {
        let found = match &self.source {
            Source::View(view) => view.damage_at(self.next),
            Source::Live(_) => None,
        };
        let (trouble, cause) = self.skip.walk.as_mut().map_or((None, None), |salvaging| {
            (salvaging.walk.take_trouble(), salvaging.cause.take())
        });
        found.or(cause).unwrap_or_else(|| {
            let unknown = || {
                (
                    SegmentId::NONE,
                    0,
                    "there is no valid record of them".to_owned(),
                )
            };
            let (segment_id, offset, what) = trouble.unwrap_or_else(unknown);
            Error::Corruption(Box::new(Corruption {
                location: self.source.location(),
                segment_id,
                offset: Offset::new(offset),
                first_lsn: self.next,
                last_lsn: Some(to),
                what,
                witness: "the log continues after it".into(),
            }))
        })
    }
}
