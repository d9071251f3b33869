//! The engine of a log that is open for writing, and the ways to its state.
//!
//! [`Engine::look`] shows the state. [`Engine::state`] lets a step change it: when the guard is dropped, all whom the change concerns
//! are told, after the lock is released. I/O never happens under the lock: a step takes a [`Right`] for it.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Weak;
use std::task::Waker;
use std::time::Duration;

use wal_io::{Process, Storage, StorageLock};

use super::background::{Role, Sleep, Work};
use super::figures::Locked;
use super::lifecycle::Lifecycle;
use super::progress::Scope;
use super::rights::{SYNC, WRITE};
use super::state::State;
use crate::clock::Clock;
use crate::directory::check_process;
use crate::entropy::Entropy;
use crate::segment::Files;
use crate::settings::{Driver, Settings};
use crate::stats::Counters;
use crate::sync::timer::Timer;
use crate::sync::{
    Arc, AtomicBool, Condvar, JoinHandle, Mutex, MutexGuard, is_panicking, wake_all,
};
use crate::{Error, Poisoned, Result};

/// A log open for writing.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The process that opened it. No other may use it.
    pub(crate) process: Process,
    pub(crate) storage: Arc<dyn Storage>,
    /// The open files of its readers.
    pub(crate) files: Arc<Files>,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) locked: Locked,
    /// Whether the last sync took no time to speak of.
    pub(super) quick: AtomicBool,
    /// Where the background threads sleep.
    roles: [Condvar; 3],
    /// Where leaders sleep until a right is given back.
    leaders: Condvar,
    /// One directory sync at a time; how one has failed.
    pub(super) dir_sync: Mutex<Option<io::Error>>,
    pub(crate) counters: Counters,
    /// One writer, as long as it lives.
    pub(super) lock: Mutex<Option<Box<dyn StorageLock>>>,
    pub(super) threads: Mutex<[Option<JoinHandle<()>>; 3]>,
    /// As long as it may have work for its threads.
    pub(super) timer: Mutex<Option<Timer>>,
    /// For its threads and alarms.
    pub(super) this: Weak<Self>,
}

/// What the engine is made of.
pub(super) struct Parts {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) lock: Option<Box<dyn StorageLock>>,
    pub(super) state: State,
}

