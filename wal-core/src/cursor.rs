//! Whether what somebody has read is still in the log: a cursor names the last record and who appended it.
//!
//! Deliberately absent: where a reader goes on. A cursor that is valid is an LSN to read after.

use std::fmt;
use std::str::FromStr;

use wal_format::{History, LogId, Lsn};

use crate::log::ChainEntry;
use crate::segment::history_at;
use crate::sync::Arc;
use crate::{Error, Result, sabotage};

/// The last record that somebody has seen of a log: its LSN, and the history in which it was appended.
///
/// An LSN alone is not enough: after a truncation of the newest records, a crash that took records already read, or a continued
/// copy of the log, it can mean another record. Its text form is `LOG:LSN:HISTORY`, log id and history in hexadecimal digits.
/// In logs of version 1 of the format the history is 0, and only the LSN is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    log: LogId,
    lsn: Lsn,
    history: History,
}

impl Cursor {
    /// The LSN of the record; [`Lsn::ZERO`] before the first.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Whether it is a cursor of the same log.
    #[must_use]
    pub fn is_of_same_log(&self, other: &Self) -> bool {
        self.log == other.log
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.log, self.lsn, self.history)
    }
}

/// The text is no cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no cursor: it has the form LOG:LSN:HISTORY, with 32 and 16 hexadecimal digits and a number between them"
)]
pub struct NotACursor(String);

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> std::result::Result<Self, NotACursor> {
        parse(text).ok_or_else(|| NotACursor(text.into()))
    }
}

fn parse(text: &str) -> Option<Cursor> {
    let mut parts = text.split(':');
    let (log, lsn, history) = (parts.next()?, parts.next()?, parts.next()?);
    let hexadecimal = |digits: &str, len| {
        digits.len() == len && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    let is_number = !lsn.is_empty() && lsn.bytes().all(|digit| digit.is_ascii_digit());
    if parts.next().is_some() || !hexadecimal(log, 32) || !hexadecimal(history, 16) || !is_number {
        return None;
    }
    Some(Cursor {
        log: LogId::from_bytes(u128::from_str_radix(log, 16).ok()?.to_be_bytes()),
        lsn: Lsn::new(lsn.parse().ok()?),
        history: History::new(u64::from_str_radix(history, 16).ok()?),
    })
}

/// The id of a log of which no segment is known.
pub(crate) const NO_LOG: LogId = LogId::from_bytes([0; 16]);

/// What is known of a log at one moment.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) log: LogId,
    pub(crate) location: String,
    pub(crate) chain: Arc<Vec<ChainEntry>>,
    pub(crate) first: Lsn,
    pub(crate) last: Lsn,
}

impl Lineage {
    /// The cursor of the record `lsn`, or of the one before the log's first.
    pub(crate) fn cursor(&self, lsn: Lsn) -> Result<Cursor> {
        if lsn > self.last {
            let next = self.last.next();
            return Err(Error::NotAppended { lsn, next });
        }
        if lsn < self.first.prev() {
            return Err(self.removed());
        }
        Ok(Cursor {
            log: self.log,
            lsn,
            history: self.history_of(lsn),
        })
    }

    /// Whether the record is still the one that the cursor names.
    pub(crate) fn check(&self, cursor: &Cursor) -> Result<()> {
        // A directory without a segment is no other log: what was written there was never durable.
        let is_empty = self.chain.is_empty() && self.log == NO_LOG;
        if cursor.log != self.log && !is_empty {
            return Err(Error::OtherLog {
                location: self.location.clone(),
                log: self.log.to_string(),
                cursor: cursor.log.to_string(),
            });
        }
        if cursor.lsn < self.first.prev() {
            return Err(self.removed());
        }
        let known = cursor.lsn <= self.last && self.history_of(cursor.lsn) == cursor.history;
        if known || sabotage::is("cursor-by-its-lsn-alone") {
            return Ok(());
        }
        Err(Error::Truncated {
            first: self.first,
            kept: self.end_of(cursor.history),
        })
    }

    fn removed(&self) -> Error {
        Error::Truncated {
            first: self.first,
            kept: None,
        }
    }

    fn history_of(&self, lsn: Lsn) -> History {
        if lsn == Lsn::ZERO {
            return History::NONE;
        }
        let entry = self.chain.iter().rev().find(|entry| entry.first_lsn <= lsn);
        let entry = entry.or(self.chain.first());
        entry.map_or(History::NONE, |entry| {
            history_at(entry.first_lsn, &entry.histories, lsn)
        })
    }

    /// The last LSN that is left of a history, if the log still names it.
    fn end_of(&self, history: History) -> Option<Lsn> {
        if history == History::NONE {
            return None;
        }
        let mut found = None;
        for (at, entry) in self.chain.iter().enumerate() {
            let next = self.chain.get(at + 1).map(|next| next.first_lsn.prev());
            let end = next.unwrap_or(self.last);
            let mut from = entry.first_lsn;
            if entry.histories.before() == history {
                found = Some(from.prev());
            }
            for stretch in entry.histories.stretches() {
                let to = stretch.to.min(end);
                if stretch.history == history && to >= from {
                    found = Some(to);
                }
                from = from.max(to.next());
            }
        }
        found.filter(|lsn| *lsn >= self.first.prev())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_cursor_is_read_back_and_nothing_else_is() {
        let cursor = Cursor {
            log: LogId::from_bytes([0xA7; 16]),
            lsn: Lsn::new(42),
            history: History::new(0xFFEE),
        };
        let text = cursor.to_string();
        assert_eq!(text, format!("{}:42:000000000000ffee", "a7".repeat(16)));
        assert_eq!(text.parse(), Ok(cursor));
        for wrong in [
            "",
            "::",
            &text[1..],
            &format!("{text}:"),
            &text.replace(":42:", ":+42:"),
            &text.replace(":42:", "::"),
            &text.replace(":42:", ":99999999999999999999:"),
            &text.replace("ffee", "ffeg"),
            &text.replace("000000000000", "+00000000000"),
        ] {
            let error = wrong.parse::<Cursor>().expect_err(wrong);
            assert!(error.to_string().contains("LOG:LSN:HISTORY"), "{error}");
        }
    }
}
