//! Background work as steps: each looks at the state, and either does one thing or says when it will be due.
//!
//! Three threads run them in production: the *writer* hands buffers over, the *syncer* syncs when the window is over and
//! leads for callers that must not block, the *keeper* does the housekeeping. A deterministic test has no threads: a call
//! that would wait runs the same steps itself ([`Engine::drive`]).

use std::time::Duration;

use wal_format::Version;

use super::commit::Scope;
use super::parked::{Maintenance, Park, Role};
use super::state::{State, Status};
use super::waiters::LEAD_WITHIN;
use super::{Driver, Engine};
use crate::sync::{self, Arc, Condvar, IfPanicking, MutexGuard, wake_all};
use crate::{Error, FsyncPolicy, Result, sabotage};

/// A commit that the syncer leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    Close,
    Rewind,
    Commit,
    Write,
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
            // A thread that cannot start is an error, not a bug.
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
            let deadline = self.deadline(&state, role);
            state = self.park(state, role, deadline);
        }
    }

    fn park<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        role: Role,
        deadline: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        *state.parked.of_mut(role) = deadline.map_or(Park::Idle, Park::Until);
        let condvar = self.condvar(role);
        let mut state = match deadline {
            Some(deadline) => {
                let limit = deadline.saturating_sub(self.clock.monotonic());
                condvar.wait_for(state, limit)
            }
            None => condvar.wait(state),
        };
        *state.parked.of_mut(role) = Park::Awake;
        state
    }

    /// Wakes the thread of `role` if it sleeps and has something to do, now or before it would wake up.
    pub(super) fn nudge(&self, state: &State, role: Role) {
        let park = state.parked.of(role);
        if park != Park::Awake
            && (self.is_due(state, role) || park.misses(self.deadline(state, role)))
        {
            self.condvar(role).notify_all();
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
            Role::Syncer => self.lead_due(state),
            Role::Keeper => self.keep(state),
        }
    }

    /// Leads for callers that cannot lead, or did not in time.
    fn lead_due(&self, mut state: MutexGuard<'_, State>) -> Result<()> {
        let Some(lead) = self.lead_wanted(&state) else {
            return Ok(());
        };
        if lead == Lead::Write {
            state.writing = true;
            return self.write_one(state).map(drop);
        }
        state.syncing = true;
        match lead {
            Lead::Close => {
                state.close_requested = false;
                state.closing = true;
                drop(state);
                self.finish_close()
            }
            Lead::Rewind => {
                state.begin_rewinding();
                drop(state);
                self.rewind()
            }
            Lead::Commit | Lead::Write => {
                state.commit_requested = false;
                self.commit(state)
            }
        }
    }

    fn keep(&self, mut state: MutexGuard<'_, State>) -> Result<()> {
        let Some(work) = self.maintenance_due(&state) else {
            return Ok(());
        };
        state.maintained = work;
        match work {
            Maintenance::SyncRotated => {
                state.syncing = true;
                self.sync_files(state, Scope::Rotated)
            }
            Maintenance::Extend => {
                state.extension.busy = true;
                drop(state);
                self.extend();
                Ok(())
            }
            Maintenance::MakeSpare => {
                state.next_spare.busy = true;
                drop(state);
                self.make_spare()
            }
            Maintenance::Seal => {
                state.sealing_busy = true;
                drop(state);
                self.seal()
            }
            Maintenance::GiveBack => {
                state.giving_back = true;
                drop(state);
                self.give_back();
                Ok(())
            }
            Maintenance::Retire => {
                state.retiring_busy = true;
                drop(state);
                self.retire()
            }
            Maintenance::Stamp => {
                state.syncing = true;
                let watermark = state.durable.lsn;
                state.date_group(&*self.clock);
                state.filling.stamp(watermark);
                state.filling_watermark = watermark;
                state.stamped_serial = state.filling_serial;
                self.commit(state)
            }
            Maintenance::WriteAhead => {
                self.write_ahead(state);
                Ok(())
            }
        }
    }

    /// The maintenance to do next. Kinds take turns, so that none waits forever while another is always due. The last two run
    /// only when nothing else is due.
    fn maintenance_due(&self, state: &State) -> Option<Maintenance> {
        use Maintenance::{
            Extend, GiveBack, MakeSpare, Retire, Seal, Stamp, SyncRotated, WriteAhead,
        };
        const TURNS: [Maintenance; 6] = [SyncRotated, Extend, MakeSpare, Seal, GiveBack, Retire];
        if !serving(state) {
            return None;
        }
        let due = |work: &Maintenance| match work {
            SyncRotated => Self::rotated_sync_due(state),
            Extend => Self::extension_due(state),
            MakeSpare => Self::spare_due(state),
            Seal => Self::seal_due(state),
            GiveBack => Self::give_back_due(state),
            Retire => Self::retire_due(state),
            Stamp => self.stamp_due(state),
            WriteAhead => self.ahead_due(state),
        };
        let last = TURNS.iter().position(|work| *work == state.maintained);
        let mut next = last.map_or(0, |at| at + 1);
        // In a fixed order, making segments would starve the footers.
        if sabotage::is("footers-without-a-bound") {
            next = 0;
        }
        let turns = TURNS[next..].iter().chain(&TURNS[..next]);
        turns.chain(&[Stamp, WriteAhead]).copied().find(due)
    }

    /// Whether a thread is inside a step.
    pub(crate) fn is_at_work(&self) -> bool {
        let state = self.state();
        let provides = state.next_spare.busy || state.extension.busy;
        let removes = state.giving_back || state.retiring_busy;
        state.writing
            || state.syncing
            || state.rewinding
            || state.sealing_busy
            || provides
            || removes
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
        self.lead_wanted(state).is_some()
    }

    /// What the syncer has to lead now. The caller has checked that no other thread syncs.
    fn lead_wanted(&self, state: &State) -> Option<Lead> {
        if state.close_requested && !state.closing {
            return Some(Lead::Close);
        }
        if state.rewinds.asked().is_some() {
            return Some(Lead::Rewind);
        }
        if state.commit_requested {
            return Some(Lead::Commit);
        }
        let (commit, write) = (self.commit_deadline(state), Self::write_deadline(state));
        if commit.is_none() && write.is_none() {
            return None;
        }
        let now = self.clock.monotonic();
        let is_over = |deadline: Option<Duration>| deadline.is_some_and(|at| at <= now);
        if is_over(commit) {
            return Some(Lead::Commit);
        }
        is_over(write).then_some(Lead::Write)
    }

    pub(super) fn syncer_deadline(&self, state: &State) -> Option<Duration> {
        if state.syncing {
            return None;
        }
        let deadlines = [self.commit_deadline(state), Self::write_deadline(state)];
        deadlines.into_iter().flatten().min()
    }

    /// When the window ends, or the time of a waiter that was woken to lead a commit.
    fn commit_deadline(&self, state: &State) -> Option<Duration> {
        let window = match self.settings.config.fsync_policy {
            // The promise of `Batch`: a timer of its own.
            FsyncPolicy::Batch(_) if sabotage::is("batch-without-a-timer") => None,
            FsyncPolicy::Batch(window) => state.unsynced_since().map(|since| since + window),
            FsyncPolicy::Always | FsyncPolicy::Os => None,
        };
        let offer = state.offers.commit.map(|at| at + LEAD_WITHIN);
        let offer = offer.filter(|_| !sabotage::is("leader-waited-for-without-end"));
        [window, offer].into_iter().flatten().min()
    }

    /// When the time of a waiter that was woken to lead a write ends.
    fn write_deadline(state: &State) -> Option<Duration> {
        let offer = state.offers.write.filter(|_| !state.writing);
        offer.map(|at| at + LEAD_WITHIN)
    }

    pub(super) fn keeper_due(&self, state: &State) -> bool {
        self.maintenance_due(state).is_some()
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
        // There, each group counts. The next session copies all of it.
        if active.in_reserve.is_some() {
            return false;
        }
        let header = &active.segment.header;
        let footer = header.capacity
            - active.segment.data_limit
            - header.alignment.round_up(wal_format::CONTROL_RESERVE);
        let end = state.filling.room_for(0);
        let unproven =
            state.proven < state.durable.lsn || state.stamped_serial < state.control_serial;
        // From version 2 on it says that all before it is synced.
        let synced = header.version < Version::V2 || state.is_all_synced();
        unproven
            && synced
            && state.durable.lsn == state.last_lsn()
            && state.nothing_to_write()
            && end + footer <= active.allocated
    }

    /// There may be room now for appends that wait for it.
    pub(super) fn tell_of_room(mut state: MutexGuard<'_, State>) {
        let mut wakers = Vec::new();
        state.waiters.take_room(&mut wakers);
        drop(state);
        wake_all(wakers);
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
