//! One part of the hash index: the newest version of each key, and the older ones that somebody may still need.
//!
//! Deliberately absent: locks, and when an older version is no longer needed (`mod.rs`).

use hashbrown::HashTable;

use super::chain::Chain;
use super::version::Version;

/// The versions of the keys whose hashes fall here.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// The newest version of each key.
    newest: HashTable<Version>,
    /// The versions that were replaced and are kept, by key.
    older: HashTable<Chain>,
}

impl Shard {
    pub(super) fn with_room_for(keys: usize) -> Self {
        Self {
            newest: HashTable::with_capacity(keys),
            older: HashTable::new(),
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
        let chain = self.older.find(hash, |chain| chain.key() == key)?;
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
        let chain = self
            .older
            .find_mut(hash, |chain| chain.key() == version.key());
        if let Some(chain) = chain {
            chain.push(version);
            return;
        }
        let chain = Chain::One(version);
        self.older
            .insert_unique(hash, chain, |chain| rehash(chain.key()));
    }

    /// Forgets the replaced version with this LSN.
    pub(super) fn forget(&mut self, hash: u64, lsn: u64) -> Option<Version> {
        let mut found = self.older.find_entry(hash, |chain| chain.has(lsn)).ok()?;
        if let Some(version) = found.get_mut().remove(lsn) {
            return Some(version);
        }
        let forgotten = match found.remove().0 {
            Chain::One(version) => Some(version),
            Chain::Many(mut versions) => versions.pop_front(),
        };
        if self.older.is_empty() && self.older.capacity() > 1024 {
            self.older = HashTable::new();
        }
        forgotten
    }

    pub(super) fn has_older(&self, hash: u64, key: &[u8]) -> bool {
        !self.older.is_empty() && self.older.find(hash, |chain| chain.key() == key).is_some()
    }

    /// Removes the key whose newest version has this LSN.
    pub(super) fn remove(&mut self, hash: u64, lsn: u64) -> Option<Version> {
        let found = self
            .newest
            .find_entry(hash, |version| version.lsn() == lsn)
            .ok()?;
        Some(found.remove().0)
    }

    /// The newest version whose LSN this is.
    pub(super) fn newest_with(&self, hash: u64, lsn: u64) -> Option<&Version> {
        self.newest.find(hash, |version| version.lsn() == lsn)
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&mut Version) -> bool) {
        self.newest.retain(keep);
    }

    /// Bytes of the tables.
    pub(super) fn table_bytes(&self) -> u64 {
        (self.newest.allocation_size() + self.older.allocation_size()) as u64
    }
}
