//! The store for threads: the same calls as the async `KvStore`, without `async`.
//!
//! Needs no runtime and no feature. Deliberately absent: everything but waiting, which is all that differs.

use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wal_core::{Awaited, Lsn, Position};

use crate::builder::{Builder, Shared};
use crate::config::{Condition, Conditional, KvConfig};
use crate::index::Change;
use crate::report::{OpenReport, SnapshotReport, Stats};
use crate::store::{Attempt, Core, Guard, Ready, Written, applied};
use crate::sync::Arc;
use crate::view::{Pair, Scan, View};
use crate::{Batch, Result};

/// A key-value store in memory, every write in a log first. Clones are handles to the same store.
///
/// Reads wait for no write, no sync and no snapshot. Writers that wait for the disk at the same time share a sync.
///
/// In a fork of the process that opened the store, calls that can fail return [`OtherProcess`](wal_core::Error::OtherProcess) and
/// dropping the handle touches no file; reads that cannot fail (`get`, `scan`, `len`, `view`) may hang there, on a lock that another
/// thread held when the process was forked.
///
/// ```
/// use wal_kv::{FsyncPolicy, KvConfig, blocking::KvStore};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("store");
/// let config = KvConfig { fsync_policy: FsyncPolicy::Always, ..KvConfig::default() };
/// let store = KvStore::open(&dir, config)?;
/// store.put("user:1", "Ada")?;
/// store.put("user:2", "Grace")?;
/// assert_eq!(store.get(b"user:1").as_deref(), Some(&b"Ada"[..]));
/// for pair in store.scan_prefix(b"user:").rev() {
///     println!("{:?} = {:?}", pair.key(), pair.value());
/// }
/// store.delete("user:1")?;
/// assert!(!store.contains_key(b"user:1"));
/// store.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KvStore {
    shared: Arc<Shared>,
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
    pub fn open(dir: impl AsRef<Path>, config: KvConfig) -> Result<Self> {
        Self::builder(dir).config(config).open()
    }

    /// Opens with the settings that [`KvConfig`] does not have.
    #[must_use]
    pub fn builder(dir: impl AsRef<Path>) -> Builder<Self> {
        Builder::new(dir)
    }

    pub(crate) fn core(&self) -> &Core {
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
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Position> {
        let change = put(key.as_ref(), value.as_ref());
        self.write_one(change, Durability::Policy)
    }

    /// As [`put`](Self::put), and returns when it is on stable storage, whatever the policy. Under [`Batch`](crate::FsyncPolicy::Batch)
    /// and [`Os`](crate::FsyncPolicy::Os) it is shown before that.
    ///
    /// # Durability
    /// It and all writes before it survive a power loss.
    ///
    /// # Errors
    /// As [`put`](Self::put). After [`Poisoned`](wal_core::Error::Poisoned) under the other policies it may be shown.
    pub fn put_durable(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Position> {
        let change = put(key.as_ref(), value.as_ref());
        self.write_one(change, Durability::Durable)
    }

    /// Sets the value of `key` for a time: `ttl` from now on, rounded up to a millisecond, the key is gone for every read, also after
    /// reopening. It counts by the boot-time clock, which nobody sets; the README says what a jump of the wall clock does.
    ///
    /// # Durability
    /// As [`put`](Self::put).
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_with_ttl(
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
        self.write_one(change, Durability::Policy)
    }

    /// Removes `key`. One that is not there gets a record in the log all the same.
    ///
    /// # Durability
    /// As [`put`](Self::put). A key whose delete is durable does not come back.
    ///
    /// # Errors
    /// As [`put`](Self::put), but never [`OverMemoryLimit`](crate::Error::OverMemoryLimit), and
    /// [`SnapshotOverdue`](crate::Error::SnapshotOverdue) only for a key that is not there.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<Position> {
        let change = Change::Delete { key: key.as_ref() };
        self.write_one(change, Durability::Policy)
    }

    /// As [`delete`](Self::delete), and returns when it is on stable storage, whatever the policy.
    ///
    /// # Durability
    /// It and all writes before it survive a power loss.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub fn delete_durable(&self, key: impl AsRef<[u8]>) -> Result<Position> {
        let change = Change::Delete { key: key.as_ref() };
        self.write_one(change, Durability::Durable)
    }

    /// Makes all writes of the batch, or none. They are shown together. Returns the position of the first. An empty batch writes
    /// nothing, and returns the position of the next write: to wait for that one is an error until it is made.
    ///
    /// # Durability
    /// As [`put`](Self::put), for the batch as a whole.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`TooLarge`](wal_core::Error::TooLarge) also if the batch does not fit in a segment.
    pub fn write(&self, batch: Batch) -> Result<Position> {
        self.write_batch(batch, Durability::Policy)
    }

    /// As [`write`](Self::write), and returns when the batch is on stable storage, whatever the policy.
    ///
    /// # Durability
    /// The batch and all writes before it survive a power loss.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_durable(&self, batch: Batch) -> Result<Position> {
        self.write_batch(batch, Durability::Durable)
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
    pub fn put_if(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        condition: &Condition,
    ) -> Result<Conditional> {
        self.put_keeping_expiry(key.as_ref(), value.as_ref(), condition)
    }

    /// As [`put_if`](Self::put_if), and the value expires `ttl` from now on, as [`put_with_ttl`](Self::put_with_ttl) says, whatever
    /// the value before it did.
    ///
    /// # Durability
    /// As [`put_if`](Self::put_if).
    ///
    /// # Errors
    /// As [`put_if`](Self::put_if).
    pub fn put_if_with_ttl(
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
        self.write_as_given(change, condition)
    }

    /// Removes `key` if the condition holds: as [`put_if`](Self::put_if).
    ///
    /// # Durability
    /// As [`put_if`](Self::put_if).
    ///
    /// # Errors
    /// As [`put_if`](Self::put_if).
    pub fn delete_if(&self, key: impl AsRef<[u8]>, condition: &Condition) -> Result<Conditional> {
        let change = Change::Delete { key: key.as_ref() };
        self.write_as_given(change, condition)
    }

    /// Puts `new` in the place of `expected`, if that is what `key` has: `None` stands for no value. `new` keeps the expiry. As [`put_if`](Self::put_if)
    /// and [`delete_if`](Self::delete_if).
    ///
    /// # Durability
    /// As [`put_if`](Self::put_if).
    ///
    /// # Errors
    /// As [`put_if`](Self::put_if).
    pub fn compare_and_swap(
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
            return self.put_keeping_expiry(key, value, &condition);
        }
        self.write_as_given(Change::Delete { key }, &condition)
    }

    fn write_one(&self, change: Change<'_>, durability: Durability) -> Result<Position> {
        loop {
            let ready = self.core().prepare(&change)?;
            match self.enter(&ready, &[change], None, durability)? {
                Outcome::Written(written) => return Ok(written.first),
                Outcome::ExpiryChanged => {}
                Outcome::Refused(_) => unreachable!("there was no condition"),
            }
        }
    }

    fn write_batch(&self, batch: Batch, durability: Durability) -> Result<Position> {
        let core = self.core();
        let mut records = core.records(batch);
        loop {
            let ready = core.prepare_batch(&records)?;
            let changes = records.changes();
            match self.enter(&ready, &changes, None, durability)? {
                Outcome::Written(written) => return Ok(written.first),
                Outcome::ExpiryChanged => core.correct(&mut records),
                Outcome::Refused(_) => unreachable!("there was no condition"),
            }
        }
    }

    /// Puts `value` with the expiry of the value that it replaces.
    fn put_keeping_expiry(
        &self,
        key: &[u8],
        value: &[u8],
        condition: &Condition,
    ) -> Result<Conditional> {
        let guard = Guard {
            condition,
            keeps_expiry: true,
        };
        loop {
            let change = Change::Put {
                key,
                value,
                expires_at: self.core().expiry(key),
            };
            if let Some(decided) = self.write_if(change, guard)? {
                return Ok(decided);
            }
        }
    }

    /// Writes as the change says.
    fn write_as_given(&self, change: Change<'_>, condition: &Condition) -> Result<Conditional> {
        let guard = Guard {
            condition,
            keeps_expiry: false,
        };
        loop {
            if let Some(decided) = self.write_if(change, guard)? {
                return Ok(decided);
            }
        }
    }

    /// `None`: the value is to have another expiry by now.
    fn write_if(&self, change: Change<'_>, guard: Guard<'_>) -> Result<Option<Conditional>> {
        let ready = self.core().prepare(&change)?;
        let entered = self.enter(&ready, &[change], Some(guard), Durability::Policy)?;
        Ok(match entered {
            Outcome::Written(written) => Some(applied(written)),
            Outcome::Refused(found) => Some(Conditional::Refused { found }),
            Outcome::ExpiryChanged => None,
        })
    }

    /// Enters the log and the index in one step, then waits for the disk if it has to.
    fn enter(
        &self,
        ready: &Ready<'_>,
        changes: &[Change<'_>],
        guard: Option<Guard<'_>>,
        durability: Durability,
    ) -> Result<Outcome> {
        let core = self.core();
        let mut retry = core.retry();
        loop {
            match core.attempt(ready, changes, guard)? {
                Attempt::NoRoom => {
                    if let Err(error) = core.wal.wait_for_room(&ready.prepared) {
                        retry = core.make_room(retry, error)?;
                    }
                }
                Attempt::NoRoomForMark(error) => {
                    if !core.wait_for_room_of_a_mark() {
                        return Err(error);
                    }
                }
                Attempt::AtBound => retry = core.wait_below_bound(retry)?,
                Attempt::ExpiryChanged => return Ok(Outcome::ExpiryChanged),
                Attempt::Refused { found, seen } => {
                    if let Some(seen) = seen {
                        self.core().wal.wait_durable(Lsn::new(seen))?;
                    }
                    return Ok(Outcome::Refused(found));
                }
                Attempt::Entered(written) => {
                    let durable = durability == Durability::Durable || core.waits();
                    // An empty batch has nothing to wait for.
                    if durable && !changes.is_empty() {
                        self.core().wal.wait_durable(Lsn::new(written.last))?;
                    }
                    core.drive();
                    let slowed = core.slowed(ready.prepared.encoded_len());
                    if !slowed.is_zero() {
                        core.has_slept(core.sleeper(slowed)());
                    }
                    return Ok(Outcome::Written(written));
                }
            }
        }
    }

    /// Returns when all writes that returned before the call are on stable storage.
    ///
    /// # Durability
    /// They survive a power loss.
    ///
    /// # Errors
    /// The log's [`Poisoned`](wal_core::Error::Poisoned) and [`Closed`](wal_core::Error::Closed).
    pub fn sync(&self) -> Result<()> {
        Ok(self.core().wal.sync()?)
    }

    /// Returns when the write with this LSN or [`Position`] is on stable storage, and all before it.
    ///
    /// # Durability
    /// They survive a power loss.
    ///
    /// # Errors
    /// The log's [`NotAppended`](wal_core::Error::NotAppended) for an LSN never given, else as [`sync`](Self::sync).
    pub fn wait_durable(&self, write: impl Into<Awaited>) -> Result<()> {
        Ok(self.core().wal.wait_durable(write)?)
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
    pub fn snapshot(&self) -> Result<SnapshotReport> {
        self.core().snapshot()
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
    pub fn close(&self) -> Result<()> {
        self.core().check_process()?;
        // What has expired is marked, so that it stays so.
        self.core().sweep();
        self.core().stop();
        Ok(self.core().wal.close()?)
    }
}

impl Builder<KvStore> {
    /// Opens the store.
    ///
    /// # Errors
    /// As [`KvStore::open`].
    pub fn open(self) -> Result<KvStore> {
        Ok(KvStore {
            shared: Arc::new(self.build()?),
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

/// How long a write waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Policy,
    Durable,
}

#[derive(Debug)]
enum Outcome {
    Written(Written),
    Refused(Option<Bytes>),
    ExpiryChanged,
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Change<'a> {
    Change::Put {
        key,
        value,
        expires_at: None,
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
