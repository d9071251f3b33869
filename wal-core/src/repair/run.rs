//! A repair from beginning to end: lock, look, plan, do.

use std::time::Duration;

use wal_format::{Epoch, Lsn, Origin, SegmentHeader, SegmentId, Version};
use wal_io::Storage;

use super::decision::{Facts, RepairPlan, plan};
use super::end::write;
use super::inspect::{Rest, inspect};
use super::quarantine::quarantine;
use super::replace::Replacement;
use super::slots::{Slot, slots};
use crate::clock::SystemClock;
use crate::directory::{Ground, take_lock, write_pid};
use crate::entropy::{Entropy, SystemEntropy};
use crate::recovery::{GroupEnd, Listing, RepairMode, RepairReport, Wreck, assemble};
use crate::sync::Arc;
use crate::{Error, Result, VerifyOptions};

/// How often a repaired log is verified and repaired again, at most.
const ROUNDS: usize = 4;

/// How a log is repaired.
///
/// ```
/// use wal_core::{FormatVersion, Offline, RepairMode, RepairOptions, WalConfig, blocking::Wal};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// Wal::open(&dir, WalConfig::default())?.close()?;
/// let in_place = RepairOptions::new(RepairMode::DryRun).format_version(FormatVersion::V2);
/// assert!(Offline::at(&dir).repair(in_place)?.is_whole());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RepairOptions {
    mode: RepairMode,
    lock_wait: Duration,
    version: Option<Version>,
}

impl RepairOptions {
    /// A repair, or a dry run of one, with the defaults below.
    #[must_use]
    pub fn new(mode: RepairMode) -> Self {
        Self {
            mode,
            lock_wait: Duration::ZERO,
            version: None,
        }
    }

    /// Waits up to this time for a writer to let go of the lock. Default not at all.
    #[must_use]
    pub fn lock_wait(mut self, time: Duration) -> Self {
        self.lock_wait = time;
        self
    }

    /// The version in which the repaired log goes on. Default: the highest version of its segments. With version 2, a log of version
    /// 1 is repaired in place as well. It then needs a program that reads version 2, and there is no way back.
    #[must_use]
    pub fn format_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    pub(crate) fn run(self, storage: &Arc<dyn Storage>) -> Result<RepairReport> {
        let ground = Ground {
            storage: Arc::clone(storage),
            clock: Arc::new(SystemClock::default()),
            entropy: Arc::new(SystemEntropy),
            lock_wait: self.lock_wait,
        };
        repair_on(&ground, self.mode, self.version)
    }
}

impl From<RepairMode> for RepairOptions {
    fn from(mode: RepairMode) -> Self {
        Self::new(mode)
    }
}

/// Repairs the log on this ground. A log of version 1 is repaired as one of version 2 if `version` says so.
pub(crate) fn repair_on(
    ground: &Ground,
    mode: RepairMode,
    version: Option<Version>,
) -> Result<RepairReport> {
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
    let mut report = repair_once(ground, mode, version)?;
    if mode == RepairMode::DryRun || !report.has_changed() {
        return Ok(report);
    }
    // Damage may hide other damage, which verification meets once the first is repaired.
    for _ in 0..ROUNDS {
        let further = repair_once(ground, mode, version)?;
        let has_changed = further.has_changed();
        report.add(further);
        if !has_changed {
            return Ok(report);
        }
    }
    let left = VerifyOptions::default().run(storage)?;
    left.damage()
        .next()
        .map_or(Ok(report), |damage| Err(damage.clone()))
}

