//! What a user sets: [`KvConfig`], and what a write may ask for.
//!
//! Everything that few users need is on the [builder](crate::Builder).

use bytes::Bytes;
use wal_core::{FsyncPolicy, Lsn, WalConfig};

use crate::{Error, Result};

/// The longest key in bytes.
pub const MAX_KEY: usize = 64 << 10;

/// When a snapshot is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Snapshots {
    /// When the log since the last snapshot has reached `percent` of the bytes that a snapshot would have (keys, values and 16
    /// bytes a key), but at least [`snapshot_after`](crate::Builder::snapshot_after) bytes. 10 to 10,000 percent. With `p` percent, a
    /// byte of the log costs at most `1 + 100 / p` bytes of writing.
    Automatic {
        /// Bytes of log per 100 bytes of a snapshot.
        percent: u32,
    },
    /// By a call of `snapshot()` only. The log grows until then.
    OnCall,
}

impl Default for Snapshots {
    /// 100 percent: at most two bytes are written for each byte of the log.
    fn default() -> Self {
        Self::Automatic { percent: 100 }
    }
}

/// The settings of a store. All other settings are on the [builder](crate::Builder).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvConfig {
    /// When writes become durable, and are shown. Default `Batch(5 ms)`.
    pub fsync_policy: FsyncPolicy,
    /// Length of a segment of the log in bytes, 1 MiB to 4 GiB. Default 64 MiB. A batch has to fit in one.
    pub max_segment_size: u64,
    /// Most bytes of memory for the live data: keys, their values, and 57 bytes of the index for each, which is its average. A write
    /// that would make it grow above that is refused; deletes are not. What only views show has
    /// [a limit of its own](crate::Builder::view_memory_limit). Default: no limit.
    pub memory_limit: Option<u64>,
    /// When a snapshot is written. Default: at 100 percent.
    pub snapshots: Snapshots,
    /// Threads that read and verify when the store is opened. Default 0: as many as there are cores.
    pub open_threads: usize,
}

impl Default for KvConfig {
    fn default() -> Self {
        Self {
            fsync_policy: FsyncPolicy::default(),
            max_segment_size: 64 << 20,
            memory_limit: None,
            snapshots: Snapshots::default(),
            open_threads: 0,
        }
    }
}

/// The range of [`Snapshots::Automatic`].
const PERCENT: std::ops::RangeInclusive<u32> = 10..=10_000;

impl KvConfig {
    pub(crate) fn check(&self) -> Result<()> {
        match self.snapshots {
            Snapshots::Automatic { percent } if !PERCENT.contains(&percent) => {
                Err(Error::Log(wal_core::Error::InvalidConfig {
                    field: "snapshots",
                    value: format!("{percent} percent"),
                    allowed: format!("{} to {} percent", PERCENT.start(), PERCENT.end()),
                }))
            }
            Snapshots::Automatic { .. } | Snapshots::OnCall => Ok(()),
        }
    }

    pub(crate) fn log(&self) -> WalConfig {
        WalConfig {
            max_segment_size: self.max_segment_size,
            fsync_policy: self.fsync_policy,
            ..WalConfig::default()
        }
    }
}

/// What a key must be like for a conditional write to take place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// It has no value.
    Absent,
    /// It has a value.
    Present,
    /// It has this value.
    ValueIs(Bytes),
    /// It has a value, written with this LSN: nobody has written it since.
    LsnIs(Lsn),
}

/// The result of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conditional {
    /// The condition held, and the write took place.
    Applied(wal_core::Position),
    /// It did not hold; nothing was written.
    Refused {
        /// The value that was there instead, if any.
        found: Option<Bytes>,
    },
}

impl Conditional {
    /// Whether the write took place.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied(_))
    }
}
