//! The control state that a directory holds, and how late it was when the log was written last.

use wal_format::{Control, Lsn, SegmentId, Version};

use super::scan::Scan;
use super::tail::scan_tail;
use crate::{Result, sabotage};

impl Scan {
    /// Finds the control state: the newest segment's, or that of the last one before it whose table has survived.
    pub(super) fn find_control(&mut self) -> Result<()> {
        self.latest = self.footer.as_ref().map(|it| it.time).unwrap_or_default();
        let mut found = None;
        let mut unread = None;
        for (at, link) in self.chain.iter().enumerate().rev() {
            if link.facts.header.version < Version::V2 {
                break;
            }
            let is_newest = at + 1 == self.chain.len();
            let read = |error| self.io(link.facts.id(), error);
            let footer = match &self.footer {
                Some(footer) if is_newest => Some(footer.clone()),
                _ if link.tail.is_some() => None,
                _ => link.facts.footer().map_err(read)?,
            };
            let tail = match (&footer, &link.tail) {
                (None, None) => {
                    let end = link.end.offset;
                    Some(scan_tail(&link.facts, &link.link, end, &self.location)?)
                }
                _ => None,
            };
            let tail = link.tail.as_ref().or(tail.as_ref());
            let latest = match (&footer, tail) {
                (Some(footer), _) => Some(footer.time),
                (None, tail) => tail.map(|tail| tail.latest),
            };
            self.latest = self.latest.max(latest.unwrap_or_default());
            let said = match footer.and_then(|footer| footer.more) {
                Some(more) => Some((more.control, Lsn::ZERO)),
                None => tail.and_then(|tail| Some((tail.control.clone()?, tail.said_before))),
            };
            // A crash takes the newest segment's table, or what follows it. As long as nothing in that one is proven, it also takes
            // what follows the last record of the one before. Anything else is damage.
            let next = self.chain.get(at + 1).map(|next| next.link.first_lsn);
            let is_loose = next.is_some_and(|first| first > self.proven.watermark);
            let whole = tail.filter(|_| !is_newest).is_none_or(|tail| {
                let all = tail.end == link.end || (is_loose && tail.end.lsn == link.end.lsn);
                all && tail.control.is_some()
            });
            if !whole {
                unread.get_or_insert(link.facts.id());
            }
            if said.is_some() {
                found = said;
                break;
            }
        }
        let is_found = found.is_some();
        (self.control, self.control_before) = found.unwrap_or((Control::default(), Lsn::ZERO));
        mark_lost(&mut self.control, is_found, unread);
        Ok(())
    }
}

/// Marks the state as an older one if newer state may have been in `unread`, and cannot be read. A log whose owner had not set
/// anything by then has none to lose.
pub(super) fn mark_lost(control: &mut Control, is_found: bool, unread: Option<SegmentId>) {
    if let Some(segment) = unread
        && (!is_found || !control.is_unused())
        && !sabotage::is("lost-control-state-not-marked")
    {
        control.mark_lost(segment);
    }
}
