//! Sets of sector numbers as ranges: which sectors of a file have space on disk.

/// Disjoint ranges in order, none touching the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges {
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    /// How many numbers there are.
    pub(super) fn count(&self) -> u64 {
        self.ranges.iter().map(|(start, end)| end - start).sum()
    }

    /// How many of `start..end` are not in the set.
    pub(super) fn missing(&self, start: u64, end: u64) -> u64 {
        let inside = |&(from, to): &(u64, u64)| to.min(end).saturating_sub(from.max(start));
        end - start - self.ranges.iter().map(inside).sum::<u64>()
    }

    pub(super) fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let first = self.ranges.partition_point(|range| range.1 < start);
        let last = self.ranges.partition_point(|range| range.0 <= end);
        let merged = match self.ranges.get(first..last) {
            Some([only]) => (only.0.min(start), only.1.max(end)),
            Some([low, .., high]) => (low.0.min(start), high.1.max(end)),
            _ => (start, end),
        };
        self.ranges.splice(first..last, [merged]);
    }

    /// Drops the numbers from `end` on.
    pub(super) fn truncate(&mut self, end: u64) {
        self.ranges.retain(|range| range.0 < end);
        if let Some(last) = self.ranges.last_mut() {
            last.1 = last.1.min(end);
        }
    }
}
