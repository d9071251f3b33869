//! Reading groups: the records of a payload one by one, the small bodies, the search for headers
//! behind an invalid place.
//!
//! Deliberately absent: the verdict. These functions say what is valid; whether an invalid place
//! is the log's end is decided by who sees the whole log.

use super::Frame;
use super::header::{GroupHeader, GroupKind};
use crate::checksum::{Digest, Salt, crc32};
use crate::compression::Compression;
use crate::control::ControlBody;
use crate::error::{GroupError, RecordError};
use crate::ids::{Epoch, Lsn, Offset};
use crate::limits::CUT_BODY_LEN;
use crate::limits::PAGE_LEN;
use crate::record::{InBatch, RecordHead, verify_record};
use crate::wire::{u32_at, u64_at};

/// Walks the records of one group, window by window, and verifies them and the group as a whole
/// (rule 8 of a valid group).
#[derive(Clone, Debug)]
pub struct RecordsCursor {
    salt: Salt,
    record_limit: u64,
    lsn: Lsn,
    offset: Offset,
    left: u64,
    remaining: u32,
    last: InBatch,
    digest: Digest,
    expected: u32,
}

impl RecordsCursor {
    /// A cursor at the first record of the group.
    ///
    /// # Errors
    ///
    /// [`GroupError::Field`] if it is not a group of at least one record.
    pub fn new(header: &GroupHeader, frame: Frame, record_limit: u64) -> Result<Self, GroupError> {
        if header.kind != GroupKind::Records || header.record_count == 0 {
            return Err(GroupError::Field("not a group of records"));
        }
        Ok(Self {
            salt: frame.salt,
            record_limit,
            lsn: header.first_lsn,
            offset: header.payload_offset(),
            left: u64::from(header.payload_len),
            remaining: header.record_count,
            last: InBatch::Last,
            digest: Digest::new(),
            expected: header.digest,
        })
    }

    /// LSN of the next record (behind the last one: of the next group's first).
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Where the next record starts, in bytes from the start of the file.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        self.offset
    }

    /// Bytes of the payload that lie ahead.
    #[must_use]
    pub const fn payload_left(&self) -> u64 {
        self.left
    }

    /// Records that lie ahead.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Verifies the next record, which `bytes` begin with, and moves behind it; `None` when all
    /// records were verified and the group as a whole is valid.
    ///
    /// # Errors
    ///
    /// [`GroupError::Record`] for a record that is not valid; with [`RecordError::Incomplete`]
    /// in it, the cursor stays and `bytes` must hold more. [`GroupError::Field`] or
    /// [`GroupError::Digest`] if the records do not make the group.
    #[inline]
    pub fn step(&mut self, bytes: &[u8]) -> Result<Option<RecordHead>, GroupError> {
        if self.remaining == 0 {
            return self.finish().map(|()| None);
        }
        match self.verify(bytes) {
            Ok((head, checksum)) => Ok(Some(self.move_behind(head, checksum))),
            Err(error) => Err(self.of_record(error)),
        }
    }

    /// The same for a record that `bytes` hold the whole of, which verifies, and whose value is stored as it is: what most
    /// records are. Otherwise `None`, and the cursor stays where it is.
    #[inline]
    pub fn step_plain(&mut self, bytes: &[u8]) -> Option<RecordHead> {
        if self.remaining == 0 {
            return None;
        }
        let (head, checksum) = self.verify(bytes).ok()?;
        (head.compression == Compression::None).then(|| self.move_behind(head, checksum))
    }

    /// As [`step`](Self::step), for a record that nobody is shown: its checksum is believed. If the fixed part is damaged all
    /// the same, no record behind it verifies in its place, and neither does the group as a whole.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step), but for [`RecordError::Checksum`].
    pub fn pass(&mut self, bytes: &[u8]) -> Result<Option<RecordHead>, GroupError> {
        if self.remaining == 0 {
            return self.finish().map(|()| None);
        }
        let head = RecordHead::parse(bytes, self.left, self.record_limit)
            .map_err(|error| self.of_record(error))?;
        Ok(Some(self.move_behind(head, u32_at(bytes, 0))))
    }

    #[inline]
    fn move_behind(&mut self, head: RecordHead, checksum: u32) -> RecordHead {
        self.digest.push(checksum);
        self.last = head.in_batch;
        self.remaining -= 1;
        self.left -= head.total_len();
        self.offset = Offset::new(self.offset.get() + head.total_len());
        self.lsn = self.lsn.next();
        head
    }

    #[cold]
    fn of_record(&self, error: RecordError) -> GroupError {
        GroupError::Record {
            lsn: self.lsn,
            offset: self.offset,
            error,
        }
    }

    #[inline]
    fn verify(&self, bytes: &[u8]) -> Result<(RecordHead, u32), RecordError> {
        let head = RecordHead::parse(bytes, self.left, self.record_limit)?;
        let mask = self.salt.record_mask(self.lsn, self.offset);
        // `parse` has checked that the record ends within the payload.
        let record = usize::try_from(head.total_len())
            .ok()
            .and_then(|len| bytes.get(..len));
        let checksum = verify_record(record.ok_or(RecordError::Incomplete)?, mask)?;
        Ok((head, checksum))
    }

    fn finish(&self) -> Result<(), GroupError> {
        if self.left != 0 {
            return Err(GroupError::Field("its records do not fill the payload"));
        }
        if self.last != InBatch::Last {
            return Err(GroupError::Field("it ends inside a batch"));
        }
        let found = self.digest.get();
        if found != self.expected {
            return Err(GroupError::Digest {
                expected: self.expected,
                found,
            });
        }
        Ok(())
    }
}

