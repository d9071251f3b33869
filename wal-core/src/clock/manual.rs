//! A clock for tests.

use std::time::Duration;

use wal_format::UnixMillis;

use super::Clock;
use crate::sync::{Arc, AtomicU64, Ordering};

/// A clock that stands still until a test moves it. Clones share the time. All its clocks begin at 0.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    times: Arc<Times>,
}

/// Microseconds.
#[derive(Debug, Default)]
struct Times {
    monotonic: AtomicU64,
    suspended: AtomicU64,
    /// By how much the wall clock is ahead of the others: an `i64`.
    wall: AtomicU64,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl ManualClock {
    /// Moves all clocks forward.
    pub fn advance(&self, by: Duration) {
        self.times.monotonic.fetch_add(micros(by), Ordering::SeqCst);
    }

    /// The machine is suspended: boot-time clock and wall clock move, the monotonic clock does not.
    pub fn suspend(&self, by: Duration) {
        self.times.suspended.fetch_add(micros(by), Ordering::SeqCst);
    }

    /// Sets the wall clock, and no other.
    pub fn set_wall(&self, to: UnixMillis) {
        let ahead = i128::from(to.get()) * 1000 - i128::from(self.boot_micros());
        let ahead = i64::try_from(ahead).unwrap_or(i64::MAX);
        self.times
            .wall
            .store(ahead.cast_unsigned(), Ordering::SeqCst);
    }

    /// Moves the wall clock forward, or back, and no other.
    pub fn move_wall(&self, by_millis: i64) {
        let by = by_millis.saturating_mul(1000).cast_unsigned();
        self.times.wall.fetch_add(by, Ordering::SeqCst);
    }

    fn boot_micros(&self) -> u64 {
        let times = &self.times;
        times.monotonic.load(Ordering::SeqCst) + times.suspended.load(Ordering::SeqCst)
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.times.monotonic.load(Ordering::SeqCst))
    }

    fn unix(&self) -> UnixMillis {
        UnixMillis::new(micros(self.wall()) / 1000)
    }

    fn wall(&self) -> Duration {
        let ahead = self.times.wall.load(Ordering::SeqCst).cast_signed();
        Duration::from_micros(self.boot_micros().saturating_add_signed(ahead))
    }

    fn boot(&self) -> Duration {
        Duration::from_micros(self.boot_micros())
    }
}
