//! What is left of a damaged log: the parts of its files that hold records, in the order of their LSNs.
//!
//! ```text
//! candidate.rs   each file with a segment's name, as far as it can be made out
//! survey.rs      what the group headers of a segment say
//! salvage.rs     which parts make the log
//! walk.rs        the records that can be read of them
//! ```
//!
//! Where links are valid they give the order and the ends, as ever. Where one is lost, or the file that it names, the next
//! lower file goes on below it: of two files that speak of the same LSN the newer one is right. Changes no byte.

mod candidate;
mod survey;
mod walk;

use std::collections::BTreeMap;

use wal_format::{Control, Histories, History, Lsn, Origin, SegmentHeader, SegmentId, Version};
use wal_io::Storage;

use super::Listing;
use super::control::mark_lost;
use crate::segment::{LinkFacts, copied};
use crate::sync::Arc;
use crate::{Error, Result};
use candidate::{Candidate, Survey, candidates};
use survey::survey;
pub(crate) use walk::{Taken, Walk, Walked};

/// What the log takes from one file.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The id in the file's name.
    pub(crate) file: SegmentId,
    /// As it stands in the file, or made again.
    pub(crate) header: SegmentHeader,
    pub(crate) whole_header: bool,
    pub(crate) link: Option<LinkFacts>,
    /// Where its first group starts.
    pub(crate) start: u64,
    pub(crate) first: Lsn,
    /// `None`: to its end.
    pub(crate) last: Option<Lsn>,
    /// The highest LSN that its groups, or the part above, speak of.
    pub(crate) highest: Lsn,
    /// Nothing at or behind this offset.
    pub(crate) limit: u64,
    /// The link of the part above says where it ends. Otherwise `last` is only an upper bound.
    pub(crate) bounded: bool,
}

impl Part {
    pub(crate) fn name(&self) -> String {
        wal_format::segment_name(self.file)
    }
}

/// A damaged log.
#[derive(Debug)]
pub(crate) struct Wreck {
    pub(crate) location: String,
    pub(crate) listing: Listing,
    /// Oldest first; their LSNs ascend.
    pub(crate) parts: Vec<Part>,
    pub(crate) log_first: Lsn,
    /// The highest LSN that a watermark proves.
    pub(crate) proven: Lsn,
    /// The highest LSN that anything speaks of.
    pub(crate) highest: Lsn,
    /// The control state, as far as a segment still says it.
    pub(crate) control: Option<Control>,
    /// The newest segment that may have held newer control state, which cannot be read.
    unread: Option<SegmentId>,
}

/// What the part above says of the one that is looked for.
#[derive(Clone, Copy, Debug, Default)]
struct Bound {
    last: Option<Lsn>,
    limit: Option<u64>,
}

/// Makes out a directory.
///
/// # Errors
/// An unknown version, or I/O. A directory in which nothing is left gives no parts.
pub(crate) fn assemble(storage: &Arc<dyn Storage>, listing: Listing) -> Result<Wreck> {
    let location = storage.location();
    let candidates = candidates(storage, &listing)?;
    // A name may say what the first LSN is; only what was proven durable is dropped.
    let log_first = listing.first();
    let mut wreck = Wreck {
        location,
        listing,
        parts: Vec::new(),
        log_first,
        proven: log_first.prev(),
        highest: log_first.prev(),
        control: None,
        unread: None,
    };
    let mut bound = Bound::default();
    let mut at = candidates.last_key_value().map(|(id, _)| *id);
    while let Some(id) = at {
        let candidate = &candidates[&id];
        let below = candidates.range(..id).next_back().map(|(id, _)| *id);
        let Some(part) = wreck.part(storage, candidate, bound)? else {
            // It was begun, and nothing was written; or it speaks of what a newer one replaces. The offset was one in this file.
            (at, bound.limit) = (below, None);
            continue;
        };
        (at, bound) = wreck.step_down(&candidates, &part, below);
        wreck.parts.push(part);
    }
    wreck.parts.reverse();
    wreck.close_ranks();
    wreck.mark_lost(&candidates);
    Ok(wreck)
}

impl Wreck {
    /// What the log takes from a file, below what the part above says.
    fn part(
        &mut self,
        storage: &Arc<dyn Storage>,
        candidate: &Candidate,
        bound: Bound,
    ) -> Result<Option<Part>> {
        let limit = bound
            .limit
            .map_or(candidate.len, |limit| limit.min(candidate.len));
        let mut first = candidate.link.as_ref().map(|link| link.first_lsn);
        let mut highest = bound.last.unwrap_or(Lsn::ZERO);
        if let Some(link) = &candidate.link {
            self.note(link.body.end_lsn, link.watermark, link.body.log_first);
        }
        if let Some(footer) = &candidate.footer {
            // It is only written after durable data.
            let sealed = footer.last_lsn.min(bound.last.unwrap_or(Lsn::MAX));
            self.note(Lsn::ZERO, sealed, Lsn::ZERO);
        }
        let location = self.location.clone();
        let look = |limit: u64, last| {
            survey(&**storage, candidate, limit.min(candidate.len), last).map_err(|error| {
                let what = format!("reading segment {}", candidate.file);
                Error::io(location.clone(), what, error)
            })
        };
        // From the newest segment down. What the log takes from a segment may end before its last change.
        if self.control.is_none() && candidate.header.version >= Version::V2 {
            let found = look(candidate.len, None)?;
            self.find_control(candidate, &found);
        }
        if bound.limit.is_none() || first.is_none() {
            let found = look(limit, bound.last)?;
            self.note(
                found.highest.max(found.proven),
                found.proven,
                found.log_first,
            );
            first = found.first;
            highest = found.highest;
        }
        self.note(bound.last.unwrap_or(Lsn::ZERO), Lsn::ZERO, Lsn::ZERO);
        let part = first.map(|first| Part {
            file: candidate.file,
            header: candidate.header,
            whole_header: candidate.whole_header,
            link: candidate.link.clone(),
            start: wal_format::HEADER_LEN,
            first,
            last: bound.last,
            highest,
            limit,
            bounded: bound.limit.is_some(),
        });
        Ok(part.filter(|part| part.last.is_none_or(|last| part.first <= last.next())))
    }

