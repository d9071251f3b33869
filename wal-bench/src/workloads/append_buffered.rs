//! Appends without a sync: from the first append to the hand-over of the last byte.
//!
//! All that a turn appends fits in one default segment. With a third one begun the log would wait for the sync of the first,
//! and the disk would be measured.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use wal_core::{RecordRef, Wal};

use crate::common::{Policy, begun, check_last, counted, discard, log_dir, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::limits::RawChunk;
use crate::load::{Flavour, Sampler, histogram_of, sampled, together};
use crate::payload::Payloads;
use crate::peer::{Peer, Reached};
use crate::size::{KIB, MIB, Size};
use crate::turn::{Measure, Turn};
use crate::watch::Stopwatch;

/// Bytes of a record, and of what a turn appends.
fn records(size: Size) -> [(u64, u64); 3] {
    let (small, large) = size.pick(
        (64 * KIB, 128 * KIB),
        (32 * MIB, 64 * MIB),
        (48 * MIB, 96 * MIB),
    );
    [(100, small), (KIB, large), (10 * KIB, large)]
}

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Threads,
    Tasks,
}

/// Writers, and how they append; the one that others are compared with comes before them.
fn ways(size: Size) -> Vec<(usize, Way, Policy)> {
    use Policy::{Batch, Os};
    let mut ways = Vec::new();
    for writers in [1, 2, 8] {
        for way in [Way::Threads, Way::Tasks] {
            for policy in [Os, Batch] {
                // Two writers on a thread each, eight also on tasks: the rest is for the full run.
                let is_short = match writers {
                    1 => true,
                    2 => (way, policy) == (Way::Threads, Os),
                    _ => policy == Os,
                };
                if is_short || size == Size::Full {
                    ways.push((writers, way, policy));
                }
            }
        }
    }
    ways
}

/// What one turn appends.
#[derive(Clone, Debug)]
struct Work {
    payloads: Arc<Payloads>,
    record: u64,
    /// Records of each writer.
    each: u64,
    writers: usize,
}

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let payloads = Arc::new(Payloads::default());
    let mut outcome = Outcome::default();
    for (record, bytes) in records(ground.size) {
        let work = |writers: usize| Work {
            payloads: Arc::clone(&payloads),
            record,
            each: bytes / record / writers as u64,
            writers,
        };
        let case = |writers| {
            format!(
                "{}, {}",
                size_name(record),
                counted(writers as u64, "writer")
            )
        };
        let mut contest = Contest::new(Measure::RecordsPerSecond);
        let one = work(1);
        let chunk = contest.limit(&case(1), "raw-chunk", move |dir| raw_chunk(dir, &one));
        let mut added = Vec::new();
        for (writers, way, policy) in ways(ground.size) {
            let name = match way {
                Way::Threads => format!("blocking, {}", policy.name()),
                Way::Tasks => format!("async, {}", policy.name()),
            };
            let work = work(writers);
            let id = contest.log(&case(writers), &name, move |dir| match way {
                Way::Threads => on_threads(dir, &work, policy),
                Way::Tasks => on_tasks(dir, &work, policy),
            });
            let find = |wanted| {
                added
                    .iter()
                    .find(|(key, _)| *key == wanted)
                    .map(|(_, id)| *id)
            };
            if writers > 1 {
                contest.against(id, chunk, "raw-chunk");
                if let Some(alone) = find((1, way, policy)) {
                    contest.against(id, alone, "1 writer");
                }
            }
            if policy != Policy::Os
                && let Some(os) = find((writers, way, Policy::Os))
            {
                contest.against(id, os, "Os");
            }
            added.push(((writers, way, policy), id));
        }
        for peer in &ground.field.logs {
            for writers in [1, 8] {
                let work = work(writers);
                contest.peer(&case(writers), peer.name, peer.version, move |dir| {
                    by_peer(dir, &work, peer.peer.as_ref())
                });
            }
        }
        outcome.add(contest.run(ground)?);
    }
    let about = "ends when the last byte is with the operating system; all within one segment; \
                 latencies of one call in 64 (100 B), 6 (1 KiB) or each (10 KiB)";
    Ok((about.to_owned(), outcome))
}

