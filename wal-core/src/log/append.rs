//! How records enter the log.
//!
//! A record was encoded and checksummed before the lock is taken. Under the lock it gets its LSN and offset, its checksum
//! is masked for that place, and it is copied into the buffer being filled: the record is then in the log, in one poll. An
//! append that finds no room enters nothing and waits.

use std::future::poll_fn;
use std::task::{Context, Poll};

use wal_format::{EncodedRecord, InBatch, Lsn, RecordRef};

use super::background::Work;
use super::buffers::Gate;
use super::engine::Engine;
use super::entrant::Entrant;
use super::rights::{REWIND, WRITE};
use super::state::{Entered, State};
use super::waiters::{Goal, Ticket};
use crate::shell::Shell;
use crate::{Error, FsyncPolicy, Position, Result};

/// The highest LSN that a record gets. No log reaches it by appending. Higher LSNs in an existing log can be read.
const LAST_LSN: Lsn = Lsn::new(1 << 63);

/// Whether the call waits for stable storage whatever the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Return when the record is in the log: somebody else waits for it.
    Entered,
    /// As the policy says.
    Policy,
    /// Return only when durable.
    Durable,
}

/// What an append needs from an append that found no room.
#[derive(Debug, Default)]
struct Waiting {
    ticket: Option<Ticket>,
    /// Attempts of the keeper when this append first asked for space.
    segment_attempts: Option<u64>,
    extension_attempts: Option<u64>,
}

/// How far an append came without waiting.
#[derive(Debug)]
pub(crate) enum Begun {
    /// All the way: the first record's position and the last one's LSN.
    Done(Position, Lsn),
    /// It is in the log, and waits for stable storage.
    Entered(Entered),
    /// There was no room for it.
    NoRoom,
}

enum Entry {
    Entered(Entered),
    /// The buffers are full: a writer must make progress.
    BuffersFull,
    /// A segment, a step of allocation or a sync of the last segment is needed: the keeper is asked.
    NeedsSpace,
}

