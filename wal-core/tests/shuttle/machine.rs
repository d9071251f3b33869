//! A log on a simulated machine, with threads of its own and a clock that moves by itself, and how its life ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::clock::Clock;
use wal_core::entropy::SeededEntropy;
use wal_core::{
    Builder, Error, FsyncPolicy, Lsn, Record, RecordRef, Result, UnixMillis, WalConfig,
};
use wal_format::FileName;
use wal_io::FaultStorage;
use wal_io::fault::{Script, Seeded};

use super::explore::{below, pick};
use super::ledger::Ledger;
use super::storage::Slow;

/// By how much the clock moves, where it does.
const TICK: Duration = Duration::from_millis(1);
const WINDOW: Duration = Duration::from_millis(2);
/// How long the log is idle before it gets a stamp.
const IDLE: Duration = Duration::from_millis(3);
/// The smallest segment that the builder allows in tests, and one that holds all records of a scenario.
pub(super) const SMALL: u64 = 8 << 10;
pub(super) const LARGE: u64 = 64 << 10;
/// Two of them fit in a small segment.
pub(super) const HALF: usize = 1_200;

pub(super) const BATCH: FsyncPolicy = FsyncPolicy::Batch(WINDOW);
pub(super) const POLICIES: [FsyncPolicy; 3] = [FsyncPolicy::Always, BATCH, FsyncPolicy::Os];

/// Time passes between any two looks at it, or does not.
#[derive(Debug, Default)]
struct Passing(AtomicU64);

impl Clock for Passing {
    fn monotonic(&self) -> Duration {
        let ticks = self.0.fetch_add(below(2), Ordering::SeqCst);
        TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    fn unix(&self) -> UnixMillis {
        UnixMillis::new(0)
    }
}

/// How a life of the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Close,
    /// The last handle goes without a close.
    Drop,
    Kill,
    /// Nothing is left of what was not synced.
    PowerLoss,
    /// Of what was not synced, some is left.
    RaggedPowerLoss,
}

pub(super) const ENDS: [End; 5] = [
    End::Close,
    End::Drop,
    End::Kill,
    End::PowerLoss,
    End::RaggedPowerLoss,
];

/// A machine, and what is known of the log on it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) disk: FaultStorage,
    pub(super) policy: FsyncPolicy,
    pub(super) ledger: Ledger,
    segment: u64,
    buffer: usize,
}

impl Machine {
    pub(super) fn new(policy: FsyncPolicy, segment: u64) -> Self {
        Self {
            disk: FaultStorage::new(),
            policy,
            ledger: Ledger::default(),
            segment,
            buffer: 64 << 10,
        }
    }

    /// Under a policy that the schedule decides.
    pub(super) fn any(segment: u64) -> Self {
        Self::new(pick(&POLICIES), segment)
    }

    /// With the smallest buffers.
    pub(super) fn tight(mut self) -> Self {
        self.buffer = 4 << 10;
        self
    }

    /// The log's settings, for either handle.
    pub(super) fn configured<W>(&self, builder: Builder<W>) -> Builder<W> {
        builder
            .storage(Arc::new(Slow::new(&self.disk)))
            .config(WalConfig {
                max_segment_size: self.segment,
                fsync_policy: self.policy,
                preallocate: true,
                node_id: 7,
            })
            .buffer_size(self.buffer)
            .clock(Arc::new(Passing::default()))
            .entropy(Arc::new(SeededEntropy::new(1)))
            .stamp_after(IDLE)
            .small_segments()
    }

    pub(super) fn open(&self) -> Wal {
        let builder = self.configured(Wal::builder("log"));
        builder.open().expect("the log opens")
    }

    /// Appends the next record of `writer`; what the outcome promises goes into the ledger.
    pub(super) fn append(&self, wal: &Wal, writer: u64, len: usize) -> Result<u64> {
        let payload = self.ledger.next(writer, len);
        let outcome = wal.append(RecordRef::data(&payload));
        self.appended(
            wal,
            &[payload],
            outcome.map(|position| position.lsn),
            self.policy == FsyncPolicy::Always,
        )
    }

    pub(super) fn append_durable(&self, wal: &Wal, writer: u64, len: usize) -> Result<u64> {
        let payload = self.ledger.next(writer, len);
        let outcome = wal.durable().append(RecordRef::data(&payload));
        self.appended(wal, &[payload], outcome.map(|position| position.lsn), true)
    }

