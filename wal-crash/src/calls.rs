//! Makes the calls of a life and holds each answer against the model. Absent: opening, and how lives end (see `run`).

use std::io;
use std::time::Duration;

use wal_core::blocking::{Reader, Wal};
use wal_core::{Displaced, Error, FsyncPolicy, Lsn, Poisoned, Record, RecordRef};
use wal_io::fault::{Access, SystemError};

use crate::oracle::{After, fail_if};
use crate::program::{Call, Eye, Life};
use crate::runner::{Next, Runner, Stop, broken};

/// A reader that stays open, and the LSN that it must give next.
#[derive(Debug)]
struct Follower {
    reader: Reader,
    next: u64,
    /// It has read what was removed since: it must be told, and give nothing more.
    outrun: bool,
}

/// The reader of a life's writing handle.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    writer: Option<Follower>,
}

/// Open files of a writer and of its two readers.
const MOST_OPEN_FILES: usize = 16 + 4;

/// `Os` hands over by itself after this time.
const HAND_OVER_AFTER: Duration = Duration::from_millis(1);

/// Most records that [`Call::Fill`] appends.
const MOST_TO_FILL: usize = 16;

impl Runner {
    pub(crate) fn go(
        &mut self,
        wal: &Wal,
        life: &Life,
        followers: &mut Followers,
    ) -> Result<(), Stop> {
        for call in &life.calls {
            if self.storage.has_lost_power() {
                break;
            }
            let next = self
                .call(wal, *call, followers)
                .map_err(|stop| match stop {
                    Stop::Broken(violation) => {
                        Stop::Broken(crate::Violation(format!("{call:?}: {violation}")))
                    }
                    Stop::Loud => Stop::Loud,
                })?;
            let open = self.storage.open_files();
            fail_if!(open > MOST_OPEN_FILES, "{call:?}: {open} files are open");
            match next {
                Next::Go => self.ack(wal.durable_lsn().get())?,
                Next::Over => break,
            }
        }
        Ok(())
    }

    /// Durable, unless a sync has lied.
    fn ack(&mut self, lsn: u64) -> Result<(), Stop> {
        self.notice_lies();
        Ok(self.oracle.ack(lsn)?)
    }

