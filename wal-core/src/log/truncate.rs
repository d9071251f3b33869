//! Dropping the oldest records.
//!
//! The new first LSN goes into a durable group; only then are files unlinked, oldest first. Records below it are never
//! returned, even from a file that is still there.

use wal_format::Lsn;

use super::entrant::Entrant;
use super::{Engine, Goal};
use crate::shell::Shell;
use crate::sync::Arc;
use crate::{Error, Result, sabotage};

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
        let serial = self.state().cut_serial;
        // The new first LSN is durable before a file goes.
        if !sabotage::is("unlinked-before-the-cut-is-durable") {
            self.reach(Goal::Synced, serial, shell).await?;
        }
        {
            let mut state = self.state();
            // The segment with the cut stays, and all behind it: a later one may not be durable yet.
            let kept = state.cut_segment;
            while state.chain.first().is_some_and(|entry| {
                (entry.header.segment_id < kept || sabotage::is("segment-of-the-cut-unlinked"))
                    && entry.end.is_some_and(|(end, _)| end < lsn)
            }) {
                let entry = Arc::make_mut(&mut state.chain).remove(0);
                let name = wal_format::segment_name(entry.header.segment_id);
                state.retiring.push_back(name);
            }
            self.locked.figures.changed(&state);
            // Their files are closed too: they no longer need a footer.
            let first = state.chain.first().map(|entry| entry.header.segment_id);
            state
                .sealing
                .retain(|sealing| first.is_none_or(|first| sealing.segment.id() >= first));
            // Oldest first: what is left after a crash is a chain without a hole.
            if sabotage::is("unlinked-newest-first") {
                state.retiring.make_contiguous().reverse();
            }
        }
        self.reach(Goal::Retired, 0, shell).await
    }

    fn cut_is_needed(&self, lsn: Lsn) -> Result<bool> {
        let state = self.state();
        Self::check_open(&state)?;
        state.check_retention(|| self.location())?;
        if lsn > state.next_lsn {
            let next = state.next_lsn;
            return Err(Error::NotAppended { lsn, next });
        }
        Ok(lsn > state.log_first)
    }
}
