//! Opening: is this a store, newest good snapshot, the log's tail behind it, the ordered index; then what a crash left undone.
//!
//! Versions are put into the index from many threads in any order: the highest LSN wins, whatever comes first. Deliberately absent:
//! any repair. Where neither a snapshot nor the log's start can be read, opening is refused.

use std::fmt;
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::clock::Clock;
use wal_core::entropy::Entropy;
use wal_core::{
    Compression, FormatVersion, FsyncPolicy, Lsn, PathCheck, Position, RecordKind, UnixMillis,
};
use wal_io::{OpenMode, Storage};

use super::bound::{Bound, heads_of_restarts, taken};
use super::maintain::Driver;
use super::{Background, Core, Counters, Limits};
use crate::batch::change_of;
use crate::config::{KvConfig, Snapshots};
use crate::files::{Listing, MARKER, Marker, WithoutOwn, read_marker, snapshot_name, write_marker};
use crate::history::{Mark, Marks};
use crate::index::{Change, Index, Loader, Shown, Version};
use crate::report::{OpenPhase, OpenProgress, OpenReport, SnapshotReport};
use crate::snapshot::{Reader, Unusable};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, cores, in_parallel};
use crate::time::Time;
use crate::{Error, Result};

/// Who is told of the progress of opening.
pub(crate) type Progress = Arc<dyn Fn(OpenProgress) + Send + Sync>;

/// What the builder decided.
pub(crate) struct Settings {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) config: KvConfig,
    pub(crate) keeps_segment_size: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Option<Arc<dyn Entropy>>,
    pub(crate) small_segments: bool,
    pub(crate) record_limit: Option<u64>,
    pub(crate) format_version: Option<FormatVersion>,
    pub(crate) lock_wait: Duration,
    pub(crate) view_memory_limit: Option<u64>,
    pub(crate) snapshot_after: u64,
    pub(crate) compression: Compression,
    pub(crate) driver: Driver,
    pub(crate) progress: Option<Progress>,
    pub(crate) path_check: PathCheck,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("storage", &self.storage)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Settings {
    fn threads(&self) -> usize {
        match (self.driver, self.config.open_threads) {
            // The same operations in the same order.
            (Driver::Caller, _) => 1,
            (Driver::Thread, 0) => cores(),
            (Driver::Thread, threads) => threads,
        }
    }

    fn log(&self) -> wal_core::Builder<Wal> {
        let hidden = WithoutOwn(Arc::clone(&self.storage));
        let mut builder = Wal::builder("")
            .storage(Arc::new(hidden))
            .config(self.config.log())
            .clock(Arc::clone(&self.clock))
            .lock_wait(self.lock_wait)
            .path_check(self.path_check);
        if self.keeps_segment_size {
            builder = builder.keep_segment_size();
        }
        if let Some(entropy) = &self.entropy {
            builder = builder.entropy(Arc::clone(entropy));
        }
        if let Some(limit) = self.record_limit {
            builder = builder.record_limit(limit);
        }
        if let Some(version) = self.format_version {
            builder = builder.format_version(version);
        }
        if self.small_segments {
            builder = builder.small_segments();
        }
        if self.driver == Driver::Caller {
            builder = builder.driven_by_caller();
        }
        builder
    }

    fn tell(&self, phase: OpenPhase, done: u64, total: u64) {
        if let Some(progress) = &self.progress {
            progress(OpenProgress { phase, done, total });
        }
    }
}

/// What was found in the store's own files.
#[derive(Debug, Default)]
struct Found {
    snapshot: Option<SnapshotReport>,
    damaged: Vec<(String, String)>,
}

/// What the log had behind the snapshot.
#[derive(Debug, Default)]
struct Replayed {
    records: u64,
    bytes: u64,
    /// The most versions that were held at a time.
    versions: u64,
}

