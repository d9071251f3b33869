//! Filling an index when a store is opened: from many threads, in any order, the newest version of each key wins.
//!
//! Deliberately absent: where versions come from (`store/open.rs`).

use super::expiries::expiring;
use super::memory::{Bytes, Tables};
use super::{Index, Ordered, Padded, SHARDS, Shard, Version};
use crate::history::History;
use crate::sync::{AtomicU64, Mutex, Ordering, RwLock, in_parallel};

/// An index that nobody reads yet.
#[derive(Debug)]
pub(crate) struct Loader<'a> {
    index: &'a mut Index,
    /// Versions of a snapshot by block, in the order of their keys.
    sorted: Vec<Vec<Version>>,
    tail: Mutex<LogTail>,
    /// The parts in which the log is read, in order.
    parts: Vec<Part>,
}

/// Versions that the log has put since, tombstones too.
#[derive(Debug, Default)]
struct LogTail {
    versions: Vec<Version>,
    /// Memory that they take.
    bytes: u64,
    /// The most versions that there were.
    most: usize,
    /// The most versions, and bytes, that may be dead since it was cleaned: replaced, or deletes.
    dead: Dead,
    /// Something was replaced or deleted at all.
    had_dead: bool,
}

/// Versions, and the memory that they take.
#[derive(Clone, Copy, Debug, Default)]
struct Dead {
    versions: u64,
    bytes: u64,
}

impl Dead {
    fn count(&mut self, version: &Version) {
        self.versions += 1;
        self.bytes += version.cost();
    }
}

/// Records that one thread reads in their order.
#[derive(Debug)]
struct Part {
    /// Those with smaller LSNs have been put.
    done_to: AtomicU64,
    end: u64,
}

/// The tail is cleaned when it has this many versions or bytes, and half of them may be dead: so it has at most twice as many
/// as live, and a log of new keys is never looked through.
const CLEAN_AT: (u64, u64) = (1 << 16, 32 << 20);

impl LogTail {
    fn extend(&mut self, versions: Vec<Version>, dead: Dead) {
        self.bytes += versions.iter().map(Version::cost).sum::<u64>();
        self.versions.extend(versions);
        self.most = self.most.max(self.versions.len());
        self.had_dead |= dead.versions > 0;
        self.dead.versions += dead.versions;
        self.dead.bytes += dead.bytes;
    }

    fn is_long(&self) -> bool {
        let is_long = |all, dead, least| all >= least && 2 * dead >= all;
        is_long(self.versions.len() as u64, self.dead.versions, CLEAN_AT.0)
            || is_long(self.bytes, self.dead.bytes, CLEAN_AT.1)
    }

    /// Forgets what is not to be kept.
    fn clean(&mut self, keep: impl FnMut(&Version) -> bool) {
        self.versions.retain(keep);
        self.versions.shrink_to(2 * CLEAN_AT.0 as usize);
        self.bytes = self.versions.iter().map(Version::cost).sum();
        self.dead = Dead::default();
    }
}

impl Index {
    /// Everything that the loader puts is visible when it is done.
    pub(crate) fn loader(&mut self) -> Loader<'_> {
        Loader {
            index: self,
            sorted: Vec::new(),
            tail: Mutex::default(),
            parts: Vec::new(),
        }
    }
}

