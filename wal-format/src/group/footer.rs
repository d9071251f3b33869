//! The footer: the last group of a sealed or cleanly closed segment. It proves that all before it
//! was durable, and it has a sparse index. A trailer finds it from the file's end.
//!
//! Deliberately absent: looking up. The index is a sorted list.

use super::decode::check_body;
use super::frame::Frame;
use super::header::{GroupHeader, GroupKind};
use super::index::PageFacts;
use crate::checksum::crc32;
use crate::control::Control;
use crate::error::GroupError;
use crate::ids::{Epoch, Lsn, Offset, SegmentId};
use crate::limits::{
    Alignment, FOOTER_FIXED_LEN, FOOTER_FIXED_LEN_2, FOOTER_TRAILER_LEN, GROUP_HEADER_LEN,
    INDEX_ENTRY_LEN, INDEX_INTERVAL,
};
use crate::limits::{PAGE_ENTRY, PAGE_LEN};
use crate::record::UnixMillis;
use crate::version::Version;
use crate::wire::{is_zero, put, u32_at, u64_at};

/// `WEND`
const MAGIC: [u8; 4] = *b"WEND";
/// The reserved bytes of version 1.
const RESERVED_1: std::ops::RangeFrom<usize> = 48..;
/// The reserved bytes of version 2.
const RESERVED_2: std::ops::RangeFrom<usize> = 76..;
/// Where the trailer's checksum is; it covers all before it.
const CHECKSUM: usize = 16;

/// Where a group of records is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The group's first LSN.
    pub first_lsn: Lsn,
    /// Where its header stands, in bytes from the start of the file.
    pub offset: Offset,
}

impl IndexEntry {
    /// Whether a group at `offset` gets an entry, when `last` is the one before it: the first
    /// group does, and then each that starts at least 64 KiB behind the last entry.
    #[must_use]
    pub fn is_due(last: Option<&Self>, offset: Offset) -> bool {
        last.is_none_or(|last| offset.get() >= last.offset.get().saturating_add(INDEX_INTERVAL))
    }
}

/// What the writer of a footer knows and the groups before it do not say.
#[derive(Clone, Copy, Debug)]
pub struct FooterFacts<'a> {
    /// Records in the segment.
    pub record_count: u64,
    /// The segment that follows; [`SegmentId::NONE`] after a clean close.
    pub successor: SegmentId,
    /// The log's first LSN.
    pub log_first: Lsn,
    /// Where groups of records are. In version 1 only.
    pub index: &'a [IndexEntry],
    /// What version 2 adds.
    pub more: Option<&'a FooterMore>,
}

/// What a footer of version 2 says beyond one of version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FooterMore {
    /// Where the first page of the index stands, in bytes from the start of the file; 0 without an index.
    pub index_offset: Offset,
    /// The pages of the index, in their order.
    pub pages: Vec<PageFacts>,
    /// Least time of the groups of records; 0 if there are none.
    pub time_least: UnixMillis,
    /// At or above the time of every group of records.
    pub time_greatest: UnixMillis,
    /// The control state at the segment's end.
    pub control: Control,
}

/// What a footer says about its segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Records in the segment.
    pub record_count: u64,
    /// Last LSN in the segment or before it.
    pub last_lsn: Lsn,
    /// Where the data ends and the footer starts, in bytes from the start of the file.
    pub data_len: Offset,
    /// The segment that follows; [`SegmentId::NONE`] after a clean close.
    pub successor: SegmentId,
    /// The log's first LSN when the footer was made.
    pub log_first: Lsn,
    /// Checksum of the last group before the footer.
    pub data_digest: u32,
    /// Groups of records, ascending, at most one for each 64 KiB of file. None in version 2.
    pub index: Vec<IndexEntry>,
    /// What version 2 adds.
    pub more: Option<FooterMore>,
    /// The time in its group's header: when the last group of records had been closed. 0 in version 1.
    pub time: UnixMillis,
}

/// Zeros between index and trailer are fewer than the largest alignment.
const MOST_FILLER: usize = Alignment::Sector4096.get() as usize;