impl Engine {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            process: Process::current(),
            files: Files::new(Arc::clone(&parts.storage)),
            storage: parts.storage,
            settings: parts.settings,
            clock: parts.clock,
            entropy: parts.entropy,
            locked: Locked::new(parts.state),
            quick: AtomicBool::new(false),
            roles: <[Condvar; 3]>::default(),
            leaders: Condvar::default(),
            dir_sync: Mutex::new(None),
            counters: Counters::default(),
            lock: Mutex::new(parts.lock),
            threads: Mutex::new([None, None, None]),
            timer: Mutex::new(None),
            this: Weak::clone(this),
        })
    }

    /// Refuses in a fork of the process that opened the log.
    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        check_process(&self.process, &*self.storage)
    }

    pub(crate) fn location(&self) -> String {
        self.storage.location()
    }

    /// The state, to look at.
    pub(super) fn look(&self) -> impl Deref<Target = State> {
        self.locked.state()
    }

    /// The state, to change it.
    pub(super) fn state(&self) -> StateGuard<'_> {
        self.guard(self.locked.state())
    }

    /// The same for a step that has the lock.
    pub(super) fn guard<'a>(&'a self, state: MutexGuard<'a, State>) -> StateGuard<'a> {
        StateGuard {
            engine: self,
            state: Some(state),
        }
    }

    /// Does a step. If another thread is at it, nothing. After an error the state has it.
    pub(super) fn perform(&self, mut state: StateGuard<'_>, work: Work) -> Result<()> {
        if !matches!(
            work,
            Work::HandOver | Work::Commit | Work::Close | Work::Rewind
        ) {
            state.background.last = work;
        }
        match work {
            Work::HandOver => {
                with::<WRITE>(state, |right, state| self.write_one(right, state).map(drop))
            }
            Work::Commit => with(state, |right, mut state| {
                state.background.commit_requested = false;
                self.commit(right, state)
            }),
            Work::Close => with(state, |right, mut state| {
                state.background.close_requested = false;
                self.finish_close(right, state)
            }),
            Work::Rewind => with(state, |right, mut state| {
                state.buffers.shut_gate();
                self.rewind(right, state)
            }),
            Work::SyncRotated => with::<SYNC>(state, |right, state| {
                let mut state = self.sync_files(&right, state, Scope::Rotated)?;
                state.give_back(right);
                Ok(())
            }),
            Work::Extend => with(state, |right, state| {
                self.extend(right, state);
                Ok(())
            }),
            Work::MakeSpare => with(state, |right, state| self.make_spare(right, state)),
            Work::Seal => with(state, |right, state| self.seal(right, state)),
            Work::GiveBack => with(state, |right, state| {
                self.give_back(right, state);
                Ok(())
            }),
            Work::Retire => with(state, |right, state| self.retire(right, state)),
            Work::Stamp => with(state, |right, mut state| {
                let (serial, watermark) = (state.buffers.serial(), state.progress.durable().lsn);
                state.date_group(&*self.clock);
                let buffers = &mut state.buffers;
                buffers.add_group(watermark, |filling| filling.stamp(watermark));
                state.changes.stamp(serial);
                self.commit(right, state)
            }),
            Work::Prewrite => with(state, |right, state| {
                self.prewrite(right, state);
                Ok(())
            }),
        }
    }

    /// Whom a change concerns. Called under the lock; nobody is told yet.
    fn effects(&self, state: &mut State) -> Effects {
        let over = state.background.stopping || !state.life.is_served();
        let released = state.rights.take_released() || over;
        let mut effects = Effects {
            wakers: state.waiters.take_woken(),
            leaders: released && state.background.leaders > 0,
            ..Effects::default()
        };
        if self.settings.driver == Driver::Caller {
            return effects;
        }
        for role in Role::ALL {
            let sleep = state.background.sleep_of(role);
            let at = if over {
                Duration::ZERO
            } else {
                match self.schedule(state, role) {
                    Some(next) if sleep.misses(next.at) => next.at,
                    _ => continue,
                }
            };
            let told = match sleep {
                Sleep::Awake => continue,
                Sleep::Thread(_) => {
                    effects.signal[role as usize] = true;
                    Sleep::Awake
                }
                Sleep::NoThread(_) if over => continue,
                // A model has no time, so no alarm rings in it.
                Sleep::NoThread(_) if at.is_zero() || cfg!(wal_shuttle) => {
                    effects.start[role as usize] = true;
                    Sleep::Awake
                }
                Sleep::NoThread(_) => {
                    effects.alarm = Some(effects.alarm.map_or(at, |alarm| alarm.min(at)));
                    Sleep::NoThread(Some(at))
                }
            };
            state.background.set_sleep(role, told);
        }
        effects
    }

    /// Tells all whom a change concerns. The lock is released.
    fn apply(&self, effects: Effects) {
        for role in Role::ALL {
            if effects.signal[role as usize] {
                self.roles[role as usize].notify_all();
            }
            if effects.start[role as usize] {
                self.start(role);
            }
        }
        if effects.leaders {
            self.leaders.notify_all();
        }
        if let Some(at) = effects.alarm {
            self.set_alarm(at);
        }
        wake_all(effects.wakers);
    }

    /// Sleeps until the thread of `role` is woken or `limit` is over. It has said under the lock that it sleeps.
    pub(super) fn sleep(&self, role: Role, limit: Duration) {
        let state = self.locked.state();
        if matches!(state.background.sleep_of(role), Sleep::Thread(_)) {
            drop(self.roles[role as usize].wait_for(state, limit));
        }
    }
}

