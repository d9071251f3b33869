#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod lanes;
mod log;
mod store;

use std::sync::{Mutex, MutexGuard, PoisonError};

use wal_bench::peer::{Field, Peer, PeerStore};

/// Everybody who was built in.
#[must_use]
pub fn field() -> Field {
    Field {
        logs: logs(),
        stores: stores(),
    }
}

/// The logs, and the stores that serve as one.
#[must_use]
pub fn logs() -> Vec<Box<dyn Peer>> {
    log::all()
}

/// The key-value stores.
#[must_use]
pub fn stores() -> Vec<Box<dyn PeerStore>> {
    store::all()
}

/// Takes a lock. A panic elsewhere ends the whole run, so that what it left behind is not looked at.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
