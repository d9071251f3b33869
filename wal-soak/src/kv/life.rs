//! One process: it opens the store, checks what it finds, works until it is over or killed, and leaves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::journal::Journal;
use super::keys::Items;
use super::opened::{self, Base};
use super::plan::{KvLife, Leave, Plan};
use super::reader;
use super::sampler;
use super::shared::{LifeArgs, Shared};
use super::store::{Store, runtime};
use super::writer::Writer;
use crate::harness::{End, Event, Gauges, Length, Numbers};

/// A process of which nobody takes notice any more ends so long after it should have been killed.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Lives it.
///
/// # Errors
/// A promise that is broken, or what kept the harness from going on.
pub(crate) fn live(args: &LifeArgs) -> Result<(), String> {
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

fn leave(args: &LifeArgs, life: &KvLife, store: Store) -> Result<(), String> {
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
        let mut journal = journal.map_err(|error| format!("no journal: {error}"))?;
        journal.note_durable(last)?;
    }
    Ok(())
}
