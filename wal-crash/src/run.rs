//! Runs a program: lives one after the other, each ended as it says. Absent: single calls (see `calls`) and what an open is
//! held against (see `check`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::clock::ManualClock;
use wal_core::entropy::SeededEntropy;
use wal_core::{Error, FormatVersion};
use wal_io::FaultStorage;
use wal_io::fault::{
    Access, Background, Chooser, Fault, Image, OperationKind, Script, SyncFailure,
};

use crate::calls::Followers;
use crate::oracle::{After, Oracle, Violation, fail_if};
use crate::outcome::Outcome;
use crate::place::Whereabouts;
use crate::program::{End, Format, Ill, Life, Program, Trouble, Where};
use crate::rng::Rng;
use crate::runner::{Limits, Runner, Saved, Stop, Watching, broken};
use crate::source::Source;
use crate::space::segments_of;
use crate::states::States;

/// Runs `program`.
///
/// # Errors
/// The first broken promise.
pub fn run(program: &Program) -> Result<Outcome, Violation> {
    trace(program).0
}

/// Runs `program`, and tells for each life that it came to which choices were made, as a [`Choices::Script`](crate::Choices::Script) takes them.
pub fn trace(program: &Program) -> (Result<Outcome, Violation>, Vec<Vec<u32>>) {
    let mut runner = Runner::new(program);
    let result = guarded(|| runner.run(program).map(|()| runner.outcome));
    (result, runner.choices())
}