/// Rule 9 of a valid group as far as it is the same for every kind without records.
pub(crate) fn check_body(
    kind: GroupKind,
    payload: &[u8],
    header: &GroupHeader,
) -> Result<(), GroupError> {
    if header.kind != kind {
        return Err(GroupError::Field("another kind of group"));
    }
    if (header.record_count != 0) != (kind == GroupKind::Gap) {
        return Err(GroupError::Field(
            "its count of records does not fit its kind",
        ));
    }
    if payload.len() as u64 != u64::from(header.payload_len) {
        return Err(GroupError::Field(
            "the payload has another length than the header says",
        ));
    }
    let found = crc32(payload);
    if found != header.digest {
        return Err(GroupError::Digest {
            expected: header.digest,
            found,
        });
    }
    Ok(())
}

/// Checks that a stamp has no payload.
///
/// # Errors
///
/// A [`GroupError`] that says what is wrong.
pub fn decode_stamp(payload: &[u8], header: &GroupHeader) -> Result<(), GroupError> {
    check_body(GroupKind::Stamp, payload, header)?;
    if payload.is_empty() {
        Ok(())
    } else {
        Err(GroupError::Field("a stamp with a payload"))
    }
}

/// Checks that a gap has no payload, and takes at least one LSN. How many is in the header.
///
/// # Errors
///
/// A [`GroupError`] that says what is wrong.
pub fn decode_gap(payload: &[u8], header: &GroupHeader) -> Result<(), GroupError> {
    check_body(GroupKind::Gap, payload, header)?;
    if payload.is_empty() {
        Ok(())
    } else {
        Err(GroupError::Field("a gap with a payload"))
    }
}

/// Reads a cut: the log's first LSN from here on.
///
/// # Errors
///
/// A [`GroupError`] that says what is wrong.
pub fn decode_cut(payload: &[u8], header: &GroupHeader) -> Result<Lsn, GroupError> {
    check_body(GroupKind::Cut, payload, header)?;
    if payload.len() != CUT_BODY_LEN {
        return Err(GroupError::Field("the payload has not the length of a cut"));
    }
    Ok(Lsn::new(u64_at(payload, 0)))
}

/// Reads a control group.
///
/// # Errors
///
/// A [`GroupError`] that says what is wrong.
pub fn decode_control(payload: &[u8], header: &GroupHeader) -> Result<ControlBody, GroupError> {
    check_body(GroupKind::Control, payload, header)?;
    ControlBody::decode(payload)
}

/// Checks that an index consists of whole pages. What is in them is checked by who reads one.
///
/// # Errors
///
/// A [`GroupError`] that says what is wrong.
pub fn decode_index(payload: &[u8], header: &GroupHeader) -> Result<(), GroupError> {
    check_body(GroupKind::Index, payload, header)?;
    if !payload.is_empty() && payload.len().is_multiple_of(PAGE_LEN) {
        Ok(())
    } else {
        Err(GroupError::Field("an index that does not consist of pages"))
    }
}

/// Checks a group of an unknown kind, as far as it is the same for every kind.
///
/// # Errors
///
/// A [`GroupError`] that says what is wrong.
pub fn decode_other(payload: &[u8], header: &GroupHeader) -> Result<(), GroupError> {
    check_body(header.kind, payload, header)
}

/// Whether the bytes at a place begin as a group of the segment with this epoch does, valid or not:
/// the remains of a write, as opposed to stale bytes.
#[must_use]
pub fn begins_group(bytes: &[u8], epoch: Epoch) -> bool {
    bytes.starts_with(&super::header::MAGIC) && bytes.len() >= 16 && u64_at(bytes, 8) == epoch.get()
}

/// Searches a window of a file for group headers: every place where one may start is tried, by
/// rules 1 to 4 and 6 of a valid group header. (Rules 5 and 7 are the caller's.) `start` is where
/// the window starts in the file.
///
/// This is what looks for proof behind an invalid place. A header that the window's end cuts off
/// is not found: let windows overlap by 64 bytes.
pub fn scan_headers(
    window: &[u8],
    start: Offset,
    frame: Frame,
) -> impl Iterator<Item = (GroupHeader, u32)> + '_ {
    let first = frame
        .alignment
        .round_up(start.get())
        .saturating_sub(start.get());
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let step = frame.alignment.get() as usize;
    // Most places are told by four bytes: an unused end is zeros, hundreds of megabytes of them.
    let places = window.get(first..).unwrap_or_default().chunks(step);
    places
        .enumerate()
        .filter(|(_, place)| place.starts_with(&super::header::MAGIC))
        .filter_map(move |(at, _)| {
            let at = first + at * step;
            let offset = Offset::new(start.get() + at as u64);
            GroupHeader::decode(&window[at..], frame, offset).ok()
        })
}
