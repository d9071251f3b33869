//! Writes the records that can be read after the damage to new segments, with a gap wherever records are missing.
//!
//! Deliberately absent: the encoding, which is the same as for every other copy.

use wal_format::{InBatch, LinkCause, Lsn, SegmentHeader, SegmentId};
use wal_io::Storage;

use super::decision::RepairPlan;
use super::inspect::{GROUP, Rest};
use crate::recovery::{Copy, Filling, Part, Reserve, Taken, Walk, Walked, Wreck};
use crate::segment::Files;
use crate::segment::{Predecessor, link_body};
use crate::sync::Arc;
use crate::{Error, Result};

/// Writes the new segments. Their headers are `new`, except for the lengths. If it fails before the first rename, nothing has
/// changed. `before_names` is called before that, when all of them are written.
///
/// The segments get their names from the newest down. If a crash leaves only some of them, the log names a missing segment. So
/// it does not open with only a part of its records, and another repair gives the same result.
pub(super) fn write(
    storage: &Arc<dyn Storage>,
    wreck: &Wreck,
    plan: &RepairPlan,
    behind: &Rest,
    new: &[SegmentHeader],
    before_names: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut predecessor = plan.predecessor;
    let control = wreck.control.clone().unwrap_or_default();
    let mut prepared = Vec::new();
    let mut feed = Feed::new(storage, wreck.parts.clone(), plan.after);
    for (piece, header) in behind.pieces.iter().zip(new) {
        let copy = Copy {
            storage: &**storage,
            location: &wreck.location,
            what: "a copy of the records behind the damage",
            link: link_body(
                predecessor,
                piece.after,
                wreck.log_first,
                wreck.histories(piece.after, piece.last),
            ),
            control: &control,
            sources: &[],
            last: piece.last,
            spares: &wreck.listing.spares,
            reserve: Reserve::USED_UP,
            only_reserve: false,
        };
        let content = |filling: &mut Filling<'_>| {
            feed.fill(filling, piece.after, &copy.io("writing"), piece.last)
        };
        let copied = match copy.prepare(*header, false, piece.needs(header.alignment), content) {
            Ok(copied) => copied,
            Err(error) => {
                discard(&**storage, &prepared);
                return Err(error);
            }
        };
        predecessor = Some(Predecessor {
            id: copied.header.segment_id,
            epoch: copied.header.epoch,
            end_offset: copied.end_offset,
            end_digest: copied.end_digest,
            cause: LinkCause::Repaired,
            kept: Lsn::ZERO,
        });
        prepared.push((copy, header.segment_id));
    }
    if let Err(error) = before_names() {
        discard(&**storage, &prepared);
        return Err(error);
    }
    while let Some((copy, id)) = prepared.pop() {
        copy.name(id, || ())?;
    }
    Ok(())
}

fn discard(storage: &dyn Storage, prepared: &[(Copy<'_>, SegmentId)]) {
    for (_, id) in prepared {
        let _ = storage.remove(&wal_format::temporary_name(*id));
    }
}

/// A new segment while it is being filled.
struct Output<'a, 'b, E> {
    filling: &'a mut Filling<'b>,
    io: E,
    watermark: Lsn,
}

/// The records that can be read after the damage, in order.
pub(super) struct Feed {
    walk: Walk,
    /// The first step of the next segment.
    pending: Option<Walked>,
    next: Lsn,
    /// A record waits for the next one: the last record before a gap ends its batch.
    held: Option<Box<Taken>>,
    /// LSNs up to this one have no record; not written yet.
    lost: Option<Lsn>,
}

impl Feed {
    /// The records above `after` that can be read of `parts`.
    pub(super) fn new(storage: &Arc<dyn Storage>, parts: Vec<Part>, after: Lsn) -> Self {
        let files = Files::new(Arc::clone(storage));
        Self {
            walk: Walk::new(files, parts, after.next()),
            pending: None,
            next: after.next(),
            held: None,
            lost: None,
        }
    }

    /// Fills a segment up to the LSN `last`. What is above `watermark` is proven by nothing before the segment's end.
    pub(super) fn fill(
        &mut self,
        filling: &mut Filling<'_>,
        watermark: Lsn,
        io: &impl Fn(std::io::Error) -> Error,
        last: Lsn,
    ) -> Result<()> {
        let mut output = Output {
            filling,
            io,
            watermark,
        };
        self.piece(&mut output, last)
    }

    fn piece<E: Fn(std::io::Error) -> Error>(
        &mut self,
        output: &mut Output<'_, '_, E>,
        last: Lsn,
    ) -> Result<()> {
        loop {
            let step = match self.pending.take() {
                Some(step) => Some(step),
                None => self.walk.step().map_err(&output.io)?,
            };
            let step = match step {
                Some(Walked::Record(taken)) if taken.lsn > last => {
                    self.pending = Some(Walked::Record(taken));
                    None
                }
                step => step,
            };
            let next = self.next;
            let goes_on = matches!(&step, Some(Walked::Record(taken)) if taken.lsn == next);
            if let Some(record) = self.held.take() {
                output.push(&mut self.lost, &record, goes_on)?;
            }
            match step {
                Some(Walked::Record(taken)) => {
                    if !goes_on {
                        self.lost = Some(taken.lsn.prev());
                    }
                    self.next = taken.lsn.next();
                    self.held = Some(taken);
                }
                Some(Walked::Gap { to }) => {
                    self.lost = Some(to);
                    self.next = to.next();
                }
                None => {
                    if next <= last {
                        self.lost = Some(last);
                        self.next = last.next();
                    }
                    output.gap(&mut self.lost)?;
                    let ended = output.filling.end_group(output.watermark);
                    return ended.map_err(&output.io);
                }
            }
        }
    }
}

impl<E: Fn(std::io::Error) -> Error> Output<'_, '_, E> {
    fn gap(&mut self, lost: &mut Option<Lsn>) -> Result<()> {
        match lost.take() {
            Some(to) => self.filling.gap(to, self.watermark).map_err(&self.io),
            None => Ok(()),
        }
    }

    fn push(&mut self, lost: &mut Option<Lsn>, taken: &Taken, goes_on: bool) -> Result<()> {
        // What was lost before it; what is lost behind it comes later.
        if lost.is_some_and(|to| to < taken.lsn) {
            self.gap(lost)?;
        }
        if taken.set_back {
            self.filling.end_group(self.watermark).map_err(&self.io)?;
        }
        self.filling.date(taken.time, taken.set_back);
        self.filling
            .push(&taken.bytes, &taken.head, taken.mask, !goes_on);
        let ends = !goes_on || taken.head.in_batch == InBatch::Last;
        if ends && self.filling.open_len() >= GROUP {
            self.filling.end_group(self.watermark).map_err(&self.io)?;
        }
        Ok(())
    }
}
