//! The state behind the log's one lock, and the small steps on it that do no I/O.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use wal_format::{
    Control, EncodedRecord, GroupWriter, Histories, History, LinkCause, LogId, Lsn, Offset,
    SegmentHeader, SegmentId, UnixMillis, Version,
};

use super::ahead::{Ahead, Prewritten};
use super::append::Entered;
use super::begin::{Predecessor, link_body};
use super::control::Pending;
use super::dates::Dates;
use super::eras::Eras;
use super::give_back::Replaced;
pub(super) use super::live::LiveSegment;
use super::parked::{Maintenance, Parked};
use super::reach::Goal;
use super::requests::Requests;
use super::reserve::InReserve;
use super::rewind::Rewind;
use super::waiters::{Offers, Waiters};
use crate::clock::Clock;
use crate::segment::SegmentIndex;
use crate::sync::Arc;
use crate::{Poisoned, Position, sabotage};

/// The segment that takes new records.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) segment: Arc<LiveSegment>,
    /// The file's allocated length so far; data and footer stay below it.
    pub(crate) allocated: u64,
    /// Without those in the buffer being filled.
    pub(crate) records: u64,
    pub(crate) index: SegmentIndex,
    /// A spare was tried for in the background; until it is needed it is not tried for again.
    pub(crate) spare_tried: bool,
    pub(crate) prewritten: Prewritten,
    /// It lives in the reserve.
    pub(crate) in_reserve: Option<InReserve>,
}

/// What was appended since the log was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Appended {
    pub(crate) calls: u64,
    pub(crate) records: u64,
    /// As encoded.
    pub(crate) bytes: u64,
}

/// What an append has found, for those behind it: as long as the open group ends in time, a record enters it and nobody has
/// to be told. Void with the buffer that it was found for, and when the log takes no more records.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gate {
    /// A file offset.
    pub(crate) until: u64,
    pub(crate) segment: SegmentId,
    /// The index gets a record that starts at this file offset or after it.
    pub(crate) next_place: u64,
}

/// Bytes on their way to the operating system.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) segment: Arc<LiveSegment>,
    pub(crate) groups: GroupWriter,
    pub(crate) end_lsn: Lsn,
    /// Counts the buffers.
    pub(crate) serial: u64,
    /// Watermark of its last group.
    pub(crate) watermark: Lsn,
    /// When the oldest record in it was appended.
    pub(crate) since: Option<Duration>,
    /// Zeros were written ahead of it.
    pub(crate) on_zeros: bool,
    /// It changes the control state.
    pub(crate) changes: bool,
}

/// Something written that no sync has covered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsynced {
    /// The last LSN of the hand-over.
    pub(crate) lsn: Lsn,
    /// The buffer, if it changes the control state: then it has to be synced even if all its records are durable.
    pub(crate) changes: Option<u64>,
    /// When the oldest part of it entered.
    pub(crate) since: Duration,
}

/// A segment with writes that no sync has covered yet.
#[derive(Debug)]
pub(crate) struct Dirty {
    pub(crate) segment: Arc<LiveSegment>,
    pub(crate) written: u64,
    pub(crate) written_lsn: Lsn,
    pub(crate) synced: u64,
    pub(crate) synced_lsn: Lsn,
    /// Where its data ends, once the next segment has taken over.
    pub(crate) end: Option<u64>,
}

/// How many rotated segments may wait for their footers.
const MOST_UNSEALED: usize = 2;

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

/// A segment made ready under a name of its own.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) segment: Arc<LiveSegment>,
    pub(crate) allocated: u64,
    pub(crate) prewritten: Prewritten,
}

/// Space that the keeper provides ahead of the appends: the next segment, or the next step of this one.
#[derive(Debug, Default)]
pub(crate) struct Provision {
    /// Someone waits for it.
    pub(crate) wanted: bool,
    /// The highest file offset that someone needs.
    pub(crate) need: u64,
    /// The keeper is at it.
    pub(crate) busy: bool,
    /// Counts the attempts, so that a waiter can tell a new failure from an old one.
    pub(crate) attempts: u64,
    /// The last attempt failed with this.
    pub(crate) failed: Option<crate::Error>,
}

