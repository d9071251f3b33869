//! The errors of the log: one kind for each next step of the caller.

pub(crate) mod kind;

use std::borrow::Cow;
use std::fmt;
use std::io;

use wal_format::{Compression, EncodeError, Lsn, Offset, SegmentId};

use crate::sync::Arc;
use crate::unknown::Unknown;

/// The result of a call on the log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call on the log failed. Each message says where, what, and what to do next.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk is full, a quota is used up, or the largest allowed file size is reached. Nothing was accepted and nothing is torn:
    /// free some space and call again.
    #[error(
        "{location}: no space left for {what}; nothing was changed: free space (or truncate the log) and try again"
    )]
    NoSpace {
        /// The log's directory.
        location: String,
        /// The purpose of the space, with the number of bytes if known.
        what: Cow<'static, str>,
    },
    /// A record or a batch is above its limit. The log is as it was: split the data, or raise the limit.
    #[error(
        "a {what} of {len} bytes is above the limit of {limit} bytes; the log is unchanged: {advice}"
    )]
    TooLarge {
        /// `record` or `batch`.
        what: &'static str,
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
        /// What to do.
        advice: &'static str,
    },
    /// The log was closed by this or another handle. Open it again.
    #[error("the log is closed; open it again")]
    Closed,
    /// The handle was opened read-only.
    #[error("the log was opened read-only; open it without read_only() to change it")]
    ReadOnly,
    /// Another process (or another handle in this one) has the log open for writing.
    #[error("{location}: locked by {}; close it there (a log can also be opened read-only)", holder(*.pid))]
    Locked {
        /// The log's directory.
        location: String,
        /// Process id of the holder, if it could be read.
        pid: Option<u32>,
    },
    /// A write or a sync failed earlier. The handle refuses everything from then on: open the log again.
    #[error(transparent)]
    Poisoned(Poisoned),
    /// The log's directory was moved, replaced or deleted while it was open, or its newest file was deleted. The handle refuses
    /// every later call, as after a failed write. Open the log at its new path.
    #[error(transparent)]
    Displaced(Displaced),
    /// The handle was opened by another process, and this one is a fork of it. Nothing was done: use the log in the opener.
    #[error(
        "{location}: opened by process {opener}, of which this one is a fork; nothing was done: use the log there, or open it here when it is closed there"
    )]
    OtherProcess {
        /// The log's directory.
        location: String,
        /// Process id of the opener.
        opener: u32,
    },
    /// Bytes that were durable do not verify. Restore the segment from a copy, or repair the log.
    #[error(transparent)]
    Corruption(Box<Corruption>),
    /// A segment that the log needs is not in the directory. Put it back from a copy, or repair the log.
    #[error(
        "{location}: segment {segment_id} is missing ({needed_by}); put the file back from a copy, or repair the log"
    )]
    MissingSegment {
        /// The log's directory.
        location: String,
        /// The segment.
        segment_id: SegmentId,
        /// What says that it must be there.
        needed_by: String,
    },
    /// The record was removed by a truncation. If `kept` is given, the record was one of the newest, and its LSN is given
    /// again: discard everything read above `kept` and continue at `kept + 1`. Otherwise read from `first`.
    #[error("the record is no longer in the log{}; the log starts at LSN {first}", truncated_after(*.kept))]
    Truncated {
        /// The first LSN of the log.
        first: Lsn,
        /// The last LSN that a truncation of the newest records has left.
        kept: Option<Lsn>,
    },
    /// The last write was cut short, and [`RecoveryMode::Strict`](crate::RecoveryMode::Strict) asks before it is left behind. If a
    /// crash explains it, open in another mode: nothing that was durable is lost.
    #[error(
        "{location}: segment {segment_id}, offset {offset}: {bytes} bytes of an incomplete write; nothing was changed: open it in another recovery mode if a crash explains them"
    )]
    TornTail {
        /// The log's directory.
        location: String,
        /// The segment.
        segment_id: SegmentId,
        /// Where the remains begin.
        offset: Offset,
        /// How far they reach, in bytes.
        bytes: u64,
    },
    /// Records that cannot be read. A reader that [skips damage](crate::OnDamage::Skip) says so in their place and goes on behind
    /// them; any other ends.
    #[error("{} cannot be read: {}", lsns(*from, *to), reason(cause.as_deref()))]
    Gap {
        /// The first LSN that cannot be read.
        from: Lsn,
        /// The last one.
        to: Lsn,
        /// The damage; `None` where a repair has recorded the loss in the log.
        cause: Option<Box<Error>>,
    },
    /// The cursor is one of another log. Start at the beginning of this one, or open the log that it came from.
    #[error(
        "{location}: this is log {log}, and the cursor is one of log {cursor}; open the log that it came from"
    )]
    OtherLog {
        /// The log's directory.
        location: String,
        /// This log's id.
        log: String,
        /// The id of the cursor's log.
        cursor: String,
    },
    /// The log has an older version of the format, which lacks what was asked for. Nothing was changed: open the log with the
    /// newer version first.
    #[error(
        "{location}: {what} needs version {needed} of the format, and the log has version {version}; upgrade it with format_version or wal upgrade"
    )]
    OldVersion {
        /// The log's directory.
        location: String,
        /// What was asked for.
        what: &'static str,
        /// The version of the log.
        version: u32,
        /// The version that has it.
        needed: u32,
    },
    /// A change of the control state is not one that can be made. Nothing was changed.
    #[error("invalid change of the control state: {what}; nothing was changed")]
    InvalidControl {
        /// What is wrong.
        what: String,
    },
    /// The record is not durable yet, so nobody may depend on it. Nothing was changed: sync, and try again.
    #[error("LSN {lsn} is not durable, only LSNs up to {durable} are; sync the log and try again")]
    NotDurable {
        /// The LSN asked for.
        lsn: Lsn,
        /// The highest durable LSN.
        durable: Lsn,
    },
    /// Newer control state than what is left was lost to damage, so nobody knows who still needs which records. Nothing was
    /// removed, and nothing is until the owner has set the whole state again.
    #[error(
        "{location}: the control state (term and consumers) in segment {segment_id} was lost to damage and only an older one is left; nothing is removed until it is set again with set_control"
    )]
    ControlLost {
        /// The log's directory.
        location: String,
        /// The segment that held the newer state.
        segment_id: SegmentId,
    },
    /// The LSN was never given to a record.
    #[error("LSN {lsn} has not been given to a record yet; the next one will be LSN {next}")]
    NotAppended {
        /// The LSN asked for.
        lsn: Lsn,
        /// The LSN of the next record.
        next: Lsn,
    },
    /// The log has reached the highest LSN that a record can get. Appends never reach it, so something else has set its LSNs.
    /// The log can be read and truncated. Append to a new log.
    #[error(
        "the next record would be LSN {next}, above the highest that is given ({limit}); the log is unchanged: something other than appends has set its LSNs, append to a new log"
    )]
    NoMoreLsns {
        /// The LSN of the next record.
        next: Lsn,
        /// The highest LSN that a record can get.
        limit: Lsn,
    },
    /// The file was written by a version of the format that this build does not know. Use a newer build.
    #[error(
        "{location}: segment {segment_id} has format version {version}, this build reads versions up to {known}; use a build that knows it"
    )]
    UnknownVersion {
        /// The log's directory.
        location: String,
        /// The segment.
        segment_id: SegmentId,
        /// Its version.
        version: u32,
        /// The newest version that this build reads.
        known: u32,
    },
    /// The log uses a feature of the format that this build does not know, and that must not be skipped. Nothing is damaged. Use
    /// the build that wrote it, or a newer one.
    #[error("{location}: {what}; use the build that wrote the log, or a newer one")]
    UnknownFeature {
        /// The log's directory.
        location: String,
        /// Where it was met, and what it is.
        what: String,
    },
    /// The directory does not hold a log, or holds files that are not the log's.
    #[error("{location}: not a log: {reason}")]
    NotALog {
        /// The directory.
        location: String,
        /// What was found, and what to do.
        reason: String,
    },
    /// A setting is out of its range.
    #[error("invalid configuration: {field} is {value}, allowed is {allowed}")]
    InvalidConfig {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// The record has a part that its kind does not store. Its public fields were set by hand: use another kind.
    #[error("invalid record: {what}; the log is unchanged")]
    InvalidRecord {
        /// What is wrong.
        what: &'static str,
    },
    /// The record asks for a compression that this build does not have.
    #[error(
        "the record asks for {compression:?}, which this build leaves out; enable the feature of that name"
    )]
    CompressionUnavailable {
        /// The compression.
        compression: Compression,
    },
    /// The operating system reported an error before anything was changed. Mend the cause and try again.
    #[error("{location}: {what}: {source}")]
    Io {
        /// The log's directory, or the file.
        location: String,
        /// What was tried.
        what: String,
        /// The system's error.
        #[source]
        source: Arc<io::Error>,
    },
}

