//! What is measured while a life goes on, and when its threads have ended.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use wal_kv::{Snapshots, Stats};

use super::journal::Journal;
use super::opened::{Base, MARGIN, REPLAYED, own_threads};
use super::shared::{Shared, micros};
use crate::harness::Event;
use crate::harness::system::{Memory, OWN, Space, descriptors};

const EVERY: Duration = Duration::from_millis(10);
/// Open files of the log's writing side, the store's directory, and a snapshot that is written and read back.
const DESCRIPTORS: u64 = 16 + 3;
/// Writer, syncer and keeper of the log, the store's own, and the timer that all logs and stores of a process share.
const THREADS: u64 = 5;
/// Files beside the segments of the bound: lock, owner, reserve, marker, first LSN, two snapshots and a temporary one, and the
/// segments that an unclean stop begins early.
const FILES: u64 = 25;
/// What a segment has beside records.
const SEGMENT_HEAD: u64 = 8 << 10;
/// Longest time for what is done each second, in microseconds, on a busy machine.
const SOON: u64 = 15_000_000;

/// Measures until the life is over.
pub(crate) fn sample(shared: &Shared<'_>, base: &Base, mut journal: Journal) -> Result<(), String> {
    let gauges = shared.gauges;
    let journals = shared.life.writers + 1;
    let mut largest = 0;
    let mut told = Instant::now();
    let mut failures = 0;
    let mut snapshots = 0;
    let mut views: [u64; 200] = [0; 200];
    let mut log = Log::default();
    for round in 0.. {
        let durable = shared.store.durable_lsn();
        journal.note_durable(durable)?;
        let before = shared.store.stats();
        let space = Space::of(&shared.args.data);
        let after = shared.store.stats();
        disk(shared, space, &before, &after);
        log.look(shared, &before, &after);
        for stats in [&before, &after] {
            largest = largest.max(stats.memory_bytes + stats.kept_bytes);
        }
        memory(shared, base, &after, largest);
        views[round % views.len()] = after.views;
        kept(shared, &after, views.iter().copied().max().unwrap_or(0));
        let open = descriptors(OWN).saturating_sub(base.descriptors + journals);
        gauges.bound("descriptors", open, DESCRIPTORS, String::new);
        let running = own_threads().saturating_sub(base.threads);
        gauges.bound("threads", running, THREADS, String::new);
        if shared.plan.is_roomy(shared.life) && after.snapshot_failures > failures {
            failures = after.snapshot_failures;
            gauges.bound("snapshot-failures", failures, 0, String::new);
        }
        let over = shared.is_over();
        gauges.note("slowed", micros(after.slowed), String::new);
        gauges.note("clock-jumps", after.clock_jumps, || {
            format!("{} corrections", after.clock_corrections)
        });
        if over || told.elapsed() > Duration::from_millis(200) {
            told = Instant::now();
            Event::Counted("snapshots".into(), after.snapshots - snapshots).tell();
            snapshots = after.snapshots;
            shared.tell_counts();
        }
        if over {
            break;
        }
        thread::sleep(EVERY);
    }
    Ok(())
}

fn disk(shared: &Shared<'_>, space: Space, before: &Stats, after: &Stats) {
    let gauges = shared.gauges;
    let Some(bound) = before.disk_bound.max(after.disk_bound) else {
        return;
    };
    Event::Bound(bound).tell();
    gauges.bound("disk", space.bytes, bound, || {
        let of = |extension: &str| {
            let is = |name: &str| {
                Path::new(name)
                    .extension()
                    .is_some_and(|ext| ext == extension)
            };
            let Space { files, bytes } = Space::of_files(&shared.args.data, is);
            format!("{files} {extension} {} KiB", bytes >> 10)
        };
        format!(
            "{} KiB live, {} KiB of log; {}, {}, {}",
            after.live_bytes >> 10,
            after.log_bytes >> 10,
            of("wal"),
            of("snapshot"),
            of("tmp")
        )
    });
    // Each session begins a segment, and its recovery may make one more, until their heads make a snapshot due.
    let sessions = (2 * (shared.number + 1)).min(bound / SEGMENT_HEAD);
    let most = bound / shared.plan.segment + sessions + FILES;
    gauges.bound("files", space.files, most, String::new);
}

/// The log's length beside the most that was due since the snapshot before the last one.
#[derive(Debug, Default)]
struct Log {
    snapshots: u64,
    /// Since the last snapshot, and between the two before.
    due: (u64, u64),
}

impl Log {
    fn look(&mut self, shared: &Shared<'_>, before: &Stats, after: &Stats) {
        let gauges = shared.gauges;
        let (Some(first), Some(last)) = (due(shared, before), due(shared, after)) else {
            return;
        };
        if after.snapshots > self.snapshots {
            self.snapshots = after.snapshots;
            self.due = (0, self.due.0);
        }
        if self.due == (0, 0) {
            // Before the store was opened there may have been more data.
            self.due.1 = before.log_bytes / 3;
        }
        self.due.0 = self.due.0.max(first).max(last);
        // What was due between two looks is not seen, and each writer may have found room for a write of its own.
        let due = self.due.0.max(self.due.1);
        let write = shared.life.writers * (128 << 10) + shared.items.largest_set() * 250;
        let most = 3 * (due + due / 8) + write;
        gauges.bound("log", after.log_bytes, most, || format!("due at {due}"));
    }
}

