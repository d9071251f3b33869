//! What must be in the log: a plain vector of records, and how far they were acknowledged.

use std::fmt;

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// One record that was submitted.
#[derive(Clone, Debug)]
struct Submitted {
    value: Vec<u8>,
    /// The last of its batch.
    ends_batch: bool,
}

/// The reference model. Record n has LSN n + 1.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    records: Vec<Submitted>,
    made: u64,
    /// Highest LSN acknowledged durable.
    acked: u64,
    /// Highest LSN acknowledged as handed over.
    flushed: u64,
    /// First LSN by the last truncation that returned Ok.
    first_acked: u64,
    /// First LSN by the last truncation that was begun.
    first_asked: u64,
}

impl Oracle {
    /// Nothing was appended.
    #[must_use]
    pub fn new() -> Self {
        Self {
            first_acked: 1,
            first_asked: 1,
            ..Self::default()
        }
    }

    /// A value that no other record has.
    pub fn make(&mut self, len: u32) -> Vec<u8> {
        self.made += 1;
        let stamp = self.made.to_le_bytes();
        let mut value: Vec<u8> = stamp.iter().copied().cycle().take(len as usize).collect();
        if value.len() < stamp.len() {
            // Short records, also empty ones, must work; they are told apart by their neighbours.
            return value;
        }
        value[8..]
            .iter_mut()
            .for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(7));
        value
    }

    /// The last LSN submitted.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.records.len() as u64
    }

    /// The highest LSN acknowledged durable.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// The lowest LSN that may be asked for.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first_asked
    }

    /// Records of one batch may be in the log from now on.
    pub fn submit(&mut self, values: Vec<Vec<u8>>) {
        let count = values.len();
        let records = values.into_iter().enumerate();
        self.records.extend(records.map(|(at, value)| Submitted {
            value,
            ends_batch: at + 1 == count,
        }));
    }

    /// Everything up to `lsn` was acknowledged durable.
    ///
    /// # Errors
    /// That many records were never submitted.
    pub fn ack(&mut self, lsn: u64) -> Result<(), Violation> {
        if lsn > self.last() {
            return Err(Violation(format!(
                "LSN {lsn} is called durable, only {} were appended",
                self.last()
            )));
        }
        self.acked = self.acked.max(lsn);
        self.flushed = self.flushed.max(lsn);
        Ok(())
    }

    /// Everything up to `lsn` was handed over.
    pub fn flush(&mut self, lsn: u64) {
        self.flushed = self.flushed.max(lsn);
    }

    /// A truncation to `first` was begun.
    pub fn ask_truncate(&mut self, first: u64) {
        self.first_asked = self.first_asked.max(first);
    }

    /// It returned Ok.
    pub fn ack_truncate(&mut self, first: u64) {
        self.first_acked = self.first_acked.max(first);
    }

    /// Compares a record that was read.
    ///
    /// # Errors
    /// It is not the one that was submitted there.
    pub fn check_record(&self, lsn: u64, value: &[u8]) -> Result<(), Violation> {
        let submitted = lsn
            .checked_sub(1)
            .and_then(|at| self.records.get(at as usize));
        match submitted {
            None => Err(Violation(format!(
                "LSN {lsn} was invented: only {} were appended",
                self.last()
            ))),
            Some(submitted) if submitted.value != value => Err(Violation(format!(
                "LSN {lsn} has other bytes than were appended"
            ))),
            Some(_) => Ok(()),
        }
    }

    /// Checks the extent of the log after an open.
    ///
    /// # Errors
    /// A broken promise: something acknowledged is missing, a batch is torn, something truncated is back.
    pub fn check_extent(&self, first: u64, last: u64, after: After) -> Result<(), Violation> {
        let must = match after {
            After::PowerLoss => self.acked,
            After::Kill => self.flushed,
            After::Drop => self.last(),
        };
        if last < must {
            return Err(Violation(format!(
                "the log ends at LSN {last}, but {must} were acknowledged ({after:?})"
            )));
        }
        if last > self.last() {
            return Err(Violation(format!(
                "the log ends at LSN {last}, only {} were appended",
                self.last()
            )));
        }
        if last > 0 && !self.records[last as usize - 1].ends_batch {
            return Err(Violation(format!(
                "the log ends at LSN {last}, inside a batch"
            )));
        }
        if first < self.first_acked {
            return Err(Violation(format!(
                "the log starts at LSN {first}, it was truncated to {}",
                self.first_acked
            )));
        }
        if first > self.first_asked.min(last + 1) {
            return Err(Violation(format!(
                "the log starts at LSN {first}, {} was asked for",
                self.first_asked
            )));
        }
        Ok(())
    }

    /// What an open has shown stays: the next records follow it.
    pub fn settle(&mut self, first: u64, last: u64) {
        self.records.truncate(last as usize);
        self.acked = last;
        self.flushed = last;
        self.first_acked = first;
        self.first_asked = first;
    }
}

/// What the log lived through since it was last open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The machine lost power.
    PowerLoss,
    /// The process was killed, or gave up after an error.
    Kill,
    /// The handle was dropped or closed.
    Drop,
}
