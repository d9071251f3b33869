//! How long something takes: by the clock, and of the processors.
//!
//! The processor's time is that of all threads of the process. On a machine with other work to do it is the steadier of the two.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Begun when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    begun: Instant,
    cpu: Option<Duration>,
}

/// What a stopwatch shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elapsed {
    /// By the clock.
    pub time: Duration,
    /// Of the processors, for all threads together, where the system tells.
    pub cpu: Option<Duration>,
}

impl Stopwatch {
    /// Begins.
    #[must_use]
    pub fn start() -> Self {
        Self {
            cpu: cpu(),
            begun: Instant::now(),
        }
    }

    /// What has passed since.
    #[must_use]
    pub fn elapsed(&self) -> Elapsed {
        let time = self.begun.elapsed();
        let cpu = cpu().zip(self.cpu);
        Elapsed {
            time,
            cpu: cpu.map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

#[cfg(unix)]
fn cpu() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()
}

#[cfg(not(unix))]
fn cpu() -> Option<Duration> {
    None
}
