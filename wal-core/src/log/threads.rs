//! The threads of a log. They start with work, and end about a second after the last of it. An idle log has none: an alarm starts one
//! again when there is work to come.

use std::sync::Weak;
use std::time::Duration;

use super::background::{Role, Sleep};
use super::engine::Engine;
use crate::settings::Driver;
use crate::sync::timer::{Alarm, Timer};
use crate::sync::{self, IfPanicking};
use crate::{Error, Result};

/// A thread without work ends after this time.
const IDLE: Duration = Duration::from_secs(1);
/// If the system has no more threads, another attempt is made after this time.
const RETRY: Duration = Duration::from_millis(10);

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Writer => "wal-writer",
            Self::Syncer => "wal-syncer",
            Self::Keeper => "wal-keeper",
        }
    }
}

impl Engine {
    /// Makes sure that alarms ring.
    pub(super) fn start_timer(&self) -> Result<()> {
        if self.settings.driver == Driver::Caller {
            return Ok(());
        }
        let started = Timer::shared();
        let io = |error| Error::io(self.location(), "starting the timer's thread", error);
        *self.timer.lock() = Some(started.map_err(io)?);
        Ok(())
    }

    /// Starts the thread of `role`, which counts as awake. Without a thread, the work waits for an alarm.
    pub(super) fn start(&self, role: Role) {
        if !self.try_start(role) {
            self.state()
                .background
                .set_sleep(role, Sleep::NoThread(Some(Duration::ZERO)));
            self.ring_in(RETRY);
        }
    }

    fn try_start(&self, role: Role) -> bool {
        let mut threads = self.threads.lock();
        // From here on, who stops the threads finds this one.
        let engine = self
            .this
            .upgrade()
            .filter(|_| !self.look().background.stopping);
        let Some(engine) = engine else { return true };
        match sync::spawn(role.name(), move || engine.run(role)) {
            Ok(handle) => {
                let ended = threads[role as usize].replace(handle);
                drop(threads);
                // Its work is done, and it is about to let go of the log.
                if let Some(ended) = ended.filter(|ended| !sync::is_current(ended)) {
                    let _ = ended.join();
                }
                true
            }
            Err(_) => false,
        }
    }

    /// Ends the threads and waits for them.
    pub(super) fn stop_threads(&self) {
        self.state().background.stopping = true;
        let threads = std::mem::take(&mut *self.threads.lock());
        for handle in threads.into_iter().flatten() {
            // The last owner may be one of them.
            if !sync::is_current(&handle) {
                // A thread that panicked has poisoned the log.
                let _ = handle.join();
            }
        }
        let timer = self.timer.lock().take();
        if let Some(timer) = timer {
            let alarm: Weak<dyn Alarm> = self.this.clone();
            timer.stop(&alarm);
        }
    }

    fn run(&self, role: Role) {
        let _guard = IfPanicking(|| {
            let error = std::io::Error::other("a thread of the log panicked");
            self.state().poison((format!("{role:?}"), error));
        });
        let mut rested = false;
        loop {
            if self.step(role) {
                rested = false;
                continue;
            }
            let mut state = self.state();
            let next = self.schedule(&state, role).map(|next| next.at);
            let left = next.map(|at| at.saturating_sub(self.clock.monotonic()));
            if left.is_some_and(|left| left.is_zero()) {
                continue;
            }
            let over = state.background.stopping || !state.life.is_served();
            if over || (rested && left.is_none_or(may_be_left_to_an_alarm)) {
                // Dropping the state sets an alarm for what is to come.
                state.background.set_sleep(role, Sleep::NoThread(None));
                if state.background.is_idle() && state.nothing_to_write() {
                    state.buffers.shrink();
                }
                return;
            }
            state.background.set_sleep(role, Sleep::Thread(next));
            drop(state);
            self.sleep(role, left.map_or(IDLE, |left| left.min(IDLE)));
            self.state().background.set_sleep(role, Sleep::Awake);
            rested = true;
        }
    }

    /// Work will be due at `at`, and no thread waits for it.
    pub(super) fn set_alarm(&self, at: Duration) {
        self.ring_in(at.saturating_sub(self.clock.monotonic()));
    }

    fn ring_in(&self, time: Duration) {
        if let Some(timer) = &*self.timer.lock() {
            timer.ring_in(time, self.this.clone());
        }
    }
}

/// Whether work that is due after this time needs no thread that waits for it.
fn may_be_left_to_an_alarm(left: Duration) -> bool {
    // A model has no time, so an alarm would ring at once.
    left > IDLE && !cfg!(wal_shuttle)
}

impl Alarm for Engine {
    /// Dropping the state starts the threads that have work, and sets the next alarm. If the system has no threads, the timer's own
    /// does the work that is due.
    fn ring(&self) {
        if !self.process.is_current() {
            return;
        }
        for role in Role::ALL {
            let due = {
                let mut state = self.state();
                let Sleep::NoThread(Some(_)) = state.background.sleep_of(role) else {
                    continue;
                };
                let next = self.schedule(&state, role);
                let due = next.is_some_and(|next| next.at <= self.clock.monotonic());
                // Nobody else starts one meanwhile.
                let sleep = if due {
                    Sleep::Awake
                } else {
                    Sleep::NoThread(None)
                };
                state.background.set_sleep(role, sleep);
                due
            };
            if due && !self.try_start(role) {
                while self.step(role) {}
                self.state()
                    .background
                    .set_sleep(role, Sleep::NoThread(None));
            }
        }
    }
}
