//! Runs a program, and asks the oracle after every open.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::clock::ManualClock;
use wal_core::entropy::SeededEntropy;
use wal_core::{Error, FsyncPolicy, Lsn, Record, RecordRef};
use wal_io::FaultStorage;
use wal_io::fault::{Fault, Seeded, SyncFailure};

use crate::oracle::{After, Oracle, Violation};
use crate::program::{Call, End, Life, Program, Setup};

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// States that an open had to make sense of.
    pub states: u64,
    /// Of these, after a power loss.
    pub crashes: u64,
    /// Of these, where recovery itself was cut short.
    pub nested: u64,
    /// Records that a crash had left unproven and recovery kept.
    pub unproven: u64,
}

impl Outcome {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.states += other.states;
        self.crashes += other.crashes;
        self.nested += other.nested;
        self.unproven += other.unproven;
    }
}

/// Runs `program`.
///
/// # Errors
/// The first broken promise.
pub fn run(program: &Program) -> Result<Outcome, Violation> {
    match catch_unwind(AssertUnwindSafe(|| run_unguarded(program))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(Violation(format!("panic: {text}")))
        }
    }
}

fn run_unguarded(program: &Program) -> Result<Outcome, Violation> {
    let mut runner = Runner {
        setup: &program.setup,
        storage: FaultStorage::with_config(program.setup.machine),
        clock: ManualClock::default(),
        entropy: Arc::new(SeededEntropy::new(program.seed)),
        oracle: Oracle::new(),
        after: After::Drop,
        clean: true,
        failed: false,
        outcome: Outcome::default(),
    };
    for (at, life) in program.lives.iter().enumerate() {
        runner
            .live(life)
            .map_err(|violation| Violation(format!("life {at}: {violation}")))?;
    }
    runner
        .last_look()
        .map_err(|violation| Violation(format!("at the end: {violation}")))?;
    Ok(runner.outcome)
}

struct Runner<'a> {
    setup: &'a Setup,
    storage: FaultStorage,
    clock: ManualClock,
    entropy: Arc<SeededEntropy>,
    oracle: Oracle,
    after: After,
    /// The log was closed and not opened since.
    clean: bool,
    /// A call of this life has failed.
    failed: bool,
    outcome: Outcome,
}

/// Whether the life goes on after a call.
enum Next {
    Go,
    /// The handle is of no use any more.
    Over,
}

