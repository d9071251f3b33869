//! Opening for writing: lock, recovery, state, threads.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use wal_format::{
    History, LOCK_NAME, LOCK_PID_NAME, LinkCause, LogId, Lsn, Origin, Place, SegmentHeader,
    SegmentId, UnixMillis, Version,
};
use wal_io::{OpenMode, Process, Storage, StorageFileExt, StorageLock};

use super::ahead::Ahead;
use super::control::Pending;
use super::dates::Dates;
use super::eras::Eras;
use super::figures::Locked;
use super::parked::{Maintenance, Parked};
use super::requests::Requests;
use super::rotate::new_header;
use super::state::{
    Active, Appended, ChainEntry, Dirty, Gate, LiveSegment, Mark, Provision, State, Status,
    empty_writer,
};
use super::waiters::{Offers, Waiters};
use super::{Engine, Settings, displaced, displacement};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::error::is_no_space;
use crate::recovery::{self, Listing, Plan, RecoveryReport, Reserve, Scan, Tail};
use crate::segment::{Files, Hint};
use crate::stats::Counters;
use crate::sync::{self, Arc, AtomicBool, AtomicU64, Condvar, Mutex};
use crate::{Error, RecoveryMode, RepairMode, Result, sabotage};

/// How often a directory is looked at anew when it changes under recovery. Each time a page at least has lost what it showed.
const LOOKS: u32 = 16;

/// How often a locked directory is tried again while waiting.
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// What the engine stands on.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) lock_wait: Duration,
}

impl Engine {
    /// Opens or creates the log; repairs it first where the settings say so and it does not open.
    pub(crate) fn open(ground: Ground, settings: &Settings) -> Result<(Arc<Self>, RecoveryReport)> {
        if settings.recovery != RecoveryMode::Salvage {
            return Self::open_whole(ground, settings);
        }
        match Self::open_whole(ground.clone(), settings) {
            Err(Error::Corruption(_) | Error::MissingSegment { .. }) => {
                let repair =
                    crate::repair::repair_on(&ground, RepairMode::Apply, settings.sizes.version)?;
                let (engine, mut report) = Self::open_whole(ground, settings)?;
                report.repair = Some(Box::new(repair));
                Ok((engine, report))
            }
            outcome => outcome,
        }
    }

