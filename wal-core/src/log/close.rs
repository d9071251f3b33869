//! Closing: everything durable, a footer that says so, the file cut behind it.

use wal_format::SegmentId;

use super::commit::Scope;
use super::rotate::write_footer;
use super::state::{Sealing, State, Status};
use super::{Driver, Engine, Goal};
use crate::shell::Shell;
use crate::sync::{Arc, MutexGuard, wake_all};
use crate::{Result, sabotage};

impl Engine {
    /// Closes the log; other handles then get [`Closed`](crate::Error::Closed). A second call finds it closed.
    pub(crate) async fn close(&self, shell: Shell) -> Result<()> {
        {
            let mut state = self.state();
            Self::check_poison(&state)?;
            if matches!(state.status, Status::Closed) {
                return Ok(());
            }
            state.set_status(Status::Closing);
            // Appends that wait for room are refused now.
            Self::tell_of_room(state);
        }
        match self.reach(Goal::Closed, 0, shell).await {
            Ok(()) => {
                self.stop_threads();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The closing itself: the caller has taken `syncing` and `closing`, which stays taken.
    pub(super) fn finish_close(&self) -> Result<()> {
        let state = self.state();
        let serial = state.entered_serial();
        let state = match self.write_up_to(state, serial) {
            Ok(state) => state,
            Err(error) => {
                self.state().syncing = false;
                return Err(error);
            }
        };
        // A footer says that all before it is durable.
        sabotage::unless("closed-before-it-is-synced", || {
            self.sync_files(state, Scope::All)
        })?;
        self.settle_housekeeping()?;
        self.begin_mark()?;
        // The files that the mark's segment replaces.
        self.settle_housekeeping()?;

        let mut state = self.state();
        Self::check_poison(&state)?;
        if matches!(state.status, Status::Closed) {
            return Ok(());
        }
        if let Some(active) = state.active.take() {
            let sealing = Sealing {
                end_lsn: state.last_lsn(),
                end_offset: state.filling.end(),
                end_digest: state.filling.previous(),
                records: active.records,
                index: active.index,
                control: state.control.clone(),
                until: state.dates.now(),
                successor: SegmentId::NONE,
                segment: active.segment,
            };
            let log_first = state.log_first;
            drop(state);
            let id = sealing.segment.id();
            let closed = write_footer(&sealing, log_first)
                .map_err(|error| (format!("closing segment {id}"), error))
                .and_then(|()| sealing.segment.check_linked());
            if let Err((during, error)) = closed {
                return Err(self.poison(self.state(), during, error));
            }
            state = self.state();
        }
        if let Some(spare) = state.spare.take() {
            let name = wal_format::spare_name(spare.segment.id());
            drop(state);
            drop(spare);
            // Best effort: what stays is a leftover that the next open removes.
            let _ = self.storage.remove(&name);
            state = self.state();
        }
        drop(state);
        // All records are durable, wherever the directory is now.
        if let Err((during, error)) = self.check_place() {
            return Err(self.poison(self.state(), during, error));
        }
        self.mark_closed(self.state());
        Ok(())
    }

    /// After an unclean stop that left nothing to copy, the mark of a clean one needs a segment of its own. So does a newer
    /// version of the format that was asked for.
    fn begin_mark(&self) -> Result<()> {
        let mut state = self.state();
        if !state.unmarked {
            return Ok(());
        }
        if state.spare.is_none() {
            state.next_spare.busy = true;
            drop(state);
            self.make_spare()?;
            state = self.state();
        }
        if state.spare.is_none() {
            // No room for the mark: all is durable without it, and the next open finds that out.
            return Ok(());
        }
        self.rotate(&mut state);
        state.syncing = true;
        let serial = state.entered_serial();
        let state = self.write_up_to(state, serial)?;
        self.sync_files(state, Scope::All)
    }

    fn mark_closed(&self, mut state: MutexGuard<'_, State>) {
        state.set_status(Status::Closed);
        // A handle that is kept after the close holds no file and no buffer.
        state.dirty.clear();
        state.free.clear();
        let mut wakers = Vec::new();
        state.waiters.take_all(&mut wakers);
        drop(state);
        *self.lock.lock() = None;
        for condvar in [&self.writer, &self.syncer, &self.keeper, &self.leaders] {
            condvar.notify_all();
        }
        wake_all(wakers);
    }

    /// Finishes what the keeper has begun or still has to do: footers of rotated segments, retired files.
    pub(super) fn settle_housekeeping(&self) -> Result<()> {
        loop {
            let mut state = self.state();
            Self::check_poison(&state)?;
            if Self::seal_due(&state) {
                state.sealing_busy = true;
                drop(state);
                self.seal()?;
            } else if Self::give_back_due(&state) {
                state.giving_back = true;
                drop(state);
                self.give_back();
            } else if Self::retire_due(&state) {
                state.retiring_busy = true;
                drop(state);
                self.retire()?;
            } else if state.sealing_busy
                || state.giving_back
                || state.retiring_busy
                || state.next_spare.busy
                || state.extension.busy
                || state.ahead.is_busy()
            {
                // The keeper is at it; it tells nobody, and a close has the time.
                drop(state);
                crate::sync::sleep(std::time::Duration::from_micros(50));
            } else {
                return Ok(());
            }
        }
    }

    /// The last handle is gone without a close: hand over and sync, best effort, without a clean mark.
    pub(crate) fn abandon(self: &Arc<Self>) {
        let drive = || self.settings.driver == Driver::Caller && self.drive();
        let closing = match self.state().status {
            Status::Open => Some(false),
            Status::Closing => Some(true),
            Status::Closed | Status::Poisoned(_) => None,
        };
        // Nobody is left to tell of an error; the next open finds what was durable.
        let _ = match closing {
            // The last handle hands over and syncs.
            Some(false) if sabotage::is("dropped-without-a-sync") => Ok(()),
            Some(false) => {
                // So is a truncation.
                let asked = self.state().rewinds.asked();
                let rewound = asked.map_or(Ok(()), |number| {
                    crate::sync::block_on(
                        self.reach(Goal::Rewound, number, Shell::Blocking),
                        drive,
                        || 0,
                    )
                });
                rewound
                    .and_then(|()| crate::sync::block_on(self.sync(Shell::Blocking), drive, || 0))
            }
            // A close whose future was dropped is carried through.
            Some(true) => {
                crate::sync::block_on(self.reach(Goal::Closed, 0, Shell::Blocking), drive, || 0)
            }
            None => Ok(()),
        };
        {
            let mut state = self.state();
            if matches!(state.status, Status::Open | Status::Closing) {
                state.set_status(Status::Closed);
            }
        }
        self.stop_threads();
        if let Some(spare) = self.state().spare.take() {
            let name = wal_format::spare_name(spare.segment.id());
            drop(spare);
            let _ = self.storage.remove(&name);
        }
        *self.lock.lock() = None;
    }
}
