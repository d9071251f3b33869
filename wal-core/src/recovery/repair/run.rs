//! A repair from beginning to end: lock, look, plan, do.

use std::path::Path;
use std::time::Duration;

use wal_format::{Epoch, Lsn, Origin, SegmentHeader, SegmentId};
use wal_io::{DiskStorage, Storage};

use super::copy::write;
use super::inspect::{Behind, inspect};
use super::plan::{RepairPlan, plan};
use super::quarantine::quarantine;
use super::report::{RepairMode, RepairReport};
use crate::clock::SystemClock;
use crate::entropy::{Entropy, SystemEntropy};
use crate::log::{Ground, take_lock, write_pid};
use crate::recovery::{Listing, Wreck, assemble};
use crate::sync::Arc;
use crate::{Error, Result, sabotage};

/// Repairs the log in the directory `dir`, or says what a repair would do.
///
/// Copies every record that can be read from the first damaged segment on to new segments of the log's size. Records keep their
/// LSNs. If only the newest segment is damaged, only that one is copied. LSNs without a record become a gap that the log knows
/// of: it opens, and readers [say so](Error::Gap) in their place. The next record never gets an LSN that was given before, as
/// far as anything in the files tells. Of a batch that lost a record the others are kept. Damaged files are kept whole under
/// `quarantine/`. Without damage nothing is done. It reads the whole log.
///
/// # Durability
/// With [`RepairMode::Apply`] the repaired log is durable when it returns. A crash on the way leaves the damaged log as it was or
/// the repaired one; repair it again.
///
/// # Errors
/// [`Locked`](Error::Locked) if a writer has the log; [`NoSpace`](Error::NoSpace) if there is no room for the copies, with the number
/// of bytes, in a dry run too: nothing has changed; [`Corruption`](Error::Corruption) if nothing at all can be read;
/// [`NotALog`](Error::NotALog), [`UnknownVersion`](Error::UnknownVersion) or [`Io`](Error::Io).
pub fn repair(dir: impl AsRef<Path>, mode: RepairMode) -> Result<RepairReport> {
    let storage = Arc::new(DiskStorage::new(dir.as_ref()));
    repair_storage(storage, mode, Duration::ZERO)
}

/// Repairs the log in `storage`; waits up to `lock_wait` for a writer to let go of the lock.
///
/// # Durability
/// As [`repair`].
///
/// # Errors
/// As [`repair`].
pub fn repair_storage(
    storage: Arc<dyn Storage>,
    mode: RepairMode,
    lock_wait: Duration,
) -> Result<RepairReport> {
    let ground = Ground {
        storage,
        clock: Arc::new(SystemClock::default()),
        entropy: Arc::new(SystemEntropy),
        lock_wait,
    };
    repair_on(&ground, mode)
}

/// The same on the ground that a log stands on.
pub(crate) fn repair_on(ground: &Ground, mode: RepairMode) -> Result<RepairReport> {
    let storage = &ground.storage;
    let location = storage.location();
    let Some(listing) = Listing::read(&**storage)? else {
        let reason = "it does not exist".into();
        return Err(Error::NotALog { location, reason });
    };
    if listing.segments.is_empty() && !listing.lock {
        let reason = "there is no segment in it".into();
        return Err(Error::NotALog { location, reason });
    }
    // Where there is no lock file there is no writer, and a dry run makes no file.
    let _lock = match mode {
        RepairMode::DryRun if !listing.lock => None,
        _ => Some(take_lock(ground)?),
    };
    if mode == RepairMode::Apply {
        write_pid(&**storage);
    }
    let damage = match crate::verify_storage(Arc::clone(storage)) {
        Ok(found) => found.damage().cloned().collect(),
        Err(error @ (Error::Corruption(_) | Error::MissingSegment { .. })) => vec![error],
        Err(error) => return Err(error),
    };
    let mut report = RepairReport {
        mode,
        damage,
        gaps: Vec::new(),
        records_kept: 0,
        new_segments: Vec::new(),
        last_lsn: Lsn::ZERO,
        quarantined: Vec::new(),
        removed: Vec::new(),
        bytes_needed: 0,
    };
    let Some(first) = report.damage.first().cloned() else {
        return Ok(report);
    };
    let wreck = assemble(storage, Listing::read_locked(&**storage)?)?;
    let like = wreck.parts.iter().rev().find(|part| part.whole_header);
    let Some(like) = like.or(wreck.parts.last()) else {
        return Err(first);
    };
    let damaged: Vec<SegmentId> = report.damage.iter().filter_map(segment_of).collect();
    let facts = inspect(&**storage, &wreck, &damaged)?;
    let plan = plan(&facts);
    let drawn = |error| Error::io(wreck.location.clone(), "drawing an epoch", error);
    let mut id = wreck.listing.next_id();
    let first_new = header(&*ground.entropy, id, &like.header).map_err(drawn)?;
    let behind = if plan.copy {
        Behind::read(storage, &wreck, plan.after, &first_new)?
    } else {
        Behind::nothing(&wreck)
    };
    let mut new = Vec::new();
    for _ in &behind.pieces {
        new.push(header(&*ground.entropy, id, &like.header).map_err(drawn)?);
        id = id.next();
    }
    fill_in(&mut report, &**storage, &wreck, &plan)?;
    report.gaps.clone_from(&behind.gaps);
    report.records_kept = behind.records;
    report.last_lsn = behind.last;
    for (piece, header) in behind.pieces.iter().zip(&new) {
        report.new_segments.push(header.segment_id);
        let size = piece.needs(header.alignment).size(false, *header);
        report.bytes_needed += size.allocated;
    }
    check_space(&**storage, &wreck, report.bytes_needed)?;
    if mode == RepairMode::Apply {
        apply(storage, &wreck, &plan, &behind, &new)?;
    }
    Ok(report)
}