/// Runs `action`; a panic is a violation like any other.
pub(crate) fn guarded<T>(action: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    match catch_unwind(AssertUnwindSafe(action)) {
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

/// Whether an error there is no reason to give the log up: nothing that was promised depends on it.
fn is_harmless(place: Where) -> bool {
    match place {
        Where::Anywhere => false,
        Where::Opening => true,
        Where::Kind(kind) => {
            kind.opens() || matches!(kind, OperationKind::Allocate | OperationKind::Read)
        }
    }
}

impl Runner {
    pub(crate) fn new(program: &Program) -> Self {
        let storage = FaultStorage::with_config(program.setup.machine);
        let clock = ManualClock::default();
        let slow = clock.clone();
        storage.set_clock(move |time| slow.advance(time));
        Self {
            setup: program.setup.clone(),
            storage,
            clock,
            oracle: Oracle::new(),
            outcome: Outcome::default(),
            after: After::Drop,
            clean: true,
            failed: false,
            limits: Limits::default(),
            was_limited: false,
            was_read_only: false,
            expected: None,
            at_rest: true,
            haunted: false,
            depth: 0,
            opening: false,
            errors_planned: false,
            final_planned: false,
            lies_planned: false,
            struck_before: 0,
            seed: program.seed,
            sources: Vec::new(),
            watching: Watching::default(),
            place: Whereabouts::default(),
            cursors: Saved::default(),
            control: States::default(),
        }
    }

    fn choices(&self) -> Vec<Vec<u32>> {
        let lock = |source: &Arc<Mutex<Source>>| {
            source
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .trace()
        };
        self.sources.iter().map(lock).collect()
    }

    fn run(&mut self, program: &Program) -> Result<(), Violation> {
        for (at, life) in program.lives.iter().enumerate() {
            match self.live(life) {
                Ok(()) => {}
                Err(Stop::Loud) => return Ok(()),
                Err(Stop::Broken(Violation(text))) => {
                    return Err(Violation(format!("life {at}: {text}")));
                }
            }
        }
        self.finish()
    }

    /// The last open, which must find everything.
    pub(crate) fn finish(&mut self) -> Result<(), Violation> {
        match self.last_look() {
            Ok(()) | Err(Stop::Loud) => Ok(()),
            Err(Stop::Broken(Violation(text))) => Err(Violation(format!("at the end: {text}"))),
        }
    }

    pub(crate) fn open(&self) -> Result<Wal, Error> {
        self.open_in(&self.storage, self.seed)
    }

    pub(crate) fn open_in(&self, storage: &FaultStorage, seed: u64) -> Result<Wal, Error> {
        // Each life draws identities of its own, whatever the ones before it came to.
        let seed = Rng::new(seed ^ ((self.sources.len() as u64) << 40)).bits();
        let mut builder = Wal::builder("log")
            .storage(Arc::new(storage.clone()))
            .config(self.setup.config.clone())
            .buffer_size(self.setup.buffer)
            .clock(Arc::new(self.clock.clone()))
            .entropy(Arc::new(SeededEntropy::new(seed)))
            .small_segments()
            .driven_by_caller();
        if let Some(version) = self.asked_for() {
            builder = builder.format_version(version);
        }
        // Beside the largest record that would fit there is no room for control state.
        if self.setup.format != Format::One {
            builder = builder.record_limit(self.setup.config.max_segment_size / 5);
        }
        if let Some(padding) = self.setup.padding {
            builder = builder.sector_padding(padding);
        }
        builder.open()
    }

    /// The version that this life asks for. One that asks for none keeps that of the log.
    pub(crate) fn asked_for(&self) -> Option<FormatVersion> {
        // Each life has begun with its source.
        match (self.setup.format, self.sources.len()) {
            (Format::One, _) | (Format::Upgraded, 0 | 1) => Some(FormatVersion::V1),
            (Format::Two, _) => Some(FormatVersion::V2),
            (Format::Upgraded, life) => life.is_multiple_of(2).then_some(FormatVersion::V2),
        }
    }

    pub(crate) fn live(&mut self, life: &Life) -> Result<(), Stop> {
        self.prepare(life)?;
        let end = self.until_the_end(life)?;
        self.end(end, life)?;
        self.notice_lies();
        self.haunted |= self.error_struck();
        self.storage.clear_faults();
        self.after_meddling()
    }

    /// Everything before the open.
    pub(crate) fn prepare(&mut self, life: &Life) -> Result<(), Stop> {
        let source = Arc::new(Mutex::new(Source::new(&life.choices)));
        self.sources.push(Arc::clone(&source));
        self.storage.set_chooser(source);
        if life.look_first && !self.limits.any() {
            let seen = self.look(self.after)?;
            self.expected = seen.filter(|_| !self.haunted);
        }
        self.storage.set_background(life.background);
        match life.end {
            End::Crash(at, moment) | End::KillAt(at, moment) => {
                self.storage.inject(Fault::power_cut(moment).after(at));
            }
            End::Kill | End::Drop | End::Close => {}
        }
        let untrue = [SyncFailure::Lying, SyncFailure::Ext4Journal];
        let lies = untrue.contains(&self.setup.machine.sync_failure);
        self.errors_planned = false;
        self.final_planned = false;
        self.lies_planned = false;
        for trouble in &life.troubles {
            let fault = match trouble.ill {
                Ill::Error(error) => Fault::error(error),
                Ill::Short(bytes) => Fault::short(u64::from(bytes)),
                Ill::Slow(micros) => Fault::slow(Duration::from_micros(micros.into())),
            };
            let is_error = matches!(trouble.ill, Ill::Error(_));
            self.errors_planned |= is_error;
            self.final_planned |= is_error && !is_harmless(trouble.on);
            let syncs = [
                Where::Anywhere,
                Where::Kind(OperationKind::SyncData),
                Where::Kind(OperationKind::SyncDirectory),
            ];
            self.lies_planned |= lies && syncs.contains(&trouble.on);
            let fault = match trouble.on {
                Where::Anywhere => fault,
                Where::Opening => fault.on_opening(),
                Where::Kind(kind) => fault.on(kind),
            };
            let fault = fault.after(trouble.after);
            self.storage.inject(match trouble.times {
                0 => fault.persistent(),
                times => fault.times(times),
            });
        }
        self.struck_before = self.storage.faults_struck();
        self.failed = false;
        self.was_limited = self.limits.files || self.limits.read_only;
        self.was_read_only = self.limits.read_only;
        Ok(())
    }

    /// Opens and makes the calls. Gives the handle, if the open succeeded.
    pub(crate) fn until_the_end(&mut self, life: &Life) -> Result<Option<Wal>, Stop> {
        self.opening = true;
        let before = self.segments();
        match self.open() {
            Ok(wal) => {
                self.opening = false;
                self.check_open(&wal)?;
                self.depth = 0;
                self.go(&wal, life, &mut Followers::default())?;
                // A sync that failed in the background may have taken back what was handed over.
                self.failed |= self.error_struck();
                Ok(Some(wal))
            }
            Err(error) => {
                if self.is_loud(&error) {
                    return self.loud(&before);
                }
                fail_if!(
                    !self.excused(&error),
                    "open refuses what a crash has left: {error}"
                );
                self.failed = true;
                self.oracle.recovery_was_cut();
                Ok(None)
            }
        }
    }

    /// Whether an error of the system has struck in this life.
    pub(crate) fn error_struck(&self) -> bool {
        self.errors_planned && self.storage.faults_struck() > self.struck_before
    }

    /// Whether a sync has claimed what is not true.
    pub(crate) fn notice_lies(&mut self) {
        if self.lies_planned && self.error_struck() {
            self.oracle.distrust();
            self.expected = None;
        }
    }

    /// Whether the error names damage, and the disk has lied.
    pub(crate) fn is_loud(&mut self, error: &Error) -> bool {
        self.notice_lies();
        let names_damage = matches!(
            error,
            Error::Corruption(_) | Error::MissingSegment { .. } | Error::NotALog { .. }
        );
        // Pages that hold other bytes than the disk may go between two reads of one open.
        let changed = matches!(error, Error::Io { .. }) && !self.excused(error);
        self.oracle.is_distrusted() && (names_damage || changed)
    }

    /// The end of a run on a disk that has lied. Nothing was changed by the refusal.
    pub(crate) fn loud<T>(&mut self, before: &Image) -> Result<T, Stop> {
        self.outcome.untrue.loud += 1;
        if self.segments() != *before {
            return broken("an open that refuses the log has changed a segment");
        }
        Err(Stop::Loud)
    }

    /// The files of the log proper, on a disk that lies.
    pub(crate) fn segments(&self) -> Image {
        match self.setup.machine.sync_failure {
            SyncFailure::Lying => segments_of(&self.storage),
            _ => Image::new(),
        }
    }

    /// Whether an error is one that was injected, or comes of a limit.
    pub(crate) fn excused(&self, error: &Error) -> bool {
        let struck = self.error_struck() || self.storage.has_lost_power();
        match error {
            Error::Io { .. } | Error::MissingSegment { .. } | Error::NotALog { .. }
                if self.place.has_lost_files() =>
            {
                true
            }
            Error::NoSpace { .. } => struck || self.limits.disk,
            Error::Io { .. } => struck || self.was_limited,
            // A file that could not be opened, listed, reserved or read is no write and no sync that has failed.
            Error::Poisoned(_) => {
                let fatal = self.final_planned && self.error_struck();
                fatal || self.storage.has_lost_power() || self.was_read_only
            }
            Error::Displaced(_) => self.place.is_displaced(),
            _ => false,
        }
    }

    fn end(&mut self, wal: Option<Wal>, life: &Life) -> Result<(), Stop> {
        self.count_life(life);
        if let Some(wal) = &wal {
            self.oracle.durable(wal.durable_lsn().get());
            self.save_cursors(wal);
        }
        match (life.end, wal) {
            (End::Crash(..), wal) => {
                self.storage.cut_power();
                drop(wal);
                self.crash();
            }
            (End::KillAt(..), wal) if !self.error_struck() => {
                self.storage.cut_power();
                drop(wal);
                self.kill();
            }
            (End::Kill, Some(wal)) if !self.failed => {
                self.storage.cut_power();
                drop(wal);
                self.kill();
            }
            (End::Drop, Some(wal)) if wal.sync().is_ok() => {
                self.after = After::Drop;
                self.stopped(wal)?;
            }
            (End::Close, Some(wal)) => {
                self.oracle.ask_close();
                if wal.close().is_err() {
                    drop(wal);
                    self.oracle.durable(self.oracle.last());
                    self.restart(life);
                    return Ok(());
                }
                self.check_closed()?;
                self.after = After::Drop;
                // An error may have kept the mark from being made; nothing else.
                // And what an earlier life has failed to sync may have looked like the mark.
                let troubled = self.failed || self.error_struck() || self.haunted;
                self.clean = !troubled && !self.limits.any();
                self.stopped(wal)?;
            }
            (End::KillAt(..) | End::Kill | End::Drop | End::Close, wal) => {
                // A handle syncs as it goes.
                drop(wal);
                self.oracle.durable(self.oracle.last());
                self.restart(life);
            }
        }
        Ok(())
    }

    /// The handle has made all durable and goes.
    fn stopped(&mut self, wal: Wal) -> Result<(), Stop> {
        self.notice_lies();
        self.oracle.ack(self.oracle.last())?;
        self.control.ack()?;
        drop(wal);
        self.raise_doubt();
        let open = self.storage.open_files();
        // The reader has the active segment's file at most, or the one that it is in.
        fail_if!(
            open > usize::from(self.watching.0.is_some()),
            "the handle is gone, and {open} files are open"
        );
        if self.error_struck() && self.shuts_down() {
            self.crash();
        }
        Ok(())
    }

    fn count_life(&mut self, life: &Life) {
        if self.error_struck() {
            self.outcome.after_errors[self.setup.machine.sync_failure as usize] += 1;
        }
        let is_slow = |trouble: &Trouble| matches!(trouble.ill, Ill::Slow(_));
        self.outcome.slow += u64::from(life.troubles.iter().any(is_slow));
        let busy = life.background == Background::Busy;
        self.outcome.background += u64::from(busy);
    }

    /// A recovery that did not come to its end.
    fn count_depth(&mut self) {
        if self.opening && self.after != After::Drop {
            self.outcome.nested[self.depth.min(2)] += 1;
            self.depth += 1;
        }
        self.opening = false;
    }

    pub(crate) fn count_power_loss(&mut self) {
        self.count_depth();
        if !self.at_rest {
            self.expected = None;
        }
        self.at_rest = true;
        self.haunted = false;
        self.after = After::PowerLoss;
        self.clean = false;
        self.limits.read_only = false;
        self.outcome.states += 1;
        self.outcome.power_losses += 1;
    }

    fn crash(&mut self) {
        self.watching.0 = None;
        self.notice_lies();
        let source = self.sources.last().map(Arc::clone);
        let next = match source {
            Some(mut source) => self.storage.crash(&mut source),
            None => self.storage.crash(&mut Script::default()),
        };
        self.storage = next;
        self.count_power_loss();
    }

    fn kill(&mut self) {
        self.watching.0 = None;
        self.notice_lies();
        self.count_depth();
        self.haunted |= self.error_struck();
        self.storage = self.storage.kill();
        self.after = self.after.max(After::Kill);
        self.clean = false;
        self.outcome.states += 1;
        self.outcome.kills += 1;
    }

    /// Whether the file system is of no use after an error.
    fn shuts_down(&self) -> bool {
        let stays_up = [
            SyncFailure::Ext4,
            SyncFailure::Ext4Journal,
            SyncFailure::Lying,
        ];
        !stays_up.contains(&self.setup.machine.sync_failure)
    }

    /// After an error, the process starts anew. A file system that shuts itself down needs a reboot.
    fn restart(&mut self, life: &Life) {
        // Where the sync of a directory has failed, a name may be a ghost: visible, and never written. The log takes back the
        // names that it has made; it cannot where that fails too, or where it is killed before. Only a reboot shows what is.
        let lasting = life.troubles.iter().any(|trouble| trouble.times != 1);
        let ghost = self.oracle.last() == 0 || lasting || self.storage.has_lost_power();
        if self.error_struck() && (self.shuts_down() || ghost) {
            return self.crash();
        }
        self.kill();
        // What failed may not have been handed over.
        self.after = After::PowerLoss;
        self.relieve();
    }

    /// All limits end.
    pub(crate) fn relieve(&mut self) {
        self.storage.set_capacity(None);
        self.storage.set_open_file_limit(None);
        if self.limits.read_only {
            self.storage.set_access(Access::ReadWrite);
        }
        self.limits = Limits::default();
    }

    /// After a successful open.
    pub(crate) fn settled(&mut self) {
        self.after = After::Drop;
        self.clean = false;
        self.at_rest = false;
        self.expected = None;
    }
}
