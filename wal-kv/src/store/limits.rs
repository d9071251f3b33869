//! The limits of memory: what a write needs, what makes room for it, and when it is refused.
//!
//! `memory_limit` is on the live data: the newest version of each key, and its places in the index at an average. `view_memory_limit` is on the replaced versions that views
//! of users show. What waits for the disk, and what only the store's own snapshot shows, is counted but refuses nobody.
//! Deliberately absent: counting (`index/memory.rs`).

use std::collections::HashMap;

use super::Core;
use super::maintain::Reclaimed;
use crate::index::{Change, Held, PLACES, Version, Writer, cost, kept, live};
use crate::{Error, Result};

/// Whether there is room for a write.
#[derive(Debug)]
pub(super) enum Room {
    Enough,
    /// Keys that have expired would make some, but the log has no room now for the mark of their sweep. If it never gets any, this is
    /// why the write is refused.
    AfterAMark(Error),
}

/// What a write adds, once it is visible.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    /// Bytes of live data; below zero if it becomes less.
    live: i64,
    /// Bytes of versions that views of users show.
    held: u64,
}

impl Core {
    /// Refuses a write for which there is no room. Whatever does not grow what is limited is let through.
    pub(super) fn check_memory(&self, writer: &mut Writer, changes: &[Change<'_>]) -> Result<Room> {
        if self.limits.live.is_none() && self.limits.views.is_none() {
            return Ok(Room::Enough);
        }
        let needs = self.needs(changes);
        if self.check(needs).is_ok() {
            return Ok(Room::Enough);
        }
        // Versions that nobody needs go first, then keys that have expired.
        while !self.index.settle(|| self.durable()) && self.check(needs).is_err() {}
        let mut waits = false;
        while self.check(needs).is_err() {
            match self.reclaim(writer) {
                Reclaimed::Some { .. } => continue,
                Reclaimed::NoRoom => waits = true,
                Reclaimed::All { .. } | Reclaimed::Refused => {}
            }
            break;
        }
        // A key that had expired makes no room a second time, when it is replaced.
        match self.check(self.needs(changes)) {
            Ok(()) => Ok(Room::Enough),
            Err(error) if waits => Ok(Room::AfterAMark(error)),
            Err(error) => Err(error),
        }
    }

    fn check(&self, needs: Needs) -> Result<()> {
        if let Some(limit) = self.limits.live
            && let Ok(needed @ 1..) = u64::try_from(needs.live)
        {
            let used = self.index.limited_memory();
            if used.saturating_add(needed) > limit {
                return Err(Error::OverMemoryLimit {
                    used,
                    needed,
                    limit,
                });
            }
        }
        if let Some(limit) = self.limits.views
            && needs.held > 0
        {
            let held = self.index.ledger().held();
            if held.bytes.saturating_add(needs.held) > limit {
                return Err(self.over_view_limit(held, needs.held, limit));
            }
        }
        Ok(())
    }

    fn over_view_limit(&self, held: Held, needed: u64, limit: u64) -> Error {
        let now = self.clock.monotonic();
        Error::OverViewMemoryLimit {
            held: held.bytes,
            needed,
            limit,
            oldest_view: held
                .oldest
                .map_or_else(Default::default, |at| now.saturating_sub(at)),
        }
    }

    /// What a batch needs: of each key the last change counts, and what is deleted makes room for what is put.
    fn needs(&self, changes: &[Change<'_>]) -> Needs {
        let newest_view = match self.limits.views {
            Some(_) => self.index.ledger().held().newest,
            None => None,
        };
        let mut needs = Needs::default();
        if let [change] = changes {
            self.add_needs(&mut needs, change, newest_view);
        } else {
            // Keys that have been met, and whether the version is counted that their last change replaces.
            let mut met = HashMap::with_capacity(changes.len());
            for change in changes.iter().rev() {
                let counted = met.get(change.key()).copied();
                let counts = match (counted, change) {
                    (None, _) => true,
                    // The delete that comes after it replaces this value. What this one replaces is a delete, which views may show.
                    (Some(false), Change::Put { .. }) => {
                        let deleted = self.index.newest(change.key());
                        needs.held += held(deleted.as_ref(), newest_view);
                        met.insert(change.key(), true);
                        false
                    }
                    (Some(_), _) => false,
                };
                if counts {
                    let counted = self.add_needs(&mut needs, change, newest_view);
                    met.insert(change.key(), counted);
                }
            }
        }
        needs
    }

    /// False if it replaces nothing: a delete of a key that is not there.
    fn add_needs(&self, needs: &mut Needs, change: &Change<'_>, newest_view: Option<u64>) -> bool {
        let key = change.key();
        let known = self.index.newest(key);
        let old = known.as_ref().filter(|known| !known.is_tombstone());
        match change {
            Change::Put {
                value, expires_at, ..
            } => {
                let expires = expires_at.is_some();
                needs.live += live(cost(key, value, expires).cast_signed(), expires) + PLACES;
            }
            Change::Delete { .. } if old.is_none() => return false,
            Change::Delete { .. } => {}
        }
        if let Some(old) = old {
            let expires = old.expires_at().is_some();
            needs.live -= live(old.cost().cast_signed(), expires) + PLACES;
        }
        needs.held += held(known.as_ref(), newest_view);
        true
    }
}

/// Bytes that views hold of a version once it is replaced, if one shows it.
fn held(version: Option<&Version>, newest_view: Option<u64>) -> u64 {
    let shown = version.filter(|version| newest_view.is_some_and(|newest| version.lsn() <= newest));
    shown.map_or(0, kept)
}
