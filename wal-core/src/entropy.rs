//! Randomness, injected: log ids and epochs come from here.

use std::fmt;
use std::io;

use crate::sync::{AtomicU64, Ordering};

/// A source of random numbers for identities (not for secrets).
pub trait Entropy: fmt::Debug + Send + Sync + 'static {
    /// 64 random bits.
    ///
    /// # Errors
    /// The system has no randomness to give.
    fn next(&self) -> io::Result<u64>;
}

/// The operating system's randomness.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next(&self) -> io::Result<u64> {
        // Keeps the system's own error, if there is one, so that the message names it.
        getrandom::u64().map_err(|error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::other(error),
        })
    }
}

/// A repeatable sequence for tests: the same seed gives the same identities.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// A sequence that starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn next(&self) -> io::Result<u64> {
        // SplitMix64 (Steele, Lea and Flood 2014).
        let mut x = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Ok(x ^ (x >> 31))
    }
}