    fn call(&mut self, wal: &Wal, call: Call, followers: &mut Followers) -> Result<Next, Stop> {
        let outcome = match call {
            Call::Append(len) => return self.append_all(wal, &[len], Durable::ByPolicy),
            Call::AppendDurable(len) => return self.append_all(wal, &[len], Durable::Now),
            Call::Batch(count, len) => {
                let lens = vec![len; count as usize];
                return self.append_all(wal, &lens, Durable::ByPolicy);
            }
            Call::Fill(len) => return self.fill(wal, len),
            Call::Sync => match wal.sync() {
                Ok(()) => self.control.ack().map(|()| Ok(Some(self.oracle.last())))?,
                Err(error) => Err(error),
            },
            Call::Flush => wal.flush().map(|()| {
                self.oracle.flush(self.oracle.last());
                self.control.flush();
                None
            }),
            Call::Term(up) => return self.change_term(wal, up),
            Call::Consumer(which, back) => return self.change_consumer(wal, which, back),
            Call::NoConsumer(which) => return self.remove_consumer(wal, which),
            Call::SetControl(count) => return self.set_control(wal, count),
            Call::WaitDurable(back) => {
                let lsn = self.oracle.last().saturating_sub(u64::from(back));
                wal.wait_durable(Lsn::new(lsn)).map(|()| Some(lsn))
            }
            Call::Pass(time) => return self.pass(wal, time),
            Call::ReadAll => return self.read(wal, self.oracle.first()),
            Call::ReadFrom(back) => {
                let last = self.oracle.last();
                let from = last.saturating_sub(u64::from(back));
                return self.read(wal, from.max(self.oracle.first()));
            }
            Call::Follow(Eye::Writer) => return self.follow(wal, followers),
            Call::Follow(Eye::Other) if self.place.has_lost_files() => return Ok(Next::Go),
            Call::Follow(Eye::Other) => return self.watch(wal),
            Call::Look => {
                // What an error has done to the files is seen by the next open.
                let hindered =
                    self.limits.files || self.error_struck() || self.place.has_lost_files();
                if !hindered && !self.storage.has_lost_power() {
                    self.look_beside(wal)?;
                }
                Ok(None)
            }
            Call::SecondWriter => return self.second_writer(),
            Call::Meddle(what) => return self.meddle(wal, what),
            Call::TruncateBefore(keep) => {
                let first = (self.oracle.last() + 1)
                    .saturating_sub(u64::from(keep))
                    .max(self.oracle.first());
                self.oracle.ask_truncate(first);
                let done = wal.truncate_before(Lsn::new(first));
                if let Err(Error::NoSpace { what, .. }) = &done
                    && !what.contains("the log still starts at LSN")
                    && !self.error_struck()
                {
                    return broken(format!("no space to truncate before {first}: {what}"));
                }
                done.map(|()| {
                    self.oracle.ack_truncate(first);
                    None
                })
            }
            Call::Closing => {
                self.oracle.ask_close();
                match wal.close() {
                    Ok(()) => {
                        self.check_closed()?;
                        self.ack(self.oracle.last())?;
                        self.control.ack()?;
                        return Ok(Next::Over);
                    }
                    Err(error) => Err(error),
                }
            }
            Call::TruncateWith(keep) => return self.truncate_with(wal, keep),
            Call::AppendReserved(len) => return self.append_all(wal, &[len], Durable::Reserved),
            Call::TruncateAfter(back) => return self.truncate_after(wal, back, followers),
            Call::FillDisk(room) => {
                let used = self.storage.used_space();
                self.storage.set_capacity(Some(used + u64::from(room)));
                self.limits.disk = true;
                Ok(None)
            }
            Call::FewFiles(more) => {
                let open = self.storage.open_files();
                self.storage.set_open_file_limit(Some(open + more as usize));
                self.limits.files = true;
                self.was_limited = true;
                Ok(None)
            }
            Call::ReadOnly => {
                self.storage.set_access(Access::ReadOnly);
                self.limits.read_only = true;
                self.was_limited = true;
                self.was_read_only = true;
                Ok(None)
            }
            Call::Relief => {
                self.relieve();
                // What could not be opened can be: the log goes on, and remembers no error.
                self.was_limited = self.was_read_only;
                Ok(None)
            }
        };
        match outcome {
            Ok(Some(acked)) => self.ack(acked).map(|()| Next::Go),
            Ok(None) => Ok(Next::Go),
            Err(error) => self.failed(wal, &error),
        }
    }

    /// Time passes: the background does by itself what the policy promises by then, also where no file can be opened.
    fn pass(&mut self, wal: &Wal, time: Duration) -> Result<Next, Stop> {
        self.clock.advance(time);
        let _ = wal.drive();
        let troubled = self.storage.has_lost_power()
            || self.error_struck()
            || self.was_read_only
            || self.place.is_displaced()
            || self.oracle.is_distrusted();
        if troubled {
            return Ok(Next::Go);
        }
        let last = self.oracle.last();
        match self.setup.config.fsync_policy {
            FsyncPolicy::Batch(window) if time >= window && wal.durable_lsn().get() < last => {
                return broken(format!(
                    "the window is over, and {} of {last} are durable",
                    wal.durable_lsn()
                ));
            }
            FsyncPolicy::Batch(window) if time >= window => self.control.ack()?,
            FsyncPolicy::Os if time >= HAND_OVER_AFTER => {
                self.oracle.flush(last);
                self.control.flush();
            }
            _ => {}
        }
        Ok(Next::Go)
    }