/// Whom a change of the state concerns.
#[derive(Default)]
struct Effects {
    wakers: Vec<Waker>,
    leaders: bool,
    /// Threads to wake and to start.
    signal: [bool; 3],
    start: [bool; 3],
    /// When the next work is due that no thread waits for.
    alarm: Option<Duration>,
}

/// The state's lock, for a step. See [`Engine::state`].
#[derive(Debug)]
pub(super) struct StateGuard<'a> {
    engine: &'a Engine,
    /// There until it is dropped.
    state: Option<MutexGuard<'a, State>>,
}

impl Deref for StateGuard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.state
            .as_ref()
            .expect("a guard has its lock until it is dropped")
    }
}

impl DerefMut for StateGuard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state
            .as_mut()
            .expect("a guard has its lock until it is dropped")
    }
}

impl<'a> StateGuard<'a> {
    /// Takes the rights `WHICH`, if all of them are free.
    pub(super) fn take<const WHICH: u16>(&mut self) -> Option<Right<'a, WHICH>> {
        let engine = self.engine;
        self.rights.take(WHICH).then(|| Right {
            engine,
            panicking: is_panicking(),
            held: true,
        })
    }

    /// Gives a right back.
    pub(super) fn give_back<const WHICH: u16>(&mut self, mut right: Right<'_, WHICH>) {
        right.held = false;
        self.rights.give_back(WHICH);
    }

    /// Lets the lock go after a look, or after a waiter was registered: that concerns nobody.
    pub(super) fn leave(mut self) {
        drop(self.state.take());
    }

    /// Lets the lock go until the rights `which` are free or the log is poisoned.
    pub(super) fn until_free(self, which: u16) -> Self {
        let engine = self.engine;
        drop(self);
        let mut state = engine.locked.state();
        while !state.rights.are_free(which) && state.life.poisoned().is_none() {
            state.background.leaders += 1;
            state = engine.leaders.wait(state);
            state.background.leaders -= 1;
        }
        engine.guard(state)
    }

    /// Poisons the log and wakes everyone; returns the error. The first cause stays.
    pub(super) fn poison(mut self, (during, cause): (String, io::Error)) -> Error {
        if self.life.poisoned().is_none() {
            let poisoned = Poisoned {
                location: self.engine.location(),
                durable_lsn: self.progress.durable().lsn,
                lsn: None,
                during,
                cause: Arc::new(cause),
            };
            self.set_lifecycle(Lifecycle::Poisoned(poisoned));
        }
        // Nobody waits for ever.
        self.waiters.wake_all();
        self.life.ended().unwrap_or(Error::Closed)
    }
}

impl Drop for StateGuard<'_> {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take() else {
            return;
        };
        let engine = self.engine;
        engine.locked.changed(&state);
        let effects = engine.effects(&mut state);
        drop(state);
        engine.apply(effects);
    }
}

/// The right to do some I/O; see [`rights`](super::rights). A function that has it and a [`StateGuard`] takes the right first: then the
/// lock is released before the right is dropped.
///
/// A step that panics poisons the log: what it has done is unknown.
#[derive(Debug)]
#[must_use]
pub(super) struct Right<'a, const WHICH: u16> {
    engine: &'a Engine,
    /// The thread was panicking already when it took the right.
    panicking: bool,
    held: bool,
}

impl<const WHICH: u16> Drop for Right<'_, WHICH> {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let mut state = self.engine.state();
        state.rights.give_back(WHICH);
        if is_panicking() && !self.panicking {
            let cause = io::Error::other("the storage panicked");
            state.poison((super::rights::name(WHICH).to_owned(), cause));
        }
    }
}

/// Does a step with the rights that it needs, if they are free.
fn with<'a, const WHICH: u16>(
    mut state: StateGuard<'a>,
    step: impl FnOnce(Right<'a, WHICH>, StateGuard<'a>) -> Result<()>,
) -> Result<()> {
    match state.take() {
        Some(right) => step(right, state),
        None => Ok(()),
    }
}
