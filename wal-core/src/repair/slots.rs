//! Which segments of a damaged log are written anew under their own ids, and how each of them begins: decided from the facts
//! alone.
//!
//! Deliberately absent: the end of the log, which is copied to a new segment.

use wal_format::{Epoch, Histories, History, LinkBody, LinkCause, Lsn, Offset, SegmentId};

use super::decision::{Facts, PartFacts};
use crate::recovery::{GroupEnd, Part, Wreck};
use crate::segment::{Predecessor, link_body};

/// A segment that is written anew. A link that names it is followed by another segment of the log.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Its id, and so the name of its file.
    pub(super) id: SegmentId,
    /// The epoch by which the next segment's link names it.
    pub(super) replaces: Epoch,
    pub(super) link: LinkBody,
    /// The last LSN in it.
    pub(super) last: Lsn,
    /// The part of the log that the next segment begins.
    pub(super) next: usize,
    /// The part that it replaces; `None` if its file is missing.
    pub(super) part: Option<usize>,
}

impl Slot {
    /// The LSN before its first.
    pub(super) fn after(&self) -> Lsn {
        self.link.end_lsn
    }

    /// What the next link says of it, if that one is lost too. As long as the damaged file is there, its data may end there.
    fn before_next(&self, limit: u64) -> Predecessor {
        Predecessor {
            id: self.id,
            epoch: self.replaces,
            end_offset: Offset::new(limit),
            end_digest: 0,
            cause: LinkCause::Repaired,
            kept: Lsn::ZERO,
        }
    }
}

/// The damaged segments before the newest, oldest first, and the missing ones.
pub(super) fn slots(wreck: &Wreck, facts: &Facts) -> Vec<Slot> {
    let mut slots = Vec::new();
    let parts = wreck.parts.iter().zip(&facts.parts).enumerate();
    // What a link says that is made again: the segment before it, and the last LSN up to there.
    let mut below: Option<Predecessor> = None;
    let mut after = wreck.log_first.prev();
    for (at, (part, found)) in parts {
        let link = link_of(wreck, part);
        let missing = link.filter(|link| {
            let is_next = below.is_none_or(|below| below.id != link.predecessor);
            link.end_lsn >= wreck.log_first && is_next
        });
        if let Some(named) = missing {
            let before = newest_history(wreck, at.checked_sub(1));
            let histories = Histories::after(before, &[], named.histories.before());
            let slot = Slot {
                id: named.predecessor,
                replaces: named.predecessor_epoch,
                link: link_body(below, after, wreck.log_first.min(after.next()), histories),
                last: named.end_lsn,
                next: at,
                part: None,
            };
            below = Some(slot.before_next(wal_format::HEADER_LEN));
            after = slot.last;
            slots.push(slot);
        }
        let Some(next) = wreck.parts.get(at + 1) else {
            break;
        };
        if found.whole && link.is_some() {
            below = Some(end_of(found));
            after = found.end.lsn;
            continue;
        }
        let id = part.header.segment_id;
        let named = link_of(wreck, next).filter(|link| link.predecessor == id);
        let bound = part.last.unwrap_or(Lsn::MAX);
        let last = named.map_or(part.highest.min(bound), |link| link.end_lsn);
        let made = || {
            let first = wreck.log_first.min(after.next());
            link_body(below, after, first, wreck.known(at))
        };
        let slot = Slot {
            id,
            replaces: named.map_or(part.header.epoch, |link| link.predecessor_epoch),
            // It says who appended the records: no cursor of one that stays is invalid.
            link: link.cloned().unwrap_or_else(made),
            last: last.max(after),
            next: at + 1,
            part: Some(at),
        };
        below = Some(slot.before_next(part.limit));
        after = slot.last;
        slots.push(slot);
    }
    // What nothing proves is copied with the end of the log. So is what follows a segment whose name another one has: its rename
    // would take the other one's records, and may be the last thing before a crash.
    let of_another = |slot: &Slot| {
        let mut parts = wreck.parts.iter().enumerate();
        parts.any(|(at, part)| part.file == slot.id && slot.part != Some(at))
    };
    let in_place = |slot: &&Slot| slot.after() <= wreck.proven && !of_another(slot);
    let kept = slots.iter().take_while(in_place).count();
    slots.truncate(kept);
    slots
}

/// A part's link. One that says that the log begins there, where it does not, is of no use.
fn link_of<'a>(wreck: &Wreck, part: &'a Part) -> Option<&'a LinkBody> {
    let link = part.link.as_ref().map(|link| &link.body);
    link.filter(|link| link.predecessor != SegmentId::NONE || part.first <= wreck.log_first)
}

fn newest_history(wreck: &Wreck, at: Option<usize>) -> History {
    at.map_or(History::NONE, |at| wreck.known(at).newest())
}

fn end_of(found: &PartFacts) -> Predecessor {
    Predecessor {
        id: found.file,
        epoch: found.epoch,
        end_offset: Offset::new(found.end.offset),
        end_digest: found.end.digest,
        cause: LinkCause::Repaired,
        kept: Lsn::ZERO,
    }
}

impl Facts {
    /// The facts once these segments are written: each with the epoch of its file, and where it ends.
    pub(super) fn repaired(&self, slots: &[(Slot, Epoch, GroupEnd)]) -> Self {
        let written = |(slot, epoch, end): &(Slot, Epoch, GroupEnd)| PartFacts {
            file: slot.id,
            epoch: *epoch,
            // A segment without records is durable too.
            first: slot.after().min(end.lsn),
            follows: true,
            whole: true,
            ends_badly: false,
            anchor: Some(*end),
            end: *end,
        };
        let mut parts = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let missing = slots
                .iter()
                .find(|(slot, ..)| slot.part.is_none() && slot.next == at);
            parts.extend(missing.map(written));
            let replaced = slots.iter().find(|(slot, ..)| slot.part == Some(at));
            parts.push(replaced.map_or(
                PartFacts {
                    follows: part.follows || missing.is_some(),
                    ..*part
                },
                written,
            ));
        }
        let is_written = |id: &SegmentId| slots.iter().any(|(slot, ..)| slot.id == *id);
        let left = |ids: &[SegmentId]| -> Vec<SegmentId> {
            let left = ids.iter().filter(|id| !is_written(id));
            left.copied().collect()
        };
        let damaged = left(&self.damaged);
        Self {
            within: self.is_within(&damaged),
            parts,
            files: left(&self.files),
            damaged,
            log_first: self.log_first,
            told: self.told,
            last: self.last,
        }
    }
}
