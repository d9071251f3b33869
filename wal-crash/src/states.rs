//! The control states that a log may have, after the calls in `control`.

use std::collections::BTreeMap;

use wal_core::ControlState;

use crate::oracle::{After, Violation};

/// Where a consumer stands: an LSN and its cursor, which is not known after a truncation has moved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Consumer {
    pub(crate) lsn: u64,
    pub(crate) cursor: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) term: u64,
    pub(crate) consumers: BTreeMap<String, Consumer>,
}

/// What the control state has been since the last open, in the order in which it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct States {
    pub(crate) asked: Vec<State>,
    /// The last one that is durable, and the last one that was handed over.
    pub(crate) acked: usize,
    pub(crate) flushed: usize,
    /// No later one may be acknowledged: the file is gone.
    pub(crate) most: Option<usize>,
    /// The last LSN that the truncation keeps whose state is the last one.
    pub(crate) cut: Option<u64>,
}

impl Default for States {
    fn default() -> Self {
        Self::of(State::default())
    }
}

impl States {
    pub(crate) fn of(state: State) -> Self {
        Self {
            asked: vec![state],
            acked: 0,
            flushed: 0,
            most: None,
            cut: None,
        }
    }

    pub(crate) fn last(&self) -> &State {
        &self.asked[self.asked.len() - 1]
    }

    /// A truncation of all behind `kept` was begun.
    pub(crate) fn ask_cut(&mut self, kept: u64) {
        let mut state = self.last().clone();
        for consumer in state.consumers.values_mut() {
            if consumer.lsn > kept {
                *consumer = Consumer {
                    lsn: kept,
                    cursor: None,
                };
            }
        }
        self.asked.push(state);
        self.cut = Some(kept);
    }

    /// What was asked for last was not done.
    pub(crate) fn refuse(&mut self) {
        self.asked.pop();
        self.cut = None;
    }

    /// All of it is durable.
    pub(crate) fn ack(&mut self) -> Result<(), Violation> {
        let last = self.asked.len() - 1;
        // A truncation with nothing to remove changes nothing.
        let is_later = |most: usize| self.asked[most..].iter().any(|it| *it != self.asked[most]);
        if self.most.is_some_and(is_later) {
            return Err(Violation(
                "control state is called durable whose file is gone".into(),
            ));
        }
        (self.acked, self.flushed, self.cut) = (last, last, None);
        Ok(())
    }

    /// All of it was handed over.
    pub(crate) fn flush(&mut self) {
        self.flushed = self.asked.len() - 1;
    }

    pub(crate) fn forbid(&mut self) {
        self.most = Some(self.asked.len() - 1);
    }

    pub(crate) fn allow(&mut self) {
        self.most = None;
    }

    /// The state that was found in a log that ends at LSN `last`, as one of those that may be there.
    pub(crate) fn find(
        &self,
        found: &ControlState,
        after: After,
        last: u64,
    ) -> Result<usize, Violation> {
        let from = match after {
            After::PowerLoss => self.acked,
            After::Kill => self.flushed.max(self.acked),
            After::Drop => self.asked.len() - 1,
        };
        let at = (from..self.asked.len()).find(|at| self.asked[*at].is(found));
        let is_cut = |at: usize| at + 1 == self.asked.len() && at > from;
        match at {
            Some(at) if is_cut(at) && self.cut.is_some_and(|kept| last > kept) => Err(Violation(
                format!("consumers are moved by a truncation that did not take place: {found:?}"),
            )),
            Some(at) if found.lost.is_none() => Ok(at),
            _ => Err(Violation(format!(
                "the control state is {found:?}, acknowledged were, or asked for later ({after:?}): {:?}",
                &self.asked[from..]
            ))),
        }
    }
}

impl State {
    pub(crate) fn is(&self, found: &ControlState) -> bool {
        self.term == found.term
            && self.consumers.len() == found.consumers.len()
            && self.consumers.iter().all(|(name, consumer)| {
                found.consumers.get(name).is_some_and(|found| {
                    let same = match &consumer.cursor {
                        Some(cursor) => !found.moved && found.at.to_string() == *cursor,
                        None => found.moved,
                    };
                    same && found.at.lsn().get() == consumer.lsn
                })
            })
    }
}
