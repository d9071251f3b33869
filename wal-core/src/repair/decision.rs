//! Decides from the facts alone: no I/O here.

use wal_format::{Epoch, LinkCause, Lsn, Offset, SegmentId};

use crate::recovery::GroupEnd;
use crate::segment::Predecessor;

/// A part of the log, as far as it is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartFacts {
    pub(super) file: SegmentId,
    pub(super) epoch: Epoch,
    pub(super) first: Lsn,
    /// It follows the part before it: predecessor, epoch, and where that one ends.
    pub(super) follows: bool,
    /// Every group of it is valid, and its records can be read.
    pub(super) whole: bool,
    /// So are they, but not its footer.
    pub(super) ends_badly: bool,
    /// The end of the last group before anything that is not, among those that are proven durable.
    pub(super) anchor: Option<GroupEnd>,
    /// The end of the first group that reaches its last LSN before any damage.
    pub(super) end: GroupEnd,
}

/// All facts about a damaged log.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Oldest first.
    pub(super) parts: Vec<PartFacts>,
    /// Every file with a segment's name.
    pub(super) files: Vec<SegmentId>,
    /// The segments in which verification found damage.
    pub(super) damaged: Vec<SegmentId>,
    pub(super) log_first: Lsn,
    /// The same, as far as a reader learns it.
    pub(super) told: Lsn,
    /// The last LSN that anything speaks of.
    pub(super) last: Lsn,
    /// There is damage that none of the files explains which are not part of the log.
    pub(super) within: bool,
}

impl Facts {
    /// Whether any of the `damaged` segments is part of the log, or may be; or whether a torn end speaks of more than a reader
    /// finds there: LSNs that are not given again, or the log's first LSN.
    pub(super) fn is_within(&self, damaged: &[SegmentId]) -> bool {
        let newest = self.parts.last();
        let id = newest.map_or(SegmentId::NONE, |part| part.file);
        let explained =
            |other: &SegmentId| *other < id && self.parts.iter().all(|part| part.file != *other);
        let torn = newest.is_some_and(|part| part.end.lsn < self.last);
        torn || self.told < self.log_first || !damaged.iter().all(explained)
    }
}

/// What to do.
#[derive(Clone, Debug)]
pub(super) struct RepairPlan {
    /// Whether new segments are needed. Otherwise files are only removed.
    pub(super) copy: bool,
    /// The predecessor of the first new segment.
    pub(super) predecessor: Option<Predecessor>,
    /// The last LSN that stays where it is.
    pub(super) after: Lsn,
    /// Files whose bytes are kept.
    pub(super) quarantine: Vec<SegmentId>,
    /// Files that go once the new segment is durable, in this order: newest first, so that what a crash leaves is a chain
    /// without a hole.
    pub(super) remove: Vec<SegmentId>,
}

pub(super) fn plan(facts: &Facts) -> RepairPlan {
    let parts = &facts.parts;
    let damaged = parts.iter().position(|part| !part.follows || !part.whole);
    let copy = damaged.is_some() || facts.within;
    let damaged = damaged.unwrap_or(parts.len());
    // A part that does not follow is of no use as a predecessor: the log has a hole before it. Nor is one that stays damaged.
    let candidates = match parts.get(damaged) {
        Some(part) if part.follows && !part.ends_badly => damaged + 1,
        _ => damaged,
    };
    let anchor = parts[..candidates]
        .iter()
        .enumerate()
        .rev()
        .find_map(|(at, part)| {
            // A segment of which no record is proven may lose its link in the next crash.
            let anchor = part.anchor.filter(|anchor| anchor.lsn >= part.first)?;
            Some((at, part, anchor))
        })
        // What lies before the log's first record needs no place.
        .filter(|(_, _, anchor)| anchor.lsn.next() >= facts.log_first);
    let kept = match (&anchor, copy) {
        (Some((at, ..)), true) => at + 1,
        (None, true) => 0,
        (_, false) => parts.len(),
    };
    let is_kept = |id: SegmentId| parts[..kept].iter().any(|part| part.file == id);
    // A file outside the chain was replaced by a newer one. It is kept if it is damaged.
    let is_damaged = |id: SegmentId| {
        let part = parts.iter().find(|part| part.file == id);
        part.map_or(facts.damaged.contains(&id), |part| !part.whole)
    };
    // Without a new segment, the next open decides on what was begun after the newest one: a footer may name it.
    let newest = parts.last().map_or(SegmentId::NONE, |part| part.file);
    let quarantine = facts.files.iter().copied();
    let remove = facts.files.iter().copied().rev();
    RepairPlan {
        copy,
        after: anchor.map_or(facts.log_first.prev(), |(_, _, anchor)| anchor.lsn),
        predecessor: anchor.map(|(_, part, anchor)| Predecessor {
            id: part.file,
            epoch: part.epoch,
            end_offset: Offset::new(anchor.offset),
            end_digest: anchor.digest,
            cause: LinkCause::Repaired,
            kept: Lsn::ZERO,
        }),
        quarantine: quarantine.filter(|id| is_damaged(*id)).collect(),
        remove: remove
            .filter(|id| !is_kept(*id) && (copy || *id < newest))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
