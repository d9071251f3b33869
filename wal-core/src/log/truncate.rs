//! Dropping the oldest records.
//!
//! The new first LSN goes into a durable group; only then are files unlinked, oldest first. Records below it are never
//! returned, even from a file that is still there.

use wal_format::Lsn;

use super::engine::Engine;
use super::entrant::Entrant;
use super::waiters::Goal;
use crate::shell::Shell;
use crate::{Error, Result};

impl Engine {
    /// Removes all records below `lsn`; a segment is deleted when all of it is below.
    pub(crate) async fn truncate_before(&self, lsn: Lsn, shell: Shell) -> Result<()> {
        if self.cut_is_needed(lsn)? {
            match self.enter(Entrant::Cut(lsn), shell).await {
                Err(Error::NoSpace { .. }) => return self.forget_before(lsn, shell).await,
                entered => drop(entered?),
            }
        }
        self.drop_before(lsn, shell).await
    }

    /// Removes the files of records below `lsn`, once the cut that says so is durable.
    pub(super) async fn drop_before(&self, lsn: Lsn, shell: Shell) -> Result<()> {
        // Another truncation may have made the cut, and be waiting for its sync as well.
        let serial = self.look().truncations.cut_serial();
        // The new first LSN is durable before a file goes.
        self.reach(Goal::Synced, serial, shell).await?;
        {
            let mut state = self.state();
            // The segment with the cut stays, and all behind it: a later one may not be durable yet.
            let kept = state.truncations.cut_segment();
            // Oldest first: what is left after a crash is a chain without a hole.
            let gone = state.segments.drop_before(lsn, kept);
            state.leftovers.retire(gone);
        }
        self.reach(Goal::Retired, 0, shell).await
    }

    fn cut_is_needed(&self, lsn: Lsn) -> Result<bool> {
        let state = self.look();
        state.life.check_open()?;
        state.changes.check_retention(|| self.location())?;
        let next = state.buffers.next_lsn();
        if lsn > next {
            return Err(Error::NotAppended { lsn, next });
        }
        Ok(lsn > state.truncations.log_first())
    }
}
