//! Closing: everything durable, a footer that says so, the file cut behind it.

use wal_format::SegmentId;

use super::background::Work;
use super::engine::{Engine, Right, StateGuard};
use super::lifecycle::Lifecycle;
use super::rights::{ALL, CLOSE, EXTEND, GIVE_BACK, PREWRITE, RETIRE, SEAL, SPARE, SYNC};
use super::waiters::Goal;
use crate::Result;
use crate::segment::write_footer;
use crate::settings::Driver;
use crate::shell::Shell;
use crate::sync::block_on;

impl Engine {
    /// Closes the log; other handles then get [`Closed`](crate::Error::Closed). A second call finds it closed.
    pub(crate) async fn close(&self, shell: Shell) -> Result<()> {
        {
            let mut state = self.state();
            state.life.check_poison()?;
            if state.life.is_closed() {
                return Ok(());
            }
            state.set_lifecycle(Lifecycle::Closing);
            // Appends that wait for room are refused now.
            state.waiters.wake_for_room();
        }
        self.reach(Goal::Closed, 0, shell).await?;
        self.stop_threads();
        Ok(())
    }

    /// The closing itself.
    pub(super) fn finish_close(
        &self,
        right: Right<'_, { SYNC | CLOSE }>,
        state: StateGuard<'_>,
    ) -> Result<()> {
        // A footer says that all before it is durable.
        drop(self.commit_all(&right, state)?);
        self.settle_housekeeping()?;
        self.begin_mark(&right)?;
        // The files that the mark's segment replaces.
        self.settle_housekeeping()?;

        let mut state = self.state();
        state.life.check_poison()?;
        if let Some(active) = state.segments.take_active() {
            let sealing = state.sealing(active, SegmentId::NONE);
            let log_first = state.truncations.log_first();
            drop(state);
            let id = sealing.segment.id();
            let closed = write_footer(&sealing, log_first)
                .map_err(|error| (format!("closing segment {id}"), error))
                .and_then(|()| sealing.segment.check_linked());
            state = self.state();
            if let Err(failure) = closed {
                return Err(state.poison(failure));
            }
        }
        drop(state);
        self.remove_spare();
        // All records are durable, wherever the directory is now.
        if let Err(failure) = self.check_place() {
            return Err(self.state().poison(failure));
        }
        // Before anyone is told: the caller may open the log again at once.
        *self.lock.lock() = None;
        let mut state = self.state();
        state.set_lifecycle(Lifecycle::Closed);
        // A handle that is kept after the close holds no file and no buffer.
        state.progress.close_files();
        state.buffers.shrink();
        state.waiters.wake_all();
        state.give_back(right);
        Ok(())
    }

    /// Best effort: what stays is a leftover that the next open removes.
    fn remove_spare(&self) {
        let spare = self.state().segments.take_spare();
        if let Some(spare) = spare {
            let name = wal_format::spare_name(spare.segment.id());
            drop(spare);
            let _ = self.storage.remove(&name);
        }
    }

    /// After an unclean stop that left nothing to copy, the mark of a clean one needs a segment of its own. So does a newer
    /// version of the format that was asked for.
    fn begin_mark(&self, right: &Right<'_, { SYNC | CLOSE }>) -> Result<()> {
        let mut state = self.state();
        if !state.segments.is_unmarked() {
            return Ok(());
        }
        if state.segments.spare().is_none() {
            self.perform(state, Work::MakeSpare)?;
            state = self.state();
        }
        if state.segments.spare().is_none() {
            // No room for the mark: all is durable without it, and the next open finds that out.
            return Ok(());
        }
        self.rotate(&mut state);
        self.commit_all(right, state).map(drop)
    }

    /// Finishes the housekeeping that is under way or due: footers of rotated segments, retired files.
    pub(super) fn settle_housekeeping(&self) -> Result<()> {
        const KINDS: u16 = SEAL | GIVE_BACK | RETIRE | SPARE | EXTEND | PREWRITE;
        let due = [Work::Seal, Work::GiveBack, Work::Retire];
        loop {
            let state = self.state();
            state.life.check_poison()?;
            if let Some(work) = due.into_iter().find(|work| Self::is_due(&state, *work)) {
                self.perform(state, work)?;
            } else if state.rights.are_free(KINDS) {
                return Ok(());
            } else {
                // A thread of the log is at it.
                drop(state.until_free(KINDS));
            }
        }
    }

    /// The last handle is gone without a close: hand over and sync, best effort, without a clean mark.
    pub(crate) fn abandon(&self) {
        let drive = || self.settings.driver == Driver::Caller && self.drive();
        let asked = {
            let state = self.look();
            match state.life {
                Lifecycle::Open => Some((false, state.truncations.rewinds.asked())),
                Lifecycle::Closing => Some((true, None)),
                Lifecycle::Closed | Lifecycle::Poisoned(_) => None,
            }
        };
        let reach = |goal, number| block_on(self.reach(goal, number, Shell::Blocking), drive, || 0);
        // Nobody is left to tell of an error; the next open finds what was durable.
        let _ = match asked {
            // The last handle hands over and syncs.
            Some((false, asked)) => {
                // So is a truncation.
                let rewound = asked.map_or(Ok(()), |number| reach(Goal::Rewound, number));
                rewound.and_then(|()| block_on(self.sync(Shell::Blocking), drive, || 0))
            }
            // A close whose future was dropped is carried through.
            Some((true, _)) => reach(Goal::Closed, 0),
            None => Ok(()),
        };
        {
            let mut state = self.state();
            if state.life.is_served() {
                state.set_lifecycle(Lifecycle::Closed);
            }
        }
        self.stop_threads();
        // A reader may be handing records over, or the timer's thread may do what no other could be started for.
        drop(self.state().until_free(ALL));
        self.remove_spare();
        *self.lock.lock() = None;
    }
}
