//! The async store: the same map over the async log.
//!
//! A dropped future must not leave the map behind the log: what it was about to append is remembered under the writer's lock,
//! and the next writer applies it if it did enter the log.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wal_core::clock::{Clock, SystemClock};
use wal_core::{Builder, IntoBytes, Lsn, Position, Wal, WalConfig};

use crate::Result;
use crate::change::Change;
use crate::index::{Contents, Index};
use crate::sync::Arc;
use crate::time::Time;

/// Records replayed in one go before other tasks of the runtime get their turn.
const REPLAY_STRETCH: u64 = 1024;

/// A key-value store in memory, every write in a log first. Clones are handles to the same store.
///
/// One writer at a time: a write waits until the one before it has returned, under
/// [`Always`](crate::FsyncPolicy::Always) for its sync too. Reads wait for neither.
///
/// ```
/// use wal_kv::{FsyncPolicy, KvStore, WalConfig};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("store");
/// let config = WalConfig { fsync_policy: FsyncPolicy::Always, ..WalConfig::default() };
/// let store = KvStore::open(&dir, config).await?;
/// store.put("key", "value").await?;
/// assert_eq!(store.get(b"key").as_deref(), Some(&b"value"[..]));
/// store.delete("key").await?;
/// assert!(!store.contains_key(b"key"));
/// store.close().await?;
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
    writer: tokio::sync::Mutex<Writer>,
}

/// What the holder of the writer's lock works on.
#[derive(Debug, Default)]
struct Writer {
    /// A change on its way, and the LSN that it gets: nobody else appends to the log. It outlives a dropped future.
    begun: Option<(Lsn, Change)>,
}

impl KvStore {
    /// Opens the store in the directory `dir`, and creates it if there is none. Reads the whole log.
    ///
    /// # Durability
    /// All that the store holds on return is on stable storage.
    ///
    /// # Errors
    /// [`NotAStore`](crate::Error::NotAStore) if the log holds records without keys, else what opening and reading the log
    /// gave: see [`Wal::open`](wal_core::Wal::open). Nothing is lost by any of them.
    ///
    /// # Cancel safety
    /// Dropped, the log may finish opening in the background; it is then dropped again.
    pub async fn open(dir: impl AsRef<Path>, config: WalConfig) -> Result<Self> {
        let clock = Arc::new(SystemClock::default());
        Self::open_with(Wal::builder(dir).config(config), clock).await
    }

    /// Opens with another storage and another clock, for tests.
    #[doc(hidden)]
    pub async fn open_with(builder: Builder<Wal>, clock: Arc<dyn Clock>) -> Result<Self> {
        let wal = builder.open().await?;
        let time = Time::new(clock);
        let now = time.now();
        let mut contents = Contents::default();
        let mut reader = wal.read_from(Lsn::ZERO).await?;
        while let Some((record, position)) = reader.next_record().await? {
            contents.apply(Change::of(&record, position)?, || now);
            if position.lsn.get().is_multiple_of(REPLAY_STRETCH) {
                tokio::task::yield_now().await;
            }
        }
        Ok(Self {
            inner: Arc::new(Inner {
                wal,
                index: Index::new(contents, time),
                writer: tokio::sync::Mutex::default(),
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
    /// What the append gave: see [`Wal::append`](wal_core::Wal::append). The store shows what it showed before; only after
    /// [`Poisoned`](wal_core::Error::Poisoned) may the new value be there when the store is opened again.
    ///
    /// # Cancel safety
    /// Dropped, the change either never entered the log, or stays in it. In the second case it is shown once it is durable
    /// and the next write, [`sync`](Self::sync) or [`close`](Self::close) has begun, in its place before that write.
    pub async fn put(&self, key: impl IntoBytes, value: impl IntoBytes) -> Result<Position> {
        let change = Change::Put {
            key: key.into_bytes(),
            value: value.into_bytes(),
            expires_at: None,
        };
        self.write(change).await
    }

    /// Sets the value of `key` for a time: `ttl` from now on, to the millisecond, the key is gone, also after reopening.
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
        key: impl IntoBytes,
        value: impl IntoBytes,
        ttl: Duration,
    ) -> Result<Position> {
        let change = Change::Put {
            key: key.into_bytes(),
            value: value.into_bytes(),
            expires_at: Some(self.inner.index.now().saturating_add(ttl)),
        };
        self.write(change).await
    }

    /// Removes `key`. One that is not there gets a record in the log all the same.
    ///
    /// # Durability
    /// As [`put`](Self::put).
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn delete(&self, key: impl IntoBytes) -> Result<Position> {
        let change = Change::Delete {
            key: key.into_bytes(),
        };
        self.write(change).await
    }

    async fn write(&self, change: Change) -> Result<Position> {
        let mut writer = self.inner.writer.lock().await;
        self.finish_dropped(&mut writer).await;
        let lsn = self.inner.wal.last_lsn().next();
        let (_, change) = writer.begun.insert((lsn, change));
        let appended = self.inner.wal.append(change.record()).await;
        let begun = writer.begun.take();
        let position = appended?;
        if let Some((_, change)) = begun {
            debug_assert_eq!(position.lsn, lsn, "somebody else appends to the log");
            self.inner.index.apply(change);
        }
        Ok(position)
    }

    /// Applies what a dropped call has left in the log. Only a call that waited for its sync can have: others return in the
    /// poll in which their record enters the log.
    async fn finish_dropped(&self, writer: &mut Writer) {
        let Some((lsn, _)) = writer.begun else { return };
        // On an error the log is poisoned, and says so to the caller's own call.
        let durable = self.inner.wal.wait_durable(lsn).await.is_ok();
        if let Some((_, change)) = writer.begun.take().filter(|_| durable) {
            self.inner.index.apply(change);
        }
    }

    /// The same where no write follows. Whoever holds the lock has done it.
    async fn settle(&self) {
        if let Ok(mut writer) = self.inner.writer.try_lock() {
            self.finish_dropped(&mut writer).await;
        }
    }

    /// Returns when all writes that returned before the call are on stable storage.
    ///
    /// # Durability
    /// They survive a power loss.
    ///
    /// # Errors
    /// As [`Wal::sync`](wal_core::Wal::sync).
    ///
    /// # Cancel safety
    /// Nothing is lost; the sync may go on.
    pub async fn sync(&self) -> Result<()> {
        self.settle().await;
        Ok(self.inner.wal.sync().await?)
    }

    /// Closes the log: writes then get [`Closed`](wal_core::Error::Closed). Reads go on as before.
    ///
    /// # Durability
    /// Under every policy all writes survive a power loss.
    ///
    /// # Errors
    /// As [`Wal::close`](wal_core::Wal::close).
    ///
    /// # Cancel safety
    /// Once begun it goes on in the background.
    pub async fn close(&self) -> Result<()> {
        self.settle().await;
        Ok(self.inner.wal.close().await?)
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
