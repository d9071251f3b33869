//! The older versions of one key that somebody may still need.

use std::collections::VecDeque;

use super::heap::allocated;
use super::version::Version;

/// Versions of one key in the order of their LSNs, at least one. Where each key has one, it takes three words.
#[derive(Debug)]
#[allow(
    clippy::box_collection,
    reason = "a table of chains has three words for each, not five"
)]
pub(super) enum Chain {
    One(Version),
    Many(Box<VecDeque<Version>>),
}

impl Chain {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::One(version) => version.key(),
            Self::Many(versions) => versions[0].key(),
        }
    }

    /// Adds a version that is newer than all in it.
    pub(super) fn push(&mut self, version: Version) {
        match self {
            Self::One(older) => {
                let versions = VecDeque::from([older.clone(), version]);
                *self = Self::Many(Box::new(versions));
            }
            Self::Many(versions) => versions.push_back(version),
        }
    }

    /// The newest version up to `lsn`.
    pub(super) fn at(&self, lsn: u64) -> Option<&Version> {
        match self {
            Self::One(version) => Some(version).filter(|version| version.lsn() <= lsn),
            Self::Many(versions) => {
                let after = versions.partition_point(|version| version.lsn() <= lsn);
                versions.get(after.checked_sub(1)?)
            }
        }
    }

    /// Whether it has the version with this LSN.
    pub(super) fn has(&self, lsn: u64) -> bool {
        self.at(lsn).is_some_and(|version| version.lsn() == lsn)
    }

    /// Removes the version with this LSN from several; returns it.
    pub(super) fn remove(&mut self, lsn: u64) -> Option<Version> {
        let Self::Many(versions) = self else {
            return None;
        };
        let found = versions.binary_search_by_key(&lsn, Version::lsn).ok()?;
        // What lies between it and the nearer end moves: at most as many versions as there are open views.
        let removed = versions.remove(found);
        if versions.len() == 1
            && let Some(last) = versions.pop_front()
        {
            *self = Self::One(last);
        }
        removed
    }

    /// Bytes that it takes beside its versions and its place in a table.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::One(_) => 0,
            Self::Many(versions) => {
                allocated(size_of::<VecDeque<Version>>())
                    + allocated(versions.capacity() * size_of::<Version>())
            }
        }
    }

    #[cfg(all(test, not(wal_shuttle)))]
    pub(super) fn versions(&self) -> Vec<&Version> {
        match self {
            Self::One(version) => vec![version],
            Self::Many(versions) => versions.iter().collect(),
        }
    }
}
