//! The segments that a read-only handle knows, and whether segments that it finds later continue them.
//!
//! Another process may truncate, close, recover and truncate again between two refreshes, and the segments that recorded it may
//! be gone. Only links say whether the records read so far still belong to the log. If no link leads back to a known segment,
//! that is unknown, and all readers get an error: a false alarm is better than silence.
//!
//! This module reads no files.

use wal_format::{LinkBody, LinkCause, Lsn, SegmentHeader, SegmentId};

use crate::damaged::Gap;
use crate::recovery::{ChainLink, Scan};
use crate::segment::{ChainEntry, Eras, Mark};
use crate::segment::{LinkFacts, SegmentFacts};
use crate::sync::Arc;

#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) entries: Arc<Vec<ChainEntry>>,
    pub(super) log_first: Lsn,
    pub(super) eras: Eras,
    /// The newest file's id, on the chain or not.
    pub(super) seen: SegmentId,
    /// The end of the log, as of the last refresh.
    pub(super) end: Mark,
    /// The highest LSN that is known to be on stable storage.
    pub(super) proven: Lsn,
}

impl Chain {
    pub(super) fn of(scans: &[Scan], gaps: &[Gap]) -> Self {
        let newest = scans.last();
        let footer = newest.is_some_and(|scan| scan.footer.is_some());
        let links = || scans.iter().flat_map(|scan| &scan.chain);
        let count = links().count();
        let entries = links().enumerate().map(|(at, link)| ChainEntry {
            header: link.facts.header,
            first_lsn: link.link.first_lsn,
            histories: link.link.body.histories.clone(),
            // The newest segment may still grow, unless it is closed or the log is damaged.
            end: (at + 1 < count || footer || !gaps.is_empty())
                .then_some((link.end.lsn, link.end.offset)),
        });
        // A segment above the chain with a valid link does not follow the chain, and never will. One without a link may get it
        // soon.
        let above = newest.and_then(|scan| {
            let mut above = scan.above.iter().rev();
            above.find(|facts| facts.link.is_ok())
        });
        let last = links().last();
        Self {
            entries: Arc::new(entries.collect()),
            eras: Eras::default(),
            log_first: newest.map_or(Lsn::FIRST, |scan| scan.log_first),
            seen: above
                .or(last.map(|link| &link.facts))
                .map_or(SegmentId::NONE, SegmentFacts::id),
            end: Mark {
                lsn: newest.map_or(Lsn::ZERO, Scan::end),
                segment: last.map_or(SegmentId::FIRST, |link| link.facts.id()),
                offset: last.map_or(0, |link| link.end.offset),
            },
            proven: newest.map_or(Lsn::ZERO, |scan| scan.proven.watermark.min(scan.end())),
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = SegmentId> {
        self.entries.iter().map(|entry| entry.header.segment_id)
    }

    /// Whether the log consists of the same segments.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let same = |entry: &ChainEntry| (entry.header.segment_id, entry.header.epoch);
        let (here, there) = (
            self.entries.iter().map(same),
            other.entries.iter().map(same),
        );
        self.log_first == other.log_first && here.eq(there)
    }

    /// The index of exactly this file in the chain. Ids may be given again, epochs are not.
    fn find(&self, id: SegmentId, epoch: wal_format::Epoch) -> Option<usize> {
        let same =
            |entry: &ChainEntry| entry.header.segment_id == id && entry.header.epoch == epoch;
        self.entries.iter().position(same)
    }

    /// Appends a segment that was begun since the last refresh. False if its link does not lead to a known segment.
    pub(super) fn go_on(&mut self, header: SegmentHeader, link: &LinkFacts) -> bool {
        let body = &link.body;
        if body.predecessor == SegmentId::NONE {
            // Nothing before it was proven, or everything was dropped. This segment holds what a crash left.
            if !self.is_next(header.segment_id) {
                self.forget_history();
            }
            Arc::make_mut(&mut self.entries).clear();
        } else {
            let Some(at) = self.find(body.predecessor, body.predecessor_epoch) else {
                return false;
            };
            let entries = Arc::make_mut(&mut self.entries);
            entries.truncate(at + 1);
            entries[at].end = Some((body.end_lsn, body.end_offset.get()));
        }
        self.follow(header.segment_id, body);
        Arc::make_mut(&mut self.entries).push(ChainEntry {
            header,
            first_lsn: link.first_lsn,
            histories: link.body.histories.clone(),
            end: None,
        });
        self.log_first = self.log_first.max(body.log_first);
        self.proven = self.proven.max(link.watermark);
        self.seen = header.segment_id;
        true
    }

    /// Removes segments whose files no longer exist from the chain. False if that leaves a hole or an empty chain: if the whole
    /// log was removed, ids begin at 1 again.
    pub(super) fn lose_oldest(&mut self, is_there: impl Fn(SegmentId) -> bool) -> bool {
        let Some(at) = self.ids().position(&is_there) else {
            return self.entries.is_empty();
        };
        if at > 0 {
            Arc::make_mut(&mut self.entries).drain(..at);
            self.log_first = self.log_first.max(self.entries[0].first_lsn);
        }
        self.ids().all(is_there)
    }

    /// Whether no segment can have existed between the newest known one and this id. Ids are given in sequence.
    fn is_next(&self, id: SegmentId) -> bool {
        self.entries.is_empty() || id == self.seen.next()
    }

    /// A new segment's link may say that records were dropped.
    fn follow(&mut self, id: SegmentId, link: &LinkBody) {
        let kept = match link.cause {
            LinkCause::TruncatedAfter => link.kept,
            // It may have replaced the segment that told of a truncation.
            LinkCause::Repaired => link.end_lsn,
            LinkCause::First | LinkCause::Rotated | LinkCause::Reopened | LinkCause::Recovered => {
                return;
            }
        };
        self.eras.begin(kept, id);
        self.proven = self.proven.min(kept);
    }

    /// It is unknown whether the records that were read still belong to the log.
    fn forget_history(&mut self) {
        self.eras.begin(Lsn::ZERO, SegmentId::NONE);
        self.proven = Lsn::ZERO;
    }

    /// Takes the place of `old`, which an earlier refresh found.
    pub(super) fn replaces(&mut self, old: &mut Self, scan: &Scan) {
        self.eras = std::mem::take(&mut old.eras);
        let found = self.proven;
        self.proven = old.proven;
        let known = |link: &ChainLink| {
            let header = &link.facts.header;
            old.find(header.segment_id, header.epoch).is_some()
        };
        let joined = scan.chain.iter().rposition(known).map(|at| at + 1);
        let joined = joined.or_else(|| {
            let bottom = scan.chain.first()?;
            let body = &bottom.link.body;
            let follows = if body.predecessor == SegmentId::NONE {
                old.is_next(bottom.facts.id())
            } else {
                old.find(body.predecessor, body.predecessor_epoch).is_some()
            };
            follows.then_some(0)
        });
        match joined {
            Some(from) => {
                for link in &scan.chain[from..] {
                    self.follow(link.facts.id(), &link.link.body);
                }
            }
            // There was no record to read.
            None if old.entries.is_empty() => {}
            // Readers must be told that the history is unknown.
            None => self.forget_history(),
        }
        self.proven = self.proven.max(found).min(self.end.lsn);
    }
}
