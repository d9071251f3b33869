//! A log of version 2 on a disk without a free byte, and what must be in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::{Alignment, Error, FormatVersion, FsyncPolicy, Lsn, RecordRef, Result};
use wal_io::fault::FaultConfig;

use super::{Machine, large};

const KIB: u64 = 1 << 10;

/// No byte is free.
pub(crate) fn fill_up(machine: &Machine) {
    let used = machine.storage.used_space();
    machine.storage.set_capacity(Some(used));
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Close,
    Drop,
    Kill,
    PowerLoss,
}

pub(crate) const ENDS: [End; 4] = [End::Close, End::Drop, End::Kill, End::PowerLoss];

/// A log, and what must be in it.
pub(crate) struct Log {
    pub(crate) machine: Machine,
    pub(crate) wal: Option<Wal>,
    pub(crate) first: u64,
    pub(crate) records: BTreeMap<u64, Vec<u8>>,
    pub(crate) is_full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Truncate,
    Record,
}

impl Log {
    /// Of a few segments, on a disk that is then full.
    pub(crate) fn full(policy: FsyncPolicy, segment: u64, padding: Alignment, end: End) -> Self {
        Self::full_on(FaultConfig::default(), policy, segment, padding, end)
    }

    pub(crate) fn full_on(
        rules: FaultConfig,
        policy: FsyncPolicy,
        segment: u64,
        padding: Alignment,
        end: End,
    ) -> Self {
        let mut machine = Machine::with_rules(rules, policy).segments_of(segment);
        machine.padding = Some(padding);
        let mut log = Self {
            machine,
            wal: None,
            first: 1,
            records: BTreeMap::new(),
            is_full: false,
        };
        log.open();
        for n in 1..=40 {
            // No truncation of these tests frees a segment.
            let len = if n <= 25 { 0 } else { segment / 6 };
            let value = large(n, usize::try_from(len).expect("short"));
            let position = log.wal().append(RecordRef::data(&value));
            assert_eq!(position.expect("appended").lsn.get(), n);
            log.records.insert(n, value);
            // Only the last one is unproven.
            log.wal().sync().expect("synced");
        }
        log.end(end);
        log.is_full = true;
        fill_up(&log.machine);
        log.open();
        fill_up(&log.machine);
        // After an unclean stop, the first segment may have room.
        loop {
            let (next, value) = (log.last() + 1, vec![7; 40]);
            match log.wal().append(RecordRef::data(&value)) {
                Ok(_) => drop(log.records.insert(next, value)),
                Err(Error::NoSpace { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        fill_up(&log.machine);
        log
    }

    pub(crate) fn wal(&self) -> &Wal {
        self.wal.as_ref().expect("it is open")
    }

    pub(crate) fn last(&self) -> u64 {
        self.records.last_key_value().map_or(0, |(lsn, _)| *lsn)
    }

    pub(crate) fn try_open(&self) -> Result<Wal> {
        let machine = &self.machine;
        Wal::builder("log")
            .storage(Arc::new(machine.storage.clone()))
            .config(machine.config.clone())
            .clock(Arc::new(machine.clock.clone()))
            .sector_padding(machine.padding.expect("chosen"))
            .small_segments()
            .format_version(FormatVersion::V2)
            .driven_by_caller()
            .open()
    }

    #[track_caller]
    pub(crate) fn open(&mut self) {
        match self.try_open() {
            Ok(wal) => self.wal = Some(wal),
            Err(error) => panic!("{error}"),
        }
        self.check();
    }

    pub(crate) fn end(&mut self, end: End) {
        let wal = self.wal.take().expect("it is open");
        match end {
            End::Close => wal.close().expect("closed"),
            End::Drop => {}
            End::Kill => self.machine.kill(),
            End::PowerLoss => self.machine.lose_unsynced(),
        }
        drop(wal);
    }

    /// A session after another, with no byte free.
    #[track_caller]
    pub(crate) fn again(&mut self, end: End) {
        if end == End::PowerLoss {
            self.wal().sync().expect("synced");
        } else {
            self.wal().flush().expect("flushed");
        }
        self.end(end);
        fill_up(&self.machine);
        self.open();
        fill_up(&self.machine);
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        let mut next = self.first;
        for step in self.wal().read_from(Lsn::ZERO).expect("a reader") {
            let (record, position) = step.expect("a record");
            assert_eq!(position.lsn.get(), next);
            assert_eq!(record.value, self.records[&next], "LSN {next}");
            next += 1;
        }
        assert_eq!(next, self.last() + 1);
        assert_eq!(self.wal().first_lsn().get(), self.first);
    }

    /// The record of the next step.
    pub(crate) fn value(&self, step: Step) -> Vec<u8> {
        let len = match step {
            Step::Truncate => 4 * KIB,
            Step::Record => 512,
        };
        large(self.last() + 1, usize::try_from(len).expect("short"))
    }

    pub(crate) fn step(&mut self, step: Step) -> Result<()> {
        let (next, value) = (self.last() + 1, self.value(step));
        let record = RecordRef::data(&value);
        let to = (self.first + 1).min(next);
        let position = match step {
            Step::Truncate => self.wal().truncate_before_with(Lsn::new(to), record)?,
            Step::Record => self.wal().append_reserved(record)?,
        };
        assert_eq!(position.lsn.get(), next);
        self.records.insert(next, value);
        if step == Step::Truncate {
            self.first = to;
            assert_eq!(self.wal().first_lsn().get(), to);
        }
        // Others take what the end of the segment before has freed.
        if self.is_full {
            fill_up(&self.machine);
        }
        Ok(())
    }

    /// As often as there is room; how often that was.
    pub(crate) fn exhaust(&mut self, step: Step) -> usize {
        let mut count = 0;
        loop {
            match self.step(step) {
                Ok(()) => count += 1,
                Err(Error::NoSpace { .. }) => return count,
                Err(error) => panic!("{step:?}: {error}"),
            }
        }
    }

    /// Whether the log lives in its reserve. It leaves that also where it finds files that a crash has brought back.
    pub(crate) fn is_in_reserve(&self) -> bool {
        self.machine.reserve().len() == 1
    }

    #[track_caller]
    pub(crate) fn refuses(&self) {
        if !self.is_in_reserve() {
            return;
        }
        let refused = self.wal().append(RecordRef::data(b"not now"));
        assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
        assert_eq!(self.wal().last_lsn().get(), self.last());
    }

    /// With room again, the log goes on, and has its reserve.
    pub(crate) fn recovers(&mut self) {
        self.is_full = false;
        self.machine.storage.set_capacity(None);
        for _ in 0..2 {
            let (next, value) = (self.last() + 1, large(self.last() + 1, 300));
            let position = self.wal().append(RecordRef::data(&value));
            assert_eq!(position.expect("appended").lsn.get(), next);
            self.records.insert(next, value);
        }
        assert_eq!(self.machine.reserve().len(), 2);
        self.check();
        self.end(End::Close);
        let damage = self.machine.verify().expect("verified").damage().count();
        assert_eq!(damage, 0);
        self.open();
        assert_eq!(self.machine.reserve().len(), 2);
    }
}