    pub(super) fn append_batch(
        &self,
        wal: &Wal,
        writer: u64,
        count: u64,
        len: usize,
    ) -> Result<u64> {
        let payloads = self.ledger.batch(writer, count, len);
        let records: Vec<Record> = payloads
            .iter()
            .map(|payload| Record::data(payload.clone()))
            .collect();
        let outcome = wal.append_batch(&records);
        self.appended(
            wal,
            &payloads,
            outcome.map(|appended| appended.first.lsn),
            self.policy == FsyncPolicy::Always,
        )
    }

    fn appended(
        &self,
        wal: &Wal,
        payloads: &[Vec<u8>],
        outcome: Result<Lsn>,
        durable: bool,
    ) -> Result<u64> {
        let outcome = outcome.map(Lsn::get);
        self.ledger.note(payloads, &outcome);
        let last = outcome? + payloads.len() as u64 - 1;
        if durable {
            assert!(wal.durable_lsn().get() >= last, "LSN {last} is not durable");
            self.ledger.durable(last);
        }
        Ok(last)
    }

    /// Appends somehow.
    pub(super) fn append_any(&self, wal: &Wal, writer: u64, len: usize) -> Result<u64> {
        match below(4) {
            0 => self.append_durable(wal, writer, len),
            1 => self.append_batch(wal, writer, 2, len / 2),
            _ => self.append(wal, writer, len),
        }
    }

    pub(super) fn sync(&self, wal: &Wal) -> Result<()> {
        let last = wal.last_lsn().get();
        wal.sync()?;
        assert!(wal.durable_lsn().get() >= last, "LSN {last} is not durable");
        self.ledger.durable(last);
        Ok(())
    }

    pub(super) fn flush(&self, wal: &Wal) -> Result<()> {
        let last = wal.last_lsn().get();
        wal.flush()?;
        self.ledger.flushed(last);
        Ok(())
    }

    pub(super) fn wait_durable(&self, wal: &Wal, lsn: u64) -> Result<()> {
        wal.wait_durable(Lsn::new(lsn))?;
        assert!(wal.durable_lsn().get() >= lsn, "LSN {lsn} is not durable");
        self.ledger.durable(lsn);
        Ok(())
    }

    pub(super) fn truncate_before(&self, wal: &Wal, lsn: u64) -> Result<()> {
        wal.truncate_before(Lsn::new(lsn))?;
        assert!(
            wal.first_lsn().get() >= lsn,
            "the log begins before LSN {lsn}"
        );
        self.ledger.truncated(lsn);
        Ok(())
    }

    /// Ends the life of a log without faults, opens it again, and compares.
    pub(super) fn end(&self, wal: Wal, end: End) {
        let disk = match end {
            End::Close => {
                wal.close().expect("closed");
                self.disk.clone()
            }
            End::Drop => self.disk.clone(),
            End::Kill => self.disk.kill(),
            End::PowerLoss => self.disk.crash(&mut Script::default()),
            End::RaggedPowerLoss => self.disk.crash(&mut Seeded::streaky(below(1 << 32))),
        };
        drop(wal);
        if matches!(end, End::Close | End::Drop) {
            let image = disk.image();
            let spare = |name: &str| matches!(FileName::parse(name), FileName::Spare(_));
            assert!(
                !image.files().any(|(name, _)| spare(name)),
                "a spare is left"
            );
        }
        let at_least = match end {
            End::Close | End::Drop => self.ledger.highest(),
            End::Kill => self.ledger.known_flushed().max(self.ledger.known_durable()),
            End::PowerLoss | End::RaggedPowerLoss => self.ledger.known_durable(),
        };
        self.reopen(&disk, at_least, end == End::Close);
    }

    /// Opens what is left, without threads.
    pub(super) fn open_on(&self, disk: &FaultStorage) -> Wal {
        let builder = self.configured(Wal::builder("log"));
        let opened = builder
            .storage(Arc::new(disk.clone()))
            .driven_by_caller()
            .open();
        opened.expect("the log opens")
    }

    /// Opens what is left, without threads, and compares.
    pub(super) fn reopen(&self, disk: &FaultStorage, at_least: u64, clean: bool) {
        let wal = self.open_on(disk);
        let report = wal.recovery_report();
        assert!(report.clean || !clean, "not closed: {report:?}");
        let reader = wal.read_from(Lsn::ZERO).expect("a reader");
        let found: Vec<_> = reader
            .map(|step| step.map(|(record, position)| (position.lsn.get(), record.value.to_vec())))
            .collect::<Result<_>>()
            .expect("the log is read");
        self.ledger.check(&found, wal.first_lsn().get(), at_least);
        wal.close().expect("closed");
    }
}

/// Whether a call was refused because the log is closed.
pub(super) fn is_closed<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::Closed))
}
