//! The footer: the last group of a sealed or cleanly closed segment. It proves that all before it
//! was durable, and it has a sparse index. A trailer finds it from the file's end.
//!
//! Deliberately absent: looking up. The index is a sorted list.

use crate::checksum::crc32;
use crate::error::GroupError;
use crate::group::{Frame, GroupHeader, GroupKind, check_body};
use crate::ids::{Epoch, Lsn, Offset, SegmentId};
use crate::limits::{
    Alignment, FOOTER_FIXED_LEN, FOOTER_TRAILER_LEN, GROUP_HEADER_LEN, INDEX_ENTRY_LEN,
    INDEX_INTERVAL,
};
use crate::wire::{is_zero, put, u32_at, u64_at};

/// `WEND`
const MAGIC: [u8; 4] = *b"WEND";
/// Where the fields end and the reserved bytes begin.
const RESERVED: usize = 48;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FooterFacts {
    /// Records in the segment.
    pub record_count: u64,
    /// The segment that follows; [`SegmentId::NONE`] after a clean close.
    pub successor: SegmentId,
    /// The log's first LSN.
    pub log_first: Lsn,
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
    /// Groups of records, ascending, at most one for each 64 KiB of file.
    pub index: Vec<IndexEntry>,
}

/// Zeros between index and trailer are fewer than the largest alignment.
const MOST_FILLER: usize = Alignment::Sector4096.get() as usize;

/// The payload of a footer whose group starts at `offset` and ends at a multiple of the alignment.
pub(crate) fn encode_footer(
    facts: &FooterFacts,
    index: &[IndexEntry],
    frame: Frame,
    offset: Offset,
    last_lsn: Lsn,
    data_digest: u32,
) -> Vec<u8> {
    let index_end = FOOTER_FIXED_LEN + index.len() * INDEX_ENTRY_LEN;
    // The file is cut behind the group: a cut inside a sector would write the sector again.
    let group_len = frame
        .alignment
        .round_up((GROUP_HEADER_LEN + index_end + FOOTER_TRAILER_LEN) as u64);
    let trailer_at = group_len as usize - GROUP_HEADER_LEN - FOOTER_TRAILER_LEN;
    let mut bytes = vec![0; trailer_at + FOOTER_TRAILER_LEN];
    put(&mut bytes, 0, &facts.record_count.to_le_bytes());
    put(&mut bytes, 8, &last_lsn.get().to_le_bytes());
    put(&mut bytes, 16, &offset.get().to_le_bytes());
    put(&mut bytes, 24, &facts.successor.get().to_le_bytes());
    put(&mut bytes, 32, &facts.log_first.get().to_le_bytes());
    put(&mut bytes, 40, &(index.len() as u32).to_le_bytes());
    put(&mut bytes, 44, &data_digest.to_le_bytes());
    let places = bytes[FOOTER_FIXED_LEN..index_end].chunks_exact_mut(INDEX_ENTRY_LEN);
    for (place, entry) in places.zip(index) {
        put(place, 0, &entry.first_lsn.get().to_le_bytes());
        put(place, 8, &entry.offset.get().to_le_bytes());
    }
    put(
        &mut bytes,
        trailer_at,
        &FooterTrailer::encode(offset, frame.epoch),
    );
    bytes
}

impl Footer {
    /// Reads the payload of the group with that header (rule 9 of a valid group). Allocates no
    /// more than the payload has bytes.
    ///
    /// # Errors
    ///
    /// A [`GroupError`] that says what is wrong.
    pub fn decode(payload: &[u8], header: &GroupHeader) -> Result<Self, GroupError> {
        check_body(GroupKind::Footer, payload, header)?;
        let Some((rest, trailer)) = payload.split_last_chunk::<FOOTER_TRAILER_LEN>() else {
            return Err(GroupError::Field("the payload is too short for a footer"));
        };
        let Some((fixed, rest)) = rest.split_at_checked(FOOTER_FIXED_LEN) else {
            return Err(GroupError::Field("the payload is too short for a footer"));
        };
        let index_len = u64::from(u32_at(fixed, 40)) * INDEX_ENTRY_LEN as u64;
        let index_len = usize::try_from(index_len).unwrap_or(usize::MAX);
        let split = rest.split_at_checked(index_len);
        let Some((index, filler)) = split.filter(|(_, filler)| filler.len() < MOST_FILLER) else {
            return Err(GroupError::Field(
                "the payload has not the length of its index",
            ));
        };
        if !is_zero(filler) {
            return Err(GroupError::Field(
                "the bytes behind the footer's index are not zeros",
            ));
        }
        if !is_zero(&fixed[RESERVED..]) {
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
            index: index.chunks_exact(INDEX_ENTRY_LEN).map(entry).collect(),
        };
        footer.check(header)?;
        Ok(footer)
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
        let ascends = self
            .index
            .is_sorted_by(|a, b| a.first_lsn < b.first_lsn && a.offset < b.offset);
        let within = self
            .index
            .last()
            .is_none_or(|entry| entry.first_lsn <= self.last_lsn && entry.offset < self.data_len);
        if !ascends || !within {
            return Err(GroupError::Field(
                "the footer's index does not ascend within the data",
            ));
        }
        Ok(())
    }
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
