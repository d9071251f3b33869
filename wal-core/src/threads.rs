//! How many threads share a piece of work.

use std::num::NonZeroUsize;

use crate::sync;

/// On how many threads something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// On as many as there are cores for this process.
    #[default]
    PerCore,
    /// On this many; with 1, on the calling thread alone.
    Exactly(NonZeroUsize),
}

impl Threads {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::PerCore => sync::cores(),
            Self::Exactly(threads) => threads.get(),
        }
    }
}
