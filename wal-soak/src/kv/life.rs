//! One process: it opens the store, checks what it finds, works until it is over or killed, and leaves.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wal_kv::{Error, FsyncPolicy};

use super::journal::Journal;
use super::keys::Items;
use super::opened::{self, Base};
use super::plan::{KvLife, Leave, Plan};
use super::reader;
use super::sampler;
use super::store::{Store, runtime};
use super::writer::Writer;
use crate::harness::{End, Event, Gauges, Length, Numbers};

/// Which life of which round.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The seed of the run.
    #[arg(long)]
    pub seed: u64,
    /// The round.
    #[arg(long)]
    pub round: u64,
    /// How much time the round has.
    #[arg(long)]
    pub length_ms: u64,
    /// The number of the life.
    #[arg(long)]
    pub life: usize,
    /// The store's directory.
    #[arg(long)]
    pub data: PathBuf,
    /// Where the journals are.
    #[arg(long)]
    pub state: PathBuf,
}

/// What all threads of a life share.
pub(crate) struct Shared<'a> {
    pub(crate) args: &'a Args,
    pub(crate) plan: &'a Plan,
    pub(crate) life: &'a KvLife,
    pub(crate) number: u64,
    pub(crate) items: Items,
    pub(crate) store: &'a Store,
    pub(crate) gauges: &'a Gauges,
    over: AtomicBool,
    writes: AtomicU64,
    reads: AtomicU64,
    refused: [AtomicU64; REFUSED.len()],
    what: Mutex<Option<String>>,
}

const REFUSED: [&str; 5] = [
    "refused-overdue",
    "refused-space",
    "refused-memory",
    "refused-views",
    "refused-short",
];
const OVERDUE: usize = 0;
const SPACE: usize = 1;
const MEMORY: usize = 2;
const VIEWS: usize = 3;
const SHORT: usize = 4;

/// Longest wait of a read, in microseconds: a scheduler that has other things to do is no store that waits.
const READ_STALL: u64 = 5_000_000;
/// Of a write: for a snapshot of all data, on a slow disk.
const WRITE_STALL: u64 = 60_000_000;
/// A process of which nobody takes notice any more ends so long after it should have been killed.
const FORGOTTEN: Duration = Duration::from_secs(60);

impl Shared<'_> {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn is_always(&self) -> bool {
        self.life.policy == FsyncPolicy::Always
    }

    /// A promise is broken: the life is over.
    pub(crate) fn broken(&self, what: String) {
        let mut known = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(what);
        self.over.store(true, Ordering::Relaxed);
    }

    fn verdict(&self) -> Result<(), String> {
        let mut known = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        known.take().map_or(Ok(()), Err)
    }

    pub(crate) fn wrote(&self, took: Duration, records: u32) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let note = || format!("{records} records");
        self.gauges
            .bound("write-stall", micros(took), WRITE_STALL, note);
    }

    pub(crate) fn read_took(&self, took: Duration) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.gauges
            .bound("read-stall", micros(took), READ_STALL, String::new);
    }

    /// Closing takes ten microseconds at most for each version that was kept, and time on a busy machine.
    pub(crate) fn view_closed(&self, took: Duration, kept: u64) {
        let most = 3_000_000 + 10 * kept;
        self.gauges.bound("view-close", micros(took), most, || {
            format!("{kept} versions kept")
        });
    }

    /// Counts a call that failed; an error if it must not fail like this.
    pub(crate) fn failed(&self, error: &Error) -> Result<(), String> {
        let roomy = self.plan.is_roomy(self.life);
        let kind = match error {
            Error::OverMemoryLimit { .. } if self.plan.memory_limit.is_some() => MEMORY,
            Error::OverViewMemoryLimit { .. } if self.plan.view_limit().is_some() => VIEWS,
            Error::SnapshotOverdue { .. } if roomy => OVERDUE,
            Error::NoSpace { .. } | Error::Log(wal_core::Error::NoSpace { .. }) if roomy => SPACE,
            _ if roomy => return Err(format!("a call failed: {error}")),
            Error::Log(wal_core::Error::Poisoned(_)) => {
                return Err(format!("the log is poisoned: {error}"));
            }
            _ => SHORT,
        };
        if self.refused[kind].fetch_add(1, Ordering::Relaxed) == 0 && kind < MEMORY {
            self.gauges.bound(REFUSED[kind], 1, 0, || error.to_string());
        }
        Ok(())
    }

    /// What is only counted, as far as it was not told yet.
    pub(crate) fn tell_counts(&self) {
        let tell = |key: &str, counter: &AtomicU64| match counter.swap(0, Ordering::Relaxed) {
            0 => {}
            by => Event::Counted(key.to_owned(), by).tell(),
        };
        tell("writes", &self.writes);
        tell("reads", &self.reads);
        tell(REFUSED[MEMORY], &self.refused[MEMORY]);
        tell(REFUSED[VIEWS], &self.refused[VIEWS]);
        tell(REFUSED[SHORT], &self.refused[SHORT]);
    }
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Lives it.
///
/// # Errors
/// A promise that is broken, or what kept the harness from going on.
pub(crate) fn live(args: &Args) -> Result<(), String> {
    let plan = Plan::of(
        args.seed,
        args.round,
        Length(Duration::from_millis(args.length_ms)),
    );
    let life = plan.lives.get(args.life).ok_or("there is no such life")?;
    let gauges = Gauges::default();
    let runtime = runtime(life.face).map_err(|error| format!("no runtime: {error}"))?;
    let Some(opened) = opened::open(args, &plan, life, runtime, &gauges)? else {
        return Ok(());
    };
    let store = opened.store;
    let shared = Shared {
        args,
        plan: &plan,
        life,
        number: args.life as u64,
        items: Items::of(&plan),
        store: &store,
        gauges: &gauges,
        over: AtomicBool::new(false),
        writes: AtomicU64::new(0),
        reads: AtomicU64::new(0),
        refused: Default::default(),
        what: Mutex::default(),
    };
    Event::Ready.tell();
    load(&shared, &opened.base)?;
    shared.tell_counts();
    shared.verdict()?;
    sampler::settle(&shared);
    leave(args, life, store)
}

