//! Hand-over and sync: a leader does both for everyone who queued behind it.
//!
//! Whoever needs bytes durable and finds nobody at it becomes the leader: it hands over all that was appended so far, syncs
//! once, moves the watermark and wakes all who are served, and the first who is not: that one leads next.

use std::io;
use std::time::Duration;

use wal_format::Lsn;
use wal_io::StorageFileExt;

use super::Engine;
use super::ahead::PAGE;
use super::parked::Role;
use super::state::{Handover, LiveSegment, Mark, State, Unsynced};
use crate::error::{is_no_space, same_error};
use crate::sync::{Arc, IfPanicking, MutexGuard, Ordering, wake_all};
use crate::{FsyncPolicy, Result, sabotage};

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

/// What failed, and the system's error: the cause of a poison.
pub(super) type Failure = (String, io::Error);

/// Which files a sync covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All that was handed over.
    All,
    /// Only segments that a later one has taken over from.
    Rotated,
}

/// What a write has to do first about the name of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// Nothing: the file has its name.
    Done,
    /// It is still called a spare.
    Rename,
    /// The same, and the name of the segment that it follows is not durable: without it the chain would have a hole.
    SyncThenRename,
}

/// One file of a sync, and how far it will be synced.
struct Target {
    segment: Arc<LiveSegment>,
    written: u64,
    written_lsn: Lsn,
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

    /// Leads a commit: the caller has taken `syncing`. All that was entered before the call is durable when it returns Ok.
    ///
    /// The lock goes through the steps as a value: each gives it back only for its I/O.
    pub(super) fn commit(&self, mut state: MutexGuard<'_, State>) -> Result<()> {
        let alone = state.appended.calls - state.committed < 2;
        state.lonely = if alone {
            state.lonely.saturating_add(1)
        } else {
            0
        };
        state.committed = state.appended.calls;
        state.offers.commit = None;
        let serial = state.entered_serial();
        match self.write_up_to(state, serial) {
            Ok(state) => self.sync_files(state, Scope::All),
            Err(error) => {
                self.state().syncing = false;
                Err(error)
            }
        }
    }

