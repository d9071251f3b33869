//! One of something for each writer's thread, as far as there are enough: a peer that serves one thread at a time is then not
//! measured on a lock of ours.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::lock::lock;

/// So many, each behind a lock.
pub(crate) struct Lanes<T>(Vec<Mutex<T>>);

thread_local! {
    static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
}

impl<T> Lanes<T> {
    pub(crate) fn new(lanes: impl IntoIterator<Item = T>) -> Self {
        Self(lanes.into_iter().map(Mutex::new).collect())
    }

    /// The lane of this thread. Threads that begin one behind the other have different ones.
    pub(crate) fn of_thread(&self) -> MutexGuard<'_, T> {
        lock(&self.0[thread() % self.0.len()])
    }
}

/// The number of this thread among those that asked.
fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    THREAD.with(|thread| {
        let number = thread
            .get()
            .unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed));
        thread.set(Some(number));
        number
    })
}
