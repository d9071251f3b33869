//! Changes of the control state: they enter under the lock, and wait beside the buffer being filled (see [`super::changes`]).
//!
//! Deliberately absent: what becomes of the state when the log is opened (see [`crate::recovery`]).

use wal_format::{ControlChange, GROUP_HEADER_LEN, Version, changes_len};

use super::engine::Engine;
use super::entrant::Entrant;
use super::state::State;
use super::waiters::Goal;
use crate::control::{ControlState, Requested};
use crate::shell::Shell;
use crate::{Error, FsyncPolicy, Result};

impl Requested {
    /// Bytes that it adds to the buffer at the most.
    pub(super) fn bytes(&self) -> usize {
        GROUP_HEADER_LEN + changes_len(&self.changes)
    }
}

impl Engine {
    /// The control state, durable or not.
    pub(crate) fn control(&self) -> Result<ControlState> {
        let state = self.look();
        state.life.check_poison()?;
        Ok(ControlState::of(
            state.segments.log_id(),
            state.changes.control(),
        ))
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
            return self.look().life.check_open();
        }
        self.enter(Entrant::Control(requested), shell).await?;
        if self.settings.config.fsync_policy != FsyncPolicy::Always {
            return Ok(());
        }
        self.sync_control(shell).await
    }

    /// Returns when all changes so far are on stable storage.
    pub(super) async fn sync_control(&self, shell: Shell) -> Result<()> {
        let serial = self.look().changes.serial();
        self.reach(Goal::Synced, serial, shell).await
    }

    /// Whether the log can take what is asked for as it is now.
    pub(super) fn check_change(&self, state: &State, requested: &Requested) -> Result<()> {
        if !requested.is_all {
            state.changes.check_retention(|| self.location())?;
        }
        let control = state.changes.control();
        let mut term = control.term();
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
        let (lineage, durable) = (self.lineage_of(state), state.progress.durable().lsn);
        for cursor in &requested.cursors {
            lineage.check(cursor)?;
            if cursor.lsn() > durable {
                return Err(Error::NotDurable {
                    lsn: cursor.lsn(),
                    durable,
                });
            }
        }
        let len = state.changes.table_len_with(requested);
        let next = self.settings.layout().control_limit();
        let active = state.segments.active().map(|active| &active.segment.header);
        let limit = active.map_or(next, |header| header.layout().control_limit().min(next));
        // What makes it shorter is always possible.
        if len as u64 > limit && len > control.table_len() {
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
        }
        let buffers = &mut state.buffers;
        state.changes.apply(requested, buffers.serial());
        if requested.is_all {
            let (control, watermark) = (state.changes.control(), state.progress.durable().lsn);
            buffers.set_time(state.dates.now());
            buffers.add_group(watermark, |filling| filling.control(control, watermark));
        }
        buffers.enter(self.clock.monotonic());
    }
}