/// A place in the log: the last LSN before it, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) lsn: Lsn,
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
}

/// A segment of the log, as readers see it.
#[derive(Clone, Debug)]
pub(crate) struct ChainEntry {
    pub(crate) header: SegmentHeader,
    pub(crate) first_lsn: Lsn,
    pub(crate) histories: Histories,
    /// Last LSN and end offset; `None` while the segment is active.
    pub(crate) end: Option<(Lsn, u64)>,
}

#[derive(Debug)]
pub(crate) enum Status {
    Open,
    /// `close` was called: no more appends, waiters still served.
    Closing,
    Closed,
    Poisoned(Poisoned),
}

// Each flag is a right that one thread holds at a time, and they are held independently.
#[allow(clippy::struct_excessive_bools)]
// In this order: what every append changes lies together, in the few cache lines behind the lock itself, which wander from
// core to core with it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) gate: Gate,
    pub(crate) next_lsn: Lsn,
    pub(crate) appended: Appended,
    pub(crate) filling: GroupWriter,
    pub(crate) status: Status,
    pub(crate) log_id: LogId,
    pub(crate) log_first: Lsn,
    /// The history of records that are appended from now on.
    pub(crate) history: History,
    pub(crate) control: Control,
    /// Its changes that are not in the buffer yet.
    pub(crate) changes: Pending,
    /// The buffer that holds the last change.
    pub(crate) control_serial: u64,
    /// The buffer with the last stamp that proves all before it.
    pub(crate) stamped_serial: u64,
    pub(crate) dates: Dates,
    pub(crate) next_segment: SegmentId,
    /// The end of the chain while there is no active segment.
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) active: Option<Active>,
    pub(crate) filling_since: Option<Duration>,
    /// Counts the buffers; a buffer holds records and control groups.
    pub(crate) filling_serial: u64,
    /// Watermark of the last group in the buffer.
    pub(crate) filling_watermark: Lsn,
    pub(crate) frozen: VecDeque<Handover>,
    pub(crate) free: Vec<GroupWriter>,
    pub(crate) writing: bool,
    pub(crate) syncing: bool,
    /// Commits in a row that were for their leader alone.
    pub(crate) lonely: u32,
    /// Appends that the commits so far were for.
    pub(crate) committed: u64,
    /// The newest records are being dropped: nothing else goes on.
    pub(crate) rewinding: bool,
    pub(crate) rewinds: Requests<Rewind>,
    pub(crate) eras: Eras,
    pub(crate) written: Mark,
    pub(crate) durable: Mark,
    pub(crate) written_serial: u64,
    pub(crate) synced_serial: u64,
    pub(crate) written_watermark: Lsn,
    /// Highest watermark that is itself synced: records up to here are proven for any later reader.
    pub(crate) proven: Lsn,
    pub(crate) dirty: VecDeque<Dirty>,
    pub(crate) unsynced: VecDeque<Unsynced>,
    pub(crate) renamed: SegmentId,
    pub(crate) dir_synced: SegmentId,
    /// At most [`MOST_UNSEALED`] with the one that `sealing_busy` stands for: each holds a file open.
    pub(crate) sealing: VecDeque<Sealing>,
    pub(crate) sealing_busy: bool,
    pub(crate) spare: Option<Spare>,
    pub(crate) next_spare: Provision,
    pub(crate) ahead: Ahead,
    pub(crate) extension: Provision,
    /// Readers hold it for a moment; a change then is one of a copy.
    pub(crate) chain: Arc<Vec<ChainEntry>>,
    /// The buffer that holds the last cut.
    pub(crate) cut_serial: u64,
    /// And its segment, which stays: nothing else is sure to know the log's first LSN.
    pub(crate) cut_segment: SegmentId,
    /// The reserve is whole: space for more segments on a full disk.
    pub(crate) reserve: bool,
    /// Truncations of the oldest records for which the disk had no room.
    pub(crate) forgets: Requests<Lsn>,
    /// Segments of an earlier session that are not part of the log. They are removed when the first one of this session is
    /// durable.
    pub(crate) superseded: Vec<String>,
    /// The files that segments of this session replace.
    pub(crate) replaced: VecDeque<Replaced>,
    pub(crate) giving_back: bool,
    /// Files to unlink, oldest first.
    pub(crate) retiring: VecDeque<String>,
    pub(crate) retiring_busy: bool,
    pub(crate) last_append: Duration,
    pub(crate) waiters: Waiters,
    pub(crate) offers: Offers,
    /// A caller that must not block asks the syncer thread to lead.
    pub(crate) commit_requested: bool,
    pub(crate) close_requested: bool,
    /// Somebody leads the close.
    pub(crate) closing: bool,
    pub(crate) stopping: bool,
    /// A close has to begin a segment: the last stop was not a clean one, or the log gets a newer version, and no segment was begun
    /// since.
    pub(crate) unmarked: bool,
    pub(crate) parked: Parked,
    /// The maintenance that the keeper did last.
    pub(crate) maintained: Maintenance,
}

