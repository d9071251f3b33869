//! What one turn came to, and which of its figures is the main one.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::figures::micros;
use crate::watch::Elapsed;

/// What the main figure of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Records (or reads) a second.
    RecordsPerSecond,
    /// Milliseconds that the turn took.
    Milliseconds,
    /// Microseconds within which half of the calls returned.
    MedianMicros,
    /// Microseconds within which 999 of 1000 calls returned.
    TailMicros,
    /// Bytes written for each byte of payload.
    BytesPerByte,
    /// Mebibytes of memory.
    Mebibytes,
    /// System calls for each group that became durable.
    CallsPerGroup,
}

impl Measure {
    /// Whether a higher figure is the better one.
    #[must_use]
    pub fn more_is_better(self) -> bool {
        self == Self::RecordsPerSecond
    }

    /// As the table names it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::RecordsPerSecond => "records/s",
            Self::Milliseconds => "ms",
            Self::MedianMicros => "p50 of us",
            Self::TailMicros => "p99.9 of us",
            Self::BytesPerByte => "bytes/byte",
            Self::Mebibytes => "MiB of memory",
            Self::CallsPerGroup => "calls/group",
        }
    }
}

/// What one turn of a contender came to.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Records appended or read; times that a log was opened.
    pub calls: u64,
    /// Bytes of their payload.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Elapsed,
    /// Of the calls, in nanoseconds.
    pub latencies: Option<Histogram<u64>>,
    /// Syncs within the time.
    pub syncs: Option<u64>,
    /// Bytes written to files for the payload.
    pub written: Option<u64>,
    /// Most memory that the process had beyond what it began with, in bytes.
    pub peak: Option<u64>,
    /// The main figure, where none of the above is it.
    pub value: Option<f64>,
    /// What else there is to say.
    pub note: Option<String>,
}

impl Turn {
    /// A turn of which nothing else is known.
    #[must_use]
    pub fn new(calls: u64, bytes: u64, elapsed: Elapsed) -> Self {
        Self {
            calls,
            bytes,
            elapsed,
            latencies: None,
            syncs: None,
            written: None,
            peak: None,
            value: None,
            note: None,
        }
    }

    /// The main figure; `None` if the turn has none of that kind.
    #[must_use]
    pub fn figure(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::RecordsPerSecond => Some(self.per_second(self.calls)),
            Measure::Milliseconds => Some(self.elapsed.time.as_secs_f64() * 1e3),
            Measure::MedianMicros => self.latency(0.5),
            Measure::TailMicros => self.latency(0.999),
            Measure::BytesPerByte => self.value.or_else(|| self.bytes_per_byte()),
            Measure::Mebibytes => self.value.or_else(|| self.peak_mib()),
            Measure::CallsPerGroup => self.value,
        }
    }

    #[allow(clippy::cast_precision_loss)] // Figures of four digits.
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.time.as_secs_f64().max(1e-9)
    }

    /// Mebibytes of payload a second; `None` where there is no payload.
    #[must_use]
    pub fn mib_per_second(&self) -> Option<f64> {
        (self.bytes > 0).then(|| self.per_second(self.bytes) / f64::from(1 << 20))
    }

    pub(crate) fn syncs_per_second(&self) -> Option<f64> {
        Some(self.per_second(self.syncs?))
    }

    #[allow(clippy::cast_precision_loss)] // As above.
    pub(crate) fn bytes_per_byte(&self) -> Option<f64> {
        Some(self.written? as f64 / self.bytes.max(1) as f64)
    }

    #[allow(clippy::cast_precision_loss)] // As above.
    pub(crate) fn peak_mib(&self) -> Option<f64> {
        Some(self.peak? as f64 / f64::from(1 << 20))
    }

    /// Microseconds of processor time for one call.
    #[allow(clippy::cast_precision_loss)] // As above.
    pub(crate) fn cpu_micros(&self) -> Option<f64> {
        Some(self.elapsed.cpu?.as_secs_f64() * 1e6 / self.calls.max(1) as f64)
    }

    /// In microseconds.
    pub(crate) fn latency(&self, quantile: f64) -> Option<f64> {
        Some(micros(self.latencies.as_ref()?.value_at_quantile(quantile)))
    }
}
