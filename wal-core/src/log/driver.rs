//! Background work as steps: each looks at the state, and either does one thing or says when it will be due.
//!
//! Three threads run them in production: the *writer* hands buffers over, the *syncer* syncs when the window is over and
//! leads for callers that must not block, the *keeper* does the housekeeping. A deterministic test has no threads: a call
//! that would wait runs the same steps itself ([`Engine::drive`]).

use std::time::Duration;

use super::commit::Scope;
use super::state::{Park, State, Status};
use super::{Driver, Engine};
use crate::sync::{self, Arc, Condvar, IfPanicking, MutexGuard};
use crate::{Error, FsyncPolicy, Result, sabotage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Writer,
    Syncer,
    Keeper,
}

impl Engine {
    /// Starts the threads that the policy needs.
    pub(super) fn start_threads(self: &Arc<Self>) -> Result<()> {
        if self.settings.driver == Driver::Caller {
            return Ok(());
        }
        let mut roles = vec![(Role::Syncer, "wal-syncer"), (Role::Keeper, "wal-keeper")];
        if self.settings.config.fsync_policy != FsyncPolicy::Always {
            roles.push((Role::Writer, "wal-writer"));
        }
        for (role, name) in roles {
            let engine = Arc::clone(self);
            let spawned = sync::spawn(name, move || engine.run(role));
            // A thread that cannot start is an error, and nobody's bug.
            assert!(spawned.is_ok() || !sabotage::is("thread-start-unwrapped"));
            let handle = spawned.map_err(|error| {
                Error::io(
                    self.location(),
                    format!("starting the thread {name}"),
                    error,
                )
            })?;
            self.threads.lock().push(handle);
        }
        Ok(())
    }

    /// Ends the threads and waits for them.
    pub(super) fn stop_threads(&self) {
        self.state().stopping = true;
        for condvar in [&self.writer, &self.syncer, &self.keeper] {
            condvar.notify_all();
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        for handle in threads {
            // The last owner may be one of them.
            if !sync::is_current(&handle) {
                // A thread that panicked has poisoned the log.
                let _ = handle.join();
            }
        }
    }

    fn run(&self, role: Role) {
        let _guard = IfPanicking(|| {
            let error = std::io::Error::other("a thread of the log panicked");
            self.poison(self.state(), format!("{role:?}"), error);
        });
        let mut state = self.state();
        loop {
            if state.stopping || matches!(state.status, Status::Poisoned(_) | Status::Closed) {
                return;
            }
            if self.is_due(&state, role) {
                // An error is in the state by now.
                let _ = self.step(state, role);
                state = self.state();
                continue;
            }
            let now = self.clock.monotonic();
            let limit = self.deadline(&state, role).map(|at| at.saturating_sub(now));
            state = self.park(state, role, limit);
        }
    }

    fn park<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        role: Role,
        limit: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        let how = if limit.is_some() {
            Park::Timed
        } else {
            Park::Idle
        };
        *Self::park_of(&mut state, role) = how;
        let condvar = self.condvar(role);
        let mut state = match limit {
            Some(limit) => condvar.wait_for(state, limit),
            None => condvar.wait(state),
        };
        *Self::park_of(&mut state, role) = Park::Awake;
        state
    }

    fn park_of(state: &mut State, role: Role) -> &mut Park {
        match role {
            Role::Writer => &mut state.parked.writer,
            Role::Syncer => &mut state.parked.syncer,
            Role::Keeper => &mut state.parked.keeper,
        }
    }

    fn condvar(&self, role: Role) -> &Condvar {
        match role {
            Role::Writer => &self.writer,
            Role::Syncer => &self.syncer,
            Role::Keeper => &self.keeper,
        }
    }

    fn is_due(&self, state: &State, role: Role) -> bool {
        if state.rewinding {
            return false;
        }
        match role {
            Role::Writer => self.writer_due(state),
            Role::Syncer => self.syncer_due(state),
            Role::Keeper => self.keeper_due(state),
        }
    }

    fn deadline(&self, state: &State, role: Role) -> Option<Duration> {
        if state.rewinding {
            // Everyone is told when it is over.
            return None;
        }
        match role {
            Role::Writer => self.writer_deadline(state),
            Role::Syncer => self.syncer_deadline(state),
            Role::Keeper => self.keeper_deadline(state),
        }
    }

    /// Does the one thing that is due for `role`.
    fn step(&self, mut state: MutexGuard<'_, State>, role: Role) -> Result<()> {
        match role {
            Role::Writer => {
                state.writing = true;
                self.write_one(state).map(drop)
            }
            Role::Syncer => {
                state.syncing = true;
                state.commit_requested = false;
                let close = std::mem::take(&mut state.close_requested) && !state.closing;
                state.closing |= close;
                let rewind = !close && state.rewinds.asked().is_some();
                if rewind {
                    state.begin_rewinding();
                }
                if !rewind && !close {
                    return self.commit(state);
                }
                drop(state);
                if rewind {
                    self.rewind()
                } else {
                    self.finish_close()
                }
            }
            Role::Keeper => self.keep(state),
        }
    }

