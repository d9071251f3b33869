//! The engine: one lock, two buffers, a leader for each commit.
//!
//! ```text
//! append.rs   a record gets its LSN and its place, and is copied into the buffer being filled (entrant.rs: what may enter where)
//! control.rs  changes of the control state, which share a group
//! commit.rs   a leader hands the buffer to the file, syncs, and wakes all who waited for it
//! rotate.rs   the next segment takes over; spares, steps of allocation, footers, retired files
//! ahead.rs    zeros before the records, where syncs are cheaper on them
//! give_back.rs  what the first segment of this life replaces: space and files that an earlier one has left
//! forget.rs   the oldest records are dropped on a full disk
//! figures.rs  what is read of the state without its lock
//! reseal.rs   the segment in which the log then ends becomes as short as what stays of it
//! rewind.rs   the newest records are dropped; their LSNs are given again in a new era (eras.rs)
//! reserve.rs  on a full disk, the log goes on in the space that it keeps for that
//! sizes.rs    segment size, record limit and padding: as chosen, or those of the log that is there
//! driver.rs   the same steps run by threads in production, by the caller in a deterministic test
//! place.rs    is the log where it was opened, and in the process that opened it
//! poison.rs   after a failed write or sync, nothing goes on
//! ```
//!
//! I/O never happens under the lock. Two flags in the state are the right to do it: `writing` (one hand-over at a time, in
//! order) and `syncing` (one sync at a time). Deliberately absent: async runtimes (see [`crate::shell`]), and what bytes on
//! disk mean after a crash (see [`crate::recovery`]).

mod ahead;
mod append;
mod begin;
mod close;
mod commit;
mod control;
mod dates;
mod driver;
mod entrant;
mod eras;
mod figures;
mod forget;
mod give_back;
mod live;
mod open;
mod parked;
mod place;
mod poison;
mod reach;
mod requests;
mod reseal;
mod reserve;
mod rewind;
mod rotate;
mod sizes;
mod state;
mod truncate;
mod waiters;

pub(crate) use append::{Begun, Durability};
pub(crate) use begin::{Predecessor, link_body};
pub(crate) use eras::{Era, Eras};
pub(crate) use live::LiveSegment;
pub(crate) use open::{Dated, Ground, no_space_or_io, read_pid, take_lock, write_pid};
pub(crate) use place::{check_process, displaced, displacement};
pub(crate) use reach::Goal;
pub(crate) use rotate::{allocate, create_segment_file, write_footer};
pub(crate) use sizes::Sizes;
pub(crate) use state::{ChainEntry, Mark, Sealing};

use std::time::Duration;

use wal_format::{Alignment, Lsn, Version};
use wal_io::{Process, Storage, StorageLock};

use crate::clock::Clock;
use crate::cursor::Lineage;
use crate::entropy::Entropy;
use crate::segment::Files;
use crate::stats::{Counters, Stats};
use crate::sync::{Arc, AtomicBool, AtomicU64, Condvar, JoinHandle, Mutex, MutexGuard, Ordering};
use crate::{Position, Prewrite, RecoveryMode, WalConfig, sabotage};
use figures::Locked;
use state::{State, Status};

/// What the builder decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: WalConfig,
    pub(crate) sizes: Sizes,
    pub(crate) alignment: Alignment,
    /// The version of new segments.
    pub(crate) version: Version,
    pub(crate) record_limit: u64,
    /// Largest payload of one group: one batch is at most this long.
    pub(crate) batch_limit: u64,
    /// Bytes of one buffer; two are in use.
    pub(crate) buffer: usize,
    /// Hand-over begins when this much is waiting, or `hand_over_after`, whichever is first.
    pub(crate) hand_over_bytes: usize,
    pub(crate) hand_over_after: Duration,
    /// An idle log whose last records are not proven yet gets a stamp after this time.
    pub(crate) stamp_after: Duration,
    pub(crate) driver: Driver,
    pub(crate) recovery: RecoveryMode,
    pub(crate) prewrite: Prewrite,
    /// Check now and then that the path still leads to the directory.
    pub(crate) path_check: bool,
}

/// Who runs the background steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Threads of the engine's own.
    Threads,
    /// Whoever calls: a call that would wait runs the steps itself. Deterministic.
    Caller,
}