/// Repairs what verification finds now.
fn repair_once(
    ground: &Ground,
    mode: RepairMode,
    version: Option<Version>,
) -> Result<RepairReport> {
    let storage = &ground.storage;
    let (damage, verified) = match VerifyOptions::default().run(storage) {
        Ok(found) => {
            let whole = found.segments.iter().filter(|found| found.damage.is_none());
            let verified = whole.map(|found| (found.segment_id, found.last_lsn));
            (found.damage().cloned().collect(), verified.collect())
        }
        Err(error @ (Error::Corruption(_) | Error::MissingSegment { .. })) => {
            (vec![error], Vec::new())
        }
        Err(error) => return Err(error),
    };
    let mut report = RepairReport {
        mode,
        damage,
        gaps: Vec::new(),
        records_kept: 0,
        replaced: Vec::new(),
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
    let mut repair = Repair {
        ground,
        like: like.header,
        wreck: &wreck,
        replacements: Vec::new(),
        behind: Rest::nothing(&wreck),
        new: Vec::new(),
    };
    let newest = wreck.parts.iter().map(|part| part.header.version).max();
    let version = newest.max(version).unwrap_or_default();
    repair.like.version = version;
    // Version 1 has no replacements.
    let verified: Vec<(SegmentId, Lsn)> = verified;
    let in_place = version >= Version::V2;
    let verified = if in_place { &verified[..] } else { &[] };
    let mut facts = inspect(&**storage, &wreck, &damaged, verified)?;
    facts.last = repair.last_of(&facts)?;
    if in_place {
        repair.find_replacements(slots(&wreck, &facts))?;
    }
    let plan = plan(&repair.facts_after(&facts, &[]));
    if plan.copy {
        repair.read_end(&plan)?;
    }
    repair.report(&mut report, &plan)?;
    check_space(&**storage, &wreck, report.bytes_needed)?;
    if mode == RepairMode::Apply {
        repair.apply(&facts, &plan)?;
    }
    Ok(report)
}

/// A repair that is planned.
struct Repair<'a> {
    ground: &'a Ground,
    /// A header of the log, for the sizes of new ones.
    like: SegmentHeader,
    wreck: &'a Wreck,
    /// Segments that are written anew under their ids.
    replacements: Vec<Replacement>,
    /// What is copied from the log's end.
    behind: Rest,
    /// The headers of the segments to which it is copied.
    new: Vec<SegmentHeader>,
}