fn segment_of(error: &Error) -> Option<SegmentId> {
    match error {
        Error::Corruption(what) => Some(what.segment_id),
        Error::MissingSegment { segment_id, .. } => Some(*segment_id),
        _ => None,
    }
}

fn header(
    entropy: &dyn Entropy,
    segment_id: SegmentId,
    like: &SegmentHeader,
) -> std::io::Result<SegmentHeader> {
    let mut epoch = 0;
    while epoch == 0 {
        epoch = entropy.next()?;
    }
    Ok(SegmentHeader {
        segment_id,
        epoch: Epoch::new(epoch),
        // Not above the maximum, even if the segment that it follows is larger.
        capacity: like.capacity.min(wal_format::MAX_SEGMENT),
        allocated: wal_format::HEADER_LEN,
        origin: Origin::Copy,
        replaces: None,
        ..*like
    })
}

/// Checks that there is room for everything, before anything is changed. Preallocated segments and unfinished copies count as
/// room.
fn check_space(storage: &dyn Storage, wreck: &Wreck, needed: u64) -> Result<()> {
    let Ok(Some(free)) = storage.free_space() else {
        // The error comes later then, when only copies under `quarantine/` were made.
        return Ok(());
    };
    let len = |name: String| {
        let file = storage.open(&name, wal_io::OpenMode::Read);
        file.and_then(|file| file.len()).unwrap_or(0)
    };
    let listing = &wreck.listing;
    let temporaries = listing.temporaries.iter().copied();
    let spares = listing.spares.iter().copied();
    let room = temporaries
        .map(wal_format::temporary_name)
        .chain(spares.map(wal_format::spare_name))
        .fold(free, |room, name| room.saturating_add(len(name)));
    if room >= needed || sabotage::is("repair-begun-without-space") {
        return Ok(());
    }
    Err(Error::NoSpace {
        location: wreck.location.clone(),
        what: format!("a repair, which needs {needed} bytes where {room} are free").into(),
    })
}

/// What the plan means for the files.
fn fill_in(
    report: &mut RepairReport,
    storage: &dyn Storage,
    wreck: &Wreck,
    plan: &RepairPlan,
) -> Result<()> {
    let name = |id: &SegmentId| wal_format::segment_name(*id);
    report.quarantined = plan.quarantine.iter().map(name).collect();
    report.removed = plan.remove.iter().map(name).collect();
    for name in &report.quarantined {
        let len = storage
            .open(name, wal_io::OpenMode::Read)
            .and_then(|file| file.len())
            .map_err(|error| Error::io(wreck.location.clone(), format!("opening {name}"), error))?;
        report.bytes_needed += len;
    }
    Ok(())
}

fn apply(
    storage: &Arc<dyn Storage>,
    wreck: &Wreck,
    plan: &RepairPlan,
    behind: &Behind,
    new: &[SegmentHeader],
) -> Result<()> {
    // Copies that a crash has cut short take space that this one may need.
    for id in &wreck.listing.temporaries {
        let _ = storage.remove(&wal_format::temporary_name(*id));
    }
    // Every damaged byte is kept.
    sabotage::unless("damaged-files-not-kept", || {
        quarantine(&**storage, &plan.quarantine)
    })?;
    if plan.copy {
        write(storage, wreck, plan, behind, new)?;
    }
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error| Error::io(wreck.location.clone(), what, error)
    };
    for id in &plan.remove {
        let name = wal_format::segment_name(*id);
        storage.remove(&name).map_err(failed(
            "removing a file that the repaired log does not need",
        ))?;
    }
    storage
        .sync_dir()
        .map_err(failed("syncing the directory of the repaired log"))
}
