//! Checksums: CRC-32 (IEEE), the masks that tie bytes to their place, the fold over a group.
//!
//! Deliberately absent: any choice of algorithm. One checksum, everywhere.

use crate::ids::{Epoch, LogId, Lsn, Offset};
use crate::wire::u64_at;

/// The CRC-32 (IEEE) of `bytes`.
#[inline]
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// What masks the checksums of one file: a mix of log id and epoch.
///
/// ```
/// use wal_format::{Epoch, LogId, Lsn, Offset, Salt};
///
/// let salt = Salt::new(LogId::from_bytes([7; 16]), Epoch::new(9));
/// let here = salt.record_mask(Lsn::FIRST, Offset::new(4288));
/// assert_ne!(here, salt.record_mask(Lsn::FIRST, Offset::new(4296)));
/// assert_ne!(here, salt.record_mask(Lsn::new(2), Offset::new(4288)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(u64);

impl Salt {
    /// The salt of a file.
    #[must_use]
    pub fn new(log: LogId, epoch: Epoch) -> Self {
        let (low, high) = (u64_at(log.as_bytes(), 0), u64_at(log.as_bytes(), 8));
        Self(mix(low ^ mix(high ^ mix(epoch.get()))))
    }

    /// The mask, by exclusive or, of the checksum of a record with this LSN at this offset.
    #[inline]
    #[must_use]
    pub const fn record_mask(self, lsn: Lsn, offset: Offset) -> u32 {
        let place = lsn.get().wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ offset.get().wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
        (mix(self.0 ^ place) >> 32) as u32
    }

    /// The mask, by exclusive or, of the checksum of a group header at this offset.
    #[inline]
    #[must_use]
    pub const fn group_mask(self, offset: Offset) -> u32 {
        self.record_mask(Lsn::new(u64::MAX), offset)
    }
}

/// The finaliser of `SplitMix64`: every bit of the input moves every bit of the output.
#[inline]
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Folds the stored checksums of a group's records, in order, into its `digest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u32);

impl Digest {
    /// The digest of no records.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds the stored checksum of the next record.
    #[inline]
    pub const fn push(&mut self, checksum: u32) {
        self.0 = (self.0 ^ checksum)
            .wrapping_mul(0x9E37_79B1)
            .rotate_left(15);
    }

    /// The digest of all that was added.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}
