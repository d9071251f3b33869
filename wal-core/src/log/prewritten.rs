//! How far a segment file was overwritten with zeros ahead of the records, and the range where that happens now.

use std::time::Duration;

use wal_format::SegmentId;

/// Ranges are multiples of it.
pub(super) const PAGE: u64 = 4096;
/// Overwritten in one step. The sync behind a step has to write down that the blocks are in use now, so few large ones are
/// better than many small ones.
const STEP: u64 = 1 << 20;
/// Appends are left this much room before the range, so that they do not run into it. Doubled when they did.
const MARGIN: u64 = 256 << 10;
const MOST_MARGIN: u64 = 4 << 20;

/// How far a segment file has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prewritten {
    /// Below, all is written or overwritten with zeros.
    until: u64,
    margin: u64,
    /// The file system does not need it, or cannot do it, or it has failed.
    given_up: bool,
}

impl Prewritten {
    /// Of a new file, where nothing else was written than its header.
    pub(super) fn none() -> Self {
        Self {
            until: 0,
            margin: MARGIN,
            given_up: false,
        }
    }

    /// Of a file that is not overwritten ahead.
    pub(super) fn never() -> Self {
        Self {
            given_up: true,
            ..Self::none()
        }
    }

    /// The next range of the file of `segment`, which has `allocated` bytes and whose data ends at `end`.
    pub(super) fn next(&self, segment: SegmentId, end: u64, allocated: u64) -> Option<Range> {
        let allocated = allocated / PAGE * PAGE;
        // Small segments are for tests, which want to see it happen.
        let margin = self.margin.min(allocated / 32);
        let from = self.until.max((end + margin).next_multiple_of(PAGE));
        (!self.given_up && from + PAGE <= allocated).then(|| Range {
            segment,
            from,
            to: (from + STEP).min(allocated),
        })
    }

    /// Whether zeros lie behind `end`.
    pub(super) fn is_behind(&self, end: u64) -> bool {
        self.until > end
    }

    /// An append has run into the range: the next one leaves more room.
    pub(super) fn widen_margin(&mut self) {
        self.margin = (self.margin * 2).min(MOST_MARGIN);
    }

    /// The range was overwritten, or could not be.
    pub(super) fn note(&mut self, range: Range, done: bool) {
        self.until = range.to;
        self.given_up |= !done;
    }
}

/// A part of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) segment: SegmentId,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The range that is being overwritten, and when the next one may begin.
#[derive(Debug, Default)]
pub(super) struct Prewriting {
    now: Option<Range>,
    not_before: Duration,
}

impl Prewriting {
    pub(super) fn not_before(&self) -> Duration {
        self.not_before
    }

    pub(super) fn begin(&mut self, range: Range) {
        self.now = Some(range);
    }

    pub(super) fn end(&mut self, not_before: Duration) {
        self.now = None;
        self.not_before = not_before;
    }

    /// Where a group of segment `id` must end at the latest for now.
    pub(super) fn limit(&self, id: SegmentId) -> u64 {
        match &self.now {
            // Zeros never meet a record.
            Some(range) if range.segment == id => range.from,
            _ => u64::MAX,
        }
    }
}