impl Work {
    fn count(&self) -> u64 {
        self.each * self.writers as u64
    }

    /// Of the writer's record `n`.
    #[inline]
    fn payload(&self, writer: usize, n: u64) -> &[u8] {
        black_box(self.payloads.get(n + writer as u64 * 31, self.record))
    }

    fn done(&self, watch: &Stopwatch, latencies: impl IntoIterator<Item = u64>) -> Turn {
        let elapsed = watch.elapsed();
        Turn {
            latencies: Some(histogram_of(latencies)),
            ..Turn::new(self.count(), self.count() * self.record, elapsed)
        }
    }

    /// One writer's share; what each sampled call took.
    #[inline]
    fn write(
        &self,
        writer: usize,
        mut append: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<u64>> {
        sampled(self.record, self.each, |n| append(self.payload(writer, n)))
    }

    /// All writers on a thread each, and what `flush` does behind them.
    fn write_on_threads(
        &self,
        append: impl Fn(&[u8]) -> anyhow::Result<()> + Sync,
        flush: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Turn> {
        if self.writers == 1 {
            let watch = Stopwatch::start();
            let latencies = self.write(0, &append)?;
            flush()?;
            return Ok(self.done(&watch, latencies));
        }
        let (watch, latencies) = together(self.writers, |writer| self.write(writer, &append))?;
        flush()?;
        Ok(self.done(&watch, latencies.into_iter().flatten()))
    }
}

fn raw_chunk(dir: &Path, work: &Work) -> anyhow::Result<Turn> {
    let mut file = RawChunk::create(dir)?;
    file.append(b"the first")?;
    file.flush()?;
    let watch = Stopwatch::start();
    let latencies = work.write(0, |payload| Ok(file.append(payload)?))?;
    file.flush()?;
    Ok(work.done(&watch, latencies))
}

fn on_threads(dir: &Path, work: &Work, policy: Policy) -> anyhow::Result<Turn> {
    let wal = begun(dir, policy.config())?;
    let turn = work.write_on_threads(
        |payload| {
            wal.append(RecordRef::data(payload))?;
            Ok(())
        },
        || Ok(wal.flush()?),
    )?;
    check_last(wal.last_lsn(), work.count() + 1)?;
    discard(wal, dir)?;
    Ok(turn)
}

fn on_tasks(dir: &Path, work: &Work, policy: Policy) -> anyhow::Result<Turn> {
    let runtime = Flavour::MultiThread.runtime()?;
    let wal = runtime.block_on(async {
        let wal = Wal::open(log_dir(dir), policy.config()).await?;
        wal.append(RecordRef::data(b"the first")).await?;
        wal.sync().await?;
        anyhow::Ok(wal)
    })?;
    let (log, shared) = (wal.clone(), work.clone());
    let all = runtime.spawn(async move {
        let watch = Stopwatch::start();
        let writers = (0..shared.writers).map(|writer| {
            let (wal, work) = (log.clone(), shared.clone());
            tokio::spawn(async move {
                let mut sampler = Sampler::of(work.record);
                for n in 0..work.each {
                    let begun = sampler.begin();
                    wal.append(RecordRef::data(work.payload(writer, n))).await?;
                    sampler.end(begun);
                }
                anyhow::Ok(sampler.into_latencies())
            })
        });
        let mut latencies = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            latencies.extend(writer.await??);
        }
        log.flush().await?;
        anyhow::Ok(shared.done(&watch, latencies))
    });
    let turn = runtime.block_on(all)??;
    check_last(wal.last_lsn(), work.count() + 1)?;
    discard(wal, dir)?;
    Ok(turn)
}

fn by_peer(dir: &Path, work: &Work, peer: &dyn Peer) -> anyhow::Result<Option<Turn>> {
    let Some(log) = peer.create(dir, Reached::Buffered)? else {
        return Ok(None);
    };
    log.append(b"the first")?;
    log.flush()?;
    let turn = work.write_on_threads(|payload| log.append(payload), || log.flush())?;
    Ok(Some(turn))
}