    fn open_whole(ground: Ground, settings: &Settings) -> Result<(Arc<Self>, RecoveryReport)> {
        let storage = &*ground.storage;
        let io = |what: &'static str, error| no_space_or_io(storage, what, error);
        // Before anything is written: is this a place for a log?
        let mut begun = Listing::read(storage)?.is_some_and(|listing| !listing.segments.is_empty());
        // The parent is synced also where an earlier process has made the directory and died.
        begun |= sabotage::is("parent-of-a-made-directory-not-synced") && storage.list().is_ok();
        if !begun {
            storage
                .create()
                .map_err(|error| io("creating the directory", error))?;
        }
        let lock = take_lock(&ground)?;
        // A refused opener is told which process has the log, even while that one is still recovering it.
        let late = sabotage::is("pid-written-after-recovery");
        if !late {
            write_pid(storage);
        }
        let mut looks = 1;
        let (mut settings, mut scan, mut plan, mut applied, mut identity) = loop {
            match recover(&ground, settings) {
                // Nothing was changed: what is left is seen by a new look.
                Err(error) if recovery::Changed::is(&error) && looks < LOOKS => looks += 1,
                recovered => break recovered?,
            }
        };
        if late {
            write_pid(storage);
        }
        if applied.is_in_reserve() && !plan.cut.is_empty() {
            // The space that was given back may do for another segment.
            match recover(&ground, &settings) {
                Ok(again) => {
                    let report = plan.report;
                    (settings, scan, plan, applied, identity) = again;
                    plan.report = report;
                }
                // No other file: it stays where it is.
                Err(Error::NoSpace { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut state = initial_state(&settings, &scan, &plan, applied, identity, &*ground.clock);
        let reserve = settings.reserve();
        let whole = scan.listing.reserves >= reserve.files && plan.copy.is_none();
        // After a clean stop it was whole, so no file is opened to check it.
        let newest = scan.chain.last().map(|link| &link.facts.header);
        let whole = whole && plan.report.clean && newest.is_some_and(|it| settings.continues(it));
        let files = state.reserve_files(reserve);
        // What a crash or a session has used is made again.
        let remade = plan.copy.is_none() || !sabotage::is("reserve-not-remade");
        state.reserve = whole || (remade && recovery::ensure_reserve(storage, reserve, files));
        let durable = AtomicU64::new(state.durable.lsn.get());
        if settings.path_check
            && let Some(what) = displacement(&*ground.storage)
        {
            return Err(displaced(&*ground.storage, what));
        }
        let era = state.eras.now().0;
        let engine = Arc::new(Self {
            process: Process::current(),
            files: Files::new(Arc::clone(&ground.storage)),
            storage: ground.storage,
            settings,
            clock: ground.clock,
            entropy: ground.entropy,
            locked: Locked::new(state),
            durable,
            poisoned: AtomicBool::new(false),
            quick: AtomicBool::new(false),
            era: AtomicU64::new(era),
            writer: Condvar::default(),
            syncer: Condvar::default(),
            keeper: Condvar::default(),
            leaders: Condvar::default(),
            dir_sync: Mutex::new(None),
            counters: Counters::default(),
            // One writer, as long as it lives.
            lock: Mutex::new(Some(lock).filter(|_| !sabotage::is("lock-let-go"))),
            threads: Mutex::new(Vec::new()),
        });
        if let Err(error) = engine.start_threads() {
            engine.stop_threads();
            return Err(error);
        }
        Ok((engine, plan.report))
    }
}

/// What tells the log, and what this session appends, from others.
#[derive(Clone, Copy, Debug)]
struct Identity {
    log_id: LogId,
    history: History,
}

/// Scan, plan, apply.
fn recover(
    ground: &Ground,
    settings: &Settings,
) -> Result<(Settings, Scan, Plan, recovery::Applied, Identity)> {
    let storage = &*ground.storage;
    let listing = Listing::read_locked(storage)?;
    let scan = recovery::scan(&ground.storage, listing)?;
    let settings = settings.clone().for_log(&scan)?;
    let mut plan = recovery::plan(&scan)?;
    plan.report.other_node_ids = scan.other_node_ids(Some(settings.config.node_id));
    check_tail(&settings, &scan, &plan)?;
    let newest = scan.chain.last().map(|link| &link.facts);
    let log_id = match newest.or(scan.above.first()) {
        Some(facts) => facts.header.log_id,
        None => draw_log_id(&*ground.entropy)
            .map_err(|error| no_space_or_io(storage, "drawing an id for the log", error))?,
    };
    let history = draw_history(&settings, &*ground.entropy)
        .map_err(|error| no_space_or_io(storage, "drawing a history for the log", error))?;
    let header = |id: SegmentId| new_header(&settings, &*ground.entropy, id, log_id);
    let new = recovery::NewSegment {
        header: &header,
        preallocate: settings.config.preallocate,
        history,
        reserve: settings.reserve(),
    };
    let applied = recovery::apply(storage, &scan, &plan, &new)?;
    let identity = Identity { log_id, history };
    Ok((settings, scan, plan, applied, identity))
}

/// A torn tail is refused where the caller has asked for that.
fn check_tail(settings: &Settings, scan: &Scan, plan: &Plan) -> Result<()> {
    match (settings.recovery, plan.report.tail) {
        (
            RecoveryMode::Strict,
            Tail::Torn {
                segment_id,
                offset,
                bytes,
            },
        ) => Err(Error::TornTail {
            location: scan.location.clone(),
            segment_id,
            offset,
            bytes,
        }),
        _ => Ok(()),
    }
}

/// Takes the writer's lock.
pub(crate) fn take_lock(ground: &Ground) -> Result<Box<dyn StorageLock>> {
    let storage = &*ground.storage;
    let begun = ground.clock.monotonic();
    loop {
        let lock = storage.try_lock(LOCK_NAME).map_err(|error| {
            let what = "locking the directory (may this user write there?)";
            no_space_or_io(storage, what, error)
        })?;
        if let Some(lock) = lock {
            return Ok(lock);
        }
        if ground.clock.monotonic().saturating_sub(begun) >= ground.lock_wait {
            return Err(Error::Locked {
                location: storage.location(),
                pid: read_pid(storage),
            });
        }
        sync::sleep(LOCK_RETRY);
    }
}

pub(crate) fn no_space_or_io(storage: &dyn Storage, what: &'static str, error: io::Error) -> Error {
    if is_no_space(&error) {
        return Error::NoSpace {
            location: storage.location(),
            what: what.into(),
        };
    }
    Error::io(storage.location(), what, error)
}

/// The process that wrote its id last.
pub(crate) fn read_pid(storage: &dyn Storage) -> Option<u32> {
    let file = storage.open(LOCK_PID_NAME, OpenMode::Read).ok()?;
    let mut bytes = [0; 16];
    let len = file.read_full_at(&mut bytes, 0).ok()?;
    std::str::from_utf8(&bytes[..len]).ok()?.trim().parse().ok()
}

/// Written right after locking, before anything slow. Only the message of another opener uses it: best effort, never synced.
pub(crate) fn write_pid(storage: &dyn Storage) {
    let file = storage
        .open(LOCK_PID_NAME, OpenMode::ReadWrite)
        .or_else(|_| storage.open(LOCK_PID_NAME, OpenMode::CreateNew));
    if let Ok(file) = file {
        let pid = format!("{}\n", std::process::id());
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all_at(pid.as_bytes(), 0));
    }
}

/// A history for records that are appended from now on. Segments of version 1 have none.
pub(super) fn draw_history(settings: &Settings, entropy: &dyn Entropy) -> io::Result<History> {
    let mut history = 0;
    while settings.version >= Version::V2 && history == 0 {
        history = entropy.next()?;
        // A record whose LSN was given again has another history than the one before it.
        if sabotage::is("history-not-renewed") {
            history = 1;
        }
    }
    Ok(History::new(history))
}

fn draw_log_id(entropy: &dyn Entropy) -> io::Result<LogId> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&entropy.next()?.to_le_bytes());
    bytes[8..].copy_from_slice(&entropy.next()?.to_le_bytes());
    Ok(LogId::from_bytes(bytes))
}

fn initial_state(
    settings: &Settings,
    scan: &Scan,
    plan: &Plan,
    applied: recovery::Applied,
    Identity { log_id, history }: Identity,
    clock: &dyn Clock,
) -> State {
    let mut chain: Vec<ChainEntry> = scan.chain[..plan.kept]
        .iter()
        .map(|link| ChainEntry {
            header: link.facts.header,
            first_lsn: link.link.first_lsn,
            histories: link.link.body.histories.clone(),
            end: Some((link.end.lsn, link.end.offset)),
        })
        .collect();
    let whole = plan.copy.is_some_and(|copy| copy.whole);
    if let (Some(predecessor), Some(last), false) = (plan.predecessor, chain.last_mut(), whole) {
        last.end = Some((
            plan.copy.map_or(plan.last, |copy| copy.after.lsn),
            predecessor.end_offset.get(),
        ));
    }
    let mut mark = Mark {
        lsn: plan.last,
        segment: chain
            .last()
            .map_or(SegmentId::NONE, |entry| entry.header.segment_id),
        offset: chain
            .last()
            .and_then(|entry| entry.end)
            .map_or(0, |(_, end)| end),
    };
    // What the log itself knows about truncations.
    let mut eras = Eras::default();
    for link in &scan.chain[..plan.kept] {
        let body = &link.link.body;
        if body.cause == LinkCause::TruncatedAfter {
            eras.begin(body.kept, link.facts.id());
        }
    }
    let is_older = |newest: &ChainEntry| newest.header.version < settings.version;
    let upgraded = chain.last().is_some_and(is_older);
    let mut active = None;
    let mut dirty = VecDeque::new();
    let mut filling = empty_writer(idle_header(settings, log_id));
    if let Some(recovered) = applied.recovered {
        let end = recovered.end_offset.get();
        mark = Mark {
            lsn: plan.last,
            segment: recovered.header.segment_id,
            offset: end,
        };
        chain.push(ChainEntry {
            header: recovered.header,
            first_lsn: recovered.first_lsn,
            histories: recovered.link.histories.clone(),
            end: None,
        });
        if whole {
            let body = &recovered.link;
            if body.cause == LinkCause::TruncatedAfter {
                eras.begin(body.kept, recovered.header.segment_id);
            }
        }
        let header = recovered.header;
        filling.reset(
            header.frame(),
            recovered.end_offset,
            recovered.end_digest,
            plan.last.next(),
        );
        let segment = Arc::new(LiveSegment::new(header, Arc::clone(&recovered.file)));
        dirty.push_back(Dirty {
            segment: Arc::clone(&segment),
            written: end,
            written_lsn: plan.last,
            synced: end,
            synced_lsn: plan.last,
            end: None,
        });
        active = Some(Active::of(segment, &recovered));
    }
    let dates = Dates::new(clock, scan.latest);
    filling.set_time(dates.now());
    State {
        status: Status::Open,
        log_id,
        log_first: plan.log_first,
        history,
        control: scan.control.clone(),
        changes: Pending::default(),
        control_serial: 0,
        stamped_serial: 0,
        dates,
        next_lsn: plan.last.next(),
        next_segment: applied.next_segment,
        predecessor: plan.predecessor.filter(|_| active.is_none()),
        unmarked: (!plan.report.clean || upgraded) && active.is_none(),
        renamed: mark.segment,
        dir_synced: mark.segment,
        active,
        filling,
        gate: Gate::default(),
        appended: Appended::default(),
        filling_since: None,
        filling_serial: 1,
        filling_watermark: Lsn::ZERO,
        frozen: VecDeque::new(),
        free: Vec::new(),
        writing: false,
        syncing: false,
        lonely: 0,
        committed: 0,
        rewinding: false,
        rewinds: Requests::default(),
        eras,
        written: mark,
        durable: mark,
        written_serial: 0,
        synced_serial: 0,
        written_watermark: plan.last,
        proven: plan.last,
        dirty,
        unsynced: VecDeque::new(),
        sealing: VecDeque::new(),
        sealing_busy: false,
        spare: None,
        next_spare: Provision::default(),
        ahead: Ahead::default(),
        extension: Provision::default(),
        chain: Arc::new(chain),
        cut_serial: 0,
        cut_segment: SegmentId::NONE,
        reserve: false,
        forgets: Requests::default(),
        superseded: plan.superseded.clone(),
        replaced: VecDeque::new(),
        giving_back: false,
        retiring: VecDeque::new(),
        retiring_busy: false,
        last_append: clock.monotonic(),
        waiters: Waiters::default(),
        offers: Offers::default(),
        commit_requested: false,
        close_requested: false,
        closing: false,
        stopping: false,
        parked: Parked::default(),
        maintained: Maintenance::default(),
    }
}

impl Settings {
    /// Whether the reserve of a log with such a newest segment is long enough.
    fn continues(&self, newest: &SegmentHeader) -> bool {
        let same = newest.version == self.version
            && newest.log_capacity == self.config.max_segment_size
            && newest.alignment == self.alignment;
        same || !self.reserve().is_kept()
    }

