//! The index in memory that reads are answered from: a hash index in shards, and an ordered one.
//!
//! Every version carries its LSN. A read shows the newest version up to a watermark that its caller gives: what is visible now, or
//! what was when a view was opened. Older versions stay while a newer one is not visible yet, or an open view needs them
//! (`apply.rs`). All changes are made under the ledger's lock, in the order of the log; reads by key take only the read lock of
//! one shard. Deliberately absent: the log, and any I/O.
//!
//! A change goes into the ordered index first and into the hash index second, so that a scan that finds a version too new for
//! it looks for the older one in the hash index and finds it there, replaced yet or not.

mod apply;
mod ledger;
mod load;
mod ordered;
mod shard;
mod version;

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::ops::Bound;

use bytes::Bytes;
use wal_core::UnixMillis;
use wal_io::Process;

use crate::sabotage;
use crate::sync::{Arc, AtomicU64, MutexGuard, Ordering, RwLock, pause};
use crate::time::Time;

pub(crate) use apply::Change;
pub(crate) use ledger::Ledger;
pub(crate) use load::Loader;
use ordered::Ordered;
use shard::Shard;
pub(crate) use version::{Version, cost};

/// Shards of the hash index. More of them make its growth, which is one shard at a time, a shorter pause; the model checker takes
/// a step at each, and needs two.
const SHARDS: usize = if cfg!(wal_shuttle) { 2 } else { 512 };

/// Chooses shards and places. Under the model checker the same in every run, so that a schedule can be replayed.
#[cfg(not(wal_shuttle))]
type Hasher = foldhash::fast::RandomState;
#[cfg(wal_shuttle)]
type Hasher = foldhash::fast::FixedState;

/// Bytes of the index for one key, beside its version: its places in the hash index and in the ordered one, as they are filled
/// on average.
pub(crate) const PLACES: u64 = 44;

/// When a change is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As soon as it is applied.
    AtOnce,
    /// When its record is durable: the caller's watermark says so.
    WhenDurable,
}

/// A shard on cache lines of its own: readers of different shards do not disturb each other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Padded(RwLock<Shard>);

/// The index.
pub(crate) struct Index {
    shards: Box<[Padded]>,
    hasher: Hasher,
    ordered: RwLock<Ordered>,
    /// All changes of the index are made under its lock.
    ledger: crate::sync::Mutex<Ledger>,
    shown: Shown,
    /// The last LSN that is applied and, if changes are shown at once, visible.
    applied: AtomicU64,
    time: Time,
    /// Who made it.
    process: Process,
}

