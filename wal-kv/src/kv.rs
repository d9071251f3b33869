//! The async store: the same calls as `blocking::KvStore`, behind futures.
//!
//! A write enters the log and the index in one step, without an await between them: a dropped future leaves neither behind the
//! other. Deliberately absent: everything but waiting, which is all that differs.

mod write;

use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wal_core::{Awaited, Lsn, Position, Wal};

use crate::builder::{Builder, Shared};
use crate::config::{Condition, Conditional, KvConfig};
use crate::index::Change;
use crate::report::{OpenReport, SnapshotReport, Stats};
use crate::store::Core;
use crate::sync::Arc;
use crate::view::{Pair, Scan, View};
use crate::{Batch, Error, Result};
use write::{Durability, put};

/// A key-value store in memory, every write in a log first. Clones are handles to the same store.
///
/// Reads wait for no write, no sync and no snapshot. Writers that wait for the disk at the same time share a sync.
///
/// In a fork of the process that opened the store, calls that can fail return [`OtherProcess`](wal_core::Error::OtherProcess) and
/// dropping the handle touches no file; reads that cannot fail (`get`, `scan`, `len`, `view`) may hang there, on a lock that another
/// thread held when the process was forked.
///
/// Dropping the last handle does not wait for the disk on account of a snapshot that is being written: the store's thread gives it
/// up, and the directory stays locked until it has. To know when the store is closed, await [`close`](Self::close).
///
/// ```
/// use wal_kv::{FsyncPolicy, KvConfig, KvStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("store");
/// let config = KvConfig { fsync_policy: FsyncPolicy::Always, ..KvConfig::default() };
/// let store = KvStore::open(&dir, config).await?;
/// store.put("user:1", "Ada").await?;
/// store.put("user:2", "Grace").await?;
/// assert_eq!(store.get(b"user:1").as_deref(), Some(&b"Ada"[..]));
/// for pair in store.scan_prefix(b"user:").rev() {
///     println!("{:?} = {:?}", pair.key(), pair.value());
/// }
/// store.delete("user:1").await?;
/// assert!(!store.contains_key(b"user:1"));
/// store.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KvStore {
    shared: Arc<Shared>,
    /// The same log as the blocking one, whose calls can be awaited.
    wal: Wal,
}

impl KvStore {
    /// Opens the store in the directory `dir`, and creates it if there is none: it reads the newest good
    /// snapshot, then the log after it.
    ///
    /// # Durability
    /// All that the store holds on return is on stable storage.
    ///
    /// # Errors
    /// [`Locked`](wal_core::Error::Locked) if it is open elsewhere, [`PlainLog`](crate::Error::PlainLog) if the directory holds a log
    /// that is not a store's, [`NoMarker`](crate::Error::NoMarker) if the store's marker is missing,
    /// [`NoSnapshot`](crate::Error::NoSnapshot), [`LogTooShort`](crate::Error::LogTooShort) and the log's [`Corruption`](wal_core::Error::Corruption),
    /// [`MissingSegment`](wal_core::Error::MissingSegment) and [`Gap`](wal_core::Error::Gap) if durable data is damaged,
    /// [`UnknownVersion`](crate::Error::UnknownVersion), [`UnknownRecord`](crate::Error::UnknownRecord),
    /// [`ForeignFile`](crate::Error::ForeignFile), [`NoSpace`](crate::Error::NoSpace), [`Io`](crate::Error::Io), and the log's own.
    /// Nothing is lost by any of them.
    ///
    /// # Cancel safety
    /// Dropped, it may finish in the background; the store is then closed again.
    pub async fn open(dir: impl AsRef<Path>, config: KvConfig) -> Result<Self> {
        Self::builder(dir).config(config).open().await
    }

    /// Opens with the settings that [`KvConfig`] does not have.
    #[must_use]
    pub fn builder(dir: impl AsRef<Path>) -> Builder<Self> {
        Builder::new(dir)
    }

    fn core(&self) -> &Core {
        &self.shared.core
    }

