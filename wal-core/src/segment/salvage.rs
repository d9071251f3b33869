//! What can be read of a damaged segment: every record that verifies in its place, in order, whatever is wrong around it.
//!
//! A group's header makes its length safe to believe, so that damage in one record loses that record. Without the header the
//! records behind its place are walked as they come, and the next valid header goes on. Where a record does not say how long
//! it is, the next one is [searched](super::search) for.
//!
//! Deliberately absent: what is missing. Who asks knows which LSNs the log has, and sees which of them do not come.

use std::io;

use bytes::Bytes;
use wal_format::{
    Frame, GROUP_HEADER_LEN, GroupError, GroupHeader, GroupKind, HEADER_LEN, Lsn, MAX_RECORD_HEAD,
    Offset, RecordHead, SegmentHeader, UnixMillis, Version, scan_headers,
};
use wal_io::{StorageFile, StorageFileExt};

use super::window::{WINDOW, Window};
use crate::sync::Arc;
use crate::unknown::Unknown;

/// What trying one LSN costs, in bytes looked at.
pub(super) const TRIAL: u64 = 8;

/// What was found.
#[derive(Debug)]
pub(crate) enum Salvaged {
    /// A record that verifies under its LSN and place.
    Record {
        lsn: Lsn,
        offset: u64,
        head: RecordHead,
    },
    /// LSNs up to this one are recorded as lost.
    Gap { to: Lsn },
}

/// Records that follow each other, as far as they are whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) offset: u64,
    /// Where the records end: with their group, or where the next valid header stands.
    pub(super) end: u64,
    /// The LSN that follows the last of them, if it is known.
    pub(super) until: Option<Lsn>,
    /// Where the next group starts.
    then: u64,
    /// The group's header is not valid: there may be more than one group.
    pub(super) headless: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Group(u64),
    Records(Run),
    End,
}

/// Where the lengths of a run's records lead.
#[derive(Clone, Copy, Debug)]
enum Lengths {
    /// Exactly to its end; the next record on the way that verifies, and its LSN.
    Lead(Option<(u64, Lsn)>),
    Broken,
}

/// A walk through a segment that may be damaged anywhere behind its header.
#[derive(Debug)]
pub(crate) struct Salvage {
    file: Arc<dyn StorageFile>,
    pub(super) header: SegmentHeader,
    pub(super) frame: Frame,
    window: Window,
    limit: u64,
    /// The last LSN that the log takes from the segment, if that is known.
    last: Option<Lsn>,
    /// The LSN expected next.
    pub(super) next: Lsn,
    state: Stage,
    /// Bytes that searches may still look at, so that no input holds a reader up.
    pub(super) budget: u64,
    trouble: Option<(u64, String)>,
    /// The time of the last group of records whose header is valid.
    time: UnixMillis,
    /// The clock was set back before the group that is read, and nobody was told.
    set_back: bool,
}

/// Bytes that all searches in one segment look at, at most.
const BUDGET: u64 = 1 << 30;

impl Salvage {
    /// From the group at `offset` on, where `next` is expected. Nothing at or behind `limit`, and no LSN above `last`.
    pub(crate) fn new(
        file: Arc<dyn StorageFile>,
        header: SegmentHeader,
        (offset, next): (u64, Lsn),
        (limit, last): (u64, Option<Lsn>),
    ) -> Self {
        Self {
            file,
            frame: header.frame(),
            header,
            window: Window::default(),
            limit,
            last,
            next,
            state: Stage::Group(offset),
            budget: BUDGET,
            trouble: None,
            time: UnixMillis::new(0),
            set_back: false,
        }
    }

    /// The time of the group that is read. If its header is not valid, that of the next valid one.
    pub(crate) fn time(&self) -> UnixMillis {
        self.time
    }

    /// Whether the clock was set back before the group that is read. True once.
    pub(crate) fn take_set_back(&mut self) -> bool {
        std::mem::take(&mut self.set_back)
    }

    /// No LSN below this one is expected any more.
    pub(crate) fn expect(&mut self, next: Lsn) {
        self.next = next;
    }

    /// The first thing that did not verify since this was asked, and where.
    pub(crate) fn take_trouble(&mut self) -> Option<(u64, String)> {
        self.trouble.take()
    }

    fn note(&mut self, offset: u64, what: String) {
        if self.trouble.is_none() {
            self.trouble = Some((offset, what));
        }
    }

