//! The control state that a directory holds, and how late it was when the log was written last.

use wal_format::Version;

use super::scan::Scan;
use super::tail::scan_tail;
use crate::Result;

impl Scan {
    /// Finds the control state: the newest segment's, or that of the last one before it whose table has survived.
    pub(super) fn find_control(&mut self) -> Result<()> {
        self.latest = self.footer.as_ref().map(|it| it.time).unwrap_or_default();
        for (at, link) in self.chain.iter().enumerate().rev() {
            if link.facts.header.version < Version::V2 {
                break;
            }
            let read = |error| self.io(link.facts.id(), error);
            let footer = match &self.footer {
                Some(footer) if at + 1 == self.chain.len() => Some(footer.clone()),
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
            let said = footer
                .and_then(|footer| footer.more)
                .map(|more| more.control);
            let said = said.or_else(|| tail.and_then(|tail| tail.control.clone()));
            if let Some(control) = said {
                self.control = control;
                break;
            }
        }
        Ok(())
    }
}