impl Index {
    pub(crate) fn new(shown: Shown, time: Time) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Padded::default()).collect(),
            hasher: Hasher::default(),
            ordered: RwLock::new(Ordered::default()),
            ledger: crate::sync::Mutex::new(Ledger::default()),
            shown,
            applied: AtomicU64::new(0),
            time,
            process: Process::current(),
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.time.now()
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    #[inline]
    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        // Neither the bits that choose the place in a shard's table nor those of its tags.
        &self.shards[(hash >> 40) as usize % SHARDS].0
    }

    /// The last LSN that is shown; `durable` is the log's word, asked for if that decides.
    #[inline]
    pub(crate) fn visible(&self, durable: impl FnOnce() -> u64) -> u64 {
        match self.shown {
            Shown::AtOnce => self.applied.load(Ordering::Acquire),
            Shown::WhenDurable if sabotage::is("kv-shown-before-it-is-durable") => {
                self.applied.load(Ordering::Acquire)
            }
            Shown::WhenDurable => durable(),
        }
    }

    /// The value that is shown now. The watermark is read under the shard's lock: a version that was put aside before is then
    /// at or below it.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], durable: impl FnOnce() -> u64) -> Option<Bytes> {
        let hash = self.hash(key);
        let shard = self.shard(hash).read();
        let version = shard.at(hash, key, self.visible(durable))?;
        version
            .is_live(|| self.now())
            .then(|| version.value_bytes())
    }

    #[inline]
    pub(crate) fn contains_key(&self, key: &[u8], durable: impl FnOnce() -> u64) -> bool {
        let hash = self.hash(key);
        let shard = self.shard(hash).read();
        let version = shard.at(hash, key, self.visible(durable));
        version.is_some_and(|version| version.is_live(|| self.now()))
    }

    /// The version that is shown now, for more than its value.
    pub(crate) fn version(&self, key: &[u8], durable: impl FnOnce() -> u64) -> Option<Version> {
        let hash = self.hash(key);
        let shard = self.shard(hash).read();
        let version = shard.at(hash, key, self.visible(durable))?;
        version.is_live(|| self.now()).then(|| version.clone())
    }

    /// The version up to `lsn`, expired or not, a tombstone perhaps.
    pub(crate) fn version_at(&self, key: &[u8], lsn: u64) -> Option<Version> {
        let hash = self.hash(key);
        self.shard(hash).read().at(hash, key, lsn).cloned()
    }

    /// The newest version, visible or not, a tombstone perhaps: what a write finds.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<Version> {
        let hash = self.hash(key);
        self.shard(hash).read().newest(hash, key).cloned()
    }

    /// Versions from `from` on for a view at `lsn`, at most `most`, in the order of their keys, expired ones too. Returns where to
    /// go on, if the index goes on.
    pub(crate) fn forward(
        &self,
        from: &Bound<Vec<u8>>,
        lsn: u64,
        most: usize,
        out: &mut Vec<Version>,
    ) -> Option<Bound<Vec<u8>>> {
        let (next, found) = {
            let ordered = self.ordered.read();
            let stretch = ordered.forward(as_bound(from), most);
            (stretch.next, take(stretch.versions, out))
        };
        self.as_seen_at(lsn, found, out);
        next
    }

    /// The same before `to`, going down; the versions are in the order of their keys all the same.
    pub(crate) fn backward(
        &self,
        to: &Bound<Vec<u8>>,
        lsn: u64,
        most: usize,
        out: &mut Vec<Version>,
    ) -> Option<Bound<Vec<u8>>> {
        let (next, found) = {
            let ordered = self.ordered.read();
            let stretch = ordered.backward(as_bound(to), most);
            (stretch.next, take(stretch.versions, out))
        };
        self.as_seen_at(lsn, found, out);
        next
    }

    /// Puts the older versions in the place of those that are too new, and drops what has no value.
    fn as_seen_at(&self, lsn: u64, found: Found, out: &mut Vec<Version>) {
        let too_new = found.highest > lsn;
        if too_new {
            for version in out.iter_mut().filter(|version| version.lsn() > lsn) {
                let older = self.version_at(version.key(), lsn);
                *version = older.unwrap_or_else(|| Version::tombstone(lsn, version.key()));
            }
        }
        if too_new || found.tombstones > 0 {
            out.retain(|version| !version.is_tombstone());
        }
    }

    /// Bytes of the tables and nodes.
    pub(crate) fn structure_bytes(&self) -> u64 {
        let shards = self.shards.iter();
        let tables: u64 = shards.map(|shard| shard.0.read().table_bytes()).sum();
        tables + self.ordered.read().bytes()
    }
}

fn as_bound(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

/// What a stretch of versions holds.
#[derive(Clone, Copy, Debug)]
struct Found {
    highest: u64,
    tombstones: usize,
}

/// First looks at all versions, their values too, which the processor does for many at a time; then counts a reference to each,
/// which it does one by one but finds in its cache.
fn take(versions: &[Version], out: &mut Vec<Version>) -> Found {
    let (mut highest, mut tombstones, mut touched) = (0, 0, 0);
    for version in versions {
        highest = highest.max(version.lsn());
        tombstones += usize::from(version.is_tombstone());
        touched ^= version.touch();
    }
    std::hint::black_box(touched);
    out.extend_from_slice(versions);
    Found {
        highest,
        tombstones,
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys and values are the user's own.
        f.debug_struct("Index")
            .field("shown", &self.shown)
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

/// A point in time that stays readable: the versions that it shows are kept until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    index: Arc<Index>,
    lsn: u64,
}

impl Hold {
    /// The point of time now.
    pub(crate) fn now(index: &Arc<Index>, durable: impl FnOnce() -> u64) -> Self {
        let mut ledger = index.ledger();
        let lsn = index.visible(durable);
        ledger.open_view(lsn);
        drop(ledger);
        Self {
            index: Arc::clone(index),
            lsn,
        }
    }

    pub(crate) fn lsn(&self) -> u64 {
        self.lsn
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // In a fork the lock may be held for ever.
        if !self.index.process.is_current() {
            return;
        }
        self.index.ledger().close_view(self.lsn);
        loop {
            let mut ledger = self.index.ledger();
            let visible = ledger.last_visible();
            if self.index.settle(&mut ledger, visible) {
                return;
            }
            drop(ledger);
            // Writers first. A lock that is taken again at once passes over who sleeps for it: a pause lets them wake up.
            pause();
        }
    }
}
