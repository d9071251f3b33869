//! Locks, atomics and threads of the standard library. What stands in for them under the model checker is in `model.rs`.

use std::sync::PoisonError;
use std::time::Duration;

pub(crate) use std::sync::MutexGuard;
pub(crate) use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(super) use std::thread;
pub(crate) use std::thread::JoinHandle;

/// A mutual-exclusion lock.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock for many readers or one writer.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(std::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::RwLock::new(value))
    }

    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

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

/// How many threads can run at the same time.
pub(crate) fn cores() -> usize {
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
