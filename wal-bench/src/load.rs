//! Writers that call one thing again and again, and the latency of each call.

use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;

use crate::options::Scale;
use crate::watch::{Elapsed, Stopwatch};

/// How long each writer goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    time: Duration,
    /// Most calls of one writer.
    calls: u64,
}

impl Until {
    /// As `scale` says for calls that write `bytes` bytes, by so many writers together.
    pub(crate) fn of(scale: &Scale, bytes: u64, writers: usize) -> Self {
        Self {
            time: scale.durable_time,
            calls: (scale.durable_bytes / bytes / writers as u64).max(1),
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

/// One writer's own record.
#[derive(Debug)]
struct Own {
    begun: Instant,
    ended: Instant,
    latencies: Histogram<u64>,
}

impl Own {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            ended: now,
            latencies: histogram(),
        }
    }

    /// Notes a call that ends now.
    fn note(&mut self) -> Instant {
        let now = Instant::now();
        let nanos = u64::try_from((now - self.ended).as_nanos()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(nanos.max(1));
        self.ended = now;
        now
    }
}

/// Three digits, from a nanosecond to a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order")
}

fn sum(owns: &[Own], watch: &Stopwatch) -> anyhow::Result<Done> {
    let begun = owns.iter().map(|own| own.begun).min();
    let ended = owns.iter().map(|own| own.ended).max();
    let (begun, ended) = begun.zip(ended).context("no writer")?;
    let mut latencies = histogram();
    for own in owns {
        latencies.add(&own.latencies)?;
    }
    Ok(Done {
        calls: latencies.len(),
        elapsed: Elapsed {
            time: ended - begun,
            cpu: watch.elapsed().cpu,
        },
        latencies,
    })
}

/// Calls `call` with the writer's number and the call's, on `writers` threads at once.
pub(crate) fn on_threads(
    writers: usize,
    until: Until,
    call: impl Fn(usize, u64) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Done> {
    let watch = Stopwatch::start();
    let barrier = Barrier::new(writers);
    let owns = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let (barrier, owns, call) = (&barrier, &owns, &call);
                scope.spawn(move || -> anyhow::Result<()> {
                    barrier.wait();
                    let mut own = Own::new();
                    for n in 0.. {
                        call(writer, n)?;
                        let now = own.note();
                        if until.is_over(own.begun, now, n + 1) {
                            break;
                        }
                    }
                    owns.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(own);
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a panic is a bug of the benchmark")?;
        }
        anyhow::Ok(())
    })?;
    let owns = owns.into_inner().unwrap_or_else(PoisonError::into_inner);
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

/// A runtime with a worker for each core.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().build()?)
}
