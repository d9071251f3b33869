//! Waiting: until bytes are written, durable, or a piece of housekeeping is done, and taking the lead where nobody else has.
//!
//! One future serves the blocking and the async calls; what differs is where the leader may block (the [`Shell`]).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use wal_format::Lsn;

use super::Engine;
use super::eras::Era;
use super::state::{State, Status};
use super::waiters::Ticket;
use crate::shell::{Shell, Way};
use crate::sync::{self, IfPanicking, MutexGuard};
use crate::{Awaited, Error, Result, sabotage};

/// What a caller waits for. The number that goes with it is an LSN for the first two, a buffer's serial for the next two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The record is with the operating system.
    Written,
    /// The record is on stable storage.
    Durable,
    /// The buffer, with all its control groups, is with the operating system.
    HandedOver,
    /// The same on stable storage.
    Synced,
    /// The log is closed.
    Closed,
    /// The files of truncated records are gone.
    Retired,
    /// The newest records are dropped, or the attempt has failed.
    Rewound,
}

impl Engine {
    /// Waits until the goal is reached for `number`; leads where nobody else does.
    pub(crate) fn reach(&self, goal: Goal, number: u64, shell: Shell) -> Reach<'_> {
        self.reach_in(self.era(), goal, number, shell)
    }

    /// The same for an LSN that was given in `era`.
    pub(crate) fn reach_in(&self, era: Era, goal: Goal, number: u64, shell: Shell) -> Reach<'_> {
        Reach {
            engine: self,
            goal,
            number,
            shell,
            era,
            ticket: None,
            yielded: false,
            done: false,
        }
    }

    /// All that was appended before the call is with the operating system when the future is ready.
    pub(crate) async fn flush(&self, shell: Shell) -> Result<()> {
        let (target, era) = self.target()?;
        let serial = self.state().control_serial;
        let reached = self.reach_in(era, Goal::Written, target, shell).await;
        or_removed(reached)?;
        self.reach(Goal::HandedOver, serial, shell).await
    }

    /// All that was appended before the call is durable when the future is ready.
    pub(crate) async fn sync(&self, shell: Shell) -> Result<()> {
        let (target, era) = self.target()?;
        let reached = self.reach_in(era, Goal::Durable, target, shell).await;
        or_removed(reached)?;
        self.sync_control(shell).await
    }

    /// Waits until the record, which must have been appended, is durable.
    pub(crate) async fn wait_durable(&self, record: Awaited, shell: Shell) -> Result<()> {
        let Awaited { lsn, segment } = record;
        let era = {
            let state = self.state();
            // Two records with the same LSN must not be confused.
            let segment = segment.filter(|_| !sabotage::is("awaited-by-lsn-alone"));
            let era = segment.map_or(state.eras.now(), |segment| state.eras.of(segment));
            let kept = state.eras.kept_since(era).filter(|kept| lsn > *kept);
            if kept.is_some() {
                let first = state.log_first;
                return Err(Error::Truncated { first, kept });
            }
            let next = state.next_lsn;
            if lsn >= next {
                return Err(Error::NotAppended { lsn, next });
            }
            era
        };
        self.reach_in(era, Goal::Durable, lsn.get(), shell).await
    }

    fn target(&self) -> Result<(u64, Era)> {
        let state = self.state();
        Self::check_poison(&state)?;
        match state.status {
            Status::Closed => Err(Error::Closed),
            Status::Open | Status::Closing | Status::Poisoned(_) => {
                Ok((state.last_lsn().get(), state.eras.now()))
            }
        }
    }

    fn is_reached(state: &State, goal: Goal, number: u64) -> bool {
        match goal {
            Goal::Written => state.written.lsn.get() >= number,
            // Invariant 4: written is not durable.
            Goal::Durable if sabotage::is("acknowledged-when-written") => {
                state.written.lsn.get() >= number
            }
            Goal::Durable => state.durable.lsn.get() >= number,
            Goal::HandedOver => state.written_serial >= number,
            Goal::Synced => state.synced_serial >= number,
            Goal::Closed => matches!(state.status, Status::Closed),
            Goal::Retired => {
                state.forgets.is_done(number) && state.retiring.is_empty() && !state.retiring_busy
            }
            Goal::Rewound => state.rewinds.is_done(number),
        }
    }

    /// The error of a waiter that can no longer be served.
    fn unreachable(state: &State, goal: Goal, number: u64) -> Option<Error> {
        match &state.status {
            Status::Poisoned(poisoned) => {
                let error = poisoned.error();
                Some(if matches!(goal, Goal::Written | Goal::Durable) {
                    error.for_lsn(Lsn::new(number))
                } else {
                    error
                })
            }
            Status::Closed => Some(Error::Closed),
            Status::Open | Status::Closing => None,
        }
    }

    fn may_lead(state: &State, goal: Goal) -> bool {
        if state.rewinding {
            return false;
        }
        match goal {
            Goal::Written | Goal::HandedOver => !state.writing,
            // Invariant 3: of two syncs of one file, one may get the error and the other Ok.
            Goal::Durable | Goal::Synced => !state.syncing || sabotage::is("two-syncs-in-flight"),
            Goal::Rewound => !state.syncing,
            Goal::Closed => !state.syncing && !state.closing,
            Goal::Retired => !state.retiring_busy,
        }
    }

    /// Asks a thread of the engine's own to do what the caller must not block for.
    fn delegate(&self, state: &mut State, goal: Goal) {
        match goal {
            Goal::Written | Goal::HandedOver | Goal::Durable | Goal::Synced => {
                state.commit_requested = true;
                self.signal_syncer(state);
            }
            Goal::Closed => {
                state.close_requested = true;
                self.signal_syncer(state);
            }
            Goal::Retired => self.signal_keeper(state),
            // The queue says what is to do.
            Goal::Rewound => self.signal_syncer(state),
        }
    }

    /// Does the work for everyone who waits: the caller has taken the right to.
    fn lead(&self, goal: Goal, state: MutexGuard<'_, State>) -> Result<()> {
        // Whoever waits for the leader must not wait for ever. A thread of the log has a guard of its own.
        let _guard = IfPanicking(|| self.poison_panicked("a step that a caller led"));
        match goal {
            Goal::Written | Goal::HandedOver => self.write_one(state).map(drop),
            Goal::Durable | Goal::Synced => self.commit(state),
            Goal::Closed => {
                drop(state);
                self.finish_close()
            }
            Goal::Retired => {
                drop(state);
                self.retire()
            }
            Goal::Rewound => {
                drop(state);
                self.rewind()
            }
        }
    }

    fn take_lead(state: &mut State, goal: Goal) {
        match goal {
            Goal::Written | Goal::HandedOver => state.writing = true,
            Goal::Durable | Goal::Synced => state.syncing = true,
            Goal::Closed => {
                state.syncing = true;
                state.closing = true;
            }
            Goal::Retired => state.retiring_busy = true,
            Goal::Rewound => {
                state.syncing = true;
                state.begin_rewinding();
            }
        }
    }
}