impl Runner<'_> {
    fn open(&self) -> Result<Wal, Error> {
        let mut builder = Wal::builder("log")
            .storage(Arc::new(self.storage.clone()))
            .config(self.setup.config.clone())
            .buffer_size(self.setup.buffer)
            .clock(Arc::new(self.clock.clone()))
            .entropy(Arc::clone(&self.entropy) as _)
            .small_segments()
            .driven_by_caller();
        if let Some(bytes) = self.setup.padding {
            builder = builder.sector_padding(bytes);
        }
        builder.open()
    }

    fn live(&mut self, life: &Life) -> Result<(), Violation> {
        if life.look_first {
            self.look()?;
        }
        if let End::Crash(at, moment) = life.end {
            self.storage.inject(Fault::power_cut(moment).after(at));
        }
        if let Some((at, error)) = life.error {
            self.storage.inject(Fault::error(error).after(at));
        }
        let begun = self.storage.faults_struck();
        self.outcome.states += 1;
        self.failed = false;
        let opened = self.open();
        match opened {
            Ok(wal) => {
                self.check_open(&wal)?;
                self.go(&wal, life)?;
                // A sync that failed in the background may have taken back what was handed over.
                self.failed |= self.storage.faults_struck() > begun;
                self.end(wal, life);
            }
            Err(error) => {
                if !self.excused(&error, begun) {
                    return Err(Violation(format!(
                        "open refuses what a crash has left: {error}"
                    )));
                }
                self.outcome.nested += u64::from(self.storage.has_lost_power());
                if let End::Crash(..) = life.end {
                    self.crash(life.crash_seed);
                } else {
                    self.restart(life);
                }
            }
        }
        self.storage.clear_faults();
        Ok(())
    }

    /// Whether an error is one that was injected.
    fn excused(&self, error: &Error, begun: u64) -> bool {
        let struck = self.storage.faults_struck() > begun || self.storage.has_lost_power();
        struck
            && matches!(
                error,
                Error::Io { .. } | Error::NoSpace { .. } | Error::Poisoned(_)
            )
    }

    fn crash(&mut self, seed: u64) {
        self.storage = self.storage.crash(&mut Seeded::streaky(seed));
        self.after = After::PowerLoss;
        self.clean = false;
        self.outcome.crashes += 1;
    }

    /// After an error, the process starts anew. A file system that shuts itself down needs a reboot.
    fn restart(&mut self, life: &Life) {
        let shuts_down = self.setup.machine.sync_failure != SyncFailure::Ext4;
        // Where the sync of the parent failed, the log's own directory may be a ghost: a name that is never written. Only a
        // reboot shows that.
        let ghost = self.oracle.last() == 0;
        if life.error.is_some() && (shuts_down || ghost) {
            return self.crash(life.crash_seed);
        }
        self.storage = self.storage.kill();
        // What failed may not have been handed over; and a crash that no open has survived is not undone by a kill.
        self.after = After::PowerLoss;
        self.clean = false;
    }

    fn check_open(&mut self, wal: &Wal) -> Result<(), Violation> {
        let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
        let report = wal.recovery_report();
        self.oracle.check_extent(first, last, self.after)?;
        // The power may fail between the last step that matters and the open's return: its word still counts.
        if !self.storage.has_lost_power() {
            self.check_records(wal, first, last)?;
        }
        if report.last_lsn.get() != last || report.first_lsn.get() != first {
            return Err(Violation(format!(
                "the report says {report:?}, the log {first} to {last}"
            )));
        }
        if self.clean && (report.unproven > 0 || !report.clean || report.left_behind_bytes() > 0) {
            return Err(Violation(format!("a closed log is reported as {report:?}")));
        }
        if wal.durable_lsn().get() != last {
            return Err(Violation(format!(
                "opened with {last} records, durable up to {}",
                wal.durable_lsn()
            )));
        }
        self.outcome.unproven += report.unproven;
        self.oracle.settle(first, last);
        self.after = After::Drop;
        self.clean = false;
        Ok(())
    }

    /// All records from `first` to `last` are there. An error that was injected into the reading is read over.
    fn check_records(&self, wal: &Wal, first: u64, last: u64) -> Result<(), Violation> {
        let begun = self.storage.faults_struck();
        match self.check_records_once(wal, first, last) {
            Err(_) if self.storage.faults_struck() > begun => {
                self.check_records_once(wal, first, last)
            }
            checked => checked,
        }
    }

    fn check_records_once(&self, wal: &Wal, first: u64, last: u64) -> Result<(), Violation> {
        let mut reader = wal
            .read_from(Lsn::new(first))
            .map_err(|error| Violation(format!("read_from: {error}")))?;
        let mut next = first;
        loop {
            let step = reader
                .next_record()
                .map_err(|error| Violation(format!("reading LSN {next}: {error}")))?;
            let Some((record, position)) = step else {
                break;
            };
            if position.lsn.get() != next {
                return Err(Violation(format!(
                    "read LSN {} where {next} is next",
                    position.lsn
                )));
            }
            self.oracle.check_record(next, &record.value)?;
            next += 1;
        }
        if next != last + 1 {
            return Err(Violation(format!(
                "the reader ends before LSN {next}, the log after {last}"
            )));
        }
        Ok(())
    }

    /// A read-only open shows what a writer would recover, and changes nothing.
    fn look(&mut self) -> Result<(), Violation> {
        let before = self.storage.image();
        let wal = match Wal::builder("log")
            .storage(Arc::new(self.storage.clone()))
            .read_only()
            .open()
        {
            Ok(wal) => wal,
            Err(Error::NotALog { .. }) if self.oracle.acked() == 0 => return Ok(()),
            Err(error) => {
                return Err(Violation(format!(
                    "a read-only open refuses what a crash has left: {error}"
                )));
            }
        };
        let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
        self.oracle.check_extent(first, last, self.after)?;
        self.check_records(&wal, first, last)?;
        drop(wal);
        if self.storage.image() != before {
            return Err(Violation("a read-only open changed a file".into()));
        }
        Ok(())
    }

    fn go(&mut self, wal: &Wal, life: &Life) -> Result<(), Violation> {
        for call in &life.calls {
            match self
                .call(wal, *call)
                .map_err(|violation| Violation(format!("{call:?}: {violation}")))?
            {
                Next::Go => self.oracle.ack(wal.durable_lsn().get())?,
                Next::Over => break,
            }
        }
        Ok(())
    }

    fn call(&mut self, wal: &Wal, call: Call) -> Result<Next, Violation> {
        let begun = 0;
        let outcome = match call {
            Call::Append(len) => return self.append(wal, vec![len], false),
            Call::AppendDurable(len) => return self.append(wal, vec![len], true),
            Call::Batch(count, len) => return self.append(wal, vec![len; count as usize], false),
            Call::Sync => wal.sync().map(|()| Some(self.oracle.last())),
            Call::Flush => wal.flush().map(|()| {
                self.oracle.flush(self.oracle.last());
                None
            }),
            Call::WaitDurable(back) => {
                let lsn = self.oracle.last().saturating_sub(u64::from(back));
                wal.wait_durable(Lsn::new(lsn)).map(|()| Some(lsn))
            }
            Call::Pass(time) => {
                self.clock.advance(time);
                let _ = wal.drive();
                Ok(None)
            }
            Call::ReadAll => return self.read(wal, self.oracle.first()),
            Call::ReadFrom(back) => {
                let from = self
                    .oracle
                    .last()
                    .saturating_sub(u64::from(back))
                    .max(self.oracle.first());
                return self.read(wal, from);
            }
            Call::TruncateBefore(keep) => {
                let first = (self.oracle.last() + 1)
                    .saturating_sub(u64::from(keep))
                    .max(self.oracle.first());
                self.oracle.ask_truncate(first);
                wal.truncate_before(Lsn::new(first)).map(|()| {
                    self.oracle.ack_truncate(first);
                    None
                })
            }
        };
        match outcome {
            Ok(Some(acked)) => self.oracle.ack(acked).map(|()| Next::Go),
            Ok(None) => Ok(Next::Go),
            Err(error) => self.failed(wal, &error, begun),
        }
    }

    fn append(&mut self, wal: &Wal, lens: Vec<u32>, durable: bool) -> Result<Next, Violation> {
        let values: Vec<Vec<u8>> = lens.into_iter().map(|len| self.oracle.make(len)).collect();
        let expected = self.oracle.last() + 1;
        let count = values.len() as u64;
        let appended = match (&values[..], durable) {
            ([value], true) => wal.append_durable(RecordRef::data(value)),
            ([value], false) => wal.append(RecordRef::data(value)),
            _ => {
                let records: Vec<Record> = values.iter().map(Record::data).collect();
                wal.append_batch(&records).map(|appended| appended.first)
            }
        };
        match appended {
            Ok(position) => {
                self.oracle.submit(values);
                if position.lsn.get() != expected {
                    return Err(Violation(format!(
                        "LSN {} was given, {expected} is next",
                        position.lsn
                    )));
                }
                if durable || self.setup.config.fsync_policy == FsyncPolicy::Always {
                    self.oracle.ack(expected + count - 1)?;
                }
                Ok(Next::Go)
            }
            Err(Error::TooLarge { .. }) => Ok(Next::Go),
            Err(error) => {
                if let Error::Poisoned(poisoned) = &error
                    && poisoned.lsn.is_some()
                {
                    self.oracle.submit(values);
                }
                self.failed(wal, &error, 0)
            }
        }
    }

    fn read(&mut self, wal: &Wal, from: u64) -> Result<Next, Violation> {
        let mut reader = match wal.read_from(Lsn::new(from)) {
            Ok(reader) => reader,
            Err(error) => return Err(Violation(format!("read_from {from}: {error}"))),
        };
        let mut next = from;
        loop {
            match reader.next_record() {
                Ok(Some((record, position))) => {
                    if position.lsn.get() != next {
                        return Err(Violation(format!(
                            "read LSN {} where {next} is next",
                            position.lsn
                        )));
                    }
                    self.oracle.check_record(next, &record.value)?;
                    next += 1;
                }
                Ok(None) => break,
                Err(error) => return self.failed(wal, &error, 0),
            }
        }
        if next <= self.oracle.last() {
            return Err(Violation(format!(
                "the reader ends before LSN {next} of {}",
                self.oracle.last()
            )));
        }
        // Reading hands over what was appended before.
        self.oracle.flush(self.oracle.last());
        Ok(Next::Go)
    }

    /// A call failed: it must be for a reason, and a poisoned log must say the truth and stay poisoned.
    fn failed(&mut self, wal: &Wal, error: &Error, begun: u64) -> Result<Next, Violation> {
        self.failed = true;
        if !self.excused(error, begun) {
            return Err(Violation(format!("failed without a reason: {error}")));
        }
        let Error::Poisoned(poisoned) = error else {
            return Ok(if self.storage.has_lost_power() {
                Next::Over
            } else {
                Next::Go
            });
        };
        let durable = poisoned.durable_lsn.get();
        if durable < self.oracle.acked() {
            return Err(Violation(format!(
                "poisoned with durable LSN {durable}, {} were acknowledged",
                self.oracle.acked()
            )));
        }
        self.oracle.ack(durable)?;
        for refused in [
            wal.append(RecordRef::data(b"late")).map(drop),
            wal.sync(),
            wal.truncate_before(Lsn::new(1)),
        ] {
            if !matches!(refused, Err(Error::Poisoned(_))) {
                return Err(Violation(format!("a poisoned log answers {refused:?}")));
            }
        }
        Ok(Next::Over)
    }

    fn end(&mut self, wal: Wal, life: &Life) {
        let begun = self.storage.faults_struck();
        match life.end {
            End::Crash(..) => {
                self.storage.cut_power();
                drop(wal);
                self.crash(life.crash_seed);
            }
            End::Kill if !self.failed => {
                let next = self.storage.kill();
                drop(wal);
                self.storage = next;
                self.after = After::Kill;
            }
            End::Drop if wal.sync().is_ok() => drop(wal),
            End::Close if wal.close().is_ok() => {
                drop(wal);
                // An error may have kept the mark from being made; nothing else.
                self.clean = !self.failed && self.storage.faults_struck() == begun;
            }
            End::Kill | End::Drop | End::Close => {
                drop(wal);
                self.restart(life);
            }
        }
    }

    fn last_look(&mut self) -> Result<(), Violation> {
        self.look()?;
        self.outcome.states += 1;
        let wal = self
            .open()
            .map_err(|error| Violation(format!("open refuses what is left: {error}")))?;
        self.check_open(&wal)?;
        // What was recovered can be followed by more.
        let value = self.oracle.make(40);
        wal.append_durable(RecordRef::data(&value))
            .map_err(|error| Violation(format!("append: {error}")))?;
        self.oracle.submit(vec![value]);
        self.oracle.ack(self.oracle.last())?;
        wal.close()
            .map_err(|error| Violation(format!("close: {error}")))?;
        drop(wal);
        self.clean = true;
        let wal = self
            .open()
            .map_err(|error| Violation(format!("open refuses a closed log: {error}")))?;
        self.check_open(&wal)
    }
}
