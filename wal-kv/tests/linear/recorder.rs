//! A store with threads of its own, and what its callers note of each call.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wal_core::entropy::SeededEntropy;
use wal_io::Storage;
use wal_kv::blocking::KvStore;
use wal_kv::{FsyncPolicy, KvConfig, Result, Snapshots};

use super::checker::{Event, Fate, Model, is_linearizable};
use super::register::Value;

/// Opens a store with small segments, and snapshots by itself if `snapshots` says so.
pub(super) fn open(
    storage: &(impl Storage + Clone),
    policy: FsyncPolicy,
    snapshots: Snapshots,
) -> Result<KvStore> {
    let config = KvConfig {
        snapshots,
        ..crate::common::config(policy)
    };
    KvStore::builder("store")
        .storage(Arc::new(storage.clone()))
        .config(config)
        .entropy(Arc::new(SeededEntropy::new(7)))
        .small_segments()
        .snapshot_after(3000)
        .open()
}

/// The bytes of a value: itself, and some that make it longer.
pub(super) fn encode(value: Value, longer: usize) -> Vec<u8> {
    let mut bytes = value.to_be_bytes().to_vec();
    bytes.resize(8 + longer, value as u8);
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Value {
    let value = Value::from_be_bytes(*bytes.first_chunk().expect("eight bytes at least"));
    assert!(
        bytes[8..].iter().all(|byte| *byte == value as u8),
        "half a value"
    );
    value
}

/// The moments of a history, in one order for all threads, and the values that it has used.
#[derive(Debug, Default)]
pub(super) struct Moments {
    last: AtomicU64,
    values: AtomicU64,
}

impl Moments {
    pub(super) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A value that no other write has.
    pub(super) fn value(&self) -> Value {
        self.values.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What one thread notes.
#[derive(Debug)]
pub(super) struct Recorder<'a, C> {
    pub(super) moments: &'a Moments,
    thread: usize,
    events: Vec<Event<C>>,
}

impl<'a, C> Recorder<'a, C> {
    pub(super) fn new(moments: &'a Moments, thread: usize) -> Self {
        Self {
            moments,
            thread,
            events: Vec::new(),
        }
    }

    /// Makes a call that cannot fail; `note` says what it was, with the answer.
    pub(super) fn read<T>(&mut self, call: impl FnOnce() -> T, note: impl FnOnce(T) -> C) {
        let begin = self.moments.next();
        let answer = call();
        let end = self.moments.next();
        self.note(begin, end, Fate::Returned, note(answer));
    }

    /// Makes a call that may fail; `failed` is then what it may have done. False if it has failed.
    pub(super) fn write<T>(
        &mut self,
        call: impl FnOnce() -> Result<T>,
        note: impl FnOnce(T) -> C,
        failed: impl FnOnce() -> C,
    ) -> bool {
        let begin = self.moments.next();
        let Ok(answer) = call() else {
            // By when it has happened, if it has, is known when the life of the store is over.
            self.note(begin, u64::MAX, Fate::Unknown, failed());
            return false;
        };
        let end = self.moments.next();
        self.note(begin, end, Fate::Returned, note(answer));
        true
    }

    /// A read that has been made later than between `begin` and `end`, and must have the answer of that time.
    pub(super) fn read_as_of(&mut self, begin: u64, end: u64, call: C) {
        self.note(begin, end, Fate::Returned, call);
    }

    fn note(&mut self, begin: u64, end: u64, fate: Fate, call: C) {
        self.events.push(Event {
            thread: self.thread,
            begin,
            end,
            fate,
            call,
        });
    }

    pub(super) fn into_events(self) -> Vec<Event<C>> {
        self.events
    }
}

/// The store's life is over: what has not happened by now never will.
pub(super) fn end_life<C>(moments: &Moments, events: &mut [Event<C>]) {
    for event in events.iter_mut().filter(|event| event.end == u64::MAX) {
        event.end = moments.next();
    }
}

/// Panics with the history if it has no legal order.
pub(super) fn judge<M: Model>(state: M::State, events: &[Event<M::Call>], place: &str) {
    if is_linearizable::<M>(state, events) {
        return;
    }
    let mut sorted: Vec<_> = events.iter().collect();
    sorted.sort_unstable_by_key(|event| event.begin);
    let mut lines = String::new();
    for event in sorted {
        let (from, to) = (event.begin, event.end);
        let (thread, fate, call) = (event.thread, event.fate, &event.call);
        let _ = writeln!(
            lines,
            "{from:>6} to {to:>6}, thread {thread}, {fate:?}: {call:?}"
        );
    }
    panic!("{place}: no order of these calls is right:\n{lines}");
}
