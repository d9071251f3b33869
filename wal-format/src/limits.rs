//! Every length and limit of the format, each once, and the assertions that relate them.
//!
//! Deliberately absent: limits that are a matter of configuration (buffers, policies).

use crate::version::Version;

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
/// Bytes of a change of the control state that sets the log's first LSN.
pub const FIRST_CHANGE_LEN: usize = 20;
/// Bytes of a footer's payload before its index.
pub const FOOTER_FIXED_LEN: usize = 56;
/// The same in version 2.
pub const FOOTER_FIXED_LEN_2: usize = 80;
/// Bytes of a footer's payload behind its index.
pub const FOOTER_TRAILER_LEN: usize = 24;
/// Bytes of one entry of a footer's index.
pub const INDEX_ENTRY_LEN: usize = 16;
/// Bytes of a page of an index of version 2.
pub const PAGE_LEN: usize = 4096;
/// Bytes of a page before its entries.
pub(crate) const PAGE_HEAD: usize = 40;
/// Bytes of an entry of a page.
pub(crate) const PLACE_LEN: usize = 12;
/// Most entries of a page.
pub const PAGE_PLACES: usize = (PAGE_LEN - PAGE_HEAD) / PLACE_LEN;
/// With fewer places there is no index: the walk is short.
pub(crate) const LEAST_PLACES: usize = 16;
/// A segment has at most about this many steps, however long it is.
const MOST_STEPS: u64 = 65_536;

/// Bytes of file in which an index has at most one record and one group.
#[must_use]
pub const fn index_step(capacity: u64) -> u64 {
    let step = capacity / MOST_STEPS;
    if step < PAGE_LEN as u64 {
        PAGE_LEN as u64
    } else {
        step
    }
}

/// Bytes that a page takes in a footer.
pub(crate) const PAGE_ENTRY: usize = 24;
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
    let (most, sector) = (MAX_SEGMENT, Alignment::Sector4096);
    assert!(DEFAULT_RECORD_LIMIT <= layout(Version::V1, 128 << 20, sector).max_record_limit());
    assert!(DEFAULT_RECORD_LIMIT <= layout(Version::V2, 128 << 20, sector).max_record_limit());
    assert!(DEFAULT_RECORD_LIMIT <= layout(Version::V2, most, sector).max_record_limit());
    // The longest segments have more room in version 2 than in version 1.
    let v1 = layout(Version::V1, most, sector).max_record_limit();
    assert!(v1 <= layout(Version::V2, most, sector).max_record_limit());
    let v1 = layout(Version::V1, most, Alignment::Eight).max_record_limit();
    assert!(v1 <= layout(Version::V2, most, Alignment::Eight).max_record_limit());
    // The smallest segments still hold records.
    assert!(layout(Version::V1, MIN_SEGMENT, sector).capacity() > MIN_SEGMENT / 2);
    assert!(layout(Version::V2, MIN_SEGMENT, sector).capacity() > MIN_SEGMENT / 2);
    let (least, half) = (MIN_SEGMENT_FOR_TESTS, Alignment::Sector512);
    assert!(layout(Version::V1, least, Alignment::Eight).capacity() >= 2048);
    assert!(layout(Version::V1, least, half).capacity() >= 2048);
    assert!(layout(Version::V2, least, Alignment::Eight).capacity() >= 1024);
    assert!(MIN_SEGMENT_FOR_TESTS < MIN_SEGMENT && MIN_SEGMENT < MAX_SEGMENT);
};

const fn layout(version: Version, segment_len: u64, alignment: Alignment) -> Layout {
    Layout {
        version,
        segment_len,
        alignment,
        record_limit: 0,
    }
}

/// Where groups may start: a property of each segment. Ordered by size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
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

/// Most bytes of a table of the control state, in a segment of any length.
pub const MOST_CONTROL: u64 = 128 << 10;
/// Bytes of a table without entries.
const EMPTY_CONTROL: u64 = 8;

/// How the bytes of a segment are shared out: what its version, length, alignment and record limit leave for what.
///
/// ```
/// use wal_format::{Alignment, Layout, Version};
///
/// let layout = Layout {
///     version: Version::V1,
///     segment_len: 1 << 20,
///     alignment: Alignment::Eight,
///     record_limit: 1 << 10,
/// };
/// assert_eq!(layout.data_start(), 4096 + 128);
/// assert!(layout.max_record_limit() > 1_000_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The version of the segment.
    pub version: Version,
    /// Most bytes of its file.
    pub segment_len: u64,
    /// Where groups may start.
    pub alignment: Alignment,
    /// Most bytes of key and uncompressed value in one record. What is beside it, the control state may have.
    pub record_limit: u64,
}

impl Layout {
    /// Most bytes of a table of the control state: a sixteenth of the segment, 128 KiB, or half of what it has beside the largest
    /// record, whichever is least. 0 in version 1, which has none.
    #[must_use]
    pub const fn control_limit(self) -> u64 {
        let spare = self.max_record_limit().saturating_sub(self.record_limit);
        // Rounded up to the alignment, twice.
        let room = spare.saturating_sub(2 * self.alignment.get()) / 2 + EMPTY_CONTROL;
        let part = self.segment_len / 16;
        let least = if room < part { room } else { part };
        match self.version {
            Version::V1 => 0,
            Version::V2 if least < MOST_CONTROL => least & !7,
            Version::V2 => MOST_CONTROL,
        }
    }

