//! Changing the index, in the order of the log, and forgetting what nobody needs any more.
//!
//! Deliberately absent: conditions and limits, which are checked before anything enters the log (`store/write.rs`).

use wal_core::UnixMillis;

use super::ledger::{Count, Replaced, expiring};
use super::{Index, Ledger, PLACES, Shown, Version};
use crate::sabotage;
use crate::sync::{Ordering, pause};

/// At most so many versions are forgotten at a time.
const SETTLED_AT_ONCE: usize = 64;

/// What a write does to one key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// It has this value from now on.
    Put {
        key: &'a [u8],
        value: &'a [u8],
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

/// How a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Nobody can be looking at what it replaces, and it is visible with its version.
    Direct,
    /// What it replaces is kept until nobody needs it.
    Kept,
}

impl Index {
    /// Makes the changes of one batch, whose first record has the LSN `first`. They are visible together.
    pub(crate) fn apply(
        &self,
        ledger: &mut Ledger,
        changes: &[Change<'_>],
        first: u64,
        durable: impl FnOnce() -> u64,
    ) {
        let alone = changes.len() == 1 || sabotage::is("kv-batch-shown-in-parts");
        let direct = alone && self.shown == Shown::AtOnce && !ledger.has_views();
        let way = if direct { Way::Direct } else { Way::Kept };
        for (change, lsn) in changes.iter().zip(first..) {
            self.apply_one(ledger, *change, lsn, way);
            if sabotage::is("kv-batch-shown-in-parts") {
                pause();
            }
        }
        let last = first + changes.len() as u64 - 1;
        if !direct {
            // Behind the last version of the batch.
            self.applied.store(last, Ordering::Release);
            let visible = self.visible(durable);
            self.settle(ledger, visible);
        }
    }

    /// A record that changes no key has taken an LSN.
    pub(crate) fn pass(&self, ledger: &mut Ledger, lsn: u64, durable: impl FnOnce() -> u64) {
        self.applied.store(lsn, Ordering::Release);
        let visible = self.visible(durable);
        self.settle(ledger, visible);
    }

    fn apply_one(&self, ledger: &mut Ledger, change: Change<'_>, lsn: u64, way: Way) {
        let hash = self.hash(change.key());
        let version = match change {
            Change::Put {
                key,
                value,
                expires_at,
            } => Some(Version::put(
                &mut ledger.scratch,
                lsn,
                key,
                value,
                expires_at,
            )),
            Change::Delete { key } => {
                let known = self.newest(key);
                let known = known.filter(|known| !known.is_tombstone());
                match (known, way) {
                    (None, Way::Direct) => {
                        self.applied.store(lsn, Ordering::Release);
                        return;
                    }
                    // Its LSN is all that it leaves.
                    (None, Way::Kept) => return,
                    (Some(known), Way::Direct) => {
                        return self.remove_direct(ledger, hash, &known, lsn);
                    }
                    (Some(_), Way::Kept) => Some(Version::tombstone(lsn, key)),
                }
            }
        };
        let Some(version) = version else { return };
        ledger.hold(&version);
        let count = |old: Option<&Version>| Count {
            lsn,
            keys: i8::from(!version.is_tombstone())
                - i8::from(old.is_some_and(|old| !old.is_tombstone())),
            added: expiring(&version, hash),
            removed: old.and_then(|old| expiring(old, hash)),
        };
        let old = self.ordered.write().put(version.clone());
        let counted = count(old.as_ref());
        if !version.is_tombstone() {
            ledger.payload += version.payload();
        }
        match &old {
            None => ledger.memory += PLACES,
            Some(old) if !old.is_tombstone() => {
                ledger.payload = ledger.payload.saturating_sub(old.payload());
            }
            Some(_) => {}
        }
        let rehash = |version: &Version| self.hash(version.key());
        let old_lsn = old.as_ref().map(Version::lsn);
        let is_tombstone = version.is_tombstone();
        let mut shard = self.shard(hash).write();
        let replaced = shard.put(hash, version, rehash);
        match way {
            Way::Direct => {
                // Whoever finds the new version under the shard's lock finds that it is visible.
                self.applied.store(lsn, Ordering::Release);
                drop(shard);
                if let Some(replaced) = replaced {
                    ledger.release(&replaced);
                }
                ledger.count(&counted);
            }
            Way::Kept => {
                if let Some(replaced) = replaced {
                    shard.keep(hash, replaced, rehash);
                }
                drop(shard);
                if old_lsn.is_some() || is_tombstone {
                    ledger.replaced.push_back(Replaced {
                        by: lsn,
                        lsn: old_lsn,
                        hash,
                    });
                }
                ledger.count_later(counted);
            }
        }
    }

    /// Removes a key at once.
    fn remove_direct(&self, ledger: &mut Ledger, hash: u64, known: &Version, lsn: u64) {
        {
            let mut shard = self.shard(hash).write();
            shard.remove(hash, known.lsn());
            self.applied.store(lsn, Ordering::Release);
        }
        self.ordered.write().remove(known.key(), known.lsn());
        gone(ledger, known);
        ledger.count(&Count {
            lsn,
            keys: -1,
            added: None,
            removed: expiring(known, hash),
        });
    }

    /// Counts what has become visible, and forgets what nobody can see any more: some of it, so that nobody waits long for the
    /// ledger. False if some is left.
    pub(crate) fn settle(&self, ledger: &mut Ledger, visible: u64) -> bool {
        let horizon = ledger.horizon(visible);
        let visible = ledger.last_visible();
        ledger.count_up_to(visible);
        for _ in 0..SETTLED_AT_ONCE {
            let Some(due) = ledger.replaced.front().copied() else {
                return true;
            };
            if due.by > horizon {
                return true;
            }
            ledger.replaced.pop_front();
            self.forget(ledger, due);
        }
        false
    }

    fn forget(&self, ledger: &mut Ledger, due: Replaced) {
        let mut shard = self.shard(due.hash).write();
        if let Some(lsn) = due.lsn
            && let Some(version) = shard.forget(due.hash, lsn)
        {
            ledger.release(&version);
        }
        // A delete that everyone sees leaves nothing, unless the key was put again.
        let deleted = shard
            .newest_with(due.hash, due.by)
            .is_some_and(Version::is_tombstone);
        let removed = if deleted {
            shard.remove(due.hash, due.by)
        } else {
            None
        };
        drop(shard);
        if let Some(tombstone) = removed {
            self.ordered.write().remove(tombstone.key(), due.by);
            gone(ledger, &tombstone);
        }
    }

    /// How many keys are shown.
    pub(crate) fn len(&self, durable: impl FnOnce() -> u64) -> usize {
        let mut ledger = self.ledger();
        let visible = self.visible(durable);
        self.settle(&mut ledger, visible);
        ledger.live(self.now())
    }

    /// Removes keys that have expired, at most `most` of them. Some stay for now: those of which a view needs an older version.
    pub(crate) fn sweep(&self, ledger: &mut Ledger, now: UnixMillis, most: usize) -> usize {
        let due = ledger.expiries.iter().take_while(|(at, ..)| *at <= now);
        let due: Vec<_> = due.take(most).copied().collect();
        let mut swept = 0;
        for expired in due {
            let (_, lsn, hash) = expired;
            let mut shard = self.shard(hash).write();
            let Some(version) = shard.newest_with(hash, lsn).cloned() else {
                continue;
            };
            if shard.has_older(hash, version.key()) {
                continue;
            }
            shard.remove(hash, lsn);
            drop(shard);
            self.ordered.write().remove(version.key(), lsn);
            gone(ledger, &version);
            ledger.count(&Count {
                lsn,
                keys: -1,
                added: None,
                removed: Some(expired),
            });
            swept += 1;
        }
        swept
    }
}

/// The last version of a key has left the index.
fn gone(ledger: &mut Ledger, version: &Version) {
    ledger.release(version);
    ledger.memory = ledger.memory.saturating_sub(PLACES);
    if !version.is_tombstone() {
        ledger.payload = ledger.payload.saturating_sub(version.payload());
    }
}
