//! Opening a log with more than the four settings of [`WalConfig`].

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wal_format::{Alignment, Version};
use wal_io::{DiskStorage, Storage};

use crate::clock::{Clock, SystemClock};
use crate::directory::Ground;
use crate::entropy::{Entropy, SystemEntropy};
use crate::handle::Handle;
use crate::log::Engine;
use crate::settings::{Driver, Settings, Sizes};
use crate::sync::Arc;
use crate::view::{Damaged, View};
use crate::{Error, PathCheck, Prewrite, RecoveryMode, Result, WalConfig};

/// Opens a log; `W` is the handle that it gives, [`Wal`](crate::Wal) or [`blocking::Wal`](crate::blocking::Wal).
///
/// ```
/// use std::time::Duration;
/// use wal_core::{FsyncPolicy, WalConfig, blocking::Wal};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// let wal = Wal::builder(&dir)
///     .config(WalConfig { fsync_policy: FsyncPolicy::Always, ..WalConfig::default() })
///     .record_limit(1 << 20)
///     .lock_wait(Duration::from_secs(1))
///     .open()?;
/// # wal.close()?;
/// # Ok(())
/// # }
/// ```
pub struct Builder<W> {
    storage: Arc<dyn Storage>,
    config: WalConfig,
    keeps_segment_size: bool,
    keeps_node_id: bool,
    record_limit: Option<u64>,
    buffer: usize,
    sector_padding: Option<Alignment>,
    version: Option<Version>,
    mode: Access,
    lock_wait: Duration,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    least_segment: u64,
    stamp_after: Duration,
    driver: Driver,
    recovery: RecoveryMode,
    prewrite: Prewrite,
    path_check: PathCheck,
    handle: PhantomData<fn() -> W>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Write,
    ReadOnly,
    /// Read-only, also where a writer would be refused for damage.
    ReadDamaged,
}

impl<W> fmt::Debug for Builder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("storage", &self.storage)
            .field("config", &self.config)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// Bytes of one buffer unless set otherwise.
const BUFFER: usize = 1 << 20;
/// The least and the most that a buffer may have.
const BUFFERS: std::ops::RangeInclusive<usize> = 4 << 10..=64 << 20;

impl<W> Builder<W> {
    pub(crate) fn new(dir: impl AsRef<Path>) -> Self {
        Self {
            storage: Arc::new(DiskStorage::new(PathBuf::from(dir.as_ref()))),
            config: WalConfig::default(),
            keeps_segment_size: true,
            keeps_node_id: true,
            record_limit: None,
            buffer: BUFFER,
            sector_padding: None,
            version: None,
            mode: Access::Write,
            lock_wait: Duration::ZERO,
            clock: Arc::new(SystemClock::default()),
            entropy: Arc::new(SystemEntropy),
            least_segment: wal_format::MIN_SEGMENT,
            stamp_after: Duration::from_secs(1),
            driver: Driver::Threads,
            recovery: RecoveryMode::Normal,
            prewrite: Prewrite::default(),
            path_check: PathCheck::On,
            handle: PhantomData,
        }
    }

    /// The four settings that most users need. Without this call an existing log keeps its
    /// [segment size](Self::keep_segment_size) and its [node id](Self::keep_node_id).
    #[must_use]
    pub fn config(mut self, config: WalConfig) -> Self {
        self.config = config;
        self.keeps_segment_size = false;
        self.keeps_node_id = false;
        self
    }

    /// New segments of an existing log get the size of its newest one; `max_segment_size` applies to a new log only. Call it
    /// after [`config`](Self::config).
    #[must_use]
    pub fn keep_segment_size(mut self) -> Self {
        self.keeps_segment_size = true;
        self
    }

    /// New segments of an existing log get the node id of its newest one; `node_id` applies to a new log only. Call it after
    /// [`config`](Self::config).
    #[must_use]
    pub fn keep_node_id(mut self) -> Self {
        self.keeps_node_id = true;
        self
    }

