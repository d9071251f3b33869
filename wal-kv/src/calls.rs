//! The calls of the store that are the same in both faces, each written once.
//!
//! Two macros make the methods of the async face (`asynchronous.rs`) and of the blocking face (`blocking.rs`). The
//! async face passes the words that only it needs: `async`, `await` and the heading of the section about cancellation.
//! The blocking face passes none of them, and all that is in `$( )?` disappears.
//!
//! A face provides what the bodies name: `KvStore::call`, `KvStore::log` and `wait`. Not here: what only one face has,
//! and how a call waits (`store/call.rs`).

/// Makes the calls of a face.
macro_rules! calls {
    ($($async:ident $await:ident $cancel:literal)?) => {
        impl KvStore {
            /// Opens the store in the directory `dir`, and creates it if there is none: it reads the newest good
            /// snapshot, then the log after it.
            ///
            /// # Durability
            /// All that the store holds on return is on stable storage.
            ///
            /// # Errors
            /// [`Locked`](wal_core::Error::Locked) if it is open elsewhere, [`PlainLog`](crate::Error::PlainLog) if the
            /// directory holds a log that is not a store's, [`NoMarker`](crate::Error::NoMarker) if the store's marker
            /// is missing, [`NoSnapshot`](crate::Error::NoSnapshot), [`LogTooShort`](crate::Error::LogTooShort) and the
            /// log's [`Corruption`](wal_core::Error::Corruption), [`MissingSegment`](wal_core::Error::MissingSegment)
            /// and [`Gap`](wal_core::Error::Gap) if durable data is damaged,
            /// [`UnknownVersion`](crate::Error::UnknownVersion), [`UnknownRecord`](crate::Error::UnknownRecord),
            /// [`ForeignFile`](crate::Error::ForeignFile), [`NoSpace`](crate::Error::NoSpace),
            /// [`Io`](crate::Error::Io), and the log's own. Nothing is lost by any of them.
            $(
                #[doc = $cancel]
                /// The open may finish in the background. The store is then closed again.
            )?
            pub $($async)? fn open(dir: impl AsRef<Path>, config: KvConfig) -> Result<Self> {
                Self::builder(dir).config(config).open() $(.$await)?
            }

            /// Opens with the settings that [`KvConfig`] does not have.
            #[must_use]
            pub fn builder(dir: impl AsRef<Path>) -> Builder<Self> {
                Builder::new(dir)
            }

            /// The value of `key`. Waits for no write and no I/O.
            ///
            /// # Durability
            /// Under [`Always`](crate::FsyncPolicy::Always) what is shown is on stable storage. Under the other
            /// policies it may be shown before it is: a crash can take it back, until a [`sync`](Self::sync) that began
            /// later has returned.
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

            /// The value of `key` with its LSN and expiry. One whose LSN is at or below
            /// [`durable_lsn`](Self::durable_lsn) is on stable storage.
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

            /// The pairs whose keys lie in `range`, as they are now, in the order of the keys; [`rev`](Iterator::rev)
            /// reverses it. Writers do not wait for a scan. For all pairs there is [`iter`](Self::iter).
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

            write_calls!([&self] self.call(), "As the [policy](crate::FsyncPolicy) says of an append."
                $(, $async $await $cancel)?);

            /// The same store, with writes that return when they are on stable storage, whatever the policy.
            #[must_use]
            pub fn durable(&self) -> Durable<'_> {
                Durable { store: self }
            }

            /// Returns when all writes that returned before the call are on stable storage.
            ///
            /// # Durability
            /// They survive a power loss.
            ///
            /// # Errors
            /// The log's [`Poisoned`](wal_core::Error::Poisoned) and [`Closed`](wal_core::Error::Closed).
            $(
                #[doc = $cancel]
                /// Nothing is lost; the sync may go on.
            )?
            pub $($async)? fn sync(&self) -> Result<()> {
                Ok(self.log().sync() $(.$await)? ?)
            }

            /// Returns when the write with this LSN or [`Position`] is on stable storage, and all before it.
            ///
            /// # Durability
            /// They survive a power loss.
            ///
            /// # Errors
            /// The log's [`NotAppended`](wal_core::Error::NotAppended) for an LSN that no write was given, else as
            /// [`sync`](Self::sync).
            $(
                #[doc = $cancel]
                /// Nothing is lost; the sync may go on.
            )?
            pub $($async)? fn wait_durable(&self, write: impl Into<Awaited>) -> Result<()> {
                Ok(self.log().wait_durable(write) $(.$await)? ?)
            }

            /// The highest LSN known to be on stable storage, also after the log has failed.
            #[must_use]
            pub fn durable_lsn(&self) -> Lsn {
                self.log().durable_lsn()
            }

            /// Writes a snapshot of what is shown now, reads it back, and truncates the log. Reads and writes go on
            /// meanwhile. If nothing was written since the last snapshot, it returns that one.
            ///
            /// # Durability
            /// All that it holds survives a power loss. Until it has been read back, the log and the snapshot before it
            /// stay.
            ///
            /// # Errors
            /// [`NoSpace`](crate::Error::NoSpace), [`Io`](crate::Error::Io),
            /// [`SnapshotNotVerified`](crate::Error::SnapshotNotVerified), the log's
            /// [`Poisoned`](wal_core::Error::Poisoned) and [`Closed`](wal_core::Error::Closed). The store is as it was,
            /// and a later call tries again.
            $(
                #[doc = $cancel]
                /// The snapshot goes on in the background.
            )?
            pub $($async)? fn snapshot(&self) -> Result<SnapshotReport> {
                wait(self.call().snapshot()) $(.$await)?
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

            /// Closes the store: writes then get [`Closed`](wal_core::Error::Closed). Reads go on as before. An
            /// automatic snapshot that is being written is given up.
            ///
            /// # Durability
            /// Under every policy all writes survive a power loss.
            ///
            /// # Errors
            /// The log's [`Poisoned`](wal_core::Error::Poisoned) if a write or a sync failed.
            $(
                #[doc = $cancel]
                /// Once begun it goes on in the background.
            )?
            pub $($async)? fn close(&self) -> Result<()> {
                wait(self.call().stop()) $(.$await)? ?;
                Ok(self.log().close() $(.$await)? ?)
            }

            pub(crate) fn core(&self) -> &Core {
                &self.shared.core
            }
        }

        /// A store, with writes that return when they are on stable storage, whatever the policy: [`KvStore::durable`].
        ///
        /// Under [`Batch`](crate::FsyncPolicy::Batch) and [`Os`](crate::FsyncPolicy::Os) reads show such a write before
        /// that. So they may also show one that has failed with [`Poisoned`](wal_core::Error::Poisoned).
        #[derive(Clone, Copy, Debug)]
        pub struct Durable<'a> {
            store: &'a KvStore,
        }

        impl Durable<'_> {
            write_calls!([self] Call { durable: true, ..self.store.call() },
                "The write and all before it survive a power loss, whatever the policy."
                $(, $async $await $cancel)?);
        }

        impl IntoIterator for &KvStore {
            type Item = Pair;
            type IntoIter = Scan;

            fn into_iter(self) -> Scan {
                self.iter()
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
    };
}

