//! How records enter the log.
//!
//! A record was encoded and checksummed before the lock is taken. Under the lock it gets its LSN and offset, its checksum
//! is masked for that place, and it is copied into the buffer being filled: the record is then in the log, in one poll. An
//! append that finds no room enters nothing and waits.

use std::future::poll_fn;
use std::task::{Context, Poll};

use wal_format::{EncodedRecord, InBatch, Lsn, RecordRef};

use super::entrant::Entrant;
use super::eras::Era;
use super::parked::{Park, Role};
use super::state::{Gate, Provision, State};
use super::waiters::Ticket;
use super::{Driver, Engine, Goal};
use crate::shell::Shell;
use crate::{Error, FsyncPolicy, Position, Result, sabotage};

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

/// What an append was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entered {
    pub(super) first: Position,
    pub(super) last: Lsn,
    /// The LSNs are of this era.
    pub(super) era: Era,
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
            } else if sabotage::is("batch-counted-in-part") {
                break;
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
            wal_format::Expiry::Never | wal_format::Expiry::At(_) => wal_format::UnixMillis::new(0),
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
        let mut state = self.state();
        let entered = if bytes > 0 && state.is_open_for(bytes) {
            let entered = state.push(records, bytes);
            self.locked.figures.appended(&state);
            entered
        } else {
            Self::check_open(&state)?;
            if records.is_empty() {
                let last = state.last_lsn();
                drop(state);
                return Ok(Begun::Done(self.next_position(), last));
            }
            match self.enter_locked(&mut state, entrant, &mut Waiting::default())? {
                Entry::Entered(entered) => entered,
                Entry::BuffersFull | Entry::NeedsSpace => return Ok(Begun::NoRoom),
            }
        };
        drop(state);
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
            Self::check_open(&state)?;
            match self.enter_locked(&mut state, entrant, waiting)? {
                Entry::Entered(entered) => return Poll::Ready(Ok(entered)),
                Entry::BuffersFull => {
                    let free = !state.writing;
                    state
                        .waiters
                        .wait_for_room(&mut waiting.ticket, context.waker());
                    // Without a writer thread the one who needs room makes it.
                    if free && self.settings.config.fsync_policy == FsyncPolicy::Always {
                        if shell.may_block() {
                            state.writing = true;
                            shell.run(|| self.write_one(state).map(drop))?;
                            continue;
                        }
                        state.commit_requested = true;
                        self.signal_syncer(&state);
                    } else {
                        self.signal_writer(&state);
                    }
                    return Poll::Pending;
                }
                Entry::NeedsSpace => {
                    state
                        .waiters
                        .wait_for_room(&mut waiting.ticket, context.waker());
                    self.signal_keeper(&state);
                    // Under `Always` no timer syncs, and it may be that no caller waits for the earlier records.
                    let unled = self.settings.config.fsync_policy == FsyncPolicy::Always
                        && state.dirty.len() > 1
                        && !sabotage::is("full-segments-without-a-commit");
                    if unled {
                        state.commit_requested = true;
                        self.signal_syncer(&state);
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn enter_locked(
        &self,
        state: &mut State,
        entrant: Entrant<'_, '_>,
        waiting: &mut Waiting,
    ) -> Result<Entry> {
        if state.rewinding {
            // Everyone is woken when the LSNs are known again.
            return Ok(Entry::NeedsSpace);
        }
        if let Some(lsn) = entrant.first()
            && lsn > state.next_lsn
        {
            // They were, when the truncation was asked for.
            let next = state.next_lsn;
            return Err(Error::NotAppended { lsn, next });
        }
        if let Entrant::Control(requested) = entrant {
            self.check_change(state, requested)?;
        }
        if let Some((records, _)) = entrant.batch() {
            check_lsns(state, records.len() as u64)?;
        }
        loop {
            let Some(active) = &state.active else {
                if state.spare.is_none() {
                    return Self::ask(&mut state.next_spare, &mut waiting.segment_attempts);
                }
                self.rotate(state);
                continue;
            };
            let (end, limit) = entrant.end_and_limit(state, &active.segment);
            // The reserve is left as soon as that is possible.
            let in_reserve = active.in_reserve.is_some();
            if end > limit || (in_reserve && state.spare.is_some()) {
                if !state.may_rotate() {
                    return Ok(Entry::NeedsSpace);
                }
                if state.spare.is_none() {
                    return Self::ask(&mut state.next_spare, &mut waiting.segment_attempts);
                }
                if !state.frozen.is_empty() {
                    return Ok(Entry::BuffersFull);
                }
                self.rotate(state);
                continue;
            }
            let reserve = active.segment.header.capacity.saturating_sub(limit);
            if !in_reserve && end + reserve > active.allocated {
                state.extension.need = end;
                return Self::ask(&mut state.extension, &mut waiting.extension_attempts);
            }
            if end > state.ahead.limit(active.segment.id()) {
                // Zeros are being written there, for a moment.
                if let Some(active) = &mut state.active {
                    active.widen_margin();
                }
                return Ok(Entry::NeedsSpace);
            }
            // A whole table replaces what was set before it, and is not followed by that.
            let is_all = matches!(entrant, Entrant::Control(requested) if requested.is_all);
            let waiting = state.room_for_changes(active.segment.header.alignment) as usize;
            let full = state.filling.len() + waiting + entrant.bytes() > self.settings.buffer;
            if (full && !state.is_filling_empty()) || (is_all && waiting > 0) {
                if !state.frozen.is_empty() {
                    return Ok(Entry::BuffersFull);
                }
                state.freeze(&*self.clock);
                continue;
            }
            let entered = match entrant {
                Entrant::Dropping(records, bytes, first) => {
                    if state.filling.open_group_start().is_none() {
                        self.open_group(state);
                    }
                    state.gate = self.gate(state);
                    // The truncation stands behind its record, in the same write: none is without its record.
                    let early = sabotage::is("cut-before-its-record");
                    if early {
                        self.push_cut(state, first);
                    }
                    let entered = state.push(records, bytes);
                    if !early {
                        self.push_cut(state, first);
                    }
                    state.shut_gate();
                    self.locked.figures.appended(state);
                    self.locked.figures.changed(state);
                    entered
                }
                Entrant::Records(records, bytes) | Entrant::Reserved(records, bytes) => {
                    if state.filling.open_group_start().is_none() {
                        self.open_group(state);
                    }
                    state.gate = self.gate(state);
                    let entered = state.push(records, bytes);
                    self.locked.figures.appended(state);
                    entered
                }
                Entrant::Cut(log_first) => {
                    state.gate = self.gate(state);
                    let cut = self.push_cut(state, log_first);
                    self.locked.figures.changed(state);
                    cut
                }
                Entrant::Control(requested) => {
                    self.push_control(state, requested);
                    state.gate = self.gate(state);
                    Self::place(state)
                }
                Entrant::Room(_) => {
                    state.gate = self.gate(state);
                    return Ok(Entry::Entered(Self::place(state)));
                }
            };
            self.after_enter(state);
            return Ok(Entry::Entered(entered));
        }
    }

    /// Asks the keeper for space once; fails when an attempt made for this append has failed.
    fn ask(provision: &mut Provision, asked_at: &mut Option<u64>) -> Result<Entry> {
        let at = *asked_at.get_or_insert(provision.attempts);
        if provision.attempts > at
            && let Some(error) = &provision.failed
        {
            return Err(error.clone());
        }
        provision.wanted = true;
        Ok(Entry::NeedsSpace)
    }

    /// What is noted of a group with its first record.
    fn open_group(&self, state: &mut State) {
        if state.filling_since.is_none() {
            let now = self.clock.monotonic();
            state.filling_since = Some(now);
            state.last_append = now;
        }
        state.note_group(&*self.clock);
    }

    /// How far the open group may grow before an append has to look again.
    fn gate(&self, state: &State) -> Gate {
        let Some(active) = &state.active else {
            return Gate::default();
        };
        if active.in_reserve.is_some() {
            // Each append is checked.
            return Gate {
                until: 0,
                segment: active.segment.id(),
                next_place: active.index.next_record(),
            };
        }
        let (start, end) = (state.filling.start().get(), state.filling.end().get());
        let limit = active.segment.data_limit;
        let reserve = active.segment.header.capacity - limit;
        // Near the highest LSN, each append is checked.
        let numbered = check_lsns(state, self.settings.buffer as u64).is_ok();
        let limit = if numbered { limit } else { 0 };
        let mut until = limit
            .min(active.allocated.saturating_sub(reserve))
            .min(state.ahead.limit(active.segment.id()))
            .min(start + self.settings.buffer as u64)
            .saturating_sub(state.room_for_changes(active.segment.header.alignment));
        // Where somebody has to be told, and was not yet.
        let len = state.filling.len() as u64;
        for (end, signal) in [
            (
                start + len,
                start + self.settings.hand_over_bytes as u64 - 1,
            ),
            (end, Self::spare_from(active)),
        ] {
            if end <= signal {
                until = until.min(signal);
            }
        }
        Gate {
            until,
            segment: active.segment.id(),
            next_place: active.index.next_record(),
        }
    }

    fn push_cut(&self, state: &mut State, log_first: Lsn) -> Entered {
        state.date_group(&*self.clock);
        state.log_first = state.log_first.max(log_first);
        let watermark = state.durable.lsn;
        state.filling.cut(state.log_first, watermark);
        state.filling_watermark = watermark;
        state.cut_serial = state.filling_serial;
        if let Some(active) = &mut state.active {
            state.cut_segment = active.segment.id();
            if let Some(reserve) = &mut active.in_reserve {
                reserve.truncated();
            }
        }
        Self::place(state)
    }

    /// Where the next record goes.
    fn place(state: &State) -> Entered {
        let first = Position {
            lsn: state.next_lsn,
            segment_id: state.next_segment,
            offset: state.filling.end(),
        };
        Entered {
            first,
            last: state.last_lsn(),
            era: state.eras.now(),
        }
    }

    /// Tells the threads what the append has made due. Until the [`Gate`] is reached, a later one makes nothing else due.
    fn after_enter(&self, state: &State) {
        if self.settings.driver == Driver::Caller {
            return;
        }
        let threshold =
            state.filling.len() >= self.settings.hand_over_bytes || !state.frozen.is_empty();
        match self.settings.config.fsync_policy {
            FsyncPolicy::Always => {}
            FsyncPolicy::Batch(_) => {
                if threshold && !state.writing {
                    self.signal_writer(state);
                }
                self.nudge(state, Role::Syncer);
            }
            FsyncPolicy::Os => {
                if state.parked.writer == Park::Idle || (threshold && !state.writing) {
                    self.signal_writer(state);
                }
            }
        }
        if Self::spare_due(state) {
            self.signal_keeper(state);
        }
    }
}

/// Whether `count` more records can get LSNs.
fn check_lsns(state: &State, count: u64) -> Result<()> {
    let last = state.last_lsn().get().checked_add(count);
    // Two records never have the same LSN.
    if last.is_some_and(|last| last <= LAST_LSN.get()) || sabotage::is("lsns-without-an-end") {
        return Ok(());
    }
    Err(Error::NoMoreLsns {
        next: state.next_lsn,
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
            Engine::tell_of_room(state);
        }
    }
}
