//! A commit: a leader hands the buffers over to the operating system, syncs, and wakes all who waited for it.

use std::time::Duration;

use wal_io::StorageFileExt;

use super::buffers::Handover;
use super::engine::{Engine, Right, StateGuard};
use super::prewritten::PAGE;
use super::progress::{Naming, Scope, Syncing};
use super::rights::{SYNC, WRITE};
use crate::error::{Failure, same_error};
use crate::segment::LiveSegment;
use crate::sync::{Arc, Ordering};
use crate::{FsyncPolicy, Result};

/// A sync that takes less is over before a thread has fallen asleep and was woken again.
const QUICK: Duration = Duration::from_micros(20);

/// How often a thread lets others go first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Before it leads, so that those whom the last commit has woken join this one.
    pub(super) before_leading: u32,
    /// Before it sleeps, while another leads.
    pub(crate) before_sleeping: u32,
}

impl Engine {
    /// By the last sync. Both figures were found by trial (docs/performance.md): on a disk four times gather all who are ready,
    /// and sleeping costs less than waiting; where a sync costs nothing each switch of threads costs more than a commit.
    pub(crate) fn pace(&self) -> Pace {
        if self.quick.load(Ordering::Relaxed) {
            Pace {
                before_leading: 1,
                before_sleeping: 20,
            }
        } else {
            Pace {
                before_leading: 4,
                before_sleeping: 0,
            }
        }
    }

    /// Leads a commit: all that was entered before the call is durable when it returns Ok.
    ///
    /// The lock goes through the steps as a value: each gives it back only for its I/O.
    pub(super) fn commit(&self, right: Right<'_, SYNC>, mut state: StateGuard<'_>) -> Result<()> {
        let calls = state.buffers.totals().calls;
        state.background.begin_commit(calls);
        let mut state = self.commit_all(&right, state)?;
        state.give_back(right);
        Ok(())
    }

    /// Hands over all that has entered, and syncs it.
    pub(super) fn commit_all<'a, const WHICH: u16>(
        &'a self,
        right: &Right<'_, WHICH>,
        state: StateGuard<'a>,
    ) -> Result<StateGuard<'a>> {
        let serial = state.entered_serial();
        let state = self.write_up_to(state, serial)?;
        self.sync_files(right, state, Scope::All)
    }

    /// Hands over until the buffer `serial` is with the operating system; other writers may do a part of it.
    pub(super) fn write_up_to<'a>(
        &'a self,
        mut state: StateGuard<'a>,
        serial: u64,
    ) -> Result<StateGuard<'a>> {
        loop {
            state.life.check_poison()?;
            if state.progress.written_serial() >= serial {
                return Ok(state);
            }
            state = match state.take::<WRITE>() {
                Some(right) => self.write_one(right, state)?,
                None => state.until_free(WRITE),
            };
        }
    }

    /// Hands one buffer over.
    pub(super) fn write_one<'a>(
        &'a self,
        right: Right<'_, WRITE>,
        mut state: StateGuard<'a>,
    ) -> Result<StateGuard<'a>> {
        state.background.offers.write = None;
        let Some(mut handover) = state.take_handover(&*self.clock) else {
            state.give_back(right);
            return Ok(state);
        };
        let naming = state.progress.naming(handover.segment.id());
        // Taking the buffer made room.
        state.waiters.wake_for_room();
        drop(state);

        let outcome = self.write_out(&mut handover, naming);
        let mut state = self.state();
        state.give_back(right);
        // Invariant 5: a failed write is final, a full disk as well.
        if let Err(failure) = outcome {
            return Err(state.poison(failure));
        }
        state.progress.note_written(&handover);
        state
            .buffers
            .put_back(handover.groups, self.settings.buffer);
        state.wake_written(&*self.clock);
        if self.settings.config.fsync_policy == FsyncPolicy::Always && state.buffers.are_waiting() {
            // No thread of the log writes what is left: whoever waits for room may do it now.
            state.waiters.wake_for_room();
        }
        Ok(state)
    }

    fn write_out(&self, handover: &mut Handover, naming: Naming) -> Result<(), Failure> {
        let segment = &handover.segment;
        let id = segment.id();
        // Invariant 1: a durable name behind one that is not is a hole in the chain.
        if naming == Naming::SyncThenRename {
            self.sync_directory()?;
        }
        if naming != Naming::Done {
            self.storage
                .rename(&wal_format::spare_name(id), &wal_format::segment_name(id))
                .map_err(|error| {
                    self.caused_by_place((format!("giving segment {id} its name"), error))
                })?;
        }
        let (offset, len) = (handover.groups.start(), handover.groups.len());
        // Zeros that were written past the page cache are not in it: a whole page need not be read before it is written.
        let page = if handover.on_zeros { PAGE } else { 1 };
        handover
            .groups
            .with_zeros_behind(page, |bytes| segment.file.write_all_at(bytes, offset.get()))
            .map_err(|error| {
                (
                    format!("a write of {len} bytes to segment {id} at offset {offset}"),
                    error,
                )
            })?;
        self.counters.written(len as u64);
        Ok(())
    }

    /// Syncs what `scope` names. It covers only writes that returned before it began. `_right` includes the right to sync.
    pub(super) fn sync_files<'a, const WHICH: u16>(
        &'a self,
        _right: &Right<'_, WHICH>,
        state: StateGuard<'a>,
        scope: Scope,
    ) -> Result<StateGuard<'a>> {
        const { assert!(WHICH & SYNC != 0) }
        let syncing = state.progress.begin_sync(scope);
        // Those whose successors get their durable names now.
        let rotated = state.segments.followed_after(state.progress.named());
        drop(state);

        let outcome = self.sync_out(&syncing, &rotated);
        let mut state = self.state();
        // Invariant 5: a failed sync is final.
        if let Err(failure) = outcome {
            return Err(state.poison(failure));
        }
        state.life.check_poison()?;
        state.progress.end_sync(&syncing);
        state.wake_synced(&*self.clock);
        // A finished sync may be what a rotation waited for.
        state.waiters.wake_for_room();
        Ok(state)
    }

    fn sync_out(&self, syncing: &Syncing, rotated: &[Arc<LiveSegment>]) -> Result<(), Failure> {
        // Invariant 6: without it the file may have no name after a crash.
        if syncing.directory {
            self.sync_directory()?;
            // A record is of no use in a segment after one that nobody can open again.
            rotated
                .iter()
                .try_for_each(|segment| segment.check_linked())?;
        }
        for target in &syncing.targets {
            let segment = &target.segment;
            let begun = self.clock.monotonic();
            // Invariants 4 and 5: through the handle that has written it, and once.
            segment
                .file
                .sync_data()
                .map_err(|error| (format!("a sync of segment {}", segment.id()), error))?;
            // A record that no process can open again is not durable.
            segment.check_linked()?;
            let time = self.clock.monotonic().saturating_sub(begun);
            self.quick.store(time < QUICK, Ordering::Relaxed);
            self.counters.synced(time);
        }
        Ok(())
    }

    /// One at a time. After one that failed there is no other: it could succeed, and would prove nothing.
    pub(super) fn sync_directory(&self) -> Result<(), Failure> {
        let during = || "a sync of the directory".to_owned();
        let mut failed = self.dir_sync.lock();
        if let Some(error) = &*failed {
            // Its caller is about to set the poison.
            return Err((during(), same_error(error)));
        }
        self.counters.directory_synced();
        self.storage.sync_dir().map_err(|error| {
            *failed = Some(same_error(&error));
            (during(), error)
        })?;
        self.check_place()
    }
}