/// Makes the writes of a face: of its store, and of the same store with durable writes.
macro_rules! write_calls {
    ([$($this:tt)+] $call:expr, $durability:literal $(, $async:ident $await:ident $cancel:literal)?) => {
        /// Sets the value of `key`. Every read that begins after the return shows it, or a later one.
        ///
        /// # Durability
        #[doc = $durability]
        ///
        /// # Errors
        /// [`KeyTooLarge`](crate::Error::KeyTooLarge), the log's [`TooLarge`](wal_core::Error::TooLarge),
        /// [`NoSpace`](wal_core::Error::NoSpace) and [`Closed`](wal_core::Error::Closed),
        /// [`OverMemoryLimit`](crate::Error::OverMemoryLimit),
        /// [`OverViewMemoryLimit`](crate::Error::OverViewMemoryLimit),
        /// [`SnapshotOverdue`](crate::Error::SnapshotOverdue): nothing was written.
        /// [`Poisoned`](wal_core::Error::Poisoned): under [`Always`](crate::FsyncPolicy::Always) it is not shown, and
        /// may be there when the store is opened again.
        $(
            #[doc = $cancel]
            /// The write enters the log and the store in one poll. If the future is dropped before that, nothing is
            /// written. If it is dropped later, while it waits for the sync, the write stays in both, becomes durable
            /// as others do, and is shown in its place.
        )?
        pub $($async)? fn put($($this)+, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Position> {
            wait($call.put(key.as_ref(), value.as_ref(), None)) $(.$await)?
        }

        /// Sets the value of `key` for a time: after `ttl`, rounded up to a millisecond, the key is gone for every
        /// read, also after reopening. The time counts by the boot-time clock, which nobody sets; the README says what
        /// a jump of the wall clock does.
        ///
        /// # Durability
        /// As [`put`](Self::put).
        ///
        /// # Errors
        /// As [`put`](Self::put).
        $(
            #[doc = $cancel]
            /// As [`put`](Self::put).
        )?
        pub $($async)? fn put_with_ttl(
            $($this)+,
            key: impl AsRef<[u8]>,
            value: impl AsRef<[u8]>,
            ttl: Duration,
        ) -> Result<Position> {
            wait($call.put(key.as_ref(), value.as_ref(), Some(ttl))) $(.$await)?
        }

        /// Removes `key`. A key that is not there gets a record in the log all the same.
        ///
        /// # Durability
        /// As [`put`](Self::put). A key whose delete is durable does not come back.
        ///
        /// # Errors
        /// As [`put`](Self::put), but never [`OverMemoryLimit`](crate::Error::OverMemoryLimit), and
        /// [`SnapshotOverdue`](crate::Error::SnapshotOverdue) only for a key that is not there.
        $(
            #[doc = $cancel]
            /// As [`put`](Self::put).
        )?
        pub $($async)? fn delete($($this)+, key: impl AsRef<[u8]>) -> Result<Position> {
            wait($call.delete(key.as_ref())) $(.$await)?
        }

        /// Makes all writes of the batch, or none. They are shown together. Returns the position of the first. An empty
        /// batch writes nothing, and returns the position of the next write: to wait for that one is an error until it
        /// is made.
        ///
        /// # Durability
        /// As [`put`](Self::put), for the batch as a whole.
        ///
        /// # Errors
        /// As [`put`](Self::put); [`TooLarge`](wal_core::Error::TooLarge) also if the batch does not fit in a segment.
        $(
            #[doc = $cancel]
            /// As [`put`](Self::put).
        )?
        pub $($async)? fn write($($this)+, batch: Batch) -> Result<Position> {
            wait($call.batch(batch)) $(.$await)?
        }

        /// Sets the value of `key` if the condition holds; no other write comes between the check and the write. The
        /// value keeps the expiry of the one that it replaces. [`put_if_with_ttl`](Self::put_if_with_ttl) gives it a
        /// new one, and a plain [`put`](Self::put) none.
        ///
        /// # Durability
        /// As [`put`](Self::put). Where a write waits for stable storage, a refusal waits too, until the value that it
        /// returns is there.
        ///
        /// # Errors
        /// As [`put`](Self::put). A condition that does not hold is no error.
        $(
            #[doc = $cancel]
            /// As [`put`](Self::put).
        )?
        pub $($async)? fn put_if(
            $($this)+,
            key: impl AsRef<[u8]>,
            value: impl AsRef<[u8]>,
            condition: &Condition,
        ) -> Result<Conditional> {
            wait($call.put_if(key.as_ref(), value.as_ref(), None, condition)) $(.$await)?
        }

        /// As [`put_if`](Self::put_if), and the value expires after `ttl`, as [`put_with_ttl`](Self::put_with_ttl)
        /// says, whatever the expiry of the value before it.
        ///
        /// # Durability
        /// As [`put_if`](Self::put_if).
        ///
        /// # Errors
        /// As [`put_if`](Self::put_if).
        $(
            #[doc = $cancel]
            /// As [`put`](Self::put).
        )?
        pub $($async)? fn put_if_with_ttl(
            $($this)+,
            key: impl AsRef<[u8]>,
            value: impl AsRef<[u8]>,
            ttl: Duration,
            condition: &Condition,
        ) -> Result<Conditional> {
            wait($call.put_if(key.as_ref(), value.as_ref(), Some(ttl), condition)) $(.$await)?
        }

        /// Removes `key` if the condition holds: as [`put_if`](Self::put_if).
        ///
        /// # Durability
        /// As [`put_if`](Self::put_if).
        ///
        /// # Errors
        /// As [`put_if`](Self::put_if).
        $(
            #[doc = $cancel]
            /// As [`put`](Self::put).
        )?
        pub $($async)? fn delete_if($($this)+, key: impl AsRef<[u8]>, condition: &Condition) -> Result<Conditional> {
            wait($call.delete_if(key.as_ref(), condition)) $(.$await)?
        }

        /// Replaces `expected` by `new`, if that is what `key` has: `None` stands for no value. `new` keeps the expiry.
        /// As [`put_if`](Self::put_if) and [`delete_if`](Self::delete_if).
        ///
        /// # Durability
        /// As [`put_if`](Self::put_if).
        ///
        /// # Errors
        /// As [`put_if`](Self::put_if).
        $(
            #[doc = $cancel]
            /// As [`put`](Self::put).
        )?
        pub $($async)? fn compare_and_swap(
            $($this)+,
            key: impl AsRef<[u8]>,
            expected: Option<&[u8]>,
            new: Option<&[u8]>,
        ) -> Result<Conditional> {
            wait($call.compare_and_swap(key.as_ref(), expected, new)) $(.$await)?
        }
    };
}

pub(crate) use {calls, write_calls};
