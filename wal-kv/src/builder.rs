//! Opening a store with more than the settings of [`KvConfig`].

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wal_core::clock::{Clock, SystemClock};
use wal_core::entropy::Entropy;
use wal_core::{Compression, FormatVersion, PathCheck};
use wal_io::{DiskStorage, Storage};

use crate::config::KvConfig;
use crate::files::OneSync;
use crate::report::OpenProgress;
use crate::store::{Core, Driver, Progress, Settings};
use crate::sync::Arc;
use crate::{Error, Result};

/// Opens a store; `S` is the handle that it gives, [`KvStore`](crate::KvStore) or [`blocking::KvStore`](crate::blocking::KvStore).
///
/// ```
/// use wal_kv::{KvConfig, blocking::KvStore};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("store");
/// let store = KvStore::builder(&dir)
///     .config(KvConfig { memory_limit: Some(1 << 30), ..KvConfig::default() })
///     .progress(|progress| println!("{:?}: {} of {}", progress.phase, progress.done, progress.total))
///     .open()?;
/// # store.close()?;
/// # Ok(())
/// # }
/// ```
pub struct Builder<S> {
    storage: Arc<dyn Storage>,
    config: KvConfig,
    keeps_segment_size: bool,
    clock: Arc<dyn Clock>,
    entropy: Option<Arc<dyn Entropy>>,
    small_segments: bool,
    record_limit: Option<u64>,
    format_version: Option<FormatVersion>,
    lock_wait: Duration,
    view_memory_limit: Option<u64>,
    snapshot_after: u64,
    compression: Option<Compression>,
    driver: Driver,
    progress: Option<Progress>,
    path_check: PathCheck,
    handle: PhantomData<fn() -> S>,
}

impl<S> fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("storage", &self.storage)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The least length of the log, in bytes, for which a snapshot is written by itself.
const SNAPSHOT_AFTER: u64 = 32 << 20;

impl<S> Builder<S> {
    pub(crate) fn new(dir: impl AsRef<Path>) -> Self {
        Self {
            storage: Arc::new(DiskStorage::new(PathBuf::from(dir.as_ref()))),
            config: KvConfig::default(),
            keeps_segment_size: true,
            clock: Arc::new(SystemClock::default()),
            entropy: None,
            small_segments: false,
            record_limit: None,
            format_version: None,
            lock_wait: Duration::ZERO,
            view_memory_limit: None,
            snapshot_after: SNAPSHOT_AFTER,
            compression: None,
            driver: Driver::Thread,
            progress: None,
            path_check: PathCheck::On,
            handle: PhantomData,
        }
    }

    /// The settings that most users need. Without this call an existing store [keeps its segment size](Self::keep_segment_size).
    #[must_use]
    pub fn config(mut self, config: KvConfig) -> Self {
        self.config = config;
        self.keeps_segment_size = false;
        self
    }

    /// New segments of an existing store get the size of its newest one; `max_segment_size` applies to a new store only. Call
    /// it after [`config`](Self::config).
    #[must_use]
    pub fn keep_segment_size(mut self) -> Self {
        self.keeps_segment_size = true;
        self
    }