    /// Takes the control state of the newest segment that says it.
    fn find_control(&mut self, candidate: &Candidate, found: &Survey) {
        let footer = candidate.footer.as_ref();
        let more = footer.and_then(|footer| footer.more.as_ref());
        let said = more.map(|more| &more.control).or(found.control.as_ref());
        // A crash takes what was begun last, and nothing that something follows.
        let is_spare = candidate.whole_header && candidate.header.origin == Origin::Spare;
        let begun = is_spare && found.first.is_none();
        let whole = more.is_some() || (found.is_whole && (said.is_some() || begun));
        if !whole {
            self.unread.get_or_insert(candidate.file);
        }
        self.control = said.cloned();
    }

    /// Marks the control state as an older one, if newer state may have been lost.
    fn mark_lost(&mut self, candidates: &BTreeMap<SegmentId, Candidate>) {
        let newest = candidates.last_key_value().map(|(_, newest)| newest);
        let of_version_2 = |candidate: &&Candidate| candidate.header.version >= Version::V2;
        let Some(newest) = newest.filter(of_version_2) else {
            return;
        };
        // One that is not there followed it, or one of which nothing can be made out.
        let successor = newest.footer.as_ref().map(|footer| footer.successor);
        let last = self.listing.segments.last().copied();
        let above = [last, successor].into_iter().flatten();
        let above = above.filter(|id| *id > newest.header.segment_id).max();
        let is_found = self.control.is_some();
        let control = self.control.get_or_insert_default();
        mark_lost(control, is_found, above.or(self.unread));
    }

    /// The histories of a segment that holds what is left of the records above `after` up to `to`, and to which nothing is
    /// appended.
    pub(crate) fn histories(&self, after: Lsn, to: Lsn) -> Histories {
        let known: Vec<Histories> = (0..self.parts.len()).map(|at| self.known(at)).collect();
        let parts = self.parts.iter().zip(&known).enumerate();
        let parts = parts.map(|(at, (part, histories))| {
            let next = self.parts.get(at + 1).map(|next| next.first.prev());
            let end = next.or(part.last).unwrap_or(Lsn::MAX);
            (part.first, histories, end)
        });
        let parts = parts.skip_while(|(_, _, end)| *end <= after && *end < to);
        let last = known.last().map_or(History::NONE, Histories::newest);
        copied(parts, after, to, last)
    }

    /// The histories of a part. If its link is damaged, its neighbours are asked.
    pub(crate) fn known(&self, at: usize) -> Histories {
        let link = |at: usize| self.parts.get(at).and_then(|part| part.link.as_ref());
        if let Some(link) = link(at) {
            return link.body.histories.clone();
        }
        let before = at.checked_sub(1).and_then(link);
        let before = before.map_or(History::NONE, |link| link.body.histories.newest());
        let own = link(at + 1).map_or(before, |link| link.body.histories.before());
        Histories::after(before, &[], own)
    }

    fn note(&mut self, highest: Lsn, proven: Lsn, log_first: Lsn) {
        self.highest = self.highest.max(highest);
        self.proven = self.proven.max(proven);
        self.log_first = self.log_first.max(log_first);
    }

    /// The file below a part, and what that part says of it.
    fn step_down(
        &self,
        candidates: &BTreeMap<SegmentId, Candidate>,
        part: &Part,
        below: Option<SegmentId>,
    ) -> (Option<SegmentId>, Bound) {
        let before = Bound {
            last: Some(part.first.prev()),
            limit: None,
        };
        if part.first <= self.log_first {
            return (None, before);
        }
        let Some(body) = part.link.as_ref().map(|link| &link.body) else {
            return (below, before);
        };
        if body.predecessor == SegmentId::NONE {
            return (None, before);
        }
        if let Some(found) = candidates.get(&body.predecessor) {
            let limit = if found.header.epoch == body.predecessor_epoch {
                Some(body.end_offset.get())
            } else {
                // The link describes the file that this one has replaced.
                found.replaces(body.predecessor_epoch).then_some(u64::MAX)
            };
            if limit.is_some() {
                return (Some(body.predecessor), Bound { limit, ..before });
            }
        }
        // It is missing, or another file: what lies between the two was replaced by it.
        let lower = candidates.range(..body.predecessor).next_back();
        (lower.map(|(id, _)| *id), before)
    }

    /// A part whose link is lost may have lost its first groups' headers too: it may begin right behind the part below.
    fn close_ranks(&mut self) {
        let mut behind = self.log_first;
        for part in &mut self.parts {
            if part.link.is_none() && behind < part.first {
                part.first = behind;
            }
            behind = part.highest.next();
        }
    }

    /// The last LSN that must never be given again.
    pub(crate) fn end(&self) -> Lsn {
        self.highest.max(self.log_first.prev())
    }
}
