//! One part of the hash index: the newest version of each key, and the older ones that somebody may still need.
//!
//! Deliberately absent: locks, and when an older version is no longer needed (`index.rs`).

use hashbrown::HashTable;

use super::chain::Chain;
use super::heap::allocated;
use super::memory::Tables;
use super::version::Version;

/// Tables with room for this many keys stay as they are while they have some.
const SMALL: usize = 14;

/// The versions of the keys whose hashes fall here.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// The newest version of each key.
    newest: HashTable<Version>,
    /// In most shards there are none, most of the time. So it takes one cache line.
    older: Option<Box<Older>>,
    /// It is noted as one to be shrunk.
    noted: bool,
}

/// The versions that were replaced and are kept, by key.
#[derive(Debug, Default)]
struct Older {
    table: HashTable<Chain>,
    /// Bytes of the chains that hold several versions.
    chains: u64,
}

impl Older {
    fn bytes(&self) -> u64 {
        allocated(size_of::<Self>()) + allocated(self.table.allocation_size()) + self.chains
    }
}

impl Shard {
    pub(super) fn with_room_for(keys: usize) -> Self {
        Self {
            newest: HashTable::with_capacity(keys),
            ..Self::default()
        }
    }

    #[inline]
    pub(super) fn newest(&self, hash: u64, key: &[u8]) -> Option<&Version> {
        self.newest.find(hash, |version| version.has_key(key))
    }

    /// The newest version up to `lsn`.
    #[inline]
    pub(super) fn at(&self, hash: u64, key: &[u8], lsn: u64) -> Option<&Version> {
        let newest = self.newest(hash, key)?;
        if newest.lsn() <= lsn {
            return Some(newest);
        }
        self.older_at(hash, key, lsn)
    }

    #[cold]
    fn older_at(&self, hash: u64, key: &[u8], lsn: u64) -> Option<&Version> {
        let older = self.older.as_ref()?;
        let chain = older.table.find(hash, |chain| chain.key() == key)?;
        chain.at(lsn)
    }

    /// Makes `version` the newest of its key; returns the one that it replaced.
    pub(super) fn put(
        &mut self,
        hash: u64,
        version: Version,
        rehash: impl Fn(&[u8]) -> u64,
    ) -> Option<Version> {
        let known = self
            .newest
            .find_mut(hash, |known| known.has_key(version.key()));
        if let Some(known) = known {
            return Some(std::mem::replace(known, version));
        }
        self.newest
            .insert_unique(hash, version, |version| rehash(version.key()));
        None
    }

    /// The same unless a newer version is there; returns the older one of the two, if there were two.
    pub(super) fn put_if_newer(
        &mut self,
        hash: u64,
        version: Version,
        rehash: impl Fn(&[u8]) -> u64,
    ) -> Option<Version> {
        let known = self
            .newest
            .find_mut(hash, |known| known.has_key(version.key()));
        match known {
            Some(known) if known.lsn() > version.lsn() => Some(version),
            Some(known) => Some(std::mem::replace(known, version)),
            None => {
                self.newest
                    .insert_unique(hash, version, |version| rehash(version.key()));
                None
            }
        }
    }

    /// Keeps a version that was replaced.
    pub(super) fn keep(&mut self, hash: u64, version: Version, rehash: impl Fn(&[u8]) -> u64) {
        let older = self.older.get_or_insert_default();
        let chain = older
            .table
            .find_mut(hash, |chain| chain.key() == version.key());
        if let Some(chain) = chain {
            older.chains -= chain.bytes();
            chain.push(version);
            older.chains += chain.bytes();
            return;
        }
        let chain = Chain::One(version);
        let rehash = |chain: &Chain| rehash(chain.key());
        older.table.insert_unique(hash, chain, rehash);
    }

