//! Which version of the format a file has.

/// A version of the format that this crate reads and writes. Ordered by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Frozen.
    #[default]
    V1 = 1,
    /// With histories, times, control state and an index for reads by LSN. A draft.
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