/// A log open for writing.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The process that opened it. No other may use it.
    pub(crate) process: Process,
    pub(crate) storage: Arc<dyn Storage>,
    /// The open files of its readers.
    pub(crate) files: Arc<Files>,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    locked: Locked,
    /// A copy of the durable LSN that is read without the lock.
    durable: AtomicU64,
    /// Set with the poison, and read without the lock.
    poisoned: AtomicBool,
    /// Whether the last sync took no time to speak of.
    quick: AtomicBool,
    /// A copy of the era that is read without the lock.
    era: AtomicU64,
    writer: Condvar,
    syncer: Condvar,
    keeper: Condvar,
    /// Leaders that wait for the right to write or to sync.
    leaders: Condvar,
    /// One directory sync at a time; how one has failed.
    dir_sync: Mutex<Option<std::io::Error>>,
    pub(crate) counters: Counters,
    lock: Mutex<Option<Box<dyn StorageLock>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// Refuses in a fork of the process that opened the log.
    #[inline]
    pub(crate) fn check_process(&self) -> crate::Result<()> {
        check_process(&self.process, &*self.storage)
    }

    pub(crate) fn location(&self) -> String {
        self.storage.location()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.locked.state()
    }

    pub(crate) fn durable_lsn(&self) -> Lsn {
        Lsn::new(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn last_lsn(&self) -> Lsn {
        self.state().last_lsn()
    }

    pub(crate) fn first_lsn(&self) -> Lsn {
        self.state().log_first
    }

    /// What was done since the log was opened, and where it stands. Waits for nothing: a large batch may have the lock.
    pub(crate) fn stats(&self) -> Stats {
        if sabotage::is("stats-wait-for-the-log") {
            drop(self.state());
        }
        // First: it is never above the last LSN.
        let durable_lsn = self.durable_lsn();
        let mut stats = self.counters.stats();
        self.locked.figures.tell(&mut stats);
        Stats {
            durable_lsn,
            ..stats
        }
    }

    /// Where the next record goes, if nothing rotates before it.
    pub(crate) fn next_position(&self) -> Position {
        let state = self.state();
        let (segment_id, offset) = match &state.active {
            Some(active) => (active.segment.id(), state.next_record_offset()),
            None => (
                state.next_segment,
                state.first_of_next(self.settings.layout()),
            ),
        };
        Position {
            lsn: state.next_lsn,
            segment_id,
            offset,
        }
    }

    /// The error that stops a reader before `lsn`, once the log is poisoned and `lsn` is not durable.
    #[inline]
    pub(crate) fn refuses(&self, lsn: Lsn) -> Option<crate::Error> {
        if !self.poisoned.load(Ordering::Acquire) {
            return None;
        }
        let (mark, error) = self.readable();
        error.filter(|_| lsn > mark.lsn)
    }

    /// The era of the LSNs that are given now.
    #[inline]
    pub(crate) fn era(&self) -> Era {
        Era(self.era.load(Ordering::Acquire))
    }

    /// The highest LSN of era `since` that is still in the log, if there was a truncation; and the era now.
    pub(crate) fn kept_since(&self, since: Era) -> (Option<Lsn>, Era) {
        let state = self.state();
        (state.eras.kept_since(since), state.eras.now())
    }

    /// The segments that hold records of the log, oldest first.
    pub(crate) fn chain(&self) -> Arc<Vec<ChainEntry>> {
        Arc::clone(&self.state().chain)
    }

    pub(crate) fn lineage(&self) -> Lineage {
        self.lineage_of(&self.state())
    }

    fn lineage_of(&self, state: &State) -> Lineage {
        Lineage {
            log: state.log_id,
            location: self.location(),
            chain: Arc::clone(&state.chain),
            first: state.log_first,
            last: state.last_lsn(),
        }
    }

    /// How far readers of this handle may read: the records handed over, or the durable ones once the log is poisoned.
    pub(crate) fn readable(&self) -> (Mark, Option<crate::Error>) {
        let state = self.state();
        match &state.status {
            // After a failure only what is durable is shown.
            Status::Poisoned(_) if sabotage::is("poisoned-log-read-on") => (state.written, None),
            Status::Poisoned(poisoned) => (state.durable, Some(poisoned.error())),
            _ => (state.written, None),
        }
    }
}
