//! Looking behind an invalid place: for proof that it was durable, and for how far the leftovers reach.

use std::io;

use wal_format::{
    GROUP_HEADER_LEN, GroupHeader, GroupKind, Lsn, Offset, Version, begins_group, scan_headers,
};
use wal_io::StorageFileExt;

use crate::segment::SegmentFacts;

/// Bytes looked at in one piece.
const PIECE: usize = 256 << 10;

/// What lies behind an invalid place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// The header with the highest watermark, and where it stands.
    pub(crate) witness: Option<(Lsn, Offset)>,
    /// The highest LSN that a valid group header there speaks of.
    pub(crate) last_lsn: Lsn,
    /// A stamp there, from version 2 on: it was written when all before it was synced.
    pub(crate) proof: Option<Offset>,
    /// Bytes from the invalid place to the end of the last group of this segment that was begun there. Stale bytes, which no
    /// header of this segment speaks for, do not count.
    pub(crate) left_behind: u64,
}

/// Tries every place from `from` on as a group header, up to `limit`.
pub(crate) fn look_beyond(segment: &SegmentFacts, from: u64, limit: u64) -> io::Result<Beyond> {
    let mut beyond = Beyond::default();
    let file = segment.open()?;
    let frame = segment.header.frame();
    let mut piece =
        vec![0; PIECE.min(usize::try_from(limit.saturating_sub(from)).unwrap_or(PIECE))];
    let mut start = from;
    while start < limit {
        let want = piece.len().min((limit - start) as usize);
        let filled = file.read_full_at(&mut piece[..want], start)?;
        let bytes = &piece[..filled];
        if start == from && begins_group(bytes, frame.epoch) {
            // A group of this segment, whatever has become of it.
            beyond.left_behind = (bytes.len() as u64).min(GROUP_HEADER_LEN as u64);
        }
        for (header, _) in scan_headers(bytes, Offset::new(start), frame) {
            beyond.note(&header, from, limit);
        }
        if filled < want || start + filled as u64 >= limit {
            break;
        }
        // The pieces overlap, so that a header across their border is seen whole.
        start += frame
            .alignment
            .round_down((filled - GROUP_HEADER_LEN) as u64)
            .max(8);
    }
    Ok(beyond)
}

impl Beyond {
    fn note(&mut self, header: &GroupHeader, from: u64, limit: u64) {
        let end = header.end_offset().min(limit);
        self.left_behind = self.left_behind.max(end - from);
        if header.fits(limit).is_err() {
            return;
        }
        self.last_lsn = self.last_lsn.max(header.end_lsn());
        let is_proof = header.kind == GroupKind::Stamp
            && header.version >= Version::V2
            && header.watermark == header.first_lsn.prev();
        if is_proof {
            self.proof = Some(header.offset);
        }
        if self
            .witness
            .is_none_or(|(watermark, _)| header.watermark > watermark)
        {
            self.witness = Some((header.watermark, header.offset));
        }
    }
}