/// The payload of a footer whose group starts at `offset` and ends at a multiple of the alignment.
pub(crate) fn encode_footer(
    facts: &FooterFacts<'_>,
    frame: Frame,
    offset: Offset,
    last_lsn: Lsn,
    data_digest: u32,
) -> Vec<u8> {
    let mut bytes = vec![0; FOOTER_FIXED_LEN];
    put(&mut bytes, 0, &facts.record_count.to_le_bytes());
    put(&mut bytes, 8, &last_lsn.get().to_le_bytes());
    put(&mut bytes, 16, &offset.get().to_le_bytes());
    put(&mut bytes, 24, &facts.successor.get().to_le_bytes());
    put(&mut bytes, 32, &facts.log_first.get().to_le_bytes());
    put(&mut bytes, 44, &data_digest.to_le_bytes());
    if let Some(more) = facts.more.filter(|_| frame.version >= Version::V2) {
        encode_more(&mut bytes, more);
    } else {
        put(&mut bytes, 40, &(facts.index.len() as u32).to_le_bytes());
        for entry in facts.index {
            bytes.extend_from_slice(&entry.first_lsn.get().to_le_bytes());
            bytes.extend_from_slice(&entry.offset.get().to_le_bytes());
        }
    }
    // The file is cut behind the group: a cut inside a sector would write the sector again.
    let len = GROUP_HEADER_LEN + bytes.len() + FOOTER_TRAILER_LEN;
    let group_len = frame.alignment.round_up(len as u64) as usize;
    bytes.resize(group_len - GROUP_HEADER_LEN - FOOTER_TRAILER_LEN, 0);
    bytes.extend_from_slice(&FooterTrailer::encode(offset, frame.epoch));
    bytes
}

fn encode_more(bytes: &mut Vec<u8>, more: &FooterMore) {
    let table = more.control.table();
    bytes.resize(FOOTER_FIXED_LEN_2, 0);
    put(bytes, 40, &(more.pages.len() as u32).to_le_bytes());
    put(bytes, 48, &more.index_offset.get().to_le_bytes());
    put(bytes, 56, &more.time_least.get().to_le_bytes());
    put(bytes, 64, &more.time_greatest.get().to_le_bytes());
    put(bytes, 72, &(table.len() as u32).to_le_bytes());
    for page in &more.pages {
        bytes.extend_from_slice(&page.first_lsn.get().to_le_bytes());
        bytes.extend_from_slice(&page.first_offset.get().to_le_bytes());
        bytes.extend_from_slice(&page.reach.get().to_le_bytes());
    }
    bytes.extend_from_slice(&table);
}

/// The first `len` bytes, and the others.
fn take(bytes: &[u8], len: u64) -> Result<(&[u8], &[u8]), GroupError> {
    let split = usize::try_from(len)
        .ok()
        .and_then(|len| bytes.split_at_checked(len));
    split.ok_or(GroupError::Field(
        "the payload has not the length of what it lists",
    ))
}

impl Footer {
    /// Reads the payload of the group with that header (rule 9 of a valid group). Allocates no
    /// more than a small multiple of the payload.
    ///
    /// # Errors
    ///
    /// A [`GroupError`] that says what is wrong.
    pub fn decode(payload: &[u8], header: &GroupHeader) -> Result<Self, GroupError> {
        check_body(GroupKind::Footer, payload, header)?;
        let fixed_len = match header.version {
            Version::V1 => FOOTER_FIXED_LEN,
            Version::V2 => FOOTER_FIXED_LEN_2,
        };
        let short = GroupError::Field("the payload is too short for a footer");
        let Some((rest, trailer)) = payload.split_last_chunk::<FOOTER_TRAILER_LEN>() else {
            return Err(short);
        };
        let Some((fixed, rest)) = rest.split_at_checked(fixed_len) else {
            return Err(short);
        };
        let count = u64::from(u32_at(fixed, 40));
        let (index, more, filler) = match header.version {
            Version::V1 => {
                let (index, filler) = take(rest, count * INDEX_ENTRY_LEN as u64)?;
                let entries = index.chunks_exact(INDEX_ENTRY_LEN).map(entry).collect();
                (entries, None, filler)
            }
            Version::V2 => {
                let (pages, rest) = take(rest, count * PAGE_ENTRY as u64)?;
                let (table, filler) = take(rest, u64::from(u32_at(fixed, 72)))?;
                (Vec::new(), Some(more(fixed, pages, table)?), filler)
            }
        };
        if filler.len() >= MOST_FILLER {
            return Err(GroupError::Field(
                "the payload has not the length of what it lists",
            ));
        }
        if !is_zero(filler) {
            return Err(GroupError::Field(
                "the bytes behind the footer's index are not zeros",
            ));
        }
        let reserved = match header.version {
            Version::V1 => &fixed[RESERVED_1],
            Version::V2 => &fixed[RESERVED_2],
        };
        if !is_zero(reserved) {
            return Err(GroupError::Field(
                "the reserved bytes of the footer are not zeros",
            ));
        }
        if FooterTrailer::decode(trailer)? != (header.offset, header.epoch) {
            return Err(GroupError::Field(
                "the footer's trailer is of another footer",
            ));
        }
        let footer = Self {
            record_count: u64_at(fixed, 0),
            last_lsn: Lsn::new(u64_at(fixed, 8)),
            data_len: Offset::new(u64_at(fixed, 16)),
            successor: SegmentId::new(u64_at(fixed, 24)),
            log_first: Lsn::new(u64_at(fixed, 32)),
            data_digest: u32_at(fixed, 44),
            index,
            more,
            time: header.time,
        };
        footer.check(header)?;
        Ok(footer)
    }

