//! The control state: as it is, and its changes that wait beside the buffer being filled.
//!
//! All changes between two hand-overs share a group, a write and a sync, and an open group of records stays open.

use std::collections::BTreeMap;

use wal_format::{Alignment, Control, ControlChange, GROUP_HEADER_LEN, History, changes_len};

use crate::control::Requested;
use crate::{Error, Result};

/// See the module's head.
#[derive(Debug)]
pub(super) struct Changes {
    control: Control,
    /// The history of records that are appended from now on.
    history: History,
    /// Those that wait for the end of the buffer being filled. The last one of each kind and name counts.
    pending: BTreeMap<(bool, Box<str>), ControlChange>,
    /// Bytes of their entries.
    len: usize,
    /// The buffer that holds the last change.
    serial: u64,
    /// The buffer with the last stamp that proves all before it.
    stamped: u64,
}

impl Changes {
    pub(super) fn new(control: Control, history: History) -> Self {
        Self {
            control,
            history,
            pending: BTreeMap::new(),
            len: 0,
            serial: 0,
            stamped: 0,
        }
    }

    /// The control state, durable or not.
    pub(super) fn control(&self) -> &Control {
        &self.control
    }

    pub(super) fn history(&self) -> History {
        self.history
    }

    /// The log goes on with this state, and with records of this history.
    pub(super) fn replace(&mut self, control: Control, history: History) {
        self.control = control;
        self.history = history;
    }

    pub(super) fn are_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The buffer that holds the last change.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether a stamp proves all changes.
    pub(super) fn are_stamped(&self) -> bool {
        self.stamped >= self.serial
    }

    /// The buffer `serial` gets a stamp.
    pub(super) fn stamp(&mut self, serial: u64) {
        self.stamped = serial;
    }

    /// The buffer `serial` gets what is asked for.
    pub(super) fn apply(&mut self, requested: &Requested, serial: u64) {
        self.serial = serial;
        if requested.is_all {
            self.control = self.with_all(requested);
            return;
        }
        for change in &requested.changes {
            self.control.apply(change);
            self.add(change.clone());
        }
    }

    fn add(&mut self, change: ControlChange) {
        let name = match &change {
            ControlChange::Consumer(name, _) | ControlChange::NoConsumer(name) => Some(name),
            _ => None,
        };
        let key = (name.is_some(), name.cloned().unwrap_or_default());
        self.len += entries_len([&change]);
        if let Some(before) = self.pending.insert(key, change) {
            self.len -= entries_len([&before]);
        }
    }

    pub(super) fn take(&mut self) -> Vec<ControlChange> {
        self.len = 0;
        std::mem::take(&mut self.pending).into_values().collect()
    }

    /// Bytes of file that the pending changes will take.
    pub(super) fn room(&self, alignment: Alignment) -> u64 {
        self.room_with(alignment, 0)
    }

    fn room_with(&self, alignment: Alignment, more: usize) -> u64 {
        match self.len + more {
            0 => 0,
            len => alignment.round_up((GROUP_HEADER_LEN + changes_len([]) + len) as u64),
        }
    }

    /// The same with what is asked for.
    pub(super) fn room_for(&self, requested: &Requested, alignment: Alignment) -> u64 {
        if requested.is_all {
            let table = GROUP_HEADER_LEN + self.with_all(requested).table_len();
            alignment.round_up(table as u64)
        } else {
            self.room_with(alignment, entries_len(&requested.changes))
        }
    }

    /// Bytes of the whole table with what is asked for.
    pub(super) fn table_len_with(&self, requested: &Requested) -> usize {
        if requested.is_all {
            self.with_all(requested).table_len()
        } else {
            self.control.table_len_after(&requested.changes)
        }
    }

    /// The control state with all of it set again.
    fn with_all(&self, requested: &Requested) -> Control {
        let mut control = self.control.clone();
        control.set(0, BTreeMap::new());
        for change in &requested.changes {
            control.apply(change);
        }
        control
    }

    /// Whether files may be removed: not while newer control state than this may have been lost.
    pub(super) fn check_retention(&self, location: impl Fn() -> String) -> Result<()> {
        match self.control.lost() {
            Some(segment_id) => {
                let location = location();
                Err(Error::ControlLost {
                    location,
                    segment_id,
                })
            }
            _ => Ok(()),
        }
    }
}

/// Bytes of the entries of changes.
fn entries_len<'a>(changes: impl IntoIterator<Item = &'a ControlChange>) -> usize {
    changes_len(changes) - changes_len([])
}
