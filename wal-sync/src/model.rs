//! Shuttle's locks, atomics and threads: at each call, the scheduler decides which thread continues.
//!
//! There is no time here. A wait with a limit lets the other threads take a few steps, as many as the scheduler likes. Then
//! the caller reads the clock again, as after a spurious wake-up. The clock of a model moves each time it is read, so a
//! deadline may pass between any two steps of the others, and it passes in the end. A wait without a limit ends only with a
//! notification, so a lost wake-up shows as a deadlock.
//!
//! To shuttle, all atomics are sequentially consistent, whatever ordering they ask for.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Duration;

use shuttle::rand::Rng;

pub use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};
pub use shuttle::thread::JoinHandle;
pub(super) use shuttle::{thread, thread_local};

/// The most steps of other threads in a wait with a limit.
const PATIENCE: u32 = 3;

/// A mutual-exclusion lock. It is not poisoned: see the head of this crate.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A free lock.
    pub fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    /// Takes the lock, even after a holder has panicked.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            guard: self.0.lock().unwrap_or_else(PoisonError::into_inner),
            lock: self,
        }
    }
}

/// Holds the lock and a reference to it, because a wait with a limit takes it again.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
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

/// A lock for many readers or one writer. It is not poisoned either.
#[derive(Debug, Default)]
pub struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// A free lock.
    pub fn new(value: T) -> Self {
        Self(shuttle::sync::RwLock::new(value))
    }

    /// Takes the lock for reading.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock for writing.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable.
#[derive(Debug, Default)]
pub struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    /// Waits until it is notified, or until a spurious wake-up.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let MutexGuard { guard, lock } = guard;
        MutexGuard {
            guard: self.0.wait(guard).unwrap_or_else(PoisonError::into_inner),
            lock,
        }
    }

    /// The same, but ends after a few steps of other threads, whether it is notified or not.
    #[allow(clippy::unused_self)] // The same call as the system's.
    /// The same, but for no longer than `limit`.
    pub fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, limit: Duration) -> MutexGuard<'a, T> {
        let lock = guard.lock;
        drop(guard);
        sleep(limit);
        lock.lock()
    }

    /// Wakes all threads that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Lets the others take a few steps.
pub fn sleep(_time: Duration) {
    for _ in 0..shuttle::rand::thread_rng().gen_range(0..=PATIENCE) {
        thread::yield_now();
    }
}

/// How many threads can run at the same time.
#[must_use]
pub fn cores() -> usize {
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
