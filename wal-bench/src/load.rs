//! Writers that call one thing again and again, and the latency of each call.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;

use crate::size::{KIB, MIB, Size};
use crate::turn::Turn;
use crate::watch::{Elapsed, Stopwatch};

/// How long each writer goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    time: Duration,
    /// Most calls of one writer.
    calls: u64,
}

impl Until {
    /// For calls that write `bytes` bytes, by `writers` writers together: a time, or the most that fits in one segment. With a
    /// third segment begun, the log would wait for the sync of the first.
    pub(crate) fn of(size: Size, bytes: u64, writers: usize) -> Self {
        let most = size.pick(256 * KIB, 96 * MIB, 96 * MIB);
        Self {
            time: Duration::from_millis(size.pick(5, 400, 600)),
            calls: (most / bytes / writers as u64).max(1),
        }
    }

    /// For this many calls of each writer, however long they take.
    pub(crate) fn calls(calls: u64) -> Self {
        Self {
            time: Duration::MAX,
            calls,
        }
    }

    fn is_over(self, begun: Instant, now: Instant, calls: u64) -> bool {
        calls >= self.calls || now - begun >= self.time
    }
}

/// What the writers have done together.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) calls: u64,
    /// From the first call of any to the last return of all; the processor's time also for beginning and ending them.
    pub(crate) elapsed: Elapsed,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Done {
    /// As a turn. Each call wrote or read `bytes` bytes.
    pub(crate) fn turn(self, bytes: u64, syncs: Option<u64>) -> Turn {
        Turn {
            latencies: Some(self.latencies),
            syncs,
            ..Turn::new(self.calls, self.calls * bytes, self.elapsed)
        }
    }
}

/// One writer's own record.
#[derive(Debug)]
struct Own {
    begun: Instant,
    ended: Instant,
    /// A histogram for each of a thousand tasks would take half a gigabyte.
    latencies: Vec<u64>,
}

impl Own {
    fn new() -> Self {
        let latencies = Vec::with_capacity(1 << 10);
        let now = Instant::now();
        Self {
            begun: now,
            ended: now,
            latencies,
        }
    }

    /// Notes a call that ends now.
    fn note(&mut self) -> Instant {
        let now = Instant::now();
        self.latencies.push(nanos(now - self.ended));
        self.ended = now;
        now
    }
}

/// Three digits, from a nanosecond to a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order")
}

/// Of latencies in nanoseconds.
pub(crate) fn histogram_of(nanos: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = histogram();
    for nanos in nanos {
        histogram.saturating_record(nanos);
    }
    histogram
}

/// At least one.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)
}

fn sum(owns: &[Own], watch: &Stopwatch) -> anyhow::Result<Done> {
    let begun = owns.iter().map(|own| own.begun).min();
    let ended = owns.iter().map(|own| own.ended).max();
    let (begun, ended) = begun.zip(ended).context("no writer")?;
    let latencies = histogram_of(owns.iter().flat_map(|own| own.latencies.iter().copied()));
    Ok(Done {
        calls: latencies.len(),
        elapsed: Elapsed {
            time: ended - begun,
            cpu: watch.elapsed().cpu,
        },
        latencies,
    })
}

/// Runs `work` with the thread's number on `threads` threads at once. Returns what each returned, and a watch that was
/// started when all of them were ready.
pub(crate) fn together<T: Send>(
    threads: usize,
    work: impl Fn(usize) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<(Stopwatch, Vec<T>)> {
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let (barrier, work) = (&barrier, &work);
        let spawn = |thread| {
            scope.spawn(move || {
                barrier.wait();
                work(thread)
            })
        };
        let spawned: Vec<_> = (0..threads).map(spawn).collect();
        let watch = Stopwatch::start();
        barrier.wait();
        let joined = spawned.into_iter().map(thread::ScopedJoinHandle::join);
        let done = joined.map(|done| done.expect("a panic is a bug of the benchmark"));
        Ok((watch, done.collect::<anyhow::Result<_>>()?))
    })
}

/// Calls `call` with the writer's number and the call's, on `writers` threads at once.
pub(crate) fn on_threads(
    writers: usize,
    until: Until,
    call: impl Fn(usize, u64) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Done> {
    let watch = Stopwatch::start();
    let (_, owns) = together(writers, |writer| {
        let mut own = Own::new();
        for n in 0.. {
            call(writer, n)?;
            let now = own.note();
            if until.is_over(own.begun, now, n + 1) {
                break;
            }
        }
        Ok(own)
    })?;
    sum(&owns, &watch)
}

/// The same on as many tasks of `runtime`.
pub(crate) fn on_tasks<C, F>(
    runtime: &tokio::runtime::Runtime,
    writers: usize,
    until: Until,
    call: C,
) -> anyhow::Result<Done>
where
    C: Fn(usize, u64) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let watch = Stopwatch::start();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let call = call.clone();
            runtime.spawn(async move {
                let mut own = Own::new();
                for n in 0.. {
                    call(writer, n).await?;
                    let now = own.note();
                    if until.is_over(own.begun, now, n + 1) {
                        break;
                    }
                }
                anyhow::Ok(own)
            })
        })
        .collect();
    let mut owns = Vec::new();
    for task in tasks {
        owns.push(runtime.block_on(task)??);
    }
    sum(&owns, &watch)
}

/// Notes the latency of one call in `every`: reading the clock at each would be most of a short one.
#[derive(Debug)]
pub(crate) struct Sampler {
    every: u64,
    left: u64,
    latencies: Vec<u64>,
}

impl Sampler {
    /// For records of `bytes` bytes: each of 10 KiB, one of 64 of 100 B.
    pub(crate) fn of(record: u64) -> Self {
        let every = (6400 / record).max(1);
        Self {
            every,
            left: every,
            latencies: Vec::with_capacity(16 << 10),
        }
    }

    /// Before a call.
    #[inline]
    pub(crate) fn begin(&mut self) -> Option<Instant> {
        self.left -= 1;
        if self.left > 0 {
            return None;
        }
        self.left = self.every;
        Some(Instant::now())
    }

    /// Behind it, with what [`begin`](Self::begin) gave.
    #[inline]
    pub(crate) fn end(&mut self, begun: Option<Instant>) {
        if let Some(begun) = begun {
            self.latencies.push(nanos(begun.elapsed()));
        }
    }

    pub(crate) fn into_latencies(self) -> Vec<u64> {
        self.latencies
    }
}

/// Calls `call` with the call's number `count` times; latencies of some of them, as a [`Sampler`] for such records notes them.
#[inline]
pub(crate) fn sampled(
    record: u64,
    count: u64,
    mut call: impl FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<u64>> {
    let mut sampler = Sampler::of(record);
    for n in 0..count {
        let begun = sampler.begin();
        call(n)?;
        sampler.end(begun);
    }
    Ok(sampler.into_latencies())
}

/// A runtime of tokio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// With a worker for each core.
    MultiThread,
    CurrentThread,
}

impl Flavour {
    pub(crate) fn runtime(self) -> std::io::Result<tokio::runtime::Runtime> {
        match self {
            Self::MultiThread => tokio::runtime::Builder::new_multi_thread().build(),
            Self::CurrentThread => tokio::runtime::Builder::new_current_thread().build(),
        }
    }
}