    /// Forgets the replaced version with this LSN.
    pub(super) fn forget(&mut self, hash: u64, lsn: u64) -> Option<Version> {
        let older = self.older.as_mut()?;
        let found = older.table.find_entry(hash, |chain| chain.has(lsn));
        let mut found = found.ok()?;
        older.chains -= found.get().bytes();
        if let Some(version) = found.get_mut().remove(lsn) {
            older.chains += found.get().bytes();
            return Some(version);
        }
        let forgotten = match found.remove().0 {
            Chain::One(version) => Some(version),
            Chain::Many(mut versions) => versions.pop_front(),
        };
        if older.table.is_empty() {
            self.older = None;
        }
        forgotten
    }

    pub(super) fn has_older(&self, hash: u64, key: &[u8]) -> bool {
        let found = |older: &Older| older.table.find(hash, |chain| chain.key() == key).is_some();
        self.older.as_deref().is_some_and(found)
    }

    /// Removes the key whose newest version has this LSN.
    pub(super) fn remove(&mut self, hash: u64, lsn: u64) -> Option<Version> {
        let found = self
            .newest
            .find_entry(hash, |version| version.lsn() == lsn)
            .ok()?;
        let removed = found.remove().0;
        if self.newest.is_empty() {
            self.newest = HashTable::new();
        }
        Some(removed)
    }

    /// The newest version whose LSN this is.
    pub(super) fn newest_with(&self, hash: u64, lsn: u64) -> Option<&Version> {
        self.newest.find(hash, |version| version.lsn() == lsn)
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&mut Version) -> bool) {
        self.newest.retain(keep);
    }

    /// Bytes of the tables.
    #[inline]
    pub(super) fn tables(&self) -> Tables {
        Tables {
            newest: allocated(self.newest.allocation_size()),
            older: self.older.as_deref().map_or(0, Older::bytes),
        }
    }

    /// Whether it has become sparse and was not noted yet; it is from now on.
    #[inline]
    pub(super) fn has_become_sparse(&mut self) -> bool {
        let older = self.older.as_deref();
        let sparse = is_sparse(&self.newest) || older.is_some_and(|older| is_sparse(&older.table));
        let sparse = sparse && !self.noted;
        self.noted |= sparse;
        sparse
    }

    /// Moves what is in sparse tables into smaller ones.
    pub(super) fn shrink(&mut self, rehash: impl Fn(&[u8]) -> u64) {
        self.noted = false;
        if is_sparse(&self.newest) {
            let places = places_for(&self.newest);
            self.newest
                .shrink_to(places, |version| rehash(version.key()));
        }
        if let Some(Older { table, .. }) = self.older.as_deref_mut()
            && is_sparse(table)
        {
            table.shrink_to(places_for(table), |chain| rehash(chain.key()));
        }
    }

    /// Bytes of the table of replaced versions, counted anew.
    #[cfg(all(test, not(wal_shuttle)))]
    pub(super) fn recount_older(&self) -> u64 {
        let Some(older) = &self.older else { return 0 };
        let chains = older.table.iter().map(Chain::bytes).sum::<u64>();
        allocated(size_of::<Older>()) + allocated(older.table.allocation_size()) + chains
    }

    /// All that it holds: the newest versions, and the older ones.
    #[cfg(all(test, not(wal_shuttle)))]
    pub(super) fn versions(&self) -> (Vec<Version>, Vec<Version>) {
        let older = self.older.iter().flat_map(|older| older.table.iter());
        let older = older.flat_map(Chain::versions).cloned().collect();
        (self.newest.iter().cloned().collect(), older)
    }
}

/// Whether a table has less than three keys for eight places.
fn is_sparse<T>(table: &HashTable<T>) -> bool {
    let small = if table.is_empty() { 0 } else { SMALL };
    table.capacity() > small && table.len() * 8 < table.capacity() * 3
}

/// Places that a sparse table needs, so that it neither grows nor is sparse again soon.
fn places_for<T>(table: &HashTable<T>) -> usize {
    table.len() * 4 / 3
}
