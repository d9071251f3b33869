//! The kinds of errors: one for each next step of the caller.

use super::Error;

/// What to do about an error of the log or of the store. [`Error::kind`] gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum ErrorKind {
    /// The disk is full. Nothing was changed: free space and try again.
    NoSpace,
    /// A record, a key or a batch is above its limit. Nothing was changed: split the data, or raise the limit.
    TooLarge,
    /// A setting, a record or a change is not valid. Nothing was changed: this is a mistake of the caller.
    Invalid,
    /// The handle was closed. Open it again.
    Closed,
    /// The handle was opened read-only. Open it for writing.
    ReadOnly,
    /// A writer has the log. Close it there, or open it read-only.
    Locked,
    /// A write or a sync has failed, and the handle refuses all calls. Open it again, and see what is left.
    Poisoned,
    /// The directory was moved, replaced or deleted. Open the log at its new path.
    Displaced,
    /// The handle belongs to the process of which this one is a fork. Use it there.
    OtherProcess,
    /// Data that was durable is damaged or missing. Restore it from a copy, or repair the log.
    Corrupt,
    /// Records are missing, and a repair has recorded the loss. Continue after them.
    Lost,
    /// The newest control state is damaged. Set it again.
    ControlLost,
    /// The last write was cut short, and strict recovery asks first. Open the log in another mode if a crash explains it.
    TornTail,
    /// The record was removed by a truncation. Continue at the LSN that the error names.
    Truncated,
    /// The record is not appended or not durable yet. Try again when it is.
    NotYet,
    /// The log has given its highest LSN. Append to a new log.
    NoMoreLsns,
    /// The cursor belongs to another log. Open that one, or start at the beginning.
    OtherLog,
    /// The log has an older version of the format. Upgrade the log.
    OldVersion,
    /// The files need something that this build does not have. Use a newer build, or one with the feature.
    Unsupported,
    /// The directory does not hold what was opened, or holds files of others. Name another directory.
    WrongDirectory,
    /// The operating system or the disk failed before anything was changed. Fix the cause and try again.
    Io,
    /// The live data of a store is at its memory limit. Nothing was written: delete keys, or raise the limit.
    OverMemoryLimit,
    /// The open views of a store are at their memory limit. Nothing was written: drop the oldest view, or raise the limit.
    OverViewMemoryLimit,
    /// The log of a store is at its limit because snapshots fail. Nothing was written: fix the cause that the error names.
    SnapshotOverdue,
}

impl Error {
    /// The kind of the error: what to do next.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::InvalidConfig { .. }
            | Self::InvalidRecord { .. }
            | Self::InvalidControl { .. } => ErrorKind::Invalid,
            Self::Closed => ErrorKind::Closed,
            Self::ReadOnly => ErrorKind::ReadOnly,
            Self::Locked { .. } => ErrorKind::Locked,
            Self::Poisoned(_) => ErrorKind::Poisoned,
            Self::Displaced(_) => ErrorKind::Displaced,
            Self::OtherProcess { .. } => ErrorKind::OtherProcess,
            Self::Gap { cause: None, .. } => ErrorKind::Lost,
            Self::Gap {
                cause: Some(cause), ..
            } => cause.kind(),
            Self::Corruption(_) | Self::MissingSegment { .. } => ErrorKind::Corrupt,
            Self::ControlLost { .. } => ErrorKind::ControlLost,
            Self::TornTail { .. } => ErrorKind::TornTail,
            Self::Truncated { .. } => ErrorKind::Truncated,
            Self::NotAppended { .. } | Self::NotDurable { .. } => ErrorKind::NotYet,
            Self::NoMoreLsns { .. } => ErrorKind::NoMoreLsns,
            Self::OtherLog { .. } => ErrorKind::OtherLog,
            Self::OldVersion { .. } => ErrorKind::OldVersion,
            Self::UnknownVersion { .. }
            | Self::UnknownFeature { .. }
            | Self::CompressionUnavailable { .. } => ErrorKind::Unsupported,
            Self::NotALog { .. } => ErrorKind::WrongDirectory,
            Self::Io { .. } => ErrorKind::Io,
        }
    }
}
