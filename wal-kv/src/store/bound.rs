//! The bound on the log: when writers are slowed, when they wait, and when they are refused.
//!
//! The *due length* is the length of the log at which a snapshot is due: `percent` of the live data, `snapshot_after` at least, and
//! the most that it was since the last snapshot. A log grows past it while the snapshot is written. From [`SLOWED`] due lengths on,
//! writes are slowed, more with each byte; at [`MOST`] they wait for the snapshot. If it has failed, they are refused, and the
//! snapshot is tried again: after a second, or after [`PAUSE`] times what the failed one took, if that is longer. A delete of a
//! key that is there is let through, because it makes the live data smaller.
//! Deliberately absent: writing snapshots (`snapshot.rs`), and the thread that does it (`maintain.rs`).

mod state;

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use wal_core::Lsn;
use wal_io::{OpenMode, Storage};

use super::{Core, Driver};
use crate::config::Snapshots;
use crate::files::snapshot_name;
use crate::index::Change;
use crate::sync::{Arc, Ordering, sleep};
use crate::{Error, Result};

pub(super) use state::Bound;
use state::{Failed, MOST, Retry, SLOWED};

/// How long after a failed snapshot one is tried again at the bound, at least.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The same in multiples of the time that the failed one took: where snapshots fail at their end, a fifth of the time goes into
/// writing them.
const PAUSE: u32 = 4;
/// What a byte costs right below the bound, in nanoseconds: 1 MB/s. It falls with the square of the distance.
const NANOS_PER_BYTE: u128 = 1000;
/// Writers sleep for this long at least, so that a sleep is not mostly waking up, and at most for [`LONGEST_SLEEP`].
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
const LONGEST_SLEEP: Duration = Duration::from_millis(100);
/// What the log keeps beside its segments: its reserve, and small files.
const BESIDE_SEGMENTS: u64 = 5 << 20;

/// Segments that hold no due length: the part before the snapshot, one write above the limit, the rest of the newest one, the next.
const BESIDE_THE_LOG: u64 = 4;
/// What a segment has beside records.
const SEGMENT_HEAD: u64 = 8 << 10;

impl Core {
    pub(super) fn log_bytes(&self) -> u64 {
        self.counters.log_bytes.load(Ordering::Relaxed)
    }

    /// The due length for the live data as it is now; `None` where no snapshot is written by itself.
    pub(super) fn due_length(&self) -> Option<u64> {
        let Snapshots::Automatic { percent } = self.snapshots else {
            return None;
        };
        let due = (self.index.ledger().snapshot_bytes() / 100).saturating_mul(u64::from(percent));
        // Three times as much must be a number.
        Some(due.max(self.snapshot_after).clamp(1, u64::MAX / 8))
    }