impl Repair<'_> {
    fn storage(&self) -> &Arc<dyn Storage> {
        &self.ground.storage
    }

    fn io(
        &self,
        what: impl Into<std::borrow::Cow<'static, str>>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let location = self.wreck.location.clone();
        let what = what.into().into_owned();
        move |error| Error::io(location, what, error)
    }

    fn header(&self, id: SegmentId) -> Result<SegmentHeader> {
        let drawn = header(&*self.ground.entropy, id, &self.like);
        drawn.map_err(self.io("drawing an epoch"))
    }

    /// The last LSN that anything speaks of. A record after a torn group may be whole, though no header speaks of it.
    fn last_of(&self, facts: &Facts) -> Result<Lsn> {
        let (Some(newest), Some(found)) = (self.wreck.parts.last(), facts.parts.last()) else {
            return Ok(facts.last);
        };
        let behind = (found.end.lsn, facts.last.max(found.end.lsn));
        let parts = vec![newest.clone()];
        let behind = Rest::read_parts(self.storage(), parts, behind, None)?;
        Ok(facts.last.max(behind.last))
    }

    /// Reads the segments that are written anew.
    fn find_replacements(&mut self, slots: Vec<Slot>) -> Result<()> {
        let now = self.ground.clock.unix();
        for slot in slots {
            let header = SegmentHeader {
                origin: Origin::Replacement,
                replaces: Some(slot.replaces),
                ..self.header(slot.id)?
            };
            let found = Replacement::read(self.storage(), self.wreck, slot, header, now)?;
            self.replacements.push(found);
        }
        Ok(())
    }

    /// The facts once the replacements are there, which end at `ends`.
    fn facts_after(&self, facts: &Facts, ends: &[GroupEnd]) -> Facts {
        let replaced = self.replacements.iter().enumerate().map(|(at, found)| {
            // Not written yet.
            let planned = GroupEnd {
                lsn: found.slot.last,
                offset: wal_format::HEADER_LEN,
                digest: 0,
            };
            let end = ends.get(at).copied().unwrap_or(planned);
            (found.slot.clone(), found.header.epoch, end)
        });
        facts.repaired(&replaced.collect::<Vec<_>>())
    }

    /// Reads what is copied from the log's end.
    fn read_end(&mut self, plan: &RepairPlan) -> Result<()> {
        let mut id = self.wreck.listing.next_id();
        let first = self.header(id)?;
        self.behind = Rest::read(self.storage(), self.wreck, plan.after, &first)?;
        for _ in &self.behind.pieces {
            let header = self.header(id)?;
            self.new.push(header);
            id = id.next();
        }
        Ok(())
    }

    /// The ids of the files whose bytes are kept.
    fn quarantined(&self, plan: &RepairPlan) -> Vec<SegmentId> {
        let parts = &self.wreck.parts;
        let files = self.replacements.iter().flat_map(|found| {
            // It may have another name than its own.
            let part = found.slot.part.map(|at| parts[at].file);
            [Some(found.slot.id), part].into_iter().flatten()
        });
        let files = files.filter(|id| self.wreck.listing.segments.contains(id));
        let mut ids: Vec<SegmentId> = files.chain(plan.quarantine.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What the plan means.
    fn report(&self, report: &mut RepairReport, plan: &RepairPlan) -> Result<()> {
        let name = |id: &SegmentId| wal_format::segment_name(*id);
        report.quarantined = self.quarantined(plan).iter().map(name).collect();
        report.removed = plan.remove.iter().map(name).collect();
        report.last_lsn = self.behind.last;
        for found in &self.replacements {
            report.replaced.push(found.slot.id);
            report.bytes_needed += found.len();
        }
        let contents = self.replacements.iter().map(|found| &found.content);
        for content in contents.chain([&self.behind]) {
            report.gaps.extend_from_slice(&content.gaps);
            report.records_kept += content.records;
        }
        for (piece, header) in self.behind.pieces.iter().zip(&self.new) {
            report.new_segments.push(header.segment_id);
            let size = piece.needs(header.alignment).size(false, *header);
            report.bytes_needed += size.allocated;
        }
        for name in &report.quarantined {
            let len = self
                .storage()
                .open(name, wal_io::OpenMode::Read)
                .and_then(|file| file.len())
                .map_err(self.io(format!("opening {name}")))?;
            report.bytes_needed += len;
        }
        Ok(())
    }

    fn apply(&self, facts: &Facts, planned: &RepairPlan) -> Result<()> {
        let storage = self.storage();
        // Copies that a crash has cut short take space that this one may need.
        for id in &self.wreck.listing.temporaries {
            let _ = storage.remove(&wal_format::temporary_name(*id));
        }
        // Every damaged byte is kept.
        quarantine(&**storage, &self.quarantined(planned))?;
        let outcome = self.write(facts);
        if outcome.is_err() {
            for found in &self.replacements {
                found.discard(&**storage);
            }
        }
        outcome?;
        for id in &planned.remove {
            let name = wal_format::segment_name(*id);
            storage
                .remove(&name)
                .map_err(self.io("removing a file that the repaired log does not need"))?;
        }
        storage
            .sync_dir()
            .map_err(self.io("syncing the directory of the repaired log"))
    }

    /// Writes everything, then gives it its names.
    fn write(&self, facts: &Facts) -> Result<()> {
        let storage = self.storage();
        let prepared = self.replacements.iter();
        let ends = prepared.map(|found| found.prepare(storage, self.wreck));
        let ends = ends.collect::<Result<Vec<_>>>()?;
        let plan = plan(&self.facts_after(facts, &ends));
        if plan.copy {
            write(storage, self.wreck, &plan, &self.behind, &self.new, || {
                self.commit_replacements()
            })
        } else {
            self.commit_replacements()
        }
    }

    /// Each rename commits the repair of one segment.
    fn commit_replacements(&self) -> Result<()> {
        let storage = self.storage();
        for found in &self.replacements {
            let committed = found.commit(&**storage);
            committed.map_err(self.io("giving a replacement its name"))?;
        }
        if self.replacements.is_empty() {
            return Ok(());
        }
        storage
            .sync_dir()
            .map_err(self.io("syncing the directory of the repaired log"))
    }
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
    if room >= needed {
        return Ok(());
    }
    Err(Error::NoSpace {
        location: wreck.location.clone(),
        what: format!("a repair, which needs {needed} bytes where {room} are free").into(),
    })
}
