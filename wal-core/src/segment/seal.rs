//! Ends a segment with a footer.

use std::io;

use wal_format::{Control, FooterFacts, GroupWriter, Lsn, Offset, Origin, SegmentId, UnixMillis};
use wal_io::StorageFileExt;

use super::index::SegmentIndex;
use super::live::LiveSegment;
use crate::sync::Arc;

/// A rotated segment that waits for its footer.
#[derive(Debug)]
pub(crate) struct Sealing {
    pub(crate) segment: Arc<LiveSegment>,
    pub(crate) end_lsn: Lsn,
    pub(crate) end_offset: Offset,
    pub(crate) end_digest: u32,
    pub(crate) records: u64,
    pub(crate) index: SegmentIndex,
    /// The control state at its end.
    pub(crate) control: Control,
    /// The time of its last group.
    pub(crate) until: UnixMillis,
    pub(crate) successor: SegmentId,
}

/// Footer, sync, cut. All before the footer is durable, so the footer's own sync is the only one on the file.
pub(crate) fn write_footer(sealing: &Sealing, log_first: Lsn) -> io::Result<()> {
    let mut groups = GroupWriter::new(sealing.segment.frame, 0);
    groups.reset(
        sealing.segment.frame,
        sealing.end_offset,
        sealing.end_digest,
        sealing.end_lsn.next(),
    );
    groups.set_time(sealing.until);
    let header = &sealing.segment.header;
    let room = match header.origin {
        // It is short, and has no room for an index.
        Origin::Reserve => 0,
        _ => header.layout().index_room(sealing.end_offset.get()),
    };
    let mut more = sealing.index.write(&mut groups, room);
    more.control = sealing.control.clone();
    more.time_greatest = more.time_greatest.max(sealing.until);
    let entries = sealing.index.entries();
    groups.footer(&FooterFacts {
        record_count: sealing.records,
        successor: sealing.successor,
        log_first,
        index: entries,
        more: Some(&more),
    });
    let file = &sealing.segment.file;
    file.write_all_at(groups.bytes(), groups.start().get())?;
    // The clean mark is durable before the file is cut behind it.
    file.sync_data()?;
    if header.origin == Origin::Reserve && sealing.successor == SegmentId::NONE {
        // It keeps its space: it becomes the reserve again.
        return Ok(());
    }
    // Not synced: a file that is longer after a crash is read by its groups.
    file.set_len(groups.end().get())
}
