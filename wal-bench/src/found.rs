//! What a process of its own has found.

use serde::{Deserialize, Serialize};

use crate::memory;
use crate::turn::Turn;
use crate::watch::{Elapsed, Stopwatch};

/// What the process found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) elapsed: Elapsed,
    /// Most memory beyond what it began with.
    pub(crate) peak: Option<u64>,
    /// Appended, or found in the log.
    pub(crate) records: u64,
    pub(crate) segments: usize,
    pub(crate) unproven: u64,
}

impl Found {
    /// What has passed since `watch` was started, with memory of `base`, for the given number of records.
    pub(crate) fn of(watch: &Stopwatch, base: Option<u64>, records: u64) -> Self {
        let elapsed = watch.elapsed();
        let peak = memory::peak().zip(base);
        Self {
            elapsed,
            peak: peak.map(|(peak, base)| peak.saturating_sub(base)),
            records,
            ..Self::default()
        }
    }

    /// As a turn of one call, which moved `bytes` bytes.
    pub(crate) fn turn(&self, bytes: u64) -> Turn {
        Turn {
            peak: self.peak,
            ..Turn::new(1, bytes, self.elapsed)
        }
    }
}
