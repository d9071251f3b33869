//! One thread that rings alarms, for all logs and stores of the process. So a log or a store that waits for a time needs no thread of
//! its own.
//!
//! Deliberately absent: the model checker, which has no time. Nothing sets an alarm under it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};
use std::{fmt, io};

use wal_io::Process;

/// Somebody who is told when a time is over.
pub trait Alarm: Send + Sync {
    /// The time is over. Called on the timer's thread, which rings all other alarms as well: it must not wait for I/O, unless the
    /// system has no thread that does. A panic ends only this call.
    fn ring(&self);
}

/// The timer of the process, as long as somebody has it: its thread ends with the last one.
#[derive(Debug)]
pub struct Timer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The process that has the thread. A fork has none.
    process: Process,
    alarms: Mutex<Alarms>,
    changed: Condvar,
    thread: OnceLock<ThreadId>,
}

#[derive(Default)]
struct Alarms {
    /// By the time at which they ring. The number tells those of one time apart.
    set: BTreeMap<(Instant, u64), Weak<dyn Alarm>>,
    issued: u64,
    /// With so many, those are dropped that nobody is there to hear any more.
    purge_at: usize,
    /// The alarm that rings at the moment.
    ringing: Option<usize>,
    /// How many have the timer. With none, the thread ends, and nobody gets this one any more.
    holders: usize,
}

/// A day: a timer without alarms then looks for some, and finds none.
const FOREVER: Duration = Duration::from_secs(86_400);

/// The timer of the process. In a fork, another thread may have held the lock, and not exist: then the next one is taken.
static TIMERS: [Mutex<Option<Arc<Shared>>>; 4] = [const { Mutex::new(None) }; 4];
/// Which of them it is.
static CHOSEN: AtomicUsize = AtomicUsize::new(0);

impl Timer {
    /// The timer of this process, started if need be.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn shared() -> io::Result<Self> {
        let mut shared = lock_chosen();
        if let Some(timer) = &*shared
            && timer.process.is_current()
        {
            let mut alarms = lock(&timer.alarms);
            if alarms.holders > 0 {
                alarms.holders += 1;
                return Ok(Self(Arc::clone(timer)));
            }
        }
        let timer = Shared::start()?;
        *shared = Some(Arc::clone(&timer));
        Ok(Self(timer))
    }

    /// Has `alarm` ring when `time` is over, if it is still there.
    pub fn ring_in(&self, time: Duration, alarm: Weak<dyn Alarm>) {
        // Further away than any clock goes.
        let Some(at) = Instant::now().checked_add(time) else {
            return;
        };
        let mut alarms = lock(&self.0.alarms);
        let first = alarms.set.first_key_value();
        let is_first = first.is_none_or(|((first, _), _)| at < *first);
        alarms.add(at, alarm);
        drop(alarms);
        if is_first {
            self.0.changed.notify_all();
        }
    }

    /// Has `alarm` ring no more, and waits until it does not ring: then the timer's thread holds nothing of it.
    pub fn stop(self, alarm: &Weak<dyn Alarm>) {
        let stopped = address(alarm);
        let mut alarms = lock(&self.0.alarms);
        alarms.set.retain(|_, alarm| address(alarm) != stopped);
        let own = self.0.thread.get() == Some(&std::thread::current().id());
        while alarms.ringing == Some(stopped) && !own {
            let waited = self.0.changed.wait(alarms);
            alarms = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // In a fork, the lock may never be released.
        if !self.0.process.is_current() {
            return;
        }
        let mut alarms = lock(&self.0.alarms);
        alarms.holders -= 1;
        let is_last = alarms.holders == 0;
        drop(alarms);
        if is_last {
            self.0.changed.notify_all();
        }
    }
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarms")
            .field("set", &self.set.len())
            .field("holders", &self.holders)
            .finish_non_exhaustive()
    }
}

