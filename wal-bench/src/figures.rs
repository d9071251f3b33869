//! Medians with their spread, and latencies.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Hand-written, for the others to be divided by.
    Limit,
    /// The log, in one of its ways.
    Log,
    /// A log or a store from elsewhere.
    Peer,
}

/// What several turns gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The lowest.
    pub low: f64,
    /// The lower quartile.
    pub lower: f64,
    /// The middle one.
    pub median: f64,
    /// The upper quartile.
    pub upper: f64,
    /// The highest.
    pub high: f64,
}

impl Summary {
    /// Of these values; `None` if there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        // The place of a quarter, in quarters; between two values, on the line between them.
        let quarter = |n: usize| {
            let (at, rest) = (last * n / 4, last * n % 4);
            let (value, next) = (sorted[at], sorted[(at + 1).min(last)]);
            value + (next - value) * [0.0, 0.25, 0.5, 0.75][rest]
        };
        Some(Self {
            low: sorted[0],
            lower: quarter(1),
            median: quarter(2),
            upper: quarter(3),
            high: sorted[last],
        })
    }

    /// How far the turns lie apart: half of them are within this.
    #[must_use]
    pub fn spread(&self) -> f64 {
        self.upper - self.lower
    }
}

/// The figures of a contender divided by those of another, turn by turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The other.
    pub to: String,
    /// Who that is.
    pub role: Role,
    /// Of the main figure.
    pub main: Summary,
    /// Of the median latency.
    pub p50: Option<Summary>,
}

/// Microseconds within which a given number of calls returned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// All.
    pub max: f64,
}

impl From<&Histogram<u64>> for Latency {
    /// Of a histogram in nanoseconds.
    fn from(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(histogram.max()),
        }
    }
}

/// Nanoseconds as microseconds.
#[allow(clippy::cast_precision_loss)] // Nobody reads 16 digits of a latency.
pub(crate) fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}