impl State {
    pub(crate) fn last_lsn(&self) -> Lsn {
        self.next_lsn.prev()
    }

    /// Whether `bytes` bytes enter the open group without another look.
    #[inline]
    pub(crate) fn is_open_for(&self, bytes: usize) -> bool {
        self.filling.room_for(bytes) <= self.gate.until && self.filling.is_group_open()
    }

    /// From here on an append looks at everything again.
    pub(crate) fn shut_gate(&mut self) {
        self.gate = Gate::default();
    }

    pub(crate) fn set_status(&mut self, status: Status) {
        self.status = status;
        self.shut_gate();
    }

    /// The newest records are about to be dropped.
    pub(crate) fn begin_rewinding(&mut self) {
        self.rewinding = true;
        self.shut_gate();
    }

    /// Notes the place of a record in the index.
    #[cold]
    fn note_place(&mut self, (lsn, offset): (Lsn, Offset)) {
        if let Some(active) = &mut self.active {
            active.index.record(lsn, offset);
            self.gate.next_place = active.index.next_record();
        }
    }

    /// Adds `records`, `bytes` bytes of them, to the buffer: there is room, and the gate is the active segment's.
    #[inline]
    pub(crate) fn push(&mut self, records: &[EncodedRecord<'_>], bytes: usize) -> Entered {
        let mut first = None;
        for record in records {
            let place = self.filling.push(record);
            first.get_or_insert(place);
            if place.1.get() >= self.gate.next_place {
                self.note_place(place);
            }
            // Invariant 2: a batch lies in one group.
            if sabotage::is("batch-in-several-groups") {
                self.filling.set_time(self.dates.now());
                self.filling.close_group(self.durable.lsn);
            }
        }
        self.next_lsn = self.filling.next_lsn();
        self.appended.calls += 1;
        self.appended.records += records.len() as u64;
        self.appended.bytes += bytes as u64;
        let (lsn, offset) = first.unwrap_or((self.next_lsn, self.filling.end()));
        Entered {
            first: Position {
                lsn,
                segment_id: self.gate.segment,
                offset,
            },
            last: self.next_lsn.prev(),
            era: self.eras.now(),
        }
    }

    /// Whether the segments before the active one allow a rotation.
    pub(crate) fn may_rotate(&self) -> bool {
        // At most two segments may be unproven: a third waits until the first is synced.
        let proven = self.dirty.len() <= 1 || sabotage::is("third-segment-begun-early");
        let unsealed = self.sealing.len() + usize::from(self.sealing_busy);
        proven && (unsealed < MOST_UNSEALED || sabotage::is("footers-without-a-bound"))
    }

    /// Where the next record will stand in the active segment's file.
    pub(crate) fn next_record_offset(&self) -> Offset {
        match self.filling.open_group_start() {
            Some(_) => Offset::new(self.filling.start().get() + self.filling.len() as u64),
            None => Offset::new(self.filling.end().get() + wal_format::GROUP_HEADER_LEN as u64),
        }
    }

    /// Whether all that was appended is with the operating system.
    pub(crate) fn nothing_to_write(&self) -> bool {
        self.frozen.is_empty() && self.is_filling_empty()
    }

    /// When the oldest record that no sync has covered was appended.
    pub(crate) fn unsynced_since(&self) -> Option<Duration> {
        let written = self.unsynced.front().map(|unsynced| unsynced.since);
        written.or_else(|| self.unwritten_since())
    }

    /// When the oldest record that is not with the operating system yet was appended.
    pub(crate) fn unwritten_since(&self) -> Option<Duration> {
        self.frozen
            .iter()
            .find_map(|handover| handover.since)
            .or(self.filling_since)
    }

    /// Closes the group being filled and queues its bytes; filling goes on behind them.
    pub(crate) fn freeze(&mut self, clock: &dyn Clock) {
        self.date_group(clock);
        if self.active.is_none() || self.is_filling_empty() {
            return;
        }
        if self.filling.open_group_start().is_some() {
            self.filling_watermark = self.durable.lsn;
        }
        let mut watermark = self.durable.lsn;
        // A watermark is proof: it must not be ahead of what a sync has covered.
        if sabotage::is("watermark-ahead-of-the-sync") {
            watermark = self.written.lsn;
        }
        // Invariant 2: a watermark stands at the end of a batch.
        if sabotage::is("watermark-inside-a-batch") {
            watermark = watermark.prev();
        }
        self.filling.close_group(watermark);
        self.write_changes(self.durable.lsn);
        let Some(active) = &mut self.active else {
            return;
        };
        active.records += self.filling.records();
        let on_zeros = active.prewritten.is_behind(self.filling.end().get());
        let header = &active.segment.header;
        let mut next = self.free.pop().unwrap_or_else(|| empty_writer(*header));
        next.reset(
            active.segment.frame,
            self.filling.end(),
            self.filling.previous(),
            self.next_lsn,
        );
        next.set_time(self.dates.now());
        let groups = std::mem::replace(&mut self.filling, next);
        self.frozen.push_back(Handover {
            segment: Arc::clone(&active.segment),
            groups,
            end_lsn: self.next_lsn.prev(),
            serial: self.filling_serial,
            watermark: self.filling_watermark,
            since: self.filling_since.take(),
            on_zeros,
            changes: self.control_serial == self.filling_serial,
        });
        self.filling_serial += 1;
    }

    /// The newest buffer that holds anything.
    pub(crate) fn entered_serial(&self) -> u64 {
        if self.is_filling_empty() {
            self.filling_serial - 1
        } else {
            self.filling_serial
        }
    }

    /// The oldest bytes that are not with the operating system.
    pub(crate) fn take_handover(&mut self, clock: &dyn Clock) -> Option<Handover> {
        if self.frozen.is_empty() {
            self.freeze(clock);
        }
        self.frozen.pop_front()
    }

    /// Makes the spare the active segment. Its file gets its final name when its first bytes are written.
    pub(crate) fn activate(&mut self, spare: Spare) {
        self.unmarked = false;
        let end_lsn = self.last_lsn();
        let mut predecessor = self.predecessor.take();
        let before = self.chain.last().zip(predecessor);
        let before = before.map(|(entry, before)| (entry.header, before.end_offset.get()));
        self.replace(spare.segment.id(), before);
        if let Some(active) = self.active.take() {
            // Takes the link's facts from the group that the freeze has just closed.
            let end_offset = self.filling.end();
            let end_digest = self.filling.previous();
            let header = &active.segment.header;
            predecessor = Some(Predecessor {
                id: header.segment_id,
                epoch: header.epoch,
                end_offset,
                end_digest,
                cause: LinkCause::Rotated,
                kept: Lsn::ZERO,
            });
            if let Some(dirty) = self.dirty.back_mut() {
                dirty.end = Some(end_offset.get());
            }
            if let Some(entry) = Arc::make_mut(&mut self.chain).last_mut() {
                entry.end = Some((end_lsn, end_offset.get()));
            }
            self.sealing.push_back(Sealing {
                segment: active.segment,
                end_lsn,
                end_offset,
                end_digest,
                records: active.records,
                index: active.index,
                control: self.control.clone(),
                until: self.dates.now(),
                successor: spare.segment.id(),
            });
        }
        let header = spare.segment.header;
        self.shut_gate();
        self.filling.reset(
            spare.segment.frame,
            Offset::new(wal_format::HEADER_LEN),
            0,
            self.next_lsn,
        );
        let histories = Histories::after(self.history_of(end_lsn), &[], self.history);
        let link = link_body(predecessor, end_lsn, self.log_first, histories.clone());
        self.filling.set_time(self.dates.now());
        self.filling.link(&link, self.durable.lsn);
        if header.version >= Version::V2 {
            // What the table leaves out is lost with the segment before.
            if sabotage::is("control-table-without-the-latest-changes") {
                let mut control = self.control.clone();
                control.set(control.term(), std::collections::BTreeMap::new());
                self.filling.control(&control, self.durable.lsn);
            } else {
                self.filling.control(&self.control, self.durable.lsn);
            }
        }
        self.filling_watermark = self.durable.lsn;
        self.next_segment = header.segment_id.next();
        self.dirty.push_back(Dirty {
            segment: Arc::clone(&spare.segment),
            written: 0,
            written_lsn: end_lsn,
            synced: 0,
            synced_lsn: end_lsn,
            end: None,
        });
        Arc::make_mut(&mut self.chain).push(ChainEntry {
            header,
            first_lsn: self.next_lsn,
            histories,
            end: None,
        });
        self.active = Some(Active {
            segment: spare.segment,
            allocated: spare.allocated,
            records: 0,
            index: SegmentIndex::new(&header),
            spare_tried: false,
            prewritten: spare.prewritten,
            in_reserve: None,
        });
    }

    /// Moves the durable mark over all that the segments' syncs have covered; true if it moved.
    pub(crate) fn settle(&mut self) -> bool {
        let before = self.durable;
        while let Some(first) = self.dirty.front() {
            if first.segment.id() > self.dir_synced {
                break;
            }
            if first.synced > 0 {
                self.durable = Mark {
                    lsn: first.synced_lsn,
                    segment: first.segment.id(),
                    offset: first.synced,
                };
            }
            if first.end.is_some_and(|end| first.synced >= end) {
                self.dirty.pop_front();
            } else {
                break;
            }
        }
        // Invariant 4: one more than the sync has covered.
        if sabotage::is("durable-lsn-off-by-one") && self.durable != before {
            self.durable.lsn = self.durable.lsn.next().min(self.last_lsn());
        }
        while self.unsynced.front().is_some_and(|unsynced| {
            let changes = unsynced.changes.unwrap_or(0);
            unsynced.lsn <= self.durable.lsn && changes <= self.synced_serial
        }) {
            self.unsynced.pop_front();
        }
        self.durable != before
    }

    /// Everyone who waits for what a write has reached.
    pub(crate) fn take_written(&mut self, clock: &dyn Clock) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let written = self.written.lsn.get();
        let left = self
            .waiters
            .take_reached(Goal::Written, written, &mut wakers)
            | self
                .waiters
                .take_reached(Goal::HandedOver, self.written_serial, &mut wakers);
        self.offers.write = left.then(|| clock.monotonic());
        wakers
    }

    /// Everyone who waits for what a sync has reached, or for its end.
    pub(crate) fn take_synced(&mut self, clock: &dyn Clock) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let durable = self.durable.lsn.get();
        let mut left = self
            .waiters
            .take_reached(Goal::Durable, durable, &mut wakers);
        let synced = self.synced_serial;
        left |= self.waiters.take_reached(Goal::Synced, synced, &mut wakers);
        self.offers.commit = left.then(|| clock.monotonic());
        if matches!(self.status, Status::Closing) {
            self.waiters.take_finished(&mut wakers);
        }
        wakers
    }
}

/// A writer without a buffer yet, for a segment with this header.
pub(crate) fn empty_writer(header: SegmentHeader) -> GroupWriter {
    GroupWriter::new(header.frame(), 0)
}
