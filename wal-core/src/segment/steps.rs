//! Walks the groups and records of one segment and verifies each on the way.

use std::io;

use bytes::Bytes;
use wal_format::{
    Epoch, Frame, GROUP_HEADER_LEN, GroupError, GroupFacts, GroupHeader, GroupKind, HEADER_LEN,
    Lsn, MAX_RECORD_HEAD, Offset, Record, RecordError, RecordHead, RecordRef, RecordsCursor,
    SegmentHeader,
};
use wal_io::StorageFile;

use super::window::{WINDOW, Window};
use crate::sync::Arc;
use crate::unknown::Unknown;

/// What stands where a group may start.
#[derive(Debug)]
pub(crate) enum GroupStep {
    /// A valid group header; its payload is read next.
    Group(GroupHeader),
    /// Nothing valid.
    Invalid(GroupError),
    /// The limit.
    End,
}

/// What stands where the open group's next record may start.
#[derive(Debug)]
pub(crate) enum RecordStep {
    /// A valid record.
    Record {
        lsn: Lsn,
        offset: u64,
        head: RecordHead,
    },
    /// All records of the group, which is valid as a whole.
    GroupEnd,
    /// Nothing valid.
    Invalid(GroupError),
}

/// How much more is read at a time, each time.
const GROWTH: usize = 4;

/// Most bytes read at a time on the way to a record.
const PASS_WINDOW: usize = 64 << 10;

/// A place between two groups or two records of a segment.
#[derive(Debug)]
pub(crate) struct SegmentCursor {
    file: Arc<dyn StorageFile>,
    header: SegmentHeader,
    frame: Frame,
    window: Window,
    window_len: usize,
    /// Nothing at or behind this offset is read.
    limit: u64,
    /// Where the next group starts.
    offset: u64,
    lsn: Lsn,
    /// Checksum of the group before; unknown behind an index entry.
    previous: Option<u32>,
    open: Option<RecordsCursor>,
}

impl SegmentCursor {
    /// At the link.
    pub(crate) fn new(file: Arc<dyn StorageFile>, header: SegmentHeader, limit: u64) -> Self {
        Self {
            file,
            frame: header.frame(),
            header,
            window: Window::default(),
            window_len: WINDOW,
            limit,
            offset: HEADER_LEN,
            lsn: Lsn::ZERO,
            previous: Some(0),
            open: None,
        }
    }

    /// Sets how much is read at a time: little while looking for a group. While records are read it grows.
    pub(crate) fn set_window(&mut self, bytes: usize) {
        self.window_len = bytes;
    }

    /// At a group of which only the place and the first LSN are known.
    pub(crate) fn jump(&mut self, lsn: Lsn, offset: Offset) {
        self.return_to((offset.get(), lsn, None));
    }

    /// A place between two groups: its offset, the LSN expected there, and the checksum of the previous group, if known.
    pub(crate) fn return_to(&mut self, (offset, lsn, previous): (u64, Lsn, Option<u32>)) {
        (self.offset, self.lsn, self.previous) = (offset, lsn, previous);
        self.open = None;
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.header.epoch
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Moves the limit; the bytes behind the old one are read anew.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        if limit != self.limit {
            self.limit = limit;
            if !self.window.holds(self.offset, 1) || limit < self.offset {
                self.window.clear();
            }
        }
    }

    /// Forgets bytes in memory that may have changed in the file.
    pub(crate) fn refresh(&mut self) {
        self.window.clear();
    }

    /// Where the next group starts, or the next record of the open one.
    pub(crate) fn offset(&self) -> u64 {
        self.open
            .as_ref()
            .map_or(self.offset, |open| open.offset().get())
    }

    /// The LSN expected in the next group.
    pub(crate) fn expected(&self) -> Lsn {
        self.lsn
    }

    /// Checksum of the last group passed.
    pub(crate) fn previous(&self) -> u32 {
        self.previous.unwrap_or(0)
    }

    /// The same, if it is known.
    pub(crate) fn previous_known(&self) -> Option<u32> {
        self.previous
    }

    pub(crate) fn file_len(&self) -> io::Result<u64> {
        self.file.len()
    }

