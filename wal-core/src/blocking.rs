//! The log for threads: the same calls as the async [`Wal`](crate::Wal), without `async`.
//!
//! Needs no runtime and no feature. Calls from many threads share commits.

use std::path::Path;
use std::time::Duration;

use wal_format::{EncodedRecord, Lsn, Record, RecordRef, SegmentId, UnixMillis};

use crate::builder::Builder;
use crate::control::{ControlChange, ControlState, Requested};
use crate::cursor::Cursor;
use crate::handle::Handle;
use crate::log::{Begun, Durability, Engine};
use crate::position::Start;
use crate::reader::{RawReader, Step};
use crate::recovery::RecoveryReport;
use crate::settings::Driver;
use crate::shell::Shell;
use crate::stats::Stats;
use crate::sync::{self, Arc};
use crate::{Appended, Awaited, OnDamage, Position, Result, Threads, WalConfig, sabotage};

/// A write-ahead log. Clones are handles to the same log.
///
/// ```
/// use wal_core::{Record, WalConfig, blocking::Wal};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// let wal = Wal::open(&dir, WalConfig::default())?;
/// let position = wal.append(&Record::put("key", "value"))?;
/// wal.sync()?;
///
/// let mut reader = wal.read_from(position)?;
/// while let Some((record, position)) = reader.next_record()? {
///     println!("{position}: {:?} = {:?}", record.key, record.value);
/// }
/// wal.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Wal {
    pub(crate) handle: Arc<Handle>,
}

impl Wal {
    /// Opens the log in the directory `dir`, and creates it if there is none.
    ///
    /// # Durability
    /// What a crash left unproven is made durable before the call returns; see [`recovery_report`](Self::recovery_report).
    /// Opening a log that was closed writes nothing to it.
    ///
    /// # Errors
    /// [`Locked`](crate::Error::Locked) if another writer has it, [`Corruption`](crate::Error::Corruption) or
    /// [`MissingSegment`](crate::Error::MissingSegment) if durable data is damaged, [`NotALog`](crate::Error::NotALog),
    /// [`UnknownVersion`](crate::Error::UnknownVersion), [`InvalidConfig`](crate::Error::InvalidConfig),
    /// [`NoSpace`](crate::Error::NoSpace) or [`Io`](crate::Error::Io). Nothing is lost by any of them.
    pub fn open(dir: impl AsRef<Path>, config: WalConfig) -> Result<Self> {
        Self::builder(dir).config(config).open()
    }

    /// Opens with further settings.
    #[must_use]
    pub fn builder(dir: impl AsRef<Path>) -> Builder<Self> {
        Builder::new(dir)
    }

    pub(crate) fn engine(&self) -> Result<&Arc<Engine>> {
        self.handle.engine()
    }

