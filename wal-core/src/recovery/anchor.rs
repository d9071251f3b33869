//! What of a log is proven durable, and so where the next segment goes on.

use wal_format::{Lsn, Origin};

use super::scan::Scan;
use super::tail::{GroupEnd, find_end};
use crate::Result;

impl Scan {
    /// Whether the newest segment of the chain lives in the reserve, and all of it is copied.
    pub(crate) fn leaves_reserve(&self) -> bool {
        let newest = self.chain.last();
        self.kept + 1 == self.chain.len()
            && newest.is_some_and(|link| link.facts.header.origin == Origin::Reserve)
            && !self.settled
    }

    /// How many segments of the chain hold anything proven: the last of them is what a new segment follows. A link by itself
    /// proves nothing, also not its own segment, unless it was there before the name.
    fn proven_segments(&self) -> usize {
        let proven = self.proven.watermark;
        let closed = self.footer.is_some();
        let count = self.chain.len();
        let last = self.chain.iter().enumerate().rposition(|(at, link)| {
            link.facts.header.origin.is_whole()
                || link.link.first_lsn <= proven
                || (closed && at + 1 == count)
        });
        last.map_or(0, |at| at + 1)
    }

    /// Whether the log's first LSN survives the next crash as well.
    fn first_is_proven(&self) -> bool {
        let newest = self.chain.last().and_then(|link| link.tail.as_ref());
        // What a truncation said may be lost again: it goes into the copy.
        // Without a scan there is a footer, or this is not the newest segment's own word.
        self.footer.is_some()
            // A name is durable by now, or made so before anything rests on it.
            || self.log_first == self.listing.first()
            || newest.is_none_or(|tail| tail.said_before <= self.proven.watermark)
    }

    /// The same for the control state.
    fn control_is_proven(&self) -> bool {
        self.control_before <= self.proven.watermark
    }

    /// The log's first LSN as far as the newest segment says it for good.
    pub(crate) fn recorded_first(&self) -> Lsn {
        if let Some(footer) = &self.footer {
            return footer.log_first;
        }
        let newest = self.chain.last().and_then(|link| link.tail.as_ref());
        let recorded = newest.filter(|tail| tail.said_before <= self.proven.watermark);
        recorded.map_or(Lsn::FIRST, |tail| tail.log_first)
    }

    /// Finds the place behind which the next segment goes on, and whether the records behind it must be copied first.
    pub(super) fn find_anchor(&mut self) -> Result<()> {
        // What is shown after an open must survive the next crash: it is copied first.
        self.kept = self.proven_segments();
        let Some(oldest) = self.chain.first() else {
            return Ok(());
        };
        // What a truncation has removed needs no proof.
        let proven = self
            .proven
            .watermark
            .max(oldest.link.body.end_lsn)
            .min(self.end());
        self.settled = proven == self.end() && self.first_is_proven() && self.control_is_proven();
        let Some(link) = self.kept.checked_sub(1).map(|at| &self.chain[at]) else {
            self.anchor = GroupEnd {
                lsn: proven,
                offset: wal_format::HEADER_LEN,
                digest: 0,
            };
            return Ok(());
        };
        if self.kept == self.chain.len() && link.facts.header.origin == Origin::Reserve {
            // All of it is copied, so that its file becomes the reserve again.
            let body = &link.link.body;
            let before = self.kept.checked_sub(2).map(|at| self.chain[at].end);
            self.anchor = before.unwrap_or(GroupEnd {
                lsn: body.end_lsn,
                offset: body.end_offset.get(),
                digest: body.end_digest,
            });
            self.kept -= 1;
            self.settled = false;
            return Ok(());
        }
        let closed = self.footer.is_some() && self.kept == self.chain.len();
        let found = link.tail.as_ref().and_then(|tail| tail.end_of(proven));
        self.anchor = match found {
            // The footer was written behind all of it.
            _ if closed => link.end,
            Some(end) => end,
            // All of it is proven: where it ends, the next segment's link says. Damage before that is for whoever reads it.
            None if proven >= link.end.lsn => link.end,
            None => {
                find_end(&link.facts, proven, link.end.offset, &self.location)?.unwrap_or(link.end)
            }
        };
        Ok(())
    }
}
