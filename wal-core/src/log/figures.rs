//! Figures of the state that are read without its lock: counters must answer while a large batch is copied under it.
//!
//! The state has the same figures. They are told here before the lock is released; a debug build checks that whenever the lock is
//! taken. Deliberately absent: what somebody decides by, which is read under the lock.

use wal_format::Lsn;

use super::buffers::Buffers;
use super::state::State;
use crate::segment::Era;
use crate::stats::Stats;
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering};

/// What an append changes, and what is counted with it.
#[derive(Debug, Default)]
struct Figures {
    records: AtomicU64,
    bytes: AtomicU64,
    last_lsn: AtomicU64,
    first_lsn: AtomicU64,
    segments: AtomicU64,
}

/// What readers look at with each record: on a cache line of its own, which an append does not change.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Published {
    durable: AtomicU64,
    era: AtomicU64,
    poisoned: AtomicBool,
}

/// The state behind its lock, and its figures on the cache line that wanders from core to core with the lock.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Locked {
    figures: Figures,
    state: Mutex<State>,
    published: Published,
}

impl Locked {
    pub(super) fn new(state: State) -> Self {
        let locked = Self {
            figures: Figures::default(),
            state: Mutex::new(state),
            published: Published::default(),
        };
        locked.changed(&locked.state.lock());
        locked
    }

    #[inline]
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        let state = self.state.lock();
        // To the model checker each figure would be a step.
        if cfg!(all(debug_assertions, not(wal_shuttle))) {
            self.check(&state);
        }
        state
    }

    /// Records have entered.
    #[inline]
    pub(super) fn appended(&self, buffers: &Buffers) {
        set(&self.figures.records, buffers.totals().records);
        set(&self.figures.bytes, buffers.totals().bytes);
        set(&self.figures.last_lsn, buffers.last_lsn().get());
    }

    /// Anything may have changed.
    pub(super) fn changed(&self, state: &State) {
        self.appended(&state.buffers);
        set(&self.figures.first_lsn, state.truncations.log_first().get());
        set(&self.figures.segments, state.segments.chain().len() as u64);
        let published = &self.published;
        let durable = state.progress.durable().lsn.get();
        if published.durable.load(Ordering::Relaxed) != durable {
            published.durable.store(durable, Ordering::Release);
        }
        let era = state.truncations.eras().now().0;
        if published.era.load(Ordering::Relaxed) != era {
            published.era.store(era, Ordering::Release);
        }
        if state.life.poisoned().is_some() {
            published.poisoned.store(true, Ordering::Release);
        }
    }

    fn check(&self, state: &State) {
        let told = [
            &self.figures.records,
            &self.figures.last_lsn,
            &self.figures.first_lsn,
            &self.figures.segments,
        ];
        let there = [
            state.buffers.totals().records,
            state.buffers.last_lsn().get(),
            state.truncations.log_first().get(),
            state.segments.chain().len() as u64,
        ];
        assert_eq!(told.map(get), there, "the state was changed and not told");
    }

    pub(super) fn tell(&self, stats: &mut Stats) {
        stats.records_appended = get(&self.figures.records);
        stats.bytes_appended = get(&self.figures.bytes);
        stats.segments = get(&self.figures.segments);
        stats.first_lsn = Lsn::new(get(&self.figures.first_lsn));
        stats.last_lsn = Lsn::new(get(&self.figures.last_lsn));
    }

    /// The highest LSN known to be on stable storage.
    pub(super) fn durable(&self) -> Lsn {
        Lsn::new(self.published.durable.load(Ordering::Acquire))
    }

    #[inline]
    pub(super) fn era(&self) -> Era {
        Era(self.published.era.load(Ordering::Acquire))
    }

    #[inline]
    pub(super) fn is_poisoned(&self) -> bool {
        self.published.poisoned.load(Ordering::Acquire)
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
