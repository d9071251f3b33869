//! Where the log stands, as seen by its bound.

use std::time::Duration;

use wal_core::Lsn;

use crate::Error;
use crate::sync::{Arc, AtomicU64, Condvar, Mutex, Ordering};

/// Due lengths of the log from which on writes are slowed.
pub(in crate::store) const SLOWED: u64 = 2;
/// Due lengths of the log that it has at most, and one write more.
pub(in crate::store) const MOST: u64 = 3;

/// Where the log stands, as seen by its bound.
#[derive(Debug)]
pub(in crate::store) struct Bound {
    /// The due length: the most since the last snapshot.
    pub(in crate::store) due: AtomicU64,
    /// Bytes of the log from which on a write has to look.
    pub(in crate::store) look_at: AtomicU64,
    /// Bytes of the pairs of the snapshot that is being written: there may be fewer by now.
    pub(in crate::store) writing: AtomicU64,
    /// Nanoseconds that writers have not slept yet.
    pub(in crate::store) owed: AtomicU64,
    /// The last snapshot, if it failed.
    pub(in crate::store) failed: Mutex<Option<Failed>>,
    /// A snapshot has ended, well or not.
    pub(in crate::store) ended: Condvar,
    /// Length of the longest segment of the log, there or to come.
    pub(in crate::store) segment: u64,
}

/// A snapshot that could not be written.
#[derive(Debug)]
pub(in crate::store) struct Failed {
    pub(in crate::store) lsn: Lsn,
    pub(in crate::store) error: Arc<Error>,
    /// By the monotonic clock: not to be tried again before.
    pub(in crate::store) retry_at: Duration,
}

/// What a write has tried so far to get room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    /// Snapshots that had been written.
    pub(in crate::store) snapshots: u64,
    pub(in crate::store) tried: bool,
}

impl Bound {
    pub(in crate::store) fn new(segment: u64) -> Self {
        Self {
            due: AtomicU64::new(1),
            look_at: AtomicU64::new(0),
            writing: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            failed: Mutex::default(),
            ended: Condvar::default(),
            segment,
        }
    }

    pub(in crate::store) fn set(&self, due: u64) {
        self.due.store(due, Ordering::Relaxed);
        self.look_at.store(due * SLOWED, Ordering::Relaxed);
    }

    /// Sets the due length after an open or a snapshot. The `log_bytes` bytes that the log has may have been written when there was
    /// more data, and more was due.
    pub(in crate::store) fn set_for_log(&self, due: u64, log_bytes: u64) {
        self.set(due.max(log_bytes / MOST));
    }

    /// A snapshot of `bytes` bytes of pairs is being written; 0 if none is.
    pub(in crate::store) fn set_writing(&self, bytes: u64) {
        self.writing.store(bytes, Ordering::Relaxed);
    }

    pub(in crate::store) fn most(&self) -> u64 {
        self.due.load(Ordering::Relaxed) * MOST
    }

    /// Whether the last snapshot failed.
    pub(in crate::store) fn has_failed(&self) -> bool {
        self.failed.lock().is_some()
    }

    /// Wakes those who wait for a snapshot.
    pub(in crate::store) fn wake(&self) {
        // Taking the lock makes sure that a writer which has already checked is waiting by now.
        drop(self.failed.lock());
        self.ended.notify_all();
    }
}
