//! After a failed write or sync, stop: what reached the disk is no longer known, and a later sync that succeeds would not
//! tell (Linux reports a failed write-back once and forgets it).
//!
//! Poison is set first, then every waiter wakes with the error. Only reopening recovers.

use std::io;

use super::Engine;
use super::state::{State, Status};
use crate::sync::{Arc, MutexGuard, Ordering, wake_all};
use crate::{Error, Poisoned, Result, sabotage};

impl Engine {
    /// Sets the poison and wakes everyone; returns the error. The first cause stays.
    pub(super) fn poison(
        &self,
        mut state: MutexGuard<'_, State>,
        during: String,
        cause: io::Error,
    ) -> Error {
        if !matches!(state.status, Status::Poisoned(_)) {
            let durable_lsn = state.durable.lsn;
            state.set_status(Status::Poisoned(Poisoned {
                location: self.location(),
                durable_lsn,
                lsn: None,
                during,
                cause: Arc::new(cause),
            }));
        }
        self.poisoned.store(true, Ordering::Release);
        let error = match &state.status {
            Status::Poisoned(poisoned) => poisoned.error(),
            Status::Open | Status::Closing | Status::Closed => Error::Closed,
        };
        let mut wakers = Vec::new();
        // Nobody waits for ever.
        if !sabotage::is("poison-wakes-nobody") {
            state.waiters.take_all(&mut wakers);
        }
        drop(state);
        self.writer.notify_all();
        self.syncer.notify_all();
        self.keeper.notify_all();
        self.leaders.notify_all();
        wake_all(wakers);
        error
    }

    /// Refuses once the log is poisoned.
    pub(super) fn check_poison(state: &State) -> Result<()> {
        match &state.status {
            Status::Poisoned(poisoned) => Err(poisoned.error()),
            Status::Open | Status::Closing | Status::Closed => Ok(()),
        }
    }

    /// Refuses once the log takes no more records.
    pub(super) fn check_open(state: &State) -> Result<()> {
        match &state.status {
            Status::Open => Ok(()),
            Status::Closing | Status::Closed => Err(Error::Closed),
            // Invariant 5: nothing follows a failed write or sync.
            Status::Poisoned(_) if sabotage::is("poison-not-kept") => Ok(()),
            Status::Poisoned(poisoned) => Err(poisoned.error()),
        }
    }
}
