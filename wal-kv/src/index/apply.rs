//! Changing the index, in the order of the log, and forgetting what nobody needs any more.
//!
//! Deliberately absent: conditions and limits, which are checked before anything enters the log (`store/write.rs`).

use wal_core::UnixMillis;

use super::expiries::{Expiring, expiring};
use super::ledger::{Count, Due, ExpiryChange};
use super::memory::{Bytes, kept};
use super::views::Replaced;
use super::{Index, Ledger, STEP, Shown, Version, Writer};
use crate::sync::{Ordering, pause};
use crate::time::Now;

/// How many of them a write does. It adds one at most, so they do not pile up.
const STEP_OF_A_WRITE: usize = 8;

/// What a write does to one key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// It has this value from now on.
    Put {
        key: &'a [u8],
        value: &'a [u8],
        /// By the steady time of the store.
        expires_at: Option<UnixMillis>,
    },
    /// It has none.
    Delete { key: &'a [u8] },
}

impl<'a> Change<'a> {
    pub(crate) fn key(&self) -> &'a [u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// When the value expires that it puts, by the steady time of the store.
    pub(crate) fn expires_at(&self) -> Option<UnixMillis> {
        match self {
            Self::Put { expires_at, .. } => *expires_at,
            Self::Delete { .. } => None,
        }
    }

    pub(crate) fn expires(&self) -> bool {
        matches!(
            self,
            Self::Put {
                expires_at: Some(_),
                ..
            }
        )
    }
}

