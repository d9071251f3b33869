//! Reading and verifying a closed log of several segments on one thread, and on one for each core.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::ensure;
use wal_core::blocking::Wal;

use crate::common::{Policy, closed, counted, log_dir, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::load::together;
use crate::size::{KIB, MIB, Size};
use crate::turn::{Measure, Turn};
use crate::watch::Stopwatch;

const RECORD: u64 = KIB;

/// Bytes of the log, and of a segment.
fn log_size(size: Size) -> (u64, u64) {
    size.pick((2 * MIB, MIB), (128 * MIB, 16 * MIB), (512 * MIB, 32 * MIB))
}

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let (bytes, segment) = log_size(ground.size);
    (ground.progress)("writing what is read");
    let log = &log_dir(ground.dir);
    let config = || Policy::Os.config_with(segment);
    let count = closed(log, config(), RECORD, bytes)?;
    let wal = Wal::open(log, config())?;
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    let most = ground.host.cores.max(2);
    let name = |threads: usize| counted(threads as u64, "thread");
    let one = contest.log("replay", &name(1), |_| turn(count, || replay(&wal, 1)));
    let all = contest.log("replay", &name(most), |_| {
        turn(count, || replay(&wal, most))
    });
    contest.against(all, one, "1 thread");
    let all = contest.log("verify", &name(most), |_| turn(count, || verify(log, most)));
    if CAN_VERIFY_ON_ONE {
        let one = contest.log("verify", &name(1), |_| turn(count, || verify(log, 1)));
        contest.against(all, one, "1 thread");
    }
    let outcome = contest.run(ground)?;
    wal.close()?;
    let about = format!(
        "a closed log of {} in segments of {}, from the page cache; records of {}",
        size_name(bytes),
        size_name(segment),
        size_name(RECORD)
    );
    Ok((about, outcome))
}

fn turn(count: u64, read: impl FnOnce() -> anyhow::Result<u64>) -> anyhow::Result<Turn> {
    let watch = Stopwatch::start();
    let found = read()?;
    let turn = Turn::new(count, count * RECORD, watch.elapsed());
    ensure!(
        found == count,
        "{found} records were read, {count} were written"
    );
    Ok(turn)
}

/// Reads all segments, each on one thread; the number of their records.
fn replay(wal: &Wal, threads: usize) -> anyhow::Result<u64> {
    let segments = wal.list_segments()?;
    let next = AtomicUsize::new(0);
    let (_, counts) = together(threads, |_| {
        let mut count = 0;
        while let Some(id) = segments.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut reader = wal.read_segment(*id)?;
            while let Some((record, _)) = reader.next_record()? {
                count += u64::from(!black_box(&record.value[..]).is_empty());
            }
        }
        Ok(count)
    })?;
    Ok(counts.iter().sum())
}

/// `verify` takes one thread for each core that it may use: on Linux a thread can give up all but one.
const CAN_VERIFY_ON_ONE: bool = cfg!(target_os = "linux");

/// Verifies the log on one thread, or on one for each core; the number of its records.
fn verify(log: &Path, threads: usize) -> anyhow::Result<u64> {
    thread::scope(|scope| {
        let verifying = scope.spawn(|| {
            if threads == 1 {
                keep_to_one_core()?;
            }
            let report = wal_core::Offline::at(log).verify(wal_core::VerifyOptions::default())?;
            ensure!(report.damage().next().is_none(), "the log is damaged");
            Ok(report.records())
        });
        verifying.join().expect("a panic is a bug of the benchmark")
    })
}

/// For this thread, and those that it starts.
#[cfg(target_os = "linux")]
fn keep_to_one_core() -> std::io::Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let allowed = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu));
    let mut one = CpuSet::new();
    one.set(first.unwrap_or(0));
    Ok(sched_setaffinity(None, &one)?)
}

#[cfg(not(target_os = "linux"))]
fn keep_to_one_core() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