    pub(crate) fn in_group(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the next step needs no I/O (as far as can be told).
    pub(crate) fn is_buffered(&self) -> bool {
        self.window
            .holds(self.offset(), MAX_RECORD_HEAD.max(GROUP_HEADER_LEN))
    }

    /// Reads and checks the next group's header. Records are then read with [`next_record`](Self::next_record), other
    /// payloads with [`payload`](Self::payload); both move behind the group.
    pub(crate) fn next_group(&mut self) -> io::Result<GroupStep> {
        debug_assert!(self.open.is_none(), "the open group has records left");
        if self.offset >= self.limit {
            return Ok(GroupStep::End);
        }
        self.window.load(
            &*self.file,
            self.offset,
            GROUP_HEADER_LEN,
            self.limit,
            self.window_len,
        )?;
        match Unknown::check(self.check_header())? {
            Ok((header, checksum)) => {
                if header.kind == GroupKind::Records {
                    match RecordsCursor::new(&header, self.frame, self.header.record_limit) {
                        Ok(open) => self.open = Some(open),
                        Err(error) => return Ok(GroupStep::Invalid(error)),
                    }
                }
                if header.kind == GroupKind::Link {
                    self.lsn = header.first_lsn;
                }
                self.pending(&header, checksum);
                Ok(GroupStep::Group(header))
            }
            Err(error) => Ok(GroupStep::Invalid(error)),
        }
    }

    fn check_header(&self) -> Result<(GroupHeader, u32), GroupError> {
        let bytes = self.window.from(self.offset);
        let (header, checksum) = GroupHeader::decode(bytes, self.frame, Offset::new(self.offset))?;
        header.follows(self.lsn, self.previous.unwrap_or(header.previous))?;
        // Invariant 8: no length is believed before it is bounded.
        header.fits(self.limit)?;
        Ok((header, checksum))
    }

    /// Notes where the next group is; undone by [`rewind`](Self::rewind) if this one proves invalid.
    fn pending(&mut self, header: &GroupHeader, checksum: u32) {
        self.offset = self.header.alignment.round_up(header.end_offset());
        self.lsn = header.next_lsn();
        self.previous = Some(checksum);
    }

    /// The payload of a group without records.
    pub(crate) fn payload(&mut self, header: &GroupHeader) -> io::Result<Bytes> {
        let (offset, len) = (header.payload_offset().get(), header.payload_len as usize);
        self.window
            .load(&*self.file, offset, len, self.limit, self.window_len)?;
        if !self.window.holds(offset, len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.window.slice(offset, len))
    }

    /// What a group without records says.
    pub(crate) fn facts(
        &mut self,
        header: &GroupHeader,
    ) -> io::Result<Result<GroupFacts, GroupError>> {
        match self.payload(header) {
            Ok(payload) => Unknown::check(GroupFacts::decode(&payload, header)),
            // The file is shorter than it should be.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let start = header.payload_offset().get();
                let there = start + self.window.from(start).len() as u64;
                header
                    .fits(there)
                    .map_or_else(|short| Ok(Err(short)), |()| Err(error))
            }
            Err(error) => Err(error),
        }
    }

    /// The next record of the open group, if it is whole in memory, valid and not compressed; otherwise stays where it is.
    /// Read it with [`plain_record`](Self::plain_record).
    #[allow(clippy::inline_always)] // As the reader's step.
    #[inline(always)]
    pub(crate) fn record_in_memory(&mut self) -> Option<(Lsn, u64, RecordHead)> {
        let open = self.open.as_mut()?;
        let (lsn, offset) = (open.lsn(), open.offset().get());
        let head = open.step_plain(self.window.from(offset))?;
        Some((lsn, offset, head))
    }

    /// The next record of the open group.
    pub(crate) fn next_record(&mut self) -> io::Result<RecordStep> {
        self.step(RecordsCursor::step, WINDOW)
    }

