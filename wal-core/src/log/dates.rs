//! The times that groups carry, from version 2 of the format on.
//!
//! They follow the boot-time clock, anchored at the later of the wall clock and the latest time in the log. A correction may set
//! them back. Then a stamp carries the time before it, and the next group of records says that the clock was set back: so what is
//! looked for by time is never missed.

use std::time::Duration;

use wal_format::{Alignment, GROUP_HEADER_LEN, UnixMillis, Version};

use super::Engine;
use super::state::State;
use crate::clock::{AnchoredClock, Clock};
use crate::sabotage;

/// The log's own time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dates {
    clock: AnchoredClock,
    /// The time of groups that are begun now.
    now: UnixMillis,
    /// The time before the clock was set back, until a stamp says it.
    set_back_from: Option<UnixMillis>,
}

impl Dates {
    /// `latest` is the latest time in the log.
    pub(crate) fn new(clock: &dyn Clock, latest: UnixMillis) -> Self {
        let known = Duration::from_millis(latest.get());
        let clock = AnchoredClock::new(clock.wall(), clock.boot(), known);
        Self {
            clock,
            now: latest,
            set_back_from: None,
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.now
    }

    fn look(&mut self, clock: &dyn Clock) {
        let (wall, boot) = (clock.wall(), clock.boot());
        let before = millis(self.clock.time(boot));
        if let Some(offset) = self.clock.observe(wall, boot) {
            self.clock.correct(offset);
            let after = millis(self.clock.time(boot));
            if after < before && !sabotage::is("clock-set-back-unsaid") {
                self.set_back_from.get_or_insert(before);
            }
        }
        self.now = millis(self.clock.time(boot));
    }
}

fn millis(time: Duration) -> UnixMillis {
    UnixMillis::new(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl State {
    /// Bytes of file that a group of records needs before it, because the clock was set back.
    pub(super) fn before_group(&self, alignment: Alignment) -> u64 {
        let stamp = self.dates.set_back_from.map(|_| GROUP_HEADER_LEN as u64);
        alignment.round_up(stamp.unwrap_or(0))
    }

    /// Dates the group of records that is begun now.
    pub(super) fn date(&mut self) {
        if let Some(before) = self.dates.set_back_from.take() {
            self.filling.set_time(before);
            self.filling.stamp(self.durable.lsn);
            self.filling_watermark = self.durable.lsn;
            self.filling.set_back();
            if let Some(active) = &mut self.active {
                active.index.reach(before);
            }
        }
        self.filling.set_time(self.dates.now);
    }
}

impl Engine {
    /// Before a group of records is begun: what time is it?
    pub(super) fn look_at_clock(&self, state: &mut State) {
        if self.settings.version >= Version::V2 && !state.filling.is_group_open() {
            state.dates.look(&*self.clock);
        }
    }
}
