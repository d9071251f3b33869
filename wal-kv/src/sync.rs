//! The one module that knows locks, atomics and threads, so that a model checker can take their place.
//!
//! `sync/system.rs` has those of the standard library. With `--cfg wal_shuttle` those of `sync/model.rs` are compiled in their place.
//! Deliberately absent: time, which is the clock's; only how to wait for it is here.
//!
//! A lock here has no poisoning of its own: what it guards is changed in steps that do not panic.

#[cfg(wal_shuttle)]
#[path = "sync/model.rs"]
mod ground;
#[cfg(not(wal_shuttle))]
#[path = "sync/system.rs"]
mod ground;

pub(crate) use std::sync::Arc;

pub(crate) use ground::{
    AtomicBool, AtomicU64, Condvar, JoinHandle, Mutex, MutexGuard, Ordering, RwLock,
    RwLockReadGuard, cores,
};
use ground::{spawn_in, thread};
pub(crate) use std::sync::Weak;

/// Long enough for a thread that has been woken to take the lock that it waited for.
const PAUSE: std::time::Duration = std::time::Duration::from_micros(20);

/// Lets others go first.
pub(crate) fn pause() {
    thread::sleep(PAUSE);
}

/// Sleeps.
pub(crate) fn sleep(time: std::time::Duration) {
    thread::sleep(time);
}

/// Starts a named thread.
pub(crate) fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(body)
}

/// Calls `work` with 0 to `count - 1`, on at most `threads` threads; the results in order. The calling thread is one of them,
/// and does all of it where no other can be started.
pub(crate) fn in_parallel<T: Send>(
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
    use super::ground::with_threads_left;
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