    /// Where the files are, instead of the directory on disk: memory, fault injection, your own storage.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = storage;
        self
    }

    /// Most bytes of key and value together. Default: the limit that was chosen for the store before; in a new one 64 MiB, or what
    /// fits in a segment if that is less.
    #[must_use]
    pub fn record_limit(mut self, bytes: u64) -> Self {
        self.record_limit = Some(bytes);
        self
    }

    /// The version of the on-disk format of the store's log; see [`wal_core::Builder::format_version`]. Default: that of the log's
    /// newest segment; in a new store version 2, which is a draft. A store of version 1 can continue in version 2. There is no way back:
    /// a program that knows only version 1 refuses the store from then on. Snapshots have a format of their own.
    #[must_use]
    pub fn format_version(mut self, version: FormatVersion) -> Self {
        self.format_version = Some(version);
        self
    }

    /// How long to wait for another process to close the store. Default not at all.
    #[must_use]
    pub fn lock_wait(mut self, time: Duration) -> Self {
        self.lock_wait = time;
        self
    }

    /// Most bytes of memory for what only open views and scans show: values that have been replaced or deleted since. A write that
    /// replaces or deletes a key whose value a view shows is refused above it, with
    /// [`OverViewMemoryLimit`](crate::Error::OverViewMemoryLimit); other writes go on, and no view loses anything. What only the
    /// store's own snapshot shows does not count. Default: [`memory_limit`](KvConfig::memory_limit); without one, no limit.
    #[must_use]
    pub fn view_memory_limit(mut self, bytes: u64) -> Self {
        self.view_memory_limit = Some(bytes);
        self
    }

    /// Least length of the log, in bytes, at which an automatic snapshot is due, so that a small store does not write one after the
    /// other. Default 32 MiB.
    #[must_use]
    pub fn snapshot_after(mut self, bytes: u64) -> Self {
        self.snapshot_after = bytes;
        self
    }

    /// How the blocks of a snapshot are compressed. Default LZ4 where the build has it.
    #[must_use]
    pub fn snapshot_compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Called with the progress of opening, from any thread. Keep it short.
    #[must_use]
    pub fn progress(mut self, progress: impl Fn(OpenProgress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
    }

    /// Whether the log checks now and then that its path still leads to its directory; see [`wal_core::Builder::path_check`].
    /// Default true.
    #[must_use]
    pub fn path_check(mut self, check: PathCheck) -> Self {
        self.path_check = check;
        self
    }

    /// Another source of time.
    #[doc(hidden)]
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Another source of the log's identities.
    #[doc(hidden)]
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Segments from 8 KiB on.
    #[doc(hidden)]
    #[must_use]
    pub fn small_segments(mut self) -> Self {
        self.small_segments = true;
        self
    }

    /// No threads: what is due runs in the calls that write or wait. The same calls make the same operations on the storage.
    #[doc(hidden)]
    #[must_use]
    pub fn driven_by_caller(mut self) -> Self {
        self.driver = Driver::Caller;
        self
    }

    pub(crate) fn build(self) -> Result<Shared> {
        let compression = match self.compression {
            Some(compression) if !compression.is_available() => {
                return Err(Error::Log(wal_core::Error::CompressionUnavailable {
                    compression,
                }));
            }
            Some(compression) => compression,
            None if Compression::Lz4.is_available() => Compression::Lz4,
            None => Compression::None,
        };
        let core = Core::open(Settings {
            storage: Arc::new(OneSync::new(self.storage)),
            config: self.config,
            keeps_segment_size: self.keeps_segment_size,
            clock: self.clock,
            entropy: self.entropy,
            small_segments: self.small_segments,
            record_limit: self.record_limit,
            format_version: self.format_version,
            lock_wait: self.lock_wait,
            view_memory_limit: self.view_memory_limit,
            snapshot_after: self.snapshot_after,
            compression,
            driver: self.driver,
            progress: self.progress,
            path_check: self.path_check,
        })?;
        Shared::start(core)
    }
}

/// An open store and its thread. The last handle to be dropped ends both.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    /// Whether the last handle waits until the thread has given up a snapshot.
    waits: bool,
}

impl Shared {
    fn start(core: Core) -> Result<Self> {
        let core = Core::shared(core);
        core.start()?;
        Ok(Self { core, waits: true })
    }

    /// The last handle is dropped where nothing may wait.
    #[cfg(feature = "tokio")]
    pub(crate) fn without_waiting(mut self) -> Self {
        self.waits = false;
        self
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The thread and the locks belong to the opener.
        if self.core.check_process().is_err() {
            return;
        }
        self.core.stop();
        // The thread gives up what it does, and then drops the store by itself.
        if !self.waits && self.core.is_busy() {
            return;
        }
        self.core.join();
    }
}
