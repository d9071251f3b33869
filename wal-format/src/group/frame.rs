//! What all groups of one file have in common.

use crate::checksum::Salt;
use crate::ids::Epoch;
use crate::limits::Alignment;
use crate::version::Version;

/// What tells the groups of one file from those of every other, and where they may start. Comes from the file's
/// [`SegmentHeader`](crate::SegmentHeader).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The version of the file.
    pub version: Version,
    /// Masks the checksums.
    pub salt: Salt,
    /// Stands in each group header.
    pub epoch: Epoch,
    /// Groups start at its multiples.
    pub alignment: Alignment,
}