    /// Whether the log is too long for these changes.
    pub(super) fn is_at_bound(&self, changes: &[Change<'_>]) -> bool {
        let logged = self.log_bytes();
        if logged < self.bound.look_at.load(Ordering::Relaxed) {
            return false;
        }
        let Some(due) = self.due_length() else {
            self.bound.look_at.store(u64::MAX, Ordering::Relaxed);
            return false;
        };
        self.bound
            .set(due.max(self.bound.due.load(Ordering::Relaxed)));
        logged >= self.bound.most() && !self.all_free(changes)
    }

    /// Whether each makes the live data smaller: no key is there to be deleted twice.
    fn all_free(&self, changes: &[Change<'_>]) -> bool {
        let mut deleted = HashSet::new();
        changes.iter().all(|change| {
            let is_first = deleted.insert(change.key());
            self.frees(change) && is_first
        })
    }

    /// Whether it makes the live data smaller.
    fn frees(&self, change: &Change<'_>) -> bool {
        let Change::Delete { key } = change else {
            return false;
        };
        let newest = self.index.newest(key);
        newest.is_some_and(|version| !version.is_tombstone())
    }

    /// Begins a write.
    pub(crate) fn retry(&self) -> Retry {
        Retry {
            snapshots: self.counters.snapshots.load(Ordering::Relaxed),
            tried: false,
        }
    }

    /// Waits until a snapshot has made the log shorter than its bound. The write then tries again.
    pub(crate) fn wait_below_bound(&self, mut retry: Retry) -> Result<Retry> {
        if self.background.driver() == Driver::Caller {
            if retry.tried
                && let Some(failed) = &*self.bound.failed.lock()
            {
                return Err(self.overdue(failed));
            }
            retry.tried = true;
            // The next turn tells of a failure.
            let _ = self.snapshot_of_all();
            return Ok(retry);
        }
        let mut failed = self.bound.failed.lock();
        loop {
            if self.background.is_stopping() {
                return Err(Error::Log(wal_core::Error::Closed));
            }
            if let Some(failed) = &*failed {
                return Err(self.overdue(failed));
            }
            if self.log_bytes() < self.bound.most() {
                return Ok(retry);
            }
            self.background.wake();
            failed = self.bound.ended.wait(failed);
        }
    }

    /// After the log has found no space for a segment: a snapshot, which lets it drop some. The write then tries again.
    pub(crate) fn make_room(&self, mut retry: Retry, error: wal_core::Error) -> Result<Retry> {
        let hopeless = !matches!(error, wal_core::Error::NoSpace { .. })
            || self.snapshots == Snapshots::OnCall
            || self.log_bytes() == 0
            || retry.tried
            || self.background.is_stopping()
            || self.has_just_failed();
        if hopeless {
            return Err(Error::Log(error));
        }
        // Somebody else's may have made room meanwhile.
        match self.take_snapshot(Some(retry.snapshots)) {
            Ok((_, true)) => retry.tried = true,
            Ok((_, false)) if self.retry().snapshots != retry.snapshots => retry = self.retry(),
            Ok(_) | Err(_) => return Err(Error::Log(error)),
        }
        Ok(retry)
    }

    /// How long a write that has taken `bytes` of the log sleeps before it returns.
    pub(crate) fn slowed(&self, bytes: u64) -> Duration {
        let logged = self.log_bytes();
        if logged < self.bound.look_at.load(Ordering::Relaxed)
            || self.background.driver() == Driver::Caller
        {
            return Duration::ZERO;
        }
        let due = self.bound.due.load(Ordering::Relaxed);
        let over = u128::from(logged.saturating_sub(due * SLOWED).min(due));
        // From 0 at the beginning to 1024 at the bound.
        let share = over * 1024 / u128::from(due);
        let nanos = u128::from(bytes) * NANOS_PER_BYTE * share * share / (1024 * 1024);
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX / 2);
        let owed = self.bound.owed.fetch_add(nanos, Ordering::Relaxed);
        if Duration::from_nanos(owed.saturating_add(nanos)) < SHORTEST_SLEEP {
            return Duration::ZERO;
        }
        let owed = self.bound.owed.swap(0, Ordering::Relaxed);
        Duration::from_nanos(owed).min(LONGEST_SLEEP)
    }

    /// Sleeps as long as [`slowed`](Self::slowed) has said; returns the time that passed. The caller [counts](Self::has_slept) it.
    /// It holds nothing of the store: where it runs in the background, the store can be closed meanwhile.
    pub(crate) fn sleeper(&self, time: Duration) -> impl FnOnce() -> Duration + Send + 'static {
        let clock = Arc::clone(&self.clock);
        move || {
            let begun = clock.monotonic();
            sleep(time);
            clock.monotonic().saturating_sub(begun)
        }
    }

    /// A writer has slept for this long.
    pub(crate) fn has_slept(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counters.slowed.fetch_add(nanos, Ordering::Relaxed);
    }

    /// A snapshot failed a moment ago: another one would most likely fail too.
    fn has_just_failed(&self) -> bool {
        let failed = self.bound.failed.lock();
        self.background.driver() == Driver::Thread
            && failed
                .as_ref()
                .is_some_and(|failed| self.clock.monotonic() < failed.retry_at)
    }

