//! The time by which keys expire: the injected clock, except that it never goes back.
//!
//! Deliberately absent: how the highest time survives a reopening. Snapshots carry it, and so do time marks in the log
//! (`store/maintain.rs`); whoever reads one raises it here.

use wal_core::UnixMillis;
use wal_core::clock::Clock;

use crate::sabotage;
use crate::sync::{Arc, AtomicU64, Ordering};

/// The highest time that the clock has shown to this store.
#[derive(Debug)]
pub(crate) struct Time {
    clock: Arc<dyn Clock>,
    latest: AtomicU64,
}

impl Time {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            latest: AtomicU64::new(0),
        }
    }

    /// What has expired once stays so, also when the clock is set back.
    pub(crate) fn now(&self) -> UnixMillis {
        let shown = self.clock.unix().get();
        if sabotage::is("kv-time-goes-back") {
            return UnixMillis::new(shown);
        }
        let before = self.latest.fetch_max(shown, Ordering::Relaxed);
        UnixMillis::new(shown.max(before))
    }

    /// It was at least this late before.
    pub(crate) fn raise(&self, to: UnixMillis) {
        self.latest.fetch_max(to.get(), Ordering::Relaxed);
    }
}
