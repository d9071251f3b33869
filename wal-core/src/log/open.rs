//! Opening for writing: lock, recovery, state, threads.

use std::io;

use wal_format::{GroupWriter, History, LinkCause, LogId, SegmentId};

use super::background::Background;
use super::buffers::Buffers;
use super::changes::Changes;
use super::dates::Dates;
use super::engine::{Engine, Parts};
use super::leftovers::Leftovers;
use super::lifecycle::Lifecycle;
use super::prewritten::Prewriting;
use super::progress::Progress;
use super::rights::Rights;
use super::segments::{Active, Found, Segments};
use super::state::State;
use super::truncations::Truncations;
use super::waiters::Waiters;
use crate::clock::Clock;
use crate::directory::{Ground, displaced, displacement, no_space_or_io, take_lock, write_pid};
use crate::entropy::Entropy;
use crate::recovery::{self, Listing, Plan, RecoveryReport, Scan, Tail};
use crate::segment::{ChainEntry, Eras, LiveSegment, Mark};
use crate::settings::{Settings, draw_history, idle_header, new_header};
use crate::sync::Arc;
use crate::{Error, PathCheck, RecoveryMode, RepairMode, Result};

/// How often a directory is looked at anew when it changes under recovery. Each time a page at least has lost what it showed.
const LOOKS: u32 = 16;

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
        let begun = Listing::read(storage)?.is_some_and(|listing| !listing.segments.is_empty());
        if !begun {
            // The parent is synced also where an earlier process has made the directory and died.
            storage
                .create()
                .map_err(|error| io("creating the directory", error))?;
        }
        let lock = take_lock(&ground)?;
        // A refused opener is told which process has the log, even while that one is still recovering it.
        write_pid(storage);
        let mut looks = 1;
        let (mut settings, mut scan, mut plan, mut applied, mut identity) = loop {
            match recover(&ground, settings) {
                // Nothing was changed: what is left is seen by a new look.
                Err(error) if recovery::Changed::is(&error) && looks < LOOKS => looks += 1,
                recovered => break recovered?,
            }
        };
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
        let files = reserve.files - usize::from(state.segments.in_reserve().is_some());
        // What a crash or a session has used is made again.
        state.reserve = whole || recovery::ensure_reserve(storage, reserve, files);
        if settings.path_check == PathCheck::On
            && let Some(what) = displacement(&*ground.storage)
        {
            return Err(displaced(&*ground.storage, what));
        }
        let engine = Self::new(Parts {
            storage: ground.storage,
            settings,
            clock: ground.clock,
            entropy: ground.entropy,
            lock: Some(lock),
            state,
        });
        engine.start_timer()?;
        // An opened log may have work for its threads.
        drop(engine.state());
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
    let mut filling = GroupWriter::new(idle_header(settings, log_id).frame(), 0);
    if let Some(recovered) = applied.recovered {
        let header = recovered.header;
        mark = Mark {
            lsn: plan.last,
            segment: header.segment_id,
            offset: recovered.end_offset.get(),
        };
        chain.push(ChainEntry {
            header,
            first_lsn: recovered.first_lsn,
            histories: recovered.link.histories.clone(),
            end: None,
        });
        let body = &recovered.link;
        if whole && body.cause == LinkCause::TruncatedAfter {
            eras.begin(body.kept, header.segment_id);
        }
        let (end, digest) = (recovered.end_offset, recovered.end_digest);
        filling.reset(header.frame(), end, digest, plan.last.next());
        let segment = Arc::new(LiveSegment::new(header, Arc::clone(&recovered.file)));
        active = Some(Active::of(segment, &recovered));
    }
    let dates = Dates::new(clock, scan.latest);
    filling.set_time(dates.now());
    let written = active.as_ref().map(|active| Arc::clone(&active.segment));
    State {
        buffers: Buffers::new(filling, plan.last.next(), clock.monotonic()),
        life: Lifecycle::Open,
        dates,
        segments: Segments::new(Found {
            log_id,
            next: applied.next_segment,
            chain,
            predecessor: plan.predecessor,
            active,
            unmarked: !plan.report.clean || upgraded,
        }),
        progress: Progress::new(mark, written),
        changes: Changes::new(scan.control.clone(), history),
        truncations: Truncations::new(plan.log_first, eras),
        waiters: Waiters::default(),
        rights: Rights::default(),
        background: Background::new(),
        prewriting: Prewriting::default(),
        leftovers: Leftovers::new(plan.superseded.clone()),
        reserve: false,
    }
}
