//! The control state that a directory holds, and how late it was when the log was written last.

use std::collections::BTreeMap;

use wal_format::{Control, Lsn, SegmentId, UnixMillis, Version};

use super::scan::Scan;
use super::tail::ChainLink;
use super::tail::{GroupEnd, scan_tail};
use crate::Result;
use crate::segment::SegmentFacts;

impl Scan {
    /// Finds the control state: the newest segment's, or that of the last one before it whose table has survived.
    pub(super) fn find_control(
        &mut self,
        segments: &BTreeMap<SegmentId, SegmentFacts>,
    ) -> Result<()> {
        self.latest = self.footer.as_ref().map(|it| it.time).unwrap_or_default();
        let mut found = None;
        let mut unread = None;
        // A segment may hold the state and no record that the log still has. It is not on the chain then.
        let mut before = None;
        let mut next: Option<&ChainLink> = None;
        let mut links = self.chain.iter().rev();
        while let Some(link) = links.next() {
            if link.facts.header.version < Version::V2 {
                break;
            }
            let said = self.said_by(link, next)?;
            self.latest = self.latest.max(said.latest);
            if !said.is_whole {
                unread.get_or_insert(link.facts.id());
            }
            if said.control.is_some() {
                found = said.control;
                break;
            }
            if links.len() == 0 {
                before = predecessor(link, segments);
            }
            next = Some(link);
        }
        while let Some(link) = before.filter(|_| found.is_none()) {
            let said = self.said_by(&link, next)?;
            if !said.is_whole {
                unread.get_or_insert(link.facts.id());
            }
            // It goes when a copy has the state.
            found = said.control.map(|(control, _)| (control, Lsn::MAX));
            before = predecessor(&link, segments);
        }
        let is_found = found.is_some();
        (self.control, self.control_before) = found.unwrap_or((Control::default(), Lsn::ZERO));
        mark_lost(&mut self.control, is_found, unread);
        Ok(())
    }

    /// What a segment says at its end; `next` follows it.
    fn said_by(&self, link: &ChainLink, next: Option<&ChainLink>) -> Result<Said> {
        let read = |error| self.io(link.facts.id(), error);
        let footer = match &self.footer {
            Some(footer) if next.is_none() => Some(footer.clone()),
            _ if link.tail.is_some() => None,
            _ => link.facts.footer().map_err(read)?,
        };
        let tail = match (&footer, &link.tail) {
            // What the log takes from it may end before its last change.
            (None, None) => {
                let len = link.facts.len;
                Some(scan_tail(&link.facts, &link.link, len, &self.location)?)
            }
            _ => None,
        };
        let tail = link.tail.as_ref().or(tail.as_ref());
        let latest = match (&footer, tail) {
            (Some(footer), _) => Some(footer.time),
            (None, tail) => tail.map(|tail| tail.latest),
        };
        let control = match footer.and_then(|footer| footer.more) {
            Some(more) => Some((more.control, Lsn::ZERO)),
            None => tail.and_then(|tail| Some((tail.control.clone()?, tail.said_before))),
        };
        // A crash takes the newest segment's table, or what follows it. As long as nothing in that one is proven, it also takes
        // what follows the last record of the one before. Anything else is damage.
        let is_loose = next.is_some_and(|next| next.link.first_lsn > self.proven.watermark);
        let is_whole = tail.filter(|_| next.is_some()).is_none_or(|tail| {
            let all =
                tail.end.offset >= link.end.offset || (is_loose && tail.end.lsn == link.end.lsn);
            all && tail.control.is_some()
        });
        Ok(Said {
            control,
            is_whole,
            latest: latest.unwrap_or_default(),
        })
    }
}

/// What one segment says.
struct Said {
    /// The control state at its end, and the record as which it is as durable.
    control: Option<(Control, Lsn)>,
    /// No damage has taken a part of that.
    is_whole: bool,
    latest: UnixMillis,
}

/// The segment that `link` follows, if it is there.
fn predecessor(
    link: &ChainLink,
    segments: &BTreeMap<SegmentId, SegmentFacts>,
) -> Option<ChainLink> {
    let body = &link.link.body;
    let facts = segments.get(&body.predecessor)?;
    let header = &facts.header;
    if header.epoch != body.predecessor_epoch || header.version < Version::V2 {
        return None;
    }
    Some(ChainLink {
        facts: facts.clone(),
        link: facts.link.clone().ok()?,
        end: GroupEnd {
            lsn: body.end_lsn,
            offset: body.end_offset.get(),
            digest: body.end_digest,
        },
        tail: None,
    })
}

/// Marks the state as an older one if newer state may have been in `unread`, and cannot be read. A log whose owner had not set
/// anything by then has none to lose.
pub(super) fn mark_lost(control: &mut Control, is_found: bool, unread: Option<SegmentId>) {
    if let Some(segment) = unread
        && (!is_found || !control.is_unused())
    {
        control.mark_lost(segment);
    }
}
