//! The state behind the log's one lock: its parts, and the changes that concern several of them. No I/O.
//!
//! Each part owns its fields. A step of the engine borrows the parts that it needs.

use wal_format::{EncodedRecord, Histories, LinkCause, Lsn, Offset, SegmentId, Version};

use super::background::Background;
use super::buffers::{Buffers, Handover};
use super::changes::Changes;
use super::dates::Dates;
use super::leftovers::Leftovers;
use super::lifecycle::Lifecycle;
use super::prewritten::Prewriting;
use super::progress::Progress;
use super::rights::Rights;
use super::segments::{Active, Segments, Spare};
use super::truncations::Truncations;
use super::waiters::{Goal, Waiters};
use crate::Position;
use crate::clock::Clock;
use crate::segment::{Era, Predecessor, Sealing, SegmentIndex, link_body};
use crate::sync::Arc;

/// See the module's head.
// The buffers come first: what every append changes lies in the few cache lines behind the lock.
#[repr(C)]
#[derive(Debug)]
pub(super) struct State {
    pub(super) buffers: Buffers,
    pub(super) life: Lifecycle,
    pub(super) dates: Dates,
    pub(super) segments: Segments,
    pub(super) progress: Progress,
    pub(super) changes: Changes,
    pub(super) truncations: Truncations,
    pub(super) waiters: Waiters,
    pub(super) rights: Rights,
    pub(super) background: Background,
    pub(super) prewriting: Prewriting,
    pub(super) leftovers: Leftovers,
    /// The reserve is whole: space for more segments on a full disk.
    pub(super) reserve: bool,
}

/// What an append was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entered {
    pub(super) first: Position,
    pub(super) last: Lsn,
    /// The LSNs are of this era.
    pub(super) era: Era,
}

impl State {
    pub(super) fn set_lifecycle(&mut self, life: Lifecycle) {
        self.life = life;
        self.buffers.shut_gate();
    }

    /// Whether the buffer being filled holds nothing, and nothing waits beside it.
    pub(super) fn is_filling_empty(&self) -> bool {
        self.buffers.filling().is_empty() && !self.changes.are_pending()
    }

    /// Whether all that was appended is with the operating system.
    pub(super) fn nothing_to_write(&self) -> bool {
        !self.buffers.are_waiting() && self.is_filling_empty()
    }

    /// Whether a sync has covered all that has entered.
    pub(super) fn is_all_synced(&self) -> bool {
        let progress = &self.progress;
        self.nothing_to_write() && progress.written_serial() == progress.synced_serial()
    }

    /// The newest buffer that holds anything.
    pub(super) fn entered_serial(&self) -> u64 {
        self.buffers.serial() - u64::from(self.is_filling_empty())
    }

    /// Whether the segments before the active one allow a rotation.
    pub(super) fn may_rotate(&self) -> bool {
        // At most two segments may be unproven: a third waits until the first is synced.
        let proven = !self.progress.has_rotated();
        proven && self.segments.may_wait_for_a_footer()
    }

    /// Bytes of file that the changes beside the buffer will take in the active segment.
    pub(super) fn room_for_changes(&self) -> u64 {
        let active = self.segments.active();
        active.map_or(0, |active| {
            self.changes.room(active.segment.header.alignment)
        })
    }

