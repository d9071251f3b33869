//! Time, injected: the engine never asks the system for it directly.
//!
//! Production uses [`SystemClock`]; deterministic tests use [`ManualClock`], which moves only when told to.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wal_format::UnixMillis;

use crate::sync::{Arc, AtomicU64, Ordering};

/// A source of time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Time since some fixed point; never goes back. Drives the sync windows.
    fn monotonic(&self) -> Duration;
    /// Unix time; may jump. Resolves a record's time to live into an expiry.
    fn unix(&self) -> UnixMillis;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn unix(&self) -> UnixMillis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that stands still until a test moves it. Clones share the time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    micros: Arc<AtomicU64>,
}

impl ManualClock {
    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::SeqCst))
    }

    fn unix(&self) -> UnixMillis {
        UnixMillis::new(self.micros.load(Ordering::SeqCst) / 1000)
    }
}
