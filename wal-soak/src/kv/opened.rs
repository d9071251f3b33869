//! Opening, and what is checked of it: time, memory, and everything that was acknowledged before.

use std::time::Instant;

use tokio::runtime::Runtime;
use wal_kv::{Error, FsyncPolicy, Pair, UnixMillis};

use super::journal::wall;
use super::keys::{Items, Kind, written_by};
use super::model::{Found, Lost, Model};
use super::plan::{KvLife, Plan};
use super::shared::{LifeArgs, micros};
use super::store::Store;
use crate::harness::system::{Memory, OWN, Space, descriptors, forget_peak, threads};
use crate::harness::{Event, Gauges};

/// What the process had before it opened the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    pub(crate) memory: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

/// An open store that holds what it must.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) base: Base,
}

const MIB: u64 = 1 << 20;
/// What a process grows by that opens anything: stacks, buffers, the allocator's own.
pub(crate) const MARGIN: u64 = 24 * MIB;
/// What opening keeps of keys that were written several times, by the README, if it is not twice the live data.
pub(crate) const REPLAYED: u64 = 32 * MIB;
/// A kill takes back what a policy lets it, and what was written while the machine was busy with other things.
const LOST_MARGIN: u64 = 5_000_000;
/// Most records that a store writes by itself, before anybody writes to it.
const MARKS: u64 = 8;
/// The two buffers of the log, by their default.
const BUFFERS: u64 = 2 * MIB;

/// Threads of the log and of the store, by their names. A thread without a name has the program's.
pub(crate) fn own_threads() -> u64 {
    let program = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    threads(OWN, |name| {
        name.starts_with("wal-") && name != program.trim_end()
    })
}

/// Opens and checks; `None` if it could not be opened for lack of space or descriptors.
pub(crate) fn open(
    args: &LifeArgs,
    plan: &Plan,
    life: &KvLife,
    runtime: Option<Runtime>,
    gauges: &Gauges,
) -> Result<Option<Opened>, String> {
    let items = Items::of(plan);
    let told = |error| format!("the model cannot be read: {error}");
    let mut model = Model::load(&args.state, &items).map_err(told)?;
    forget_peak();
    let memory = Memory::of(OWN).unwrap_or_default().now;
    let base = Base {
        memory,
        descriptors: descriptors(OWN),
        threads: own_threads(),
    };
    let begun = Instant::now();
    let store = match Store::open(&args.data, plan, life, runtime) {
        Ok(store) => store,
        Err(error) if life.descriptors.is_some() && !is_damage(&error) => {
            Event::Counted("open-refused".into(), 1).tell();
            return Ok(None);
        }
        Err(error) => return Err(format!("it does not open: {error}")),
    };
    let took = begun.elapsed();
    // By then what a killed process has left is gone: an unfinished snapshot, and the one before the last.
    let found = Space::of(&args.data);
    let peak = Memory::of(OWN).unwrap_or_default().peak;
    measure(
        plan,
        &store,
        micros(took),
        peak.saturating_sub(memory),
        found,
        gauges,
    );
    let end = store.open_report().log.last_lsn.get();
    let between = (args.life as u64).saturating_sub(model.life().unwrap_or(0) + 1);
    let marks = between * MARKS;
    let lost = model.add_journals(&args.state, (end, marks), &items)?;
    if let Some(before) = model.life().and_then(|life| plan.lives.get(life as usize)) {
        check_lost(before, lost, gauges);
    }
    let keys = check(&mut model, &items, &store, end)?;
    Event::Counted("checked".into(), keys).tell();
    match model.keep(&args.state, args.life as u64) {
        Ok(()) => {}
        // The store has taken all of them.
        Err(_) if life.descriptors.is_some() => return Ok(None),
        Err(error) => return Err(format!("the model cannot be kept: {error}")),
    }
    Ok(Some(Opened { store, base }))
}

/// Errors that no lack of descriptors explains.
fn is_damage(error: &Error) -> bool {
    !matches!(
        error,
        Error::Io { .. } | Error::NoSpace { .. } | Error::Log(wal_core::Error::Io { .. })
    )
}

fn measure(plan: &Plan, store: &Store, took: u64, grown: u64, found: Space, gauges: &Gauges) {
    let report = store.open_report();
    let stats = store.stats();
    let data = stats.live_bytes + stats.log_bytes + report.log.bytes;
    // A second for the machine, and 50 ms for each MiB.
    let most = 1_000_000 + data / MIB * 50_000;
    let note = || {
        format!(
            "{} MiB of data and log, {} records",
            data / MIB,
            report.records
        )
    };
    gauges.bound("open", took, most, note);
    if data > 4 * MIB {
        gauges.note("open-per-mib", took * MIB / data, || {
            format!("{} MiB", data / MIB)
        });
    }
    let mean = (stats.memory_bytes / stats.keys.max(1)).max(200);
    let replayed = (REPLAYED * mean)
        .max(2 * stats.memory_bytes)
        .min(2 * report.records * mean);
    let most = stats.memory_bytes * 13 / 10 + replayed + MARGIN;
    gauges.bound("memory-open", grown, most, || {
        format!("{} keys, {} records of log", stats.keys, report.records)
    });
    if let Some(bound) = report.disk_bound.max(stats.disk_bound) {
        gauges.bound("disk-found", found.bytes, bound, || {
            format!("{} files", found.files)
        });
    }
    if plan.disk.is_none() {
        Event::Counted("leftovers".into(), report.leftovers.len() as u64).tell();
    }
}

fn check_lost(life: &KvLife, lost: Lost, gauges: &Gauges) {
    Event::Counted("lost".into(), lost.writes).tell();
    let age = lost.age * 1_000;
    let note = || {
        format!(
            "{} writes, {} bytes, {:?}",
            lost.writes, lost.bytes, life.policy
        )
    };
    match life.policy {
        FsyncPolicy::Always => gauges.bound("lost-always", lost.writes, 0, note),
        FsyncPolicy::Batch(w) => gauges.bound("lost-batch", age, micros(w) + LOST_MARGIN, note),
        _ => {
            gauges.bound("lost-os", age, LOST_MARGIN, note);
            gauges.bound("lost-os-bytes", lost.bytes, BUFFERS, note);
        }
    }
}

/// Compares all that is there with the model; returns how many keys.
fn check(model: &mut Model, items: &Items, store: &Store, end: u64) -> Result<u64, String> {
    let pairs: Vec<Pair> = store.view().iter().collect();
    let found = pairs.iter().map(|pair| Found {
        key: pair.key(),
        value: pair.value(),
        lsn: pair.lsn().get(),
        expires_at: pair.expires_at().map(UnixMillis::get),
    });
    let keys = model.check(items, found, end, wall)?;
    if pairs.iter().all(|pair| pair.expires_at().is_none()) && store.len() as u64 != keys {
        return Err(format!(
            "a scan gives {keys} keys, and len() says {}",
            store.len()
        ));
    }
    for item in 0..items.count() {
        if matches!(items.kind(item), Some(Kind::Set(_))) {
            continue;
        }
        let Some((present, id)) = model.lasting(item) else {
            continue;
        };
        let key = items.key(item, 0);
        let value = store.get(&key);
        let got = value.as_deref().and_then(|value| written_by(&key, value));
        if got != present.then_some(id) {
            return Err(format!(
                "a scan and a get differ at item {item}: {id:?} and {got:?}"
            ));
        }
    }
    Ok(keys)
}
