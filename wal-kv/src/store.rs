//! What the async and the blocking store share: the log, the index over it, and the files beside it.
//!
//! ```text
//! bound.rs      how long the log may get: writers are slowed, wait, or are refused
//! open.rs       newest good snapshot, then the log's tail, on all cores
//! call.rs       a call that may wait: for room, for a snapshot, for the disk
//! write.rs      condition, entry into the log, change of the index: under one lock that no I/O is done under
//! limits.rs     the limits of memory
//! snapshot.rs   a snapshot written aside, read back; then the log is cut
//! clock.rs      the wall clock is watched, and the store's time corrected when it was set
//! maintain.rs   when snapshots are due, keys that have expired, the thread that sees to both
//! ```
//!
//! Deliberately absent: the public calls, and what their documentation promises (`calls.rs`).

mod bound;
mod call;
mod clock;
mod limits;
mod maintain;
mod open;
mod snapshot;
#[cfg(all(test, not(wal_shuttle)))]
mod tests;
mod write;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use wal_core::blocking::Wal;
use wal_core::clock::Clock;
use wal_core::{Compression, Lsn};
use wal_io::Storage;

use crate::Result;
use crate::config::Snapshots;
use crate::index::{Hold, Index, Opened, Version};
use crate::report::{OpenReport, SnapshotReport, Stats};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, Weak};
use crate::view::{Pair, View};

use bound::Bound;
pub(crate) use call::Call;
#[cfg(feature = "tokio")]
pub(crate) use call::in_background;
pub(crate) use maintain::{Background, Driver};
pub(crate) use open::{Progress, Settings};
use write::{Attempt, Guard, Ready};

/// An open store.
pub(crate) struct Core {
    pub(crate) wal: Wal,
    index: Arc<Index>,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    snapshots: Snapshots,
    snapshot_after: u64,
    limits: Limits,
    compression: Compression,
    report: OpenReport,
    /// The last snapshot; one at a time is written.
    last_snapshot: Mutex<Option<SnapshotReport>>,
    counters: Counters,
    background: Background,
    bound: Bound,
}

/// Most bytes of memory; `None` without a limit.
#[derive(Clone, Copy, Debug)]
struct Limits {
    live: Option<u64>,
    views: Option<u64>,
}

#[derive(Debug, Default)]
struct Counters {
    /// Bytes of the log since the last snapshot.
    log_bytes: AtomicU64,
    /// Where the last write ended: segment and offset. Changed under the lock of writers.
    end_segment: AtomicU64,
    end_offset: AtomicU64,
    /// Bytes of the log at which the next snapshot is tried, after one has failed.
    retry_at: AtomicU64,
    snapshot_lsn: AtomicU64,
    /// Length of that snapshot in bytes.
    snapshot_len: AtomicU64,
    snapshots: AtomicU64,
    snapshot_bytes: AtomicU64,
    snapshot_failures: AtomicU64,
    reclaimed: AtomicU64,
    /// Nanoseconds that writers have slept near the bound.
    slowed: AtomicU64,
    /// Corrections of the store's time that are durable.
    corrections: AtomicU64,
}

impl Core {
    /// The store, known to its own background.
    pub(crate) fn shared(mut core: Self) -> Arc<Self> {
        Arc::new_cyclic(|this| {
            core.background.belong_to(Weak::<Self>::clone(this));
            core
        })
    }

    /// After [`stop`](Self::stop): waits until the thread has ended.
    pub(crate) fn join(&self) {
        self.background.join();
    }

    /// Refuses in a fork of the process that opened the store, before any lock is taken.
    pub(crate) fn check_process(&self) -> Result<()> {
        Ok(self.wal.check_process()?)
    }

    /// The log's word on what is durable.
    #[inline]
    fn durable(&self) -> u64 {
        self.wal.durable_lsn().get()
    }

    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.index.get(key, || self.durable())
    }

    #[inline]
    pub(crate) fn contains_key(&self, key: &[u8]) -> bool {
        self.index.contains_key(key, || self.durable())
    }

    pub(crate) fn pair(&self, key: &[u8]) -> Option<Pair> {
        self.index
            .version(key, || self.durable())
            .map(|version| Pair::new(version, &self.index))
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len(|| self.durable())
    }

    pub(crate) fn view(&self) -> View {
        self.open_view(false)
    }

    /// A view; `own` is the one of the store's snapshot.
    fn open_view(&self, own: bool) -> View {
        let at = self.clock.monotonic();
        let hold = Hold::now(&self.index, Opened { at, own }, || self.durable());
        View::new(hold)
    }

    pub(crate) fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Vec<Option<Bytes>> {
        let view = self.view();
        keys.iter().map(|key| view.get(key.as_ref())).collect()
    }

    pub(crate) fn report(&self) -> &OpenReport {
        &self.report
    }

    pub(crate) fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let keys = self.len() as u64;
        let jumps = self.index.time().jumps();
        let disk_bound = self.disk_bound(get(&self.counters.snapshot_len));
        let (live_bytes, kept, views, held) = {
            let ledger = self.index.ledger();
            let held = ledger.held();
            (ledger.payload(), ledger.kept(), ledger.views(), held)
        };
        let oldest_view = held
            .oldest
            .map(|at| self.clock.monotonic().saturating_sub(at));
        Stats {
            keys,
            memory_bytes: self.index.live_memory(),
            kept_bytes: self.index.kept_memory(),
            view_bytes: held.bytes,
            live_bytes,
            index_bytes: self.index.structure_bytes(),
            kept_versions: kept as u64,
            views: views as u64,
            oldest_view,
            visible_lsn: Lsn::new(self.index.visible(|| self.durable())),
            durable_lsn: self.wal.durable_lsn(),
            log_bytes: get(&self.counters.log_bytes),
            disk_bound,
            snapshot_lsn: Lsn::new(get(&self.counters.snapshot_lsn)),
            snapshots: get(&self.counters.snapshots),
            snapshot_bytes: get(&self.counters.snapshot_bytes),
            snapshot_failures: get(&self.counters.snapshot_failures),
            reclaimed: get(&self.counters.reclaimed),
            slowed: Duration::from_nanos(get(&self.counters.slowed)),
            clock_jumps: jumps.seen,
            clock_corrections: get(&self.counters.corrections),
            clock_difference: jumps.difference,
            log: self.wal.stats(),
        }
    }

    /// The value that a write finds, if it has not expired.
    fn live(&self, version: Option<Version>) -> Option<Version> {
        version.filter(|version| self.index.is_live(version))
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("location", &self.storage.location())
            .finish_non_exhaustive()
    }
}
