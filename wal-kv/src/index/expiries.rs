//! Which visible versions expire, and when.

use std::collections::BTreeSet;
use std::ops::Bound;

use wal_core::UnixMillis;

use super::version::Version;

/// A version that expires: when, its LSN, the hash of its key.
pub(super) type Expiring = (UnixMillis, u64, u64);

/// A version as the set has it, if it expires.
pub(super) fn expiring(version: &Version, hash: u64) -> Option<Expiring> {
    let at = version.expires_at()?;
    Some((at, version.lsn(), hash))
}

/// The set, and how many of its first versions have expired: each is counted once, when its time has come.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    set: BTreeSet<Expiring>,
    /// The last version that is counted as expired.
    counted_to: Option<Expiring>,
    expired: usize,
}

impl Expiries {
    fn is_counted(&self, version: &Expiring) -> bool {
        self.counted_to.is_some_and(|last| *version <= last)
    }

    pub(super) fn insert(&mut self, version: Expiring) {
        if self.set.insert(version) {
            self.expired += usize::from(self.is_counted(&version));
        }
    }

    pub(super) fn remove(&mut self, version: &Expiring) {
        if self.set.remove(version) {
            self.expired -= usize::from(self.is_counted(version));
        }
    }

    /// Counts what has expired by `now`, at most `most` versions; false if there may be more.
    pub(super) fn count(&mut self, now: UnixMillis, most: usize) -> bool {
        let from = self.counted_to.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.set.range((from, Bound::Unbounded));
        let due = later.take_while(|(at, ..)| *at <= now).take(most);
        let (counted, last) = due.fold((0, None), |(counted, _), one| (counted + 1, Some(*one)));
        self.expired += counted;
        self.counted_to = last.or(self.counted_to);
        counted < most
    }

    /// How many are counted as expired.
    pub(super) fn expired(&self) -> usize {
        self.expired
    }

    /// When the next one expires, or has.
    pub(super) fn first(&self) -> Option<UnixMillis> {
        self.set.first().map(|(at, ..)| *at)
    }

    /// Those that have expired, the first `most` of them.
    pub(super) fn due(&self, now: UnixMillis, most: usize) -> Vec<Expiring> {
        let due = self.set.iter().take_while(|(at, ..)| *at <= now);
        due.take(most).copied().collect()
    }
}
