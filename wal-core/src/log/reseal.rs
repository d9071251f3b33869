//! Shortens the segment in which the log ends after `truncate_after`.
//!
//! It gets its footer where its data now ends, over records that were removed, and the file is cut after it. The segment that
//! says where it ends is durable by then.

use std::io;

use wal_format::{Control, GroupKind, Offset, SegmentId};
use wal_io::OpenMode;

use super::engine::Engine;
use crate::recovery::GroupEnd;
use crate::segment::{ChainEntry, LiveSegment, Sealing};
use crate::segment::{GroupStep, SegmentCursor, SegmentFacts, SegmentIndex};
use crate::sync::Arc;

impl Engine {
    /// The footer that `entry` gets if its data ends at `end`; `None` if the number of its records is unknown.
    pub(super) fn shortened(
        &self,
        entry: &ChainEntry,
        end: GroupEnd,
        successor: SegmentId,
        control: &Control,
    ) -> io::Result<Option<Sealing>> {
        // The log's space on disk is bounded.
        let header = entry.header;
        let written = {
            let state = self.look();
            let active = state.segments.active();
            let active = active.filter(|active| active.segment.header.epoch == header.epoch);
            active.map(|active| {
                let end = state.buffers.filling().end().get();
                (
                    Arc::clone(&active.segment),
                    active.records,
                    active.index.clone(),
                    end,
                )
            })
        };
        let (segment, records, mut index, data_end) = if let Some(written) = written {
            written
        } else {
            let name = wal_format::segment_name(header.segment_id);
            let file = self.storage.open(&name, OpenMode::ReadWrite)?;
            let Some(footer) = SegmentFacts::footer_of(header, &file)? else {
                // A segment of an earlier session is cut without a footer.
                return Ok(None);
            };
            let segment = Arc::new(LiveSegment::new(header, file));
            let data_end = footer.data_len.get();
            let index = SegmentIndex::from_footer(&header, &footer, &*segment.file)?;
            (segment, footer.record_count, index, data_end)
        };
        let mut cursor = SegmentCursor::new(Arc::clone(&segment.file), header, data_end);
        cursor.jump(end.lsn.next(), Offset::new(end.offset));
        let mut dropped = 0;
        loop {
            match cursor.next_group()? {
                GroupStep::Group(group) => {
                    if group.kind == GroupKind::Records {
                        dropped += u64::from(group.record_count);
                    }
                    cursor.skip_group();
                }
                GroupStep::End => break,
                GroupStep::Invalid(_) => return Ok(None),
            }
        }
        let Some(records) = records.checked_sub(dropped) else {
            return Ok(None);
        };
        index.cut(end.offset);
        let until = self.look().dates.now();
        Ok(Some(Sealing {
            segment,
            end_lsn: end.lsn,
            end_offset: Offset::new(end.offset),
            end_digest: end.digest,
            records,
            index,
            control: control.clone(),
            until,
            successor,
        }))
    }
}