    fn append(
        &mut self,
        wal: &Wal,
        lens: &[u32],
        durable: Durable,
    ) -> Result<(Next, Option<u64>), Stop> {
        let values: Vec<Vec<u8>> = lens.iter().map(|len| self.oracle.make(*len)).collect();
        let appended = match (&values[..], durable) {
            ([value], Durable::Reserved) => wal.append_reserved(RecordRef::data(value)),
            ([value], Durable::Now) => wal.durable().append(RecordRef::data(value)),
            ([value], Durable::ByPolicy) => wal.append(RecordRef::data(value)),
            _ => {
                let records: Vec<Record> = values.iter().map(Record::data).collect();
                wal.append_batch(&records).map(|appended| appended.first)
            }
        };
        let expected = self.oracle.last() + 1;
        match appended {
            Ok(position) => {
                let count = values.len() as u64;
                self.oracle.submit(values);
                self.place_found(position);
                fail_if!(
                    position.lsn.get() != expected,
                    "LSN {} was given, {expected} is next",
                    position.lsn
                );
                let always = self.setup.config.fsync_policy == FsyncPolicy::Always;
                if durable == Durable::Now || always {
                    self.ack(expected + count - 1)?;
                }
                Ok((Next::Go, Some(position.segment_id.get())))
            }
            Err(Error::TooLarge { .. }) => Ok((Next::Go, None)),
            Err(error) => {
                let given = match &error {
                    Error::Poisoned(poisoned) => poisoned.lsn,
                    Error::Displaced(displaced) => displaced.lsn,
                    _ => None,
                };
                if given.is_some() {
                    self.oracle.submit(values);
                }
                let next = self.failed(wal, &error)?;
                // Nothing has entered: the next record has the LSN that this one would have had.
                fail_if!(
                    matches!(error, Error::NoSpace { .. }) && wal.last_lsn().get() != expected - 1,
                    "refused, and LSN {} was given",
                    wal.last_lsn()
                );
                Ok((next, None))
            }
        }
    }

    /// The record stands before its cut: no crash leaves the truncation without it.
    fn truncate_with(&mut self, wal: &Wal, keep: u32) -> Result<Next, Stop> {
        let (value, lsn) = (self.oracle.make(40), self.oracle.last() + 1);
        let first = lsn.saturating_sub(u64::from(keep)).max(self.oracle.first());
        self.oracle.ask_truncate_with(first, lsn);
        let done = wal.truncate_before_with(Lsn::new(first), RecordRef::data(&value));
        if wal.last_lsn().get() >= lsn {
            self.oracle.submit(vec![value]);
        }
        match done {
            Ok(position) if position.lsn.get() != lsn => {
                broken(format!("LSN {} was given, {lsn} is next", position.lsn))
            }
            Ok(position) => {
                self.place_found(position);
                self.oracle.ack_truncate(first);
                self.ack(lsn).map(|()| Next::Go)
            }
            Err(error) => self.failed(wal, &error),
        }
    }

    fn append_all(&mut self, wal: &Wal, lens: &[u32], durable: Durable) -> Result<Next, Stop> {
        let (next, _) = self.append(wal, lens, durable)?;
        Ok(next)
    }

    fn fill(&mut self, wal: &Wal, len: u32) -> Result<Next, Stop> {
        let mut begun_in = None;
        for _ in 0..MOST_TO_FILL {
            let (next, segment) = self.append(wal, &[len], Durable::ByPolicy)?;
            if matches!(next, Next::Over) || segment.is_none() {
                return Ok(next);
            }
            if segment != *begun_in.get_or_insert(segment) {
                break;
            }
        }
        Ok(Next::Go)
    }

