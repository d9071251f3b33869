//! The async log: the same engine, behind futures.
//!
//! A commit once begun has no await. A leader blocks its own worker thread where the runtime can move the other tasks
//! elsewhere, and hands over to the log's thread where it cannot (a current-thread runtime).

use std::path::Path;

use wal_format::{Lsn, Record, RecordRef, SegmentId, UnixMillis};

use crate::builder::Builder;
use crate::control::{ControlChange, ControlState, Requested};
use crate::cursor::Cursor;
use crate::handle::Handle;
use crate::log::{Begun, Durability, Engine};
use crate::position::Start;
use crate::reader::{RawReader, Step};
use crate::recovery::RecoveryReport;
use crate::shell::Shell;
use crate::stats::Stats;
use crate::sync::Arc;
use crate::{Appended, Awaited, Error, OnDamage, Position, Result, Threads, WalConfig, blocking};

/// A write-ahead log. Clones are handles to the same log.
///
/// Works on both flavours of the tokio runtime, in a `LocalSet`, and on other executors.
///
/// ```
/// use wal_core::{Record, Wal, WalConfig};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// let wal = Wal::open(&dir, WalConfig::default()).await?;
/// let position = wal.append(&Record::put("key", "value")).await?;
/// wal.sync().await?;
///
/// let mut reader = wal.read_from(position).await?;
/// while let Some((record, position)) = reader.next_record().await? {
///     println!("{position}: {:?} = {:?}", record.key, record.value);
/// }
/// wal.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Wal {
    handle: Arc<Handle>,
}

impl Wal {
    /// Opens the log in the directory `dir`, and creates it if there is none.
    ///
    /// # Durability
    /// What a crash left unproven is made durable before the call returns; see [`recovery_report`](Self::recovery_report).
    /// Opening a log that was closed writes nothing to it.
    ///
    /// # Errors
    /// [`Locked`](Error::Locked) if another writer has it, [`Corruption`](Error::Corruption) or
    /// [`MissingSegment`](Error::MissingSegment) if durable data is damaged, [`NotALog`](Error::NotALog),
    /// [`UnknownVersion`](Error::UnknownVersion), [`InvalidConfig`](Error::InvalidConfig), [`NoSpace`](Error::NoSpace) or
    /// [`Io`](Error::Io). Nothing is lost by any of them.
    ///
    /// # Cancel safety
    /// Dropped, it may finish in the background; the log is then dropped again.
    pub async fn open(dir: impl AsRef<Path>, config: WalConfig) -> Result<Self> {
        Self::builder(dir).config(config).open().await
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
    /// [`TooLarge`](Error::TooLarge), [`NoSpace`](Error::NoSpace) and [`Closed`](Error::Closed): the record is not in the log.
    /// [`Poisoned`](Error::Poisoned): it may be found after reopening if it was given an LSN.
    /// [`Truncated`](Error::Truncated): `truncate_after` removed it while the call waited for the sync.
    ///
    /// # Cancel safety
    /// The record enters the log in one poll. Dropped before, nothing was appended; dropped behind it (while waiting for the
    /// sync under `Always`), the record stays in the log and becomes durable as others do.
    pub async fn append<'a>(&self, record: impl Into<RecordRef<'a>>) -> Result<Position> {
        self.append_with(record.into(), Durability::Policy).await
    }

