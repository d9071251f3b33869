//! The map in memory that reads are answered from.
//!
//! Deliberately absent: the log, and any order among writers. Whoever applies changes does so one at a time, in the order of
//! their LSNs.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use wal_core::UnixMillis;

use crate::change::Change;
use crate::sync::RwLock;
use crate::time::Time;

#[derive(Debug)]
struct Stored {
    value: Bytes,
    expires_at: Option<UnixMillis>,
}

impl Stored {
    fn is_expired(&self, now: impl FnOnce() -> UnixMillis) -> bool {
        self.expires_at.is_some_and(|at| at <= now())
    }
}

/// The keys and values, without a lock.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    values: HashMap<Bytes, Stored>,
    /// The keys that expire, first the one that does so first.
    expiries: BTreeSet<(UnixMillis, Bytes)>,
}

impl Contents {
    /// Applies a change. A put that has expired by `now` only removes what it replaced.
    pub(crate) fn apply(&mut self, change: Change, now: impl FnOnce() -> UnixMillis) {
        match change {
            Change::Put {
                key,
                value,
                expires_at,
            } => {
                let stored = Stored { value, expires_at };
                if stored.is_expired(now) {
                    return self.remove(&key);
                }
                if let Some(at) = expires_at {
                    self.expiries.insert((at, key.clone()));
                }
                let replaced = self.values.insert(key.clone(), stored);
                if let Some(at) = replaced.and_then(|replaced| replaced.expires_at)
                    && Some(at) != expires_at
                {
                    self.expiries.remove(&(at, key));
                }
            }
            Change::Delete { key } => self.remove(&key),
        }
    }

    fn remove(&mut self, key: &Bytes) {
        let removed = self.values.remove(key);
        if let Some(at) = removed.and_then(|removed| removed.expires_at) {
            self.expiries.remove(&(at, key.clone()));
        }
    }

    /// Frees the keys that have expired.
    fn reclaim(&mut self, now: impl FnOnce() -> UnixMillis) {
        if self.expiries.is_empty() {
            return;
        }
        let now = now();
        while self.expiries.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.expiries.pop_first() {
                self.values.remove(&key);
            }
        }
    }

    fn len(&self, now: impl FnOnce() -> UnixMillis) -> usize {
        if self.expiries.is_empty() {
            return self.values.len();
        }
        let now = now();
        // Few: the next write frees them.
        let expired = self.expiries.iter().take_while(|(at, _)| *at <= now);
        self.values.len() - expired.count()
    }
}

/// The same, shared: readers do not wait for each other, and never for the disk.
#[derive(Debug)]
pub(crate) struct Index {
    contents: RwLock<Contents>,
    time: Time,
}

impl Index {
    pub(crate) fn new(contents: Contents, time: Time) -> Self {
        Self {
            contents: RwLock::new(contents),
            time,
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.time.now()
    }

    /// The value of a key. The clock is asked only for a key that expires.
    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        let contents = self.contents.read();
        let stored = contents.values.get(key)?;
        (!stored.is_expired(|| self.now())).then(|| stored.value.clone())
    }

    pub(crate) fn contains_key(&self, key: &[u8]) -> bool {
        let contents = self.contents.read();
        let stored = contents.values.get(key);
        stored.is_some_and(|stored| !stored.is_expired(|| self.now()))
    }

    pub(crate) fn len(&self) -> usize {
        self.contents.read().len(|| self.now())
    }

    pub(crate) fn apply(&self, change: Change) {
        let mut contents = self.contents.write();
        contents.reclaim(|| self.now());
        contents.apply(change, || self.now());
    }
}
