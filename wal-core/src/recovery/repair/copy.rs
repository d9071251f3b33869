//! Writes what can be read behind the damage to the new segment, with a gap wherever something is missing.
//!
//! Deliberately absent: the encoding, which is the same as for every other copy.

use wal_format::{InBatch, Lsn, SegmentHeader};
use wal_io::Storage;

use super::inspect::{Behind, GROUP};
use super::plan::RepairPlan;
use crate::log::link_body;
use crate::recovery::copy::{Copy, Filling};
use crate::recovery::{Step, Taken, Walk, Wreck};
use crate::segment::Files;
use crate::sync::Arc;
use crate::{Error, Result};

/// Writes the new segment, whose header is `new` but for the lengths. Nothing has changed if it fails.
pub(super) fn write(
    storage: &Arc<dyn Storage>,
    wreck: &Wreck,
    plan: &RepairPlan,
    behind: &Behind,
    new: SegmentHeader,
) -> Result<()> {
    let copy = Copy {
        storage: &**storage,
        location: &wreck.location,
        what: "a copy of the records behind the damage",
        link: link_body(plan.predecessor, plan.after, wreck.log_first),
        sources: &[],
        last: behind.last,
        spares: &wreck.listing.spares,
    };
    let content = |filling: &mut Filling<'_>| {
        let mut feed = Feed {
            filling,
            io: &copy.io("writing"),
            watermark: plan.after,
            last: behind.last,
            lost: None,
        };
        feed.all(storage, wreck, plan.after)
    };
    let needs = behind.needs(new.alignment);
    copy.run_with(new, false, needs, content, || ()).map(drop)
}

/// The new segment while it is being filled.
struct Feed<'a, 'b, E> {
    filling: &'a mut Filling<'b>,
    io: E,
    watermark: Lsn,
    last: Lsn,
    /// LSNs up to this one have no record; not written yet.
    lost: Option<Lsn>,
}

impl<E: Fn(std::io::Error) -> Error> Feed<'_, '_, E> {
    fn all(&mut self, storage: &Arc<dyn Storage>, wreck: &Wreck, after: Lsn) -> Result<()> {
        let mut next = after.next();
        let mut walk = Walk::new(Files::new(Arc::clone(storage)), wreck.parts.clone(), next);
        // A record waits for the one behind it: the last one before a gap ends its batch.
        let mut held: Option<Box<Taken>> = None;
        loop {
            let step = walk.step().map_err(&self.io)?;
            let goes_on = matches!(&step, Some(Step::Record(taken)) if taken.lsn == next);
            if let Some(record) = held.take() {
                self.push(&record, goes_on)?;
            }
            match step {
                Some(Step::Record(taken)) => {
                    if !goes_on {
                        self.lost = Some(taken.lsn.prev());
                    }
                    next = taken.lsn.next();
                    held = Some(taken);
                }
                Some(Step::Gap { to }) => {
                    self.lost = Some(to);
                    next = to.next();
                }
                None => {
                    if next <= self.last {
                        self.lost = Some(self.last);
                    }
                    self.gap()?;
                    return self.filling.end_group(self.watermark).map_err(&self.io);
                }
            }
        }
    }

    fn gap(&mut self) -> Result<()> {
        match self.lost.take() {
            Some(to) => self.filling.gap(to, self.watermark).map_err(&self.io),
            None => Ok(()),
        }
    }

    fn push(&mut self, taken: &Taken, goes_on: bool) -> Result<()> {
        // What was lost before it; what is lost behind it comes later.
        if let Some(to) = self.lost
            && to < taken.lsn
        {
            self.gap()?;
        }
        self.filling
            .push(&taken.bytes, &taken.head, taken.mask, !goes_on);
        let ends = !goes_on || taken.head.in_batch == InBatch::Last;
        if ends && self.filling.open_len() >= GROUP {
            self.filling.end_group(self.watermark).map_err(&self.io)?;
        }
        Ok(())
    }
}
