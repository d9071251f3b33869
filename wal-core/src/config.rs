//! What a user sets: [`WalConfig`], [`FsyncPolicy`], and the checks on both.
//!
//! Everything that few users need is on the [builder](crate::Builder), so that the configuration stays four fields that
//! can be written as one literal.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::{Error, Result, sync};

/// When an `append` returns, and what a crash can take back.
///
/// | policy | `append` returns when | process killed | OS crash or power loss |
/// |---|---|---|---|
/// | `Always` | the record and all before it are on stable storage | nothing lost | nothing lost |
/// | `Batch(w)` | the record has its place in the log; a timer of its own syncs, also when nothing more is appended | at most the last `w`, the sync under way and its own sync | the same |
/// | `Os` | the record has its place in the log; hand-over to the OS begins within 1 ms or 256 KiB | at most the two buffers | what the OS had not yet written |
///
/// Under every policy [`sync`](crate::blocking::Wal::sync) and
/// [`durable().append`](crate::blocking::Durable::append) make a record durable at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FsyncPolicy {
    /// Every append is durable when it returns. Appends that wait at the same time share one sync.
    Always,
    /// A sync at the latest this long after the oldest unsynced append. Above 0, at most one minute.
    Batch(Duration),
    /// No sync but for the log's own needs (new, sealed and closed segments) and on request.
    Os,
}

impl Default for FsyncPolicy {
    /// `Batch(5 ms)`.
    fn default() -> Self {
        Self::Batch(Duration::from_millis(5))
    }
}

/// What opening a log for writing does about what it finds at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryMode {
    /// It is refused for a torn tail as well ([`Error::TornTail`]), so that an operator can decide whether that was a crash.
    Strict,
    /// A torn tail is what a crash leaves: it is left behind and reported. It is refused for damage to what was durable.
    #[default]
    Normal,
    /// As `Normal`, but where it would be refused for damage the log is [repaired](crate::Offline::repair) first, and the repair is
    /// reported.
    Salvage,
}

/// What a reader does where records cannot be read: damage, or a loss that a repair has recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnDamage {
    /// It returns the error once and ends.
    #[default]
    Stop,
    /// It returns [`Error::Gap`] with the LSNs that cannot be read, and the next call goes on behind them. LSNs stay as they
    /// are: each is returned with its record or lies in exactly one gap. Of a batch that lost a record the others are returned.
    Skip,
}

/// The settings of a log. All other settings are on the [builder](crate::Builder).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalConfig {
    /// Length of a segment file in bytes, 1 MiB to 4 GiB. Default 128 MiB. A batch never spans segments. Applies to new
    /// segments, also in an existing log; [`Builder::keep_segment_size`](crate::Builder::keep_segment_size) keeps what the log
    /// has.
    pub max_segment_size: u64,
    /// When appends become durable. Default `Batch(5 ms)`.
    pub fsync_policy: FsyncPolicy,
    /// Whether a segment's whole length is allocated when it is made (default), or in steps of 1 MiB ahead of the data.
    /// Either way a full disk is met before a record is accepted.
    pub preallocate: bool,
    /// Written into each segment's header, for the operator. Default 0. Two nodes may share a number. A log with segments of other
    /// nodes is [reported](crate::RecoveryReport::other_node_ids).
    pub node_id: u32,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self {
            max_segment_size: 128 * 1024 * 1024,
            fsync_policy: FsyncPolicy::default(),
            preallocate: true,
            node_id: 0,
        }
    }
}

/// The longest window of [`FsyncPolicy::Batch`].
pub const MAX_BATCH_WINDOW: Duration = Duration::from_secs(60);

impl WalConfig {
    /// Checks every field against its range; `least_segment` is lower in tests.
    pub(crate) fn check(&self, least_segment: u64) -> Result<()> {
        let size = self.max_segment_size;
        if !(least_segment..=wal_format::MAX_SEGMENT).contains(&size) {
            return Err(Error::InvalidConfig {
                field: "max_segment_size",
                value: format!("{size} bytes"),
                allowed: format!("{least_segment} to {} bytes", wal_format::MAX_SEGMENT),
            });
        }
        if let FsyncPolicy::Batch(window) = self.fsync_policy
            && (window.is_zero() || window > MAX_BATCH_WINDOW)
        {
            return Err(Error::InvalidConfig {
                field: "fsync_policy",
                value: format!("Batch({window:?})"),
                allowed:
                    "a window above 0 and at most 1 minute; for a sync at each append use Always"
                        .into(),
            });
        }
        Ok(())
    }
}

/// Whether segments are overwritten with zeros ahead of the records, under [`FsyncPolicy::Always`](crate::FsyncPolicy::Always).
///
/// On ext4 and XFS a sync of blocks that were reserved but never written costs up to twice as much as one of blocks that were;
/// elsewhere nothing is done. Each byte of a segment is then written twice, the first time in the background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prewrite {
    /// In the background, ahead of the records, where the file system gains by it.
    #[default]
    Ahead,
    /// Never: the device is written to by the records alone.
    Off,
}

/// Whether the log checks now and then that its path still leads to its directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathCheck {
    /// It checks.
    #[default]
    On,
    /// It does not: a log continues in a directory that was moved.
    Off,
}

/// On how many threads something is done.
///
/// ```
/// use std::collections::HashMap;
/// use wal_core::{Lsn, Record, Threads, WalConfig, blocking::Wal};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// let wal = Wal::open(&dir, WalConfig::default())?;
/// wal.append(&Record::put("key", "old"))?;
/// wal.append(&Record::put("key", "new"))?;
///
/// let segments = wal.replay(Lsn::ZERO, Threads::PerCore, HashMap::new, |map, record, _position| {
///     map.insert(record.key().to_vec(), record.value().to_vec());
/// })?;
/// // Newer segments win.
/// let map: HashMap<_, _> = segments.into_iter().flatten().collect();
/// assert_eq!(map[&b"key"[..]], b"new");
/// # wal.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Threads {
    /// On as many as there are cores for this process.
    #[default]
    PerCore,
    /// On this many; with 1, on the calling thread alone.
    Exactly(NonZeroUsize),
}

impl Threads {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::PerCore => sync::cores(),
            Self::Exactly(threads) => threads.get(),
        }
    }
}
