//! Which visible versions expire, and when.

use std::collections::BTreeSet;
use std::ops::Bound;

use wal_core::UnixMillis;

use super::heap::allocated;
use super::version::Version;
use crate::time::Now;

/// A version that expires: when, its LSN, the hash of its key.
pub(super) type Expiring = (UnixMillis, u64, u64);

/// Bytes of memory for one entry of the set: its share of a node with places for eleven and of the nodes above. It is 51 where
/// expiries come in order, which fills six places of a node, and 39 where they do not; this is between the two.
pub(super) const ENTRY: i64 = (allocated(11 * size_of::<Expiring>() + 12) / 7 + 5).cast_signed();

/// A version as the set has it, if it expires.
pub(super) fn expiring(version: &Version, hash: u64) -> Option<Expiring> {
    let at = version.expires_at()?;
    Some((at, version.lsn(), hash))
}

/// The visible versions that expire. Those that were there when the store was opened, and those that were written since, expire by
/// different clocks.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    /// The first LSN since the store was opened.
    first: u64,
    loaded: Set,
    written: Set,
}

impl Expiries {
    /// What follows is of an open store: the next LSN is `first`.
    pub(super) fn begin(&mut self, first: u64) {
        self.first = first;
    }

    fn set(&mut self, lsn: u64) -> &mut Set {
        if lsn < self.first {
            &mut self.loaded
        } else {
            &mut self.written
        }
    }

    pub(super) fn insert(&mut self, version: Expiring) {
        self.set(version.1).insert(version);
    }

    pub(super) fn remove(&mut self, version: &Expiring) {
        self.set(version.1).remove(version);
    }

    /// Counts what has expired by `now`, about `most` versions at most; false if there may be more.
    pub(super) fn count(&mut self, now: Now, most: usize) -> bool {
        self.loaded.count(now.loaded, most) && self.written.count(now.written, most)
    }

    /// How many are counted as expired.
    pub(super) fn expired(&self) -> usize {
        self.loaded.expired + self.written.expired
    }

    pub(super) fn is_empty(&self) -> bool {
        self.loaded.versions.is_empty() && self.written.versions.is_empty()
    }

    /// Those that have expired, the first `most` of them.
    pub(super) fn due(&self, now: Now, most: usize) -> Vec<Expiring> {
        let loaded = self.loaded.due(now.loaded);
        let written = self.written.due(now.written);
        loaded.chain(written).take(most).copied().collect()
    }
}

/// Those of one clock, which never goes back, and how many of the first have expired: each is counted once, when its time has come.
#[derive(Debug, Default)]
struct Set {
    versions: BTreeSet<Expiring>,
    /// The last version that is counted as expired.
    counted_to: Option<Expiring>,
    expired: usize,
}

impl Set {
    fn is_counted(&self, version: &Expiring) -> bool {
        self.counted_to.is_some_and(|last| *version <= last)
    }

    fn insert(&mut self, version: Expiring) {
        if self.versions.insert(version) {
            self.expired += usize::from(self.is_counted(&version));
        }
    }

    fn remove(&mut self, version: &Expiring) {
        if self.versions.remove(version) {
            self.expired -= usize::from(self.is_counted(version));
        }
    }

    fn count(&mut self, now: UnixMillis, most: usize) -> bool {
        let from = self.counted_to.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.versions.range((from, Bound::Unbounded));
        let due = later.take_while(|(at, ..)| *at <= now).take(most);
        let (counted, last) = due.fold((0, None), |(counted, _), one| (counted + 1, Some(*one)));
        self.expired += counted;
        self.counted_to = last.or(self.counted_to);
        counted < most
    }

    fn due(&self, now: UnixMillis) -> impl Iterator<Item = &Expiring> {
        self.versions.iter().take_while(move |(at, ..)| *at <= now)
    }
}
