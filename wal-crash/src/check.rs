//! What every open is held against: the invariants of a log that was opened again. Absent: how it came to be opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::{Error, Lsn};
use wal_io::fault::Background;

use crate::oracle::{After, Violation, fail_if};
use crate::runner::{Runner, Stop, broken};

impl Runner {
    /// A read-only open shows what a writer would recover, and changes nothing. Gives the first LSN and the last.
    pub(crate) fn look(&mut self, after: After) -> Result<Option<(u64, u64)>, Stop> {
        // What the kernel does meanwhile is not the reader's doing: a page that lost its data shows that at any time.
        self.storage.set_background(Background::Idle);
        let before = self.storage.image();
        self.outcome.looks += 1;
        let wal = match self.read_only() {
            Ok(wal) => wal,
            Err(Error::NotALog { .. }) if self.oracle.must(after) == 0 => return Ok(None),
            Err(error) if self.is_loud(&error) => {
                self.outcome.untrue.loud += 1;
                return Err(Stop::Loud);
            }
            Err(error) if self.excused(&error) => return Ok(None),
            Err(error) => {
                return broken(format!(
                    "a read-only open refuses what a crash has left: {error}"
                ));
            }
        };
        let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
        self.stop_if_undone(self.oracle.may_be_back(last))?;
        self.oracle.check_extent(first, last, after)?;
        self.oracle.check_report(wal.recovery_report())?;
        self.check_expected(first, last)?;
        self.check_records(&wal, first, last)?;
        self.check_control(&wal, after)?;
        fail_if!(
            wal.durable_lsn().get() > last,
            "durable up to {}, {last} records",
            wal.durable_lsn()
        );
        drop(wal);
        if self.storage.image() != before {
            return broken("a read-only open changed a file");
        }
        Ok((!self.oracle.is_distrusted()).then_some((first, last)))
    }

    pub(crate) fn read_only(&self) -> Result<Wal, Error> {
        Wal::builder("log")
            .storage(Arc::new(self.storage.clone()))
            .read_only()
            .open()
    }

    pub(crate) fn check_open(&mut self, wal: &Wal) -> Result<(), Stop> {
        self.notice_lies();
        let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
        let report = wal.recovery_report();
        self.stop_if_undone(self.oracle.may_be_back(last))?;
        self.oracle.check_extent(first, last, self.after)?;
        self.oracle.check_report(report)?;
        self.check_expected(first, last)?;
        self.check_control(wal, self.after)?;
        self.settle_control(wal);
        // The power may fail between the last step that matters and the open's return: its word still counts.
        if !self.storage.has_lost_power() && !self.error_struck() {
            self.check_records(wal, first, last)?;
            self.check_removed(wal, first)?;
            self.check_space(wal)?;
        }
        fail_if!(
            report.last_lsn.get() != last || report.first_lsn.get() != first,
            "the report says {report:?}, the log {first} to {last}"
        );
        fail_if!(
            self.clean && !report.clean,
            "a closed log is reported as {report:?}"
        );
        fail_if!(
            wal.durable_lsn().get() != last,
            "opened with {last} records, durable up to {}",
            wal.durable_lsn()
        );
        self.outcome.opens += 1;
        self.outcome.unproven += report.unproven;
        if self.oracle.is_distrusted() {
            let missing = last < self.oracle.must(self.after);
            self.outcome.untrue.quiet += u64::from(missing);
            self.outcome.untrue.lossless += u64::from(!missing);
        }
        self.oracle.settle(first, last);
        self.settled();
        Ok(())
    }

    /// A disk that has lied may have lost a truncation: nothing can be said of the log from then on.
    fn stop_if_undone(&mut self, undone: bool) -> Result<(), Stop> {
        if undone {
            self.outcome.untrue.quiet += 1;
            return Err(Stop::Loud);
        }
        Ok(())
    }

    /// Recovery comes to the same, however often it was cut short.
    fn check_expected(&self, first: u64, last: u64) -> Result<(), Violation> {
        match self.expected {
            Some(expected) if expected != (first, last) => Err(Violation(format!(
                "LSNs {first} to {last} are shown, a look had shown {expected:?}"
            ))),
            _ => Ok(()),
        }
    }

    /// What lies below the first record is told to be gone, not shown.
    fn check_removed(&self, wal: &Wal, first: u64) -> Result<(), Violation> {
        if first < 2 {
            return Ok(());
        }
        let gone = wal
            .read_from(Lsn::new(first - 1))
            .and_then(|mut reader| reader.next_record());
        match gone {
            Err(Error::Truncated { .. }) => Ok(()),
            Err(error) if self.excused(&error) => Ok(()),
            other => Err(Violation(format!(
                "LSN {} was removed, and a reader from it gives {other:?}",
                first - 1
            ))),
        }
    }

    fn check_records(&mut self, wal: &Wal, first: u64, last: u64) -> Result<(), Stop> {
        let mut reader = match wal.read_from(Lsn::ZERO) {
            Ok(reader) => reader,
            Err(error) if self.excused(&error) => return Ok(()),
            Err(error) => return broken(format!("read_from: {error}")),
        };
        let mut next = first;
        let mut read = BTreeMap::new();
        loop {
            match reader.next_record() {
                Ok(Some((record, position))) => {
                    let lsn = position.lsn.get();
                    fail_if!(lsn != next, "read LSN {lsn} where {next} is next");
                    if let Err(violation) = self.oracle.check_record(lsn, &record.value) {
                        self.stop_if_undone(self.oracle.is_back(lsn, &record.value))?;
                        return Err(violation.into());
                    }
                    read.insert(lsn, record.value.to_vec());
                    next += 1;
                }
                Ok(None) => break,
                Err(error) if self.is_loud(&error) => {
                    self.outcome.untrue.loud += 1;
                    return Err(Stop::Loud);
                }
                Err(error) if self.excused(&error) => return Ok(()),
                Err(error) => return broken(format!("reading LSN {next}: {error}")),
            }
        }
        fail_if!(
            next != last + 1,
            "the reader ends before LSN {next}, the log after {last}"
        );
        self.check_cursors(wal, &read)?;
        Ok(())
    }
}
