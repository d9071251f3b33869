//! What is read of a log that is open for writing.

use wal_format::{Lsn, Offset, Place, SegmentId, UnixMillis};

use super::engine::Engine;
use super::state::State;
use crate::Position;
use crate::cursor::Lineage;
use crate::segment::{ChainEntry, Dated, Era, Hint, Mark};
use crate::stats::Stats;
use crate::sync::Arc;

impl Engine {
    /// The highest LSN known to be on stable storage. Takes no lock.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.locked.durable()
    }

    pub(crate) fn last_lsn(&self) -> Lsn {
        self.look().buffers.last_lsn()
    }

    pub(crate) fn first_lsn(&self) -> Lsn {
        self.look().truncations.log_first()
    }

    /// What the log's clock shows.
    pub(crate) fn time(&self) -> UnixMillis {
        self.look().dates.time(&*self.clock)
    }

    /// What was done since the log was opened, and where it stands. Waits for nothing: a large batch may have the lock.
    pub(crate) fn stats(&self) -> Stats {
        // First: it is never above the last LSN.
        let durable_lsn = self.durable_lsn();
        let mut stats = self.counters.stats();
        self.locked.tell(&mut stats);
        Stats {
            durable_lsn,
            ..stats
        }
    }

    /// Where the next record goes, if nothing rotates before it.
    pub(crate) fn next_position(&self) -> Position {
        let state = self.look();
        let (segment_id, offset) = if let Some(active) = state.segments.active() {
            (active.id(), state.buffers.next_record_offset())
        } else {
            let table = state.changes.control().table_len() as u64;
            let start = self.settings.layout().data_start_after(table);
            let offset = Offset::new(start + wal_format::GROUP_HEADER_LEN as u64);
            (state.segments.next(), offset)
        };
        Position {
            lsn: state.buffers.next_lsn(),
            segment_id,
            offset,
        }
    }

    /// The error that stops a reader before `lsn`, once the log is poisoned and `lsn` is not durable.
    #[inline]
    pub(crate) fn refuses(&self, lsn: Lsn) -> Option<crate::Error> {
        if !self.locked.is_poisoned() {
            return None;
        }
        let (mark, error) = self.readable();
        error.filter(|_| lsn > mark.lsn)
    }

    /// The era of the LSNs that are given now.
    #[inline]
    pub(crate) fn era(&self) -> Era {
        self.locked.era()
    }

    /// The highest LSN of era `since` that is still in the log, if there was a truncation; and the era now.
    pub(crate) fn kept_since(&self, since: Era) -> (Option<Lsn>, Era) {
        let state = self.look();
        let eras = state.truncations.eras();
        (eras.kept_since(since), eras.now())
    }

    /// The segments that hold records of the log, oldest first.
    pub(crate) fn chain(&self) -> Arc<Vec<ChainEntry>> {
        Arc::clone(self.look().segments.chain())
    }

    pub(crate) fn lineage(&self) -> Lineage {
        self.lineage_of(&self.look())
    }

    pub(super) fn lineage_of(&self, state: &State) -> Lineage {
        Lineage {
            log: state.segments.log_id(),
            location: self.location(),
            chain: Arc::clone(state.segments.chain()),
            first: state.truncations.log_first(),
            last: state.buffers.last_lsn(),
        }
    }

    /// How far readers of this handle may read: the records handed over, or the durable ones once the log is poisoned.
    pub(crate) fn readable(&self) -> (Mark, Option<crate::Error>) {
        let state = self.look();
        let progress = &state.progress;
        match state.life.poisoned() {
            // After a failure only what is durable is shown.
            Some(poisoned) => (progress.durable(), Some(poisoned.error())),
            None => (progress.written(), None),
        }
    }

    /// The writer's own index of the active segment: a place at or before `lsn`.
    pub(crate) fn indexed(&self, id: SegmentId, lsn: Lsn) -> Option<Hint> {
        self.look().segments.active_is(id)?.index.group_before(lsn)
    }

    /// The same for a single record: the last record or group at or before it.
    pub(crate) fn place_before(&self, id: SegmentId, lsn: Lsn) -> Option<Place> {
        self.look().segments.active_is(id)?.index.place_before(lsn)
    }

    /// What the writer knows of the times of a segment that has no footer yet.
    pub(crate) fn dated(&self, id: SegmentId, time: UnixMillis) -> Option<Dated> {
        let state = self.look();
        let active = state.segments.active_is(id);
        let index = match active {
            Some(active) => &active.index,
            None => &state.segments.rotated(id)?.index,
        };
        if index.reaches(time) {
            return index.start_of(time).map(Dated::From);
        }
        // A group has its time when it ends.
        let open = active.and_then(|_| state.buffers.filling().open_group_start());
        Some(open.map_or(Dated::Before, |(first, _)| Dated::In(first)))
    }

    /// Whether records from `lsn` on wait to be handed over.
    pub(crate) fn unwritten_from(&self, lsn: Lsn) -> bool {
        let state = self.look();
        let last = state.buffers.last_lsn();
        last >= lsn && state.progress.written().lsn < last
    }
}
