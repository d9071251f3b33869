//! Reading single records at random: a new reader for each, by LSN or by position, and its first record.

use std::hint::black_box;
use std::path::Path;

use anyhow::ensure;
use wal_core::{Lsn, Position, Start, blocking::Wal};

use super::Workload;
use super::common::{Policy, closed, counted, log_dir, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::limits::{RawChunk, RawPoint};
use crate::load::{Until, on_threads};
use crate::options::{KIB, MIB, Size};
use crate::payload::{Payloads, scattered};
use crate::turn::{Measure, Turn};

pub(super) const WORKLOAD: Workload = Workload {
    name: "point-read",
    run,
};

const RECORD: u64 = KIB;

/// Bytes of the log, and of a segment.
fn log_size(size: Size) -> (u64, u64) {
    size.pick(
        (256 * KIB, 16 * MIB),
        (64 * MIB, 16 * MIB),
        (256 * MIB, 16 * MIB),
    )
}

/// What a turn reads.
#[derive(Clone, Copy, Debug)]
struct Work {
    count: u64,
    threads: usize,
    until: Until,
}

fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let (bytes, segment) = log_size(ground.size);
    (ground.progress)("writing what is read");
    let log = log_dir(ground.dir);
    let config = || Policy::Os.config_with(segment);
    let count = closed(&log, config(), RECORD, bytes)?;
    write_raw(ground.dir, count)?;
    let raw = RawPoint::open(ground.dir, RECORD)?;
    let wal = Wal::open(&log, config())?;
    let positions: Vec<Position> = wal
        .read_from(Lsn::ZERO)?
        .map(|record| record.map(|(_, position)| position))
        .collect::<wal_core::Result<_>>()?;
    let mut outcome = Outcome::default();
    for threads in ground.size.pick(vec![1], vec![1], vec![1, 2]) {
        let work = Work {
            count,
            threads,
            until: Until::of(ground.size, RECORD, threads),
        };
        let case = format!(
            "{}, {}",
            size_name(RECORD),
            counted(threads as u64, "thread")
        );
        let mut contest = Contest::new(Measure::RecordsPerSecond);
        contest.limit(&case, "raw-point", |_| {
            work.turn(|n| Ok(raw.read(n)?.len()))
        });
        contest.log(&case, "by LSN", |_| {
            work.turn(|n| read(&wal, Lsn::new(n + 1)))
        });
        contest.log(&case, "by position", |_| {
            work.turn(|n| read(&wal, positions[n as usize]))
        });
        outcome.add(contest.run(ground)?);
    }
    wal.close()?;
    let about = format!(
        "records at random of {} in segments of {}, from the page cache; a new reader for each",
        size_name(bytes),
        size_name(segment)
    );
    Ok((about, outcome))
}

fn write_raw(dir: &Path, count: u64) -> anyhow::Result<()> {
    let (mut file, payloads) = (RawChunk::create(dir)?, Payloads::default());
    for n in 0..count {
        file.append(payloads.get(n, RECORD))?;
    }
    Ok(file.flush()?)
}

fn read(wal: &Wal, start: impl Into<Start>) -> anyhow::Result<usize> {
    let record = wal.read_from(start)?.next_record()?;
    Ok(record.map_or(0, |(record, _)| black_box(&record.value[..]).len()))
}

impl Work {
    fn turn(&self, read: impl Fn(u64) -> anyhow::Result<usize> + Sync) -> anyhow::Result<Turn> {
        let done = on_threads(self.threads, self.until, |thread, n| {
            let len = read(scattered(n, thread as u64) % self.count)?;
            ensure!(len as u64 == RECORD, "a record of {len} bytes was read");
            Ok(())
        })?;
        Ok(Turn {
            latencies: Some(done.latencies),
            ..Turn::new(done.calls, done.calls * RECORD, done.elapsed)
        })
    }
}
