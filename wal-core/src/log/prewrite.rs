//! Zeros ahead of the records, under `Always`: a sync of blocks that were reserved but never written has to write down that
//! they are in use now, which costs half a sync or more (docs/performance.md). So the keeper overwrites the active segment, and
//! then the spare, with zeros before the records come ([`StorageFile::prewrite`](wal_io::StorageFile::prewrite)).
//!
//! The bytes of a segment do not change by it: they were zeros before. What must never happen is that zeros meet a record:
//! while a range is being overwritten, no append enters a group that would reach into it, and no footer is written to the file.

use super::engine::{Engine, Right, StateGuard};
use super::prewritten::Range;
use super::rights::PREWRITE;
use super::state::State;
use crate::segment::first_record_offset;
use crate::settings::Driver;
use crate::sync::Arc;
use crate::{FsyncPolicy, Prewrite};

/// With this much behind the records, the steps take a fifth of the device's time, with less half of it: the rest is the
/// commits'.
const ENOUGH: u64 = 8 << 20;

impl Engine {
    /// The range to overwrite next, now or later.
    pub(super) fn range_ahead(&self, state: &State) -> Option<Range> {
        let config = &self.settings.config;
        if config.fsync_policy != FsyncPolicy::Always
            || !config.preallocate
            || self.settings.prewrite == Prewrite::Off
            || !state.life.is_open()
        {
            return None;
        }
        let active = state.segments.active()?;
        let end = state.buffers.filling().end().get() + state.room_for_changes();
        let range = active.prewritten.next(active.id(), end, active.allocated);
        range.or_else(|| {
            let spare = state.segments.spare()?;
            let start = first_record_offset(spare.segment.header.layout()).get();
            let id = spare.segment.id();
            spare.prewritten.next(id, start, spare.allocated)
        })
    }

    /// Overwrites the next range. It is taken under the lock under which it was found to be due: what happens to the log beside it
    /// waits for its end.
    pub(super) fn prewrite(&self, right: Right<'_, PREWRITE>, mut state: StateGuard<'_>) {
        let range = self.range_ahead(&state);
        let mut files = state.segments.prewritten_files();
        let file = range.and_then(|range| {
            let file = files.find(|(segment, _)| segment.id() == range.segment);
            file.map(|(segment, _)| (range, Arc::clone(&segment.file)))
        });
        drop(files);
        let Some((range, file)) = file else {
            state.give_back(right);
            return;
        };
        state.prewriting.begin(range);
        // From here on appends keep away from it.
        state.buffers.shut_gate();
        drop(state);

        let begun = self.clock.monotonic();
        let outcome = file.prewrite(range.from, range.to - range.from);
        let ended = self.clock.monotonic();

        let mut state = self.state();
        state.give_back(right);
        let mut not_before = state.prewriting.not_before();
        if self.settings.driver == Driver::Threads {
            let lead = range.to.saturating_sub(state.buffers.filling().end().get());
            let rest = if lead < ENOUGH { 1 } else { 4 };
            not_before = ended + ended.saturating_sub(begun) * rest;
        }
        state.prewriting.end(not_before);
        // An error is no more than that: nothing was lost, and whether the records are safe their own sync says.
        let done = matches!(outcome, Ok(true));
        if done {
            self.counters.prewritten(range.to - range.from);
        }
        for (segment, prewritten) in state.segments.prewritten_files() {
            if segment.id() == range.segment {
                prewritten.note(range, done);
            }
        }
        state.waiters.wake_for_room();
    }
}
