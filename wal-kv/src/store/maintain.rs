//! What the store does by itself: snapshots when they are due, and reclaiming keys that have expired.
//!
//! A key that has expired is gone for every read at once. A *sweep* frees its memory, after it has put a time mark into the log: a
//! record without a key that says how late it was, so that a clock that is set back while the store is closed revives nothing.
//! Deliberately absent: how a snapshot is written (`snapshot.rs`).

mod background;

use std::time::Duration;

use wal_core::Lsn;
use wal_sync::timer::{Alarm, Timer};

use super::Core;
use super::clock::Unmarked;
use crate::history::Mark;
use crate::index::Writer;
use crate::sync::{Ordering, pause};
use crate::{Error, Result};
use background::Work;
pub(crate) use background::{Background, Driver};

/// Expired keys are reclaimed so often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// At most this many at a time: writers wait meanwhile.
const SWEPT_AT_ONCE: usize = 64;

impl Core {
    /// Begins the background work, unless the caller drives.
    pub(crate) fn start(&self) -> Result<()> {
        if self.background.driver == Driver::Caller {
            return Ok(());
        }
        let timer = Timer::shared().map_err(|error| {
            let location = self.storage.location();
            Error::io(location, "starting the timer's thread", error)
        })?;
        *self.background.timer.lock() = Some(timer);
        // A log that was long already may be due for a snapshot.
        self.background.wake();
        Ok(())
    }

    /// Ends the thread soon; a snapshot that it is writing is given up.
    pub(crate) fn stop(&self) {
        self.background.stopping.store(true, Ordering::Release);
        self.background.wanted.lock().stop = true;
        self.background.condvar.notify_all();
        self.background.stop_timer();
        self.bound.wake();
    }

    /// After [`stop`](Self::stop): whether the thread has something to give up before it ends.
    pub(crate) fn is_busy(&self) -> bool {
        self.background.busy.load(Ordering::Acquire)
    }

    /// Whether something may become due that no write tells of.
    fn watches(&self) -> bool {
        self.bound.has_failed()
            || self.background.expiring.load(Ordering::Relaxed)
            || self.background.look_at.load(Ordering::Relaxed) == 0
    }

    /// Whether it is due now. A model has no time, so it may always be. Forgets a few versions meanwhile, and does no I/O.
    fn is_look_due(&self) -> bool {
        cfg!(wal_shuttle)
            || self.is_snapshot_due()
            || self.index.ledger().has_expired(self.index.now())
            || self.index.time().observe().is_some()
            || !self.index.settle(|| self.durable())
    }

    /// Has an alarm ring if something may become due.
    fn look_later(&self) {
        if self.watches() && !self.background.is_stopping() {
            self.background.ring_in(SWEEP_EVERY);
        }
    }

    /// Does what is due.
    fn tick(&self) {
        // The log may have become long enough for the next snapshot while one was written. What else is due comes in between.
        loop {
            while !self.index.settle(|| self.durable()) && !self.background.is_stopping() {
                // Reads first.
                pause();
            }
            self.sweep();
            if !self.is_snapshot_due() || self.background.is_stopping() {
                return;
            }
            match self.snapshot_of_all() {
                Ok(true) => {}
                Ok(false) => return self.look_soon(),
                Err(_) => {
                    // The counters tell of it.
                    let retry_at = self.counters.retry_at.load(Ordering::Relaxed);
                    return self.background.look_at.store(retry_at, Ordering::Relaxed);
                }
            }
        }
    }

    /// Has the next write look whether a snapshot is due.
    pub(super) fn look_soon(&self) {
        self.background.look_at.store(0, Ordering::Relaxed);
    }

    /// Writes a snapshot of all that is in the log, durable yet or not. False if there was nothing to write.
    pub(super) fn snapshot_of_all(&self) -> Result<bool> {
        let (_, written) = self.take_snapshot(None)?;
        if written {
            return Ok(true);
        }
        // Under `Always` it may be that nothing of the log is shown yet.
        self.wal.sync()?;
        Ok(self.take_snapshot(None)?.1)
    }

    /// After a write, where the caller drives.
    #[inline]
    pub(crate) fn drive(&self) {
        if self.background.driver == Driver::Caller {
            let due = std::mem::take(&mut self.background.wanted.lock().tick);
            if due || self.background.expiring.load(Ordering::Relaxed) {
                self.tick();
            }
        }
    }

    /// Whether a snapshot is due; says when to look next if it is not.
    pub(super) fn is_snapshot_due(&self) -> bool {
        let Some(due) = self.due_length() else {
            self.background.look_at.store(u64::MAX, Ordering::Relaxed);
            return false;
        };
        let due_at = due.max(self.counters.retry_at.load(Ordering::Relaxed));
        if self.log_bytes() >= due_at || self.is_retry_due() {
            return true;
        }
        self.background.look_at.store(due_at, Ordering::Relaxed);
        // A write may have passed the mark before it was set.
        if self.log_bytes() >= due_at {
            self.background.wake();
        }
        false
    }

    /// Sweeps if the last sweep is long enough ago: while the store's thread writes a snapshot, nobody else does. Where the caller
    /// drives, its writes do, and nothing is due between two of them.
    pub(super) fn sweep_meanwhile(&self) {
        let is_driven = self.background.driver == Driver::Caller;
        if is_driven || !self.background.expiring.load(Ordering::Relaxed) {
            return;
        }
        let last = Duration::from_nanos(self.background.swept_at.load(Ordering::Relaxed));
        let is_due = self.clock.monotonic().saturating_sub(last) >= SWEEP_EVERY;
        if is_due && !self.background.is_stopping() {
            self.sweep();
        }
    }

