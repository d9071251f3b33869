//! The segments that the state knows: the chain, the one that takes records, the next one, and those that wait for a footer.

use std::collections::VecDeque;

use wal_format::{Histories, History, LogId, Lsn, Offset, SegmentHeader, SegmentId};

use super::in_reserve::InReserve;
use super::prewritten::Prewritten;
use crate::recovery::Copied;
use crate::segment::{ChainEntry, LiveSegment, Predecessor, Sealing, SegmentIndex, history_at};
use crate::sync::Arc;

/// The segment that takes new records.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<LiveSegment>,
    /// The file's allocated length so far; data and footer stay below it.
    pub(super) allocated: u64,
    /// Without those in the buffer being filled.
    pub(super) records: u64,
    pub(super) index: SegmentIndex,
    /// The next segment was tried for in the background; until it is needed it is not tried for again.
    pub(super) spare_tried: bool,
    pub(super) prewritten: Prewritten,
    /// It lives in the reserve.
    pub(super) in_reserve: Option<InReserve>,
}

impl Active {
    /// A segment that is whole already.
    pub(super) fn of(segment: Arc<LiveSegment>, copied: &Copied) -> Self {
        let in_reserve = InReserve::of(copied);
        Self {
            segment,
            allocated: copied.header.allocated,
            records: copied.records,
            index: copied.index.clone(),
            spare_tried: false,
            // It has been written to.
            prewritten: match in_reserve {
                Some(_) => Prewritten::never(),
                None => Prewritten::none(),
            },
            in_reserve,
        }
    }

    pub(super) fn id(&self) -> SegmentId {
        self.segment.id()
    }

    /// Bytes at the end of the file that are kept for what comes after the records.
    pub(super) fn footer_room(&self) -> u64 {
        self.segment
            .header
            .capacity
            .saturating_sub(self.segment.data_limit)
    }

    /// From this file offset on the next segment is made ready.
    pub(super) fn spare_from(&self) -> u64 {
        self.segment.data_limit / 4 * 3
    }
}

/// A segment made ready under a name of its own.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) segment: Arc<LiveSegment>,
    pub(super) allocated: u64,
    pub(super) prewritten: Prewritten,
}

/// Without preallocation a segment grows by this much.
pub(super) const ALLOCATION_STEP: u64 = 1 << 20;

/// How many rotated segments may wait for their footers. Each holds a file open.
const MOST_UNSEALED: usize = 2;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Segments {
    log_id: LogId,
    /// The id of the next segment.
    next: SegmentId,
    /// Readers hold it for a moment; a change then is one of a copy.
    chain: Arc<Vec<ChainEntry>>,
    /// The end of the chain while there is no active segment.
    predecessor: Option<Predecessor>,
    active: Option<Active>,
    spare: Option<Spare>,
    /// At most [`MOST_UNSEALED`], oldest first. The first one stays here while its footer is written.
    sealing: VecDeque<Arc<Sealing>>,
    /// A close has to begin a segment: the last stop was not a clean one, or the log gets a newer version, and no segment was
    /// begun since.
    unmarked: bool,
}

/// What a log that is opened goes on with.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) log_id: LogId,
    pub(super) next: SegmentId,
    pub(super) chain: Vec<ChainEntry>,
    pub(super) predecessor: Option<Predecessor>,
    pub(super) active: Option<Active>,
    /// A close has to begin a segment.
    pub(super) unmarked: bool,
}

impl Segments {
    pub(super) fn new(found: Found) -> Self {
        Self {
            log_id: found.log_id,
            next: found.next,
            chain: Arc::new(found.chain),
            predecessor: found.predecessor.filter(|_| found.active.is_none()),
            unmarked: found.unmarked && found.active.is_none(),
            active: found.active,
            spare: None,
            sealing: VecDeque::new(),
        }
    }

    pub(super) fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The id of the next segment.
    pub(super) fn next(&self) -> SegmentId {
        self.next
    }

    pub(super) fn chain(&self) -> &Arc<Vec<ChainEntry>> {
        &self.chain
    }

    pub(super) fn predecessor(&self) -> Option<Predecessor> {
        self.predecessor
    }

    pub(super) fn active(&self) -> Option<&Active> {
        self.active.as_ref()
    }

    pub(super) fn active_mut(&mut self) -> Option<&mut Active> {
        self.active.as_mut()
    }

    /// The active segment, if it is this one.
    pub(super) fn active_is(&self, id: SegmentId) -> Option<&Active> {
        self.active.as_ref().filter(|active| active.id() == id)
    }

    pub(super) fn take_active(&mut self) -> Option<Active> {
        self.active.take()
    }

    pub(super) fn in_reserve(&self) -> Option<&InReserve> {
        self.active.as_ref()?.in_reserve.as_ref()
    }

    pub(super) fn spare(&self) -> Option<&Spare> {
        self.spare.as_ref()
    }

    pub(super) fn take_spare(&mut self) -> Option<Spare> {
        self.spare.take()
    }

    pub(super) fn set_spare(&mut self, spare: Spare) {
        self.spare = Some(spare);
    }