impl Engine {
    pub(crate) fn encode<'a>(&self, record: RecordRef<'a>) -> Result<EncodedRecord<'a>> {
        EncodedRecord::new(
            record,
            InBatch::Last,
            self.clock_for(record),
            self.settings.record_limit,
        )
        .map_err(|error| Error::from_encode(&error))
    }

    /// Encodes records that become durable all or none.
    pub(crate) fn encode_batch<'a, R>(&self, records: &'a [R]) -> Result<Vec<EncodedRecord<'a>>>
    where
        &'a R: Into<RecordRef<'a>>,
    {
        let mut encoded = Vec::with_capacity(records.len());
        let limit = self.settings.batch_limit;
        let mut total = 0_u64;
        for (index, record) in records.iter().enumerate() {
            let in_batch = if index + 1 == records.len() {
                InBatch::Last
            } else {
                InBatch::More
            };
            let record = record.into();
            let one = EncodedRecord::new(
                record,
                in_batch,
                self.clock_for(record),
                self.settings.record_limit,
            )
            .map_err(|error| Error::from_encode(&error))?;
            total = total.saturating_add(one.len() as u64);
            // Above the limit, the rest is only counted for the error.
            if total <= limit {
                encoded.push(one);
            } else {
                encoded.clear();
            }
        }
        if total > limit {
            return Err(Error::TooLarge {
                what: "batch",
                len: total,
                limit,
                advice: "a batch must fit in one segment: split it, or raise max_segment_size",
            });
        }
        Ok(encoded)
    }

    /// The clock is asked only for records that need it.
    fn clock_for(&self, record: RecordRef<'_>) -> wal_format::UnixMillis {
        match record.expiry() {
            wal_format::Expiry::After(_) => self.clock.unix(),
            _ => wal_format::UnixMillis::new(0),
        }
    }

    /// Appends `records` as one batch, as far as that goes without waiting: no waker, no future.
    // In its caller, so that an append is one plain function from the record to its position.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn begin(
        &self,
        records: &[EncodedRecord<'_>],
        durability: Durability,
    ) -> Result<Begun> {
        let entrant = Entrant::records(records);
        let bytes = entrant.bytes();
        let mut state = self.locked.state();
        let entered = if bytes > 0 && state.buffers.is_open_for(bytes) {
            // It finds all as the one before it has left it, and concerns nobody.
            let entered = state.push(records, bytes);
            self.locked.appended(&state.buffers);
            drop(state);
            entered
        } else {
            let mut state = self.guard(state);
            state.life.check_open()?;
            if records.is_empty() {
                let last = state.buffers.last_lsn();
                drop(state);
                return Ok(Begun::Done(self.next_position(), last));
            }
            match self.enter_locked(&mut state, entrant, &mut Waiting::default())? {
                Entry::Entered(entered) => entered,
                Entry::BuffersFull | Entry::NeedsSpace => return Ok(Begun::NoRoom),
            }
        };
        if self.waits(durability) {
            return Ok(Begun::Entered(entered));
        }
        Ok(Begun::Done(entered.first, entered.last))
    }

    /// The rest of an append that [`begin`](Self::begin) could not end; returns the first record's position and the last
    /// one's LSN.
    pub(crate) async fn finish(
        &self,
        begun: Begun,
        records: &[EncodedRecord<'_>],
        durability: Durability,
        shell: Shell,
    ) -> Result<(Position, Lsn)> {
        let Entered { first, last, era } = match begun {
            Begun::Done(first, last) => return Ok((first, last)),
            Begun::Entered(entered) => entered,
            Begun::NoRoom => self.enter(Entrant::records(records), shell).await?,
        };
        if self.waits(durability) {
            self.reach_in(era, Goal::Durable, last.get(), shell).await?;
        }
        Ok((first, last))
    }

    /// Enters if there is room, and waits for nothing; `None` if there is none.
    pub(crate) fn try_append(
        &self,
        records: &[EncodedRecord<'_>],
    ) -> Result<Option<(Position, Lsn)>> {
        Ok(match self.begin(records, Durability::Entered)? {
            Begun::Done(first, last) => Some((first, last)),
            Begun::Entered(entered) => Some((entered.first, entered.last)),
            Begun::NoRoom => None,
        })
    }

    /// Waits until there is room for `records`.
    pub(crate) async fn room_for(&self, records: &[EncodedRecord<'_>], shell: Shell) -> Result<()> {
        let bytes = Entrant::records(records).bytes();
        self.enter(Entrant::Room(bytes), shell).await.map(drop)
    }

    /// Whether the call waits for stable storage.
    pub(super) fn waits(&self, durability: Durability) -> bool {
        match durability {
            Durability::Entered => false,
            Durability::Policy => self.settings.config.fsync_policy == FsyncPolicy::Always,
            Durability::Durable => true,
        }
    }

    pub(super) async fn enter(&self, entrant: Entrant<'_, '_>, shell: Shell) -> Result<Entered> {
        match self.enter_in(entrant, shell).await {
            Err(Error::NoSpace { .. }) if entrant.is_reserved() && self.may_enter_reserve() => {
                self.enter_reserve(shell).await?;
                self.enter_in(entrant, shell).await
            }
            entered => entered,
        }
    }

    async fn enter_in(&self, entrant: Entrant<'_, '_>, shell: Shell) -> Result<Entered> {
        let mut place = RoomTicket {
            engine: self,
            waiting: Waiting::default(),
        };
        poll_fn(|context| self.poll_enter(entrant, &mut place.waiting, shell, context)).await
    }

    fn poll_enter(
        &self,
        entrant: Entrant<'_, '_>,
        waiting: &mut Waiting,
        shell: Shell,
        context: &Context<'_>,
    ) -> Poll<Result<Entered>> {
        loop {
            let mut state = self.state();
            state.life.check_open()?;
            let entry = self.enter_locked(&mut state, entrant, waiting)?;
            if let Entry::Entered(entered) = entry {
                return Poll::Ready(Ok(entered));
            }
            let ticket = &mut waiting.ticket;
            state.waiters.wait_for_room(ticket, context.waker());
            // No timer syncs or hands over under this policy, and it may be that no caller waits for the earlier records.
            let unled = match entry {
                _ if self.settings.config.fsync_policy != FsyncPolicy::Always => false,
                Entry::BuffersFull => state.rights.are_free(WRITE),
                _ => state.progress.has_rotated(),
            };
            if unled && matches!(entry, Entry::BuffersFull) && shell.may_block() {
                // The one who needs room makes it.
                shell.run(|| self.perform(state, Work::HandOver))?;
                continue;
            }
            state.background.commit_requested |= unled;
            return Poll::Pending;
        }
    }

    fn enter_locked(
        &self,
        state: &mut State,
        entrant: Entrant<'_, '_>,
        waiting: &mut Waiting,
    ) -> Result<Entry> {
        if !state.rights.are_free(REWIND) {
            // Everyone is woken when the LSNs are known again.
            return Ok(Entry::NeedsSpace);
        }
        let next = state.buffers.next_lsn();
        if let Some(lsn) = entrant.first()
            && lsn > next
        {
            // They were, when the truncation was asked for.
            return Err(Error::NotAppended { lsn, next });
        }
        if let Entrant::Control(requested) = entrant {
            self.check_change(state, requested)?;
        }
        if let Some((records, _)) = entrant.batch() {
            check_lsns(state, records.len() as u64)?;
        }
        loop {
            let Some(active) = state.segments.active() else {
                if state.segments.spare().is_none() {
                    let attempts = &mut waiting.segment_attempts;
                    state.background.spare.ask(0, attempts)?;
                    return Ok(Entry::NeedsSpace);
                }
                self.rotate(state);
                continue;
            };
            let (end, limit) = entrant.end_and_limit(state, &active.segment);
            // The reserve is left as soon as that is possible.
            let in_reserve = active.in_reserve.is_some();
            if end > limit || (in_reserve && state.segments.spare().is_some()) {
                if !state.may_rotate() {
                    return Ok(Entry::NeedsSpace);
                }
                if state.segments.spare().is_none() {
                    let attempts = &mut waiting.segment_attempts;
                    state.background.spare.ask(0, attempts)?;
                    return Ok(Entry::NeedsSpace);
                }
                if state.buffers.are_waiting() {
                    return Ok(Entry::BuffersFull);
                }
                self.rotate(state);
                continue;
            }
            let reserve = active.segment.header.capacity.saturating_sub(limit);
            if !in_reserve && end + reserve > active.allocated {
                let attempts = &mut waiting.extension_attempts;
                state.background.extension.ask(end, attempts)?;
                return Ok(Entry::NeedsSpace);
            }
            if end > state.prewriting.limit(active.id()) {
                // Zeros are being written there, for a moment.
                if let Some(active) = state.segments.active_mut() {
                    active.prewritten.widen_margin();
                }
                return Ok(Entry::NeedsSpace);
            }
            // A whole table replaces what was set before it, and is not followed by that.
            let is_all = matches!(entrant, Entrant::Control(requested) if requested.is_all);
            let changes = state.room_for_changes() as usize;
            let len = state.buffers.filling().len() + changes + entrant.bytes();
            let full = len > self.settings.buffer && !state.is_filling_empty();
            if full || (is_all && changes > 0) {
                if state.buffers.are_waiting() {
                    return Ok(Entry::BuffersFull);
                }
                state.freeze(&*self.clock);
                continue;
            }
            return Ok(Entry::Entered(self.enter_here(state, entrant)));
        }
    }

    /// There is room.
    fn enter_here(&self, state: &mut State, entrant: Entrant<'_, '_>) -> Entered {
        if entrant.batch().is_some() && state.buffers.filling().open_group_start().is_none() {
            state.begin_group(&*self.clock);
        }
        let entered = match entrant {
            Entrant::Records(records, bytes) | Entrant::Reserved(records, bytes) => {
                state.buffers.set_gate(self.gate(state));
                return state.push(records, bytes);
            }
            Entrant::Dropping(records, bytes, first) => {
                state.buffers.set_gate(self.gate(state));
                let entered = state.push(records, bytes);
                // The truncation stands behind its record, in the same write: none is without its record.
                self.push_cut(state, first);
                state.buffers.shut_gate();
                return entered;
            }
            Entrant::Cut(log_first) => self.push_cut(state, log_first),
            Entrant::Control(requested) => {
                self.push_control(state, requested);
                state.place()
            }
            Entrant::Room(_) => state.place(),
        };
        state.buffers.set_gate(self.gate(state));
        entered
    }

    /// How far the open group may grow before an append has to look again.
    fn gate(&self, state: &State) -> Gate {
        let Some(active) = state.segments.active() else {
            return Gate::default();
        };
        let filling = state.buffers.filling();
        let (start, end) = (filling.start().get(), filling.end().get());
        // In the reserve, and near the highest LSN, each append is checked.
        let numbered = check_lsns(state, self.settings.buffer as u64).is_ok();
        let checked = active.in_reserve.is_some() || !numbered;
        let mut until = (active.segment.data_limit)
            .min(active.allocated.saturating_sub(active.footer_room()))
            .min(state.prewriting.limit(active.id()))
            .min(start + self.settings.buffer as u64)
            .saturating_sub(state.room_for_changes());
        // Where somebody has to be told, and was not yet.
        let len = filling.len() as u64;
        for (end, signal) in [
            (
                start + len,
                start + self.settings.hand_over_bytes as u64 - 1,
            ),
            (end, active.spare_from()),
        ] {
            if end <= signal {
                until = until.min(signal);
            }
        }
        Gate {
            until: if checked { 0 } else { until },
            segment: active.id(),
            next_place: active.index.next_record(),
        }
    }

    fn push_cut(&self, state: &mut State, log_first: Lsn) -> Entered {
        state.date_group(&*self.clock);
        state.truncations.raise_first(log_first);
        let (first, watermark) = (state.truncations.log_first(), state.progress.durable().lsn);
        let buffers = &mut state.buffers;
        buffers.add_group(watermark, |filling| filling.cut(first, watermark));
        if let Some(active) = state.segments.active_mut() {
            state.truncations.note_cut(buffers.serial(), active.id());
            if let Some(reserve) = &mut active.in_reserve {
                reserve.truncated();
            }
        }
        state.place()
    }
}

/// Whether `count` more records can get LSNs.
fn check_lsns(state: &State, count: u64) -> Result<()> {
    let last = state.buffers.last_lsn().get().checked_add(count);
    // Two records never have the same LSN.
    if last.is_some_and(|last| last <= LAST_LSN.get()) {
        return Ok(());
    }
    Err(Error::NoMoreLsns {
        next: state.buffers.next_lsn(),
        limit: LAST_LSN,
    })
}

/// Gives the place in the queue back when the append is dropped before it entered.
struct RoomTicket<'a> {
    engine: &'a Engine,
    waiting: Waiting,
}

impl Drop for RoomTicket<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.waiting.ticket
            && self.engine.process.is_current()
        {
            let mut state = self.engine.state();
            state.waiters.leave_room(ticket);
            // It may have been woken for room that it now leaves to the others.
            state.waiters.wake_for_room();
        }
    }
}