/// Records that were removed on purpose meanwhile need not be anywhere; what stays was made durable first.
fn or_removed(reached: Result<()>) -> Result<()> {
    match reached {
        Err(Error::Truncated { kept: Some(_), .. }) => Ok(()),
        reached => reached,
    }
}

/// See [`Engine::reach`].
///
/// Dropping it changes nothing: the records stay in the log. Their commit goes on, on the engine's own thread if need be.
#[derive(Debug)]
pub(crate) struct Reach<'a> {
    engine: &'a Engine,
    goal: Goal,
    number: u64,
    shell: Shell,
    era: Era,
    ticket: Option<Ticket>,
    yielded: bool,
    done: bool,
}

impl Reach<'_> {
    /// What came of it, once that is known.
    fn outcome(&self, state: &State) -> Option<Result<()>> {
        if matches!(self.goal, Goal::Written | Goal::Durable)
            && let Some(kept) = state.eras.kept_since(self.era)
            && self.number > kept.get()
            // Two records with the same LSN must not be confused.
            && !sabotage::is("waiter-of-an-earlier-era-served")
        {
            // The number may be another record's by now.
            let first = state.log_first;
            let kept = Some(kept);
            return Some(Err(Error::Truncated { first, kept }));
        }
        if Engine::is_reached(state, self.goal, self.number) {
            return Some(Ok(()));
        }
        Engine::unreachable(state, self.goal, self.number).map(Err)
    }
}

impl Future for Reach<'_> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let (engine, goal) = (this.engine, this.goal);
        if let Err(error) = engine.check_process() {
            this.done = true;
            return Poll::Ready(Err(error));
        }
        loop {
            let mut state = engine.state();
            let outcome = this.outcome(&state);
            if let Some(outcome) = outcome {
                this.done = true;
                if let Some(ticket) = this.ticket.take() {
                    state.waiters.leave(goal, ticket);
                }
                return Poll::Ready(outcome);
            }
            if !Engine::may_lead(&state, goal) {
                state
                    .waiters
                    .wait_for(goal, this.number, &mut this.ticket, context.waker());
                return Poll::Pending;
            }
            if !this.yielded {
                // Who is ready to append joins this commit instead of waiting for the next.
                this.yielded = true;
                match this.shell.gives_way(state.lonely) {
                    Way::Ahead => {}
                    Way::ToThreads => {
                        drop(state);
                        for _ in 0..engine.pace().before_leading {
                            sync::yield_now();
                        }
                        continue;
                    }
                    #[cfg(feature = "tokio")]
                    Way::ToTasks => {
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
            if !this.shell.may_block() {
                state
                    .waiters
                    .wait_for(goal, this.number, &mut this.ticket, context.waker());
                engine.delegate(&mut state, goal);
                return Poll::Pending;
            }
            Engine::take_lead(&mut state, goal);
            // An error is in the state by now: the next round finds it there.
            let _ = this.shell.run(|| engine.lead(goal, state));
        }
    }
}

impl Drop for Reach<'_> {
    fn drop(&mut self) {
        // In a fork, the lock may never be released.
        if self.done || !self.engine.process.is_current() {
            return;
        }
        let mut state = self.engine.state();
        if let Some(ticket) = self.ticket.take() {
            state.waiters.leave(self.goal, ticket);
        }
        let over = self.outcome(&state).is_some();
        // It may have been this future's turn to lead, and the records are in the log: the engine's thread goes on.
        if !over {
            self.engine.delegate(&mut state, self.goal);
        }
    }
}
