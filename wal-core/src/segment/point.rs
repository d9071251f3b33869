//! A single record at a known place, read without its group.
//!
//! Deliberately absent: finding the place.

use std::io;

use wal_format::{Lsn, MAX_RECORD_HEAD, Offset, Record, RecordHead, SegmentHeader};
use wal_io::StorageFile;

use super::window::Window;

/// Read at a time while looking for a group or a single record.
pub(crate) const SEEK_WINDOW: usize = 4096;

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
        if wal_format::verify_record(record, header.salt().record_mask(lsn, offset)).is_err() {
            return Ok(None);
        }
        return Ok(wal_format::read_record(&window.slice(at, len), &head).ok());
    }
}
