//! The state of a run, and how a call of it can end.

use std::sync::{Arc, Mutex};

use wal_core::Cursor;
use wal_core::blocking::Reader;
use wal_core::clock::ManualClock;
use wal_io::FaultStorage;

use crate::oracle::{After, Oracle, Violation};
use crate::outcome::Outcome;
use crate::place::Whereabouts;
use crate::program::Setup;
use crate::source::Source;
use crate::states::States;

/// Whether the life goes on after a call.
pub(crate) enum Next {
    Go,
    /// The handle is of no use any more.
    Over,
}

/// Why a run goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    Broken(Violation),
    /// The log says that it is damaged, and the disk has lied; or one of its files was deleted.
    Loud,
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

/// Where nothing has lied.
impl From<Stop> for Violation {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Broken(violation) => violation,
            Stop::Loud => Self("loud without a lie".into()),
        }
    }
}

pub(crate) fn broken<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Broken(Violation(text.into())))
}

/// What keeps calls from working until it is lifted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) disk: bool,
    pub(crate) files: bool,
    pub(crate) read_only: bool,
}

impl Limits {
    pub(crate) fn any(self) -> bool {
        self.disk || self.files || self.read_only
    }
}

/// Saved cursors, each with the value of its record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Saved(pub(crate) Vec<(Cursor, Vec<u8>)>);

/// The reader, and what it was given since it began.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) reader: Reader,
    pub(crate) first: u64,
    pub(crate) given: Vec<Vec<u8>>,
    /// Since it was at the end the newest records were dropped, or the writer was closed or dropped and opened again: it may be told
    /// though nothing that it has read was removed.
    pub(crate) doubtful: bool,
}

/// The reader of a run, if there is one. A copy of a run, which is made for each state that a crash can leave, has none.
#[derive(Debug, Default)]
pub(crate) struct Watching(pub(crate) Option<Watcher>);

impl Clone for Watching {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl Watcher {
    pub(crate) fn lsns(&self) -> impl Iterator<Item = (u64, &Vec<u8>)> {
        (self.first..).zip(&self.given)
    }

    pub(crate) fn next(&self) -> u64 {
        self.first + self.given.len() as u64
    }
}

/// A run under way.
#[derive(Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the run by itself"
)]
pub(crate) struct Runner {
    pub(crate) setup: Setup,
    pub(crate) storage: FaultStorage,
    pub(crate) clock: ManualClock,
    pub(crate) oracle: Oracle,
    pub(crate) outcome: Outcome,
    pub(crate) after: After,
    /// The log was closed and not opened since.
    pub(crate) clean: bool,
    /// A call of this life has failed, or something in its background.
    pub(crate) failed: bool,
    pub(crate) limits: Limits,
    /// Whether files could not be opened, or the file system was read-only, at some time in this life.
    pub(crate) was_limited: bool,
    /// Whether the file system was read-only at some time in this life.
    pub(crate) was_read_only: bool,
    /// What a read-only open has shown, and every open must show until one has succeeded.
    pub(crate) expected: Option<(u64, u64)>,
    /// Whether all that the life found is on disk: then a crash cannot take it away.
    pub(crate) at_rest: bool,
    /// A sync has failed since the last reboot: the cache may show what the disk does not have, until it is evicted.
    pub(crate) haunted: bool,
    /// How many times in a row recovery was cut short.
    pub(crate) depth: usize,
    pub(crate) opening: bool,
    /// Whether errors are planned for this life, and how many faults had struck before it.
    pub(crate) errors_planned: bool,
    /// Whether one of them may end the log: a write, a sync or a rename that fails.
    pub(crate) final_planned: bool,
    /// Whether syncs are among the operations that they may strike, and claim what is not true.
    pub(crate) lies_planned: bool,
    pub(crate) struck_before: u64,
    pub(crate) seed: u64,
    pub(crate) sources: Vec<Arc<Mutex<Source>>>,
    /// A reader of another process. It stays until the machine or the writer ends in disorder.
    pub(crate) watching: Watching,
    /// Where the log is, and what is beside it.
    pub(crate) place: Whereabouts,
    pub(crate) cursors: Saved,
    pub(crate) control: States,
}
