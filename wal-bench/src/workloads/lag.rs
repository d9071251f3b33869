//! A reader that follows a writer: from the return of an append to the moment at which the reader has the record.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use wal_core::{Lsn, RecordRef, blocking::Wal};

use crate::common::{Policy, begun, check_last, log_dir, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::load::{histogram_of, nanos};
use crate::payload::Payloads;
use crate::size::{KIB, Size};
use crate::turn::{Measure, Turn};
use crate::watch::Stopwatch;

const RECORD: u64 = KIB;
/// How long the reader sleeps where there is nothing to read.
const PAUSE: Duration = Duration::from_micros(50);

/// How long the writer goes on, in milliseconds.
fn time(size: Size) -> u64 {
    size.pick(20, 500, 1000)
}

/// Whose reader it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// The writing handle's.
    Writer,
    /// A read-only handle's, as another process has it.
    Beside,
}

/// Who writes how much.
#[derive(Clone, Copy, Debug)]
struct Work {
    policy: Policy,
    /// Records a second.
    rate: u64,
    count: u64,
}

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let mut contest = Contest::new(Measure::MedianMicros);
    for (policy, rate) in [(Policy::Os, 10_000), (Policy::Always, 1_000)] {
        let work = Work {
            policy,
            rate,
            count: rate * time(ground.size) / 1000,
        };
        let case = format!("{}, {rate} records/s", policy.name());
        contest.log(&case, "reader of the writer", move |dir| {
            follow(dir, work, From::Writer)
        });
        contest.log(&case, "read-only beside it", move |dir| {
            follow(dir, work, From::Beside)
        });
    }
    let about = format!(
        "from an append's return to the record being read; records of {}; the reader looks again after {PAUSE:?}",
        size_name(RECORD)
    );
    Ok((about, contest.run(ground)?))
}

/// Nanoseconds since the turn began, at which each record was appended and read.
struct Moments {
    begun: Instant,
    appended: Vec<AtomicU64>,
    read: Vec<AtomicU64>,
}

impl Moments {
    fn new(count: u64) -> Self {
        let none = || (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            appended: none(),
            read: none(),
            begun: Instant::now(),
        }
    }

    fn note(&self, of: &[AtomicU64], n: u64) {
        of[n as usize].store(nanos(self.begun.elapsed()), Ordering::Relaxed);
    }

    /// A record may be read before its append has returned. Less than a microsecond counts as one: two threads' clocks tell
    /// no more.
    fn lags(&self) -> impl Iterator<Item = u64> {
        let both = self.appended.iter().zip(&self.read);
        both.map(|(appended, read)| {
            let lag = read
                .load(Ordering::Relaxed)
                .saturating_sub(appended.load(Ordering::Relaxed));
            lag.max(1000)
        })
    }
}

fn follow(dir: &Path, work: Work, from: From) -> anyhow::Result<Turn> {
    let wal = begun(dir, work.policy.config())?;
    let beside;
    let read = match from {
        From::Writer => &wal,
        From::Beside => {
            beside = Wal::builder(log_dir(dir)).read_only().open()?;
            &beside
        }
    };
    let mut reader = read.read_from(Lsn::new(2))?;
    let moments = Moments::new(work.count);
    let failed = AtomicBool::new(false);
    let watch = Stopwatch::start();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let written = write(&wal, work, &moments);
            failed.store(written.is_err(), Ordering::Relaxed);
            written
        });
        let mut n = 0;
        while n < work.count && !failed.load(Ordering::Relaxed) {
            match reader.next_record()? {
                Some((record, position)) => {
                    moments.note(&moments.read, n);
                    let (len, lsn) = (record.value.len() as u64, position.lsn.get());
                    ensure!(
                        (len, lsn) == (RECORD, n + 2),
                        "LSN {lsn} of {len} bytes was read"
                    );
                    n += 1;
                }
                None => thread::sleep(PAUSE),
            }
        }
        writer.join().expect("a panic is a bug of the benchmark")
    })?;
    let elapsed = watch.elapsed();
    check_last(wal.last_lsn(), work.count + 1)?;
    Ok(Turn {
        latencies: Some(histogram_of(moments.lags())),
        ..Turn::new(work.count, work.count * RECORD, elapsed)
    })
}

fn write(wal: &Wal, work: Work, moments: &Moments) -> anyhow::Result<()> {
    let payloads = Payloads::default();
    for n in 0..work.count {
        let due = moments.begun + Duration::from_secs(n) / u32::try_from(work.rate)?;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        wal.append(RecordRef::data(payloads.get(n, RECORD)))?;
        moments.note(&moments.appended, n);
    }
    Ok(())
}
