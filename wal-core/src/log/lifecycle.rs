//! Whether the log takes records, and why not.

use crate::{Error, Poisoned, Result};

/// See the module's head.
#[derive(Debug)]
pub(super) enum Lifecycle {
    Open,
    /// `close` was called: no more appends, waiters still served.
    Closing,
    Closed,
    /// A write or a sync has failed. The first cause stays.
    Poisoned(Poisoned),
}

impl Lifecycle {
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Whether background work is done.
    pub(super) fn is_served(&self) -> bool {
        matches!(self, Self::Open | Self::Closing)
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// The error of a call that finds the log ended.
    pub(super) fn ended(&self) -> Option<Error> {
        match self {
            Self::Open | Self::Closing => None,
            Self::Closed => Some(Error::Closed),
            Self::Poisoned(poisoned) => Some(poisoned.error()),
        }
    }

    pub(super) fn poisoned(&self) -> Option<&Poisoned> {
        match self {
            Self::Poisoned(poisoned) => Some(poisoned),
            Self::Open | Self::Closing | Self::Closed => None,
        }
    }

    /// Refuses once the log is poisoned.
    pub(super) fn check_poison(&self) -> Result<()> {
        self.poisoned()
            .map_or(Ok(()), |poisoned| Err(poisoned.error()))
    }

    /// Refuses once the log takes no more records.
    pub(super) fn check_open(&self) -> Result<()> {
        match self {
            Self::Open => Ok(()),
            Self::Closing | Self::Closed => Err(Error::Closed),
            // Invariant 5: nothing follows a failed write or sync.
            Self::Poisoned(poisoned) => Err(poisoned.error()),
        }
    }
}
