//! What a reader asks of whoever knows the log: the writing handle, or a look from outside.
//!
//! Deliberately absent: any place in the log.

use wal_format::{Lsn, SegmentId};

use crate::Result;
use crate::directory::check_process;
use crate::log::Engine;
use crate::segment::Files;
use crate::segment::{ChainEntry, Era, Mark};
use crate::sync::Arc;
use crate::view::View;

/// Where the reader learns what the log holds.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Live(Arc<Engine>),
    View(Arc<View>),
}

impl Source {
    pub(super) fn files(&self) -> &Arc<Files> {
        match self {
            Self::Live(engine) => &engine.files,
            Self::View(view) => &view.files,
        }
    }

    pub(super) fn location(&self) -> String {
        self.files().storage().location()
    }

    /// Refuses in a fork of the process that opened the log. Call it first: other calls may wait for a lock.
    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        match self {
            Self::Live(engine) => engine.check_process(),
            Self::View(view) => check_process(&view.process, &*view.storage),
        }
    }

    pub(crate) fn chain(&self) -> Arc<Vec<ChainEntry>> {
        match self {
            Self::Live(engine) => engine.chain(),
            Self::View(view) => view.chain(),
        }
    }

    pub(super) fn entry(&self, id: SegmentId) -> Option<ChainEntry> {
        self.chain()
            .iter()
            .find(|entry| entry.header.segment_id == id)
            .cloned()
    }

    /// How far the writing handle has handed over. Ask for it before the chain: a segment that it has left behind by then
    /// has its end in the chain.
    pub(super) fn handed_over(&self) -> Option<Mark> {
        match self {
            Self::Live(engine) => Some(engine.readable().0),
            Self::View(_) => None,
        }
    }

    pub(crate) fn first_lsn(&self) -> Lsn {
        match self {
            Self::Live(engine) => engine.first_lsn(),
            Self::View(view) => view.first_lsn(),
        }
    }

    #[inline]
    pub(crate) fn era(&self) -> Era {
        match self {
            Self::Live(engine) => engine.era(),
            Self::View(view) => view.era(),
        }
    }

    /// Whether anything has happened to the log that keeps a reader, which has read in that era, from going on to `next`.
    #[inline]
    pub(super) fn is_disturbed(&self, era: Era, next: Lsn) -> bool {
        match self {
            Self::Live(engine) => {
                engine.era() != era
                    || !engine.process.is_current()
                    || engine.refuses(next).is_some()
            }
            Self::View(view) => view.era() != era || !view.process.is_current(),
        }
    }

    /// The LSN that the next record will get, or got since this was asked; `None` for a log that cannot be opened. Its reader
    /// reports damage in each place.
    pub(super) fn next_lsn(&self, atleast: Lsn) -> Result<Option<Lsn>> {
        match self {
            Self::Live(engine) => Ok(Some(engine.last_lsn().next())),
            Self::View(view) => {
                if view.damage_at(atleast).is_some() {
                    return Ok(None);
                }
                if view.known().0.lsn.next() < atleast {
                    view.follow()?;
                }
                Ok(Some(view.known().0.lsn.next()))
            }
        }
    }

    /// The last LSN of the log.
    pub(super) fn end(&self) -> Result<Lsn> {
        match self {
            Self::Live(engine) => Ok(engine.last_lsn()),
            Self::View(view) => {
                view.follow()?;
                Ok(view.known().0.lsn)
            }
        }
    }

    /// The highest LSN that is known to be on stable storage.
    pub(super) fn durable_lsn(&self) -> Result<Lsn> {
        match self {
            Self::Live(engine) => Ok(engine.durable_lsn()),
            Self::View(view) => {
                view.follow()?;
                Ok(view.known().1)
            }
        }
    }

    /// Whether it is unknown what was kept since that era.
    pub(super) fn has_lost_track(&self, since: Era) -> bool {
        match self {
            Self::Live(_) => false,
            Self::View(view) => view.has_lost_track(since),
        }
    }

    pub(crate) fn kept_since(&self, since: Era) -> (Option<Lsn>, Era) {
        match self {
            Self::Live(engine) => engine.kept_since(since),
            Self::View(view) => view.kept_since(since),
        }
    }
}
