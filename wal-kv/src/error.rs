//! The errors of the store: the log's, and what only a store can find. One kind for each next step of the caller.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use wal_core::{Lsn, Position};

/// The result of a call on the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call on the store failed. Each message says where, what, and what to do next.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log refused. Its error says what to do: [`Locked`](wal_core::Error::Locked) where the store is open elsewhere,
    /// [`Closed`](wal_core::Error::Closed), [`Poisoned`](wal_core::Error::Poisoned), [`NoSpace`](wal_core::Error::NoSpace),
    /// [`TooLarge`](wal_core::Error::TooLarge) for a value or a batch, [`Gap`](wal_core::Error::Gap) where a repair has recorded a loss.
    #[error(transparent)]
    Log(#[from] wal_core::Error),
    /// The key is too long. Nothing was written: use a shorter one.
    #[error(
        "a key of {len} bytes is above the limit of {limit} bytes; nothing was written: use a shorter key"
    )]
    KeyTooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The write would make the live data take more memory than it may. Nothing was written: delete keys, or raise the limit.
    #[error(
        "the live data takes {used} of {limit} bytes of memory, and the write needs {needed} more; nothing was written: delete keys, or raise memory_limit"
    )]
    OverMemoryLimit {
        /// Bytes of the live data.
        used: u64,
        /// Bytes that the write needs in addition.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Open views and scans hold as much memory as they may: values that have been replaced or deleted since. Nothing was written:
    /// drop the oldest view. Reads go on, and so do writes of keys whose values no view shows.
    #[error(
        "open views hold {held} of {limit} bytes of values that were replaced since, the oldest view for {oldest_view:?}, and the write needs {needed} more; nothing was written: drop the oldest view or scan, or raise view_memory_limit (reads go on, and writes of keys that no view shows)"
    )]
    OverViewMemoryLimit {
        /// Bytes that the views hold.
        held: u64,
        /// Bytes that the write needs in addition: those of the value that it replaces.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
        /// How long the oldest view has been open.
        oldest_view: Duration,
    },
    /// The directory holds a log that no store wrote. Open it as a log, or name another directory.
    #[error(
        "{location}: holds a log (last LSN {last_lsn}) without a store's marker; nothing was changed: if it is a store whose file kv-store was moved away, put that file back or copy it from any other store; otherwise open it as a log, or name another directory"
    )]
    PlainLog {
        /// The directory.
        location: String,
        /// Last LSN of the log.
        last_lsn: Lsn,
    },
    /// The directory has a store's snapshots and log, but its marker was moved away. Put it back, or copy it from any other
    /// store of the same version.
    #[error(
        "{location}: a store whose file {name:?} is missing; nothing was changed: put the file back, or copy it from any other store"
    )]
    NoMarker {
        /// The directory.
        location: String,
        /// The missing file.
        name: String,
    },
    /// A record of the log is none that a store of this version writes. Use a newer build.
    #[error(
        "{position}: a record that this build's stores do not write; nothing was changed: use a newer build"
    )]
    UnknownRecord {
        /// Where it is.
        position: Position,
    },
    /// A file of the store was written by a version that this build does not know. Use a newer build.
    #[error(
        "{location}: {name} has version {version}, this build reads version {known}; use a build that knows it"
    )]
    UnknownVersion {
        /// The directory.
        location: String,
        /// The file.
        name: String,
        /// Its version.
        version: u32,
        /// The version that this build reads and writes.
        known: u32,
    },
    /// A file has a name like the store's own but is none of them. Find out whose it is.
    #[error(
        "{location}: {name:?} is not the store's: name another directory, or find out whose it is before you move it"
    )]
    ForeignFile {
        /// The directory.
        location: String,
        /// The file.
        name: String,
    },
    /// No snapshot can be read that the log goes on from. Restore the snapshot from a copy.
    #[error(
        "{location}: the log begins at LSN {first_lsn}, and no snapshot leads up to it{}; nothing was changed: restore the snapshot from a copy", rejected(.damaged)
    )]
    NoSnapshot {
        /// The directory.
        location: String,
        /// The first LSN of the log.
        first_lsn: Lsn,
        /// Snapshots that are damaged: name and damage.
        damaged: Vec<(String, String)>,
    },
    /// The log ends before the snapshot that it should go on from: its segments are not those of this store. Restore them from a copy.
    #[error(
        "{location}: there is a snapshot at LSN {snapshot}, but the log ends at LSN {last_lsn}; nothing was changed: restore the log's segments from a copy"
    )]
    LogTooShort {
        /// The directory.
        location: String,
        /// The LSN of the newest snapshot.
        snapshot: Lsn,
        /// The last LSN of the log.
        last_lsn: Lsn,
    },
    /// A snapshot that was just written does not read back as it was written. It was removed; the snapshot before and the log are as
    /// they were: see to the disk.
    #[error(
        "{location}: {name} does not read back as it was written: {what}; it was removed, the log and the snapshot before are unchanged: see to the disk"
    )]
    SnapshotNotVerified {
        /// The directory.
        location: String,
        /// The file.
        name: String,
        /// What does not verify.
        what: String,
    },
    /// The log has reached its bound, since the snapshot that would let it drop records has failed. Nothing was written. Mend what
    /// `source` says; the snapshot is tried again after a second, or after four times what the failed one took, if that is longer.
    /// Reads and deletes of keys that are there go on.
    #[error(
        "{location}: the log has {log_bytes} bytes since the last snapshot, its limit is {limit}, and writing {name} failed: {source}; nothing was written: mend that, the snapshot is tried again by itself (reads and deletes go on)"
    )]
    SnapshotOverdue {
        /// The directory.
        location: String,
        /// The snapshot that failed.
        name: String,
        /// Bytes of the log since the last snapshot.
        log_bytes: u64,
        /// The limit in bytes.
        limit: u64,
        /// Why it failed.
        source: Arc<Self>,
    },
    /// The disk is full, a quota is used up, or the largest allowed file size is reached. Nothing is torn: free some space and call
    /// again.
    #[error("{location}: no space left for {what}; nothing was changed: free space and try again")]
    NoSpace {
        /// The directory.
        location: String,
        /// What the space was needed for.
        what: &'static str,
    },
    /// The operating system reported an error. Mend the cause and try again.
    #[error("{location}: {what}: {source}")]
    Io {
        /// The directory.
        location: String,
        /// What was tried.
        what: &'static str,
        /// The system's error.
        #[source]
        source: Arc<io::Error>,
    },
}

fn rejected(damaged: &[(String, String)]) -> String {
    let one = |(name, damage): &(String, String)| format!(" ({name}: {damage})");
    damaged.iter().map(one).collect()
}

impl Error {
    pub(crate) fn io(location: String, what: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::NoSpace { location, what },
            _ => Self::Io {
                location,
                what,
                source: Arc::new(source),
            },
        }
    }
}