impl Alarms {
    fn add(&mut self, at: Instant, alarm: Weak<dyn Alarm>) {
        if self.set.len() >= self.purge_at {
            self.set.retain(|_, alarm| alarm.strong_count() > 0);
            self.purge_at = self.set.len() * 2 + 64;
        }
        self.issued += 1;
        self.set.insert((at, self.issued), alarm);
    }

    /// The next alarm that is due by `now` and is still there, or how long it is until one is due.
    fn take_due(&mut self, now: Instant) -> Result<Arc<dyn Alarm>, Duration> {
        while let Some(entry) = self.set.first_entry() {
            let (at, _) = entry.key();
            if *at > now {
                return Err(*at - now);
            }
            if let Some(alarm) = entry.remove().upgrade() {
                return Ok(alarm);
            }
        }
        Err(FOREVER)
    }
}

impl Shared {
    /// With one holder.
    fn start() -> io::Result<Arc<Self>> {
        let alarms = Alarms {
            holders: 1,
            ..Alarms::default()
        };
        let timer = Arc::new(Self {
            process: Process::current(),
            alarms: Mutex::new(alarms),
            changed: Condvar::new(),
            thread: OnceLock::new(),
        });
        let run = Arc::clone(&timer);
        let thread = std::thread::Builder::new().name("wal-timer".into());
        thread.spawn(move || run.run())?;
        Ok(timer)
    }

    fn run(&self) {
        let _ = self.thread.set(std::thread::current().id());
        let mut alarms = lock(&self.alarms);
        while alarms.holders > 0 {
            let alarm = match alarms.take_due(Instant::now()) {
                Ok(alarm) => alarm,
                Err(left) => {
                    let waited = self.changed.wait_timeout(alarms, left);
                    alarms = waited.unwrap_or_else(PoisonError::into_inner).0;
                    continue;
                }
            };
            alarms.ringing = Some(address(&Arc::downgrade(&alarm)));
            drop(alarms);
            // The others' alarms ring all the same.
            let _ = catch_unwind(AssertUnwindSafe(|| alarm.ring()));
            drop(alarm);
            alarms = lock(&self.alarms);
            alarms.ringing = None;
            self.changed.notify_all();
        }
    }
}

/// Tells alarms apart that are there.
fn address(alarm: &Weak<dyn Alarm>) -> usize {
    alarm.as_ptr().cast::<()>().addr()
}

/// How often a lock is tried before it is taken for one that is never released: nobody holds it for more than the start of a thread.
const TRIES: u32 = 1000;

fn lock_chosen() -> MutexGuard<'static, Option<Arc<Shared>>> {
    loop {
        let chosen = CHOSEN.load(Ordering::Relaxed);
        let timer = &TIMERS[chosen % TIMERS.len()];
        for _ in 0..TRIES {
            match timer.try_lock() {
                Ok(guard) => return guard,
                Err(TryLockError::Poisoned(error)) => return error.into_inner(),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_micros(100)),
            }
        }
        // Another thread may have chosen the next one by now.
        let (next, order) = (chosen.wrapping_add(1), Ordering::Relaxed);
        let _ = CHOSEN.compare_exchange(chosen, next, order, order);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, not(wal_shuttle)))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Tells(Mutex<mpsc::Sender<()>>);

    impl Alarm for Tells {
        fn ring(&self) {
            lock(&self.0).send(()).expect("the test waits");
        }
    }

    struct Panics;

    impl Alarm for Panics {
        fn ring(&self) {
            panic!("an alarm that panics, as this test wants it to");
        }
    }

    #[test]
    fn an_alarm_that_panics_stops_no_other() {
        let timer = Timer::shared().expect("a timer");
        let (sender, receiver) = mpsc::channel();
        let tells: Arc<dyn Alarm> = Arc::new(Tells(Mutex::new(sender)));
        let panics: Arc<dyn Alarm> = Arc::new(Panics);
        timer.ring_in(Duration::ZERO, Arc::downgrade(&panics));
        timer.ring_in(Duration::from_millis(50), Arc::downgrade(&tells));
        let told = receiver.recv_timeout(Duration::from_secs(60));
        told.expect("the other alarm rings");
    }
}