    /// Reads at most `most` bytes at a time, unless a record is longer.
    fn step(
        &mut self,
        step: impl Fn(&mut RecordsCursor, &[u8]) -> Result<Option<RecordHead>, GroupError>,
        most: usize,
    ) -> io::Result<RecordStep> {
        let Some(open) = &mut self.open else {
            return Ok(RecordStep::GroupEnd);
        };
        let (lsn, offset) = (open.lsn(), open.offset().get());
        let mut need = 0;
        loop {
            match step(open, self.window.from(offset)) {
                Ok(Some(head)) => return Ok(RecordStep::Record { lsn, offset, head }),
                Ok(None) => {
                    self.open = None;
                    return Ok(RecordStep::GroupEnd);
                }
                Err(GroupError::Record {
                    error: RecordError::Incomplete,
                    ..
                }) => {
                    let before = self.window.from(offset).len();
                    let head = RecordHead::parse(
                        self.window.from(offset),
                        open.payload_left(),
                        self.header.record_limit,
                    );
                    let next = match head {
                        Ok(head) => head.total_len() as usize,
                        Err(_) => MAX_RECORD_HEAD.min(open.payload_left() as usize),
                    };
                    if next <= need {
                        return Ok(RecordStep::Invalid(GroupError::TooShort {
                            needed: next as u64,
                            len: before as u64,
                        }));
                    }
                    need = next;
                    let window = self.window_len.min(most);
                    if self
                        .window
                        .load(&*self.file, offset, need, self.limit, window)?
                    {
                        // Whoever reads on reads more at a time.
                        self.window_len = (window * GROWTH).min(WINDOW);
                    }
                }
                Err(error) => return Ok(RecordStep::Invalid(error)),
            }
        }
    }

    /// The record just returned, which is not compressed, without a copy.
    #[inline]
    pub(crate) fn plain_record(&self, offset: u64, head: &RecordHead) -> Record {
        self.window.plain_record(offset, head)
    }

    /// The same, borrowed.
    #[inline]
    pub(crate) fn borrow_record(&self, offset: u64, head: &RecordHead) -> RecordRef<'_> {
        wal_format::borrow_record(self.window.from(offset), head)
    }

    /// The record just returned, without a copy; fails only where its value cannot be read.
    pub(crate) fn record(&self, offset: u64, head: &RecordHead) -> Result<Record, RecordError> {
        self.window.record(offset, head)
    }

    /// Whether the value of the record just returned can be read.
    pub(crate) fn check_value(&self, offset: u64, head: &RecordHead) -> Result<(), RecordError> {
        wal_format::check_value(self.window.from(offset), head)
    }

    /// The bytes of the record just returned, borrowed.
    #[inline]
    pub(crate) fn record_bytes(&self, offset: u64, head: &RecordHead) -> &[u8] {
        &self.window.from(offset)[..head.total_len() as usize]
    }

    /// Whether the open group is valid as a whole; stays where it is.
    pub(crate) fn check_group(&mut self) -> io::Result<Result<(), GroupError>> {
        let Some(saved) = self.open.clone() else {
            return Ok(Ok(()));
        };
        let verdict = loop {
            while self.record_in_memory().is_some() {}
            match self.next_record() {
                Ok(RecordStep::Record { .. }) => {}
                Ok(RecordStep::GroupEnd) => break Ok(Ok(())),
                Ok(RecordStep::Invalid(error)) => break Ok(Err(error)),
                Err(error) => break Err(error),
            }
        };
        self.open = Some(saved);
        verdict
    }

    /// Moves to the record `lsn` of the open group by the lengths of those before it, which are not verified. Stays where it is
    /// if the record does not verify there: who reads on from the group's start finds out why.
    pub(crate) fn pass_until(&mut self, lsn: Lsn) -> io::Result<()> {
        let Some(start) = self.open.clone().filter(|open| open.lsn() < lsn) else {
            return Ok(());
        };
        let passed = self.pass(lsn);
        // If the search fails, start at the group's start, where the damage is.
        self.open = match &passed {
            Ok(Some(there)) => Some(there.clone()),
            Ok(None) | Err(_) => Some(start),
        };
        passed.map(drop)
    }

    /// Moves to the record `lsn` in the open group, and returns its place if the record verifies.
    fn pass(&mut self, lsn: Lsn) -> io::Result<Option<RecordsCursor>> {
        while self.open.as_ref().is_some_and(|open| open.lsn() < lsn) {
            if !matches!(
                self.step(RecordsCursor::pass, PASS_WINDOW)?,
                RecordStep::Record { .. }
            ) {
                return Ok(None);
            }
        }
        let there = self.open.clone();
        let found = matches!(self.next_record()?, RecordStep::Record { .. });
        Ok(there.filter(|_| found))
    }

    /// Back to the start of the group whose header this is.
    pub(crate) fn rewind(&mut self, header: &GroupHeader, previous: Option<u32>) {
        self.return_to((header.offset.get(), header.first_lsn, previous));
    }

    /// Skips the rest of the open group unread.
    pub(crate) fn skip_group(&mut self) {
        self.open = None;
    }
}