/// As its message.
#[cfg(feature = "serde")]
impl serde::Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

fn reason(cause: Option<&Error>) -> String {
    cause.map_or_else(|| "lost, as a repair recorded".into(), ToString::to_string)
}

/// `LSN 7`, or `LSNs 7 to 9`.
fn lsns(from: Lsn, to: Lsn) -> String {
    if from == to {
        format!("LSN {from}")
    } else {
        format!("LSNs {from} to {to}")
    }
}

fn truncated_after(kept: Option<Lsn>) -> String {
    kept.map_or_else(String::new, |kept| {
        format!(", which was truncated after LSN {kept}")
    })
}

/// Whether the error means that the disk is full, the user's quota is used up, or the file may not grow further (`ENOSPC`,
/// `EDQUOT`, `EFBIG`).
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// The same error for another caller: the system's own, where it is one.
pub(crate) fn same_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

impl Error {
    pub(crate) fn io(
        location: impl Into<String>,
        what: impl Into<String>,
        source: io::Error,
    ) -> Self {
        if let Some(unknown) = source
            .get_ref()
            .and_then(|error| error.downcast_ref::<Unknown>())
        {
            return Self::UnknownFeature {
                location: location.into(),
                what: format!("{}: {unknown}", what.into()),
            };
        }
        Self::Io {
            location: location.into(),
            what: what.into(),
            source: Arc::new(source),
        }
    }

