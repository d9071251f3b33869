//! Which version of the format a file has.

/// A version of the on-disk format that this build reads and writes, oldest first. Each segment of a log has one; a log may have
/// segments of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Version {
    /// Frozen: what is written in it is read for ever.
    #[default]
    V1 = 1,
    /// With histories (so that [cursors](https://github.com/wal-rs/wal/blob/main/docs/format-2.md#histories-and-cursors) are
    /// reliable), times, control state and an index for reads by LSN. A draft: its bytes may change until it is frozen, and a later
    /// build may then be unable to read what is written in it now.
    V2 = 2,
}

impl Version {
    /// The newest version that this crate knows.
    pub const NEWEST: Self = Self::V2;

    /// The version with that number, if this crate knows it.
    #[must_use]
    pub const fn from_u32(version: u32) -> Option<Self> {
        match version {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self as u32
    }
}