fn memory(shared: &Shared<'_>, base: &Base, stats: &Stats, largest: u64) {
    let gauges = shared.gauges;
    // The largest batch is built beside the store, and written and replaced before it is visible.
    let batch = shared.items.largest_set() * 300;
    if let Some(limit) = shared.plan.memory_limit {
        // The limit counts the index at its average.
        let index = stats.index_bytes.saturating_sub(55 * stats.keys);
        let writers = shared.life.writers * (128 << 10);
        let most = limit + limit / 20 + index + writers + batch;
        gauges.bound("memory-limit", stats.memory_bytes, most, || {
            format!("limit {limit}")
        });
    }
    if let Some(limit) = shared.plan.view_limit() {
        // Each writer may have been let in by the last byte.
        let most = limit + shared.life.writers * (128 << 10) + batch;
        let note = || format!("limit {limit}, {} views", stats.views);
        gauges.bound("memory-views", stats.view_bytes, most, note);
    }
    let Some(now) = Memory::of(OWN) else { return };
    let grown = now.now.saturating_sub(base.memory);
    // A scan holds what it has shown, and an allocator does not give back everything.
    let most = 2 * largest + 2 * MARGIN + REPLAYED + 3 * batch * shared.life.writers;
    gauges.bound("memory-rss", grown, most, || {
        let (live, kept) = (stats.memory_bytes, stats.kept_bytes);
        format!("memory_bytes {live}, kept_bytes {kept}, together at most {largest}")
    });
}

/// Each open view shows at most one version of each key; `views` is the most that were open in the last seconds.
fn kept(shared: &Shared<'_>, stats: &Stats, views: u64) {
    let under_way = shared.life.writers * (shared.items.largest_set() + 5_000);
    // Those of views that were closed a moment ago, or between two looks, are forgotten in steps.
    let most = (views + 3) * shared.items.keys() + under_way;
    shared.gauges.bound("kept", stats.kept_versions, most, || {
        format!("{views} views")
    });
}

/// When the threads have ended: what the store does by itself.
pub(crate) fn settle(shared: &Shared<'_>) {
    let begun = Instant::now();
    if shared.plan.is_roomy(shared.life) {
        eventually(shared, "due", begun, |stats| {
            due(shared, stats).is_none_or(|due| stats.log_bytes < due)
        });
    }
    eventually(shared, "kept-settled", begun, |stats| {
        stats.views > 0 || stats.kept_versions == 0
    });
    let stats = shared.store.stats();
    // By the README: 32 bytes a version, 8 more with an expiry, rounded up to 16; 57 for its places, 51 for an expiry's entry.
    let expiring = u64::from(shared.plan.expiring);
    let keys = stats.keys + expiring;
    let places = (57 * keys).max(stats.index_bytes);
    let most = stats.live_bytes + 55 * keys + places + 51 * expiring + (64 << 10);
    shared.gauges.bound(
        "memory-settled",
        stats.memory_bytes
            + if stats.views == 0 {
                stats.kept_bytes
            } else {
                0
            },
        most,
        || format!("{} keys, {} bytes of index", stats.keys, stats.index_bytes),
    );
    // On a full disk there is no room for the time mark that has to come first.
    if shared.plan.is_roomy(shared.life) {
        sweep(shared);
    }
}

/// The length of the log at which a snapshot is due, by the README.
fn due(shared: &Shared<'_>, stats: &Stats) -> Option<u64> {
    let Snapshots::Automatic { percent } = shared.plan.snapshots else {
        return None;
    };
    let pairs = stats.live_bytes + 16 * stats.keys;
    Some((pairs / 100 * u64::from(percent)).max(shared.plan.snapshot_after))
}

/// Keys that expire soon are reclaimed soon after.
fn sweep(shared: &Shared<'_>) {
    let soon = super::journal::wall() + 700;
    let pairs = shared.store.view();
    let expires = pairs.iter().filter_map(|pair| pair.expires_at());
    let before = shared.store.stats().reclaimed;
    let count = expires.filter(|at| at.get() < soon).count() as u64;
    drop(pairs);
    if count == 0 {
        return;
    }
    thread::sleep(Duration::from_millis(700));
    eventually(shared, "sweep", Instant::now(), |stats| {
        stats.reclaimed >= before + count
    });
}

/// Waits until something holds, and measures how long that takes.
fn eventually(
    shared: &Shared<'_>,
    key: &'static str,
    begun: Instant,
    holds: impl Fn(&Stats) -> bool,
) {
    while micros(begun.elapsed()) <= SOON && !holds(&shared.store.stats()) {
        thread::sleep(Duration::from_millis(2));
    }
    let stats = || format!("{:?}", shared.store.stats());
    let took = micros(begun.elapsed());
    let note = || if took > SOON { stats() } else { String::new() };
    shared.gauges.bound(key, took, SOON, note);
}
