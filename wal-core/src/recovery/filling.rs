//! A new segment while records are copied into it.

use std::io;

use wal_format::{ControlChange, GroupWriter, Lsn, Origin, RecordHead, SegmentHeader, UnixMillis};
use wal_io::{StorageFile, StorageFileExt};

use crate::segment::SegmentIndex;
use crate::sync::Arc;

/// Bytes collected before they are written.
pub(crate) const PIECE: usize = 1 << 20;

/// The new file while it is being filled.
pub(crate) struct Filling<'a> {
    pub(crate) header: SegmentHeader,
    pub(crate) groups: GroupWriter,
    pub(crate) file: &'a Arc<dyn StorageFile>,
    pub(crate) index: SegmentIndex,
    /// Of the open group, or the next one.
    pub(crate) time: UnixMillis,
    pub(crate) records: u64,
    pub(crate) truncations: u32,
}

impl Filling<'_> {
    /// Whether truncations of the oldest records in the segment count, as long as the log lives in its reserve.
    pub(crate) fn counts(&self, source: &SegmentHeader) -> bool {
        self.header.origin == Origin::Reserve && source.origin == Origin::Reserve
    }

    /// Takes a truncation of the oldest records over.
    pub(crate) fn truncation(&mut self, first: Option<Lsn>, watermark: Lsn) {
        if let Some(first) = first {
            let change = [ControlChange::First(first)];
            self.groups.change(&change, watermark);
            self.truncations += 1;
        }
    }

    /// Bytes of the open group so far.
    pub(crate) fn open_len(&self) -> u64 {
        let start = self.groups.open_group_start();
        start.map_or(0, |(_, start)| self.groups.end().get() - start.get())
    }

    /// The records that follow are of a group with that time and flag. If they enter the open group, it has the later time.
    pub(crate) fn date(&mut self, time: UnixMillis, set_back: bool) {
        self.time = if self.groups.is_group_open() {
            self.time.max(time)
        } else {
            time
        };
        if set_back {
            self.groups.set_back();
        }
    }

    /// Closes the open group.
    pub(crate) fn end_group(&mut self, watermark: Lsn) -> io::Result<()> {
        if self.groups.is_group_open() {
            self.index.group_end(self.time);
        }
        self.groups.set_time(self.time);
        self.groups.close_group(watermark);
        if self.groups.len() >= PIECE {
            self.write()?;
        }
        Ok(())
    }

    /// Records that the LSNs up to `to` are lost.
    pub(crate) fn gap(&mut self, to: Lsn, watermark: Lsn) -> io::Result<()> {
        self.end_group(watermark)?;
        self.groups.gap(to, watermark);
        self.end_group(watermark)
    }

    /// Takes a record over; the last one of all ends its batch, whatever it was a part of.
    pub(crate) fn push(&mut self, record: &[u8], head: &RecordHead, mask: u32, last: bool) {
        let opens = self.groups.open_group_start().is_none();
        let cut = last && head.in_batch == wal_format::InBatch::More;
        // Invariant 2: a group ends its batches.
        let place = if cut {
            let mut record = record.to_vec();
            wal_format::end_batch(&mut record, mask);
            self.groups.push_stored(&record, mask)
        } else {
            self.groups.push_stored(record, mask)
        };
        self.records += 1;
        if let Some((first_lsn, offset)) = self.groups.open_group_start().filter(|_| opens) {
            self.index.group(first_lsn, offset);
        }
        self.index.record(place.0, place.1);
    }

    /// Writes what is collected, and goes on behind it.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        self.file
            .write_all_at(self.groups.bytes(), self.groups.start().get())?;
        let (end, previous, next) = (
            self.groups.end(),
            self.groups.previous(),
            self.groups.next_lsn(),
        );
        let header = self.header;
        self.groups.reset(header.frame(), end, previous, next);
        Ok(())
    }
}
