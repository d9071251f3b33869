//! Every length and limit of the format, each once, and the assertions that relate them.
//!
//! Deliberately absent: limits that are a matter of configuration (buffers, policies).

/// Bytes of the segment header.
pub const HEADER_LEN: u64 = 4096;
/// Bytes of a group header.
pub const GROUP_HEADER_LEN: usize = 64;
/// Bytes of a link's payload.
pub const LINK_BODY_LEN: usize = 64;
/// Bytes of a link group of version 1, without padding.
pub const LINK_LEN: usize = 128;
/// Bytes that a stretch of histories takes in a link of version 2.
pub const STRETCH_LEN: usize = 16;
/// Most stretches of histories in a link.
pub const MOST_STRETCHES: usize = 248;
/// Most bytes of a link group in any version, without padding.
pub const LONGEST_LINK: usize = GROUP_HEADER_LEN + LINK_BODY_LEN + MOST_STRETCHES * STRETCH_LEN;
/// Bytes of a cut's payload.
pub const CUT_BODY_LEN: usize = 8;
/// Bytes of a footer's payload before its index.
pub const FOOTER_FIXED_LEN: usize = 56;
/// The same in version 2.
pub const FOOTER_FIXED_LEN_2: usize = 80;
/// Bytes of a footer's payload behind its index.
pub const FOOTER_TRAILER_LEN: usize = 24;
/// Bytes of one entry of a footer's index.
pub const INDEX_ENTRY_LEN: usize = 16;
/// Bytes of file for which a footer's index has at most one entry.
pub const INDEX_INTERVAL: u64 = 65536;
/// Bytes that a segment keeps free for cuts and stamps when records no longer fit.
pub const CONTROL_RESERVE: u64 = 512;

/// Bytes of the longest fixed part of a record: checksum, flags, three varints, expiry.
pub const MAX_RECORD_HEAD: usize = 4 + 1 + 3 * 5 + 8;
/// Bytes of the shortest record: checksum, flags, one varint.
pub const MIN_RECORD_LEN: usize = 4 + 1 + 1;

/// Most bytes of key and uncompressed value in one record, unless configured: 64 MiB.
pub const DEFAULT_RECORD_LIMIT: u64 = 64 << 20;
/// Least configured length of a segment in bytes: 1 MiB.
pub const MIN_SEGMENT: u64 = 1 << 20;
/// Least length of a segment in bytes in tests: 8 KiB.
pub const MIN_SEGMENT_FOR_TESTS: u64 = 8 << 10;
/// Most configured length of a segment in bytes: 4 GiB.
pub const MAX_SEGMENT: u64 = 4 << 30;

const _: () = {
    assert!(LINK_LEN == GROUP_HEADER_LEN + LINK_BODY_LEN);
    // The header's end is a place for a group under every alignment.
    assert!(HEADER_LEN.is_multiple_of(Alignment::Sector4096.get()));
    // Groups without records need no padding under the smallest alignment, index or not.
    assert!(GROUP_HEADER_LEN.is_multiple_of(8) && CUT_BODY_LEN.is_multiple_of(8));
    assert!(FOOTER_FIXED_LEN.is_multiple_of(8) && INDEX_ENTRY_LEN.is_multiple_of(8));
    // A stamp or a cut always fits in the reserve.
    assert!(CONTROL_RESERVE >= (GROUP_HEADER_LEN + CUT_BODY_LEN) as u64);
    // A payload's length fits in its 32-bit field, whatever the segment.
    assert!(MAX_SEGMENT - HEADER_LEN - GROUP_HEADER_LEN as u64 <= u32::MAX as u64);
    // The default record limit is possible in a default (128 MiB) and in the largest segment.
    assert!(DEFAULT_RECORD_LIMIT <= max_record_limit(128 << 20, Alignment::Sector4096));
    assert!(DEFAULT_RECORD_LIMIT <= max_record_limit(MAX_SEGMENT, Alignment::Sector4096));
    // The smallest segments still hold records.
    assert!(segment_capacity(MIN_SEGMENT, Alignment::Sector4096) > MIN_SEGMENT / 2);
    assert!(segment_capacity(MIN_SEGMENT_FOR_TESTS, Alignment::Eight) >= 2048);
    assert!(segment_capacity(MIN_SEGMENT_FOR_TESTS, Alignment::Sector512) >= 2048);
    assert!(MIN_SEGMENT_FOR_TESTS < MIN_SEGMENT && MIN_SEGMENT < MAX_SEGMENT);
};

