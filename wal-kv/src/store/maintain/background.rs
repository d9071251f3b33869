//! The state that a store shares with the thread that maintains it, and when there is such a thread.

use std::fmt;
use std::time::Duration;

use wal_core::FsyncPolicy;
use wal_sync::timer::{Alarm, Timer};

use crate::sync::{AtomicBool, AtomicU64, Condvar, JoinHandle, Mutex, Ordering, Weak, spawn};

/// If the system has no thread for the store, another attempt is made after this time.
const RETRY: Duration = Duration::from_millis(10);

/// What the thread does.
pub(crate) trait Work: Alarm {
    /// Returns when the thread is to end.
    fn run(&self);
}

impl fmt::Debug for dyn Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

/// Nobody's.
struct Nothing;

impl Alarm for Nothing {
    fn ring(&self) {}
}

impl Work for Nothing {
    fn run(&self) {}
}

/// Who runs what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// A thread of the store's own.
    Thread,
    /// Whoever writes. Deterministic.
    Caller,
}

/// The thread, or what stands in for it. An idle store has none.
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
    /// It starts with work, and ends some time after the last of it.
    thread: Mutex<Option<JoinHandle<()>>>,
    work: Weak<dyn Work>,
    pub(in crate::store) timer: Mutex<Option<Timer>>,
}

#[derive(Debug, Default)]
pub(in crate::store) struct Wanted {
    pub(in crate::store) tick: bool,
    pub(in crate::store) stop: bool,
    /// There is a thread, or one is about to be started.
    pub(in crate::store) runs: bool,
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
            thread: Mutex::default(),
            work: Weak::<Nothing>::new(),
            timer: Mutex::default(),
        }
    }

    /// What its thread does.
    pub(crate) fn belong_to(&mut self, work: Weak<dyn Work>) {
        self.work = work;
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
        let mut wanted = self.wanted.lock();
        wanted.tick = true;
        let starts = self.driver == Driver::Thread && !wanted.runs && !wanted.stop;
        wanted.runs |= starts;
        drop(wanted);
        if starts {
            self.start();
        } else {
            self.condvar.notify_all();
        }
    }

    /// Starts the thread, which counts as running.
    fn start(&self) {
        if !self.try_start() {
            self.wanted.lock().runs = false;
            self.ring_in(RETRY);
        }
    }

    pub(in crate::store) fn try_start(&self) -> bool {
        let mut thread = self.thread.lock();
        // From here on, who stops the thread finds this one.
        let work = self.work.upgrade();
        let Some(work) = work.filter(|_| !self.wanted.lock().stop) else {
            // It ends; or it is being opened, and then asks again.
            self.wanted.lock().runs = false;
            return true;
        };
        match spawn("wal-kv", move || work.run()) {
            Ok(handle) => {
                let ended = thread.replace(handle);
                drop(thread);
                // Its work is done, and it is about to let go of the store.
                if let Some(ended) = ended {
                    let _ = ended.join();
                }
                true
            }
            Err(_) => false,
        }
    }

    pub(in crate::store) fn ring_in(&self, time: Duration) {
        if let Some(timer) = &*self.timer.lock() {
            timer.ring_in(time, self.work.clone());
        }
    }

    /// After a stop: waits until the thread has ended.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A thread that panicked has nothing to finish.
            let _ = thread.join();
        }
    }

    /// After a stop: no alarm rings any more.
    pub(in crate::store) fn stop_timer(&self) {
        let timer = self.timer.lock().take();
        if let Some(timer) = timer {
            let alarm: Weak<dyn Alarm> = self.work.clone();
            timer.stop(&alarm);
        }
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
        if !self.wanted.lock().tick {
            self.wake();
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
