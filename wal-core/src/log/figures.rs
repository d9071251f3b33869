//! Figures of the state that are read without its lock: counters must answer while a large batch is copied under it.
//!
//! The state has the same figures. Who changes them there tells it here before the lock is released; a debug build checks that
//! whenever the lock is taken. Deliberately absent: what somebody decides by, which is read under the lock.

use wal_format::Lsn;

use super::state::State;
use crate::stats::Stats;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Figures {
    records: AtomicU64,
    bytes: AtomicU64,
    last_lsn: AtomicU64,
    first_lsn: AtomicU64,
    segments: AtomicU64,
}

/// The state behind its lock, and its figures on the cache line that wanders from core to core with the lock.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Locked {
    pub(super) figures: Figures,
    state: Mutex<State>,
}

impl Locked {
    pub(super) fn new(state: State) -> Self {
        let figures = Figures::default();
        figures.changed(&state);
        Self {
            figures,
            state: Mutex::new(state),
        }
    }

    #[inline]
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        let state = self.state.lock();
        // To the model checker each figure would be a step.
        if cfg!(all(debug_assertions, not(wal_shuttle))) {
            self.figures.check(&state);
        }
        state
    }
}

impl Figures {
    /// Records have entered.
    #[inline]
    pub(super) fn appended(&self, state: &State) {
        set(&self.records, state.appended.records);
        set(&self.bytes, state.appended.bytes);
        set(&self.last_lsn, state.last_lsn().get());
    }

    /// Anything else has changed: where the log begins or ends, or its segments.
    pub(super) fn changed(&self, state: &State) {
        self.appended(state);
        set(&self.first_lsn, state.log_first.get());
        set(&self.segments, state.chain.len() as u64);
    }

    fn check(&self, state: &State) {
        let told = [
            &self.records,
            &self.last_lsn,
            &self.first_lsn,
            &self.segments,
        ];
        let there = [
            state.appended.records,
            state.last_lsn().get(),
            state.log_first.get(),
            state.chain.len() as u64,
        ];
        assert_eq!(told.map(get), there, "the state was changed and not told");
    }

    pub(super) fn tell(&self, stats: &mut Stats) {
        stats.records_appended = get(&self.records);
        stats.bytes_appended = get(&self.bytes);
        stats.segments = get(&self.segments);
        stats.first_lsn = Lsn::new(get(&self.first_lsn));
        stats.last_lsn = Lsn::new(get(&self.last_lsn));
    }
}

/// A store, not an addition: only one thread at a time has the state's lock.
#[inline]
fn set(figure: &AtomicU64, value: u64) {
    figure.store(value, Ordering::Relaxed);
}

fn get(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}
