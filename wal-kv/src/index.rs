//! The index in memory that reads are answered from: a hash index in shards, and an ordered one.
//!
//! Every version carries its LSN. A read shows the newest version up to a watermark that its caller gives: what is visible now, or
//! what was when a view was opened. Older versions hang off their key while a newer one is not visible yet, or an open view shows
//! them (`apply.rs`, `views.rs`). Deliberately absent: the log, and any I/O.
//!
//! Two locks order what is done. The writer's makes changes one after the other, in the order of the log; a large batch holds it
//! for long. The ledger's is short: it guards who looks at what, and the counts; versions are forgotten under it. A thread that
//! takes both takes the writer's first; the locks of a shard and of the ordered index come last and one at a time. Reads by key
//! take only the read lock of one shard. So no read waits for a batch.
//!
//! A change goes into the ordered index first and into the hash index second, so that a scan that finds a version too new for
//! it looks for the older one in the hash index and finds it there, replaced yet or not.

mod apply;
mod chain;
mod expiries;
mod heap;
mod ledger;
mod load;
mod memory;
mod ordered;
mod pile;
#[cfg(all(test, not(wal_shuttle)))]
mod recount;
mod shard;
mod sparse;
#[cfg(all(test, not(wal_shuttle)))]
mod tests;
mod trim;
mod version;
mod views;

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::ops::Bound;

use bytes::Bytes;
use wal_core::UnixMillis;
use wal_io::Process;

use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, RwLock, RwLockReadGuard, pause};
use crate::time::{Now, Time};

pub(crate) use apply::Change;
pub(crate) use ledger::{Held, Ledger};
pub(crate) use load::Loader;
use memory::Memory;
pub(crate) use memory::{PLACES, kept, live};
use ordered::Ordered;
use shard::Shard;
use sparse::Sparse;
pub(crate) use version::{Version, cost};
pub(crate) use views::Opened;
use views::ViewId;

/// Shards of the hash index. More of them make its growth, which is one shard at a time, a shorter pause; the model checker takes
/// a step at each, and needs two.
const SHARDS: usize = if cfg!(wal_shuttle) { 2 } else { 512 };

/// Chooses shards and places. Under the model checker the same in every run, so that a schedule can be replayed.
#[cfg(not(wal_shuttle))]
type Hasher = foldhash::fast::RandomState;
#[cfg(wal_shuttle)]
type Hasher = foldhash::fast::FixedState;

/// What a writer needs. All changes of the index but forgetting are made under its lock, in the order of the log.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    scratch: Vec<u8>,
    /// The time, by the wall clock that the store goes by, of which the log or a snapshot knows.
    pub(crate) marked: UnixMillis,
}

/// How many things that are due are done before the ledger's lock is given up: less than 100 us of work.
const STEP: usize = 64;

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

// An idle store pays for all of them.
#[cfg(not(wal_shuttle))]
const _: () = assert!(size_of::<Padded>() == 64);

/// The index.
pub(crate) struct Index {
    shards: Box<[Padded]>,
    hasher: Hasher,
    ordered: RwLock<Ordered>,
    /// Reads that wait for the ordered index: a batch lets them go first now and then.
    waiting: AtomicU64,
    writer: Mutex<Writer>,
    ledger: Mutex<Ledger>,
    memory: Memory,
    sparse: Sparse,
    shown: Shown,
    /// The last LSN that is applied, all of its batch with it; if changes are shown at once, it is visible.
    applied: AtomicU64,
    time: Time,
    /// The process that made it.
    process: Process,
}

