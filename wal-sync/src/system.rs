//! Locks, atomics and threads of the standard library. `model.rs` has those of the model checker.

use std::hint;
use std::sync::{LazyLock, PoisonError, TryLockError};
use std::time::Duration;

pub use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
pub use std::thread::JoinHandle;
pub(super) use std::{thread, thread_local};

/// A mutual-exclusion lock. It is not poisoned: see the head of this crate.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A free lock.
    pub fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Takes the lock, even after a holder has panicked.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match self.0.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => self.lock_contended(),
        }
    }

    /// Spins for a while, longer after each failed attempt, and only then sleeps.
    ///
    /// Nothing slow happens under these locks: the log's is free again in well under a microsecond. A thread that tried again
    /// at once would move the lock's cache lines to its core and back for each record. A thread that spins lets the other one
    /// append dozens of records first (docs/performance.md has the figures).
    #[cold]
    fn lock_contended(&self) -> MutexGuard<'_, T> {
        if *SPINS {
            for pauses in [32, 64, 128, 256, 512] {
                for _ in 0..pauses {
                    hint::spin_loop();
                }
                match self.0.try_lock() {
                    Ok(guard) => return guard,
                    Err(TryLockError::Poisoned(error)) => return error.into_inner(),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With one core, the holder of a lock does not run while another thread spins.
static SPINS: LazyLock<bool> = LazyLock::new(|| cores() > 1);

/// A lock for many readers or one writer. It is not poisoned either.
#[derive(Debug, Default)]
pub struct RwLock<T>(std::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// A free lock.
    pub fn new(value: T) -> Self {
        Self(std::sync::RwLock::new(value))
    }

    /// Takes the lock for reading.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock for writing.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable.
#[derive(Debug, Default)]
pub struct Condvar(std::sync::Condvar);

impl Condvar {
    /// Waits until it is notified, or until a spurious wake-up.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, but for no longer than `limit`.
    pub fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, limit: Duration) -> MutexGuard<'a, T> {
        self.0
            .wait_timeout(guard, limit)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Wakes all threads that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Sleeps.
pub fn sleep(time: Duration) {
    thread::sleep(time);
}

/// How many threads can run at the same time.
#[must_use]
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Starts a thread that ends within `scope`.
pub(super) fn spawn_in<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    body: impl FnOnce() + Send + 'scope,
) -> std::io::Result<()> {
    #[cfg(test)]
    injected()?;
    thread::Builder::new().spawn_scoped(scope, body).map(drop)
}

#[cfg(test)]
std::thread_local! {
    /// How many more threads the system lets this thread start.
    static THREADS_LEFT: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

/// As if the system had `left` threads left.
#[cfg(test)]
pub(super) fn with_threads_left<T>(left: usize, work: impl FnOnce() -> T) -> T {
    THREADS_LEFT.set(left);
    let result = work();
    THREADS_LEFT.set(usize::MAX);
    result
}

#[cfg(test)]
fn injected() -> std::io::Result<()> {
    let left = THREADS_LEFT.get();
    THREADS_LEFT.set(left.saturating_sub(1));
    match left {
        0 => Err(std::io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}
