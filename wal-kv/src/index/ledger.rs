//! What is known of the index as a whole: how many keys, how much memory, who looks at which point in time, and what is due.
//!
//! Deliberately absent: the keys and versions themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wal_core::UnixMillis;

use super::version::Version;
use crate::sabotage;

/// A version that expires: when, its LSN, the hash of its key.
pub(super) type Expiring = (UnixMillis, u64, u64);

/// What a change does to the counts, once it is visible.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) lsn: u64,
    pub(super) keys: i8,
    pub(super) added: Option<Expiring>,
    pub(super) removed: Option<Expiring>,
}

/// A version that a newer one has replaced and that is kept for now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced {
    pub(super) by: u64,
    pub(super) lsn: Option<u64>,
    pub(super) hash: u64,
}

/// Bytes of a snapshot for one pair, beside key and value: three numbers, flags, and a share of what a block has.
const PAIR_OVERHEAD: u64 = 16;

/// See the module's head. Every change of the index is made by who holds its lock.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    keys: usize,
    /// Bytes of all versions that are held, and of their keys' places.
    pub(super) memory: u64,
    /// Bytes of key and value of the newest versions.
    pub(super) payload: u64,
    /// Changes that are not visible yet, in the order of their LSNs.
    uncounted: VecDeque<Count>,
    /// Versions that are kept, in the order of what replaced them.
    pub(super) replaced: VecDeque<Replaced>,
    /// Visible versions that expire.
    pub(super) expiries: BTreeSet<Expiring>,
    /// Open views, by the LSN up to which they see.
    views: BTreeMap<u64, usize>,
    /// The highest watermark that was seen.
    last_visible: u64,
    pub(super) scratch: Vec<u8>,
    /// The expiry up to which the log or a snapshot has a time mark.
    pub(crate) marked: UnixMillis,
}

impl Ledger {
    pub(super) fn open_view(&mut self, lsn: u64) {
        *self.views.entry(lsn).or_default() += 1;
    }

    pub(super) fn close_view(&mut self, lsn: u64) {
        if let Some(count) = self.views.get_mut(&lsn) {
            *count -= 1;
            if *count == 0 {
                self.views.remove(&lsn);
            }
        }
    }

    pub(super) fn has_views(&self) -> bool {
        !self.views.is_empty()
    }

    /// How many views are open.
    pub(crate) fn views(&self) -> usize {
        self.views.values().sum()
    }

    /// How many versions are kept for views, or until a newer one is visible.
    pub(crate) fn kept(&self) -> usize {
        self.replaced.len()
    }

    pub(super) fn last_visible(&self) -> u64 {
        self.last_visible
    }

    /// The LSN up to which changes are visible to everyone who looks: what they replaced is not needed.
    pub(super) fn horizon(&mut self, visible: u64) -> u64 {
        self.last_visible = self.last_visible.max(visible);
        let views = self.views.first_key_value().map(|(lsn, _)| *lsn);
        let views = views.filter(|_| !sabotage::is("kv-view-not-kept"));
        views.map_or(self.last_visible, |lsn| lsn.min(self.last_visible))
    }

    /// Counts a change that is visible.
    pub(super) fn count(&mut self, count: &Count) {
        self.keys = self.keys.saturating_add_signed(isize::from(count.keys));
        if let Some(removed) = &count.removed {
            self.expiries.remove(removed);
        }
        if let Some(added) = count.added {
            self.expiries.insert(added);
        }
    }

    /// Counts a change when it is visible.
    pub(super) fn count_later(&mut self, count: Count) {
        self.uncounted.push_back(count);
    }

    /// Counts what is visible by now.
    pub(super) fn count_up_to(&mut self, visible: u64) {
        while let Some(count) = self.uncounted.front().copied()
            && count.lsn <= visible
        {
            self.uncounted.pop_front();
            self.count(&count);
        }
    }

    /// Keys that are visible and have not expired.
    pub(super) fn live(&self, now: UnixMillis) -> usize {
        // Few: a sweep removes them.
        let expired = self.expiries.iter().take_while(|(at, ..)| *at <= now);
        self.keys - expired.count()
    }

    /// When the next key expires.
    pub(crate) fn next_expiry(&self) -> Option<UnixMillis> {
        self.expiries.first().map(|(at, ..)| *at)
    }

    /// Bytes that the keys and their versions take.
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    /// Bytes that a snapshot would have at most, before it is compressed.
    pub(crate) fn snapshot_bytes(&self) -> u64 {
        self.payload + self.keys as u64 * PAIR_OVERHEAD
    }

    /// Bytes of the live keys and values.
    pub(crate) fn payload(&self) -> u64 {
        self.payload
    }

    pub(super) fn hold(&mut self, version: &Version) {
        self.memory += version.cost();
    }

    pub(super) fn release(&mut self, version: &Version) {
        self.memory = self.memory.saturating_sub(version.cost());
    }

    pub(super) fn set_loaded(&mut self, keys: usize, memory: u64, payload: u64, visible: u64) {
        self.keys = keys;
        self.memory = memory;
        self.payload = payload;
        self.last_visible = visible;
    }
}

/// The expiry of a version, as the ledger notes it.
pub(super) fn expiring(version: &Version, hash: u64) -> Option<Expiring> {
    version.expires_at().map(|at| (at, version.lsn(), hash))
}