/// Where groups may start: a property of each segment. Ordered by size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alignment {
    /// At multiples of 8 bytes: nothing is padded but the last few bytes of a group.
    #[default]
    Eight,
    /// At multiples of 512 bytes: no write touches a 512-byte sector that was written before.
    Sector512,
    /// At multiples of 4096 bytes: the same for 4096-byte sectors.
    Sector4096,
}

impl Alignment {
    /// The alignment in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        match self {
            Self::Eight => 8,
            Self::Sector512 => 512,
            Self::Sector4096 => 4096,
        }
    }

    /// The alignment of that many bytes, if it is one of the format's.
    #[must_use]
    pub const fn from_u32(bytes: u32) -> Option<Self> {
        match bytes {
            8 => Some(Self::Eight),
            512 => Some(Self::Sector512),
            4096 => Some(Self::Sector4096),
            _ => None,
        }
    }

    /// The first multiple of the alignment that is not below `bytes` (the last one of all for
    /// numbers behind it).
    #[must_use]
    pub const fn round_up(self, bytes: u64) -> u64 {
        bytes.saturating_add(self.get() - 1) & !(self.get() - 1)
    }

    /// The last multiple of the alignment that is not above `bytes`.
    #[must_use]
    pub const fn round_down(self, bytes: u64) -> u64 {
        bytes & !(self.get() - 1)
    }
}

/// Offset in bytes at which the first group behind the link starts.
#[must_use]
pub const fn data_start(align: Alignment) -> u64 {
    align.round_up(HEADER_LEN + LINK_LEN as u64)
}

/// Most bytes that a footer of a segment of `segment_len` bytes and the control reserve need.
#[must_use]
pub const fn footer_reserve(segment_len: u64, align: Alignment) -> u64 {
    let fixed = (GROUP_HEADER_LEN + FOOTER_FIXED_LEN + FOOTER_TRAILER_LEN) as u64;
    let index = segment_len.div_ceil(INDEX_INTERVAL) * INDEX_ENTRY_LEN as u64;
    align.round_up(fixed + index) + align.round_up(CONTROL_RESERVE)
}

/// Bytes that a segment of `segment_len` bytes has for groups of records, headers and padding
/// included: what lies between the link and the footer's reserve. 0 if it is too short.
#[must_use]
pub const fn segment_capacity(segment_len: u64, align: Alignment) -> u64 {
    let end = align.round_down(segment_len.saturating_sub(footer_reserve(segment_len, align)));
    end.saturating_sub(data_start(align))
}

/// Largest payload in bytes of a single group of records in an empty segment of `segment_len`
/// bytes.
#[must_use]
pub const fn max_group_payload(segment_len: u64, align: Alignment) -> u64 {
    let payload = segment_capacity(segment_len, align).saturating_sub(GROUP_HEADER_LEN as u64);
    if payload > u32::MAX as u64 {
        u32::MAX as u64
    } else {
        payload
    }
}

/// Highest record limit in bytes that a segment of `segment_len` bytes may have: a record of
/// that many bytes of key and value fits, whatever its fixed part.
#[must_use]
pub const fn max_record_limit(segment_len: u64, align: Alignment) -> u64 {
    max_group_payload(segment_len, align).saturating_sub(MAX_RECORD_HEAD as u64)
}
