//! The control state as callers see it: a term and consumers. It belongs to the log and has no history.
//!
//! Deliberately absent: the log's first LSN and replaced segments, which are the log's own business.

use std::collections::BTreeMap;

use wal_format::{Control, LogId, MOST_NAME, SegmentId};

use crate::{Cursor, Error, Result};

/// A change of the control state.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlChange {
    /// The term. It never goes down.
    Term(u64),
    /// A consumer is new, or has seen all up to and including this record.
    Consumer {
        /// 1 to 64 bytes.
        name: String,
        /// The last record that it has seen.
        at: Cursor,
    },
    /// A consumer is removed, if there is one with this name.
    NoConsumer {
        /// Its name.
        name: String,
    },
}

/// Where a consumer stands.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerState {
    /// The last record that it has seen.
    pub at: Cursor,
    /// A truncation has moved it back since it was set.
    pub moved: bool,
}

/// The control state.
#[doc(hidden)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlState {
    /// The term; 0 if none was set.
    pub term: u64,
    /// The consumers by name.
    pub consumers: BTreeMap<String, ConsumerState>,
    /// The segment whose newer state could not be read, if this is only an older one. Then retention stops until
    /// [`set_control`](crate::blocking::Wal::set_control).
    pub lost: Option<SegmentId>,
}

impl ControlState {
    pub(crate) fn of(log: LogId, control: &Control) -> Self {
        let consumers = control.consumers().iter().map(|(name, consumer)| {
            let state = ConsumerState {
                at: Cursor::new(log, consumer.lsn, consumer.history),
                moved: consumer.moved,
            };
            (name.to_string(), state)
        });
        Self {
            term: control.term(),
            consumers: consumers.collect(),
            lost: control.lost(),
        }
    }
}

/// What a call asks for.
#[derive(Clone, Debug)]
pub(crate) struct Requested {
    pub(crate) changes: Vec<wal_format::ControlChange>,
    /// The cursors of the consumers in it.
    pub(crate) cursors: Vec<Cursor>,
    /// They are the whole state, instead of all that was set before.
    pub(crate) is_all: bool,
}

impl Requested {
    /// Checks what does not depend on the log.
    pub(crate) fn new(changes: &[ControlChange], is_all: bool) -> Result<Self> {
        let mut requested = Self {
            changes: Vec::with_capacity(changes.len()),
            cursors: Vec::new(),
            is_all,
        };
        for change in changes {
            let change = match change {
                ControlChange::Term(term) => wal_format::ControlChange::Term(*term),
                ControlChange::Consumer { name, at } => {
                    requested.cursors.push(*at);
                    let consumer = wal_format::Consumer {
                        lsn: at.lsn(),
                        history: at.history(),
                        moved: false,
                    };
                    wal_format::ControlChange::Consumer(checked(name)?, consumer)
                }
                ControlChange::NoConsumer { name } => {
                    wal_format::ControlChange::NoConsumer(checked(name)?)
                }
            };
            requested.changes.push(change);
        }
        Ok(requested)
    }
}

impl Requested {
    /// All of the state.
    pub(crate) fn all(term: u64, consumers: &[(String, Cursor)]) -> Result<Self> {
        let consumers = consumers.iter().map(|(name, at)| ControlChange::Consumer {
            name: name.clone(),
            at: *at,
        });
        let changes: Vec<_> = [ControlChange::Term(term)]
            .into_iter()
            .chain(consumers)
            .collect();
        Self::new(&changes, true)
    }
}

fn checked(name: &str) -> Result<Box<str>> {
    if (1..=MOST_NAME).contains(&name.len()) {
        return Ok(name.into());
    }
    Err(Error::InvalidControl {
        what: format!(
            "a consumer's name has {} bytes, it may have 1 to {MOST_NAME}",
            name.len()
        ),
    })
}