impl Core {
    /// Opens or creates the store.
    pub(crate) fn open(settings: Settings) -> Result<Self> {
        settings.config.check()?;
        let begun = settings.clock.monotonic();
        let storage = Arc::clone(&settings.storage);
        let before = Listing::read(&*storage)?;
        if !before.marker && before.exists {
            refuse_plain_log(&settings)?;
        }
        if before.marker {
            // A version that is not known is met before anything is changed.
            read_marker(&*storage)?;
        }
        let wal = settings.log().open()?;
        // Nobody else changes the directory from here on.
        let listing = Listing::read(&*storage)?;
        if !listing.marker || read_marker(&*storage)? == Marker::Unreadable {
            claim(&*storage, &wal, &listing)?;
        }
        let leftovers = remove_leftovers(&*storage, listing.temporaries)?;
        let policy = settings.config.fsync_policy;
        let shown = match policy {
            FsyncPolicy::Always => Shown::WhenDurable,
            _ => Shown::AtOnce,
        };
        let mut index = Index::new(shown, Time::new(Arc::clone(&settings.clock)));
        let oldest = listing.snapshots.first().copied();
        let (found, replayed, expired) = load(&settings, &wal, &mut index, listing.snapshots)?;
        let snapshot = found.snapshot;
        let background = Background::new(policy, settings.driver);
        let automatic = settings.config.snapshots != Snapshots::OnCall;
        let (disk_room, segment) = if automatic {
            disk(&settings, wal.segment_size())
        } else {
            (None, 0)
        };
        let keys = index.len(|| wal.last_lsn().get()) as u64;
        let report = OpenReport {
            snapshot: snapshot.map(|snapshot| snapshot.lsn),
            snapshot_pairs: snapshot.map_or(0, |snapshot| snapshot.pairs),
            snapshot_bytes: snapshot.map_or(0, |snapshot| snapshot.bytes),
            damaged: found.damaged,
            records: replayed.records,
            expired: expired as u64,
            keys,
            most_versions: replayed.versions,
            leftovers,
            disk_bound: None,
            disk_room,
            time: settings.clock.monotonic().saturating_sub(begun),
            log: wal.recovery_report().clone(),
        };
        let counters = Counters::default();
        let heads = heads_of_restarts(wal.stats().segments, replayed.bytes, segment);
        counters
            .log_bytes
            .store(replayed.bytes + heads, Ordering::Relaxed);
        let snapshot_lsn = snapshot.map_or(0, |snapshot| snapshot.lsn.get());
        counters.snapshot_lsn.store(snapshot_lsn, Ordering::Relaxed);
        let bytes_of_it = snapshot.map_or(0, |snapshot| snapshot.bytes);
        counters.snapshot_len.store(bytes_of_it, Ordering::Relaxed);
        let end = wal.current_position();
        counters
            .end_segment
            .store(end.segment_id.get(), Ordering::Relaxed);
        counters
            .end_offset
            .store(end.offset.get(), Ordering::Relaxed);
        let mut core = Self {
            wal,
            index: Arc::new(index),
            storage,
            clock: settings.clock,
            snapshots: settings.config.snapshots,
            snapshot_after: settings.snapshot_after,
            limits: Limits {
                live: settings.config.memory_limit,
                views: settings.view_memory_limit.or(settings.config.memory_limit),
            },
            compression: settings.compression,
            report,
            last_snapshot: Mutex::new(snapshot),
            counters,
            background,
            bound: Bound::new(segment),
        };
        let due = core.due_length();
        core.bound
            .set_for_log(due.unwrap_or(u64::MAX / 8), core.log_bytes());
        core.report.disk_bound = core.disk_bound(bytes_of_it);
        if core.index.ledger().has_expiring() {
            core.background.has_expiring_keys();
        }
        // A crash may have come between a snapshot and the cut, or between the cut and the removal of the snapshot before. Best
        // effort: the next snapshot does it too.
        if let Some(lsn) = core.report.snapshot {
            let older = oldest.is_some_and(|oldest| oldest < lsn);
            if core.wal.first_lsn() <= lsn || older {
                let _ = core.retire_before(lsn);
            }
        }
        Ok(core)
    }
}

/// Bytes that the disk has for the store, if that can be told, and the length of the longest segment: new ones have `new` bytes.
fn disk(settings: &Settings, new: u64) -> (Option<u64>, u64) {
    // It is for a warning only: no reason not to open.
    let Ok((taken, longest)) = taken(&*settings.storage) else {
        return (None, new);
    };
    // One that was closed has no more than its records.
    let segment = longest.max(new);
    let free = settings.storage.free_space().ok().flatten();
    (free.map(|free| free.saturating_add(taken)), segment)
}