    /// The files that are overwritten with zeros ahead: the active segment's and the spare's.
    pub(super) fn prewritten_files(
        &mut self,
    ) -> impl Iterator<Item = (&Arc<LiveSegment>, &mut Prewritten)> {
        let active = self.active.as_mut();
        let active = active.map(|active| (&active.segment, &mut active.prewritten));
        let spare = self.spare.as_mut();
        let spare = spare.map(|spare| (&spare.segment, &mut spare.prewritten));
        active.into_iter().chain(spare)
    }

    pub(super) fn is_unmarked(&self) -> bool {
        self.unmarked
    }

    /// The rotated segment that gets its footer next.
    pub(super) fn next_to_seal(&self) -> Option<&Arc<Sealing>> {
        self.sealing.front()
    }

    /// What the log knows of a rotated segment without a footer.
    pub(super) fn rotated(&self, id: SegmentId) -> Option<&Arc<Sealing>> {
        self.sealing
            .iter()
            .find(|sealing| sealing.segment.id() == id)
    }

    /// Those whose successors came after `named`.
    pub(super) fn followed_after(&self, named: SegmentId) -> Vec<Arc<LiveSegment>> {
        let followed = self
            .sealing
            .iter()
            .filter(|sealing| sealing.successor > named);
        followed
            .map(|sealing| Arc::clone(&sealing.segment))
            .collect()
    }

    /// Whether another segment may wait for its footer.
    pub(super) fn may_wait_for_a_footer(&self) -> bool {
        self.sealing.len() < MOST_UNSEALED
    }

    pub(super) fn seal_later(&mut self, sealing: Sealing) {
        self.sealing.push_back(Arc::new(sealing));
    }

    /// The segment has its footer.
    pub(super) fn sealed(&mut self, id: SegmentId) {
        self.sealing.retain(|sealing| sealing.segment.id() != id);
    }

    /// Notes the place of a record in the index; returns from where on the next one is noted.
    #[cold]
    pub(super) fn note_place(&mut self, lsn: Lsn, offset: Offset) -> u64 {
        self.active.as_mut().map_or(u64::MAX, |active| {
            active.index.record(lsn, offset);
            active.index.next_record()
        })
    }

    /// The history of a record of the chain, or of the one before its first.
    pub(super) fn history_of(&self, lsn: Lsn) -> History {
        let entries = self.chain.iter();
        let entry = entries.rev().find(|entry| entry.first_lsn <= lsn);
        let entry = entry.or(self.chain.first());
        entry.map_or(History::NONE, |entry| {
            history_at(entry.first_lsn, &entry.histories, lsn)
        })
    }

    /// The newest segment of the chain ends there.
    pub(super) fn end_newest(&mut self, end: (Lsn, u64)) -> Option<SegmentHeader> {
        let newest = Arc::make_mut(&mut self.chain).last_mut()?;
        newest.end = Some(end);
        Some(newest.header)
    }

    /// The log goes on in `active`.
    pub(super) fn begin(&mut self, active: Active, first_lsn: Lsn, histories: Histories) {
        let header = active.segment.header;
        Arc::make_mut(&mut self.chain).push(ChainEntry {
            header,
            first_lsn,
            histories,
            end: None,
        });
        self.next = header.segment_id.next();
        self.predecessor = None;
        self.unmarked = false;
        self.active = Some(active);
    }

    /// The chain ends with the segment `last`, or is empty. The names of those that go, newest first.
    pub(super) fn drop_after(&mut self, last: Option<SegmentId>) -> Vec<String> {
        // By its id: a truncation of the oldest records may have taken segments off the chain meanwhile.
        let is_last = |entry: &ChainEntry| Some(entry.header.segment_id) == last;
        let stays = self.chain.iter().position(is_last).map_or(0, |at| at + 1);
        let gone = Arc::make_mut(&mut self.chain).split_off(stays);
        gone.iter().rev().map(name).collect()
    }

    /// Takes those off the chain that hold only records below `lsn` and come before `kept`. Their names, oldest first.
    pub(super) fn drop_before(&mut self, lsn: Lsn, kept: SegmentId) -> Vec<String> {
        let goes = |entry: &ChainEntry| {
            entry.header.segment_id < kept && entry.end.is_some_and(|(end, _)| end < lsn)
        };
        let stay = self.chain.iter().position(|entry| !goes(entry));
        let stay = stay.unwrap_or(self.chain.len());
        if stay == 0 {
            return Vec::new();
        }
        let gone: Vec<_> = Arc::make_mut(&mut self.chain).drain(..stay).collect();
        // Their files are closed too: they no longer need a footer.
        let first = self.chain.first().map(|entry| entry.header.segment_id);
        self.sealing
            .retain(|sealing| first.is_none_or(|first| sealing.segment.id() >= first));
        gone.iter().map(name).collect()
    }

    /// Takes these off the chain. They no longer need a footer.
    pub(super) fn forget(&mut self, gone: &[SegmentId]) {
        Arc::make_mut(&mut self.chain).retain(|entry| !gone.contains(&entry.header.segment_id));
        self.sealing
            .retain(|sealing| !gone.contains(&sealing.segment.id()));
    }
}

fn name(entry: &ChainEntry) -> String {
    wal_format::segment_name(entry.header.segment_id)
}
