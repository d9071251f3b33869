//! Whether what a reader has seen is still in the log: a cursor names the last record that it has seen, and the record's history.
//!
//! Deliberately absent: where a reader goes on. A cursor that is valid is an LSN to read after.

use std::fmt;
use std::str::FromStr;

use wal_format::{History, LogId, Lsn};

use crate::segment::ChainEntry;
use crate::segment::history_at;
use crate::sync::Arc;
use crate::{Error, Result};

/// The last record that a reader has seen of a log: the log's id, the record's LSN, and the history in which the record was
/// appended.
///
/// Save a cursor instead of an LSN. After a truncation of the newest records, a crash that took records which were already read,
/// or a restored or copied log, an LSN can mean another record. A cursor is valid as long as the log has the record that it names,
/// through any number of restarts, crashes and repairs.
///
/// A cursor is saved as text, with [`Display`](fmt::Display) and [`FromStr`]: `LOG:LSN:HISTORY`, the log's id in 32 hexadecimal
/// digits, the LSN in decimal, the history in 16 hexadecimal digits. With the feature `serde` it is serialized as that text.
///
/// Records of [version 1](crate::FormatVersion::V1) of the format have no history. A cursor of such a record says no more than its
/// LSN: it is valid as long as the log has that LSN in a segment of version 1.
///
/// ```
/// use wal_core::{Cursor, Error, FormatVersion, Lsn, Record, blocking::Wal};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// let wal = Wal::builder(&dir).format_version(FormatVersion::V2).open()?;
/// for n in 1..=5 {
///     wal.append(&Record::data(format!("record {n}")))?;
/// }
/// // A reader has read up to LSN 3, and saves that.
/// let saved: String = wal.cursor(Lsn::new(3))?.to_string();
///
/// // Later it continues. The reader comes first: if the log is truncated after the check, the reader gets the error.
/// let cursor: Cursor = saved.parse()?;
/// let mut reader = wal.follow_from(cursor.lsn().next())?;
/// wal.check_cursor(&cursor)?;
/// let (record, position) = reader.next_record()?.expect("a record");
/// assert_eq!((position.lsn, &record.value[..]), (Lsn::new(4), &b"record 4"[..]));
///
/// // LSN 3 becomes another record.
/// wal.truncate_after(Lsn::new(2))?;
/// wal.append(&Record::data("another record 3"))?;
/// match wal.check_cursor(&cursor) {
///     Err(Error::Truncated { kept: Some(kept), .. }) => assert_eq!(kept, Lsn::new(2)),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    log: LogId,
    lsn: Lsn,
    history: History,
}

impl Cursor {
    pub(crate) const fn new(log: LogId, lsn: Lsn, history: History) -> Self {
        Self { log, lsn, history }
    }

    pub(crate) fn history(&self) -> History {
        self.history
    }

    /// The LSN of the record; [`Lsn::ZERO`] if no record was seen yet. Continue after it, with
    /// [`follow_from(cursor.lsn().next())`](crate::blocking::Wal::follow_from).
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Whether both are cursors of one log. Copies of a log have its id.
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

/// The text is not a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a cursor: a cursor has the form LOG:LSN:HISTORY, with 32 hexadecimal digits, a number, and 16 hexadecimal digits"
)]
pub struct NotACursor(String);

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> std::result::Result<Self, NotACursor> {
        parse(text).ok_or_else(|| NotACursor(text.into()))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Cursor {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
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
        if known {
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
