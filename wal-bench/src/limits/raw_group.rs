//! raw-group: raw-direct with group commit. Who finds nobody syncing leads: one write and one sync for all who wait.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{Prewritten, encode};

/// Records, each durable when its append returns.
#[derive(Debug)]
pub struct RawGroup {
    file: Prewritten,
    state: Mutex<State>,
    synced: Condvar,
}

#[derive(Debug, Default)]
struct State {
    filling: Vec<u8>,
    /// The other buffer, while nobody leads.
    spare: Vec<u8>,
    offset: u64,
    appended: u64,
    durable: u64,
    leading: bool,
    failed: bool,
    syncs: u64,
}

impl RawGroup {
    /// Overwrites `file` from its start on.
    #[must_use]
    pub fn new(file: Prewritten) -> Self {
        Self {
            file,
            state: Mutex::default(),
            synced: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the record is written and synced, by this thread or by another.
    ///
    /// # Errors
    /// The system's, for the leader; `Other` for the rest.
    pub fn append(&self, payload: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        encode(&mut state.filling, payload);
        state.appended += 1;
        let own = state.appended;
        while state.durable < own {
            if state.failed {
                return Err(io::Error::other("an earlier sync failed"));
            }
            if state.leading {
                let woken = self.synced.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            } else {
                state = self.lead(state)?;
            }
        }
        Ok(())
    }

    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>) -> io::Result<MutexGuard<'a, State>> {
        state.leading = true;
        let spare = std::mem::take(&mut state.spare);
        let mut bytes = std::mem::replace(&mut state.filling, spare);
        let (upto, mut offset) = (state.appended, state.offset);
        drop(state);
        let outcome = self.file.write_and_sync(&mut offset, &bytes);
        bytes.clear();
        let mut state = self.state();
        state.leading = false;
        state.failed |= outcome.is_err();
        state.syncs += 1;
        state.offset = offset;
        state.spare = bytes;
        if outcome.is_ok() {
            state.durable = upto;
        }
        self.synced.notify_all();
        outcome.map(|()| state)
    }

    /// Syncs so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }
}
