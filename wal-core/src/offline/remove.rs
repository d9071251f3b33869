//! Truncation of a log that is not open, for one that cannot be opened because the disk is full.

use std::time::Duration;

use wal_format::{Control, Lsn, SegmentId};
use wal_io::{OpenMode, Storage};

use crate::clock::SystemClock;
use crate::directory::{Ground, no_space_or_io, take_lock, write_pid};
use crate::entropy::SystemEntropy;
use crate::recovery::{self, Listing, Scan};
use crate::sync::Arc;
use crate::{Error, Result};

/// What [`Offline::truncate_before`](crate::Offline::truncate_before) has done, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Truncation {
    /// The log's first LSN now. Below what was asked for where that is not proven durable.
    pub first_lsn: Lsn,
    /// Segments that were removed.
    pub removed: Vec<SegmentId>,
    /// Bytes of their files.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Plan,
    Apply,
}

pub(super) fn truncate(storage: &Arc<dyn Storage>, lsn: Lsn, mode: Mode) -> Result<Truncation> {
    let location = storage.location();
    let begun = Listing::read(&**storage)?.is_some_and(|listing| !listing.segments.is_empty());
    if !begun {
        let reason = "there is no segment in it".into();
        return Err(Error::NotALog { location, reason });
    }
    let ground = Ground {
        storage: Arc::clone(storage),
        clock: Arc::new(SystemClock::default()),
        entropy: Arc::new(SystemEntropy),
        lock_wait: Duration::ZERO,
    };
    // Without a lock file there is no writer, and a plan creates no file.
    let _lock = match mode {
        Mode::Plan if !Listing::read(&**storage)?.is_some_and(|listing| listing.lock) => None,
        Mode::Plan | Mode::Apply => Some(take_lock(&ground)?),
    };
    if mode == Mode::Apply {
        write_pid(&**storage);
    }
    let scan = recovery::scan(storage, Listing::read_locked(&**storage)?)?;
    recovery::plan(&scan)?;
    let next = scan.end().next();
    if lsn > next {
        return Err(Error::NotAppended { lsn, next });
    }
    if let Some(segment_id) = scan.control.lost() {
        return Err(Error::ControlLost {
            location,
            segment_id,
        });
    }
    let proven = scan.proven.watermark.min(scan.end());
    let first = lsn.min(proven.next()).max(scan.log_first);
    let io = |what: &'static str| {
        let storage = &**storage;
        move |error| no_space_or_io(storage, what, error)
    };
    let apply = mode == Mode::Apply;
    // Also what an earlier call may have left undone.
    if apply {
        storage.sync_dir().map_err(io("syncing the directory"))?;
    }
    let mut done = Truncation {
        first_lsn: first,
        removed: Vec::new(),
        bytes: 0,
    };
    let firsts = &scan.listing.firsts;
    if let Some(first) = firsts.last()
        && apply
    {
        recovery::free_names(&**storage, *first, firsts);
    }
    // The newest stays, whatever is in it: it says where the log goes on. So does the newest that no crash takes, if its control
    // state is needed.
    let unused = scan.control == Control::default();
    let durable = if unused { scan.chain.len() } else { scan.kept };
    let older = &scan.chain[..durable.saturating_sub(1)];
    // A call that was interrupted may have done it. A name is never given to a second file.
    let mut remembered = firsts.contains(&first);
    for link in older.iter().filter(|link| link.end.lsn < first) {
        let id = link.facts.id();
        let name = wal_format::segment_name(id);
        let mut renamed = false;
        if !remembered && apply {
            renamed = recovery::remember(&**storage, id, first, firsts)
                .and_then(|renamed| storage.sync_dir().map(|()| renamed))
                .map_err(io("remembering the log's first LSN"))?;
            recovery::free_names(&**storage, first, firsts);
        }
        remembered = true;
        if !renamed && apply {
            storage.remove(&name).map_err(io("removing a segment"))?;
        }
        done.removed.push(id);
        done.bytes += link.facts.len;
    }
    for id in superseded(&scan) {
        let name = wal_format::segment_name(id);
        let len = storage
            .open(&name, OpenMode::Read)
            .and_then(|file| file.len());
        if apply {
            storage.remove(&name).map_err(io("removing a segment"))?;
        }
        done.removed.push(id);
        done.bytes += len.unwrap_or(0);
    }
    if !remembered {
        done.first_lsn = scan.log_first;
    }
    if !done.removed.is_empty() && apply {
        storage.sync_dir().map_err(io("syncing the directory"))?;
    }
    Ok(done)
}

/// Segments that are no longer the log's, and that a call or a log which came to its end too early has left: they take space that opening
/// the log may need. Only below a segment that no crash takes.
fn superseded(scan: &Scan) -> Vec<SegmentId> {
    let Some(durable) = scan.kept.checked_sub(1).map(|at| &scan.chain[at]) else {
        return Vec::new();
    };
    let on_chain = |id: SegmentId| scan.chain.iter().any(|link| link.facts.id() == id);
    let segments = scan.listing.segments.iter().copied();
    segments
        .filter(|id| *id < durable.facts.id() && !on_chain(*id))
        .collect()
}
