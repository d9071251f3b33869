//! The times that groups carry, from version 2 of the format on.
//!
//! They follow the boot-time clock, anchored at the later of the wall clock and the latest time in the log. A group has the time
//! at which it ends, so none of its records is later. A correction may set the clock back between two groups. The next group of
//! records says so.

use std::time::Duration;

use wal_format::{UnixMillis, Version};

use super::Engine;
use super::state::State;
use crate::clock::{AnchoredClock, Clock};
use crate::sabotage;

/// The log's own time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dates {
    clock: AnchoredClock,
    /// The time of the last group, or of the latest one in the log.
    now: UnixMillis,
    /// The clock was set back after that group.
    set_back: bool,
}

impl Dates {
    /// `latest` is the latest time in the log.
    pub(crate) fn new(clock: &dyn Clock, latest: UnixMillis) -> Self {
        let known = Duration::from_millis(latest.get());
        let clock = AnchoredClock::new(clock.wall(), clock.boot(), known);
        Self {
            clock,
            now: latest,
            set_back: false,
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.now
    }

    /// The time of a group that would end now.
    fn time(&self, clock: &dyn Clock) -> UnixMillis {
        millis(self.clock.time(clock.boot()))
    }

    /// A group ends. A correction takes place after it.
    fn look(&mut self, clock: &dyn Clock) {
        let (wall, boot) = (clock.wall(), clock.boot());
        self.now = millis(self.clock.time(boot));
        if let Some(offset) = self.clock.observe(wall, boot) {
            self.clock.correct(offset);
            let after = millis(self.clock.time(boot));
            self.set_back |= after < self.now && !sabotage::is("clock-set-back-unsaid");
        }
    }
}

fn millis(time: Duration) -> UnixMillis {
    UnixMillis::new(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl Engine {
    /// What the log's clock shows.
    pub(crate) fn time(&self) -> UnixMillis {
        self.state().dates.time(&*self.clock)
    }
}

impl State {
    /// A group of records is begun now.
    pub(super) fn note_group(&mut self, clock: &dyn Clock) {
        if sabotage::is("group-dated-when-it-begins") {
            self.dates.look(clock);
        }
        let (first_lsn, offset) = (self.filling.next_lsn(), self.filling.end());
        if let Some(active) = &mut self.active {
            active.index.group(first_lsn, offset);
        }
        if std::mem::take(&mut self.dates.set_back) {
            self.filling.set_back();
        }
    }

    /// Dates the group of records that ends now, if one is open. Call it before anything that closes it.
    pub(super) fn date_group(&mut self, clock: &dyn Clock) {
        let Some(active) = &mut self.active else {
            return;
        };
        if active.segment.header.version < Version::V2 || !self.filling.is_group_open() {
            return;
        }
        // No record of the group is later than the group.
        if !sabotage::is("group-dated-when-it-begins") {
            self.dates.look(clock);
        }
        let now = self.dates.now;
        self.filling.set_time(now);
        active.index.group_end(now);
    }
}