    /// The value of `key`. Waits for no write and no I/O.
    ///
    /// # Durability
    /// Under [`Always`](crate::FsyncPolicy::Always) what is shown is on stable storage. Under the other policies it may be
    /// shown before it is: a crash can take it back, until a [`sync`](Self::sync) that began later has returned.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.core().get(key)
    }

    /// Whether there is a value for `key`: as [`get`](Self::get).
    #[must_use]
    #[inline]
    pub fn contains_key(&self, key: &[u8]) -> bool {
        self.core().contains_key(key)
    }

    /// The value of `key` with its LSN and expiry. One whose LSN is at or below [`durable_lsn`](Self::durable_lsn) is on stable
    /// storage.
    #[must_use]
    pub fn get_pair(&self, key: &[u8]) -> Option<Pair> {
        self.core().pair(key)
    }

    /// The values of several keys at one moment.
    #[must_use]
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Vec<Option<Bytes>> {
        self.core().multi_get(keys)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core().len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The store as it is now, to be read while writers go on.
    #[must_use]
    pub fn view(&self) -> View {
        self.core().view()
    }

    /// The pairs whose keys lie in `range`, as they are now, in the order of the keys; [`rev`](Iterator::rev) turns it round. Writers
    /// do not wait for a scan. For all pairs there is [`iter`](Self::iter).
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Scan {
        self.view().scan(range)
    }

    /// The pairs whose keys begin with `prefix`: as [`scan`](Self::scan).
    #[must_use]
    pub fn scan_prefix(&self, prefix: &[u8]) -> Scan {
        self.view().scan_prefix(prefix)
    }

    /// All pairs: as [`scan`](Self::scan).
    #[must_use]
    pub fn iter(&self) -> Scan {
        self.view().iter()
    }

    /// Sets the value of `key`. Every read that begins after the return shows it, or a later one.
    ///
    /// # Durability
    /// As the [policy](crate::FsyncPolicy) says of an append.
    ///
    /// # Errors
    /// [`KeyTooLarge`](crate::Error::KeyTooLarge), the log's [`TooLarge`](wal_core::Error::TooLarge),
    /// [`NoSpace`](wal_core::Error::NoSpace) and [`Closed`](wal_core::Error::Closed),
    /// [`OverMemoryLimit`](crate::Error::OverMemoryLimit), [`OverViewMemoryLimit`](crate::Error::OverViewMemoryLimit),
    /// [`SnapshotOverdue`](crate::Error::SnapshotOverdue): nothing was written. [`Poisoned`](wal_core::Error::Poisoned): under
    /// [`Always`](crate::FsyncPolicy::Always) it is not shown, and may be there when the store is opened again.
    ///
    /// # Cancel safety
    /// The write enters the log and the store in one poll. Dropped before, nothing was written; dropped behind it (while waiting
    /// for the sync), it stays in both, becomes durable as others do, and is shown in its place.
    pub async fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Position> {
        let change = put(key.as_ref(), value.as_ref());
        self.write_one(change, Durability::Policy).await
    }

    /// As [`put`](Self::put), and returns when it is on stable storage, whatever the policy. Under [`Batch`](crate::FsyncPolicy::Batch)
    /// and [`Os`](crate::FsyncPolicy::Os) it is shown before that.
    ///
    /// # Durability
    /// It and all writes before it survive a power loss.
    ///
    /// # Errors
    /// As [`put`](Self::put). After [`Poisoned`](wal_core::Error::Poisoned) under the other policies it may be shown.
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn put_durable(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Position> {
        let change = put(key.as_ref(), value.as_ref());
        self.write_one(change, Durability::Durable).await
    }

    /// Sets the value of `key` for a time: `ttl` from now on, rounded up to a millisecond, the key is gone for every read, also after
    /// reopening. It counts by the boot-time clock, which nobody sets; the README says what a jump of the wall clock does.
    ///
    /// # Durability
    /// As [`put`](Self::put).
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn put_with_ttl(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Duration,
    ) -> Result<Position> {
        let change = Change::Put {
            key: key.as_ref(),
            value: value.as_ref(),
            expires_at: Some(self.core().after(ttl)),
        };
        self.write_one(change, Durability::Policy).await
    }

    /// Removes `key`. One that is not there gets a record in the log all the same.
    ///
    /// # Durability
    /// As [`put`](Self::put). A key whose delete is durable does not come back.
    ///
    /// # Errors
    /// As [`put`](Self::put), but never [`OverMemoryLimit`](crate::Error::OverMemoryLimit), and
    /// [`SnapshotOverdue`](crate::Error::SnapshotOverdue) only for a key that is not there.
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<Position> {
        let change = Change::Delete { key: key.as_ref() };
        self.write_one(change, Durability::Policy).await
    }

    /// As [`delete`](Self::delete), and returns when it is on stable storage, whatever the policy.
    ///
    /// # Durability
    /// It and all writes before it survive a power loss.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn delete_durable(&self, key: impl AsRef<[u8]>) -> Result<Position> {
        let change = Change::Delete { key: key.as_ref() };
        self.write_one(change, Durability::Durable).await
    }

    /// Makes all writes of the batch, or none. They are shown together. Returns the position of the first. An empty batch writes
    /// nothing, and returns the position of the next write: to wait for that one is an error until it is made.
    ///
    /// # Durability
    /// As [`put`](Self::put), for the batch as a whole.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`TooLarge`](wal_core::Error::TooLarge) also if the batch does not fit in a segment.
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn write(&self, batch: Batch) -> Result<Position> {
        self.write_batch(batch, Durability::Policy).await
    }

    /// As [`write`](Self::write), and returns when the batch is on stable storage, whatever the policy.
    ///
    /// # Durability
    /// The batch and all writes before it survive a power loss.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn write_durable(&self, batch: Batch) -> Result<Position> {
        self.write_batch(batch, Durability::Durable).await
    }

    /// Sets the value of `key` if the condition holds; nothing comes between the check and the write.
    /// The value keeps the expiry of the one that it replaces. [`put_if_with_ttl`](Self::put_if_with_ttl) gives it a new one, and a
    /// plain [`put`](Self::put) none.
    ///
    /// # Durability
    /// As [`put`](Self::put). Under [`Always`](crate::FsyncPolicy::Always) what a refusal tells of is on stable storage too.
    ///
    /// # Errors
    /// As [`put`](Self::put). A condition that does not hold is no error.
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn put_if(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        condition: &Condition,
    ) -> Result<Conditional> {
        self.put_keeping_expiry(key.as_ref(), value.as_ref(), condition)
            .await
    }

    /// As [`put_if`](Self::put_if), and the value expires `ttl` from now on, as [`put_with_ttl`](Self::put_with_ttl) says, whatever
    /// the value before it did.
    ///
    /// # Durability
    /// As [`put_if`](Self::put_if).
    ///
    /// # Errors
    /// As [`put_if`](Self::put_if).
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn put_if_with_ttl(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Duration,
        condition: &Condition,
    ) -> Result<Conditional> {
        let change = Change::Put {
            key: key.as_ref(),
            value: value.as_ref(),
            expires_at: Some(self.core().after(ttl)),
        };
        self.write_as_given(change, condition).await
    }

    /// Removes `key` if the condition holds: as [`put_if`](Self::put_if).
    ///
    /// # Durability
    /// As [`put_if`](Self::put_if).
    ///
    /// # Errors
    /// As [`put_if`](Self::put_if).
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn delete_if(
        &self,
        key: impl AsRef<[u8]>,
        condition: &Condition,
    ) -> Result<Conditional> {
        let change = Change::Delete { key: key.as_ref() };
        self.write_as_given(change, condition).await
    }

    /// Puts `new` in the place of `expected`, if that is what `key` has: `None` stands for no value. `new` keeps the expiry. As [`put_if`](Self::put_if)
    /// and [`delete_if`](Self::delete_if).
    ///
    /// # Durability
    /// As [`put_if`](Self::put_if).
    ///
    /// # Errors
    /// As [`put_if`](Self::put_if).
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<Conditional> {
        let key = key.as_ref();
        let condition = expected.map_or(Condition::Absent, |value| {
            Condition::ValueIs(Bytes::copy_from_slice(value))
        });
        if let Some(value) = new {
            return self.put_keeping_expiry(key, value, &condition).await;
        }
        self.write_as_given(Change::Delete { key }, &condition)
            .await
    }

    /// Returns when all writes that returned before the call are on stable storage.
    ///
    /// # Durability
    /// They survive a power loss.
    ///
    /// # Errors
    /// The log's [`Poisoned`](wal_core::Error::Poisoned) and [`Closed`](wal_core::Error::Closed).
    ///
    /// # Cancel safety
    /// Nothing is lost; the sync may go on.
    pub async fn sync(&self) -> Result<()> {
        Ok(self.wal.sync().await?)
    }

    /// Returns when the write with this LSN or [`Position`] is on stable storage, and all before it.
    ///
    /// # Durability
    /// They survive a power loss.
    ///
    /// # Errors
    /// The log's [`NotAppended`](wal_core::Error::NotAppended) for an LSN never given, else as [`sync`](Self::sync).
    ///
    /// # Cancel safety
    /// Nothing is lost; the sync may go on.
    pub async fn wait_durable(&self, write: impl Into<Awaited>) -> Result<()> {
        Ok(self.wal.wait_durable(write).await?)
    }

    /// The highest LSN known to be on stable storage, also after the log has failed.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.core().wal.durable_lsn()
    }

    /// Writes a snapshot of what is shown now, reads it back, and cuts the log. Reads and writes go on meanwhile. If nothing was
    /// written since the last one, that is the one.
    ///
    /// # Durability
    /// All that it holds survives a power loss. Until it has been read back, the log and the snapshot before it stay.
    ///
    /// # Errors
    /// [`NoSpace`](crate::Error::NoSpace), [`Io`](crate::Error::Io),
    /// [`SnapshotNotVerified`](crate::Error::SnapshotNotVerified), the log's [`Poisoned`](wal_core::Error::Poisoned) and
    /// [`Closed`](wal_core::Error::Closed). The store is as it was, and a later call tries again.
    ///
    /// # Cancel safety
    /// The snapshot goes on in the background.
    pub async fn snapshot(&self) -> Result<SnapshotReport> {
        let core = Arc::clone(&self.shared.core);
        in_background(move || core.snapshot()).await
    }

    /// What opening the store found and did.
    #[must_use]
    pub fn open_report(&self) -> &OpenReport {
        self.core().report()
    }

    /// Counters of this handle and its clones, and where the store stands.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core().stats()
    }

    /// Closes the store: writes then get [`Closed`](wal_core::Error::Closed). Reads go on as before. A snapshot that is being written by
    /// itself is given up.
    ///
    /// # Durability
    /// Under every policy all writes survive a power loss.
    ///
    /// # Errors
    /// The log's [`Poisoned`](wal_core::Error::Poisoned) if a write or a sync failed.
    ///
    /// # Cancel safety
    /// Once begun it goes on in the background.
    pub async fn close(&self) -> Result<()> {
        self.core().check_process()?;
        // What has expired is marked, so that it stays so.
        let core = Arc::clone(&self.shared.core);
        in_background(move || {
            core.sweep();
            Ok(())
        })
        .await?;
        self.core().stop();
        Ok(self.wal.close().await?)
    }
}

impl Builder<KvStore> {
    /// Opens the store.
    ///
    /// # Errors
    /// As [`KvStore::open`].
    ///
    /// # Cancel safety
    /// As [`KvStore::open`].
    pub async fn open(self) -> Result<KvStore> {
        let shared = in_background(move || self.build()).await?;
        let wal = Wal::from(shared.core.wal.clone());
        Ok(KvStore {
            shared: Arc::new(shared.without_waiting()),
            wal,
        })
    }
}

impl IntoIterator for &KvStore {
    type Item = Pair;
    type IntoIter = Scan;

    fn into_iter(self) -> Scan {
        self.iter()
    }
}

/// Runs what blocks where no task waits for it.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(Error::Io {
                location: String::new(),
                what: "running in the background",
                source: Arc::new(std::io::Error::other(error)),
            }),
        },
        // Another executor: here is as good as anywhere.
        Err(_) => work(),
    }
}

impl fmt::Debug for KvStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys and values are the user's own.
        f.debug_struct("KvStore")
            .field("core", self.core())
            .finish_non_exhaustive()
    }
}
