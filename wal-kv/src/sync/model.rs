//! Shuttle's locks, atomics and threads: at each call of them the scheduler decides who goes on.
//!
//! There is no time here. What waits for some time waits for the others to take a few steps instead, and then looks again, as
//! after a spurious wake-up. All atomics are sequentially consistent to shuttle, whatever ordering is asked for.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Duration;

use shuttle::rand::Rng;

pub(crate) use shuttle::sync::RwLockReadGuard;
use shuttle::sync::RwLockWriteGuard;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(super) use shuttle::thread;
pub(crate) use shuttle::thread::JoinHandle;

/// Most steps of others that a wait with a limit takes.
const PATIENCE: u32 = 3;

/// A mutual-exclusion lock.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            guard: self.0.lock().unwrap_or_else(PoisonError::into_inner),
            lock: self,
        }
    }
}

/// Holds the lock, and knows it: a wait with a limit takes it again.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    guard: shuttle::sync::MutexGuard<'a, T>,
    lock: &'a Mutex<T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// A lock for many readers or one writer.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable.
#[derive(Debug, Default)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let MutexGuard { guard, lock } = guard;
        MutexGuard {
            guard: self.0.wait(guard).unwrap_or_else(PoisonError::into_inner),
            lock,
        }
    }

    /// Ends by itself after a few steps of others. Whether it was told makes no difference.
    #[allow(clippy::unused_self)] // The same call as the system's.
    pub(crate) fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _limit: Duration,
    ) -> MutexGuard<'a, T> {
        let lock = guard.lock;
        drop(guard);
        for _ in 0..shuttle::rand::thread_rng().gen_range(0..=PATIENCE) {
            thread::yield_now();
        }
        lock.lock()
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// How many threads can run at the same time.
pub(crate) fn cores() -> usize {
    2
}

/// Starts a thread that ends within `scope`. There is always one left.
#[allow(clippy::unnecessary_wraps)] // The same call as the system's.
pub(super) fn spawn_in<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    body: impl FnOnce() + Send + 'scope,
) -> std::io::Result<()> {
    scope.spawn(body);
    Ok(())
}
