//! What is known of the index as a whole: how many keys, who looks at which point in time, and what is due.
//!
//! Its lock is held for a short time only: reads that look at a point in time take it, so whatever may be long is done in steps.
//! Deliberately absent: the keys and versions themselves, and the bytes that they take, which are counted as they come and go
//! (`index.rs`).

use std::collections::VecDeque;
use std::time::Duration;

use super::expiries::{Expiries, Expiring};
use super::pile::Pile;
use super::views::{Opened, Replaced, ViewId, Views};
use crate::time::Now;

/// What a write does to the counts, once it is visible.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    /// The LSN of its last record.
    pub(super) last: u64,
    pub(super) keys: isize,
    /// Bytes of key and value.
    pub(super) payload: i64,
    pub(super) expiries: Vec<ExpiryChange>,
}

/// A version that expires has become the newest of its key, or is it no more.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExpiryChange {
    Added(Expiring),
    Removed(Expiring),
}

/// Bytes of a snapshot for one pair, beside key and value: three numbers, flags, and a share of what a block has.
const PAIR_OVERHEAD: u64 = 16;

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    keys: usize,
    /// Bytes of key and value of the visible versions.
    payload: u64,
    /// Writes that are not visible yet, in the order of their LSNs.
    uncounted: VecDeque<Count>,
    /// Changes of `expiries` that are visible and not made yet, in their order.
    unmade: Pile<ExpiryChange>,
    /// Visible versions that expire.
    pub(super) expiries: Expiries,
    /// Versions that were replaced by ones that were not visible then, in the order of those.
    replaced: Pile<Replaced>,
    views: Views,
    /// Versions that nobody needs and that are not forgotten yet.
    unneeded: Pile<Replaced>,
    /// The highest watermark that was seen.
    last_visible: u64,
}

impl Ledger {
    /// Opens a view of what is visible.
    pub(super) fn open_view(&mut self, visible: u64, opened: Opened) -> ViewId {
        let lsn = visible.max(self.last_visible);
        self.views.open(lsn, opened)
    }

    pub(super) fn close_view(&mut self, view: ViewId) {
        self.unneeded.append(self.views.close(view));
    }

    /// How many views are open.
    pub(crate) fn views(&self) -> usize {
        self.views.count()
    }

    /// Whether an open view shows a version that was written at `lsn` and is replaced by the next write.
    #[inline]
    pub(crate) fn shows(&self, lsn: u64) -> bool {
        self.views.show(lsn)
    }

    /// What the views of users show, for the limit of what they may hold.
    pub(crate) fn held(&self) -> Held {
        Held {
            bytes: self.views.bytes_of_users(),
            newest: self.views.newest_of_users(),
            oldest: self.views.oldest_of_users(),
        }
    }

    /// How many versions are kept for views, or until a newer one is visible.
    pub(crate) fn kept(&self) -> usize {
        self.replaced.len() + self.views.filed() + self.unneeded.len()
    }

    pub(super) fn last_visible(&self) -> u64 {
        self.last_visible
    }

    /// Counts what is visible by now.
    pub(super) fn see(&mut self, visible: u64) {
        self.last_visible = self.last_visible.max(visible);
        while self
            .uncounted
            .front()
            .is_some_and(|count| count.last <= visible)
            && let Some(count) = self.uncounted.pop_front()
        {
            self.count(count);
        }
    }

    /// Counts a write that is visible.
    pub(super) fn count(&mut self, count: Count) {
        self.keys = self.keys.saturating_add_signed(count.keys);
        self.payload = self.payload.saturating_add_signed(count.payload);
        if self.unmade.is_empty() && count.expiries.len() <= 2 {
            for change in count.expiries {
                self.make(change);
            }
        } else {
            self.unmade.append(count.expiries.into());
        }
    }

    fn make(&mut self, change: ExpiryChange) {
        match change {
            ExpiryChange::Added(version) => self.expiries.insert(version),
            ExpiryChange::Removed(version) => self.expiries.remove(&version),
        }
    }

    /// Counts a write when it is visible, and then asks who needs the versions that it has replaced.
    pub(super) fn count_later(&mut self, count: Count, replaced: Vec<Replaced>) {
        self.uncounted.push_back(count);
        // Those of one write come one at a time or all together.
        match replaced.as_slice() {
            [one] => self.replaced.push(*one),
            _ => self.replaced.append(replaced.into()),
        }
    }

    /// Keeps a version that a visible one has replaced, if a view shows it.
    pub(super) fn keep(&mut self, version: Replaced) -> bool {
        self.views.keep(version)
    }

    /// Does one thing that is due: a change of the expiries, or a version that was replaced.
    pub(super) fn next_due(&mut self) -> Due {
        if let Some(change) = self.unmade.pop() {
            self.make(change);
            return Due::Done;
        }
        if let Some(version) = self.unneeded.pop() {
            return Due::Forget(version);
        }
        match self.replaced.front() {
            Some(version) if version.by <= self.last_visible => {}
            _ => return Due::Nothing,
        }
        match self.replaced.pop() {
            Some(version) if !self.views.keep(version) => Due::Forget(version),
            _ => Due::Done,
        }
    }

    /// Whether versions wait to be forgotten that only closed views have shown.
    pub(super) fn has_unneeded(&self) -> bool {
        !self.unneeded.is_empty()
    }

    /// Keys that are visible and have not expired. `None` if more is to be counted than is done at a time: try again.
    pub(super) fn live(&mut self, now: Now, most: usize) -> Option<usize> {
        let counted = self.unmade.is_empty() && self.expiries.count(now, most);
        counted.then(|| self.keys - self.expiries.expired())
    }

    /// Whether there are keys that expire.
    pub(crate) fn has_expiring(&self) -> bool {
        !self.expiries.is_empty()
    }

    /// Whether a key has expired that is not reclaimed yet.
    pub(crate) fn has_expired(&self, now: Now) -> bool {
        !self.expiries.due(now, 1).is_empty()
    }

    /// Bytes that a snapshot would have at most, before it is compressed.
    pub(crate) fn snapshot_bytes(&self) -> u64 {
        self.payload + self.keys as u64 * PAIR_OVERHEAD
    }

    /// Bytes of the live keys and values.
    pub(crate) fn payload(&self) -> u64 {
        self.payload
    }

    #[cfg(all(test, not(wal_shuttle)))]
    pub(super) fn recount_of_users(&self) -> u64 {
        self.views.recount_of_users()
    }

    pub(super) fn set_loaded(&mut self, keys: usize, payload: u64, visible: u64) {
        self.keys = keys;
        self.payload = payload;
        self.last_visible = visible;
    }
}

/// Replaced versions that open views of users show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Bytes that they take.
    pub(crate) bytes: u64,
    /// Up to which LSN a version is shown that is the newest of its key.
    pub(crate) newest: Option<u64>,
    /// When the oldest of the views was opened, by the monotonic clock.
    pub(crate) oldest: Option<Duration>,
}

/// What [`Ledger::next_due`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing is due.
    Nothing,
    /// Something was, and it is done.
    Done,
    /// This version is to be forgotten.
    Forget(Replaced),
}
