//! Cursors that somebody has saved: valid as long as the log has the record that they name, and not a moment longer.

use std::collections::BTreeMap;

use wal_core::blocking::Wal;
use wal_core::{Error, Lsn};

use crate::oracle::{Violation, fail_if};
use crate::runner::Runner;

/// Cursors that are kept at a time.
const MOST: usize = 48;
/// Values shorter than this are not told apart.
const TOLD_APART: usize = 8;

impl Runner {
    /// Saves cursors of the newest records, durable or not, and of some older ones. Reads no file.
    pub(crate) fn save_cursors(&mut self, wal: &Wal) {
        let last = wal.last_lsn().get();
        for lsn in [last, last / 2]
            .into_iter()
            .chain(last.saturating_sub(5)..last)
        {
            let Some(value) = self
                .oracle
                .value(lsn)
                .filter(|value| value.len() >= TOLD_APART)
            else {
                continue;
            };
            let known = self.cursors.0.iter().any(|(_, saved)| saved == value);
            let Ok(cursor) = wal.cursor(Lsn::new(lsn)) else {
                continue;
            };
            // Records of version 1 have no history.
            let is_known_by_more = !cursor.to_string().ends_with(":0000000000000000");
            if !known && is_known_by_more {
                let value = value.to_vec();
                // Saved as text, as somebody would who saves them in a file.
                if let Ok(cursor) = cursor.to_string().parse() {
                    self.cursors.0.push((cursor, value));
                }
            }
        }
        let surplus = self.cursors.0.len().saturating_sub(MOST);
        self.cursors.0.drain(..surplus);
    }

    /// Asks the log about all of them; `read` is what it holds.
    pub(crate) fn check_cursors(
        &mut self,
        wal: &Wal,
        read: &BTreeMap<u64, Vec<u8>>,
    ) -> Result<(), Violation> {
        let first = wal.first_lsn().get();
        for (cursor, value) in &self.cursors.0 {
            let lsn = cursor.lsn().get();
            // What was removed from the front cannot be compared.
            let is_there = match read.get(&lsn) {
                _ if lsn + 1 == first => continue,
                Some(found) => found == value,
                None => false,
            };
            match wal.check_cursor(cursor) {
                Ok(()) if is_there => {}
                Err(Error::Truncated { kept, .. }) if !is_there => {
                    fail_if!(
                        kept.is_some_and(|kept| kept.get() >= lsn),
                        "the cursor {cursor} is cut at {kept:?}, which is not before it"
                    );
                }
                // Nothing of it was left, and a new log was begun.
                Err(Error::OtherLog { .. }) if !is_there => {}
                Err(error) if self.excused(&error) => return Ok(()),
                other => {
                    return Err(Violation(format!(
                        "the cursor {cursor}, whose record is {}in the log, gives {other:?}",
                        if is_there { "" } else { "not " }
                    )));
                }
            }
            self.outcome.cursors += 1;
            self.outcome.cursors_cut += u64::from(!is_there);
        }
        Ok(())
    }
}
