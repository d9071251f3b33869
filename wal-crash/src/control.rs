//! The control state of a log: what is there is what was acknowledged last, or what was asked for later. Absent: records (see
//! `oracle`).

use wal_core::blocking::Wal;
use wal_core::{ControlChange, Cursor, Error, FormatVersion, FsyncPolicy, Lsn};

use crate::oracle::After;
use crate::program::Format;
use crate::runner::{Next, Runner, Stop, broken};
use crate::states::{Consumer, State, States};

fn name(which: u32) -> String {
    format!("c{which}")
}

impl Runner {
    /// Compares the control state of a log that was opened.
    pub(crate) fn check_control(&mut self, wal: &Wal, after: After) -> Result<(), Stop> {
        let found = match wal.control() {
            Ok(found) => found,
            Err(error) if self.excused(&error) => return Ok(()),
            Err(error) => return broken(format!("the control state: {error}")),
        };
        if self.oracle.is_distrusted() {
            return Ok(());
        }
        let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
        self.control.find(&found, after, last)?;
        for (name, consumer) in &found.consumers {
            let lsn = consumer.at.lsn().get();
            let valid = match wal.check_cursor(&consumer.at) {
                Err(error) => lsn + 1 < first || self.excused(&error),
                Ok(()) => lsn <= last,
            };
            if !valid {
                let at = consumer.at;
                return broken(format!("{name} has seen {at}, which is not there"));
            }
        }
        self.outcome.controls += 1;
        self.outcome.moved += found.consumers.values().filter(|it| it.moved).count() as u64;
        Ok(())
    }

    /// What an open has shown stays.
    pub(crate) fn settle_control(&mut self, wal: &Wal) {
        let Ok(found) = wal.control() else {
            return;
        };
        let consumers = found.consumers.iter().map(|(name, consumer)| {
            let cursor = (!consumer.moved).then(|| consumer.at.to_string());
            let lsn = consumer.at.lsn().get();
            (name.clone(), Consumer { lsn, cursor })
        });
        self.control = States::of(State {
            term: found.term,
            consumers: consumers.collect(),
        });
    }

    pub(crate) fn change_term(&mut self, wal: &Wal, up: u32) -> Result<Next, Stop> {
        let mut state = self.control.last().clone();
        state.term += u64::from(up);
        let change = [ControlChange::Term(state.term)];
        self.change(wal, state, |wal| wal.change_control(&change))
    }

    pub(crate) fn change_consumer(
        &mut self,
        wal: &Wal,
        which: u32,
        back: u32,
    ) -> Result<Next, Stop> {
        let Some(at) = Self::seen(wal, back)? else {
            return Ok(Next::Go);
        };
        let (mut state, name) = (self.control.last().clone(), name(which));
        state.consumers.insert(name.clone(), consumer(&at));
        let change = [ControlChange::Consumer { name, at }];
        self.change(wal, state, |wal| wal.change_control(&change))
    }

    pub(crate) fn remove_consumer(&mut self, wal: &Wal, which: u32) -> Result<Next, Stop> {
        let (mut state, name) = (self.control.last().clone(), name(which));
        state.consumers.remove(&name);
        let change = [ControlChange::NoConsumer { name }];
        self.change(wal, state, |wal| wal.change_control(&change))
    }

    /// Sets all of it: `count` consumers, at the last durable record.
    pub(crate) fn set_control(&mut self, wal: &Wal, count: u32) -> Result<Next, Stop> {
        let Some(at) = Self::seen(wal, 0)? else {
            return Ok(Next::Go);
        };
        let all: Vec<(String, Cursor)> = (0..count).map(|which| (name(which), at)).collect();
        let state = State {
            term: self.control.last().term,
            consumers: all
                .iter()
                .map(|(name, at)| (name.clone(), consumer(at)))
                .collect(),
        };
        let term = state.term;
        self.change(wal, state, |wal| wal.set_control(term, &all))
    }

    /// The cursor of a durable record, this many before the last.
    fn seen(wal: &Wal, back: u32) -> Result<Option<Cursor>, Stop> {
        let (first, durable) = (wal.first_lsn().get(), wal.durable_lsn().get());
        let lsn = durable.saturating_sub(u64::from(back)).max(first - 1);
        if lsn > durable {
            return Ok(None);
        }
        match wal.cursor(Lsn::new(lsn)) {
            Ok(at) => Ok(Some(at)),
            Err(error) => broken(format!("the cursor of LSN {lsn}: {error}")),
        }
    }

    fn change(
        &mut self,
        wal: &Wal,
        state: State,
        call: impl FnOnce(&Wal) -> Result<(), Error>,
    ) -> Result<Next, Stop> {
        self.control.asked.push(state);
        let error = match call(wal) {
            Ok(()) => {
                self.outcome.changes += 1;
                if self.setup.config.fsync_policy == FsyncPolicy::Always {
                    self.control.ack()?;
                }
                return Ok(Next::Go);
            }
            Err(error) => error,
        };
        self.refuse_control(&error);
        match &error {
            Error::OldVersion { .. } if self.may_be_in_version_1() => Ok(Next::Go),
            // Small padded segments have no room for it.
            Error::TooLarge { .. } if self.setup.padding.is_some() => Ok(Next::Go),
            _ => self.failed(wal, &error),
        }
    }

    /// The call has done nothing, unless nobody can know.
    pub(crate) fn refuse_control(&mut self, error: &Error) {
        let unknown = matches!(error, Error::Poisoned(_) | Error::Displaced(_));
        if !unknown && !self.storage.has_lost_power() {
            self.control.refuse();
        }
    }

    /// Whether the log may be in version 1: a life that does not ask for version 2 may follow one that failed to begin it.
    fn may_be_in_version_1(&self) -> bool {
        match self.setup.format {
            Format::One => true,
            Format::Two => false,
            Format::Upgraded => self.asked_for() != Some(FormatVersion::V2),
        }
    }
}

fn consumer(at: &Cursor) -> Consumer {
    Consumer {
        lsn: at.lsn().get(),
        cursor: Some(at.to_string()),
    }
}