fn numbers(shared: &Shared<'_>, thread: u64) -> Numbers {
    let args = shared.args;
    Numbers::of(&[args.seed, args.round, args.life as u64, thread])
}

/// Runs the threads until the life is over.
fn load(shared: &Shared<'_>, base: &Base) -> Result<(), String> {
    let time = match shared.life.end {
        End::Itself => shared.life.time,
        End::Kill | End::KillEarly => shared.life.time + FORGOTTEN,
    };
    let writers = 0..shared.life.writers;
    let writers: Result<Vec<_>, _> = writers
        .map(|thread| Writer::new(shared, numbers(shared, thread), thread))
        .collect();
    let journal = Journal::create(&shared.args.state, shared.number, shared.life.writers);
    let (mut writers, journal) = match (writers, journal) {
        (Ok(writers), Ok(journal)) => (writers, journal),
        // The store has taken all of them.
        _ if shared.life.descriptors.is_some() => return Ok(()),
        (Err(error), _) | (_, Err(error)) => return Err(format!("no journal: {error}")),
    };
    let begun = Instant::now();
    thread::scope(|scope| {
        for writer in &mut writers {
            scope.spawn(move || writer.run());
        }
        let tell = |done: Result<(), String>| done.unwrap_or_else(|what| shared.broken(what));
        scope.spawn(move || tell(reader::read(shared, numbers(shared, 100))));
        if shared.plan.views > 0 {
            scope.spawn(move || tell(reader::hold_views(shared, numbers(shared, 101))));
        }
        if shared.plan.by_hand {
            scope.spawn(move || tell(snapshots(shared, numbers(shared, 102))));
        }
        scope.spawn(move || tell(sampler::sample(shared, base, journal)));
        while begun.elapsed() < time && !shared.is_over() {
            thread::sleep(Duration::from_millis(5));
        }
        shared.over.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Takes snapshots by hand.
fn snapshots(shared: &Shared<'_>, mut numbers: Numbers) -> Result<(), String> {
    while !shared.is_over() {
        let until = Instant::now() + Duration::from_millis(numbers.between(50, 1_500));
        while Instant::now() < until && !shared.is_over() {
            thread::sleep(Duration::from_millis(10));
        }
        if let Err(error) = shared.store.snapshot() {
            shared.failed(&error)?;
        }
    }
    Ok(())
}

fn leave(args: &Args, life: &KvLife, store: Store) -> Result<(), String> {
    let last = store.stats().log.last_lsn.get();
    let waits = store.drop_waits();
    let durable = match life.leave {
        Leave::Close => {
            // Without descriptors it may be that it cannot.
            let closed = store.close();
            if let (Err(error), None) = (&closed, life.descriptors) {
                return Err(format!("closing failed: {error}"));
            }
            drop(store);
            closed.is_ok()
        }
        Leave::Drop => {
            drop(store);
            waits && life.descriptors.is_none()
        }
        Leave::Exit => {
            // As if `main` had returned early in a program that keeps its store in a static.
            std::mem::forget(store);
            false
        }
    };
    if durable {
        let journal = Journal::create(&args.state, args.life as u64, life.writers);
        let noted = journal.and_then(|mut journal| journal.note_durable(last));
        noted.map_err(|error| format!("the journal cannot be written: {error}"))?;
    }
    Ok(())
}