    /// The record limit of a log for which none is chosen: 64 MiB, or less in short segments, which also leave room for control
    /// state.
    #[must_use]
    pub const fn default_record_limit(self) -> u64 {
        let most = self.max_record_limit();
        let share = if self.segment_len < MIN_SEGMENT {
            0
        } else {
            self.segment_len / 16
        };
        let share = if share < MOST_CONTROL {
            share
        } else {
            MOST_CONTROL
        };
        let most = match self.version {
            Version::V1 => most,
            // Segments that short are for tests.
            Version::V2 if share == 0 => most,
            // Twice the control state, and the index.
            Version::V2 => most
                .saturating_sub(2 * (share + self.alignment.get()))
                .saturating_sub(self.most_index()),
        };
        if most < DEFAULT_RECORD_LIMIT {
            most
        } else {
            DEFAULT_RECORD_LIMIT
        }
    }

    const fn data_start_with(self, control: u64) -> u64 {
        let link = self.alignment.round_up(HEADER_LEN + LINK_LEN as u64);
        match self.version {
            Version::V1 => link,
            Version::V2 => {
                let link = HEADER_LEN + (LINK_LEN + STRETCH_LEN) as u64;
                let table = GROUP_HEADER_LEN as u64 + control;
                self.alignment.round_up(link) + self.alignment.round_up(table)
            }
        }
    }

    const fn footer_reserve_with(self, control: u64) -> u64 {
        let more = match self.version {
            Version::V1 => {
                let entries = self.segment_len.div_ceil(INDEX_INTERVAL);
                FOOTER_FIXED_LEN as u64 + entries * INDEX_ENTRY_LEN as u64
            }
            Version::V2 => FOOTER_FIXED_LEN_2 as u64 + control,
        };
        let footer = (GROUP_HEADER_LEN + FOOTER_TRAILER_LEN) as u64 + more;
        self.alignment.round_up(footer) + self.alignment.round_up(CONTROL_RESERVE)
    }

    const fn capacity_with(self, control: u64) -> u64 {
        let reserve = self.footer_reserve_with(control);
        let end = self
            .alignment
            .round_down(self.segment_len.saturating_sub(reserve));
        end.saturating_sub(self.data_start_with(control))
    }

    /// Offset in bytes from which on a segment has groups of records at the latest, if it begins with no copies. In version 1 it
    /// is exactly there.
    #[must_use]
    pub const fn data_start(self) -> u64 {
        self.data_start_with(self.control_limit())
    }

    /// The same if the table of the control state has `control` bytes, exactly.
    #[must_use]
    pub const fn data_start_after(self, control: u64) -> u64 {
        self.data_start_with(control)
    }

    /// Most bytes that a footer, the index before it and the control reserve need.
    #[must_use]
    pub const fn footer_reserve(self) -> u64 {
        self.footer_reserve_with(self.control_limit()) + self.index_reserve()
    }

    /// The same without an index, which can be left out.
    #[must_use]
    pub const fn least_footer_reserve(self) -> u64 {
        self.footer_reserve_with(self.control_limit())
    }

    /// Most bytes that an index in pages has; 0 if the segment is too short for one.
    const fn most_index(self) -> u64 {
        let places = 2 * self.segment_len.div_ceil(index_step(self.segment_len));
        if places < LEAST_PLACES as u64 {
            return 0;
        }
        let pages = places.div_ceil(PAGE_PLACES as u64) * (PAGE_LEN + PAGE_ENTRY) as u64;
        self.alignment.round_up(GROUP_HEADER_LEN as u64 + pages)
    }

    /// Bytes that are kept free for an index in pages: what it needs at most, or what the segment has beside the largest record and
    /// the control state, if that is less. 0 in version 1, which has its index in the footer, and where there is none.
    const fn index_reserve(self) -> u64 {
        let most = self.most_index();
        let largest = payload_of(self.capacity_with(self.control_limit()));
        let spare = largest.saturating_sub(self.record_limit + MAX_RECORD_HEAD as u64);
        let spare = self.alignment.round_down(spare);
        match self.version {
            Version::V1 => 0,
            Version::V2 if spare < most => spare,
            Version::V2 => most,
        }
    }

    /// Bytes that an index may take, with what the footer says of it, in a segment whose data ends at offset `end`.
    #[must_use]
    pub const fn index_room(self, end: u64) -> u64 {
        let reserve = self.least_footer_reserve();
        self.segment_len.saturating_sub(reserve).saturating_sub(end)
    }

    /// Most bytes of a footer group in a file of that version and length.
    #[must_use]
    pub const fn longest_footer(self) -> u64 {
        let pages = self.segment_len / PAGE_LEN as u64 * PAGE_ENTRY as u64;
        match self.version {
            Version::V1 => self.footer_reserve(),
            Version::V2 => self.footer_reserve() + pages,
        }
    }

    /// Bytes that the segment has for groups of records, headers and padding included: what lies between the beginning and the
    /// footer's reserve. 0 if it is too short.
    #[must_use]
    pub const fn capacity(self) -> u64 {
        let capacity = self.capacity_with(self.control_limit());
        capacity.saturating_sub(self.index_reserve())
    }

    /// Largest payload in bytes of a single group of records in an empty segment.
    #[must_use]
    pub const fn max_group_payload(self) -> u64 {
        payload_of(self.capacity())
    }

    /// Highest record limit in bytes that the segment may have: a record of that many bytes of key and value fits, whatever its
    /// fixed part. With this limit, there is no room for control state.
    #[must_use]
    pub const fn max_record_limit(self) -> u64 {
        payload_of(self.capacity_with(EMPTY_CONTROL)).saturating_sub(MAX_RECORD_HEAD as u64)
    }
}

/// The payload of a group that has `capacity` bytes.
const fn payload_of(capacity: u64) -> u64 {
    let payload = capacity.saturating_sub(GROUP_HEADER_LEN as u64);
    if payload > u32::MAX as u64 {
        u32::MAX as u64
    } else {
        payload
    }
}
