//! The 4096 bytes that each segment starts with: written once, silent about the contents.

use crate::checksum::{Salt, crc32};
use crate::error::HeaderError;
use crate::group::Frame;
use crate::ids::{Epoch, LogId, SegmentId};
use crate::limits::{Alignment, HEADER_LEN, Layout};
use crate::version::Version;
use crate::wire::{array_at, is_zero, put, u32_at, u64_at};

/// `WALSEG\r\n`
const MAGIC: [u8; 8] = *b"WALSEG\r\n";
/// Where the checksum is, in every version.
const CHECKSUM: usize = 8;
/// Where the fields of version 1 end and its reserved bytes begin.
const RESERVED_1: usize = 84;
/// Between and after the fields of version 2, up to the room of features that a reader may ignore.
const RESERVED_2: [std::ops::Range<usize>; 3] = [RESERVED_1..88, 112..120, 136..2048];
const LEN: usize = HEADER_LEN as usize;

/// What a segment is, apart from its contents.
///
/// ```
/// use wal_format::{Alignment, Epoch, LogId, Origin, SegmentHeader, SegmentId, Version};
///
/// let header = SegmentHeader {
///     log_id: LogId::from_bytes([7; 16]),
///     segment_id: SegmentId::FIRST,
///     epoch: Epoch::new(9),
///     capacity: 1 << 20,
///     record_limit: 1 << 16,
///     node_id: 7,
///     alignment: Alignment::Eight,
///     allocated: 1 << 20,
///     origin: Origin::Spare,
///     version: Version::V1,
///     replaces: None,
///     log_capacity: 1 << 20,
///     log_record_limit: 1 << 16,
/// };
/// let bytes = header.encode();
/// assert_eq!(SegmentHeader::decode(&bytes, SegmentId::FIRST)?, header);
/// # Ok::<(), wal_format::HeaderError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The log that the segment belongs to.
    pub log_id: LogId,
    /// The segment's id; also in its file's name.
    pub segment_id: SegmentId,
    /// Random, not 0, one per file.
    pub epoch: Epoch,
    /// Most bytes that the file may have.
    pub capacity: u64,
    /// Most bytes of key and uncompressed value in one record.
    pub record_limit: u64,
    /// The configured node.
    pub node_id: u32,
    /// Where groups may start.
    pub alignment: Alignment,
    /// Length of the file in bytes when it got its name. It is shorter only when it is cut behind its
    /// footer.
    pub allocated: u64,
    /// How the file came to its name.
    pub origin: Origin,
    /// The version of the file.
    pub version: Version,
    /// With [`Origin::Replacement`]: the epoch that the next segment's link may name instead of this one's.
    pub replaces: Option<Epoch>,
    /// What `capacity` is in the log's other segments. It is the same, unless this one is a copy or was the log's reserve. In
    /// version 1 always the same.
    pub log_capacity: u64,
    /// The same for `record_limit`.
    pub log_record_limit: u64,
}

/// How a segment's file came to its name: what must be in it from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "engine"), non_exhaustive)]
pub enum Origin {
    /// As a spare, with its header alone. A crash may take the link, which comes with the first write.
    Spare = 1,
    /// As a copy that was whole: link and first groups were synced before the name was given. No crash
    /// takes the link.
    Copy = 2,
    /// As the replacement of a damaged or missing segment, whole and synced. It has the id of that segment. From version 2 on.
    Replacement = 3,
    /// As a copy that was whole, in the space that the log keeps for a full disk. The next session begins with a copy of it. From
    /// version 2 on.
    Reserve = 4,
}

impl Origin {
    /// Whether the file was whole when it got its name: link and first groups were synced before.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::Copy | Self::Replacement | Self::Reserve)
    }
}

impl Origin {
    const fn from_u32(origin: u32) -> Option<Self> {
        match origin {
            1 => Some(Self::Spare),
            2 => Some(Self::Copy),
            3 => Some(Self::Replacement),
            4 => Some(Self::Reserve),
            _ => None,
        }
    }
}

