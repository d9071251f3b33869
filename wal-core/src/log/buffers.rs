//! The buffers: one that is being filled, those that wait to be handed over, and empty ones.

use std::collections::VecDeque;
use std::time::Duration;

use wal_format::{EncodedRecord, Frame, GroupWriter, Lsn, Offset, SegmentId, UnixMillis};

use crate::segment::LiveSegment;
use crate::sync::Arc;

/// What was appended since the log was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) calls: u64,
    pub(super) records: u64,
    /// As encoded.
    pub(super) bytes: u64,
}

/// What an append has found, for those behind it: as long as the open group ends in time, a record enters it and nobody has
/// to be told. Void with the buffer that it was found for, and when the log takes no more records.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gate {
    /// A file offset.
    pub(super) until: u64,
    pub(super) segment: SegmentId,
    /// The index gets a record that starts at this file offset or after it.
    pub(super) next_place: u64,
}

/// Bytes on their way to the operating system.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) segment: Arc<LiveSegment>,
    pub(super) groups: GroupWriter,
    pub(super) end_lsn: Lsn,
    /// Counts the buffers.
    pub(super) serial: u64,
    /// Watermark of its last group.
    pub(super) watermark: Lsn,
    /// When the oldest record in it was appended.
    pub(super) since: Option<Duration>,
    /// Zeros were written ahead of it.
    pub(super) on_zeros: bool,
    /// It changes the control state.
    pub(super) changes: bool,
}

/// See the module's head.
// In this order: what every append changes lies together, in the few cache lines behind the lock itself, which wander from
// core to core with it.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Buffers {
    gate: Gate,
    next_lsn: Lsn,
    totals: Totals,
    filling: GroupWriter,
    /// When the oldest record in it was appended.
    since: Option<Duration>,
    /// Counts the buffers; a buffer holds records and control groups.
    serial: u64,
    /// Watermark of the last group in it.
    watermark: Lsn,
    /// When a record or a change was appended last.
    last_append: Duration,
    frozen: VecDeque<Handover>,
    free: Vec<GroupWriter>,
}

impl Buffers {
    pub(super) fn new(filling: GroupWriter, next_lsn: Lsn, now: Duration) -> Self {
        Self {
            gate: Gate::default(),
            next_lsn,
            totals: Totals::default(),
            filling,
            since: None,
            serial: 1,
            watermark: Lsn::ZERO,
            last_append: now,
            frozen: VecDeque::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    pub(super) fn last_lsn(&self) -> Lsn {
        self.next_lsn.prev()
    }

    #[inline]
    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The buffer being filled.
    pub(super) fn filling(&self) -> &GroupWriter {
        &self.filling
    }

    /// Counts the buffers: that of the one being filled.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn last_append(&self) -> Duration {
        self.last_append
    }

    /// When the oldest part of the buffer being filled has entered.
    pub(super) fn filling_since(&self) -> Option<Duration> {
        self.since
    }

    /// When the oldest record that is not with the operating system yet was appended.
    pub(super) fn unwritten_since(&self) -> Option<Duration> {
        let frozen = self.frozen.iter().find_map(|handover| handover.since);
        frozen.or(self.since)
    }

    /// Whether buffers wait to be handed over.
    pub(super) fn are_waiting(&self) -> bool {
        !self.frozen.is_empty()
    }

    /// The segment that the gate is for.
    #[inline]
    pub(super) fn segment(&self) -> SegmentId {
        self.gate.segment
    }

    /// Whether `bytes` bytes enter the open group without another look.
    #[inline]
    pub(super) fn is_open_for(&self, bytes: usize) -> bool {
        self.filling.room_for(bytes) <= self.gate.until && self.filling.is_group_open()
    }

    pub(super) fn set_gate(&mut self, gate: Gate) {
        self.gate = gate;
    }

    /// From here on an append looks at everything again.
    pub(super) fn shut_gate(&mut self) {
        self.gate = Gate::default();
    }

    /// Where the next record will stand in the active segment's file.
    pub(super) fn next_record_offset(&self) -> Offset {
        match self.filling.open_group_start() {
            Some(_) => Offset::new(self.filling.start().get() + self.filling.len() as u64),
            None => Offset::new(self.filling.end().get() + wal_format::GROUP_HEADER_LEN as u64),
        }
    }

    /// Something enters the buffer.
    pub(super) fn enter(&mut self, now: Duration) {
        self.since.get_or_insert(now);
        self.last_append = now;
    }

    /// Adds records: there is room. `note` notes a place in the index, and says from where on the next one is due. Returns the
    /// first record's place, if there is a record.
    #[inline]
    pub(super) fn push(
        &mut self,
        records: &[EncodedRecord<'_>],
        bytes: usize,
        mut note: impl FnMut(Lsn, Offset) -> u64,
    ) -> Option<(Lsn, Offset)> {
        let mut first = None;
        for record in records {
            let (lsn, offset) = self.filling.push(record);
            first.get_or_insert((lsn, offset));
            if offset.get() >= self.gate.next_place {
                self.gate.next_place = note(lsn, offset);
            }
        }
        self.next_lsn = self.filling.next_lsn();
        self.totals.calls += 1;
        self.totals.records += records.len() as u64;
        self.totals.bytes += bytes as u64;
        first
    }

    /// The clock was set back before the next record.
    pub(super) fn set_back(&mut self) {
        self.filling.set_back();
    }

    /// The time of groups that end from now on.
    pub(super) fn set_time(&mut self, time: UnixMillis) {
        self.filling.set_time(time);
    }

    /// Ends the group being filled, if one is open.
    pub(super) fn close_group(&mut self, watermark: Lsn) {
        if self.filling.open_group_start().is_some() {
            self.watermark = watermark;
        }
        self.filling.close_group(watermark);
    }

    /// Adds a group that holds no records, with this watermark.
    pub(super) fn add_group(&mut self, watermark: Lsn, write: impl FnOnce(&mut GroupWriter)) {
        write(&mut self.filling);
        self.watermark = watermark;
    }

    /// Goes on at a place of another segment.
    pub(super) fn go_on(&mut self, frame: Frame, end: Offset, digest: u32, next: Lsn) {
        self.next_lsn = next;
        self.filling.reset(frame, end, digest, next);
        self.shut_gate();
    }

    /// Queues the bytes of the buffer, whose groups have ended; filling goes on behind them.
    pub(super) fn freeze(&mut self, segment: Arc<LiveSegment>, on_zeros: bool, changes: bool) {
        let mut next = self
            .free
            .pop()
            .unwrap_or_else(|| GroupWriter::new(segment.frame, 0));
        let (end, previous) = (self.filling.end(), self.filling.previous());
        next.reset(segment.frame, end, previous, self.next_lsn);
        self.frozen.push_back(Handover {
            segment,
            groups: std::mem::replace(&mut self.filling, next),
            end_lsn: self.last_lsn(),
            serial: self.serial,
            watermark: self.watermark,
            since: self.since.take(),
            on_zeros,
            changes,
        });
        self.serial += 1;
    }

    /// The oldest bytes that wait to be handed over.
    pub(super) fn take_frozen(&mut self) -> Option<Handover> {
        self.frozen.pop_front()
    }

    /// A buffer that was handed over; it keeps `most` bytes.
    pub(super) fn put_back(&mut self, mut groups: GroupWriter, most: usize) {
        if self.free.len() < 2 {
            groups.shrink_to(most);
            self.free.push(groups);
        }
    }

    /// Gives the memory of empty buffers back.
    pub(super) fn shrink(&mut self) {
        self.free.clear();
        self.filling.shrink_to(0);
    }
}
