//! Waiting: until bytes are written, durable, or a piece of housekeeping is done, and taking the lead where nobody else has.
//!
//! One future serves the blocking and the async calls; what differs is where the leader may block (the [`Shell`]).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use wal_format::Lsn;

use super::background::Work;
use super::engine::Engine;
use super::rights::{RETIRE, REWIND};
use super::state::State;
use super::waiters::{Goal, Ticket};
use crate::segment::Era;
use crate::shell::{Shell, Way};
use crate::sync;
use crate::{Awaited, Error, Result};

impl Goal {
    /// What is done to reach it.
    fn work(self) -> Work {
        match self {
            Self::Written | Self::HandedOver => Work::HandOver,
            Self::Durable | Self::Synced => Work::Commit,
            Self::Closed => Work::Close,
            Self::Retired => Work::Retire,
            Self::Rewound => Work::Rewind,
        }
    }
}

impl Engine {
    /// Waits until the goal is reached for `number`; leads where nobody else does.
    pub(super) fn reach(&self, goal: Goal, number: u64, shell: Shell) -> Reach<'_> {
        self.reach_in(self.locked.era(), goal, number, shell)
    }

    /// The same for an LSN that was given in `era`.
    pub(super) fn reach_in(&self, era: Era, goal: Goal, number: u64, shell: Shell) -> Reach<'_> {
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
        let serial = self.look().changes.serial();
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
            let state = self.look();
            // Two records with the same LSN must not be confused.
            let eras = state.truncations.eras();
            let era = segment.map_or(eras.now(), |segment| eras.of(segment));
            let kept = eras.kept_since(era).filter(|kept| lsn > *kept);
            if kept.is_some() {
                return Err(state.truncations.error(kept));
            }
            let next = state.buffers.next_lsn();
            if lsn >= next {
                return Err(Error::NotAppended { lsn, next });
            }
            era
        };
        self.reach_in(era, Goal::Durable, lsn.get(), shell).await
    }

    fn target(&self) -> Result<(u64, Era)> {
        let state = self.look();
        match state.life.ended() {
            Some(error) => Err(error),
            None => Ok((
                state.buffers.last_lsn().get(),
                state.truncations.eras().now(),
            )),
        }
    }

    /// Asks a thread of the engine's own to do what the caller must not block for.
    fn delegate(state: &mut State, goal: Goal) {
        match goal {
            Goal::Written | Goal::HandedOver | Goal::Durable | Goal::Synced => {
                state.background.commit_requested = true;
            }
            Goal::Closed => state.background.close_requested = true,
            // The queues say what is to do.
            Goal::Retired | Goal::Rewound => {}
        }
    }
}

fn is_reached(state: &State, goal: Goal, number: u64) -> bool {
    let progress = &state.progress;
    match goal {
        Goal::Written => progress.written().lsn.get() >= number,
        // Invariant 4: written is not durable.
        Goal::Durable => progress.durable().lsn.get() >= number,
        Goal::HandedOver => progress.written_serial() >= number,
        Goal::Synced => progress.synced_serial() >= number,
        Goal::Closed => state.life.is_closed(),
        Goal::Retired => {
            state.truncations.forgets.is_done(number)
                && state.leftovers.retiring().is_none()
                && state.rights.are_free(RETIRE)
        }
        Goal::Rewound => state.truncations.rewinds.is_done(number),
    }
}

/// The error of a waiter that can no longer be served.
fn unreachable(state: &State, goal: Goal, number: u64) -> Option<Error> {
    let error = state.life.ended()?;
    Some(if matches!(goal, Goal::Written | Goal::Durable) {
        error.for_lsn(Lsn::new(number))
    } else {
        error
    })
}

fn may_lead(state: &State, goal: Goal) -> bool {
    state.rights.are_free(REWIND | goal.work().rights())
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
pub(super) struct Reach<'a> {
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
            && let Some(kept) = state.truncations.eras().kept_since(self.era)
            && self.number > kept.get()
        {
            // The number may be another record's by now.
            return Some(Err(state.truncations.error(Some(kept))));
        }
        if is_reached(state, self.goal, self.number) {
            return Some(Ok(()));
        }
        unreachable(state, self.goal, self.number).map(Err)
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
                state.leave();
                return Poll::Ready(outcome);
            }
            if !may_lead(&state, goal) {
                state
                    .waiters
                    .wait_for(goal, this.number, &mut this.ticket, context.waker());
                state.leave();
                return Poll::Pending;
            }
            if !this.yielded {
                // Who is ready to append joins this commit instead of waiting for the next.
                this.yielded = true;
                match this.shell.gives_way(state.background.lonely()) {
                    Way::Ahead => {}
                    Way::ToThreads => {
                        state.leave();
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
                Engine::delegate(&mut state, goal);
                return Poll::Pending;
            }
            // An error is in the state by now: the next round finds it there.
            let _ = this.shell.run(|| engine.perform(state, goal.work()));
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
            Engine::delegate(&mut state, self.goal);
        }
    }
}
