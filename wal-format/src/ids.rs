//! The numbers of the format, each a type of its own, so that they never mix.
//!
//! Deliberately absent: any arithmetic between different kinds, and where the numbers come from
//! (random epochs and log ids are made by the caller).

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(u64);

        impl $name {
            /// Takes the number as it is.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The bare number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl From<u64> for $name {
            fn from(value: u64) -> Self {
                Self(value)
            }
        }

        impl From<$name> for u64 {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The number of a record in its log: dense, from 1. 0 stands for "none" or "before all".
    Lsn
}

number! {
    /// The number of a segment, from 1; it is also the file's name. 0 stands for "none".
    SegmentId
}

number! {
    /// Bytes from the start of one file.
    Offset
}

number! {
    /// A random number, not 0, that each file gets when it is made. Bytes of another life of a
    /// file do not verify under it.
    Epoch
}

impl Lsn {
    /// No record: below every LSN that is given.
    pub const ZERO: Self = Self(0);
    /// The first record of a log.
    pub const FIRST: Self = Self(1);
    /// The highest LSN that may be given. (The number above it masks group headers.)
    pub const MAX: Self = Self(u64::MAX - 1);

    /// The LSN after this one; stays at the largest 64-bit number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The LSN before this one; stays at 0.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl SegmentId {
    /// No segment: what a link or a footer names when there is none.
    pub const NONE: Self = Self(0);
    /// The first segment of a log.
    pub const FIRST: Self = Self(1);

    /// The id after this one; stays at the largest 64-bit number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The identity of a log: 16 random bytes, the same in each of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 16]);

impl LogId {
    /// Takes the 16 bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for LogId {
    /// 32 hexadecimal digits, first byte first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
