//! The plain map that says what a store must show.

use std::collections::BTreeMap;

use bytes::Bytes;
use wal_kv::Condition;

/// When a value is gone, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    Never,
    /// By the clock that nobody sets: it was written since the store was opened.
    Boot(i64),
    /// By the wall clock, as far as the store believes it: it was there.
    Wall(i64),
}

/// What the clocks show, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) boot: i64,
    /// By how much the store's time is ahead of that.
    pub(crate) offset: i64,
    /// The latest time by which a value that was there has ended.
    pub(crate) latest: i64,
}

impl Now {
    /// The store's time by the wall clock.
    pub(crate) fn wall(self) -> i64 {
        self.boot + self.offset
    }
}

/// Bytes of memory of a key's places in the index, and of the entry of an expiry, as the README has them.
const PLACES: u64 = 57;
const EXPIRY: u64 = 46;

type Entry = (Vec<u8>, Ends);

pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Keys, values, and when they end by the wall clock.
pub(crate) type Entries = Vec<(Vec<u8>, Vec<u8>, Option<i64>)>;

/// See the module's head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected(BTreeMap<Vec<u8>, Entry>);

fn is_live(entry: &Entry, now: Now) -> bool {
    match entry.1 {
        Ends::Never => true,
        Ends::Boot(at) => at > now.boot,
        Ends::Wall(at) => at > now.wall().max(now.latest),
    }
}

fn by_wall(ends: Ends, now: Now) -> Option<i64> {
    match ends {
        Ends::Never => None,
        Ends::Boot(at) => Some(at + now.offset),
        Ends::Wall(at) => Some(at),
    }
}

impl Expected {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>, ends: Ends) {
        self.0.insert(key, (value, ends));
    }

    /// A conditional put keeps the end of the value that it replaces.
    pub(crate) fn replace(&mut self, key: Vec<u8>, value: Vec<u8>, now: Now) {
        let known = self.0.get(&key).filter(|entry| is_live(entry, now));
        let ends = match known.map(|entry| entry.1) {
            None => Ends::Never,
            Some(Ends::Wall(at)) => Ends::Boot(at - now.offset),
            Some(ends) => ends,
        };
        self.put(key, value, ends);
    }

    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    /// Time has passed: what has ended never comes back.
    pub(crate) fn pass(&mut self, now: Now) {
        self.0.retain(|_, entry| is_live(entry, now));
    }

    /// The store was opened again: all that is there goes by the wall clock.
    pub(crate) fn reopen(&mut self, now: Now) {
        for (_, ends) in self.0.values_mut() {
            *ends = by_wall(*ends, now).map_or(Ends::Never, Ends::Wall);
        }
    }

    /// Bytes of memory of the live data, as `memory_limit` counts them.
    pub(crate) fn memory(&self, now: Now) -> u64 {
        let live = self.0.iter().filter(|(_, entry)| is_live(entry, now));
        live.map(|(key, (value, ends))| {
            let (expiry, entry) = match ends {
                Ends::Never => (0, 0),
                Ends::Boot(_) | Ends::Wall(_) => (8, EXPIRY),
            };
            let version = key.len() + value.len() + 32 + expiry;
            version.next_multiple_of(16) as u64 + PLACES + entry
        })
        .sum()
    }

    pub(crate) fn live(&self, now: Now) -> Pairs {
        let live = self.0.iter().filter(|(_, entry)| is_live(entry, now));
        live.map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect()
    }

    /// The same, and when they end.
    pub(crate) fn entries(&self, now: Now) -> Entries {
        let live = self.0.iter().filter(|(_, entry)| is_live(entry, now));
        live.map(|(key, (value, ends))| (key.clone(), value.clone(), by_wall(*ends, now)))
            .collect()
    }

    /// What there is of a key, ended or not.
    pub(crate) fn entry(&self, key: &[u8]) -> Option<&(Vec<u8>, Ends)> {
        self.0.get(key)
    }

    pub(crate) fn value(&self, key: &[u8], now: Now) -> Option<&[u8]> {
        let entry = self.0.get(key).filter(|entry| is_live(entry, now))?;
        Some(&entry.0)
    }

    /// Takes the first pair, or the last one: what a scan reads next.
    pub(crate) fn take(&mut self, back: bool, now: Now) -> Option<(Vec<u8>, Vec<u8>)> {
        loop {
            let (key, entry) = if back {
                self.0.pop_last()?
            } else {
                self.0.pop_first()?
            };
            if is_live(&entry, now) {
                return Some((key, entry.0));
            }
        }
    }

    /// A condition, and whether it holds.
    pub(crate) fn condition(&self, key: &[u8], how: u8, now: Now) -> (Condition, bool) {
        let value = self.value(key, now);
        match how {
            0 => (Condition::Absent, value.is_none()),
            1 => (Condition::Present, value.is_some()),
            2 => {
                let wanted = value.unwrap_or(b"not there").to_vec();
                (Condition::ValueIs(Bytes::from(wanted)), value.is_some())
            }
            _ => {
                let wanted = Bytes::from_static(b"never put");
                (Condition::ValueIs(wanted), false)
            }
        }
    }
}
