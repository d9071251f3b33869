//! What the threads of a life share: whether it is over, and what is counted.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wal_kv::{Error, ErrorKind, FsyncPolicy};

use super::keys::Items;
use super::plan::{KvLife, Plan};
use super::store::Store;
use crate::harness::{Event, Gauges};

/// Which life of which round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LifeArgs {
    /// The seed of the run.
    pub seed: u64,
    /// The round.
    pub round: u64,
    /// How much time the round has.
    pub length_ms: u64,
    /// The number of the life.
    pub life: usize,
    /// The store's directory.
    pub data: PathBuf,
    /// Where the journals are.
    pub state: PathBuf,
}

impl LifeArgs {
    /// From the JSON that the watching process gives.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

/// What all threads of a life share.
pub(crate) struct Shared<'a> {
    pub(crate) args: &'a LifeArgs,
    pub(crate) plan: &'a Plan,
    pub(crate) life: &'a KvLife,
    pub(crate) number: u64,
    pub(crate) items: Items,
    pub(crate) store: &'a Store,
    pub(crate) gauges: &'a Gauges,
    pub(crate) over: AtomicBool,
    pub(crate) writes: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) refused: [AtomicU64; REFUSED.len()],
    pub(crate) what: Mutex<Option<String>>,
}

const REFUSED: [&str; 5] = [
    "refused-overdue",
    "refused-space",
    "refused-memory",
    "refused-views",
    "refused-short",
];
const OVERDUE: usize = 0;
const SPACE: usize = 1;
const MEMORY: usize = 2;
const VIEWS: usize = 3;
const SHORT: usize = 4;

/// Longest wait of a read, in microseconds: a scheduler that has other things to do is no store that waits.
const READ_STALL: u64 = 5_000_000;
/// Of a write: for a snapshot of all data, on a slow disk.
const WRITE_STALL: u64 = 60_000_000;
impl Shared<'_> {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn is_always(&self) -> bool {
        self.life.policy == FsyncPolicy::Always
    }

    /// A promise is broken: the life is over.
    pub(crate) fn broken(&self, what: String) {
        let mut known = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(what);
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn verdict(&self) -> Result<(), String> {
        let mut known = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        known.take().map_or(Ok(()), Err)
    }

    pub(crate) fn wrote(&self, took: Duration, records: u32) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let note = || format!("{records} records");
        self.gauges
            .bound("write-stall", micros(took), WRITE_STALL, note);
    }

    pub(crate) fn read_took(&self, took: Duration) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.gauges
            .bound("read-stall", micros(took), READ_STALL, String::new);
    }

    /// Closing takes ten microseconds at most for each version that was kept, and time on a busy machine.
    pub(crate) fn view_closed(&self, took: Duration, kept: u64) {
        let most = 3_000_000 + 10 * kept;
        self.gauges.bound("view-close", micros(took), most, || {
            format!("{kept} versions kept")
        });
    }

    /// Counts a call that failed; an error if it must not fail like this.
    pub(crate) fn failed(&self, error: &Error) -> Result<(), String> {
        let roomy = self.plan.is_roomy(self.life);
        let kind = match error.kind() {
            ErrorKind::OverMemoryLimit if self.plan.memory_limit.is_some() => MEMORY,
            ErrorKind::OverViewMemoryLimit if self.plan.view_limit().is_some() => VIEWS,
            ErrorKind::SnapshotOverdue if roomy => OVERDUE,
            ErrorKind::NoSpace if roomy => SPACE,
            _ if roomy => return Err(format!("a call failed: {error}")),
            ErrorKind::Poisoned => {
                return Err(format!("the log is poisoned: {error}"));
            }
            _ => SHORT,
        };
        if self.refused[kind].fetch_add(1, Ordering::Relaxed) == 0 && kind < MEMORY {
            self.gauges.bound(REFUSED[kind], 1, 0, || error.to_string());
        }
        Ok(())
    }

    /// What is only counted, as far as it was not told yet.
    pub(crate) fn tell_counts(&self) {
        let tell = |key: &str, counter: &AtomicU64| match counter.swap(0, Ordering::Relaxed) {
            0 => {}
            by => Event::Counted(key.to_owned(), by).tell(),
        };
        tell("writes", &self.writes);
        tell("reads", &self.reads);
        tell(REFUSED[MEMORY], &self.refused[MEMORY]);
        tell(REFUSED[VIEWS], &self.refused[VIEWS]);
        tell(REFUSED[SHORT], &self.refused[SHORT]);
    }
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
