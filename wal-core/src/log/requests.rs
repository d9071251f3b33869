//! A queue of requested truncations, and moves into the reserve, which one thread carries out in order, and their outcomes.

use std::collections::{BTreeMap, VecDeque};

use crate::{Error, Result};

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Requests<T> {
    issued: u64,
    asked: VecDeque<(u64, T)>,
    /// The number of the last one done.
    done: u64,
    /// For callers that still wait.
    failed: BTreeMap<u64, Error>,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Self {
            issued: 0,
            asked: VecDeque::new(),
            done: 0,
            failed: BTreeMap::new(),
        }
    }
}

impl<T> Requests<T> {
    /// A new request; its number.
    pub(super) fn ask(&mut self, what: T) -> u64 {
        self.issued += 1;
        self.asked.push_back((self.issued, what));
        self.issued
    }

    /// The oldest request that was not begun.
    pub(super) fn take(&mut self) -> Option<(u64, T)> {
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
