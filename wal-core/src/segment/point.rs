//! A single record at a known place, read without its group.
//!
//! Deliberately absent: the index.

use std::io;

use wal_format::{
    GROUP_HEADER_LEN, GroupHeader, GroupKind, Lsn, MAX_RECORD_HEAD, Offset, Place, Record,
    RecordHead, SegmentHeader,
};
use wal_io::StorageFile;

use super::window::Window;
use crate::sabotage;

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
    let at = offset.get();
    if at >= limit {
        return Ok(None);
    }
    let mut window = Window::default();
    let mut need = MAX_RECORD_HEAD;
    loop {
        window.load(file, at, need, limit, SEEK_WINDOW)?;
        let bytes = window.from(at);
        let Ok(head) = RecordHead::parse(bytes, limit.saturating_sub(at), header.record_limit)
        else {
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
        let mask = header.salt().record_mask(lsn, offset);
        if wal_format::verify_record(record, mask).is_err() && !sabotage::is("hint-believed") {
            return Ok(None);
        }
        return Ok(wal_format::read_record(&window.slice(at, len), &head).ok());
    }
}

/// Where the record `lsn` starts, going on from `place`, which the index names. Nothing on the way is verified: who reads the
/// record there does it.
pub(crate) fn locate(
    file: &dyn StorageFile,
    header: &SegmentHeader,
    place: Place,
    lsn: Lsn,
    limit: u64,
) -> io::Result<Option<Offset>> {
    let mut window = Window::default();
    let (mut at, mut next) = (place.offset.get(), place.lsn);
    if place.is_group {
        loop {
            window.load(file, at, GROUP_HEADER_LEN, limit, SEEK_WINDOW)?;
            let bytes = window.from(at);
            let Ok((group, _)) = GroupHeader::decode(bytes, header.frame(), Offset::new(at)) else {
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
        window.load(file, at, MAX_RECORD_HEAD, limit, SEEK_WINDOW)?;
        let left = limit.saturating_sub(at);
        let Ok(head) = RecordHead::parse(window.from(at), left, header.record_limit) else {
            return Ok(None);
        };
        (at, next) = (at + head.total_len(), next.next());
    }
    Ok((at < limit && next == lsn).then_some(Offset::new(at)))
}
