//! Counting the bytes of memory that the index takes.
//!
//! *Live* is what the newest version of each key takes, with its expiry's entry, its place in the hash index and the nodes of the
//! ordered one. *Kept* is what is there beside: replaced versions that a view shows or that wait for a newer one to be visible,
//! with their tables and entries, and deletes that wait for them. Tables and nodes are counted as they are, vacant places too.
//!
//! A limit counts an average for the places of a key instead. So whether a write fits depends on keys and values alone, and not on
//! whether a table happens to be full: where one pair was deleted, another one of its lengths fits. Deliberately absent: what the allocator takes for an allocation (`heap.rs`), and limits (`store/limits.rs`).

use super::expiries;
use super::version::Version;
use super::views;
use crate::sync::{AtomicU64, Ordering};

/// Bytes of the index for one key, beside its version, on average: 27 for its place in the hash index, and 30 in the ordered one.
pub(crate) const PLACES: i64 = 57;

/// Bytes of the live data and of what is kept, without tables and nodes; or what a change adds to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) live: i64,
    pub(crate) kept: i64,
    /// Live keys.
    pub(crate) keys: i64,
}

impl Bytes {
    /// Of the newest version of a key.
    pub(super) fn of_newest(version: &Version) -> Self {
        let bytes = version.cost().cast_signed();
        if version.is_tombstone() {
            return Self {
                kept: bytes,
                ..Self::default()
            };
        }
        let expires = version.expires_at().is_some();
        Self {
            live: live(bytes, expires),
            keys: 1,
            kept: 0,
        }
    }

    /// Of a version that was replaced and is kept.
    pub(super) fn of_older(version: &Version) -> Self {
        Self {
            kept: kept(version).cast_signed(),
            ..Self::default()
        }
    }

    pub(super) fn and(self, more: Self) -> Self {
        Self {
            live: self.live + more.live,
            kept: self.kept + more.kept,
            keys: self.keys + more.keys,
        }
    }

    pub(super) fn without(self, less: Self) -> Self {
        Self {
            live: self.live - less.live,
            kept: self.kept - less.kept,
            keys: self.keys - less.keys,
        }
    }
}

/// Bytes of live data for a version that takes `bytes` by itself.
pub(crate) fn live(bytes: i64, expires: bool) -> i64 {
    bytes + if expires { expiries::ENTRY } else { 0 }
}

/// Bytes that a version takes once it is replaced and kept, beside its place in a table.
pub(crate) fn kept(version: &Version) -> u64 {
    version.cost() + views::ENTRY
}

/// Bytes of the tables of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    /// Of the newest versions.
    pub(super) newest: u64,
    /// Of the replaced ones, with what holds several of one key.
    pub(super) older: u64,
}

/// The counters. Each is right by itself at any time; together they are while nothing is written.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Of versions, and of the entries of those that expire or are kept.
    live: AtomicU64,
    kept: AtomicU64,
    keys: AtomicU64,
    newest_tables: AtomicU64,
    older_tables: AtomicU64,
    nodes: AtomicU64,
}

impl Memory {
    pub(super) fn add(&self, bytes: Bytes) {
        change(&self.live, bytes.live);
        change(&self.kept, bytes.kept);
        change(&self.keys, bytes.keys);
    }

    /// The tables of a shard have become others, under its lock.
    pub(super) fn tables(&self, before: Tables, after: Tables) {
        let grown = |after: u64, before: u64| after.cast_signed() - before.cast_signed();
        change(&self.newest_tables, grown(after.newest, before.newest));
        change(&self.older_tables, grown(after.older, before.older));
    }

    /// The nodes take this, under the lock of the ordered index.
    pub(super) fn nodes(&self, bytes: u64) {
        self.nodes.store(with_holes(bytes), Ordering::Relaxed);
    }

    pub(super) fn live(&self) -> u64 {
        get(&self.live) + get(&self.newest_tables) + get(&self.nodes)
    }

    pub(super) fn limited(&self) -> u64 {
        get(&self.live) + get(&self.keys) * PLACES.cast_unsigned()
    }

    pub(super) fn kept(&self) -> u64 {
        get(&self.kept) + get(&self.older_tables)
    }

    /// Bytes of all tables and nodes.
    pub(super) fn structures(&self) -> u64 {
        get(&self.newest_tables) + get(&self.older_tables) + get(&self.nodes)
    }
}

/// A node that grows leaves a hole of its former size, which other allocations fill in part. What stays was measured to be up to an
/// eighth of the nodes where keys come evenly, and next to nothing where they come at random.
pub(super) fn with_holes(nodes: u64) -> u64 {
    nodes + nodes / 16
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn change(counter: &AtomicU64, bytes: i64) {
    if bytes != 0 {
        // In two's complement, adding what is below zero subtracts.
        counter.fetch_add(bytes.cast_unsigned(), Ordering::Relaxed);
    }
}
