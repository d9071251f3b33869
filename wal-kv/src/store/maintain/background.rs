//! The state that a store shares with the thread that maintains it.

use wal_core::FsyncPolicy;

use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering};

/// Who runs what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// A thread of the store's own.
    Thread,
    /// Whoever writes. Deterministic.
    Caller,
}

/// The thread, or what stands in for it.
#[derive(Debug)]
pub(crate) struct Background {
    pub(in crate::store) policy: FsyncPolicy,
    pub(in crate::store) driver: Driver,
    pub(in crate::store) wanted: Mutex<Wanted>,
    pub(in crate::store) condvar: Condvar,
    /// Bytes of the log at which to look whether a snapshot is due.
    pub(in crate::store) look_at: AtomicU64,
    pub(in crate::store) expiring: AtomicBool,
    /// When the last sweep began, in nanoseconds of the monotonic clock.
    pub(in crate::store) swept_at: AtomicU64,
    pub(in crate::store) stopping: AtomicBool,
    /// The thread is at work, and not waiting for some.
    pub(in crate::store) busy: AtomicBool,
}

#[derive(Debug, Default)]
pub(in crate::store) struct Wanted {
    pub(in crate::store) tick: bool,
    pub(in crate::store) stop: bool,
}

impl Background {
    pub(in crate::store) fn new(policy: FsyncPolicy, driver: Driver) -> Self {
        Self {
            policy,
            driver,
            wanted: Mutex::default(),
            condvar: Condvar::default(),
            look_at: AtomicU64::new(0),
            expiring: AtomicBool::new(false),
            swept_at: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            busy: AtomicBool::new(false),
        }
    }

    pub(in crate::store) fn policy(&self) -> FsyncPolicy {
        self.policy
    }

    pub(in crate::store) fn driver(&self) -> Driver {
        self.driver
    }

    pub(in crate::store) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(in crate::store) fn wake(&self) {
        self.wanted.lock().tick = true;
        self.condvar.notify_all();
    }

    /// The log has this many bytes since the last snapshot.
    #[inline]
    pub(in crate::store) fn logged(&self, bytes: u64) {
        if bytes >= self.look_at.load(Ordering::Relaxed) {
            // Not again before the thread has looked.
            self.look_at.store(u64::MAX, Ordering::Relaxed);
            self.wake();
        }
    }

    /// Versions wait to be forgotten, more than a write sees to.
    pub(in crate::store) fn has_backlog(&self) {
        let mut wanted = self.wanted.lock();
        if !wanted.tick {
            wanted.tick = true;
            self.condvar.notify_all();
        }
    }

    #[inline]
    pub(in crate::store) fn has_expiring_keys(&self) {
        if !self.expiring.load(Ordering::Relaxed) {
            self.expiring.store(true, Ordering::Relaxed);
            self.wake();
        }
    }
}