impl SegmentHeader {
    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; LEN];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 12, &self.version.get().to_le_bytes());
        put(&mut bytes, 16, self.log_id.as_bytes());
        put(&mut bytes, 32, &self.segment_id.get().to_le_bytes());
        put(&mut bytes, 40, &self.epoch.get().to_le_bytes());
        put(&mut bytes, 48, &self.capacity.to_le_bytes());
        put(&mut bytes, 56, &self.record_limit.to_le_bytes());
        put(&mut bytes, 64, &self.node_id.to_le_bytes());
        put(&mut bytes, 68, &(self.alignment.get() as u32).to_le_bytes());
        put(&mut bytes, 72, &self.allocated.to_le_bytes());
        put(&mut bytes, 80, &(self.origin as u32).to_le_bytes());
        if self.version >= Version::V2 {
            let replaces = self.replaces.map_or(0, Epoch::get);
            put(&mut bytes, 104, &replaces.to_le_bytes());
            put(&mut bytes, 120, &self.log_capacity.to_le_bytes());
            put(&mut bytes, 128, &self.log_record_limit.to_le_bytes());
        }
        let checksum = crc32(&bytes);
        put(&mut bytes, CHECKSUM, &checksum.to_le_bytes());
        bytes
    }

    /// Reads the header that `bytes` (a file, or the start of one) begin with; `expected` is the
    /// id in the file's name.
    ///
    /// # Errors
    ///
    /// A [`HeaderError`] that names the rule.
    pub fn decode(bytes: &[u8], expected: SegmentId) -> Result<Self, HeaderError> {
        let Some(bytes) = bytes.first_chunk::<LEN>() else {
            return Err(HeaderError::TooShort {
                len: bytes.len() as u64,
            });
        };
        if array_at(bytes, 0) != MAGIC {
            return Err(HeaderError::NotASegment);
        }
        verify(bytes)?;
        let version = u32_at(bytes, 12);
        let Some(version) = Version::from_u32(version) else {
            return Err(HeaderError::UnknownVersion(version));
        };
        let required = if version >= Version::V2 {
            u64_at(bytes, 88)
        } else {
            0
        };
        if required != 0 {
            return Err(HeaderError::UnknownFeature(required.trailing_zeros()));
        }
        let (capacity, record_limit) = (u64_at(bytes, 48), u64_at(bytes, 56));
        let (replaces, log_capacity, log_record_limit) = match version {
            Version::V1 => (None, capacity, record_limit),
            Version::V2 => (replaced(bytes), u64_at(bytes, 120), u64_at(bytes, 128)),
        };
        let header = Self {
            log_id: LogId::from_bytes(array_at(bytes, 16)),
            segment_id: SegmentId::new(u64_at(bytes, 32)),
            epoch: Epoch::new(u64_at(bytes, 40)),
            capacity,
            record_limit,
            node_id: u32_at(bytes, 64),
            alignment: Alignment::from_u32(u32_at(bytes, 68))
                .ok_or(HeaderError::Field("the alignment is not 8, 512 or 4096"))?,
            allocated: u64_at(bytes, 72),
            origin: Origin::from_u32(u32_at(bytes, 80))
                .ok_or(HeaderError::Field("its origin is unknown"))?,
            version,
            replaces,
            log_capacity,
            log_record_limit,
        };
        header.check(expected)?;
        let reserved = match version {
            Version::V1 => is_zero(&bytes[RESERVED_1..]),
            Version::V2 => RESERVED_2.into_iter().all(|range| is_zero(&bytes[range])),
        };
        if !reserved {
            return Err(HeaderError::Field("the reserved bytes are not zeros"));
        }
        Ok(header)
    }

    fn check(&self, expected: SegmentId) -> Result<(), HeaderError> {
        if self.segment_id != expected {
            return Err(HeaderError::WrongId {
                expected,
                found: self.segment_id,
            });
        }
        if self.segment_id == SegmentId::NONE {
            return Err(HeaderError::Field("the segment id is 0"));
        }
        if self.epoch.get() == 0 {
            return Err(HeaderError::Field("the epoch is 0"));
        }
        if self.record_limit > self.layout().max_record_limit() {
            return Err(HeaderError::Field(
                "the record limit is above what the segment holds",
            ));
        }
        let is_replacement = self.origin == Origin::Replacement;
        if is_replacement != self.replaces.is_some() || is_replacement && self.version < Version::V2
        {
            return Err(HeaderError::Field(
                "the epoch that it replaces does not fit its origin",
            ));
        }
        if self.origin == Origin::Reserve && self.version < Version::V2 {
            return Err(HeaderError::Field("its origin is unknown"));
        }
        if self.allocated < HEADER_LEN || self.allocated > self.capacity {
            return Err(HeaderError::Field(
                "the allocated length is not between the header's and the capacity",
            ));
        }
        Ok(())
    }

    /// Whether a link that names this segment and the epoch `epoch` means this file.
    #[must_use]
    pub fn answers_to(&self, epoch: Epoch) -> bool {
        self.epoch == epoch || self.replaces == Some(epoch)
    }

    /// What masks the checksums of this file.
    #[must_use]
    pub fn salt(&self) -> Salt {
        Salt::new(self.log_id, self.epoch)
    }

    /// How the bytes of this file are shared out.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout {
            version: self.version,
            segment_len: self.capacity,
            alignment: self.alignment,
            record_limit: self.record_limit,
        }
    }

    /// What the groups of this file have in common.
    #[must_use]
    pub fn frame(&self) -> Frame {
        Frame {
            salt: self.salt(),
            epoch: self.epoch,
            alignment: self.alignment,
            version: self.version,
        }
    }
}

/// The epoch that a file of version 2 replaces.
fn replaced(bytes: &[u8; LEN]) -> Option<Epoch> {
    let epoch = Epoch::new(u64_at(bytes, 104));
    (epoch.get() != 0).then_some(epoch)
}

fn verify(bytes: &[u8; LEN]) -> Result<(), HeaderError> {
    let found = u32_at(bytes, CHECKSUM);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..CHECKSUM]);
    crc.update(&[0; 4]);
    crc.update(&bytes[CHECKSUM + 4..]);
    let expected = crc.finalize();
    if found == expected {
        Ok(())
    } else {
        Err(HeaderError::Checksum { expected, found })
    }
}