impl Index {
    pub(crate) fn new(shown: Shown, time: Time) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Padded::default()).collect(),
            hasher: Hasher::default(),
            ordered: RwLock::new(Ordered::default()),
            waiting: AtomicU64::new(0),
            writer: Mutex::default(),
            ledger: Mutex::default(),
            memory: Memory::default(),
            sparse: Sparse::default(),
            shown,
            applied: AtomicU64::new(0),
            time,
            process: Process::current(),
        }
    }

    pub(crate) fn time(&self) -> &Time {
        &self.time
    }

    pub(crate) fn now(&self) -> Now {
        self.time.now()
    }

    /// Whether it is a value that has not expired.
    #[inline]
    pub(crate) fn is_live(&self, version: &Version) -> bool {
        version.is_live(|| self.time.of(version.lsn()))
    }

    /// The lock of writes. It may be held for as long as a large batch takes.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    /// The lock of views and counts. It is held for a short time.
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
        &self.shards[Self::shard_of(hash)].0
    }

    /// The last shard gets twice as many keys as the first one, and those between in proportion, so that their tables do not all
    /// double at about the same number of keys: the memory of a key's place is the same for any number of keys.
    #[inline]
    fn shard_of(hash: u64) -> usize {
        // Neither the bits that choose the place in a shard's table nor those of its tags.
        let at = (hash >> 40) & 0xffff;
        // The binary logarithm of 1 to 2, about: 1.3465 x - 0.3465 x^2, in units of 2^-16.
        let slope = 88_245 - ((at * 22_709) >> 16);
        ((at * slope * SHARDS as u64) >> 32) as usize
    }

    /// Changes a shard, and counts what that does to its tables.
    #[inline]
    fn change<R>(&self, hash: u64, change: impl FnOnce(&mut Shard) -> R) -> R {
        let mut shard = self.shard(hash).write();
        let before = shard.tables();
        let result = change(&mut shard);
        let after = shard.tables();
        if before != after {
            self.memory.tables(before, after);
        }
        if shard.has_become_sparse() {
            self.sparse.note(Self::shard_of(hash));
        }
        result
    }

    /// Changes the ordered index, and counts its nodes.
    #[inline]
    fn change_ordered<R>(&self, change: impl FnOnce(&mut Ordered) -> R) -> R {
        let mut ordered = self.ordered.write();
        let result = change(&mut ordered);
        self.memory.nodes(ordered.bytes());
        result
    }

    /// The last LSN that is shown; `durable` is the log's word, asked for if that decides.
    #[inline]
    pub(crate) fn visible(&self, durable: impl FnOnce() -> u64) -> u64 {
        match self.shown {
            Shown::AtOnce => self.applied.load(Ordering::Acquire),
            // The log may make a batch durable before all of it is applied.
            Shown::WhenDurable => self.applied.load(Ordering::Acquire).min(durable()),
        }
    }

    /// Bytes that the live data takes.
    pub(crate) fn live_memory(&self) -> u64 {
        self.memory.live()
    }

    /// The same as a limit counts it: with [`PLACES`] for each key.
    pub(crate) fn limited_memory(&self) -> u64 {
        self.memory.limited()
    }

    /// Bytes that replaced versions take.
    pub(crate) fn kept_memory(&self) -> u64 {
        self.memory.kept()
    }

    /// Bytes of the tables and nodes.
    pub(crate) fn structure_bytes(&self) -> u64 {
        self.memory.structures()
    }

    /// The value that is shown now. The watermark is read under the shard's lock: a version that was put aside before is then
    /// at or below it.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], durable: impl FnOnce() -> u64) -> Option<Bytes> {
        let hash = self.hash(key);
        let shard = self.shard(hash).read();
        let version = shard.at(hash, key, self.visible(durable))?;
        self.is_live(version)
            .then(|| version.value_bytes_of(key.len()))
    }

    #[inline]
    pub(crate) fn contains_key(&self, key: &[u8], durable: impl FnOnce() -> u64) -> bool {
        let hash = self.hash(key);
        let shard = self.shard(hash).read();
        let version = shard.at(hash, key, self.visible(durable));
        version.is_some_and(|version| self.is_live(version))
    }

    /// The version that is shown now, for more than its value.
    pub(crate) fn version(&self, key: &[u8], durable: impl FnOnce() -> u64) -> Option<Version> {
        let hash = self.hash(key);
        let shard = self.shard(hash).read();
        let version = shard.at(hash, key, self.visible(durable))?;
        self.is_live(version).then(|| version.clone())
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

    fn read_ordered(&self) -> RwLockReadGuard<'_, Ordered> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let ordered = self.ordered.read();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        ordered
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
            let ordered = self.read_ordered();
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
            let ordered = self.read_ordered();
            let stretch = ordered.backward(as_bound(to), most);
            (stretch.next, take(stretch.versions, out))
        };
        self.as_seen_at(lsn, found, out);
        next
    }

    /// Puts the older versions in the place of those that are too new, and drops what has no value.
    fn as_seen_at(&self, lsn: u64, found: Taken, out: &mut Vec<Version>) {
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
}

fn as_bound(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

/// What a stretch of versions holds.
#[derive(Clone, Copy, Debug)]
struct Taken {
    highest: u64,
    tombstones: usize,
}

/// First looks at all versions, their values too, which the processor does for many at a time; then counts a reference to each,
/// which it does one by one but finds in its cache.
fn take(versions: &[Version], out: &mut Vec<Version>) -> Taken {
    let (mut highest, mut tombstones, mut touched) = (0, 0, 0);
    for version in versions {
        highest = highest.max(version.lsn());
        tombstones += usize::from(version.is_tombstone());
        touched ^= version.touch();
    }
    std::hint::black_box(touched);
    out.extend_from_slice(versions);
    Taken {
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
    view: ViewId,
}

impl Hold {
    /// The point of time now.
    pub(crate) fn now(index: &Arc<Index>, opened: Opened, durable: impl FnOnce() -> u64) -> Self {
        let mut ledger = index.ledger();
        let view = ledger.open_view(index.visible(durable), opened);
        drop(ledger);
        Self {
            index: Arc::clone(index),
            view,
        }
    }

    pub(crate) fn lsn(&self) -> u64 {
        let (lsn, _) = self.view;
        lsn
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // In a fork, the lock may never be released.
        if !self.index.process.is_current() {
            return;
        }
        let mut ledger = self.index.ledger();
        ledger.close_view(self.view);
        while ledger.has_unneeded() {
            let visible = ledger.last_visible();
            self.index.settle_some(&mut ledger, visible, STEP);
            drop(ledger);
            // Writers first. A lock that is taken again at once passes over who sleeps for it: a pause lets them wake up.
            pause();
            ledger = self.index.ledger();
        }
        drop(ledger);
        while !self.index.trim() {
            pause();
        }
    }
}