    /// Whether the data of the segment ends at `end`, as its successor's link has it: before the index, if there is one and the
    /// link is older, or before the footer.
    #[must_use]
    pub fn ends_at(&self, end: Offset) -> bool {
        let index = self.more.as_ref().map_or(0, |more| more.index_offset.get());
        let before_index = index.checked_sub(GROUP_HEADER_LEN as u64);
        end == self.data_len || before_index == Some(end.get())
    }

    fn check(&self, header: &GroupHeader) -> Result<(), GroupError> {
        let last = header.first_lsn.prev();
        if self.last_lsn != last || header.watermark != last {
            return Err(GroupError::Field(
                "the footer's last LSN is not the segment's",
            ));
        }
        if self.data_len != header.offset || self.data_digest != header.previous {
            return Err(GroupError::Field("the footer is about other data"));
        }
        let places = self.index.iter().map(|it| (it.first_lsn, it.offset));
        let pages = self.more.iter().flat_map(|more| &more.pages);
        let pages = pages.map(|it| (it.first_lsn, it.first_offset));
        let mut last = None;
        for place in places.chain(pages) {
            let ascends = last.is_none_or(|(lsn, offset)| lsn < place.0 && offset < place.1);
            if !ascends || place.0 > self.last_lsn || place.1 >= self.data_len {
                return Err(GroupError::Field(
                    "the footer's index does not ascend within the data",
                ));
            }
            last = Some(place);
        }
        let pages_are_before = self.more.as_ref().is_none_or(|more| {
            let len = (more.pages.len() * PAGE_LEN) as u64;
            let end = more.index_offset.get().checked_add(len);
            end.is_some_and(|end| end <= self.data_len.get())
                && more.pages.is_empty() == (more.index_offset.get() == 0)
        });
        if !pages_are_before {
            return Err(GroupError::Field("the index is not before the footer"));
        }
        Ok(())
    }
}

fn more(fixed: &[u8], pages: &[u8], table: &[u8]) -> Result<FooterMore, GroupError> {
    Ok(FooterMore {
        index_offset: Offset::new(u64_at(fixed, 48)),
        pages: pages
            .chunks_exact(PAGE_ENTRY)
            .map(|bytes| PageFacts {
                first_lsn: Lsn::new(u64_at(bytes, 0)),
                first_offset: Offset::new(u64_at(bytes, 8)),
                reach: UnixMillis::new(u64_at(bytes, 16)),
            })
            .collect(),
        time_least: UnixMillis::new(u64_at(fixed, 56)),
        time_greatest: UnixMillis::new(u64_at(fixed, 64)),
        control: Control::decode(table)?,
    })
}

fn entry(bytes: &[u8]) -> IndexEntry {
    IndexEntry {
        first_lsn: Lsn::new(u64_at(bytes, 0)),
        offset: Offset::new(u64_at(bytes, 8)),
    }
}

/// The last 24 bytes of a file that ends with a footer.
#[derive(Clone, Copy, Debug)]
pub struct FooterTrailer;

impl FooterTrailer {
    fn encode(footer: Offset, epoch: Epoch) -> [u8; FOOTER_TRAILER_LEN] {
        let mut bytes = [0; FOOTER_TRAILER_LEN];
        put(&mut bytes, 0, &footer.get().to_le_bytes());
        put(&mut bytes, 8, &epoch.get().to_le_bytes());
        let checksum = crc32(&bytes[..CHECKSUM]);
        put(&mut bytes, CHECKSUM, &checksum.to_le_bytes());
        put(&mut bytes, CHECKSUM + 4, &MAGIC);
        bytes
    }

    /// Where the footer's group starts, and the epoch of its segment: where to look for the
    /// footer, and no proof that it is there.
    ///
    /// # Errors
    ///
    /// [`GroupError::Field`] if these bytes are no trailer.
    pub fn decode(bytes: &[u8; FOOTER_TRAILER_LEN]) -> Result<(Offset, Epoch), GroupError> {
        let magic = bytes[CHECKSUM + 4..] == MAGIC;
        if !magic || u32_at(bytes, CHECKSUM) != crc32(&bytes[..CHECKSUM]) {
            return Err(GroupError::Field("no footer's trailer"));
        }
        Ok((Offset::new(u64_at(bytes, 0)), Epoch::new(u64_at(bytes, 8))))
    }
}