impl Loader<'_> {
    /// Makes room for this many keys.
    pub(crate) fn reserve(&mut self, keys: usize) {
        if keys <= SHARDS {
            return;
        }
        let mut shares = [0; SHARDS];
        for hash in 0..1 << 16 {
            shares[Index::shard_of(hash << 40)] += 1;
        }
        for (shard, share) in self.index.shards.iter_mut().zip(shares) {
            // They differ a little from what they are on average.
            let average = (keys as u64 * share) >> 16;
            let room = average + average / 16 + 4;
            *shard = Padded(RwLock::new(Shard::with_room_for(room as usize)));
        }
    }

    /// Versions that have been put, at most.
    pub(crate) fn keys(&self) -> u64 {
        let sorted = self.sorted.iter().map(Vec::len);
        (sorted.sum::<usize>() + self.tail.lock().versions.len()) as u64
    }

    /// The most versions that were held at a time.
    pub(crate) fn most(&self) -> u64 {
        let sorted = self.sorted.iter().map(Vec::len);
        (sorted.sum::<usize>() + self.tail.lock().most) as u64
    }

    /// Puts versions of a snapshot.
    pub(crate) fn put_sorted(&self, versions: &[Version]) {
        for version in versions {
            drop(self.insert(version.clone()));
        }
    }

    /// The blocks of a snapshot, in order; their versions have been put.
    pub(crate) fn set_sorted(&mut self, blocks: Vec<Vec<Version>>) {
        self.sorted = blocks;
    }

    /// The log is read in these parts: the LSN with which each begins, and the one before which it ends.
    pub(crate) fn set_parts(&mut self, parts: impl Iterator<Item = (u64, u64)>) {
        let part = |(from, end)| Part {
            done_to: AtomicU64::new(from),
            end,
        };
        self.parts = parts.map(part).collect();
    }

    /// Puts versions of the part `at` of the log: all up to the LSN `to`, without `to`, that were not put before.
    pub(crate) fn put_tail(&self, at: usize, versions: Vec<Version>, to: u64) {
        let mut dead = Dead::default();
        for version in &versions {
            if version.is_tombstone() {
                dead.count(version);
            }
            if let Some(older) = self.insert(version.clone()) {
                dead.count(&older);
            }
        }
        if let Some(part) = self.parts.get(at) {
            part.done_to.store(to, Ordering::Release);
        }
        let mut tail = self.tail.lock();
        tail.extend(versions, dead);
        if !tail.is_long() {
            return;
        }
        // Others wait, and do not add to it meanwhile: memory is for what is live, not for its history.
        let done_to = self.done_to();
        tail.clean(|version| {
            if version.is_tombstone() && version.lsn() < done_to {
                self.forget(version);
                return false;
            }
            self.is_newest(version)
        });
    }

    /// All records with smaller LSNs have been put.
    fn done_to(&self) -> u64 {
        let mut parts = self.parts.iter();
        let unfinished = parts.find_map(|part| {
            let done_to = part.done_to.load(Ordering::Acquire);
            (done_to < part.end).then_some(done_to)
        });
        unfinished.unwrap_or(u64::MAX)
    }

    /// Forgets a delete that nothing older comes after.
    fn forget(&self, tombstone: &Version) {
        let hash = self.index.hash(tombstone.key());
        let forgotten = self.index.shard(hash).write().remove(hash, tombstone.lsn());
        drop(forgotten);
    }

    fn is_newest(&self, version: &Version) -> bool {
        let hash = self.index.hash(version.key());
        let shard = self.index.shard(hash).read();
        shard.newest_with(hash, version.lsn()).is_some()
    }

    /// Returns the older one of two versions of a key.
    fn insert(&self, version: Version) -> Option<Version> {
        let hash = self.index.hash(version.key());
        let rehash = |key: &[u8]| self.index.hash(key);
        let mut shard = self.index.shard(hash).write();
        shard.put_if_newer(hash, version, rehash)
    }

    /// Forgets what was put: the snapshot that it came from is damaged.
    pub(crate) fn clear(&mut self) {
        self.sorted = Vec::new();
        for shard in &mut self.index.shards {
            *shard = Padded::default();
        }
    }

    /// Ends the loading: what is shown is the state at `lsn`, and `history` is what is known of the time until then. Returns how
    /// many keys had expired.
    pub(crate) fn finish(mut self, lsn: u64, history: &History, threads: usize) -> usize {
        let marked = history.known();
        self.index.time.begin(marked, lsn + 1);
        if history.moves_any() {
            self.move_expiries(history, threads);
        }
        let index = &*self.index;
        // What has expired since then stays for the first sweep, which marks the time first.
        let now = marked;
        let is_newest = |version: &Version| {
            let hash = index.hash(version.key());
            let shard = index.shard(hash).read();
            let newest = shard.newest_with(hash, version.lsn());
            newest.is_some() && version.is_live(|| now)
        };
        // The newest of the tail, in order.
        let tail = std::mem::take(&mut *self.tail.lock());
        // What the tail has replaced or deleted is no longer the newest, whether the tail still has it or not.
        let untouched = tail.most == 0;
        // A tail of new keys is all newest: nobody needs to look each of them up.
        let had_dead = tail.had_dead;
        let tail = sort(tail.versions, threads, |version| {
            version.is_live(|| now) && (!had_dead || is_newest(version))
        });
        let sorted: Vec<Vec<Version>> = {
            let blocks: Vec<Mutex<Vec<Version>>> =
                self.sorted.into_iter().map(Mutex::new).collect();
            in_parallel(threads, blocks.len(), |at| {
                let mut block = std::mem::take(&mut *blocks[at].lock());
                if untouched {
                    block.retain(|version| version.is_live(|| now));
                } else {
                    block.retain(|version| is_newest(version));
                }
                block
            })
        };
        let all = merge(sorted, tail);
        let found: usize = all.len();
        // Tombstones have done their work, and what has expired is gone.
        let dropped = in_parallel(threads, SHARDS, |at| {
            let mut shard = index.shards[at].0.write();
            let mut expired = 0;
            shard.retain(|version| {
                expired += usize::from(!version.is_tombstone() && !version.is_live(|| now));
                version.is_live(|| now)
            });
            shard.shrink(|key| index.hash(key));
            index.memory.tables(Tables::default(), shard.tables());
            expired
        });
        let mut ledger = index.ledger();
        ledger.expiries.begin(lsn + 1);
        let mut memory = Bytes::default();
        let mut payload = 0;
        for version in &all {
            memory = memory.and(Bytes::of_newest(version));
            payload += version.payload();
            if let Some(expiry) = expiring(version, index.hash_if_expiring(version)) {
                ledger.expiries.insert(expiry);
            }
        }
        ledger.set_loaded(found, payload, lsn);
        drop(ledger);
        index.memory.add(memory);
        index.writer().marked = marked;
        index.change_ordered(|ordered| *ordered = Ordered::build(all, threads));
        index.applied.store(lsn, Ordering::Release);
        dropped.into_iter().sum()
    }
}

