//! Time, injected: the engine never asks the system for it directly.
//!
//! Production uses [`SystemClock`]; deterministic tests use [`ManualClock`], which moves only when told to. An [`AnchoredClock`]
//! gives a wall-clock time that a jump of the wall clock does not disturb.

mod anchored;
mod manual;

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wal_format::UnixMillis;

pub use anchored::AnchoredClock;
pub use manual::ManualClock;

/// A source of time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Time since some fixed point; never goes back. Drives the sync windows.
    fn monotonic(&self) -> Duration;

    /// Unix time; may jump. Resolves a record's time to live into an expiry.
    fn unix(&self) -> UnixMillis;

    /// The time that [`unix`](Self::unix) rounds down to milliseconds.
    fn wall(&self) -> Duration {
        Duration::from_millis(self.unix().get())
    }

    /// Time since some fixed point; never goes back, and counts the time for which the machine was suspended. Drives expiries.
    ///
    /// The default is [`monotonic`](Self::monotonic).
    fn boot(&self) -> Duration {
        self.monotonic()
    }
}

/// The operating system's clocks.
///
/// On Linux [`boot`](Clock::boot) is `CLOCK_BOOTTIME`. Elsewhere it is `std::time::Instant`, which may stand still during a
/// suspend: an [`AnchoredClock`] then takes the wall clock's word ten seconds after the machine has woken up.
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
        UnixMillis::new(u64::try_from(self.wall().as_millis()).unwrap_or(u64::MAX))
    }

    fn wall(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }

    #[inline]
    fn boot(&self) -> Duration {
        wal_io::boot_time().unwrap_or_else(|| self.monotonic())
    }
}