    /// Frees the keys that have expired, by the right time. Waits for room in the log, so not where a caller must not wait.
    pub(crate) fn sweep(&self) {
        if !self.background.expiring.load(Ordering::Relaxed) {
            return;
        }
        let now = u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
        self.background.swept_at.store(now, Ordering::Relaxed);
        self.follow_clock();
        let mut mark = None;
        loop {
            let mut writer = self.index.writer();
            let reclaimed = self.reclaim(&mut writer);
            drop(writer);
            match reclaimed {
                Reclaimed::Some { mark: marked } => {
                    mark = marked.or(mark);
                    // The last handle waits for this thread, and nobody needs the memory any more.
                    if self.background.is_stopping() {
                        break;
                    }
                    // Writers first.
                    pause();
                }
                Reclaimed::All { mark: marked } => {
                    mark = marked.or(mark);
                    break;
                }
                Reclaimed::NoRoom if self.wait_for_room_of_a_mark() => {}
                Reclaimed::NoRoom | Reclaimed::Refused => break,
            }
        }
        // No timer makes it durable there.
        if let Some(lsn) = mark.filter(|_| self.waits()) {
            // An error is the log's, and every write says so.
            let _ = self.wal.wait_durable(lsn);
        }
    }

    /// Frees some keys that have expired, behind a time mark in the log. Where that cannot be, they stay, hidden.
    pub(super) fn reclaim(&self, writer: &mut Writer) -> Reclaimed {
        if !self.index.settle(|| self.durable()) {
            return Reclaimed::Some { mark: None };
        }
        let now = self.index.now();
        if !self.index.ledger().has_expired(now) {
            return Reclaimed::All { mark: None };
        }
        let mut mark = None;
        // After `now`: nothing has expired that it does not cover.
        let wall = self.index.time().wall();
        if writer.marked < wall {
            match self.enter_mark(writer, Mark::Time(wall)) {
                Ok(lsn) => mark = Some(lsn),
                Err(Unmarked::NoRoom) => return Reclaimed::NoRoom,
                Err(Unmarked::Refused) => return Reclaimed::Refused,
            }
            writer.marked = wall;
        }
        let swept = self.index.sweep(now, SWEPT_AT_ONCE, writer);
        self.counters
            .reclaimed
            .fetch_add(swept as u64, Ordering::Relaxed);
        if swept == SWEPT_AT_ONCE {
            Reclaimed::Some { mark }
        } else {
            Reclaimed::All { mark }
        }
    }
}

impl Work for Core {
    fn run(&self) {
        loop {
            let watches = self.watches();
            let mut wanted = self.background.wanted.lock();
            if !wanted.stop && !wanted.tick {
                wanted = self.background.condvar.wait_for(wanted, SWEEP_EVERY);
            }
            let told = wanted.stop || wanted.tick;
            drop(wanted);
            let is_due = !told && watches && self.is_look_due();
            let mut wanted = self.background.wanted.lock();
            if wanted.stop || !(wanted.tick || is_due) {
                wanted.runs = false;
                drop(wanted);
                self.look_later();
                return;
            }
            wanted.tick = false;
            self.background.busy.store(true, Ordering::Release);
            drop(wanted);
            self.tick();
            self.background.busy.store(false, Ordering::Release);
        }
    }
}

impl Alarm for Core {
    /// Starts the thread if there is work. If the system has no thread for it, the timer's own does the work.
    fn ring(&self) {
        if self.check_process().is_err() {
            return;
        }
        let is_due = self.is_look_due();
        let mut wanted = self.background.wanted.lock();
        // A thread sees to it.
        if wanted.runs || wanted.stop {
            return;
        }
        wanted.tick |= is_due;
        let starts = wanted.tick;
        wanted.runs = starts;
        drop(wanted);
        if !starts {
            return self.look_later();
        }
        if !self.background.try_start() {
            self.background.wanted.lock().tick = false;
            self.tick();
            self.background.wanted.lock().runs = false;
            self.look_later();
        }
    }
}

/// What an attempt to free expired keys came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reclaimed {
    /// There may be more of them.
    Some {
        /// The time mark that it took.
        mark: Option<Lsn>,
    },
    /// None are left that can be freed now.
    All {
        /// The time mark that it took.
        mark: Option<Lsn>,
    },
    /// The log has no room for the time mark now.
    NoRoom,
    /// The log takes no more records.
    Refused,
}

#[cfg(all(test, not(wal_shuttle)))]
mod tests {
    use std::time::Duration;

    use wal_core::clock::ManualClock;
    use wal_io::MemoryStorage;

    use super::SWEPT_AT_ONCE;
    use crate::blocking::KvStore;
    use crate::sync::Arc;

    #[test]
    fn a_store_that_is_dropped_does_not_reclaim_all_expired_keys_first() {
        let clock = ManualClock::default();
        let store = KvStore::builder("store")
            .storage(Arc::new(MemoryStorage::new()))
            .clock(Arc::new(clock.clone()))
            .driven_by_caller()
            .open()
            .expect("a store");
        let second = Duration::from_secs(1);
        for key in 0..1000_u32 {
            let put = store.put_with_ttl(key.to_be_bytes(), "value", second);
            put.expect("put");
        }
        clock.advance(second);
        store.core().stop();
        store.core().sweep();
        assert_eq!(store.stats().reclaimed, SWEPT_AT_ONCE as u64);
    }
}
