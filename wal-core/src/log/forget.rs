//! Dropping the oldest records on a full disk.
//!
//! Usually a segment gets a low-water mark that says where the log starts, and then files are removed. Without room for the
//! mark, the name of a file says it: see [`recovery::remember`].

use wal_format::{Lsn, SegmentId, Version, segment_name};

use super::eras::Era;
use super::give_back::is_durable;
use super::state::ChainEntry;
use super::{Engine, Goal, no_space_or_io};
use crate::recovery::{self, Listing};
use crate::shell::Shell;
use crate::sync::Arc;
use crate::{Error, Result, sabotage};

impl Engine {
    /// Removes the segments whose records are all below `lsn`, and lets the log start there.
    pub(super) async fn forget_before(&self, lsn: Lsn, shell: Shell) -> Result<()> {
        loop {
            let era = {
                let state = self.state();
                // They were, when the truncation was asked for.
                if lsn > state.next_lsn {
                    let next = state.next_lsn;
                    return Err(Error::NotAppended { lsn, next });
                }
                state.eras.now()
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
        let serial = self.state().entered_serial();
        self.reach(Goal::Synced, serial, shell).await?;
        let number = self.state().forgets.ask(lsn);
        let asked = Forgotten {
            engine: self,
            number,
        };
        self.reach(Goal::Retired, number, shell).await?;
        asked.take_error().map_or(Ok(()), Err)
    }

    /// Carries out the requests. The caller has set `retiring_busy`.
    pub(super) fn forget_all(&self) {
        loop {
            let Some((number, lsn)) = self.state().forgets.take() else {
                return;
            };
            let outcome = self.forget(lsn);
            self.state().forgets.finish(number, outcome);
        }
    }

    fn forget(&self, lsn: Lsn) -> Result<()> {
        let (going, log_first) = {
            let state = self.state();
            Self::check_poison(&state)?;
            let (first, durable) = (state.log_first, state.durable.lsn);
            // It was durable when this was asked for.
            if lsn.prev() > durable && !sabotage::is("forgotten-beyond-the-end") {
                let kept = Some(durable);
                return Err(Error::Truncated { first, kept });
            }
            state.check_retention(|| self.location())?;
            // The newest always stays: it says where the log continues. And so does the newest that no crash takes: it has the
            // control state.
            let stays = |entry: &ChainEntry| {
                is_durable(&state, entry.header.segment_id) || entry.header.version < Version::V2
            };
            let newest = state.chain.iter().rposition(stays).unwrap_or(0);
            let gone = state.chain[..newest]
                .iter()
                .take_while(|entry| entry.end.is_some_and(|(end, _)| end < lsn));
            let going: Vec<SegmentId> = gone.map(|entry| entry.header.segment_id).collect();
            (going, state.log_first)
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
        if let Err((during, error)) = self.sync_directory() {
            return Err(self.poison(self.state(), during, error));
        }
        let mut state = self.state();
        state.log_first = state.log_first.max(lsn);
        let gone = |id: SegmentId| going.contains(&id);
        Arc::make_mut(&mut state.chain).retain(|entry| !gone(entry.header.segment_id));
        self.locked.figures.changed(&state);
        // No footer is needed any more.
        state.sealing.retain(|sealing| !gone(sealing.segment.id()));
        // Only now, and not under a footer that is being written: readers must know that the file's end says nothing.
        while state.sealing_busy {
            drop(state);
            crate::sync::sleep(std::time::Duration::from_micros(50));
            state = self.state();
        }
        drop(state);
        recovery::free_names(storage, lsn, &firsts);
        let others = going.iter().skip(usize::from(renamed));
        let others = others.map(|id| segment_name(*id));
        self.state().retiring.extend(others);
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
        self.engine.state().forgets.take_error(self.number)
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
