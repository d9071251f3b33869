//! A whole segment in memory, for tools that decode a file with this crate alone. It is built on
//! the same decoders as the log's own readers.
//!
//! Deliberately absent: other segments. Where a successor's link ends the data earlier, or proves
//! that it should go on, only who reads the whole log knows.

mod content;

pub use content::{BorrowedRecord, GroupBody, GroupView, Records, RecordsView};

use crate::error::{GroupError, HeaderError};
use crate::group::Footer;
use crate::group::{Frame, GroupFacts, GroupHeader, GroupKind, RecordsCursor, scan_headers};
use crate::ids::{Lsn, Offset, SegmentId};
use crate::limits::{GROUP_HEADER_LEN, HEADER_LEN};
use crate::segment::SegmentHeader;
use crate::wire::is_zero;

/// The first invalid place of a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid at offset {offset}, where LSN {lsn} is expected: {error}")]
pub struct InvalidAt {
    /// Where the group that is not valid starts, or would start.
    pub offset: Offset,
    /// The LSN expected there.
    pub lsn: Lsn,
    /// What is wrong.
    pub error: GroupError,
    /// A group header behind the place that proves that it was durable: then the place is
    /// corruption. `None` proves nothing: a torn tail, or damage that only the rest of the log
    /// (a successor) can prove.
    pub witness: Option<GroupHeader>,
}

/// Why a whole segment was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The segment header is not valid.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A group is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidAt),
}

/// A segment in memory.
#[derive(Clone, Copy, Debug)]
pub struct SegmentView<'a> {
    header: SegmentHeader,
    bytes: &'a [u8],
}

impl<'a> SegmentView<'a> {
    /// Reads the segment header of the file that is `bytes`; `id` is the one in its name.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Header`] if the header is not valid.
    pub fn parse(bytes: &'a [u8], id: SegmentId) -> Result<Self, SegmentError> {
        Ok(Self {
            header: SegmentHeader::decode(bytes, id)?,
            bytes,
        })
    }

    /// The segment header.
    #[must_use]
    pub const fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Walks the groups in order, the link first, each verified whole.
    #[must_use]
    pub fn groups(&self) -> Groups<'a> {
        Groups {
            header: self.header,
            frame: self.header.frame(),
            bytes: self.bytes,
            offset: Offset::new(HEADER_LEN),
            lsn: Lsn::ZERO,
            previous: 0,
            ended: None,
        }
    }
}

/// Why a walk over groups is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Footer,
    Invalid,
}

/// Walks the groups of a segment.
///
/// It ends behind the footer, and where nothing stands any more (zeros, or the file's end) and
/// nothing behind proves that something did. Any other first invalid place is an error, yielded
/// once.
#[derive(Clone, Debug)]
pub struct Groups<'a> {
    header: SegmentHeader,
    frame: Frame,
    bytes: &'a [u8],
    offset: Offset,
    lsn: Lsn,
    previous: u32,
    ended: Option<Ended>,
}

impl<'a> Groups<'a> {
    /// Where the next group is expected, in bytes from the start of the file: at the end of the
    /// walk, where the valid data ends.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        self.offset
    }

    /// The LSN expected there; [`Lsn::ZERO`] before the link.
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        self.lsn
    }

    /// Whether the walk came to a footer: the segment is whole.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.ended == Some(Ended::Footer)
    }

    fn read(&self) -> Result<GroupView<'a>, GroupError> {
        let bytes = from(self.bytes, self.offset);
        let (header, checksum) = GroupHeader::decode(bytes, self.frame, self.offset)?;
        header.follows(self.lsn, self.previous)?;
        header.fits(self.bytes.len() as u64)?;
        let payload = &bytes[GROUP_HEADER_LEN..][..header.payload_len as usize];
        let body = match header.kind {
            GroupKind::Records => GroupBody::Records(self.records(&header, payload)?),
            _ => GroupBody::Facts(GroupFacts::decode(payload, &header)?),
        };
        Ok(GroupView {
            header,
            checksum,
            body,
        })
    }

    /// Verifies each record of a group and the group as a whole.
    fn records(
        &self,
        header: &GroupHeader,
        payload: &'a [u8],
    ) -> Result<RecordsView<'a>, GroupError> {
        let record_limit = self.header.record_limit;
        let mut cursor = RecordsCursor::new(header, self.frame, record_limit)?;
        let mut rest = payload;
        while let Some(head) = cursor.step(rest)? {
            rest = &rest[head.total_len() as usize..];
        }
        Ok(RecordsView {
            header: *header,
            record_limit,
            payload,
        })
    }

    /// What is said about the first invalid place; `None` if nothing stands there, and nothing
    /// behind it proves that something did.
    fn invalid(&self, error: GroupError) -> Option<InvalidAt> {
        let rest = from(self.bytes, self.offset);
        let head = &rest[..rest.len().min(GROUP_HEADER_LEN)];
        let witness = self.witness(rest);
        let unwritten = self.offset.get() > HEADER_LEN && is_zero(head);
        let said = !unwritten || witness.is_some();
        said.then_some(InvalidAt {
            offset: self.offset,
            lsn: self.lsn,
            error,
            witness,
        })
    }

    /// A header behind the invalid place that proves that the place was durable: one whose
    /// watermark is at or above the LSN expected there, or a valid footer's.
    fn witness(&self, rest: &[u8]) -> Option<GroupHeader> {
        let mut expected = self.lsn;
        scan_headers(rest, self.offset, self.frame)
            .map(|(header, _)| header)
            .filter(|header| header.offset > self.offset)
            .filter(|header| header.fits(self.bytes.len() as u64).is_ok())
            .find(|header| {
                // Without a link, the first LSN seen stands in: a durable one implies the link.
                if expected == Lsn::ZERO {
                    expected = header.first_lsn;
                }
                header.watermark >= expected || self.is_footer(header)
            })
    }

    fn is_footer(&self, header: &GroupHeader) -> bool {
        let payload = from(self.bytes, header.payload_offset());
        let payload = payload.get(..header.payload_len as usize);
        payload.is_some_and(|payload| Footer::decode(payload, header).is_ok())
    }
}

/// The bytes from `offset` on; none behind the end.
fn from(bytes: &[u8], offset: Offset) -> &[u8] {
    let start = usize::try_from(offset.get()).unwrap_or(usize::MAX);
    bytes.get(start..).unwrap_or_default()
}

impl<'a> Iterator for Groups<'a> {
    type Item = Result<GroupView<'a>, InvalidAt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended.is_some() {
            return None;
        }
        match self.read() {
            Ok(group) => {
                let end = group.header.end_offset();
                self.lsn = group.header.next_lsn();
                self.previous = group.checksum;
                if group.header.kind == GroupKind::Footer {
                    self.ended = Some(Ended::Footer);
                    self.offset = Offset::new(end);
                } else {
                    self.offset = Offset::new(self.header.alignment.round_up(end));
                }
                Some(Ok(group))
            }
            Err(error) => {
                self.ended = Some(Ended::Invalid);
                self.invalid(error).map(Err)
            }
        }
    }
}