    /// The next record, or recorded loss; `None` at the end. LSNs ascend.
    pub(crate) fn step(&mut self) -> io::Result<Option<Salvaged>> {
        loop {
            let (state, next) = (self.state, self.next);
            let found = match state {
                Stage::Group(offset) => self.group(offset),
                Stage::Records(run) => self.record(run),
                Stage::End => return Ok(None),
            };
            match found {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) => {
                    // A retry continues where the walk was.
                    (self.state, self.next) = (state, next);
                    return Err(error);
                }
            }
        }
    }

    /// The bytes of the record just found, without a copy.
    pub(crate) fn record_bytes(&self, offset: u64, head: &RecordHead) -> Bytes {
        self.window.slice(offset, head.total_len() as usize)
    }

    fn group(&mut self, offset: u64) -> io::Result<Option<Salvaged>> {
        self.state = Stage::End;
        if offset >= self.limit {
            return Ok(None);
        }
        match self.header_at(offset)? {
            Ok(header) => Ok(self.enter(&header)),
            // A link has no records. Only version 1 says where it ends.
            Err(_) if offset == HEADER_LEN && self.header.version == Version::V1 => {
                let start = self.header.layout().data_start();
                self.state = Stage::Group(start);
                Ok(None)
            }
            Err(_) if offset == HEADER_LEN => {
                self.lost_header(offset)?;
                Ok(None)
            }
            Err(error) => {
                self.note(offset, error.to_string());
                self.lost_header(offset)?;
                Ok(None)
            }
        }
    }

    fn enter(&mut self, header: &GroupHeader) -> Option<Salvaged> {
        self.next = self.next.max(header.first_lsn);
        let then = self.header.alignment.round_up(header.end_offset());
        self.state = Stage::Group(then);
        self.set_back |= header.set_back;
        match header.kind {
            GroupKind::Records if header.record_count > 0 => {
                self.time = header.time;
                self.state = Stage::Records(Run {
                    offset: header.payload_offset().get(),
                    end: header.end_offset(),
                    until: Some(header.next_lsn()),
                    then,
                    headless: false,
                });
                None
            }
            GroupKind::Gap if header.record_count > 0 => {
                self.next = header.next_lsn();
                Some(Salvaged::Gap {
                    to: header.end_lsn(),
                })
            }
            GroupKind::Footer => {
                self.state = Stage::End;
                None
            }
            _ => None,
        }
    }

    /// Where no valid header is: its records end before the next one at the latest.
    fn lost_header(&mut self, offset: u64) -> io::Result<()> {
        let found = self.find_header(offset + 8)?;
        // No record is later than the groups up to there.
        let time = found.as_ref().map_or(self.time, |header| header.time);
        self.time = self.time.max(time);
        let (end, until) = match &found {
            Some(header) => {
                // What lies before a group is not later than it.
                self.time = self.time.max(header.time);
                (header.offset.get(), Some(header.first_lsn))
            }
            None => (self.limit, self.last.map(Lsn::next)),
        };
        self.state = if until == Some(self.next) {
            // Nothing is lost: a stamp, or the padding of another alignment.
            Stage::Group(end)
        } else {
            Stage::Records(Run {
                offset: offset + GROUP_HEADER_LEN as u64,
                end,
                until,
                then: end,
                headless: true,
            })
        };
        Ok(())
    }

    /// The group header at `offset`, if it is valid there and may follow.
    pub(crate) fn header_at(&mut self, offset: u64) -> io::Result<Result<GroupHeader, GroupError>> {
        let need = GROUP_HEADER_LEN;
        self.window
            .load(&*self.file, offset, need, self.limit, WINDOW)?;
        let at = Offset::new(offset);
        let decoded = GroupHeader::decode(self.window.from(offset), self.frame, at);
        let decoded = Unknown::check(decoded)?;
        Ok(decoded.and_then(|(header, _)| {
            header.fits(self.limit)?;
            if self.may_follow(&header) {
                return Ok(header);
            }
            Err(GroupError::Lsn {
                expected: self.next,
                found: header.first_lsn,
            })
        }))
    }

    fn may_follow(&self, header: &GroupHeader) -> bool {
        header.first_lsn >= self.next && self.last.is_none_or(|last| header.end_lsn() <= last)
    }

    /// The first valid header at or behind `from` that may follow.
    pub(crate) fn find_header(&self, from: u64) -> io::Result<Option<GroupHeader>> {
        let alignment = self.header.alignment;
        let mut start = alignment.round_up(from);
        let left = usize::try_from(self.limit.saturating_sub(start)).unwrap_or(WINDOW);
        let mut piece = vec![0; WINDOW.min(left)];
        while start < self.limit {
            let want = piece.len().min((self.limit - start) as usize);
            let filled = self.file.read_full_at(&mut piece[..want], start)?;
            let headers = scan_headers(&piece[..filled], Offset::new(start), self.frame);
            let found = headers
                .map(|(header, _)| header)
                .find(|header| header.fits(self.limit).is_ok() && self.may_follow(header));
            if found.is_some() || filled < want || start + filled as u64 >= self.limit {
                return Ok(found);
            }
            // The pieces overlap, so that a header across their border is seen whole.
            start += alignment
                .round_down((filled - GROUP_HEADER_LEN) as u64)
                .max(8);
        }
        Ok(None)
    }

    fn record(&mut self, run: Run) -> io::Result<Option<Salvaged>> {
        self.state = Stage::Group(run.then);
        let lsn = self.next;
        if run.offset >= run.end
            || run.until.is_some_and(|until| lsn >= until)
            || self.last.is_some_and(|last| lsn > last)
        {
            return Ok(None);
        }
        let offset = run.offset;
        if let Some(head) = self.record_at(offset, run.end, lsn)? {
            self.next = lsn.next();
            self.go_on(Run {
                offset: offset + head.total_len(),
                ..run
            });
            return Ok(Some(Salvaged::Record { lsn, offset, head }));
        }
        self.note(offset, format!("no valid record with LSN {lsn}"));
        if let Some((offset, lsn)) = self.resync(&run)? {
            self.next = lsn;
            self.go_on(Run { offset, ..run });
        } else if let Some(until) = run.until {
            self.next = until;
        }
        Ok(None)
    }

    fn go_on(&mut self, run: Run) {
        self.state = Stage::Records(run);
    }

    /// The next record behind one that does not verify, and its LSN.
    fn resync(&mut self, run: &Run) -> io::Result<Option<(u64, Lsn)>> {
        let (offset, lsn) = (run.offset, self.next);
        if let Lengths::Lead(found) = self.follow_lengths(run)? {
            return Ok(found);
        }
        if let Some(head) = self.head_at(offset, run.end)? {
            let behind = (offset + head.total_len(), lsn.next());
            let within = run.until.is_none_or(|until| behind.1 < until);
            if within && self.record_at(behind.0, run.end, behind.1)?.is_some() {
                return Ok(Some(behind));
            }
        }
        if run.headless {
            let next_group = self.behind_header(offset);
            if self.record_at(next_group, run.end, lsn)?.is_some() {
                return Ok(Some((next_group, lsn)));
            }
        }
        self.search(run)
    }

    /// Goes from record to record by their lengths, whatever has become of the values.
    fn follow_lengths(&mut self, run: &Run) -> io::Result<Lengths> {
        let (mut offset, mut lsn) = (run.offset, self.next);
        let mut found = None;
        while !run.is_end((offset, lsn), self.header.alignment) {
            let within = run.until.is_some_and(|until| lsn < until);
            let Some(head) = self.head_at(offset, run.end)? else {
                return Ok(Lengths::Broken);
            };
            if !within || !self.spend(TRIAL) {
                return Ok(Lengths::Broken);
            }
            if found.is_none()
                && offset > run.offset
                && self.record_at(offset, run.end, lsn)?.is_some()
            {
                found = Some((offset, lsn));
            }
            (offset, lsn) = (offset + head.total_len(), lsn.next());
        }
        Ok(Lengths::Lead(found))
    }

    /// Where the records of a group begin whose header stands at or right behind `offset`.
    pub(super) fn behind_header(&self, offset: u64) -> u64 {
        self.header.alignment.round_up(offset) + GROUP_HEADER_LEN as u64
    }

    /// The fixed part of a record at `offset`, if it could be one.
    pub(super) fn head_at(&mut self, offset: u64, end: u64) -> io::Result<Option<RecordHead>> {
        let Some(left) = end.checked_sub(offset).filter(|left| *left > 0) else {
            return Ok(None);
        };
        let need = (MAX_RECORD_HEAD as u64).min(left) as usize;
        self.window
            .load(&*self.file, offset, need, self.limit, WINDOW)?;
        let bytes = self.window.from(offset);
        Ok(RecordHead::parse(bytes, left, self.header.record_limit).ok())
    }

    /// The bytes of the record at `offset`, as far as the file has them.
    pub(super) fn bytes_at(&mut self, offset: u64, len: u64) -> io::Result<&[u8]> {
        let need = usize::try_from(len).unwrap_or(usize::MAX);
        self.window
            .load(&*self.file, offset, need, self.limit, WINDOW)?;
        Ok(self.window.from(offset).get(..need).unwrap_or_default())
    }

    /// The record at `offset`, if it verifies there for that LSN.
    pub(super) fn record_at(
        &mut self,
        offset: u64,
        end: u64,
        lsn: Lsn,
    ) -> io::Result<Option<RecordHead>> {
        let Some(head) = self.head_at(offset, end)? else {
            return Ok(None);
        };
        let mask = self.frame.salt.record_mask(lsn, Offset::new(offset));
        let bytes = self.bytes_at(offset, head.total_len())?;
        Ok(wal_format::verify_record(bytes, mask)
            .is_ok()
            .then_some(head))
    }
}

impl Run {
    /// Whether nothing of it follows a record that ends there, before that LSN.
    pub(super) fn is_end(&self, (end, next): (u64, Lsn), alignment: wal_format::Alignment) -> bool {
        let reached = end == self.end || (self.headless && alignment.round_up(end) == self.end);
        reached && self.until == Some(next)
    }
}
