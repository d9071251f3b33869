//! A queue of requested truncations, which one thread carries out in order, and their outcomes.

use std::collections::{BTreeMap, VecDeque};

use wal_format::Lsn;

use crate::{Error, Result};

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    issued: u64,
    asked: VecDeque<(u64, Lsn)>,
    /// The number of the last one done.
    done: u64,
    /// For callers that still wait.
    failed: BTreeMap<u64, Error>,
}

impl Requests {
    /// A new request; its number.
    pub(super) fn ask(&mut self, lsn: Lsn) -> u64 {
        self.issued += 1;
        self.asked.push_back((self.issued, lsn));
        self.issued
    }

    /// The oldest request that was not begun.
    pub(super) fn take(&mut self) -> Option<(u64, Lsn)> {
        self.asked.pop_front()
    }

    pub(super) fn finish(&mut self, number: u64, outcome: Result<()>) {
        self.done = number;
        if let Err(error) = outcome {
            self.failed.insert(number, error);
        }
    }

    /// The outcome is read once or not at all.
    pub(super) fn take_error(&mut self, number: u64) -> Option<Error> {
        self.failed.remove(&number)
    }

    pub(super) fn is_done(&self, number: u64) -> bool {
        self.done >= number
    }

    /// The number of the last request that was not begun.
    pub(super) fn asked(&self) -> Option<u64> {
        self.asked.back().map(|(number, _)| *number)
    }

    /// No further request is carried out.
    pub(super) fn clear(&mut self) {
        self.asked.clear();
    }
}
