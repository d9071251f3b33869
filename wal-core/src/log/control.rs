//! Changes of the control state: they enter under the lock, wait beside the buffer being filled, and go into one group at its end.
//!
//! So all changes between two hand-overs share a group, a write and a sync, and an open group of records stays open. Deliberately
//! absent: what becomes of the state when the log is opened (see [`crate::recovery`]).

use std::collections::BTreeMap;

use wal_format::{Alignment, Control, ControlChange, GROUP_HEADER_LEN, Lsn, Version, changes_len};

use super::entrant::Entrant;
use super::state::State;
use super::{Engine, Goal};
use crate::control::{ControlState, Requested};
use crate::shell::Shell;
use crate::{Error, FsyncPolicy, Result, sabotage};

/// Changes that wait for the end of the buffer being filled. The last one of each kind and name counts.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    changes: BTreeMap<(bool, Box<str>), ControlChange>,
    /// Bytes of their entries.
    len: usize,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn room(&self, alignment: Alignment, more: usize) -> u64 {
        match self.len + more {
            0 => 0,
            len => alignment.round_up((GROUP_HEADER_LEN + changes_len([]) + len) as u64),
        }
    }

    fn add(&mut self, change: ControlChange) {
        let name = match &change {
            ControlChange::Consumer(name, _) | ControlChange::NoConsumer(name) => Some(name),
            _ => None,
        };
        let key = (name.is_some(), name.cloned().unwrap_or_default());
        self.len += entries_len(&[&change]);
        if let Some(before) = self.changes.insert(key, change) {
            self.len -= entries_len(&[&before]);
        }
    }

    fn take(&mut self) -> Vec<ControlChange> {
        self.len = 0;
        std::mem::take(&mut self.changes).into_values().collect()
    }
}

/// Bytes of the entries of changes.
fn entries_len(changes: &[&ControlChange]) -> usize {
    changes_len(changes.iter().copied()) - changes_len([])
}

impl Requested {
    /// Bytes of the entries.
    fn len(&self) -> usize {
        changes_len(&self.changes) - changes_len([])
    }

    /// Bytes that it adds to the buffer at the most.
    pub(super) fn bytes(&self) -> usize {
        GROUP_HEADER_LEN + changes_len(&self.changes)
    }
}

impl State {
    /// Whether the buffer being filled holds nothing, and nothing waits beside it.
    pub(super) fn is_filling_empty(&self) -> bool {
        self.filling.is_empty() && self.changes.is_empty()
    }

    /// Bytes of file that the changes beside the buffer will take.
    pub(super) fn room_for_changes(&self, alignment: Alignment) -> u64 {
        self.changes.room(alignment, 0)
    }

    /// Where the buffer would end in the file with what is asked for.
    pub(super) fn end_with(&self, requested: &Requested, alignment: Alignment) -> u64 {
        let room = if requested.is_all {
            let table = GROUP_HEADER_LEN + self.with_all(requested).table_len();
            alignment.round_up(table as u64)
        } else {
            self.changes.room(alignment, requested.len())
        };
        self.filling.end().get() + room
    }

    /// The changes that wait become the last group of the buffer.
    pub(super) fn write_changes(&mut self, watermark: Lsn) {
        if self.changes.is_empty() {
            return;
        }
        self.filling.close_group(watermark);
        self.filling.set_time(self.dates.now());
        let changes = self.changes.take();
        self.filling.change(&changes, watermark);
        self.filling_watermark = watermark;
    }

    /// Whether a sync has covered all that has entered.
    pub(super) fn is_all_synced(&self) -> bool {
        self.nothing_to_write() && self.written_serial == self.synced_serial
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
            Some(segment_id) if !sabotage::is("retention-without-the-control-state") => {
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

impl Engine {
    /// The control state, durable or not.
    pub(crate) fn control(&self) -> Result<ControlState> {
        let state = self.state();
        Self::check_poison(&state)?;
        Ok(ControlState::of(state.log_id, &state.control))
    }

    /// Makes the changes, all or none, in one group; returns when they are as durable as the policy promises.
    pub(crate) async fn change_control(&self, requested: &Requested, shell: Shell) -> Result<()> {
        let version = self.settings.version;
        if version < Version::V2 {
            return Err(Error::OldVersion {
                location: self.location(),
                what: "control state",
                version: version.get(),
                needed: Version::V2.get(),
            });
        }
        let (len, limit) = (changes_len(&requested.changes), self.settings.batch_limit);
        if len as u64 > limit {
            return Err(Error::TooLarge {
                what: "list of changes",
                len: len as u64,
                limit,
                advice: "make the changes in several calls",
            });
        }
        if requested.changes.is_empty() {
            return Self::check_open(&self.state());
        }
        self.enter(Entrant::Control(requested), shell).await?;
        if self.settings.config.fsync_policy != FsyncPolicy::Always
            || sabotage::is("control-acknowledged-before-it-is-durable")
        {
            return Ok(());
        }
        self.sync_control(shell).await
    }

    /// Returns when all changes so far are on stable storage.
    pub(super) async fn sync_control(&self, shell: Shell) -> Result<()> {
        let serial = self.state().control_serial;
        self.reach(Goal::Synced, serial, shell).await
    }

    /// Whether the log can take what is asked for as it is now.
    pub(super) fn check_change(&self, state: &State, requested: &Requested) -> Result<()> {
        if !requested.is_all {
            state.check_retention(|| self.location())?;
        }
        let mut term = state.control.term();
        for change in &requested.changes {
            match change {
                ControlChange::Term(to) if *to < term => {
                    return Err(Error::InvalidControl {
                        what: format!("the term would go down from {term} to {to}"),
                    });
                }
                ControlChange::Term(to) => term = *to,
                _ => {}
            }
        }
        let (lineage, durable) = (self.lineage_of(state), state.durable.lsn);
        for cursor in &requested.cursors {
            lineage.check(cursor)?;
            if cursor.lsn() > durable {
                return Err(Error::NotDurable {
                    lsn: cursor.lsn(),
                    durable,
                });
            }
        }
        let len = if requested.is_all {
            state.with_all(requested).table_len()
        } else {
            state.control.table_len_after(&requested.changes)
        };
        let next = self.settings.layout().control_limit();
        let active = state.active.as_ref().map(|active| &active.segment.header);
        let limit = active.map_or(next, |header| header.layout().control_limit().min(next));
        // What makes it shorter is always possible.
        if len as u64 > limit && len > state.control.table_len() {
            return Err(Error::TooLarge {
                what: "table of the control state",
                len: len as u64,
                limit,
                advice: "remove consumers, or raise max_segment_size",
            });
        }
        Ok(())
    }

    /// There is room, and the changes were checked.
    pub(super) fn push_control(&self, state: &mut State, requested: &Requested) {
        if requested.is_all {
            state.date_group(&*self.clock);
            let watermark = state.durable.lsn;
            state.control = state.with_all(requested);
            state.filling.set_time(state.dates.now());
            state.filling.control(&state.control, watermark);
            state.filling_watermark = watermark;
        } else {
            for change in &requested.changes {
                state.control.apply(change);
                state.changes.add(change.clone());
            }
        }
        state.last_append = self.clock.monotonic();
        state.filling_since.get_or_insert(state.last_append);
        state.control_serial = state.filling_serial;
    }
}
