#![doc = include_str!("../README.md")]
//!
//! The clock has the time; only waiting for it is here.
//!
//! A panic does not poison a lock. The log has a poison of its own, which knows about durability, and the store changes what
//! a lock guards in steps that do not panic.
#![forbid(unsafe_code)]

#[cfg(wal_shuttle)]
mod model;
#[cfg(not(wal_shuttle))]
mod system;
pub mod timer;

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

#[cfg(wal_shuttle)]
use model as backend;
#[cfg(not(wal_shuttle))]
use system as backend;

pub use std::sync::{Arc, Weak};

pub use backend::{
    AtomicBool, AtomicU64, Condvar, JoinHandle, Mutex, MutexGuard, Ordering, RwLock,
    RwLockReadGuard, RwLockWriteGuard, cores, sleep,
};
use backend::{spawn_in, thread};

/// Long enough for a thread that has been woken to take the lock that it waited for.
const PAUSE: Duration = Duration::from_micros(20);

/// Lets other threads go first.
pub fn pause() {
    sleep(PAUSE);
}

/// Starts a named thread.
///
/// # Errors
///
/// The system has no more threads.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(body)
}

/// Whether the caller runs on the thread of `handle`.
#[must_use]
pub fn is_current(handle: &JoinHandle<()>) -> bool {
    handle.thread().id() == thread::current().id()
}

/// Wakes a parked thread.
struct Unpark {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

impl Unpark {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            thread: thread::current(),
            woken: AtomicBool::new(false),
        })
    }
}

backend::thread_local! {
    /// The thread's own waker, while no call uses it.
    static UNPARK: Cell<Option<Arc<Unpark>>> = const { Cell::new(None) };
}

/// Gives the rest of the time slice to the threads that are ready.
pub fn yield_now() {
    thread::yield_now();
}

/// Runs a future on the calling thread, which sleeps while it waits. `stuck` is called before each sleep. If it made
/// progress (a test drives the log by hand), the future is polled again instead. `patience` is how often the thread yields
/// before it sleeps, because the wait may be shorter than falling asleep and being woken.
pub fn block_on<F: Future>(
    future: F,
    mut stuck: impl FnMut() -> bool,
    patience: impl Fn() -> u32,
) -> F::Output {
    let mut future = pin!(future);
    // A call inside a call (from a storage that keeps a log itself) gets another waker.
    let unpark = UNPARK.with(Cell::take).unwrap_or_else(Unpark::new);
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    loop {
        unpark.woken.store(false, Ordering::Release);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            UNPARK.with(|slot| slot.set(Some(unpark)));
            return output;
        }
        let mut yields = 0;
        while !unpark.woken.load(Ordering::Acquire) {
            if stuck() {
                break;
            }
            if yields < patience() {
                yields += 1;
                yield_now();
            } else {
                thread::park();
            }
        }
    }
}

/// Wakes all wakers, even if one of them panics. A panic affects neither the other waiters nor the log.
pub fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// Whether the calling thread is unwinding.
#[must_use]
pub fn is_panicking() -> bool {
    thread::panicking()
}

/// Runs its closure if the thread unwinds past it.
#[derive(Debug)]
pub struct IfPanicking<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for IfPanicking<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0)();
        }
    }
}

/// Calls `work` with 0 to `count - 1`, each once and the lower ones first, on at most `threads` threads. Returns the results
/// in order. The calling thread is one of them, and does all the work if no other can be started.
pub fn in_parallel<T: Send>(
    threads: usize,
    count: usize,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let threads = threads.min(count);
    if threads < 2 {
        return (0..count).map(work).collect();
    }
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::with_capacity(count));
    let take_turns = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed) as usize;
            if at >= count {
                return;
            }
            let result = work(at);
            done.lock().push((at, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // If the system has no more threads, fewer do the work.
            if spawn_in(scope, take_turns).is_err() {
                break;
            }
        }
        take_turns();
    });
    let mut done = std::mem::take(&mut *done.lock());
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(all(test, not(wal_shuttle)))]
mod tests {
    use super::backend::with_threads_left;
    use super::*;

    #[test]
    fn work_goes_on_with_fewer_threads_where_the_system_has_no_more() {
        for left in 0..5 {
            let results = with_threads_left(left, || in_parallel(4, 20, |at| at * at));
            assert_eq!(
                results,
                (0..20).map(|at| at * at).collect::<Vec<_>>(),
                "{left}"
            );
        }
    }
}
