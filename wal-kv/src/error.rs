//! The errors of the store: the log's, and what only a store can find. One kind for each next step of the caller.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use wal_core::{ErrorKind, Lsn, Position};

/// The result of a call on the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call on the store failed. Each message says where, what, and what to do next.
///
/// Errors of the log arrive as [`Log`](Self::Log). [`kind`](Self::kind) gives the kind of either in one match.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log failed or refused. Its error says what to do: [`Locked`](wal_core::Error::Locked) if the store is open elsewhere,
    /// [`Closed`](wal_core::Error::Closed), [`Poisoned`](wal_core::Error::Poisoned), [`NoSpace`](wal_core::Error::NoSpace),
    /// [`TooLarge`](wal_core::Error::TooLarge) for a value or a batch, [`Gap`](wal_core::Error::Gap) if a repair has recorded a loss.
    /// [`NoSpace`](wal_core::Error::NoSpace) of the log means that a write found no room on disk.
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
    /// The log has a record that stores of this build do not write. Use a newer build.
    #[error(
        "{position}: a record that this build's stores do not write; nothing was changed: use a newer build"
    )]
    UnknownRecord {
        /// Where it is.
        position: Position,
    },
    /// A file of the store was written by a version that this build does not know. Use a newer build.
    #[error(
        "{location}: {name} has version {version}, this build reads version {known}; use a newer build"
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
    /// A file has a name like the store's own (`kv-...`), but the store did not write it. Find out whose it is.
    #[error(
        "{location}: {name:?} has a name like the store's own files, but the store did not write it; nothing was changed: find out whose it is before you move it, or name another directory"
    )]
    ForeignFile {
        /// The directory.
        location: String,
        /// The file.
        name: String,
    },
    /// The log does not continue from any snapshot that can be read. Restore the snapshot from a copy.
    #[error(
        "{location}: the log begins at LSN {first_lsn}, and no readable snapshot reaches up to it{}; nothing was changed: restore the snapshot from a copy", rejected(.damaged)
    )]
    NoSnapshot {
        /// The directory.
        location: String,
        /// The first LSN of the log.
        first_lsn: Lsn,
        /// Snapshots that are damaged: name and damage.
        damaged: Vec<(String, String)>,
    },
    /// The log ends before the newest snapshot: segments are missing, or belong to another store. Restore them from a copy.
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
    /// A snapshot that was just written does not read back as it was written. It was removed. The previous snapshot and the log are
    /// unchanged: check the disk.
    #[error(
        "{location}: {name} does not read back as it was written: {what}; it was removed, the log and the previous snapshot are unchanged: check the disk"
    )]
    SnapshotNotVerified {
        /// The directory.
        location: String,
        /// The file.
        name: String,
        /// What does not verify.
        what: String,
    },
    /// The log has reached its bound, because the snapshot that would let it drop records has failed. Nothing was written. Fix what
    /// `source` says. The store tries the snapshot again after a second, or after four times what the failed one took if that is
    /// longer. Reads go on, and so do deletes of existing keys.
    #[error(
        "{location}: the log has {log_bytes} bytes since the last snapshot, its limit is {limit}, and writing the snapshot {name} failed; nothing was written: remove the cause, the store tries the snapshot again by itself (reads and deletes of existing keys go on). The cause: {source}"
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
    /// One of the store's own files (marker, snapshot) met a full disk, a used-up quota or the largest allowed file size. Nothing is
    /// torn: free some space and call again. A write that finds no room gets [`Log`](Self::Log) with the log's
    /// [`NoSpace`](wal_core::Error::NoSpace).
    #[error("{location}: no space left for {what}; nothing was changed: free space and try again")]
    NoSpace {
        /// The directory.
        location: String,
        /// What the space was needed for.
        what: &'static str,
    },
    /// The operating system reported an error. Fix the cause and try again.
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
    /// The kind of the error: what to do next. An error of the log has the kind that it has there.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Log(error) => error.kind(),
            Self::KeyTooLarge { .. } => ErrorKind::TooLarge,
            Self::OverMemoryLimit { .. } => ErrorKind::OverMemoryLimit,
            Self::OverViewMemoryLimit { .. } => ErrorKind::OverViewMemoryLimit,
            Self::PlainLog { .. } | Self::ForeignFile { .. } => ErrorKind::WrongDirectory,
            Self::NoMarker { .. } | Self::NoSnapshot { .. } | Self::LogTooShort { .. } => {
                ErrorKind::Corrupt
            }
            Self::UnknownRecord { .. } | Self::UnknownVersion { .. } => ErrorKind::Unsupported,
            Self::SnapshotOverdue { .. } => ErrorKind::SnapshotOverdue,
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::SnapshotNotVerified { .. } | Self::Io { .. } => ErrorKind::Io,
        }
    }

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
