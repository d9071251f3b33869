//! Locks, atomics and threads of the standard library. What stands in for them under the model checker is in `model.rs`.

use std::hint;
use std::sync::{LazyLock, PoisonError, TryLockError};
use std::time::Duration;

pub(crate) use std::sync::MutexGuard;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::thread::JoinHandle;
pub(super) use std::{thread, thread_local};

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
        match self.0.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => self.lock_contended(),
        }
    }

    /// Leaves the lock to whoever has it for a while, longer each time, and only then sleeps.
    ///
    /// Nothing slow happens under the log's lock, so it is free again in well under a microsecond. Who tried again at once would
    /// take the lock's cache lines to its core and back for each record; who waits lets the other thread append dozens of
    /// records first (docs/performance.md has what that brings).
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

/// Where there is only one core, whoever holds a lock does not run meanwhile.
static SPINS: LazyLock<bool> = LazyLock::new(|| cores() > 1);

/// A condition variable.
#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> MutexGuard<'a, T> {
        self.0
            .wait_timeout(guard, limit)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Gives the processor away for a while.
pub(crate) fn sleep(time: Duration) {
    thread::sleep(time);
}

/// How many threads can run at the same time.
pub(super) fn cores() -> usize {
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
