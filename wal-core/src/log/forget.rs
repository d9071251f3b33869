//! Dropping the oldest records on a full disk.
//!
//! Usually a segment gets a low-water mark that says where the log starts, and then files are removed. Without room for the
//! mark, the name of a file says it: see [`recovery::remember`].

use wal_format::{Lsn, SegmentId, Version, segment_name};

use super::engine::Engine;
use super::rights::SEAL;
use super::waiters::Goal;
use crate::directory::no_space_or_io;
use crate::recovery::{self, Listing};
use crate::segment::{ChainEntry, Era};
use crate::shell::Shell;
use crate::{Error, Result};

impl Engine {
    /// Removes the segments whose records are all below `lsn`, and lets the log start there.
    pub(super) async fn forget_before(&self, lsn: Lsn, shell: Shell) -> Result<()> {
        loop {
            let era = {
                let state = self.look();
                // They were, when the truncation was asked for.
                let next = state.buffers.next_lsn();
                if lsn > next {
                    return Err(Error::NotAppended { lsn, next });
                }
                state.truncations.eras().now()
            };
            // A name may drop only durable records.
            match self.forget_in(era, lsn, shell).await {
                // The newest records were dropped meanwhile: their LSNs may have been given again.
                Err(Error::Truncated { kept: Some(_), .. }) => {}
                outcome => return outcome,
            }
        }
    }

    async fn forget_in(&self, era: Era, lsn: Lsn, shell: Shell) -> Result<()> {
        let below = lsn.prev();
        self.reach_in(era, Goal::Durable, below.get(), shell)
            .await?;
        // So is the control state that the newest segment begins with.
        let serial = self.look().entered_serial();
        self.reach(Goal::Synced, serial, shell).await?;
        let number = self.state().truncations.forgets.ask(lsn);
        let asked = Forgotten {
            engine: self,
            number,
        };
        self.reach(Goal::Retired, number, shell).await?;
        asked.take_error().map_or(Ok(()), Err)
    }

    /// Carries out the requests. The caller has the right to remove files.
    pub(super) fn forget_all(&self) {
        loop {
            let Some((number, lsn)) = self.state().truncations.forgets.take() else {
                return;
            };
            let outcome = self.forget(lsn);
            self.state().truncations.forgets.finish(number, outcome);
        }
    }

    fn forget(&self, lsn: Lsn) -> Result<()> {
        let (going, log_first) = {
            let state = self.look();
            state.life.check_poison()?;
            let durable = state.progress.durable().lsn;
            // It was durable when this was asked for.
            if lsn.prev() > durable {
                return Err(state.truncations.error(Some(durable)));
            }
            state.changes.check_retention(|| self.location())?;
            // The newest always stays: it says where the log continues. And so does the newest that no crash takes: it has the
            // control state.
            let stays = |entry: &ChainEntry| {
                state.progress.is_durable(entry.header.segment_id)
                    || entry.header.version < Version::V2
            };
            let chain = state.segments.chain();
            let newest = chain.iter().rposition(stays).unwrap_or(0);
            let gone = chain[..newest]
                .iter()
                .take_while(|entry| entry.end.is_some_and(|(end, _)| end < lsn));
            let going: Vec<SegmentId> = gone.map(|entry| entry.header.segment_id).collect();
            (going, state.truncations.log_first())
        };
        if log_first >= lsn {
            return Ok(());
        }
        let Some(oldest) = going.first().copied() else {
            return Err(Error::NoSpace {
                location: self.location(),
                what: format!(
                    "a new first LSN, and no segment ends before LSN {lsn}: the log still starts at LSN {log_first}"
                )
                .into(),
            });
        };
        let storage = &*self.storage;
        let firsts = Listing::read(storage)?.unwrap_or_default().firsts;
        let renamed = recovery::remember(storage, oldest, lsn, &firsts).map_err(|error| {
            no_space_or_io(storage, "the name that says where the log starts", error)
        })?;
        if let Err(failure) = self.sync_directory() {
            return Err(self.state().poison(failure));
        }
        let mut state = self.state();
        state.truncations.raise_first(lsn);
        state.segments.forget(&going);
        // Only now, and not under a footer that is being written: readers must know that the file's end says nothing.
        state.until_free(SEAL).life.check_poison()?;
        recovery::free_names(storage, lsn, &firsts);
        let others = going.iter().skip(usize::from(renamed));
        let others = others.map(|id| segment_name(*id));
        self.state().leftovers.retire(others);
        Ok(())
    }
}

/// Forgets the outcome of a truncation if its caller stops waiting. The truncation is still carried out.
struct Forgotten<'a> {
    engine: &'a Engine,
    number: u64,
}

impl Forgotten<'_> {
    fn take_error(&self) -> Option<Error> {
        self.engine
            .state()
            .truncations
            .forgets
            .take_error(self.number)
    }
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        // In a fork, the lock may never be released.
        if self.engine.process.is_current() {
            let _ = self.take_error();
        }
    }
}