    /// Appends a record; returns its position.
    ///
    /// # Durability
    /// As the [policy](crate::FsyncPolicy) says.
    ///
    /// # Errors
    /// [`TooLarge`](crate::Error::TooLarge), [`NoSpace`](crate::Error::NoSpace) and [`Closed`](crate::Error::Closed): the record
    /// is not in the log. [`Poisoned`](crate::Error::Poisoned): it may be found after reopening if it was given an LSN.
    /// [`Truncated`](crate::Error::Truncated): `truncate_after` removed it while the call waited for the sync.
    pub fn append<'a>(&self, record: impl Into<RecordRef<'a>>) -> Result<Position> {
        self.append_with(record.into(), Durability::Policy)
    }

    /// Appends a record and returns when it is on stable storage, whatever the policy.
    ///
    /// # Durability
    /// The record and all before it survive a power loss.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_durable<'a>(&self, record: impl Into<RecordRef<'a>>) -> Result<Position> {
        self.append_with(record.into(), Durability::Durable)
    }

    fn append_with(&self, record: RecordRef<'_>, durability: Durability) -> Result<Position> {
        let engine = self.engine()?;
        let encoded = [engine.encode(record)?];
        append(engine, &encoded, durability).map(|(first, _)| first)
    }

    /// Appends records, a slice of [`Record`] or of [`RecordRef`], that survive a crash all or none: they lie in
    /// one segment, with nothing between them. An empty batch appends nothing.
    ///
    /// # Durability
    /// As the [policy](crate::FsyncPolicy) says, for the batch as a whole.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`TooLarge`](crate::Error::TooLarge) also if the batch does not fit in a segment.
    pub fn append_batch<'a, R>(&self, records: &'a [R]) -> Result<Appended>
    where
        &'a R: Into<RecordRef<'a>>,
    {
        let engine = self.engine()?;
        let encoded = engine.encode_batch(records)?;
        let (first, last_lsn) = append(engine, &encoded, Durability::Policy)?;
        Ok(Appended { first, last_lsn })
    }

    /// Returns when all that was appended before the call is with the operating system.
    ///
    /// # Durability
    /// It survives a kill of the process, not a crash of the system.
    ///
    /// # Errors
    /// [`Poisoned`](crate::Error::Poisoned) if the write failed, [`Closed`](crate::Error::Closed).
    pub fn flush(&self) -> Result<()> {
        let engine = self.engine()?;
        // With the operating system when it returns.
        sabotage::unless("flush-does-nothing", || {
            wait(engine, engine.flush(Shell::Blocking))
        })
    }

    /// Returns when all that was appended before the call is on stable storage.
    ///
    /// # Durability
    /// It survives a power loss.
    ///
    /// # Errors
    /// [`Poisoned`](crate::Error::Poisoned) if the sync failed, [`Closed`](crate::Error::Closed).
    pub fn sync(&self) -> Result<()> {
        let engine = self.engine()?;
        wait(engine, engine.sync(Shell::Blocking))
    }

    /// Returns when the record is on stable storage; starts a sync if nothing else does.
    ///
    /// Takes an LSN, or what an append returned. An LSN stands for the record that has it now. With what an append returned, a
    /// removed record is recognised even if another record has its LSN now.
    ///
    /// # Errors
    /// [`NotAppended`](crate::Error::NotAppended) for an LSN never given, [`Truncated`](crate::Error::Truncated) if `truncate_after` has removed the
    /// record, else as [`sync`](Self::sync).
    pub fn wait_durable(&self, record: impl Into<Awaited>) -> Result<()> {
        let engine = self.engine()?;
        wait(engine, engine.wait_durable(record.into(), Shell::Blocking))
    }

    /// The highest LSN known to be on stable storage. Goes back only where `truncate_after` removes records. Takes no lock.
    ///
    /// A read-only handle reads the files to answer this. If they cannot be read, it returns what it found last.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.handle.durable_lsn()
    }

    /// The cursor of the record that has the LSN `lsn` now. [`Lsn::ZERO`] stands for a reader that has seen no record, if the log
    /// starts at LSN 1. The LSN before the log's first one has a cursor too, as after [`truncate_before`](Self::truncate_before).
    ///
    /// The record need not be durable. If a crash takes it, its cursor is no longer valid. A read-only handle reads the files to
    /// answer.
    ///
    /// # Errors
    /// [`NotAppended`](crate::Error::NotAppended) for an LSN above the last one, [`Truncated`](crate::Error::Truncated) for one that is no longer in
    /// the log. On a read-only handle also what reading the files gives: [`Io`](crate::Error::Io), [`Corruption`](crate::Error::Corruption),
    /// [`UnknownVersion`](crate::Error::UnknownVersion).
    pub fn cursor(&self, lsn: Lsn) -> Result<Cursor> {
        self.handle.lineage()?.cursor(lsn)
    }

    /// Whether the record that the cursor names is still in the log: the same record, not only the same LSN.
    ///
    /// To continue from a cursor, make the reader first, with [`follow_from`](Self::follow_from), and check the cursor then. If
    /// records are truncated after the check, the reader returns the error. A read-only handle reads the files to answer.
    ///
    /// # Errors
    /// - [`Truncated`](crate::Error::Truncated): the record is no longer in the log. With `kept`, the newest records were truncated or
    ///   lost: discard everything read above `kept`, and continue at `kept + 1`. With neither `kept` nor a first LSN above the
    ///   cursor's, nothing tells how much of what was read is in the log: start from the first LSN.
    /// - [`OtherLog`](crate::Error::OtherLog): the cursor belongs to another log.
    /// - On a read-only handle also what reading the files gives, as for [`cursor`](Self::cursor).
    pub fn check_cursor(&self, cursor: &Cursor) -> Result<()> {
        self.handle.lineage()?.check(cursor)
    }

    /// The LSN from which on the log has all records that were appended at or after `time`: milliseconds since 1970, by the log's
    /// clock. At most the records of one group are older. If there are no such records, it is the LSN that the next record gets.
    ///
    /// The log's clock is the boot-time clock, anchored at the wall clock when the log is opened, and not earlier than the latest
    /// record. It is corrected when the wall clock has been set. So times may go back, and then the first place counts where
    /// `time` was reached. Records that were written in version 1 of the format have no time, and count as older than any.
    ///
    /// Reads the footers of all segments once, and then a page and a few group headers of one segment. Segments without a footer
    /// are searched by their group headers.
    ///
    /// # Errors
    /// [`Io`](crate::Error::Io), [`MissingSegment`](crate::Error::MissingSegment), [`OtherProcess`](crate::Error::OtherProcess).
    pub fn lsn_at(&self, time: UnixMillis) -> Result<Lsn> {
        self.handle.lsn_at(time)
    }

    /// What the log's clock shows now, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`ReadOnly`](crate::Error::ReadOnly): a read-only handle has no clock.
    #[doc(hidden)]
    pub fn log_time(&self) -> Result<UnixMillis> {
        self.engine().map(|engine| engine.time())
    }

    /// The control state: a term and consumers. It belongs to the log, and no truncation takes a part of it away. Also what is not
    /// durable yet.
    ///
    /// A read-only handle reads the newest segments to answer this.
    ///
    /// # Errors
    /// [`Poisoned`](crate::Error::Poisoned), or what opening the log gives on a read-only handle.
    #[doc(hidden)]
    pub fn control(&self) -> Result<ControlState> {
        self.handle.control()
    }

    /// Changes the control state: all of the changes or none. They survive truncations, recovery and repair.
    ///
    /// # Durability
    /// As the [policy](crate::FsyncPolicy) says of an append, and made durable by [`sync`](Self::sync) and
    /// [`close`](Self::close). Changes between two syncs share one group.
    ///
    /// # Errors
    /// Nothing was changed: [`OldVersion`](crate::Error::OldVersion) of a log of version 1, [`InvalidControl`](crate::Error::InvalidControl) for a
    /// name or a lower term, [`NotDurable`](crate::Error::NotDurable) for a cursor above the durable LSN, [`Truncated`](crate::Error::Truncated) or
    /// [`OtherLog`](crate::Error::OtherLog) for one that is not valid, [`TooLarge`](crate::Error::TooLarge), [`NoSpace`](crate::Error::NoSpace),
    /// [`ControlLost`](crate::Error::ControlLost), [`Closed`](crate::Error::Closed). After [`Poisoned`](crate::Error::Poisoned) reopening shows what has
    /// survived.
    #[doc(hidden)]
    pub fn change_control(&self, changes: &[ControlChange]) -> Result<()> {
        let requested = Requested::new(changes, false)?;
        let engine = self.engine()?;
        wait(engine, engine.change_control(&requested, Shell::Blocking))
    }

    /// Sets the whole control state again, whatever it was: the answer to [`ControlLost`](crate::Error::ControlLost).
    ///
    /// # Durability
    /// As for [`change_control`](Self::change_control).
    ///
    /// # Errors
    /// As for [`change_control`](Self::change_control), except [`ControlLost`](crate::Error::ControlLost).
    #[doc(hidden)]
    pub fn set_control(&self, term: u64, consumers: &[(String, Cursor)]) -> Result<()> {
        let requested = Requested::all(term, consumers)?;
        let engine = self.engine()?;
        wait(engine, engine.change_control(&requested, Shell::Blocking))
    }

    /// The first LSN of the log.
    #[must_use]
    pub fn first_lsn(&self) -> Lsn {
        self.handle.first_lsn()
    }

    /// The last LSN given to a record; below [`first_lsn`](Self::first_lsn) if the log is empty.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        self.handle.last_lsn()
    }

    /// Most bytes of key and uncompressed value that one record may have.
    #[must_use]
    pub fn record_limit(&self) -> u64 {
        self.handle.record_limit()
    }

    /// Length of new segments in bytes: `max_segment_size`, or what the log [keeps](crate::Builder::keep_segment_size).
    #[must_use]
    pub fn segment_size(&self) -> u64 {
        self.handle.segment_size()
    }

    /// Where the next record goes, if nothing rotates before it.
    #[must_use]
    pub fn current_position(&self) -> Position {
        self.handle.current_position()
    }

    /// The segments of the log, oldest first.
    ///
    /// # Errors
    /// [`OtherProcess`](crate::Error::OtherProcess) in a fork of the process that opened the log.
    pub fn list_segments(&self) -> Result<Vec<SegmentId>> {
        self.handle.list_segments()
    }

    /// A reader of one segment.
    ///
    /// # Errors
    /// [`MissingSegment`](crate::Error::MissingSegment) if it is not a segment of the log.
    pub fn read_segment(&self, id: SegmentId) -> Result<Reader> {
        Ok(Reader {
            raw: self.handle.read_segment(id)?,
        })
    }

    /// A reader from a [`Position`] or an [`Lsn`] on; LSN 0 is the start of the log, whatever was truncated.
    ///
    /// # Errors
    /// [`Truncated`](crate::Error::Truncated) if the record is no longer in the log, [`NotAppended`](crate::Error::NotAppended)
    /// for an LSN above the next one: the cursor belongs to another log, or to a newer copy of this one. To wait for such an
    /// LSN, use [`follow_from`](Self::follow_from). On a read-only handle [`Io`](crate::Error::Io), if it cannot read where the
    /// log ends.
    pub fn read_from(&self, start: impl Into<Start>) -> Result<Reader> {
        Ok(Reader {
            raw: self.handle.read_from(start.into())?,
        })
    }

    /// As [`read_from`](Self::read_from), but the LSN need not have been given to a record yet. The reader returns `None` until
    /// it is.
    ///
    /// # Errors
    /// [`Truncated`](crate::Error::Truncated) if the record is no longer in the log. If `truncate_after` then removes records
    /// before the LSN, the reader gets [`Truncated`](crate::Error::Truncated) as well.
    pub fn follow_from(&self, start: impl Into<Start>) -> Result<Reader> {
        Ok(Reader {
            raw: self.handle.follow_from(start.into())?,
        })
    }

    /// Reads the log from `start` on, up to the last record appended before the call, on several threads: each segment on one of
    /// them. For each segment a state is made with `begin`, and `each` is called with it for every record of the segment, in
    /// order. Returns the states, the oldest segment's first: putting them together in that order gives what reading in order gives.
    ///
    /// Records are borrowed: nothing is copied or allocated for one whose value is stored uncompressed. LSN 0 is the start of the log,
    /// whatever was truncated. Takes 256 KiB of memory a thread, more for a larger record.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use wal_core::{Lsn, Record, Threads, WalConfig, blocking::Wal};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let dir = tmp.path().join("log");
    /// let wal = Wal::open(&dir, WalConfig::default())?;
    /// wal.append(&Record::put("key", "old"))?;
    /// wal.append(&Record::put("key", "new"))?;
    ///
    /// let segments = wal.replay(Lsn::ZERO, Threads::PerCore, HashMap::new, |map, record, _position| {
    ///     map.insert(record.key().to_vec(), record.value().to_vec());
    /// })?;
    /// // Newer segments win.
    /// let map: HashMap<_, _> = segments.into_iter().flatten().collect();
    /// assert_eq!(map[&b"key"[..]], b"new");
    /// # wal.close()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first in the order of LSNs, of those that a [`Reader`] gives: [`Corruption`](crate::Error::Corruption),
    /// [`MissingSegment`](crate::Error::MissingSegment), [`Gap`](crate::Error::Gap), [`Truncated`](crate::Error::Truncated) (also for a record that is
    /// removed meanwhile), [`Poisoned`](crate::Error::Poisoned), [`Io`](crate::Error::Io). `each` may have been called for records behind it.
    ///
    /// # Panics
    /// If `begin` or `each` does, once all threads have ended.
    pub fn replay<S: Send>(
        &self,
        start: impl Into<Lsn>,
        threads: Threads,
        begin: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, RecordRef<'_>, Position) + Sync,
    ) -> Result<Vec<S>> {
        let (last, flush) = self.handle.replay_end();
        if let Some(engine) = flush {
            wait(engine, engine.flush(Shell::Blocking))?;
        }
        self.handle.replay(start.into(), last, threads, begin, each)
    }

    /// Removes the records before `lsn`, which stays (or is the next one to be appended). Files are deleted when all of their
    /// records are gone.
    ///
    /// # Durability
    /// Durable when it returns: the records do not come back after a crash.
    ///
    /// # Errors
    /// [`NotAppended`](crate::Error::NotAppended) if `lsn` is above the next LSN, [`NoSpace`](crate::Error::NoSpace),
    /// [`Poisoned`](crate::Error::Poisoned), [`Closed`](crate::Error::Closed).
    pub fn truncate_before(&self, lsn: impl Into<Lsn>) -> Result<()> {
        let engine = self.engine()?;
        wait(engine, engine.truncate_before(lsn.into(), Shell::Blocking))
    }

    /// Removes the records after `lsn`, which stays; LSN 0 removes all. Their LSNs are given again: the next record gets the one
    /// behind `lsn`. `lsn` may lie inside a batch, of which the rest goes. Appends wait meanwhile; it takes three syncs and a segment.
    ///
    /// Who waits for a removed record, and a reader that has read one, gets [`Truncated`](crate::Error::Truncated) with `kept`.
    ///
    /// # Durability
    /// All or nothing. Durable when it returns, as is every record that stays: the removed ones do not come back after a crash.
    ///
    /// # Errors
    /// [`NotAppended`](crate::Error::NotAppended) if `lsn` is above the last LSN, [`Truncated`](crate::Error::Truncated) if it is below
    /// the log's first, [`Corruption`](crate::Error::Corruption) if the records there do not verify, [`NoSpace`](crate::Error::NoSpace):
    /// in all of these the log is as it was. [`Poisoned`](crate::Error::Poisoned) (then the next open tells whether the records are
    /// gone), [`Closed`](crate::Error::Closed).
    pub fn truncate_after(&self, lsn: impl Into<Lsn>) -> Result<()> {
        let engine = self.engine()?;
        wait(engine, engine.truncate_after(lsn.into(), Shell::Blocking))
    }

    /// What opening the log found and did.
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        self.handle.report()
    }

    /// Checks that this process opened the handle, and is not a fork of the opener. Takes no lock, and costs one load from
    /// memory.
    ///
    /// Every call that can fail checks this first. In a fork, the other calls return what was found when the log was opened,
    /// and dropping the handle does nothing.
    ///
    /// # Errors
    /// [`OtherProcess`](crate::Error::OtherProcess).
    pub fn check_process(&self) -> Result<()> {
        self.handle.check_process()
    }

    /// Counters of this handle and its clones, and where the log stands. A log open for writing answers at once, also while
    /// others append.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// Closes the log: all is durable, and the next open needs no recovery. Other handles then get
    /// [`Closed`](crate::Error::Closed). A log that is closed already stays so.
    ///
    /// # Durability
    /// Under every policy all appended records survive a power loss.
    ///
    /// # Errors
    /// [`Poisoned`](crate::Error::Poisoned) if a write or a sync failed.
    pub fn close(&self) -> Result<()> {
        match self.engine() {
            Ok(engine) => wait(engine, engine.close(Shell::Blocking)),
            // Nothing to make durable.
            Err(crate::Error::ReadOnly) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Runs the background steps that are due, where the builder said that the caller does; true if there were any.
    #[doc(hidden)]
    #[must_use]
    pub fn drive(&self) -> bool {
        self.engine()
            .is_ok_and(|engine| engine.settings.driver == Driver::Caller && engine.drive())
    }
}

impl Builder<Wal> {
    /// Opens the log.
    ///
    /// # Errors
    /// As [`Wal::open`].
    pub fn open(self) -> Result<Wal> {
        Ok(Wal {
            handle: Arc::new(self.build()?),
        })
    }
}

/// Appends one batch; nothing is set up for waiting unless it has to.
#[inline]
fn append(
    engine: &Engine,
    records: &[EncodedRecord<'_>],
    durability: Durability,
) -> Result<(Position, Lsn)> {
    match engine.begin(records, durability)? {
        Begun::Done(first, last) => Ok((first, last)),
        begun => wait(
            engine,
            engine.finish(begun, records, durability, Shell::Blocking),
        ),
    }
}

/// What another thread's step may take at most, where the caller drives the log: only tests do.
const LONGEST_STEP: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(1);

/// Waits on this thread. Without threads of its own, the log's steps run here meanwhile.
pub(crate) fn wait<T>(engine: &Engine, future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut waited = Duration::ZERO;
    let stuck = || {
        if engine.settings.driver == Driver::Threads {
            return false;
        }
        if engine.drive() {
            waited = Duration::ZERO;
            return true;
        }
        // Another thread may be inside a step.
        assert!(
            engine.is_at_work() && waited < LONGEST_STEP,
            "a call waits for something that no step will bring"
        );
        waited += PAUSE;
        sync::sleep(PAUSE);
        true
    };
    sync::block_on(future, stuck, || engine.pace().before_sleeping)
}

/// Reads records in order.
#[derive(Debug)]
pub struct Reader {
    raw: RawReader,
}

impl Reader {
    /// What to do where records cannot be read; [`OnDamage::Stop`] unless said otherwise. A log that cannot be opened for damage is
    /// read through [`Builder::read_damaged`](crate::Builder::read_damaged).
    #[must_use]
    pub fn on_damage(mut self, on_damage: OnDamage) -> Self {
        self.raw.on_damage = on_damage;
        self
    }

    /// Returns only records that are known to be on stable storage. The others follow in later calls. A read-only handle learns
    /// this from the log's files, which record it with the next write. Under `Always` and `Batch` an idle log records it within about
    /// two seconds.
    #[must_use]
    pub fn durable_only(mut self) -> Self {
        self.raw = self.raw.durable_only();
        self
    }

    /// The next record and its position; `None` at the end for now: a later call goes on. A reader of a writing handle shows
    /// all that was appended before the call.
    ///
    /// The key and the value are slices of a read buffer of 256 KiB: who keeps them for long copies them.
    ///
    /// # Errors
    /// [`Corruption`](crate::Error::Corruption), [`Truncated`](crate::Error::Truncated) if the record was removed meanwhile,
    /// [`Poisoned`](crate::Error::Poisoned) behind the last durable record of a failed log, [`Io`](crate::Error::Io),
    /// [`Gap`](crate::Error::Gap) where a repair has recorded a loss. After an error the reader has ended, and returns `None`; with
    /// [`OnDamage::Skip`] it goes on after a [`Gap`](crate::Error::Gap), in which damage and missing segments come too.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<(Record, Position)>> {
        if let Some(found) = self.raw.step_in_memory() {
            return Ok(Some(found));
        }
        self.next_anywhere()
    }

    fn next_anywhere(&mut self) -> Result<Option<(Record, Position)>> {
        loop {
            match self.raw.step()? {
                Step::Record(record, position) => return Ok(Some((record, position))),
                Step::End => return Ok(None),
                Step::Unflushed => {
                    let Some(engine) = self.raw.live() else {
                        return Ok(None);
                    };
                    wait(engine, engine.flush(Shell::Blocking))?;
                }
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<(Record, Position)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}
