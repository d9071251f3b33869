//! The times that groups carry, from version 2 of the format on.
//!
//! They follow the boot-time clock, anchored at the later of the wall clock and the latest time in the log. A group has the time
//! at which it ends, so none of its records is later. A correction may set the clock back between two groups. The next group of
//! records says so.

use std::time::Duration;

use wal_format::UnixMillis;

use crate::clock::{AnchoredClock, Clock};

/// The log's own time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dates {
    clock: AnchoredClock,
    /// The time of the last group, or of the latest one in the log.
    now: UnixMillis,
    /// The clock was set back after that group.
    set_back: bool,
}

impl Dates {
    /// `latest` is the latest time in the log.
    pub(super) fn new(clock: &dyn Clock, latest: UnixMillis) -> Self {
        let known = Duration::from_millis(latest.get());
        let clock = AnchoredClock::new(clock.wall(), clock.boot(), known);
        Self {
            clock,
            now: latest,
            set_back: false,
        }
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.now
    }

    /// The time of a group that would end now.
    pub(super) fn time(&self, clock: &dyn Clock) -> UnixMillis {
        millis(self.clock.time(clock.boot()))
    }

    /// A group ends. A correction takes place after it.
    pub(super) fn look(&mut self, clock: &dyn Clock) {
        let (wall, boot) = (clock.wall(), clock.boot());
        self.now = millis(self.clock.time(boot));
        if let Some(offset) = self.clock.observe(wall, boot) {
            self.clock.correct(offset);
            let after = millis(self.clock.time(boot));
            self.set_back |= after < self.now;
        }
    }

    /// Whether the next group of records has to say that the clock was set back.
    pub(super) fn take_set_back(&mut self) -> bool {
        std::mem::take(&mut self.set_back)
    }
}

fn millis(time: Duration) -> UnixMillis {
    UnixMillis::new(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