    /// Where the files are, instead of the directory on disk: memory, fault injection, a storage of one's own.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = storage;
        self
    }

    /// Most bytes of key and uncompressed value in one record. Default: the limit that was chosen for the log before; in a new log
    /// 64 MiB, or what fits in a segment if that is less. Stored in each new segment.
    #[must_use]
    pub fn record_limit(mut self, bytes: u64) -> Self {
        self.record_limit = Some(bytes);
        self
    }

    /// Bytes of one of the two buffers, 4 KiB to 64 MiB. Default 1 MiB.
    #[must_use]
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    /// Where groups start. At multiples of a sector no sector that holds durable data is ever written again, which costs half a
    /// sector per group. With [`Alignment::Eight`] nothing is padded, and the log relies on powersafe overwrite, see
    /// `docs/format.md`. Default: as in the log's newest segment; `Eight` in a new log.
    #[must_use]
    pub fn sector_padding(mut self, padding: Alignment) -> Self {
        self.sector_padding = Some(padding);
        self
    }

    /// The version of the on-disk format in which new segments are written. Default: that of the log's newest segment; in a new log
    /// version 2. A read-only open ignores it.
    ///
    /// A log of version 1 that is opened with version 2 continues in version 2 with its next segment, or with an empty one when it
    /// is closed. Its older segments stay as they are. Then there is no way back: the log keeps version 2, and opening it
    /// with version 1 fails with [`InvalidConfig`](Error::InvalidConfig).
    ///
    /// **Upgrade the readers first, then the writer.** A build that does not know a segment's version refuses the log with
    /// [`UnknownVersion`](Error::UnknownVersion). So does a reader that follows it, when it comes to that segment.
    ///
    /// Version 2 is a draft: until it is frozen, a later build may be unable to read it. A log that must outlive that is made with
    /// [`FormatVersion::V1`](crate::FormatVersion::V1).
    ///
    /// ```
    /// use wal_core::{FormatVersion, Record, blocking::Wal};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let dir = tmp.path().join("log");
    /// let wal = Wal::builder(&dir).format_version(FormatVersion::V1).open()?;
    /// wal.append(&Record::data("old"))?;
    /// wal.close()?;
    ///
    /// let wal = Wal::builder(&dir).format_version(FormatVersion::V2).open()?;
    /// wal.append(&Record::data("new"))?;
    /// wal.close()?;
    ///
    /// let wal = Wal::builder(&dir).read_only().open()?;
    /// let found = wal.recovery_report();
    /// assert_eq!(found.format_versions, [(FormatVersion::V1, 1), (FormatVersion::V2, 1)]);
    /// assert_eq!(wal.read_from(wal.first_lsn())?.count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn format_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Opens without the lock, beside a writer if there is one, and changes no byte. Records that are not proven durable are
    /// shown; [`RecoveryReport::proven_lsn`](crate::RecoveryReport::proven_lsn) says from where on.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.mode = Access::ReadOnly;
        self
    }

    /// As [`read_only`](Self::read_only), and opens a damaged log as well: a reader then returns the records before the damage, and
    /// the error in its place; one that [skips damage](crate::OnDamage::Skip) returns those behind it too.
    #[must_use]
    pub fn read_damaged(mut self) -> Self {
        self.mode = Access::ReadDamaged;
        self
    }

    /// What to do about what is found at the log's end; [`RecoveryMode::Normal`] unless said otherwise. A read-only open
    /// changes nothing in any mode.
    #[must_use]
    pub fn recovery(mut self, mode: RecoveryMode) -> Self {
        self.recovery = mode;
        self
    }

    /// How long to wait for another writer to let go of the lock. Default not at all. A killed process may hold its lock for
    /// a moment.
    #[must_use]
    pub fn lock_wait(mut self, time: Duration) -> Self {
        self.lock_wait = time;
        self
    }

    /// Another source of time.
    #[doc(hidden)]
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Another source of identities.
    #[doc(hidden)]
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Whether segments are overwritten with zeros ahead of the records under `Always`. Default [`Prewrite::Ahead`].
    #[must_use]
    pub fn prewrite(mut self, prewrite: Prewrite) -> Self {
        self.prewrite = prewrite;
        self
    }

    /// Whether the log checks that its path still leads to its directory: at a rotation, at each sync of its directory, and at
    /// a close. It stops with [`Displaced`](Error::Displaced) if nothing or another directory is there. Default: it checks. Without
    /// the check, a log continues in a directory that was moved. It never touches anything at the old path in either case.
    #[must_use]
    pub fn path_check(mut self, check: PathCheck) -> Self {
        self.path_check = check;
        self
    }

    /// Segments from 8 KiB on.
    #[doc(hidden)]
    #[must_use]
    pub fn small_segments(mut self) -> Self {
        self.least_segment = wal_format::MIN_SEGMENT_FOR_TESTS;
        self
    }

    /// How long a log is idle before it gets a stamp.
    #[doc(hidden)]
    #[must_use]
    pub fn stamp_after(mut self, time: Duration) -> Self {
        self.stamp_after = time;
        self
    }

    /// No threads: background steps run in the calls that wait for them, and in
    /// [`blocking::Wal::drive`](crate::blocking::Wal::drive).
    #[doc(hidden)]
    #[must_use]
    pub fn driven_by_caller(mut self) -> Self {
        self.driver = Driver::Caller;
        self
    }

    fn settings(&self) -> Result<Settings> {
        self.config.check(self.least_segment)?;
        let sizes = Sizes {
            segment: (!self.keeps_segment_size).then_some(self.config.max_segment_size),
            alignment: self.sector_padding,
            record_limit: self.record_limit,
            node_id: (!self.keeps_node_id).then_some(self.config.node_id),
            version: self.version,
            least_segment: self.least_segment,
        };
        if !BUFFERS.contains(&self.buffer) {
            return Err(Error::InvalidConfig {
                field: "buffer_size",
                value: format!("{} bytes", self.buffer),
                allowed: format!("{} to {} bytes", BUFFERS.start(), BUFFERS.end()),
            });
        }
        let settings = Settings {
            config: self.config.clone(),
            sizes,
            alignment: Alignment::Eight,
            version: self.version.unwrap_or(Version::NEWEST),
            record_limit: 0,
            batch_limit: 0,
            buffer: self.buffer,
            hand_over_bytes: (256 << 10).min(self.buffer),
            hand_over_after: Duration::from_millis(1),
            stamp_after: self.stamp_after,
            driver: self.driver,
            recovery: self.recovery,
            prewrite: self.prewrite,
            path_check: self.path_check,
        };
        settings.resolve()
    }

    pub(crate) fn build(self) -> Result<Handle> {
        let settings = self.settings()?;
        let damaged = match self.mode {
            Access::Write => {
                let ground = Ground {
                    storage: self.storage,
                    clock: self.clock,
                    entropy: self.entropy,
                    lock_wait: self.lock_wait,
                };
                let (engine, report) = Engine::open(ground, &settings)?;
                return Ok(Handle::writer(engine, report));
            }
            Access::ReadOnly => Damaged::Refuse,
            Access::ReadDamaged => Damaged::Defer,
        };
        Ok(Handle::reader(View::open(self.storage, damaged)?))
    }
}
