//! Finds the current end of the newest segment, while another process may be writing to it.
//!
//! Each refresh continues where the previous one ended. If a later header says that a group is durable, only its header is
//! read. The other groups are verified in full: they may be incomplete or torn.
//!
//! The caller knows which segment is the newest.

use std::io;

use wal_format::{GroupKind, Lsn, SegmentHeader};

use crate::recovery::{GroupEnd, Scan};
use crate::segment::{ChainEntry, Mark};
use crate::segment::{Files, GroupStep, SEEK_WINDOW, SegmentCursor};
use crate::sync::Arc;

/// A place in the newest segment.
#[derive(Debug, Default)]
pub(super) struct Tip {
    /// The segment, and the end of its last valid group.
    place: Option<(SegmentHeader, SegmentCursor)>,
    /// The same, as a scan found it.
    scanned: Option<(SegmentHeader, GroupEnd)>,
}

/// Facts in the groups up to the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct TipFacts {
    pub(super) end: Mark,
    /// The highest watermark.
    pub(super) proven: Lsn,
    /// The log's first LSN, by cuts.
    pub(super) log_first: Lsn,
}

impl Tip {
    /// Where a scan has ended.
    pub(super) fn of(scan: Option<&Scan>) -> Self {
        let newest = scan.and_then(|scan| scan.chain.last());
        Self {
            place: None,
            scanned: newest.map(|link| (link.facts.header, link.end)),
        }
    }

    /// Finds the end of `entry`.
    pub(super) fn advance(
        &mut self,
        files: &Arc<Files>,
        entry: &ChainEntry,
    ) -> io::Result<TipFacts> {
        let header = entry.header;
        if self.place.as_ref().is_none_or(|(at, _)| *at != header) {
            self.place = None;
            let file = files.open(header.segment_id)?;
            let mut cursor = SegmentCursor::new(file, header, 0);
            if let Some((_, end)) = self.scanned.filter(|(at, _)| *at == header) {
                cursor.return_to((end.offset, end.lsn.next(), None));
            }
            self.place = Some((header, cursor));
        }
        let mut found = TipFacts {
            end: Mark {
                lsn: entry.first_lsn.prev(),
                segment: header.segment_id,
                offset: wal_format::HEADER_LEN,
            },
            proven: Lsn::ZERO,
            log_first: Lsn::ZERO,
        };
        let Some((_, cursor)) = &mut self.place else {
            return Ok(found);
        };
        let outcome = advance(cursor, &mut found);
        if outcome.is_err() {
            // It may be anywhere in a group.
            self.place = None;
        }
        outcome.map(|()| found)
    }
}

fn advance(cursor: &mut SegmentCursor, found: &mut TipFacts) -> io::Result<()> {
    let len = cursor.file_len()?;
    cursor.refresh();
    cursor.set_limit(len);
    cursor.set_window(SEEK_WINDOW);
    let begun = (cursor.offset(), cursor.expected(), cursor.previous_known());
    // The known durable part first: the headers suffice.
    while let GroupStep::Group(header) = cursor.next_group()? {
        cursor.skip_group();
        found.proven = found.proven.max(header.watermark);
    }
    cursor.return_to(begun);
    loop {
        let previous = cursor.previous_known();
        let GroupStep::Group(header) = cursor.next_group()? else {
            break;
        };
        let whole = header.kind != GroupKind::Records
            || (header.end_lsn() <= found.proven)
            || cursor.check_group()?.is_ok();
        if !whole || header.kind == GroupKind::Footer {
            cursor.rewind(&header, previous);
            break;
        }
        if matches!(header.kind, GroupKind::Cut | GroupKind::Control)
            && let Ok(said) = cursor.facts(&header)?
            && let Some(first) = said.log_first()
        {
            found.log_first = found.log_first.max(first);
        }
        cursor.skip_group();
    }
    if cursor.expected() > Lsn::ZERO {
        found.end.lsn = cursor.expected().prev();
        found.end.offset = cursor.offset();
    }
    Ok(())
}
