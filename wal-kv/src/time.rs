//! The time by which keys expire. It follows the boot-time clock, which counts a suspend and which nobody sets.
//!
//! The *steady* time is the wall clock's at open (or the highest that is known from the disk) plus what the boot-time clock has
//! counted since. The store's own wall-clock time is that plus the *offset*, which is 0 at open and changes with a correction. Keys
//! that were written since the store was opened expire by the steady time: a correction does not touch them. Keys that were
//! there at open came with an expiry by the wall clock, and are compared with it, except that what has expired once stays so.
//!
//! The log has every expiry by the wall clock, as the offset was when the record was written; a correction leaves a mark in the
//! log, and [`history`](crate::history) moves what was written before it. Deliberately absent: when the wall clock is looked at, and
//! how a correction gets into the log (`store/clock.rs`).

use std::time::Duration;

use wal_core::UnixMillis;
use wal_core::clock::{AnchoredClock, Clock};

use crate::history::{Correction, shifted};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering};

/// What the clocks of both kinds of keys show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// The first LSN since the store was opened.
    pub(crate) first: u64,
    /// For keys that were written since: the steady time.
    pub(crate) written: UnixMillis,
    /// For keys that were there: the wall clock's, which does not go back for them.
    pub(crate) loaded: UnixMillis,
}

impl Now {
    /// The time for a version that was written at `lsn`.
    pub(crate) fn of(&self, lsn: u64) -> UnixMillis {
        if lsn < self.first {
            self.loaded
        } else {
            self.written
        }
    }
}

/// The time of an open store.
#[derive(Debug)]
pub(crate) struct Time {
    clock: Arc<dyn Clock>,
    /// Gives the steady time; never corrected.
    steady: AnchoredClock,
    /// The first LSN since the store was opened.
    first: u64,
    /// Milliseconds, an `i64`. Changed under the lock of writers.
    offset: AtomicU64,
    /// A correction is being made: the time of loaded keys stands still.
    correcting: AtomicBool,
    /// The latest time that was shown to a loaded key.
    latest: AtomicU64,
    /// Compares with the wall clock.
    watch: Mutex<AnchoredClock>,
}

/// What is known of jumps of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jumps {
    pub(crate) seen: u64,
    /// Milliseconds by which the wall clock is ahead of the store's time.
    pub(crate) difference: i64,
}

fn millis(time: Duration) -> UnixMillis {
    UnixMillis::new(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl Time {
    /// Before the disk was read.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let steady = AnchoredClock::new(clock.wall(), clock.boot(), Duration::ZERO);
        Self {
            clock,
            steady,
            first: 0,
            offset: AtomicU64::new(0),
            correcting: AtomicBool::new(false),
            latest: AtomicU64::new(0),
            watch: Mutex::new(steady),
        }
    }

    /// The disk was read: it was as late as `known` before, and the next LSN is `first`.
    pub(crate) fn begin(&mut self, known: UnixMillis, first: u64) {
        let (wall, boot) = (self.clock.wall(), self.boot());
        let mut watch = AnchoredClock::new(wall, boot, Duration::from_millis(known.get()));
        self.steady = watch;
        // If the wall clock was set back meanwhile, it may be right.
        watch.observe(wall, boot);
        self.watch = Mutex::new(watch);
        self.first = first;
        self.latest = AtomicU64::new(millis(self.steady.steady(boot)).get());
    }

    /// The first LSN since the store was opened.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    fn boot(&self) -> Duration {
        self.clock.boot()
    }

    fn steady_exactly(&self) -> Duration {
        self.steady.steady(self.boot())
    }

    fn steady(&self) -> UnixMillis {
        millis(self.steady_exactly())
    }

    /// When a key expires that lives for `ttl` from now on, by the steady time: rounded up, so that it never lives shorter.
    pub(crate) fn after(&self, ttl: Duration) -> UnixMillis {
        let at = self.steady_exactly().saturating_add(ttl);
        let at = at.as_nanos().div_ceil(1_000_000);
        UnixMillis::new(u64::try_from(at).unwrap_or(u64::MAX))
    }

    /// Milliseconds by which the wall-clock time that the store goes by is ahead of the steady time.
    pub(crate) fn offset(&self) -> i64 {
        self.offset.load(Ordering::SeqCst).cast_signed()
    }

    /// The wall-clock time that the store goes by.
    pub(crate) fn wall(&self) -> UnixMillis {
        shifted(self.steady(), self.offset())
    }

    /// The time for a version that was written at `lsn`.
    #[inline]
    pub(crate) fn of(&self, lsn: u64) -> UnixMillis {
        if lsn < self.first {
            self.loaded()
        } else {
            self.steady()
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            first: self.first,
            written: self.steady(),
            loaded: self.loaded(),
        }
    }

    /// The time for keys that were there at open. What has expired once stays so, also when the time is corrected.
    fn loaded(&self) -> UnixMillis {
        // Before the flag: who has not seen it has looked at the clock before the correction does.
        let steady = self.steady();
        if self.correcting.load(Ordering::SeqCst) {
            return UnixMillis::new(self.latest.load(Ordering::SeqCst));
        }
        let shown = shifted(steady, self.offset());
        let mut latest = self.latest.load(Ordering::SeqCst);
        if latest < shown.get() {
            latest = self.latest.fetch_max(shown.get(), Ordering::SeqCst);
        }
        shown.max(UnixMillis::new(latest))
    }

    /// Compares with the wall clock. An offset is returned if the time is to be corrected.
    pub(crate) fn observe(&self) -> Option<i64> {
        let mut watch = self.watch.lock();
        watch.observe(self.clock.wall(), self.boot())
    }

    /// Changes the offset, if `enter` gets the correction into the log. Under the lock of writers.
    pub(crate) fn correct<T, E>(
        &self,
        offset: i64,
        enter: impl FnOnce(Correction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.correcting.store(true, Ordering::SeqCst);
        // After the flag: no key has been shown as expired that expires later than this.
        let steady = self.steady();
        let before = shifted(steady, self.offset());
        self.latest.fetch_max(before.get(), Ordering::SeqCst);
        let entered = enter(Correction {
            first: self.first,
            before,
            after: shifted(steady, offset),
        });
        if entered.is_ok() {
            self.offset.store(offset.cast_unsigned(), Ordering::SeqCst);
            self.watch.lock().correct(offset);
        }
        self.correcting.store(false, Ordering::SeqCst);
        entered
    }

    pub(crate) fn jumps(&self) -> Jumps {
        let watch = self.watch.lock();
        Jumps {
            seen: watch.jumps(),
            difference: watch.difference(self.clock.wall(), self.boot()),
        }
    }
}
