//! One part of the hash index: the newest version of each key, and the older ones that somebody may still need.
//!
//! Deliberately absent: locks, and when an older version is no longer needed (`mod.rs`).

use hashbrown::HashTable;

use super::version::Version;

/// The versions of the keys whose hashes fall here.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// The newest version of each key.
    newest: HashTable<Version>,
    /// Versions that were replaced, several of a key perhaps.
    older: HashTable<Version>,
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
        self.newest.find(hash, |version| version.key() == key)
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
        self.older
            .iter_hash(hash)
            .filter(|version| version.lsn() <= lsn && version.key() == key)
            .max_by_key(|version| version.lsn())
    }

    /// Makes `version` the newest of its key; returns the one that it replaced.
    pub(super) fn put(
        &mut self,
        hash: u64,
        version: Version,
        rehash: impl Fn(&Version) -> u64,
    ) -> Option<Version> {
        let known = self
            .newest
            .find_mut(hash, |known| known.key() == version.key());
        if let Some(known) = known {
            return Some(std::mem::replace(known, version));
        }
        self.newest.insert_unique(hash, version, rehash);
        None
    }

    /// The same unless a newer version is there; returns the older one of the two, if there were two.
    pub(super) fn put_if_newer(
        &mut self,
        hash: u64,
        version: Version,
        rehash: impl Fn(&Version) -> u64,
    ) -> Option<Version> {
        let known = self
            .newest
            .find_mut(hash, |known| known.key() == version.key());
        match known {
            Some(known) if known.lsn() > version.lsn() => Some(version),
            Some(known) => Some(std::mem::replace(known, version)),
            None => {
                self.newest.insert_unique(hash, version, rehash);
                None
            }
        }
    }

    /// Keeps a version that was replaced.
    pub(super) fn keep(&mut self, hash: u64, version: Version, rehash: impl Fn(&Version) -> u64) {
        self.older.insert_unique(hash, version, rehash);
    }

    /// Forgets the replaced version with this LSN.
    pub(super) fn forget(&mut self, hash: u64, lsn: u64) -> Option<Version> {
        let found = self
            .older
            .find_entry(hash, |version| version.lsn() == lsn)
            .ok()?;
        let forgotten = found.remove().0;
        if self.older.is_empty() && self.older.capacity() > 1024 {
            self.older = HashTable::new();
        }
        Some(forgotten)
    }

    pub(super) fn has_older(&self, hash: u64, key: &[u8]) -> bool {
        !self.older.is_empty()
            && self
                .older
                .iter_hash(hash)
                .any(|version| version.key() == key)
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
