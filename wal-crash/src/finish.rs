//! How a run ends: the last open, which must find everything; or, for who looks at every state of a crash, one open each.
//! Absent: lives that end as they say (see `run`).

use std::sync::{Arc, Mutex};

use wal_core::RecordRef;
use wal_core::blocking::Wal;
use wal_io::fault::{Background, Chooser, Script};

use crate::oracle::{After, Violation};
use crate::outcome::Outcome;
use crate::program::{Choices, Life};
use crate::runner::{Runner, Stop, broken};
use crate::source::Source;

/// How a life came to be without power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By the planned cut.
    ByPowerCut,
    /// It made fewer changes than that; the power was cut behind its last call.
    AfterTheLastCall,
}

impl Runner {
    /// One life after the other.
    pub(crate) fn live_all(&mut self, lives: &[Life]) -> Result<(), Violation> {
        for life in lives {
            self.live(life)?;
        }
        Ok(())
    }

    /// A life that ends with the power off; the machine is left for the caller to crash.
    pub(crate) fn live_until_power_loss(
        &mut self,
        life: &Life,
        chooser: impl Chooser + Send + 'static,
    ) -> Result<Ended, Violation> {
        self.prepare(life)?;
        self.storage.set_chooser(chooser);
        let wal = self.until_the_end(life)?;
        let struck = self.storage.has_lost_power();
        self.storage.cut_power();
        if let Some(wal) = wal {
            self.oracle.durable(wal.durable_lsn().get());
        }
        Ok(if struck {
            Ended::ByPowerCut
        } else {
            Ended::AfterTheLastCall
        })
    }

    /// Goes on with one of the states that the crash can have left.
    pub(crate) fn after_crash(&self, chooser: &mut dyn Chooser) -> Self {
        let mut next = self.clone();
        next.outcome = Outcome::default();
        next.storage = self.storage.crash(chooser);
        next.count_power_loss();
        next
    }

    /// A look and an open.
    pub(crate) fn open_and_check(&mut self) -> Result<(), Violation> {
        self.reopen()?;
        Ok(())
    }

    /// The open after the last life.
    fn reopen(&mut self) -> Result<Wal, Stop> {
        let quiet = Source::new(&Choices::Script(Vec::new()));
        self.sources.push(Arc::new(Mutex::new(quiet)));
        self.storage.set_background(Background::Idle);
        let seen = self.look(self.after)?;
        self.expected = seen.filter(|_| !self.haunted);
        self.errors_planned = false;
        self.was_limited = false;
        let before = self.segments();
        let wal = match self.open() {
            Ok(wal) => wal,
            Err(error) if self.is_loud(&error) => return self.loud(&before),
            Err(error) => return broken(format!("open refuses what is left: {error}")),
        };
        self.check_open(&wal)?;
        Ok(wal)
    }

    pub(crate) fn last_look(&mut self) -> Result<(), Stop> {
        self.relieve();
        if !self.haunted {
            self.damage_and_repair()?;
        }
        let wal = self.reopen()?;
        // What was recovered can be followed by more, which is as durable as what was there.
        let value = self.oracle.make(40);
        wal.durable()
            .append(RecordRef::data(&value))
            .map_err(|error| Violation(format!("append: {error}")))?;
        self.oracle.submit(vec![value]);
        self.oracle.ack(self.oracle.last())?;
        self.storage.cut_power();
        drop(wal);
        if self.oracle.is_distrusted() {
            return Ok(());
        }
        self.storage = self.storage.crash(&mut Script::default());
        self.after = After::PowerLoss;
        let wal = self
            .open()
            .map_err(|error| Violation(format!("open refuses what was appended to: {error}")))?;
        self.check_open(&wal)?;
        self.oracle.ask_close();
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
