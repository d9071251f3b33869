//! A single record at a known place, read without its group.
//!
//! Deliberately absent: the index.

use std::io;

use wal_format::{
    GROUP_HEADER_LEN, GroupHeader, GroupKind, Lsn, MAX_RECORD_HEAD, Offset, Place, Record,
    RecordHead, SegmentHeader, index_step,
};
use wal_io::StorageFile;

use super::window::Window;

/// Read at a time while looking for a group or a single record.
pub(crate) const SEEK_WINDOW: usize = 4096;
/// Read at a time on the way over all groups of a segment, of which only the headers are looked at.
pub(crate) const WALK_WINDOW: usize = 64 << 10;

/// The record at `offset`, if it is whole and has that LSN.
pub(crate) fn record_at(
    file: &dyn StorageFile,
    header: &SegmentHeader,
    lsn: Lsn,
    offset: Offset,
    limit: u64,
) -> io::Result<Option<Record>> {
    let mut near = Near::new(file, header, limit, SEEK_WINDOW);
    near.record(lsn, offset)
}

/// The record `lsn` and where it starts, going on from `place`, which the index names. One read, unless the index is coarse or the
/// record long.
pub(crate) fn record_after(
    file: &dyn StorageFile,
    header: &SegmentHeader,
    place: Place,
    lsn: Lsn,
    limit: u64,
) -> io::Result<Option<(Record, Offset)>> {
    let step = usize::try_from(index_step(header.capacity)).unwrap_or(SEEK_WINDOW);
    let mut near = Near::new(file, header, limit, step + SEEK_WINDOW / 2);
    let Some(offset) = near.locate(place, lsn)? else {
        return Ok(None);
    };
    let record = near.record(lsn, offset)?;
    Ok(record.map(|record| (record, offset)))
}

/// A part of a segment in memory, in which a record is looked for.
struct Near<'a> {
    file: &'a dyn StorageFile,
    header: &'a SegmentHeader,
    limit: u64,
    window: Window,
    /// Read at a time.
    window_len: usize,
}

impl<'a> Near<'a> {
    fn new(
        file: &'a dyn StorageFile,
        header: &'a SegmentHeader,
        limit: u64,
        window_len: usize,
    ) -> Self {
        Self {
            file,
            header,
            limit,
            window: Window::default(),
            window_len,
        }
    }

    fn load(&mut self, at: u64, need: usize) -> io::Result<()> {
        self.window
            .load(self.file, at, need, self.limit, self.window_len)
            .map(drop)
    }

    /// The record at `offset`, if it is whole and has that LSN.
    fn record(&mut self, lsn: Lsn, offset: Offset) -> io::Result<Option<Record>> {
        let (at, limit) = (offset.get(), self.limit);
        if at >= limit {
            return Ok(None);
        }
        let mut need = MAX_RECORD_HEAD;
        loop {
            self.load(at, need)?;
            let bytes = self.window.from(at);
            let left = limit.saturating_sub(at);
            let Ok(head) = RecordHead::parse(bytes, left, self.header.record_limit) else {
                return Ok(None);
            };
            let len = head.total_len() as usize;
            let Some(record) = bytes.get(..len) else {
                if need >= len {
                    return Ok(None);
                }
                need = len;
                continue;
            };
            // A hint is believed only where the record there verifies for the LSN.
            let mask = self.header.salt().record_mask(lsn, offset);
            if wal_format::verify_record(record, mask).is_err() {
                return Ok(None);
            }
            return Ok(wal_format::read_record(&self.window.slice(at, len), &head).ok());
        }
    }

    /// Where the record `lsn` starts, going on from `place`. Nothing on the way is verified: who reads the record there does it.
    fn locate(&mut self, place: Place, lsn: Lsn) -> io::Result<Option<Offset>> {
        let (header, limit) = (self.header, self.limit);
        let (mut at, mut next) = (place.offset.get(), place.lsn);
        if place.is_group {
            loop {
                self.load(at, GROUP_HEADER_LEN)?;
                let bytes = self.window.from(at);
                let Ok((group, _)) = GroupHeader::decode(bytes, header.frame(), Offset::new(at))
                else {
                    return Ok(None);
                };
                let holds = group.next_lsn() > lsn;
                if group.first_lsn > lsn || (holds && group.kind != GroupKind::Records) {
                    return Ok(None);
                }
                next = group.first_lsn;
                if holds {
                    at = group.payload_offset().get();
                    break;
                }
                at = header.alignment.round_up(group.end_offset());
            }
        }
        while next < lsn {
            self.load(at, MAX_RECORD_HEAD)?;
            let left = limit.saturating_sub(at);
            let Ok(head) = RecordHead::parse(self.window.from(at), left, header.record_limit)
            else {
                return Ok(None);
            };
            (at, next) = (at + head.total_len(), next.next());
        }
        Ok((at < limit && next == lsn).then_some(Offset::new(at)))
    }
}