    fn keep(&self, mut state: MutexGuard<'_, State>) -> Result<()> {
        if Self::rotated_sync_due(&state) {
            state.syncing = true;
            return self.sync_files(state, Scope::Rotated);
        }
        if Self::extension_due(&state) {
            state.extension.busy = true;
            drop(state);
            self.extend();
            return Ok(());
        }
        if Self::spare_due(&state) {
            state.next_spare.busy = true;
            drop(state);
            return self.make_spare();
        }
        if Self::seal_due(&state) {
            state.sealing_busy = true;
            drop(state);
            return self.seal();
        }
        if Self::give_back_due(&state) {
            state.giving_back = true;
            drop(state);
            self.give_back();
            return Ok(());
        }
        if Self::retire_due(&state) {
            state.retiring_busy = true;
            drop(state);
            return self.retire();
        }
        if self.stamp_due(&state) {
            state.syncing = true;
            let watermark = state.durable.lsn;
            state.filling.stamp(watermark);
            state.filling_watermark = watermark;
            return self.commit(state);
        }
        if self.ahead_due(&state) {
            self.write_ahead(state);
        }
        Ok(())
    }

    /// Runs every step that is due, on the caller's thread. True if there was any.
    pub(crate) fn drive(&self) -> bool {
        let mut any = false;
        loop {
            let mut progress = false;
            for role in [Role::Writer, Role::Syncer, Role::Keeper] {
                let state = self.state();
                if matches!(state.status, Status::Poisoned(_) | Status::Closed) {
                    return any || progress;
                }
                if self.is_due(&state, role) {
                    progress = true;
                    // An error is in the state by now.
                    let _ = self.step(state, role);
                }
            }
            if !progress {
                return any;
            }
            any = true;
        }
    }

    pub(super) fn writer_due(&self, state: &State) -> bool {
        if state.writing || !serving(state) {
            return false;
        }
        if self.settings.config.fsync_policy == FsyncPolicy::Always {
            return false;
        }
        !state.frozen.is_empty()
            || state.filling.len() >= self.settings.hand_over_bytes
            || self
                .writer_deadline(state)
                .is_some_and(|at| at <= self.clock.monotonic())
    }

    pub(super) fn writer_deadline(&self, state: &State) -> Option<Duration> {
        if self.settings.config.fsync_policy != FsyncPolicy::Os || state.writing {
            return None;
        }
        state
            .filling_since
            .map(|since| since + self.settings.hand_over_after)
    }

    pub(super) fn syncer_due(&self, state: &State) -> bool {
        if state.syncing || !serving(state) {
            return false;
        }
        state.commit_requested
            || state.close_requested
            || state.rewinds.asked().is_some()
            || self
                .syncer_deadline(state)
                .is_some_and(|at| at <= self.clock.monotonic())
    }

    pub(super) fn syncer_deadline(&self, state: &State) -> Option<Duration> {
        match self.settings.config.fsync_policy {
            // The promise of `Batch`: a timer of its own.
            FsyncPolicy::Batch(_) if sabotage::is("batch-without-a-timer") => None,
            FsyncPolicy::Batch(window) if !state.syncing => {
                state.unsynced_since().map(|since| since + window)
            }
            FsyncPolicy::Batch(_) | FsyncPolicy::Always | FsyncPolicy::Os => None,
        }
    }

    pub(super) fn keeper_due(&self, state: &State) -> bool {
        serving(state)
            && (Self::rotated_sync_due(state)
                || Self::extension_due(state)
                || Self::spare_due(state)
                || Self::seal_due(state)
                || Self::give_back_due(state)
                || Self::retire_due(state)
                || self.stamp_due(state)
                || self.ahead_due(state))
    }

    pub(super) fn keeper_deadline(&self, state: &State) -> Option<Duration> {
        let stamp = self.stamp_deadline(state);
        [stamp, self.ahead_deadline(state)]
            .into_iter()
            .flatten()
            .min()
    }

    fn stamp_deadline(&self, state: &State) -> Option<Duration> {
        self.stamp_needed(state)
            .then(|| state.last_append + self.settings.stamp_after)
    }

    pub(super) fn retire_due(state: &State) -> bool {
        let asked = state.forgets.asked().is_some();
        (asked || !state.retiring.is_empty()) && !state.retiring_busy
    }

    fn stamp_due(&self, state: &State) -> bool {
        !state.syncing
            && !state.writing
            && self
                .stamp_deadline(state)
                .is_some_and(|at| at <= self.clock.monotonic())
    }

    /// Whether the log is idle, all of it durable, and no synced group says so yet.
    fn stamp_needed(&self, state: &State) -> bool {
        if self.settings.config.fsync_policy == FsyncPolicy::Os
            || !matches!(state.status, Status::Open)
        {
            return false;
        }
        let Some(active) = &state.active else {
            return false;
        };
        let header = &active.segment.header;
        let footer = header.capacity
            - active.segment.data_limit
            - header.alignment.round_up(wal_format::CONTROL_RESERVE);
        let end = state.filling.room_for(0);
        state.proven < state.durable.lsn
            && state.durable.lsn == state.last_lsn()
            && state.nothing_to_write()
            && end + footer <= active.allocated
    }

    pub(super) fn signal_writer(&self, state: &State) {
        if state.parked.writer != Park::Awake {
            self.writer.notify_all();
        }
    }

    pub(super) fn signal_syncer(&self, state: &State) {
        if state.parked.syncer != Park::Awake {
            self.syncer.notify_all();
        }
    }

    pub(super) fn signal_keeper(&self, state: &State) {
        if state.parked.keeper != Park::Awake {
            self.keeper.notify_all();
        }
    }
}

fn serving(state: &State) -> bool {
    matches!(state.status, Status::Open | Status::Closing)
}