impl Index {
    /// Makes the changes of one batch, whose first record has the LSN `first`. They are visible together. False if more is due
    /// than a write does: [`settle`](Self::settle) is to be called.
    pub(crate) fn apply(
        &self,
        writer: &mut Writer,
        changes: &[Change<'_>],
        first: u64,
        durable: impl FnOnce() -> u64,
    ) -> bool {
        self.apply_all(writer, changes, first, durable) && self.sparse.is_empty()
    }

    fn apply_all(
        &self,
        writer: &mut Writer,
        changes: &[Change<'_>],
        first: u64,
        durable: impl FnOnce() -> u64,
    ) -> bool {
        if let [change] = changes
            && self.shown == Shown::AtOnce
        {
            return self.apply_alone(writer, *change, first);
        }
        self.apply_together(writer, changes, first);
        self.settle_after_a_write(durable)
    }

    /// A record that changes no key has taken an LSN.
    pub(crate) fn pass(&self, lsn: u64, durable: impl FnOnce() -> u64) {
        self.applied.store(lsn, Ordering::Release);
        self.settle_after_a_write(durable);
    }

    fn settle_after_a_write(&self, durable: impl FnOnce() -> u64) -> bool {
        let mut ledger = self.ledger();
        let visible = self.visible(durable);
        self.settle_some(&mut ledger, visible, STEP_OF_A_WRITE)
    }

    /// The version that a change makes; `None` if it deletes a key that is not there.
    fn version_of(&self, writer: &mut Writer, change: Change<'_>, lsn: u64) -> Option<Version> {
        match change {
            Change::Put {
                key,
                value,
                expires_at,
            } => {
                let scratch = &mut writer.scratch;
                Some(Version::put(scratch, lsn, key, value, expires_at))
            }
            Change::Delete { key } => {
                let known = self.newest(key);
                let is_there = known.is_some_and(|known| !known.is_tombstone());
                is_there.then(|| Version::tombstone(lsn, key))
            }
        }
    }

    /// Makes one change that is visible at once. The ledger's lock keeps new views away from what it replaces.
    fn apply_alone(&self, writer: &mut Writer, change: Change<'_>, lsn: u64) -> bool {
        let hash = self.hash(change.key());
        let rehash = |key: &[u8]| self.hash(key);
        let version = self.version_of(writer, change, lsn);
        let mut ledger = self.ledger();
        let Some(version) = version else {
            self.applied.store(lsn, Ordering::Release);
            return self.settle_some(&mut ledger, lsn, STEP_OF_A_WRITE);
        };
        if version.is_tombstone() && self.remove_alone(&mut ledger, hash, &version) {
            return self.settle_some(&mut ledger, lsn, STEP_OF_A_WRITE);
        }
        let mut count = Count::default();
        let old = self.change_ordered(|ordered| ordered.put(version.clone()));
        count.of(hash, Some(&version), old.as_ref());
        let mut bytes = Bytes::of_newest(&version);
        if let Some(old) = &old {
            bytes = bytes.without(Bytes::of_newest(old));
        }
        let shown = old.as_ref().filter(|old| ledger.shows(old.lsn()));
        let replaced = shown.map(|old| {
            bytes = bytes.and(Bytes::of_older(old));
            replaced(old, lsn, hash)
        });
        let unneeded = self.change(hash, |shard| {
            let unneeded = match (shard.put(hash, version, rehash), replaced) {
                (Some(old), Some(_)) => {
                    shard.keep(hash, old, rehash);
                    None
                }
                (old, _) => old,
            };
            // A reader that finds the new version under the shard's lock also finds that it is visible.
            self.applied.store(lsn, Ordering::Release);
            unneeded
        });
        drop(unneeded);
        self.memory.add(bytes);
        if let Some(replaced) = replaced {
            ledger.keep(replaced);
        }
        ledger.count(count);
        self.settle_some(&mut ledger, lsn, STEP_OF_A_WRITE)
    }

    /// Removes a key at once; false if a view needs a version of it.
    fn remove_alone(&self, ledger: &mut Ledger, hash: u64, tombstone: &Version) -> bool {
        let key = tombstone.key();
        let Some(known) = self.newest(key) else {
            return false;
        };
        if ledger.shows(known.lsn()) {
            return false;
        }
        let removed = self.change(hash, |shard| {
            if shard.has_older(hash, key) {
                return false;
            }
            shard.remove(hash, known.lsn());
            self.applied.store(tombstone.lsn(), Ordering::Release);
            true
        });
        if !removed {
            return false;
        }
        self.change_ordered(|ordered| ordered.remove(key, known.lsn()));
        self.memory
            .add(Bytes::default().without(Bytes::of_newest(&known)));
        let mut count = Count::default();
        count.of(hash, None, Some(&known));
        ledger.count(count);
        true
    }

    /// Makes changes that become visible together later, and keeps what they replace until then. Reads go on all the while: the
    /// ledger's lock is taken only at the end.
    fn apply_together(&self, writer: &mut Writer, changes: &[Change<'_>], first: u64) {
        let rehash = |key: &[u8]| self.hash(key);
        let last = first + changes.len() as u64 - 1;
        let mut count = Count {
            last,
            ..Count::default()
        };
        let (mut kept_back, mut deleted) = (Vec::new(), Vec::new());
        for (done, (change, lsn)) in changes.iter().zip(first..).enumerate() {
            if done % STEP == STEP - 1 && self.waiting.load(Ordering::Relaxed) > 0 {
                // A lock that is taken again at once passes over who sleeps for it.
                pause();
            }
            let hash = self.hash(change.key());
            // Its LSN is all that a delete of nothing leaves.
            let Some(version) = self.version_of(writer, *change, lsn) else {
                continue;
            };
            let mut bytes = Bytes::of_newest(&version);
            drop(self.change_ordered(|ordered| ordered.put(version.clone())));
            // Nobody ever sees what a batch itself replaces.
            let old = self.change(hash, |shard| {
                let old = shard.put(hash, version.clone(), rehash)?;
                if old.lsn() < first {
                    shard.keep(hash, old.clone(), rehash);
                }
                Some(old)
            });
            count.of(hash, Some(&version), old.as_ref());
            if let Some(old) = old {
                bytes = bytes.without(Bytes::of_newest(&old));
                if old.lsn() < first {
                    bytes = bytes.and(Bytes::of_older(&old));
                    kept_back.push(replaced(&old, lsn, hash));
                } else if version.is_tombstone() {
                    deleted.push(replaced(&old, lsn, hash));
                }
            }
            self.memory.add(bytes);
        }
        // A delete that is the last of its key leaves when it is visible.
        deleted.retain(|due| {
            let shard = self.shard(due.hash).read();
            shard.newest_with(due.hash, due.by).is_some()
        });
        kept_back.append(&mut deleted);
        self.ledger().count_later(count, kept_back);
        // After the last version of the batch.
        self.applied.store(last, Ordering::Release);
    }

    /// Counts what has become visible, and forgets what nobody can see any more: some of it, so that nobody waits long for the
    /// ledger; and shrinks a table that has become sparse. False if some is left.
    pub(crate) fn settle(&self, durable: impl FnOnce() -> u64) -> bool {
        let mut ledger = self.ledger();
        let visible = self.visible(durable);
        let settled = self.settle_some(&mut ledger, visible, STEP);
        drop(ledger);
        self.trim() && settled
    }

    pub(super) fn settle_some(&self, ledger: &mut Ledger, visible: u64, most: usize) -> bool {
        ledger.see(visible);
        for _ in 0..most {
            match ledger.next_due() {
                Due::Nothing => return true,
                Due::Done => {}
                Due::Forget(version) => self.forget(ledger, version),
            }
        }
        false
    }

    fn forget(&self, ledger: &Ledger, due: Replaced) {
        let (forgotten, removed) = self.change(due.hash, |shard| {
            let forgotten = shard.forget(due.hash, due.lsn);
            // A delete that everyone sees leaves nothing, once no older version hangs off its key.
            let newest = match &forgotten {
                Some(version) => shard.newest(due.hash, version.key()),
                None => shard.newest_with(due.hash, due.by),
            };
            let deleted = newest.filter(|newest| {
                newest.is_tombstone()
                    && newest.lsn() <= ledger.last_visible()
                    && !shard.has_older(due.hash, newest.key())
            });
            let deleted = deleted.map(Version::lsn);
            let removed = deleted.and_then(|lsn| shard.remove(due.hash, lsn));
            (forgotten, removed)
        });
        let mut bytes = Bytes::default();
        if let Some(version) = forgotten {
            bytes = bytes.without(Bytes::of_older(&version));
        }
        if let Some(tombstone) = removed {
            // A write may have put the key there again by now: it has another LSN.
            let (key, lsn) = (tombstone.key(), tombstone.lsn());
            self.change_ordered(|ordered| ordered.remove(key, lsn));
            bytes = bytes.without(Bytes::of_newest(&tombstone));
        }
        self.memory.add(bytes);
    }

    /// How many keys are shown.
    pub(crate) fn len(&self, durable: impl Fn() -> u64) -> usize {
        let now = self.now();
        loop {
            let mut ledger = self.ledger();
            let visible = self.visible(&durable);
            self.settle_some(&mut ledger, visible, STEP);
            if let Some(keys) = ledger.live(now, STEP) {
                return keys;
            }
            drop(ledger);
            // Others first.
            pause();
        }
    }

    /// Removes keys that have expired, at most `most` of them. The older versions of some stay for the views that show them.
    pub(crate) fn sweep(&self, now: Now, most: usize, _writer: &mut Writer) -> usize {
        let mut ledger = self.ledger();
        let mut swept = 0;
        for expired in ledger.expiries.due(now, most) {
            swept += usize::from(self.sweep_one(&mut ledger, expired));
        }
        swept
    }

    fn sweep_one(&self, ledger: &mut Ledger, expired: Expiring) -> bool {
        let (_, lsn, hash) = expired;
        let rehash = |key: &[u8]| self.hash(key);
        let shard = self.shard(hash).read();
        // One that is not visible yet has replaced it, and will be counted soon.
        let Some(version) = shard.newest_with(hash, lsn).cloned() else {
            return false;
        };
        let key = version.key();
        let has_older = shard.has_older(hash, key);
        drop(shard);
        let mut bytes = Bytes::default().without(Bytes::of_newest(&version));
        if has_older {
            // It shows nothing to anyone, and so does a tombstone, which goes with the last older version.
            let tombstone = Version::tombstone(lsn, key);
            bytes = bytes.and(Bytes::of_newest(&tombstone));
            self.change_ordered(|ordered| ordered.put(tombstone.clone()));
            self.change(hash, |shard| shard.put(hash, tombstone, rehash));
        } else {
            self.change(hash, |shard| shard.remove(hash, lsn));
            self.change_ordered(|ordered| ordered.remove(key, lsn));
        }
        self.memory.add(bytes);
        let mut count = Count::default();
        count.of(hash, None, Some(&version));
        ledger.count(count);
        true
    }
}

/// A version that one at LSN `by` has replaced.
fn replaced(version: &Version, by: u64, hash: u64) -> Replaced {
    Replaced {
        lsn: version.lsn(),
        by,
        hash,
        bytes: kept(version),
    }
}

impl Count {
    /// Counts a change of one key.
    fn of(&mut self, hash: u64, new: Option<&Version>, old: Option<&Version>) {
        if let Some(old) = old.filter(|old| !old.is_tombstone()) {
            self.keys -= 1;
            self.payload -= old.payload().cast_signed();
            let expiring = expiring(old, hash);
            self.expiries.extend(expiring.map(ExpiryChange::Removed));
        }
        if let Some(new) = new.filter(|new| !new.is_tombstone()) {
            self.keys += 1;
            self.payload += new.payload().cast_signed();
            let expiring = expiring(new, hash);
            self.expiries.extend(expiring.map(ExpiryChange::Added));
        }
    }
}