    /// Appends a record and returns when it is on stable storage, whatever the policy.
    ///
    /// # Durability
    /// The record and all before it survive a power loss.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    ///
    /// # Cancel safety
    /// As [`append`](Self::append).
    pub async fn append_durable<'a>(&self, record: impl Into<RecordRef<'a>>) -> Result<Position> {
        self.append_with(record.into(), Durability::Durable).await
    }

    async fn append_with(&self, record: RecordRef<'_>, durability: Durability) -> Result<Position> {
        let engine = self.engine()?;
        let encoded = [engine.encode(record)?];
        match engine.begin(&encoded, durability)? {
            Begun::Done(first, _) => Ok(first),
            begun => engine
                .finish(begun, &encoded, durability, Shell::Async)
                .await
                .map(|(first, _)| first),
        }
    }

    /// Appends records, a slice of [`Record`] or of [`RecordRef`], that survive a crash all or none: they lie in
    /// one segment, with nothing between them. An empty batch appends nothing.
    ///
    /// # Durability
    /// As the [policy](crate::FsyncPolicy) says, for the batch as a whole.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`TooLarge`](Error::TooLarge) also if the batch does not fit in a segment.
    ///
    /// # Cancel safety
    /// As [`append`](Self::append), for the batch as a whole.
    pub async fn append_batch<'a, R>(&self, records: &'a [R]) -> Result<Appended>
    where
        &'a R: Into<RecordRef<'a>>,
    {
        let engine = self.engine()?;
        let encoded = engine.encode_batch(records)?;
        let (first, last_lsn) = match engine.begin(&encoded, Durability::Policy)? {
            Begun::Done(first, last) => (first, last),
            begun => {
                engine
                    .finish(begun, &encoded, Durability::Policy, Shell::Async)
                    .await?
            }
        };
        Ok(Appended { first, last_lsn })
    }

    /// Returns when all that was appended before the call is with the operating system.
    ///
    /// # Durability
    /// It survives a kill of the process, not a crash of the system.
    ///
    /// # Errors
    /// [`Poisoned`](Error::Poisoned) if the write failed, [`Closed`](Error::Closed).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn flush(&self) -> Result<()> {
        self.engine()?.flush(Shell::Async).await
    }

    /// Returns when all that was appended before the call is on stable storage.
    ///
    /// # Durability
    /// It survives a power loss.
    ///
    /// # Errors
    /// [`Poisoned`](Error::Poisoned) if the sync failed, [`Closed`](Error::Closed).
    ///
    /// # Cancel safety
    /// Nothing is lost; the sync may go on.
    pub async fn sync(&self) -> Result<()> {
        self.engine()?.sync(Shell::Async).await
    }

    /// Returns when the record is on stable storage; starts a sync if nothing else does.
    ///
    /// Takes an LSN, or what an append returned. An LSN stands for the record that has it now. With what an append returned, a
    /// removed record is recognised even if another record has its LSN now.
    ///
    /// # Errors
    /// [`NotAppended`](Error::NotAppended) for an LSN never given, [`Truncated`](Error::Truncated) if `truncate_after` has removed the
    /// record, else as [`sync`](Self::sync).
    ///
    /// # Cancel safety
    /// Nothing is lost; the sync may go on.
    pub async fn wait_durable(&self, record: impl Into<Awaited>) -> Result<()> {
        let engine = self.engine()?;
        engine.wait_durable(record.into(), Shell::Async).await
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
    /// [`NotAppended`](Error::NotAppended) for an LSN above the last one, [`Truncated`](Error::Truncated) for one that is no longer in
    /// the log. On a read-only handle also what reading the files gives: [`Io`](Error::Io), [`Corruption`](Error::Corruption),
    /// [`UnknownVersion`](Error::UnknownVersion).
    pub fn cursor(&self, lsn: Lsn) -> Result<Cursor> {
        self.handle.lineage()?.cursor(lsn)
    }

    /// Whether the record that the cursor names is still in the log: the same record, not only the same LSN.
    ///
    /// To continue from a cursor, make the reader first, with [`follow_from`](Self::follow_from), and check the cursor then. If
    /// records are truncated after the check, the reader returns the error. A read-only handle reads the files to answer.
    ///
    /// # Errors
    /// - [`Truncated`](Error::Truncated): the record is no longer in the log. With `kept`, the newest records were truncated or
    ///   lost: discard everything read above `kept`, and continue at `kept + 1`. With neither `kept` nor a first LSN above the
    ///   cursor's, nothing tells how much of what was read is in the log: start from the first LSN.
    /// - [`OtherLog`](Error::OtherLog): the cursor belongs to another log.
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
    /// [`Io`](Error::Io), [`MissingSegment`](Error::MissingSegment), [`OtherProcess`](Error::OtherProcess).
    ///
    /// # Cancel safety
    /// It changes nothing.
    #[allow(clippy::unused_async)] // It may read in another way one day.
    pub async fn lsn_at(&self, time: UnixMillis) -> Result<Lsn> {
        if Shell::Async.may_block() {
            Shell::Async.run(|| self.handle.lsn_at(time))
        } else {
            self.handle.lsn_at(time)
        }
    }

    /// The control state: a term and consumers. It belongs to the log, and no truncation takes a part of it away. Also what is not
    /// durable yet.
    ///
    /// A read-only handle reads the newest segments to answer this.
    ///
    /// # Errors
    /// [`Poisoned`](Error::Poisoned), or what opening the log gives on a read-only handle.
    #[doc(hidden)]
    pub fn control(&self) -> Result<ControlState> {
        self.handle.control()
    }

    /// As [`change_control`](blocking::Wal::change_control) of the blocking handle.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// The changes enter the log in one poll. After that they stay.
    #[doc(hidden)]
    pub async fn change_control(&self, changes: &[ControlChange]) -> Result<()> {
        let requested = Requested::new(changes, false)?;
        let engine = self.engine()?;
        engine.change_control(&requested, Shell::Async).await
    }

    /// As [`set_control`](blocking::Wal::set_control) of the blocking handle.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As for [`change_control`](Self::change_control).
    #[doc(hidden)]
    pub async fn set_control(&self, term: u64, consumers: &[(String, Cursor)]) -> Result<()> {
        let requested = Requested::all(term, consumers)?;
        let engine = self.engine()?;
        engine.change_control(&requested, Shell::Async).await
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
    #[allow(clippy::unused_async)] // The guide awaits it; a storage may have to ask for it one day.
    pub async fn current_position(&self) -> Position {
        self.handle.current_position()
    }

    /// The segments of the log, oldest first.
    ///
    /// # Errors
    /// [`OtherProcess`](Error::OtherProcess) in a fork of the process that opened the log.
    #[allow(clippy::unused_async)] // As above.
    pub async fn list_segments(&self) -> Result<Vec<SegmentId>> {
        self.handle.list_segments()
    }

    /// A reader of one segment. Segments may be read in parallel.
    ///
    /// # Errors
    /// [`MissingSegment`](Error::MissingSegment) if it is not a segment of the log.
    #[allow(clippy::unused_async)] // As above.
    pub async fn read_segment(&self, id: SegmentId) -> Result<Reader> {
        Ok(Reader {
            raw: self.handle.read_segment(id)?,
        })
    }

    /// A reader from a [`Position`] or an [`Lsn`] on; LSN 0 is the start of the log, whatever was truncated.
    ///
    /// # Errors
    /// [`Truncated`](Error::Truncated) if the record is no longer in the log, [`NotAppended`](Error::NotAppended) for an LSN
    /// above the next one: the cursor belongs to another log, or to a newer copy of this one. To wait for such an LSN, use
    /// [`follow_from`](Self::follow_from). On a read-only handle [`Io`](Error::Io), if it cannot read where the log ends.
    #[allow(clippy::unused_async)] // As above.
    pub async fn read_from(&self, start: impl Into<Start>) -> Result<Reader> {
        Ok(Reader {
            raw: self.handle.read_from(start.into())?,
        })
    }

    /// As [`read_from`](Self::read_from), but the LSN need not have been given to a record yet. The reader returns `None` until
    /// it is.
    ///
    /// # Errors
    /// [`Truncated`](Error::Truncated) if the record is no longer in the log. If `truncate_after` then removes records before
    /// the LSN, the reader gets [`Truncated`](Error::Truncated) as well.
    #[allow(clippy::unused_async)] // As above.
    pub async fn follow_from(&self, start: impl Into<Start>) -> Result<Reader> {
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
    /// On a runtime it runs on a thread for blocking work, and those it starts.
    ///
    /// # Errors
    /// The first in the order of LSNs, of those that a [`Reader`] gives: [`Corruption`](Error::Corruption),
    /// [`MissingSegment`](Error::MissingSegment), [`Gap`](Error::Gap), [`Truncated`](Error::Truncated) (also for a record that is
    /// removed meanwhile), [`Poisoned`](Error::Poisoned), [`Io`](Error::Io). `each` may have been called for records behind it.
    ///
    /// # Panics
    /// If `begin` or `each` does, once all threads have ended.
    ///
    /// # Cancel safety
    /// Dropped, it goes on in the background; its states are dropped.
    pub async fn replay<S: Send + 'static>(
        &self,
        start: impl Into<Lsn>,
        threads: Threads,
        begin: impl Fn() -> S + Send + Sync + 'static,
        each: impl Fn(&mut S, RecordRef<'_>, Position) + Send + Sync + 'static,
    ) -> Result<Vec<S>> {
        let start = start.into();
        let (last, flush) = self.handle.replay_end();
        if let Some(engine) = flush {
            engine.flush(Shell::Async).await?;
        }
        let handle = Arc::clone(&self.handle);
        let replay = move || handle.replay(start, last, threads, begin, each);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return replay();
        };
        match runtime.spawn_blocking(replay).await {
            Ok(states) => states,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => {
                    let error = std::io::Error::other(error);
                    Err(Error::io("", "replaying the log", error))
                }
            },
        }
    }

    /// Removes the records before `lsn`, which stays (or is the next one to be appended). Files are deleted when all of their
    /// records are gone.
    ///
    /// # Durability
    /// Durable when it returns: the records do not come back after a crash.
    ///
    /// # Errors
    /// [`NotAppended`](Error::NotAppended) if `lsn` is above the next LSN, [`NoSpace`](Error::NoSpace),
    /// [`Poisoned`](Error::Poisoned), [`Closed`](Error::Closed).
    ///
    /// # Cancel safety
    /// The truncation may take place all the same; files that it did not get to are removed by the next open.
    pub async fn truncate_before(&self, lsn: impl Into<Lsn>) -> Result<()> {
        let lsn = lsn.into();
        self.engine()?.truncate_before(lsn, Shell::Async).await
    }

    /// Removes the records after `lsn`, which stays; LSN 0 removes all. Their LSNs are given again: the next record gets the one
    /// behind `lsn`. `lsn` may lie inside a batch, of which the rest goes. Appends wait meanwhile; it takes three syncs and a segment.
    ///
    /// Who waits for a removed record, and a reader that has read one, gets [`Truncated`](Error::Truncated) with `kept`.
    ///
    /// # Durability
    /// All or nothing. Durable when it returns, as is every record that stays: the removed ones do not come back after a crash.
    ///
    /// # Errors
    /// [`NotAppended`](Error::NotAppended) if `lsn` is above the last LSN, [`Truncated`](Error::Truncated) if it is below the log's
    /// first, [`Corruption`](Error::Corruption) if the records there do not verify, [`NoSpace`](Error::NoSpace): in all of these the
    /// log is as it was. [`Poisoned`](Error::Poisoned) (then the next open tells whether the records are gone),
    /// [`Closed`](Error::Closed).
    ///
    /// # Cancel safety
    /// Once polled, the truncation takes place all the same.
    pub async fn truncate_after(&self, lsn: impl Into<Lsn>) -> Result<()> {
        let lsn = lsn.into();
        self.engine()?.truncate_after(lsn, Shell::Async).await
    }

    /// What opening the log found and did.
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        self.handle.report()
    }

    /// Counters of this handle and its clones, and where the log stands. A log open for writing answers at once, also while
    /// others append.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// Closes the log: all is durable, and the next open needs no recovery. Other handles then get
    /// [`Closed`](Error::Closed). A log that is closed already stays so.
    ///
    /// # Durability
    /// Under every policy all appended records survive a power loss.
    ///
    /// # Errors
    /// [`Poisoned`](Error::Poisoned) if a write or a sync failed.
    ///
    /// # Cancel safety
    /// The log takes no more records; the close goes on in the background.
    pub async fn close(&self) -> Result<()> {
        match self.engine() {
            Ok(engine) => engine.close(Shell::Async).await,
            // Nothing to make durable.
            Err(Error::ReadOnly) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Another handle to the same log.
impl From<blocking::Wal> for Wal {
    fn from(wal: blocking::Wal) -> Self {
        Self { handle: wal.handle }
    }
}

/// Another handle to the same log.
impl From<Wal> for blocking::Wal {
    fn from(wal: Wal) -> Self {
        Self { handle: wal.handle }
    }
}

impl Builder<Wal> {
    /// Opens the log.
    ///
    /// # Errors
    /// As [`Wal::open`].
    ///
    /// # Cancel safety
    /// As [`Wal::open`].
    pub async fn open(self) -> Result<Wal> {
        let handle = match tokio::runtime::Handle::try_current() {
            // Recovery may read for a while: not on a worker.
            Ok(runtime) => match runtime.spawn_blocking(move || self.build()).await {
                Ok(built) => built?,
                Err(error) => {
                    return Err(Error::io(
                        "",
                        "opening the log",
                        std::io::Error::other(error),
                    ));
                }
            },
            Err(_) => self.build()?,
        };
        Ok(Wal {
            handle: Arc::new(handle),
        })
    }
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
    /// [`Corruption`](Error::Corruption), [`Truncated`](Error::Truncated) if the record was removed meanwhile,
    /// [`Poisoned`](Error::Poisoned) behind the last durable record of a failed log, [`Io`](Error::Io),
    /// [`Gap`](Error::Gap) where a repair has recorded a loss. After an error the reader has ended, and returns `None`; with
    /// [`OnDamage::Skip`] it goes on after a [`Gap`](Error::Gap), in which damage and missing segments come too.
    ///
    /// # Cancel safety
    /// No record is skipped.
    #[inline]
    pub async fn next_record(&mut self) -> Result<Option<(Record, Position)>> {
        if let Some(found) = self.raw.step_in_memory() {
            return Ok(Some(found));
        }
        self.next_anywhere().await
    }

    async fn next_anywhere(&mut self) -> Result<Option<(Record, Position)>> {
        loop {
            let step = if self.raw.is_buffered() || !Shell::Async.may_block() {
                self.raw.step()?
            } else {
                Shell::Async.run(|| self.raw.step())?
            };
            match step {
                Step::Record(record, position) => return Ok(Some((record, position))),
                Step::End => return Ok(None),
                Step::Unflushed => {
                    let Some(engine) = self.raw.live().cloned() else {
                        return Ok(None);
                    };
                    engine.flush(Shell::Async).await?;
                }
            }
        }
    }
}
