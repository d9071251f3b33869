//! Random calls of one thread, and how many histories are asked for.

use std::time::Duration;

use wal_kv::blocking::KvStore;
use wal_kv::{Condition, Conditional, FsyncPolicy};

pub(super) use crate::common::random::Random;
use crate::common::random::number_in;

use super::recorder::{Recorder, decode, encode};
use super::register::{Answer, Call, Value, Wanted};

pub(super) const POLICIES: [FsyncPolicy; 3] = [
    FsyncPolicy::Always,
    FsyncPolicy::Batch(Duration::from_millis(1)),
    FsyncPolicy::Os,
];

/// Histories of each kind unless told otherwise.
const HISTORIES: u64 = 100;

/// Calls `history` as often as is asked for, with a seed each time; it returns how many calls were judged.
pub(super) fn many(name: &str, history: impl Fn(u64) -> usize) {
    let first = number_in("WAL_TEST_SEED").unwrap_or(1);
    let count = number_in("WAL_LINEAR_HISTORIES").unwrap_or(HISTORIES);
    println!("linear: {name}: {count} histories from WAL_TEST_SEED={first}");
    let calls: usize = (first..first + count).map(history).sum();
    assert!(calls as u64 > 10 * count, "only {calls} calls");
    println!("linear: {name}: {count} histories, {calls} calls");
}

fn answer(outcome: Conditional) -> Answer {
    match outcome {
        Conditional::Applied(_) => Answer::Applied,
        Conditional::Refused { found } => Answer::Refused(found.as_deref().map(decode)),
    }
}

/// A thread that uses one key at a time.
#[derive(Debug)]
pub(super) struct Caller<'a, C> {
    pub(super) store: &'a KvStore,
    pub(super) recorder: Recorder<'a, C>,
    pub(super) random: Random,
    /// What it has seen of keys lately: what a swap expects.
    seen: Option<Value>,
    /// By how many bytes its values are longer than those of others.
    pub(super) longer: usize,
}

impl<'a, C> Caller<'a, C> {
    pub(super) fn new(store: &'a KvStore, recorder: Recorder<'a, C>, random: Random) -> Self {
        Self {
            store,
            recorder,
            random,
            seen: None,
            longer: 0,
        }
    }

    /// By how many bytes the next value is longer than it must be.
    pub(super) fn longer(&mut self) -> usize {
        self.longer + self.random.longer()
    }

    /// One call on `key`; `note` makes a call of the history of it. False if it has failed.
    pub(super) fn one(&mut self, key: &[u8], note: impl Fn(Call) -> C) -> bool {
        match self.random.below(10) {
            0..=3 => {
                self.get(key, note);
                true
            }
            4 | 5 => self.set(key, note),
            _ => self.set_if(key, note),
        }
    }

    fn get(&mut self, key: &[u8], note: impl Fn(Call) -> C) {
        let store = self.store;
        let how = self.random.below(6);
        if how == 0 {
            let call = || store.contains_key(key);
            return self
                .recorder
                .read(call, |found| note(Call::Contains(found)));
        }
        let call = || match how {
            1 => store.get_pair(key).map(|pair| decode(pair.value())),
            2 => store.view().get(key).as_deref().map(decode),
            3 => {
                let mut pairs = store.scan(key..=key);
                pairs.next().map(|pair| decode(pair.value()))
            }
            _ => store.get(key).as_deref().map(decode),
        };
        let mut seen = None;
        self.recorder.read(call, |found| {
            seen = found;
            note(Call::Get(found))
        });
        self.seen = seen;
    }

    /// The value of the next write, or a delete.
    fn new_value(&mut self) -> Option<Value> {
        (self.random.below(4) > 0).then(|| self.recorder.moments.value())
    }

    fn set(&mut self, key: &[u8], note: impl Fn(Call) -> C) -> bool {
        let store = self.store;
        let (value, longer) = (self.new_value(), self.longer());
        let durable = self.random.below(8) == 0;
        let call = || match (value, durable) {
            (Some(value), false) => store.put(key, encode(value, longer)),
            (Some(value), true) => store.durable().put(key, encode(value, longer)),
            (None, false) => store.delete(key),
            (None, true) => store.durable().delete(key),
        };
        let set = || note(Call::Set(value));
        self.recorder.write(call, |_| set(), set)
    }

    fn set_if(&mut self, key: &[u8], note: impl Fn(Call) -> C) -> bool {
        let store = self.store;
        let (new, longer) = (self.new_value(), self.longer());
        let new_bytes = new.map(|new| encode(new, longer));
        let pair = store.get_pair(key);
        let found = pair.as_ref().map(|pair| decode(pair.value()));
        // Mostly what is there, or was a moment ago.
        let expected = if self.random.below(4) == 0 {
            self.seen
        } else {
            found
        };
        let swap = self.random.below(3) == 0;
        let (wanted, condition) = match (self.random.below(5), expected, &pair) {
            (0, ..) => (Wanted::Present, Condition::Present),
            (1, ..) | (_, None, _) => (Wanted::Absent, Condition::Absent),
            // No two writes have the same value, so the version stands for it.
            (2, _, Some(pair)) => {
                let value = decode(pair.value());
                (Wanted::Is(value), Condition::LsnIs(pair.lsn()))
            }
            (_, Some(value), found) => {
                let bytes = match found {
                    Some(pair) if decode(pair.value()) == value => pair.to_value(),
                    _ => encode(value, 0).into(),
                };
                (Wanted::Is(value), Condition::ValueIs(bytes))
            }
        };
        let call = || match (&condition, &new_bytes) {
            (Condition::ValueIs(expected), new) if swap => {
                store.compare_and_swap(key, Some(expected), new.as_deref())
            }
            (Condition::Absent, new) if swap => store.compare_and_swap(key, None, new.as_deref()),
            (condition, Some(new)) => store.put_if(key, new, condition),
            (condition, None) => store.delete_if(key, condition),
        };
        self.recorder.write(
            call,
            |outcome| note(Call::SetIf(wanted, new, answer(outcome))),
            || note(Call::SetIf(wanted, new, Answer::Applied)),
        )
    }
}