/// A directory without the marker: a log that has records is not ours.
fn refuse_plain_log(settings: &Settings) -> Result<()> {
    let view = match settings.log().read_only().open() {
        Ok(view) => view,
        // There is no log yet; or it is for the writer to recover.
        Err(wal_core::Error::NotALog { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    check_empty(&*settings.storage, &view)
}

fn check_empty(storage: &dyn Storage, wal: &Wal) -> Result<()> {
    // A truncated log had records too.
    let last_lsn = wal.last_lsn();
    if last_lsn == Lsn::ZERO {
        return Ok(());
    }
    // Only a store has snapshots, so this is a store whose marker was moved away.
    if !Listing::read(storage)?.snapshots.is_empty() {
        return Err(Error::NoMarker {
            location: storage.location(),
            name: MARKER.into(),
        });
    }
    Err(Error::PlainLog {
        location: storage.location(),
        last_lsn,
    })
}

/// Makes a new directory a store. The marker is durable before the first record is.
fn claim(storage: &dyn Storage, wal: &Wal, listing: &Listing) -> Result<()> {
    if !listing.marker {
        check_empty(storage, wal)?;
    }
    write_marker(storage)
}

fn remove_leftovers(storage: &dyn Storage, names: Vec<String>) -> Result<Vec<String>> {
    for name in &names {
        match storage.remove(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let what = "removing an unfinished file";
                return Err(Error::io(storage.location(), what, error));
            }
            Err(_) | Ok(()) => {}
        }
    }
    Ok(names)
}

/// Fills the index. What was found, what was replayed, and how many keys had expired.
fn load(
    settings: &Settings,
    wal: &Wal,
    index: &mut Index,
    snapshots: Vec<Lsn>,
) -> Result<(Found, Replayed, usize)> {
    let threads = settings.threads();
    let mut loader = index.loader();
    let (found, time) = load_snapshot(settings, wal, &mut loader, snapshots)?;
    let snapshot = found.snapshot.map_or(Lsn::ZERO, |snapshot| snapshot.lsn);
    let (mut replayed, marks) = replay(settings, wal, &mut loader, snapshot)?;
    let last = wal.last_lsn().max(snapshot);
    let history = marks.into_history(time);
    let keys = loader.keys();
    replayed.versions = loader.most();
    settings.tell(OpenPhase::Index, 0, keys);
    let expired = loader.finish(last.get(), &history, threads);
    settings.tell(OpenPhase::Index, keys, keys);
    Ok((found, replayed, expired))
}

/// Reads the newest snapshot that is good and that the log goes on from; says how late it was then.
fn load_snapshot(
    settings: &Settings,
    wal: &Wal,
    loader: &mut Loader<'_>,
    snapshots: Vec<Lsn>,
) -> Result<(Found, UnixMillis)> {
    let storage = &*settings.storage;
    let first_lsn = wal.first_lsn();
    let mut damaged = Vec::new();
    // A snapshot gets its name when the log is durable up to it.
    if let Some(newest) = snapshots.last()
        && *newest > wal.last_lsn()
    {
        return Err(Error::LogTooShort {
            location: storage.location(),
            snapshot: *newest,
            last_lsn: wal.last_lsn(),
        });
    }
    for lsn in snapshots.into_iter().rev() {
        // The log has lost the records behind an older one.
        if lsn.next() < first_lsn {
            break;
        }
        let name = snapshot_name(lsn);
        match read_snapshot(settings, loader, lsn) {
            Ok((snapshot, time)) => {
                let found = Found {
                    snapshot: Some(snapshot),
                    damaged,
                };
                return Ok((found, time));
            }
            Err(Unusable::Damaged(what)) => damaged.push((name, what)),
            Err(Unusable::Version(version)) => {
                return Err(Error::UnknownVersion {
                    location: storage.location(),
                    name,
                    version,
                    known: crate::snapshot::VERSION,
                });
            }
            Err(Unusable::Io(error)) => {
                return Err(Error::io(storage.location(), "reading a snapshot", error));
            }
        }
        loader.clear();
    }
    if first_lsn > Lsn::FIRST {
        return Err(Error::NoSnapshot {
            location: storage.location(),
            first_lsn,
            damaged,
        });
    }
    let found = Found {
        snapshot: None,
        damaged,
    };
    Ok((found, UnixMillis::default()))
}

fn read_snapshot(
    settings: &Settings,
    loader: &mut Loader<'_>,
    lsn: Lsn,
) -> Result<(SnapshotReport, UnixMillis), Unusable> {
    let file = settings.storage.open(&snapshot_name(lsn), OpenMode::Read)?;
    let reader = Reader::open(file, lsn.get())?;
    loader.reserve(reader.pairs() as usize);
    let (done, total) = (AtomicU64::new(0), reader.len());
    settings.tell(OpenPhase::Snapshot, 0, total);
    let shared = &*loader;
    let blocks = reader.read(
        settings.threads(),
        |versions| {
            shared.put_sorted(&versions);
            versions
        },
        |bytes| {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            settings.tell(OpenPhase::Snapshot, done, total);
        },
    )?;
    settings.tell(OpenPhase::Snapshot, total, total);
    loader.set_sorted(blocks);
    let report = SnapshotReport {
        lsn,
        pairs: reader.pairs(),
        raw_bytes: reader.raw(),
        bytes: reader.len(),
        time: Duration::ZERO,
    };
    Ok((report, reader.time()))
}

/// Records that one thread reads before it looks for more work.
const PART: u64 = 1 << 16;
/// Records that are put into the index together, and their bytes.
const PUT_AT_ONCE: (usize, u64) = (1 << 12, 1 << 20);

/// Reads the log behind `snapshot`, in parts, on many threads. The marks in it are for when all has been read.
fn replay(
    settings: &Settings,
    wal: &Wal,
    loader: &mut Loader<'_>,
    snapshot: Lsn,
) -> Result<(Replayed, Marks)> {
    let first = snapshot.next().max(wal.first_lsn());
    let total = (wal.last_lsn().get() + 1).saturating_sub(first.get());
    let threads = settings.threads();
    // Many small parts end together; few if one thread reads anyway.
    let part = if threads < 2 { total.max(1) } else { PART };
    let done = AtomicU64::new(0);
    settings.tell(OpenPhase::Log, 0, total);
    let count = total.div_ceil(part) as usize;
    let bounds = |at: usize| {
        let from = first.get() + at as u64 * part;
        (from, (from + part).min(first.get() + total))
    };
    loader.set_parts((0..count).map(bounds));
    let loader = &*loader;
    let parts: Vec<Result<_>> = in_parallel(threads, count, |at| {
        let (from, to) = bounds(at);
        let part = replay_part(wal, loader, at, (from, to))?;
        let done = done.fetch_add(to - from, Ordering::Relaxed) + (to - from);
        settings.tell(OpenPhase::Log, done, total);
        Ok(part)
    });
    let (mut bytes, mut marks) = (0, Marks::default());
    for part in parts {
        let (bytes_of_it, marks_of_it) = part?;
        bytes += bytes_of_it;
        marks.append(marks_of_it);
    }
    let replayed = Replayed {
        records: total,
        bytes,
        versions: 0,
    };
    Ok((replayed, marks))
}

fn replay_part(
    wal: &Wal,
    loader: &Loader<'_>,
    at: usize,
    (from, to): (u64, u64),
) -> Result<(u64, Marks)> {
    let mut reader = wal.read_from(Lsn::new(from))?;
    let mut versions = Vec::new();
    let mut marks = Marks::default();
    let mut scratch = Vec::new();
    let (mut bytes, mut put_at) = (0, PUT_AT_ONCE.1);
    let mut before: Option<Position> = None;
    for _ in from..to {
        let Some((record, position)) = reader.next_record()? else {
            break;
        };
        let lsn = position.lsn.get();
        bytes += match before.replace(position) {
            // From record to record, with the heads of groups.
            Some(before) if before.segment_id == position.segment_id => {
                position.offset.get().saturating_sub(before.offset.get())
            }
            // The last one of a segment, or the one before this part, about.
            Some(_) | None => (record.key.len() + record.value.len()) as u64 + 64,
        };
        match change_of(&record) {
            Some(Change::Put {
                key,
                value,
                expires_at,
            }) => versions.push(Version::put(&mut scratch, lsn, key, value, expires_at)),
            Some(Change::Delete { key }) => versions.push(Version::tombstone(lsn, key)),
            None => {
                debug_assert!(record.kind() == RecordKind::Data, "only data has no key");
                let mark = Mark::decode(&record.value).ok_or(Error::UnknownRecord { position })?;
                marks.note(lsn, mark);
            }
        }
        if versions.len() >= PUT_AT_ONCE.0 || bytes >= put_at {
            put_at = bytes + PUT_AT_ONCE.1;
            loader.put_tail(at, std::mem::take(&mut versions), lsn + 1);
        }
    }
    loader.put_tail(at, versions, to);
    Ok((bytes, marks))
}