    /// Adds `records`, `bytes` bytes of them, to the buffer: there is room, and the gate is the active segment's.
    #[inline]
    pub(super) fn push(&mut self, records: &[EncodedRecord<'_>], bytes: usize) -> Entered {
        let segments = &mut self.segments;
        let note = |lsn, offset| segments.note_place(lsn, offset);
        let first = self.buffers.push(records, bytes, note);
        let nowhere = || (self.buffers.next_lsn(), self.buffers.filling().end());
        let (lsn, offset) = first.unwrap_or_else(nowhere);
        Entered {
            first: Position {
                lsn,
                segment_id: self.buffers.segment(),
                offset,
            },
            last: self.buffers.last_lsn(),
            era: self.truncations.eras().now(),
        }
    }

    /// Where the next record goes.
    pub(super) fn place(&self) -> Entered {
        let first = Position {
            lsn: self.buffers.next_lsn(),
            segment_id: self.segments.next(),
            offset: self.buffers.filling().end(),
        };
        Entered {
            first,
            last: self.buffers.last_lsn(),
            era: self.truncations.eras().now(),
        }
    }

    /// A group of records is begun now.
    pub(super) fn begin_group(&mut self, clock: &dyn Clock) {
        if self.buffers.filling_since().is_none() {
            self.buffers.enter(clock.monotonic());
        }
        let filling = self.buffers.filling();
        let (first_lsn, offset) = (filling.next_lsn(), filling.end());
        if let Some(active) = self.segments.active_mut() {
            active.index.group(first_lsn, offset);
        }
        if self.dates.take_set_back() {
            self.buffers.set_back();
        }
    }

    /// Dates the group of records that ends now, if one is open. Call it before anything that closes it.
    pub(super) fn date_group(&mut self, clock: &dyn Clock) {
        let Some(active) = self.segments.active_mut() else {
            return;
        };
        let is_open = self.buffers.filling().is_group_open();
        if active.segment.header.version < Version::V2 || !is_open {
            return;
        }
        // No record of the group is later than the group.
        self.dates.look(clock);
        self.buffers.set_time(self.dates.now());
        active.index.group_end(self.dates.now());
    }

    /// Closes the group being filled and queues its bytes; filling goes on behind them.
    pub(super) fn freeze(&mut self, clock: &dyn Clock) {
        self.date_group(clock);
        if self.is_filling_empty() {
            return;
        }
        let Some(active) = self.segments.active_mut() else {
            return;
        };
        // A watermark is proof: it must not be ahead of what a sync has covered. It stands at the end of a batch (invariant 2).
        let durable = self.progress.durable().lsn;
        let buffers = &mut self.buffers;
        buffers.close_group(durable);
        if self.changes.are_pending() {
            let changes = self.changes.take();
            buffers.set_time(self.dates.now());
            buffers.add_group(durable, |filling| filling.change(&changes, durable));
        }
        active.records += buffers.filling().records();
        let on_zeros = active.prewritten.is_behind(buffers.filling().end().get());
        let changes = self.changes.serial() == buffers.serial();
        buffers.freeze(Arc::clone(&active.segment), on_zeros, changes);
        buffers.set_time(self.dates.now());
    }

    /// The oldest bytes that are not with the operating system.
    pub(super) fn take_handover(&mut self, clock: &dyn Clock) -> Option<Handover> {
        if !self.buffers.are_waiting() {
            self.freeze(clock);
        }
        self.buffers.take_frozen()
    }

    /// What the footer says of the active segment, which `successor` takes over from where it ends now.
    pub(super) fn sealing(&self, active: Active, successor: SegmentId) -> Sealing {
        Sealing {
            segment: active.segment,
            end_lsn: self.buffers.last_lsn(),
            end_offset: self.buffers.filling().end(),
            end_digest: self.buffers.filling().previous(),
            records: active.records,
            index: active.index,
            control: self.changes.control().clone(),
            until: self.dates.now(),
            successor,
        }
    }

    /// What the next segment says of the one before it, if it takes over now.
    pub(super) fn predecessor(&self) -> Option<Predecessor> {
        let Some(active) = self.segments.active() else {
            return self.segments.predecessor();
        };
        Some(Predecessor {
            id: active.id(),
            epoch: active.segment.header.epoch,
            end_offset: self.buffers.filling().end(),
            end_digest: self.buffers.filling().previous(),
            cause: LinkCause::Rotated,
            kept: Lsn::ZERO,
        })
    }

    /// Makes the spare the active segment: nothing waits to be handed over. Its file gets its final name when its first bytes are
    /// written.
    pub(super) fn activate(&mut self, spare: Spare) {
        let end_lsn = self.buffers.last_lsn();
        let (predecessor, id) = (self.predecessor(), spare.segment.id());
        let mut end = None;
        if let Some(active) = self.segments.take_active() {
            let offset = self.buffers.filling().end().get();
            self.segments.end_newest((end_lsn, offset));
            let sealing = self.sealing(active, id);
            self.segments.seal_later(sealing);
            self.leftovers.replace(id, None);
            end = Some(offset);
        } else {
            let newest = self.segments.chain().last().zip(predecessor);
            let before = newest.map(|(entry, before)| (entry.header, before.end_offset.get()));
            self.leftovers.replace(id, before);
        }
        let header = spare.segment.header;
        let history = self.segments.history_of(end_lsn);
        let histories = Histories::after(history, &[], self.changes.history());
        let log_first = self.truncations.log_first();
        let link = link_body(predecessor, end_lsn, log_first, histories.clone());
        let (next, durable) = (self.buffers.next_lsn(), self.progress.durable().lsn);
        let start = Offset::new(wal_format::HEADER_LEN);
        self.buffers.go_on(spare.segment.frame, start, 0, next);
        self.buffers.set_time(self.dates.now());
        self.buffers
            .add_group(durable, |filling| filling.link(&link, durable));
        if header.version >= Version::V2 {
            // What the table leaves out is lost with the segment before.
            let control = self.changes.control();
            self.buffers
                .add_group(durable, |filling| filling.control(control, durable));
        }
        self.progress
            .rotate(end, Arc::clone(&spare.segment), end_lsn);
        let active = Active {
            segment: spare.segment,
            allocated: spare.allocated,
            records: 0,
            index: SegmentIndex::new(&header),
            spare_tried: false,
            prewritten: spare.prewritten,
            in_reserve: None,
        };
        self.segments.begin(active, next, histories);
    }

    /// Wakes everyone who waits for what a write has reached.
    pub(super) fn wake_written(&mut self, clock: &dyn Clock) {
        let (written, serial) = (self.progress.written().lsn, self.progress.written_serial());
        let left = self.waiters.wake_reached(Goal::Written, written.get())
            | self.waiters.wake_reached(Goal::HandedOver, serial);
        self.background.offers.write = left.then(|| clock.monotonic());
    }

    /// Wakes everyone who waits for what a sync has reached, or for its end.
    pub(super) fn wake_synced(&mut self, clock: &dyn Clock) {
        let (durable, serial) = (self.progress.durable().lsn, self.progress.synced_serial());
        let left = self.waiters.wake_reached(Goal::Durable, durable.get())
            | self.waiters.wake_reached(Goal::Synced, serial);
        self.background.offers.commit = left.then(|| clock.monotonic());
        if self.waiters.are_woken() {
            self.background.has_company();
        }
        if matches!(self.life, Lifecycle::Closing) {
            self.waiters.wake_for_housekeeping();
        }
    }
}