    /// Hands over until the buffer `serial` is with the operating system; other writers may do a part of it.
    pub(super) fn write_up_to<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        serial: u64,
    ) -> Result<MutexGuard<'a, State>> {
        loop {
            Self::check_poison(&state)?;
            if state.written_serial >= serial {
                return Ok(state);
            }
            if state.writing {
                state.parked.leaders += 1;
                state = self.leaders.wait(state);
                state.parked.leaders -= 1;
                continue;
            }
            state.writing = true;
            state = self.write_one(state)?;
        }
    }

    /// Hands one buffer over: the caller has taken `writing`.
    pub(super) fn write_one<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>> {
        state.offers.write = None;
        let Some(mut handover) = state.take_handover(&*self.clock) else {
            state.writing = false;
            return Ok(state);
        };
        let naming = if state.renamed >= handover.segment.id() {
            Naming::Done
        } else if state.renamed > state.dir_synced {
            Naming::SyncThenRename
        } else {
            Naming::Rename
        };
        // Taking the buffer made room.
        Self::tell_of_room(state);

        let outcome = self.write_out(&mut handover, naming);
        let mut state = self.state();
        state.writing = false;
        // Invariant 5: a failed write is final, a full disk as well.
        if let Err((during, error)) = outcome
            && !sabotage::is("write-error-ignored")
            && !(is_no_space(&error) && sabotage::is("full-disk-at-a-write-ignored"))
        {
            return Err(self.poison(state, during, error));
        }
        self.note_written(&mut state, handover);
        let mut wakers = state.take_written(&*self.clock);
        if self.settings.config.fsync_policy == FsyncPolicy::Always && !state.frozen.is_empty() {
            // No thread of the log writes what is left: whoever waits for room may do it now.
            state.waiters.take_room(&mut wakers);
        }
        if state.parked.leaders > 0 {
            self.leaders.notify_all();
        }
        // Threads that read the state during this write found no deadline: its bytes were waiting neither to be written nor to
        // be synced.
        self.nudge(&state, Role::Writer);
        self.nudge(&state, Role::Syncer);
        if Self::rotated_sync_due(&state) {
            // The last bytes of a rotated segment: under `Os` nobody else would sync it.
            self.signal_keeper(&state);
        }
        if !wakers.is_empty() {
            drop(state);
            wake_all(wakers);
            state = self.state();
        }
        Ok(state)
    }

    fn write_out(&self, handover: &mut Handover, naming: Naming) -> Result<(), Failure> {
        let _guard = IfPanicking(|| self.poison_panicked("a write"));
        let segment = &handover.segment;
        let id = segment.id();
        // Invariant 1: a durable name behind one that is not is a hole in the chain.
        if naming == Naming::SyncThenRename && !sabotage::is("name-before-the-one-before-it") {
            self.sync_directory()?;
        }
        if naming != Naming::Done && !sabotage::is("made-under-its-final-name") {
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

    fn note_written(&self, state: &mut State, handover: Handover) {
        let id = handover.segment.id();
        let end = handover.groups.end().get();
        state.renamed = state.renamed.max(id);
        if let Some(dirty) = state
            .dirty
            .iter_mut()
            .find(|dirty| dirty.segment.id() == id)
        {
            dirty.written = end;
            dirty.written_lsn = handover.end_lsn;
        }
        state.written = Mark {
            lsn: handover.end_lsn,
            segment: id,
            offset: end,
        };
        state.written_serial = handover.serial;
        state.written_watermark = handover.watermark;
        if let Some(since) = handover.since {
            state.unsynced.push_back(Unsynced {
                lsn: handover.end_lsn,
                changes: handover.changes.then_some(handover.serial),
                since,
            });
        }
        let mut groups = handover.groups;
        if state.free.len() < 2 {
            groups.shrink_to(self.settings.buffer);
            state.free.push(groups);
        }
    }

    /// Syncs what `scope` names: the caller has taken `syncing`. It covers only writes that returned before it began.
    pub(super) fn sync_files(&self, state: MutexGuard<'_, State>, scope: Scope) -> Result<()> {
        let newest = state.dirty.back().map(|dirty| dirty.segment.id());
        let targets: Vec<Target> = state
            .dirty
            .iter()
            .filter(|dirty| dirty.written > dirty.synced)
            .filter(|dirty| scope == Scope::All || Some(dirty.segment.id()) != newest)
            .map(|dirty| Target {
                segment: Arc::clone(&dirty.segment),
                written: dirty.written,
                written_lsn: dirty.written_lsn,
            })
            .collect();
        let renamed = state.renamed;
        let directory = renamed > state.dir_synced;
        let serial = state.written_serial;
        let watermark = state.written_watermark;
        // Those whose successors get their durable names now.
        let rotated: Vec<_> = state
            .sealing
            .iter()
            .filter(|sealing| sealing.successor > state.dir_synced)
            .map(|sealing| Arc::clone(&sealing.segment))
            .collect();
        drop(state);

        let outcome = self.sync_out(&targets, &rotated, directory);
        let mut state = self.state();
        state.syncing = false;
        // Invariant 5: a failed sync is final.
        if let Err((during, error)) = outcome
            && !sabotage::is("sync-error-ignored")
        {
            return Err(self.poison(state, during, error));
        }
        Self::check_poison(&state)?;
        state.dir_synced = state.dir_synced.max(renamed);
        for target in &targets {
            let id = target.segment.id();
            if let Some(dirty) = state
                .dirty
                .iter_mut()
                .find(|dirty| dirty.segment.id() == id)
            {
                dirty.synced = target.written;
                dirty.synced_lsn = target.written_lsn;
                // Invariant 4: a sync covers only what was written before it began.
                if sabotage::is("sync-covers-later-writes") {
                    (dirty.synced, dirty.synced_lsn) = (dirty.written, dirty.written_lsn);
                }
            }
        }
        if scope == Scope::All {
            state.synced_serial = state.synced_serial.max(serial);
            state.proven = state.proven.max(watermark);
        }
        if state.settle() {
            self.durable
                .store(state.durable.lsn.get(), Ordering::Release);
        }
        self.after_sync(state);
        Ok(())
    }

    fn after_sync(&self, mut state: MutexGuard<'_, State>) {
        let mut wakers = state.take_synced(&*self.clock);
        if !wakers.is_empty() {
            state.lonely = 0;
        }
        // A finished sync may be what a rotation waited for.
        state.waiters.take_room(&mut wakers);
        if state.parked.leaders > 0 {
            self.leaders.notify_all();
        }
        self.nudge(&state, Role::Keeper);
        self.nudge(&state, Role::Syncer);
        drop(state);
        wake_all(wakers);
    }

    fn sync_out(
        &self,
        targets: &[Target],
        rotated: &[Arc<LiveSegment>],
        directory: bool,
    ) -> Result<(), Failure> {
        let _guard = IfPanicking(|| self.poison_panicked("a sync"));
        // Invariant 6: without it the file may have no name after a crash.
        if directory && !sabotage::is("name-sync-skipped") {
            self.sync_directory()?;
            // A record is of no use in a segment after one that nobody can open again.
            if !sabotage::is("rotated-away-from-a-deleted-file") {
                rotated
                    .iter()
                    .try_for_each(|segment| segment.check_linked())?;
            }
        }
        for Target { segment, .. } in targets {
            let begun = self.clock.monotonic();
            self.sync_segment(segment)
                .map_err(|error| (format!("a sync of segment {}", segment.id()), error))?;
            // A record that no process can open again is not durable.
            segment.check_linked()?;
            let time = self.clock.monotonic().saturating_sub(begun);
            // A slow disk is not a broken one.
            if sabotage::is("slow-sync-taken-for-failed") && time > Duration::from_secs(1) {
                return Err(("a sync".into(), io::ErrorKind::TimedOut.into()));
            }
            self.quick.store(time < QUICK, Ordering::Relaxed);
            self.counters.synced(time);
        }
        Ok(())
    }

    /// Through the handle that has written it, and once.
    fn sync_segment(&self, segment: &LiveSegment) -> io::Result<()> {
        // Invariant 1: a durable record implies all before it, in the segment before as well.
        if sabotage::is("rotated-segment-not-synced") && segment.id() < self.state().renamed {
            return Ok(());
        }
        // Invariant 4: a fresh handle may not be told of an earlier error.
        if sabotage::is("sync-on-a-fresh-handle") {
            let name = wal_format::segment_name(segment.id());
            return self
                .storage
                .open(&name, wal_io::OpenMode::ReadWrite)?
                .sync_data();
        }
        let synced = sabotage::unless("commit-sync-skipped", || segment.file.sync_data());
        // Invariant 5: the second sync succeeds and proves nothing.
        if sabotage::is("failed-sync-retried") && synced.is_err() {
            return segment.file.sync_data();
        }
        synced
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
        // Invariant 5: the second sync succeeds and proves nothing.
        if sabotage::is("failed-name-sync-retried") && self.storage.sync_dir().is_ok() {
            return Ok(());
        }
        self.storage.sync_dir().map_err(|error| {
            *failed = Some(same_error(&error));
            (during(), error)
        })?;
        self.check_place()
    }

    pub(super) fn poison_panicked(&self, during: &str) {
        let error = io::Error::other("the storage panicked");
        self.poison(self.state(), during.to_owned(), error);
    }
}
