//! The plain map that says what a store must show.

use std::collections::BTreeMap;

use bytes::Bytes;
use wal_kv::Condition;

/// A value, and the time in milliseconds from which on it is gone.
type Entry = (Vec<u8>, Option<u64>);

pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Keys, values and expiries.
pub(crate) type Entries = Vec<(Vec<u8>, Vec<u8>, Option<u64>)>;

/// See the module's head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected(BTreeMap<Vec<u8>, Entry>);

fn is_live(entry: &Entry, now: u64) -> bool {
    entry.1.is_none_or(|at| at > now)
}

impl Expected {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>, expires_at: Option<u64>) {
        self.0.insert(key, (value, expires_at));
    }

    /// A conditional put keeps the time of the value that it replaces.
    pub(crate) fn replace(&mut self, key: Vec<u8>, value: Vec<u8>, now: u64) {
        let known = self.0.get(&key).filter(|entry| is_live(entry, now));
        let expires_at = known.and_then(|entry| entry.1);
        self.put(key, value, expires_at);
    }

    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    pub(crate) fn live(&self, now: u64) -> Pairs {
        let live = self.0.iter().filter(|(_, entry)| is_live(entry, now));
        live.map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect()
    }

    /// The same with expiries.
    pub(crate) fn entries(&self, now: u64) -> Entries {
        let live = self.0.iter().filter(|(_, entry)| is_live(entry, now));
        live.map(|(key, (value, at))| (key.clone(), value.clone(), *at))
            .collect()
    }

    pub(crate) fn value(&self, key: &[u8], now: u64) -> Option<&[u8]> {
        let entry = self.0.get(key).filter(|entry| is_live(entry, now))?;
        Some(&entry.0)
    }

    /// Takes the first pair, or the last one: what a scan reads next.
    pub(crate) fn take(&mut self, back: bool, now: u64) -> Option<(Vec<u8>, Vec<u8>)> {
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
    pub(crate) fn condition(&self, key: &[u8], how: u8, now: u64) -> (Condition, bool) {
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
