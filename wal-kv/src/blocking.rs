//! The store for threads: the same calls as the async `KvStore`, without `async`.
//!
//! Needs no runtime and no feature.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wal_core::blocking::Wal;
use wal_core::clock::{Clock, SystemClock};
use wal_core::{Builder, IntoBytes, Lsn, Position, WalConfig};

use crate::Result;
use crate::change::Change;
use crate::index::{Contents, Index};
use crate::sync::{Arc, Mutex};
use crate::time::Time;

/// A key-value store in memory, every write in a log first. Clones are handles to the same store.
///
/// One writer at a time: a write waits until the one before it has returned, under
/// [`Always`](crate::FsyncPolicy::Always) for its sync too. Reads wait for neither.
///
/// ```
/// use wal_kv::{FsyncPolicy, WalConfig, blocking::KvStore};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("store");
/// let config = WalConfig { fsync_policy: FsyncPolicy::Always, ..WalConfig::default() };
/// let store = KvStore::open(&dir, config)?;
/// store.put("key", "value")?;
/// assert_eq!(store.get(b"key").as_deref(), Some(&b"value"[..]));
/// store.delete("key")?;
/// assert!(!store.contains_key(b"key"));
/// store.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KvStore {
    inner: Arc<Inner>,
}

struct Inner {
    wal: Wal,
    index: Index,
    /// Held from the append to the change of the map, so that both have one order.
    writer: Mutex<()>,
}

impl KvStore {
    /// Opens the store in the directory `dir`, and creates it if there is none. Reads the whole log.
    ///
    /// # Durability
    /// All that the store holds on return is on stable storage.
    ///
    /// # Errors
    /// [`NotAStore`](crate::Error::NotAStore) if the log holds records without keys, else what opening and reading the log
    /// gave: see [`Wal::open`](wal_core::blocking::Wal::open). Nothing is lost by any of them.
    pub fn open(dir: impl AsRef<Path>, config: WalConfig) -> Result<Self> {
        let clock = Arc::new(SystemClock::default());
        Self::open_with(Wal::builder(dir).config(config), clock)
    }

    /// Opens with another storage and another clock, for tests.
    #[doc(hidden)]
    pub fn open_with(builder: Builder<Wal>, clock: Arc<dyn Clock>) -> Result<Self> {
        let wal = builder.open()?;
        let time = Time::new(clock);
        let now = time.now();
        let mut contents = Contents::default();
        let mut reader = wal.read_from(Lsn::ZERO)?;
        while let Some((record, position)) = reader.next_record()? {
            contents.apply(Change::of(&record, position)?, || now);
        }
        Ok(Self {
            inner: Arc::new(Inner {
                wal,
                index: Index::new(contents, time),
                writer: Mutex::default(),
            }),
        })
    }

    /// The value of `key`. Waits for no write and no I/O.
    ///
    /// # Durability
    /// Under [`Always`](crate::FsyncPolicy::Always) what is shown is on stable storage. Under the other policies it may be
    /// shown before it is: a crash can take it back, until a [`sync`](Self::sync) that began later has returned.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.inner.index.get(key)
    }

    /// Whether there is a value for `key`: as [`get`](Self::get).
    #[must_use]
    pub fn contains_key(&self, key: &[u8]) -> bool {
        self.inner.index.contains_key(key)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.index.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets the value of `key`. Every `get` that begins after the return shows it, or a later one.
    ///
    /// # Durability
    /// As the [policy](crate::FsyncPolicy) says of an append.
    ///
    /// # Errors
    /// What the append gave: see [`Wal::append`](wal_core::blocking::Wal::append). The store shows what it showed before;
    /// only after [`Poisoned`](wal_core::Error::Poisoned) may the new value be there when the store is opened again.
    pub fn put(&self, key: impl IntoBytes, value: impl IntoBytes) -> Result<Position> {
        self.write(Change::Put {
            key: key.into_bytes(),
            value: value.into_bytes(),
            expires_at: None,
        })
    }

    /// Sets the value of `key` for a time: `ttl` from now on, to the millisecond, the key is gone, also after reopening.
    ///
    /// # Durability
    /// As [`put`](Self::put).
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_with_ttl(
        &self,
        key: impl IntoBytes,
        value: impl IntoBytes,
        ttl: Duration,
    ) -> Result<Position> {
        self.write(Change::Put {
            key: key.into_bytes(),
            value: value.into_bytes(),
            expires_at: Some(self.inner.index.now().saturating_add(ttl)),
        })
    }

    /// Removes `key`. One that is not there gets a record in the log all the same.
    ///
    /// # Durability
    /// As [`put`](Self::put).
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete(&self, key: impl IntoBytes) -> Result<Position> {
        self.write(Change::Delete {
            key: key.into_bytes(),
        })
    }

    fn write(&self, change: Change) -> Result<Position> {
        let one_at_a_time = self.inner.writer.lock();
        let position = self.inner.wal.append(change.record())?;
        self.inner.index.apply(change);
        drop(one_at_a_time);
        Ok(position)
    }

    /// Returns when all writes that returned before the call are on stable storage.
    ///
    /// # Durability
    /// They survive a power loss.
    ///
    /// # Errors
    /// As [`Wal::sync`](wal_core::blocking::Wal::sync).
    pub fn sync(&self) -> Result<()> {
        Ok(self.inner.wal.sync()?)
    }

    /// Closes the log: writes then get [`Closed`](wal_core::Error::Closed). Reads go on as before.
    ///
    /// # Durability
    /// Under every policy all writes survive a power loss.
    ///
    /// # Errors
    /// As [`Wal::close`](wal_core::blocking::Wal::close).
    pub fn close(&self) -> Result<()> {
        Ok(self.inner.wal.close()?)
    }
}

impl fmt::Debug for KvStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys and values are the user's own.
        f.debug_struct("KvStore")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