    fn read(&mut self, wal: &Wal, from: u64) -> Result<Next, Stop> {
        let reader = match wal.read_from(Lsn::new(from)) {
            Ok(reader) => reader,
            Err(error) if self.excused(&error) => return self.failed(wal, &error),
            Err(error) => return broken(format!("read_from {from}: {error}")),
        };
        let mut follower = Follower {
            reader,
            next: from,
            outrun: false,
        };
        if let Err(error) = self.read_on(&mut follower)? {
            return self.failed(wal, &error);
        }
        fail_if!(
            follower.next <= self.oracle.last(),
            "the reader ends before LSN {} of {}",
            follower.next,
            self.oracle.last()
        );
        // Reading hands over what was appended before.
        self.oracle.flush(self.oracle.last());
        Ok(Next::Go)
    }

    /// Each LSN once, in order, with the bytes that were appended. Gives the reader's error.
    fn read_on(&self, follower: &mut Follower) -> Result<Result<(), Error>, Stop> {
        loop {
            match follower.reader.next_record() {
                Ok(Some((record, position))) => {
                    fail_if!(
                        position.lsn.get() != follower.next,
                        "read LSN {} where {} is next",
                        position.lsn,
                        follower.next
                    );
                    self.oracle.check_record(follower.next, &record.value)?;
                    follower.next += 1;
                }
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn follow(&mut self, wal: &Wal, followers: &mut Followers) -> Result<Next, Stop> {
        let mut follower = if let Some(follower) = followers.writer.take() {
            follower
        } else {
            let first = self.oracle.first();
            match wal.read_from(Lsn::new(first)) {
                Ok(reader) => Follower {
                    reader,
                    next: first,
                    outrun: false,
                },
                Err(error) if self.excused(&error) => return self.failed(wal, &error),
                Err(error) if self.is_loud(&error) => return Err(Stop::Loud),
                Err(error) => return broken(format!("a reader: {error}")),
            }
        };
        if follower.outrun {
            return match follower.reader.next_record() {
                Err(Error::Truncated { kept: Some(_), .. }) => Ok(Next::Go),
                Err(error) if self.excused(&error) => self.failed(wal, &error),
                other => broken(format!(
                    "a reader has read LSN {}, which was removed, and is given {other:?}",
                    follower.next - 1
                )),
            };
        }
        match self.read_on(&mut follower)? {
            Ok(()) => {}
            // The next one starts at the first record.
            Err(Error::Truncated { .. }) if follower.next < self.oracle.first() => {
                return Ok(Next::Go);
            }
            Err(error) if self.excused(&error) => return self.failed(wal, &error),
            Err(error) if self.is_loud(&error) => return Err(Stop::Loud),
            Err(error) => return broken(format!("reading LSN {}: {error}", follower.next)),
        }
        let (shown, must) = (follower.next - 1, self.oracle.last());
        fail_if!(
            shown < must && !self.storage.has_lost_power() && !self.error_struck(),
            "a reader is shown {shown} of {must}"
        );
        self.oracle.flush(must);
        followers.writer = Some(follower);
        Ok(Next::Go)
    }

    fn truncate_after(
        &mut self,
        wal: &Wal,
        back: u32,
        followers: &mut Followers,
    ) -> Result<Next, Stop> {
        if self.oracle.is_distrusted() {
            return Ok(Next::Go);
        }
        let last = self.oracle.last();
        let kept = last
            .saturating_sub(u64::from(back))
            .max(self.oracle.first() - 1);
        self.oracle.ask_cut(kept);
        self.control.ask_cut(kept);
        self.raise_doubt();
        match wal.truncate_after(Lsn::new(kept)) {
            Ok(()) => {
                self.notice_lies();
                if self.oracle.is_distrusted() {
                    // What was removed may come back, beside what takes its LSNs.
                    return Err(Stop::Loud);
                }
                self.oracle.ack_cut(kept);
                self.control.ack()?;
                self.cut_while_displaced(kept < last);
                if let Some(follower) = &mut followers.writer {
                    follower.outrun |= follower.next > kept + 1;
                }
                fail_if!(
                    wal.last_lsn().get() != kept || wal.durable_lsn().get() > kept,
                    "truncated after LSN {kept}, and the last is {}, {} are durable",
                    wal.last_lsn(),
                    wal.durable_lsn()
                );
                Ok(Next::Go)
            }
            Err(error) => {
                self.refuse_control(&error);
                if matches!(error, Error::NoSpace { .. }) {
                    self.oracle.refuse_cut();
                }
                self.failed(wal, &error)
            }
        }
    }

    /// A read-only open beside the writer shows at least what was handed over, and no byte changes.
    fn look_beside(&mut self, wal: &Wal) -> Result<(), Stop> {
        let expected = self.expected.take();
        self.oracle.durable(wal.durable_lsn().get());
        let seen = self.look(After::Kill);
        self.expected = expected;
        seen.map(drop)
    }

    pub(crate) fn second_writer(&mut self) -> Result<Next, Stop> {
        // A log that was deleted is locked no more.
        if self.place.is_deleted() {
            return Ok(Next::Go);
        }
        match self.open() {
            Err(Error::Locked { .. }) => Ok(Next::Go),
            Err(_) if self.storage.has_lost_power() => Ok(Next::Over),
            Err(error) if self.excused(&error) => Ok(Next::Go),
            other => broken(format!("a second writer gets {other:?}")),
        }
    }

    /// A call failed: it must be for a reason, and a poisoned log must say the truth and stay poisoned.
    pub(crate) fn failed(&mut self, wal: &Wal, error: &Error) -> Result<Next, Stop> {
        self.failed |= !matches!(error, Error::NoSpace { .. }) || self.error_struck();
        if self.is_loud(error) {
            self.outcome.untrue.loud += 1;
            return Err(Stop::Loud);
        }
        fail_if!(!self.excused(error), "failed without a reason: {error}");
        let (Error::Poisoned(Poisoned { durable_lsn, .. })
        | Error::Displaced(Displaced { durable_lsn, .. })) = error
        else {
            if self.storage.has_lost_power() {
                return Ok(Next::Over);
            }
            if matches!(error, Error::NoSpace { .. }) && !self.error_struck() {
                return self.full(wal);
            }
            self.outcome.no_descriptor += u64::from(is_no_descriptor(error));
            return Ok(Next::Go);
        };
        self.outcome.displaced += u64::from(matches!(error, Error::Displaced(_)));
        let durable = durable_lsn.get();
        fail_if!(
            durable < self.oracle.acked() && self.oracle.cut_asked().is_none(),
            "poisoned with durable LSN {durable}, {} were acknowledged",
            self.oracle.acked()
        );
        self.ack(durable)?;
        for refused in [
            wal.append(RecordRef::data(b"late")).map(drop),
            wal.sync(),
            wal.truncate_before(Lsn::new(1)),
        ] {
            fail_if!(
                !matches!(refused, Err(Error::Poisoned(_) | Error::Displaced(_))),
                "a poisoned log answers {refused:?}"
            );
        }
        Ok(Next::Over)
    }

    /// The disk is full: what is in the log can be read and made durable.
    fn full(&mut self, wal: &Wal) -> Result<Next, Stop> {
        self.outcome.full += 1;
        if self.limits.files || self.limits.read_only {
            return Ok(Next::Go);
        }
        if let Err(error) = wal.sync() {
            let excused = self.storage.has_lost_power() || self.error_struck();
            if excused || self.place.is_displaced() {
                return self.failed(wal, &error);
            }
            return broken(format!("a sync on a full disk: {error}"));
        }
        self.control.ack()?;
        self.ack(self.oracle.last())?;
        self.read(wal, self.oracle.first())
    }
}

/// Whether no file could be opened.
fn is_no_descriptor(error: &Error) -> bool {
    let none: io::Error = SystemError::TooManyOpenFiles.into();
    matches!(error, Error::Io { source, .. } if source.to_string() == none.to_string())
}

/// Whether an append waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durable {
    ByPolicy,
    Now,
    /// By policy, on a full disk too.
    Reserved,
}