    /// The space that the log keeps for a full disk.
    pub(super) fn reserve(&self) -> Reserve {
        let size = self.config.max_segment_size;
        Reserve::of(&SegmentHeader {
            capacity: size,
            log_capacity: size,
            version: self.version,
            ..idle_header(self, LogId::from_bytes([0; 16]))
        })
    }
}

/// A place holder for the writer's header while there is no active segment.
fn idle_header(settings: &Settings, log_id: LogId) -> SegmentHeader {
    SegmentHeader {
        log_id,
        segment_id: SegmentId::NONE,
        epoch: wal_format::Epoch::new(0),
        capacity: 0,
        record_limit: 0,
        node_id: settings.config.node_id,
        alignment: settings.alignment,
        allocated: 0,
        origin: Origin::Spare,
        version: Version::V1,
        replaces: None,
        log_capacity: 0,
        log_record_limit: 0,
    }
}

/// Where in a segment the first group is that ended at or after a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dated {
    /// There is none.
    Before,
    /// The group with this first LSN.
    In(Lsn),
    /// This group, or one after it.
    From(Hint),
}

/// What readers ask of the engine.
impl Engine {
    /// The writer's own index of the active segment: a place at or before `lsn`.
    pub(crate) fn indexed(&self, id: SegmentId, lsn: Lsn) -> Option<Hint> {
        let state = self.state();
        let active = state
            .active
            .as_ref()
            .filter(|active| active.segment.id() == id)?;
        active.index.group_before(lsn)
    }

