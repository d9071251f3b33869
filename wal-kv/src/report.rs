//! What the store tells of itself: opening it, snapshots, counters.

use std::time::Duration;

use wal_core::{Lsn, RecoveryReport};

/// How far opening a store has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct OpenProgress {
    /// What is being done.
    pub phase: OpenPhase,
    /// Bytes (of a snapshot) or records (of the log) that are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// The parts of opening a store that take time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum OpenPhase {
    /// The snapshot is read and verified: bytes.
    Snapshot,
    /// The log's records after it are read: records.
    Log,
    /// The ordered index is built: keys.
    Index,
}

/// What opening a store found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OpenReport {
    /// The LSN of the snapshot that was read, if there was one.
    pub snapshot: Option<Lsn>,
    /// Pairs in it.
    pub snapshot_pairs: u64,
    /// Its length in bytes.
    pub snapshot_bytes: u64,
    /// Snapshots that could not be used: name and damage. They are left where they are until the next snapshot.
    pub damaged: Vec<(String, String)>,
    /// Records of the log that were read.
    pub records: u64,
    /// Keys that were dropped because they had expired.
    pub expired: u64,
    /// Keys in the store.
    pub keys: u64,
    /// The most versions of keys that were in memory at a time while the store was opened: those of live keys, and some that the
    /// log had replaced or deleted again.
    pub most_versions: u64,
    /// Unfinished files that were removed.
    pub leftovers: Vec<String>,
    /// [`Stats::disk_bound`], as it was after opening.
    pub disk_bound: Option<u64>,
    /// Bytes that the disk has for the store: those that it takes, and those that are free. `None` if the system does not say.
    pub disk_room: Option<u64>,
    /// How long it took.
    pub time: Duration,
    /// What opening the log found and did.
    pub log: RecoveryReport,
}

impl OpenReport {
    /// A warning for the operator if the disk has less room than the store may take.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let (bound, room) = (self.disk_bound?, self.disk_room?);
        (room < bound).then(|| {
            format!(
                "the store may take {bound} bytes on disk, and the disk has room for {room}: free space, or choose smaller segments, a lower percentage for snapshots or a smaller snapshot_after"
            )
        })
    }
}

/// The result of writing a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SnapshotReport {
    /// The LSN of the last write in it.
    pub lsn: Lsn,
    /// Pairs in it.
    pub pairs: u64,
    /// Bytes of the pairs before compression.
    pub raw_bytes: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// How long it took.
    pub time: Duration,
}

/// Where the store stands, and what this handle and its clones have done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stats {
    /// Keys that are shown.
    pub keys: u64,
    /// Bytes of memory of the live data: the newest version of each key, its expiry's entry, and the index as it is now.
    /// [`memory_limit`](crate::KvConfig::memory_limit) counts the index at its average.
    pub memory_bytes: u64,
    /// Bytes of memory beside those: replaced versions that views or a snapshot show, or that wait until a newer one is shown.
    pub kept_bytes: u64,
    /// Of those, what views and scans show, as [`view_memory_limit`](crate::Builder::view_memory_limit) counts them.
    pub view_bytes: u64,
    /// Bytes of the live keys and values.
    pub live_bytes: u64,
    /// Bytes of the index's tables and nodes as they are now.
    pub index_bytes: u64,
    /// Versions that are kept because a view needs them, or a newer one is not shown yet.
    pub kept_versions: u64,
    /// Open views; a scan has one.
    pub views: u64,
    /// How long the oldest of them has been open.
    pub oldest_view: Option<Duration>,
    /// The LSN of the last write that is shown.
    pub visible_lsn: Lsn,
    /// The highest LSN known to be on stable storage. After a failure of the log, what reads show up to here is durable.
    pub durable_lsn: Lsn,
    /// Bytes of the log since the last snapshot.
    pub log_bytes: u64,
    /// Most bytes that the store takes on disk with the data that it has now, as the README states the bound; `None` under
    /// [`Snapshots::OnCall`](crate::Snapshots::OnCall), where it has none.
    pub disk_bound: Option<u64>,
    /// The LSN of the last snapshot; 0 if there is none.
    pub snapshot_lsn: Lsn,
    /// Snapshots written.
    pub snapshots: u64,
    /// Bytes of those snapshots.
    pub snapshot_bytes: u64,
    /// Snapshots that could not be written.
    pub snapshot_failures: u64,
    /// Keys that expired and were reclaimed.
    pub reclaimed: u64,
    /// How long writers have slept because the log was near its bound, all of them together.
    pub slowed: Duration,
    /// How often the wall clock was seen to jump by more than a second. It is watched while there are keys that expire.
    pub clock_jumps: u64,
    /// How often the store's time was set to the wall clock's, since that had differed for ten seconds. Each is durable.
    pub clock_corrections: u64,
    /// Milliseconds by which the wall clock is ahead of the store's time now.
    pub clock_difference: i64,
    /// The log's own counters.
    pub log: wal_core::Stats,
}