impl Loader<'_> {
    /// Gives each version the expiry that it has after all corrections of the time.
    fn move_expiries(&mut self, history: &History, threads: usize) {
        let index = &*self.index;
        in_parallel(threads, SHARDS, |at| {
            let mut scratch = Vec::new();
            index.shards[at].0.write().retain(|version| {
                if let Some(known) = version.expires_at() {
                    // What had expired has been over for ever.
                    let at = history.expiry(version.lsn(), known).unwrap_or_default();
                    if at != known {
                        *version = version.expiring_at(&mut scratch, at);
                    }
                }
                true
            });
        });
        // The lists share their versions with the shards; what a shard does not have is not the newest.
        let follow = |versions: &mut Vec<Version>| {
            for version in versions.iter_mut().filter(|version| version.expires()) {
                let hash = index.hash(version.key());
                let shard = index.shard(hash).read();
                if let Some(moved) = shard.newest_with(hash, version.lsn()) {
                    *version = moved.clone();
                }
            }
        };
        let blocks: Vec<_> = std::mem::take(&mut self.sorted)
            .into_iter()
            .map(Mutex::new)
            .collect();
        self.sorted = in_parallel(threads, blocks.len(), |at| {
            let mut block = std::mem::take(&mut *blocks[at].lock());
            follow(&mut block);
            block
        });
        follow(&mut self.tail.lock().versions);
    }
}

impl Index {
    fn hash_if_expiring(&self, version: &Version) -> u64 {
        version.expires_at().map_or(0, |_| self.hash(version.key()))
    }
}

/// The versions that are to be kept, in the order of their keys.
fn sort(
    versions: Vec<Version>,
    threads: usize,
    keep: impl Fn(&Version) -> bool + Sync,
) -> Vec<Version> {
    if versions.is_empty() {
        return versions;
    }
    let each = versions.len().div_ceil(threads.max(1));
    let mut parts: Vec<Mutex<Vec<Version>>> = Vec::new();
    let mut versions = versions.into_iter();
    loop {
        let part: Vec<Version> = versions.by_ref().take(each).collect();
        if part.is_empty() {
            break;
        }
        parts.push(Mutex::new(part));
    }
    let parts = in_parallel(threads, parts.len(), |at| {
        let mut part: Vec<(u64, Version)> = std::mem::take(&mut *parts[at].lock())
            .into_iter()
            .filter(|version| keep(version))
            .map(|version| (first_bytes(version.key()), version))
            .collect();
        part.sort_unstable_by(|(a, version), (b, other)| {
            a.cmp(b).then_with(|| version.key().cmp(other.key()))
        });
        part.into_iter().map(|(_, version)| version).collect()
    });
    parts.into_iter().reduce(merge_two).unwrap_or_default()
}

fn first_bytes(key: &[u8]) -> u64 {
    let mut eight = [0; 8];
    let len = key.len().min(8);
    eight[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(eight)
}

fn merge(sorted: Vec<Vec<Version>>, tail: Vec<Version>) -> Vec<Version> {
    let len = sorted.iter().map(Vec::len).sum();
    let mut all = Vec::with_capacity(len);
    for block in sorted {
        all.extend(block);
    }
    if tail.is_empty() {
        return all;
    }
    merge_two(all, tail)
}

/// Merges versions of different keys.
fn merge_two(left: Vec<Version>, right: Vec<Version>) -> Vec<Version> {
    if left.is_empty() {
        return right;
    }
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if a.key() <= b.key() {
            left.next()
        } else {
            right.next()
        };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    merged
}
