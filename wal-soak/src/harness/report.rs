//! What a process under test tells the one that watches it: lines on its standard output, each at once, so that a kill loses at
//! most the line being written.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// A number that has a row in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The key of the row.
    pub key: String,
    /// The number; times in microseconds.
    pub value: u64,
    /// The most that it may be; `None` if it is only shown.
    pub limit: Option<u64>,
    /// What else is worth knowing.
    pub note: String,
}

/// How near a number is to its bound, or how large it is where there is none.
pub(super) fn badness(value: u64, limit: Option<u64>) -> u128 {
    let value = u128::from(value) << 32;
    limit.map_or(value, |limit| value / u128::from(limit.max(1)))
}

/// One line, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It has opened and checked what it found; the load begins.
    Ready,
    /// A measurement, the worst of this process so far.
    Measured(Measured),
    /// So much more of what a row counts.
    Counted(String, u64),
    /// The directory may take this many bytes now.
    Bound(u64),
    /// A promise is broken.
    Broken(String),
}

impl Event {
    /// A whole line as an event; `None` for anything else.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// Tells it to the process that watches.
    pub fn tell(&self) {
        let mut out = std::io::stdout().lock();
        // If nobody listens, nobody is told.
        let _ = out.write_all(self.line().as_bytes());
        let _ = out.flush();
    }

    fn line(&self) -> String {
        format!("{}\n", serde_json::json!(self))
    }
}

/// Measurements of one process, from all of its threads; only what is worse than before is told.
#[derive(Debug, Default)]
pub struct Gauges(Mutex<HashMap<&'static str, u128>>);

impl Gauges {
    /// Something that must be at most `limit`.
    pub fn bound(&self, key: &'static str, value: u64, limit: u64, note: impl FnOnce() -> String) {
        self.take(key, value, Some(limit), note);
    }

    /// Something that is only shown.
    pub fn note(&self, key: &'static str, value: u64, note: impl FnOnce() -> String) {
        self.take(key, value, None, note);
    }

    fn take(
        &self,
        key: &'static str,
        value: u64,
        limit: Option<u64>,
        note: impl FnOnce() -> String,
    ) {
        let part = badness(value, limit);
        let mut worst = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if worst.get(key).is_some_and(|known| part <= *known) {
            return;
        }
        worst.insert(key, part);
        drop(worst);
        Event::Measured(Measured {
            key: key.to_owned(),
            value,
            limit,
            note: note().replace('\n', " "),
        })
        .tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_told() {
        let measured = |limit, note: &str| {
            let note = note.to_owned();
            Event::Measured(Measured {
                key: "disk".into(),
                value: 7,
                limit,
                note,
            })
        };
        for event in [
            Event::Ready,
            measured(Some(9), "during a snapshot"),
            measured(None, ""),
            Event::Counted("kills".into(), 3),
            Event::Bound(1 << 40),
            Event::Broken("a key came back".into()),
        ] {
            let line = event.line();
            assert_eq!(Event::parse(line.trim_end_matches('\n')), Some(event));
        }
    }

    #[test]
    fn a_line_that_a_kill_has_cut_short_tells_nothing() {
        let line = Event::Counted("kills".into(), 3).line();
        assert_eq!(Event::parse(&line[..9]), None);
        assert_eq!(Event::parse("thread main panicked"), None);
    }
}
