//! Counters that are always on.

use std::time::Duration;

use wal_format::Lsn;

use crate::sync::{AtomicU64, Ordering};

/// What a handle has done since it was opened, and where the log stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stats {
    /// Records appended.
    pub records_appended: u64,
    /// Bytes of those records as encoded, without group headers.
    pub bytes_appended: u64,
    /// Writes of groups to segment files.
    pub writes: u64,
    /// Bytes of those writes.
    pub bytes_written: u64,
    /// Bytes overwritten with zeros ahead of the records, under `Always`; see [`Prewrite`](crate::Prewrite).
    pub bytes_prewritten: u64,
    /// Syncs of segment files for appended records.
    pub syncs: u64,
    /// Time spent in those syncs.
    pub sync_time: Duration,
    /// Syncs of the directory.
    pub directory_syncs: u64,
    /// Segments begun.
    pub rotations: u64,
    /// Time spent making segment files, beside the appends.
    pub provision_time: Duration,
    /// Segments of the log.
    pub segments: u64,
    /// The first LSN of the log.
    pub first_lsn: Lsn,
    /// The last LSN given to a record; below `first_lsn` if the log is empty.
    pub last_lsn: Lsn,
    /// The highest LSN known to be on stable storage.
    pub durable_lsn: Lsn,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    writes: AtomicU64,
    written: AtomicU64,
    prewritten: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    directory_syncs: AtomicU64,
    rotations: AtomicU64,
    provision_nanos: AtomicU64,
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Counters {
    pub(crate) fn written(&self, bytes: u64) {
        add(&self.writes, 1);
        add(&self.written, bytes);
    }

    pub(crate) fn prewritten(&self, bytes: u64) {
        add(&self.prewritten, bytes);
    }

    pub(crate) fn synced(&self, time: Duration) {
        add(&self.syncs, 1);
        add(&self.sync_nanos, nanos(time));
    }

    pub(crate) fn directory_synced(&self) {
        add(&self.directory_syncs, 1);
    }

    pub(crate) fn rotated(&self) {
        add(&self.rotations, 1);
    }

    pub(crate) fn provided(&self, time: Duration) {
        add(&self.provision_nanos, nanos(time));
    }

    /// The counters; the log's own facts are the caller's to fill in.
    pub(crate) fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            writes: get(&self.writes),
            bytes_written: get(&self.written),
            bytes_prewritten: get(&self.prewritten),
            syncs: get(&self.syncs),
            sync_time: Duration::from_nanos(get(&self.sync_nanos)),
            directory_syncs: get(&self.directory_syncs),
            rotations: get(&self.rotations),
            provision_time: Duration::from_nanos(get(&self.provision_nanos)),
            ..Stats::default()
        }
    }
}
