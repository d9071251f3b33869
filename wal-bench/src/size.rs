//! How much is run, and units of bytes.

use serde::{Deserialize, Serialize};

/// How much is run. What that means for a workload stands at the head of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// Everything once, in a moment.
    Quick,
    /// Less than five minutes on a disk of 200 MB/s.
    Short,
    /// Everything.
    Full,
}

impl Size {
    /// One of three values.
    #[must_use]
    pub fn pick<T>(self, quick: T, short: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Short => short,
            Self::Full => full,
        }
    }
}

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
