//! What a repair found and did, or would do.

use std::fmt;

use wal_format::{Lsn, Offset, SegmentId};

use crate::Error;

/// Whether a repair changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum RepairMode {
    /// It says what it would do. Changes no byte.
    DryRun,
    /// It does it.
    Apply,
}

/// LSNs that a repair records as lost, because nothing valid was found for them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LostRecords {
    /// The first of them.
    pub from: Lsn,
    /// The last of them.
    pub to: Lsn,
    /// Segment of the first bytes that do not verify; 0 if nothing of these records is left.
    pub segment_id: SegmentId,
    /// Their offset in its file, in bytes.
    pub offset: Offset,
    /// What does not verify.
    pub what: String,
}

/// What a repair found, and what it did about it (or would do, in a [dry run](RepairMode::DryRun)). Its `Display` tells a human.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RepairReport {
    /// Whether it was done.
    pub mode: RepairMode,
    /// What is damaged, the first in the log first. Without damage nothing is done.
    pub damage: Vec<Error>,
    /// What is lost, and was not recorded as lost before.
    pub gaps: Vec<LostRecords>,
    /// Records that were copied with their LSNs: those of the replaced segments, and those that could be read in the end of the
    /// log.
    pub records_kept: u64,
    /// Damaged or missing segments before the log's end that are replaced by files under their own names. None in a log of version
    /// 1 of the format.
    pub replaced: Vec<SegmentId>,
    /// The segments with the copies, none of them larger than the log's; empty if no copy was needed.
    pub new_segments: Vec<SegmentId>,
    /// The last LSN of the log: the next record gets the one after it.
    pub last_lsn: Lsn,
    /// Files of which the bytes are kept whole under `quarantine/`.
    pub quarantined: Vec<String>,
    /// Files that the log has no more use for, in the order of their removal.
    pub removed: Vec<String>,
    /// Bytes that the new segments and the quarantine need. A repair does not start without them.
    pub bytes_needed: u64,
}

impl RepairReport {
    /// Whether there is nothing to repair.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty()
    }

    /// Whether it made or removed a file.
    pub(crate) fn has_changed(&self) -> bool {
        let made = self.new_segments.len() + self.replaced.len();
        made + self.quarantined.len() + self.removed.len() > 0
    }

    /// Adds what was found and done after this.
    pub(crate) fn add(&mut self, further: Self) {
        if further.is_whole() {
            return;
        }
        self.damage.extend(further.damage);
        self.gaps.extend(further.gaps);
        self.records_kept += further.records_kept;
        self.replaced.extend(further.replaced);
        self.new_segments.extend(further.new_segments);
        self.last_lsn = further.last_lsn;
        self.quarantined.extend(further.quarantined);
        self.removed.extend(further.removed);
        self.bytes_needed += further.bytes_needed;
    }

    /// How many LSNs are lost, and were not recorded as lost before.
    #[must_use]
    pub fn records_lost(&self) -> u64 {
        let counts = self.gaps.iter().map(|gap| gap.to.get() - gap.from.get());
        counts.fold(0, |sum, count| sum.saturating_add(count).saturating_add(1))
    }
}

impl PartialEq for RepairReport {
    fn eq(&self, other: &Self) -> bool {
        let damage = |report: &Self| -> Vec<String> {
            report.damage.iter().map(ToString::to_string).collect()
        };
        self.mode == other.mode
            && damage(self) == damage(other)
            && self.gaps == other.gaps
            && self.records_kept == other.records_kept
            && self.replaced == other.replaced
            && self.new_segments == other.new_segments
            && self.last_lsn == other.last_lsn
            && self.quarantined == other.quarantined
            && self.removed == other.removed
            && self.bytes_needed == other.bytes_needed
    }
}

impl Eq for RepairReport {}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_whole() {
            return write!(f, "nothing is damaged; nothing to do");
        }
        let (is, are, was) = match self.mode {
            RepairMode::DryRun => ("would be", "would be", "would be"),
            RepairMode::Apply => ("is", "are", "was"),
        };
        for damage in &self.damage {
            writeln!(f, "damaged: {damage}")?;
        }
        for gap in &self.gaps {
            writeln!(
                f,
                "lost: LSN {} to {} (segment {}, offset {}: {})",
                gap.from, gap.to, gap.segment_id, gap.offset, gap.what
            )?;
        }
        for name in &self.quarantined {
            writeln!(f, "the bytes of {name} {are} kept under quarantine/")?;
        }
        for id in &self.replaced {
            writeln!(f, "segment {id} {is} written anew")?;
        }
        if let (Some(first), Some(last)) = (self.new_segments.first(), self.new_segments.last()) {
            writeln!(f, "segments {first} to {last} {are} written")?;
        }
        for name in &self.removed {
            writeln!(f, "{name} {was} removed")?;
        }
        write!(
            f,
            "{} records copied, {} lost; the next one gets LSN {}; {} bytes needed",
            self.records_kept,
            self.records_lost(),
            self.last_lsn.next(),
            self.bytes_needed
        )
    }
}