    /// Whether a failed snapshot is to be tried again because writers are refused meanwhile.
    pub(super) fn is_retry_due(&self) -> bool {
        self.log_bytes() >= self.bound.most() && self.bound.has_failed() && !self.has_just_failed()
    }

    /// A snapshot has been written; the log is shorter.
    pub(super) fn snapshot_succeeded(&self) {
        let due = self.due_length().unwrap_or(u64::MAX / 8);
        self.bound.set_for_log(due, self.log_bytes());
        self.bound.owed.store(0, Ordering::Relaxed);
        *self.bound.failed.lock() = None;
        self.bound.wake();
    }

    /// A snapshot that was begun at `begun`, by the monotonic clock, could not be written.
    pub(super) fn snapshot_failed(&self, lsn: Lsn, error: &Error, begun: Duration) {
        // Not with every write from now on.
        let after = (self.bound.due.load(Ordering::Relaxed) / 4).max(self.snapshot_after);
        self.counters
            .retry_at
            .store(self.log_bytes().saturating_add(after), Ordering::Relaxed);
        let now = self.clock.monotonic();
        let took = now.saturating_sub(begun);
        let pause = took.saturating_mul(PAUSE).max(RETRY_AFTER);
        *self.bound.failed.lock() = Some(Failed {
            lsn,
            error: Arc::new(error.clone()),
            retry_at: now.saturating_add(pause),
        });
        self.bound.wake();
    }

    fn overdue(&self, failed: &Failed) -> Error {
        match &*failed.error {
            // It refuses writes by itself, and says what to do.
            Error::Log(error) if !matches!(error, wal_core::Error::NoSpace { .. }) => {
                Error::Log(error.clone())
            }
            _ => Error::SnapshotOverdue {
                location: self.storage.location(),
                name: snapshot_name(failed.lsn),
                log_bytes: self.log_bytes(),
                limit: self.bound.most(),
                source: Arc::clone(&failed.error),
            },
        }
    }

    /// Most bytes that the store takes on disk with the live data as it is now.
    pub(super) fn disk_bound(&self, last_snapshot: u64) -> Option<u64> {
        let due = self.due_length()?;
        let due = due.max(self.bound.due.load(Ordering::Relaxed));
        let writing = self.bound.writing.load(Ordering::Relaxed);
        let pairs = self.index.ledger().snapshot_bytes().max(writing);
        // Blocks have heads, and an index.
        let snapshot = pairs + pairs / 32 + (64 << 10);
        let segments = BESIDE_THE_LOG * self.bound.segment + BESIDE_SEGMENTS;
        let heads = (due * MOST / self.bound.segment.max(1)).saturating_mul(SEGMENT_HEAD);
        // With a `snapshot_after` that is never reached it is as good as none.
        let log = (due * MOST).saturating_add(heads);
        Some(log.saturating_add(segments + snapshot + last_snapshot))
    }
}

/// What segments have beside records that are there only because each session begins one. It counts as log, so that sessions with
/// few writes come to a snapshot too.
pub(super) fn heads_of_restarts(segments: u64, log_bytes: u64, segment: u64) -> u64 {
    let filled = log_bytes / segment.max(1) + BESIDE_THE_LOG;
    if segment == 0 {
        return 0;
    }
    segments.saturating_sub(filled).saturating_mul(SEGMENT_HEAD)
}

/// Bytes of the log's segments and the snapshots, and of the longest segment.
pub(super) fn taken(storage: &dyn Storage) -> io::Result<(u64, u64)> {
    let (mut all, mut longest) = (0, 0);
    for entry in storage.list()? {
        let extension = entry.name.rsplit_once('.').map(|(_, extension)| extension);
        let segment = extension == Some("wal");
        if segment || extension == Some("snapshot") {
            let len = storage.open(&entry.name, OpenMode::Read)?.len()?;
            all += len;
            longest = longest.max(if segment { len } else { 0 });
        }
    }
    Ok((all, longest))
}
