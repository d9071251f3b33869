//! Zeros ahead of the records, under `Always`: a sync of blocks that were reserved but never written has to write down that
//! they are in use now, which costs half a sync or more (docs/performance.md). So the keeper overwrites the active segment, and
//! then the spare, with zeros before the records come ([`StorageFile::prewrite`](wal_io::StorageFile::prewrite)).
//!
//! The bytes of a segment do not change by it: they were zeros before. What must never happen is that zeros meet a record:
//! while a range is being overwritten, no append enters a group that would reach into it, and no footer is written to the file.

use std::time::Duration;

use wal_format::SegmentId;

use super::begin::first_record_offset;
use super::state::{Active, LiveSegment, State, Status};
use super::{Driver, Engine};
use crate::sync::{Arc, MutexGuard};
use crate::{FsyncPolicy, Prewrite, sabotage};

/// Ranges are multiples of it.
pub(super) const PAGE: u64 = 4096;
/// Overwritten in one step. The sync behind a step has to write down that the blocks are in use now, so few large ones are
/// better than many small ones.
const STEP: u64 = 1 << 20;
/// With this much behind the records, the steps take a fifth of the device's time, with less half of it: the rest is the
/// commits'.
const ENOUGH: u64 = 8 << 20;
/// Appends are left this much room before the range, so that they do not run into it. Doubled when they did.
const MARGIN: u64 = 256 << 10;
const MOST_MARGIN: u64 = 4 << 20;

/// How far a segment file has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prewritten {
    /// Below, all is written or overwritten with zeros.
    until: u64,
    margin: u64,
    /// The file system does not need it, or cannot do it, or it has failed.
    given_up: bool,
}

impl Prewritten {
    /// Of a new file, where nothing else was written than its header.
    pub(crate) fn none() -> Self {
        Self {
            until: 0,
            margin: MARGIN,
            given_up: false,
        }
    }

    /// Of a file that is not overwritten ahead.
    pub(crate) fn never() -> Self {
        Self {
            given_up: true,
            ..Self::none()
        }
    }

    /// Where the next range begins in a file with `allocated` bytes whose data ends at `end`.
    fn next(&self, end: u64, allocated: u64) -> Option<u64> {
        // Small segments are for tests, which want to see it happen.
        let margin = self.margin.min(allocated / 32);
        let mut from = self.until.max((end + margin).next_multiple_of(PAGE));
        if sabotage::is("zeros-over-the-last-page") {
            from = end / PAGE * PAGE;
        }
        (!self.given_up && from + PAGE <= allocated).then_some(from)
    }

    /// Whether zeros lie behind `end`.
    pub(crate) fn is_behind(&self, end: u64) -> bool {
        self.until > end
    }
}

/// The range that is being overwritten.
#[derive(Clone, Copy, Debug)]
struct Range {
    segment: SegmentId,
    from: u64,
    to: u64,
}

/// The keeper's work on it.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    busy: Option<Range>,
    /// The next range is not begun before.
    not_before: Duration,
}

impl Ahead {
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Where a group of segment `id` must end at the latest for now.
    pub(crate) fn limit(&self, id: SegmentId) -> u64 {
        match &self.busy {
            // Zeros never meet a record.
            Some(_) if sabotage::is("record-where-zeros-are-written") => u64::MAX,
            Some(range) if range.segment == id => range.from,
            _ => u64::MAX,
        }
    }
}

impl State {
    /// The files that are overwritten: the active segment's and the spare's.
    fn files_ahead(&mut self) -> [Option<(&LiveSegment, &mut Prewritten)>; 2] {
        let active = self.active.as_mut();
        let spare = self.spare.as_mut();
        [
            active.map(|active| (&*active.segment, &mut active.prewritten)),
            spare.map(|spare| (&*spare.segment, &mut spare.prewritten)),
        ]
    }
}

impl Active {
    /// An append has run into the range: the next one leaves more room.
    pub(super) fn widen_margin(&mut self) {
        self.prewritten.margin = (self.prewritten.margin * 2).min(MOST_MARGIN);
    }
}

impl Engine {
    /// The range to overwrite next, now or later.
    fn ahead_wanted(&self, state: &State) -> Option<Range> {
        if self.settings.config.fsync_policy != FsyncPolicy::Always
            || !self.settings.config.preallocate
            || self.settings.prewrite == Prewrite::Off
            || state.ahead.is_busy()
            || state.rewinding
            || !matches!(state.status, Status::Open)
        {
            return None;
        }
        let range = |segment: &LiveSegment, prewritten: &Prewritten, end, allocated| {
            let allocated = allocated / PAGE * PAGE;
            let from = prewritten.next(end, allocated)?;
            Some(Range {
                segment: segment.id(),
                from,
                to: (from + STEP).min(allocated),
            })
        };
        let active = state.active.as_ref()?;
        let changes = state.room_for_changes(active.segment.header.alignment);
        let end = state.filling.end().get() + changes;
        range(&active.segment, &active.prewritten, end, active.allocated).or_else(|| {
            let spare = state.spare.as_ref()?;
            let start = first_record_offset(spare.segment.header.layout());
            range(
                &spare.segment,
                &spare.prewritten,
                start.get(),
                spare.allocated,
            )
        })
    }

    pub(super) fn ahead_due(&self, state: &State) -> bool {
        self.ahead_wanted(state).is_some() && state.ahead.not_before <= self.clock.monotonic()
    }

    pub(super) fn ahead_deadline(&self, state: &State) -> Option<Duration> {
        self.ahead_wanted(state).map(|_| state.ahead.not_before)
    }

    /// Overwrites the next range. It is taken under the lock under which it was found to be due: what happens to the log beside it
    /// waits for its end.
    pub(super) fn write_ahead(&self, mut state: MutexGuard<'_, State>) {
        let Some(range) = self.ahead_wanted(&state) else {
            return;
        };
        let segments = state.files_ahead();
        let file = segments.into_iter().flatten();
        let Some(file) = file
            .filter(|(segment, _)| segment.id() == range.segment)
            .map(|(segment, _)| Arc::clone(&segment.file))
            .next()
        else {
            return;
        };
        state.ahead.busy = Some(range);
        // From here on appends keep away from it.
        state.shut_gate();
        drop(state);

        let begun = self.clock.monotonic();
        let outcome = file.prewrite(range.from, range.to - range.from);
        let ended = self.clock.monotonic();

        let mut state = self.state();
        state.ahead.busy = None;
        if self.settings.driver == Driver::Threads {
            let lead = range.to.saturating_sub(state.filling.end().get());
            let rest = if lead < ENOUGH { 1 } else { 4 };
            state.ahead.not_before = ended + ended.saturating_sub(begun) * rest;
        }
        // An error is no more than that: nothing was lost, and whether the records are safe their own sync says.
        let done = matches!(outcome, Ok(true));
        if done {
            self.counters.prewritten(range.to - range.from);
        }
        for (segment, prewritten) in state.files_ahead().into_iter().flatten() {
            if segment.id() == range.segment {
                prewritten.until = range.to;
                prewritten.given_up |= !done;
            }
        }
        Self::tell_of_room(state);
    }
}