    pub(crate) fn from_encode(error: &EncodeError) -> Self {
        match *error {
            EncodeError::TooLarge { len, limit } => Self::TooLarge {
                what: "record",
                len,
                limit,
                advice: "split the record, or raise record_limit when opening",
            },
            EncodeError::CompressionUnavailable(compression) => {
                Self::CompressionUnavailable { compression }
            }
            EncodeError::NotOfItsKind(what) => Self::InvalidRecord { what },
        }
    }

    /// The same error for the record that was given `lsn`: whether it survived is known only after reopening.
    pub(crate) fn for_lsn(mut self, lsn: Lsn) -> Self {
        match &mut self {
            Self::Poisoned(poisoned) => poisoned.lsn = Some(lsn),
            Self::Displaced(displaced) => displaced.lsn = Some(lsn),
            _ => {}
        }
        self
    }
}

/// The state of a log whose write or sync failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{location}: {during} failed: {cause}; records up to LSN {durable_lsn} are durable, later ones may or may not be{}: open the log again to recover", given(*.lsn))]
#[non_exhaustive]
pub struct Poisoned {
    /// The log's directory.
    pub location: String,
    /// The highest LSN that is durable.
    pub durable_lsn: Lsn,
    /// The LSN that the failed append was given, if it was given one. The record may be found after reopening.
    pub lsn: Option<Lsn>,
    /// What failed.
    pub during: String,
    /// The system's error.
    #[source]
    pub cause: Arc<io::Error>,
}

impl Poisoned {
    /// The error of this state. Some causes have an error variant of their own.
    pub(crate) fn error(&self) -> Error {
        let displacement = self.cause.get_ref().and_then(|cause| cause.downcast_ref());
        match displacement {
            None => Error::Poisoned(self.clone()),
            Some(what) => Error::Displaced(Displaced {
                location: self.location.clone(),
                what: *what,
                durable_lsn: self.durable_lsn,
                lsn: self.lsn,
            }),
        }
    }
}

/// An open log that is no longer where it was opened.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{location}: {what}{}; {}", given(*.lsn), .what.consequence(*.durable_lsn))]
#[non_exhaustive]
pub struct Displaced {
    /// The path at which the log was opened.
    pub location: String,
    /// The cause.
    pub what: Displacement,
    /// The highest LSN that was synced. In a directory that was moved these records are durable. The records of a deleted file
    /// are lost.
    pub durable_lsn: Lsn,
    /// The LSN that the failed append was given, if it was given one. The record may be found after reopening.
    pub lsn: Option<Lsn>,
}

/// Why an open log is no longer where it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Displacement {
    /// Nothing exists at the path.
    #[error("the directory was moved or deleted while the log was open")]
    DirectoryGone,
    /// Another directory is at the path.
    #[error("the directory was replaced by another one while the log was open")]
    DirectoryReplaced,
    /// The file to which records are written has no name.
    #[error("segment {0} was deleted while the log was open")]
    FileDeleted(SegmentId),
}

impl Displacement {
    /// What is durable, and what to do next.
    fn consequence(self, durable: Lsn) -> String {
        match self {
            Self::DirectoryGone | Self::DirectoryReplaced => format!(
                "records up to LSN {durable} are durable in the original directory, and nothing was written anywhere else: if it was moved, use the log at its new path; if it was deleted, restore it from a copy"
            ),
            Self::FileDeleted(_) => format!(
                "records up to LSN {durable} had been synced, but those in the deleted file are lost: restore the log from a copy, or open it again to see what is left"
            ),
        }
    }
}

fn given(lsn: Option<Lsn>) -> String {
    lsn.map_or_else(String::new, |lsn| {
        format!(" (this append was given LSN {lsn})")
    })
}

/// Damage to data that was durable.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub struct Corruption {
    /// The log's directory.
    pub location: String,
    /// The damaged segment.
    pub segment_id: SegmentId,
    /// Where in its file, in bytes.
    pub offset: Offset,
    /// The first LSN that cannot be read.
    pub first_lsn: Lsn,
    /// The last LSN known to be affected, if known.
    pub last_lsn: Option<Lsn>,
    /// What does not verify.
    pub what: String,
    /// What proves that the bytes were durable.
    pub witness: String,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: segment {}, offset {}: corruption: {}; from LSN {}",
            self.location, self.segment_id, self.offset, self.what, self.first_lsn
        )?;
        if let Some(last) = self.last_lsn {
            write!(f, " to LSN {last}")?;
        }
        write!(
            f,
            " (it was durable: {}); nothing was changed: restore the segment from a copy, or repair the log",
            self.witness
        )
    }
}

/// What failed, and the system's error: the cause of a poison.
pub(crate) type Failure = (String, io::Error);