    /// The same for a single record: the last record or group at or before it.
    pub(crate) fn place_before(&self, id: SegmentId, lsn: Lsn) -> Option<Place> {
        let state = self.state();
        let active = state.active.as_ref();
        let active = active.filter(|active| active.segment.id() == id)?;
        active.index.place_before(lsn)
    }

    /// What the writer knows of the times of a segment that has no footer yet.
    pub(crate) fn dated(&self, id: SegmentId, time: UnixMillis) -> Option<Dated> {
        let state = self.state();
        let active = state.active.as_ref();
        let active = active.filter(|active| active.segment.id() == id);
        let mut rotated = state.sealing.iter().filter(|it| it.segment.id() == id);
        let index = match active {
            Some(active) => &active.index,
            None => &rotated.next()?.index,
        };
        if index.reaches(time) {
            return index.start_of(time).map(Dated::From);
        }
        // A group has its time when it ends.
        let open = active.and_then(|_| state.filling.open_group_start());
        Some(open.map_or(Dated::Before, |(first, _)| Dated::In(first)))
    }

    /// Whether records from `lsn` on wait to be handed over.
    pub(crate) fn unwritten_from(&self, lsn: Lsn) -> bool {
        let state = self.state();
        state.last_lsn() >= lsn && state.written.lsn < state.last_lsn()
    }
}
