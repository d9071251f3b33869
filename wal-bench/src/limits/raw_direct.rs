//! raw-direct: one write and one sync for each record, or for each batch, under one lock.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::{Prewritten, encode};

/// Records, each durable when its append returns.
#[derive(Debug)]
pub struct RawDirect {
    file: Prewritten,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    offset: u64,
    syncs: u64,
}

impl RawDirect {
    /// Overwrites `file` from its start on.
    #[must_use]
    pub fn new(file: Prewritten) -> Self {
        Self {
            file,
            state: Mutex::default(),
        }
    }

    /// Writes a record and syncs.
    ///
    /// # Errors
    /// The system's.
    pub fn append(&self, payload: &[u8]) -> io::Result<()> {
        self.append_batch([payload])
    }

    /// Writes records in one go and syncs once.
    ///
    /// # Errors
    /// The system's.
    pub fn append_batch<'a>(&self, payloads: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        state.buffer.clear();
        for payload in payloads {
            encode(&mut state.buffer, payload);
        }
        state.syncs += 1;
        self.file.write_and_sync(&mut state.offset, &state.buffer)
    }

    /// Syncs so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .syncs
    }
}
