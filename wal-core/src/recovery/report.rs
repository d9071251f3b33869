//! What opening a log found and did.

use std::collections::BTreeMap;

use wal_format::{Lsn, Offset, SegmentId};

use super::repaired::RepairReport;
use super::scan::Scan;
use crate::FormatVersion;

/// How the data of the newest segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Tail {
    /// With a footer, or where nothing was written yet.
    Whole,
    /// With the remains of a write that a crash cut short. They were never acknowledged as durable, and are left where they
    /// are.
    Torn {
        /// The segment.
        segment_id: SegmentId,
        /// Where the remains begin.
        offset: Offset,
        /// How far they reach, in bytes. Preallocated space does not count.
        bytes: u64,
    },
}

/// What opening the log found, and what it did about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The log was closed before (or is new).
    pub clean: bool,
    /// Segments of the log.
    pub segments: usize,
    /// How many of them have which version of the format, oldest version first.
    pub format_versions: Vec<(FormatVersion, usize)>,
    /// Bytes of the log's data in them, the segments' headers included.
    pub bytes: u64,
    /// The first LSN of the log.
    pub first_lsn: Lsn,
    /// The last LSN of the log; below `first_lsn` if it is empty.
    pub last_lsn: Lsn,
    /// The highest LSN that the files prove was durable before the stop.
    pub proven_lsn: Lsn,
    /// First and last LSN of each loss that a repair recorded, oldest first. No record has one of these LSNs. Losses in damaged
    /// segments may be missing: [`verify`](crate::Offline::verify) reads every byte.
    pub gaps: Vec<(Lsn, Lsn)>,
    /// LSNs from `first_lsn` to `last_lsn` without a record.
    pub(crate) lost: u64,
    /// Node ids in the headers of the log's segments, oldest first, that are not the [`node_id`](crate::WalConfig::node_id)
    /// with which the log was opened now (read-only: not that of the newest segment). Other nodes have written to the log, or
    /// it is a copy of another node's log.
    pub other_node_ids: Vec<u32>,
    /// Records above `proven_lsn` that were whole. A writer has copied them to a new segment and made them durable; a
    /// read-only open shows them as they are.
    pub unproven: u64,
    /// How the data ended.
    pub tail: Tail,
    /// What proves `proven_lsn`, in words.
    pub witness: String,
    /// Files that are no longer part of the log, or will not be once the unproven records are copied. A writer has removed
    /// them.
    pub leftovers: Vec<String>,
    /// What the log can do on a full disk until a segment can be allocated again; `None` if its newest segment has version 1.
    #[doc(hidden)]
    pub reserve: Option<ReserveCounts>,
    /// The repair that came first, in [`RecoveryMode::Salvage`](crate::RecoveryMode::Salvage).
    pub repair: Option<Box<RepairReport>>,
}

/// What the space that a log keeps for a full disk has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ReserveCounts {
    /// Truncations of the oldest records, each with a record of up to 4 KiB of key and value.
    pub truncations: u32,
    /// Other records, of up to 512 bytes of key and value.
    pub records: u32,
    /// Consumers with names of 64 bytes, at most 1,000.
    pub consumers: u32,
}

impl RecoveryReport {
    /// The number of records in the log. LSNs in a [gap](Self::gaps), or in a missing part of a damaged log, have no record.
    #[must_use]
    pub fn records(&self) -> u64 {
        (self.last_lsn.get() + 1)
            .saturating_sub(self.first_lsn.get())
            .saturating_sub(self.lost)
    }

    /// Bytes left behind as a torn tail.
    #[must_use]
    pub fn left_behind_bytes(&self) -> u64 {
        match self.tail {
            Tail::Whole => 0,
            Tail::Torn { bytes, .. } => bytes,
        }
    }
}

/// How many segments of the chains have which version.
pub(crate) fn format_versions<'a>(
    scans: impl IntoIterator<Item = &'a Scan>,
) -> Vec<(FormatVersion, usize)> {
    let chains = scans.into_iter().flat_map(|scan| &scan.chain);
    let mut counts = BTreeMap::new();
    for link in chains {
        *counts.entry(link.facts.header.version).or_default() += 1;
    }
    counts.into_iter().collect()
}
