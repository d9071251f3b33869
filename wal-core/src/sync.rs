//! The one module that knows locks, atomics and threads, so that a model checker can take their place.
//!
//! A lock here has no poisoning of its own: the log has its own, which knows about durability ([`crate::log`]).

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, MutexGuard};
pub(crate) use std::thread::JoinHandle;

/// A mutual-exclusion lock.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Takes the lock, also after a holder panicked: the state is guarded by the log's own poison.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A condition variable.
#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0
            .wait(guard)
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> MutexGuard<'a, T> {
        self.0
            .wait_timeout(guard, limit)
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .0
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Starts a named thread.
pub(crate) fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(body)
}

/// Gives the processor away for a while.
pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// Whether the caller runs on the thread of `handle`.
pub(crate) fn is_current(handle: &JoinHandle<()>) -> bool {
    handle.thread().id() == std::thread::current().id()
}

/// Wakes a parked thread.
struct Unpark {
    thread: std::thread::Thread,
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
            thread: std::thread::current(),
            woken: AtomicBool::new(false),
        })
    }
}

std::thread_local! {
    /// The thread's own waker, while no call uses it.
    static UNPARK: std::cell::Cell<Option<Arc<Unpark>>> = const { std::cell::Cell::new(None) };
}

/// Runs a future on the calling thread, which sleeps while it waits. `stuck` is called before each sleep; if it made
/// progress (a test drives the log by hand), the future is polled again instead.
pub(crate) fn block_on<F: Future>(future: F, mut stuck: impl FnMut() -> bool) -> F::Output {
    let mut future = pin!(future);
    // A call inside a call (a storage that keeps a log of its own) gets a waker of its own.
    let unpark = UNPARK.take().unwrap_or_else(Unpark::new);
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    loop {
        unpark.woken.store(false, Ordering::Release);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            UNPARK.set(Some(unpark));
            return output;
        }
        while !unpark.woken.load(Ordering::Acquire) {
            if stuck() {
                break;
            }
            std::thread::park();
        }
    }
}

/// Runs its closure if the thread unwinds past it.
pub(crate) struct IfPanicking<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for IfPanicking<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

/// Calls `work` with 0 to `count - 1`, on as many threads as there are cores; the results in order.
pub(crate) fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(count);
    if threads < 2 {
        return (0..count).map(work).collect();
    }
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed) as usize;
                    if at >= count {
                        return;
                    }
                    let result = work(at);
                    done.lock().push((at, result));
                }
            });
        }
    });
    let mut done = std::mem::take(&mut *done.lock());
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
