//! Puts while a snapshot is written, and without one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wal_kv::blocking::KvStore;

use crate::contest::{Contest, Ground, Outcome};
use crate::load::{histogram, nanos};
use crate::pairs::{PAIR, VALUE, count_name, counts, filled, key};
use crate::payload::{Payloads, scattered};
use crate::size::Size;
use crate::turn::{Measure, Turn};
use crate::watch::Stopwatch;

/// From one put to the next, where they have a rate.
const PERIOD: Duration = Duration::from_micros(20);

/// How the writer goes on, and what its latencies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// One put behind the other: from the call to the return.
    Unlimited,
    /// From the moment at which the put was due.
    Fixed,
}

/// Whose values are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    /// All, at random.
    All,
    /// One.
    Hot,
}

#[derive(Debug)]
struct Work<'a> {
    store: &'a KvStore,
    payloads: Payloads,
    keys: u64,
    alone: Duration,
}

pub(in crate::workloads) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let keys = counts(ground.size)[0];
    (ground.progress)("writing what the snapshot holds");
    let store = filled(ground.dir, keys)?;
    let work = Work {
        store: &store,
        payloads: Payloads::default(),
        keys,
        alone: alone(ground.size),
    };
    let mut outcome = Outcome::default();
    let mut tails = Contest::new(Measure::TailMicros);
    let case = |name| format!("{}, {name}", count_name(keys));
    work.contend(&mut tails, &case("50,000 puts/s"), Pace::Fixed, Keys::All);
    work.contend(&mut tails, &case("unlimited"), Pace::Unlimited, Keys::All);
    outcome.add(tails.run(ground)?);
    let mut rates = Contest::new(Measure::RecordsPerSecond);
    for (name, which) in [("puts to all", Keys::All), ("puts to a hot key", Keys::Hot)] {
        work.contend(&mut rates, &case(name), Pace::Unlimited, which);
    }
    outcome.add(rates.run(ground)?);
    store.close()?;
    let about = "one writer replaces values at random under Os while a snapshot of all keys is written, read back and the log is \
                 cut; latencies of all puts, where they have a rate from the moment at which a put was due; a hot key is the only one \
                 that is put to";
    Ok((about.to_owned(), outcome))
}

/// How long the writer goes on without a snapshot.
fn alone(size: Size) -> Duration {
    Duration::from_millis(size.pick(5, 300, 1000))
}

impl Work<'_> {
    /// Puts with a snapshot and without one.
    fn contend<'a>(&'a self, contest: &mut Contest<'a>, case: &str, pace: Pace, which: Keys) {
        let none = contest.log(case, "no snapshot", move |_| {
            self.turn(pace, which, |_| {
                thread::sleep(self.alone);
                Ok(String::new())
            })
        });
        let with = contest.log(case, "snapshot", move |_| {
            self.turn(pace, which, |store| {
                let report = store.snapshot()?;
                Ok(format!("{} ms", report.time.as_millis()))
            })
        });
        contest.against(with, none, "no snapshot");
    }

    /// Puts until `beside`, on a thread of its own, has returned.
    fn turn(
        &self,
        pace: Pace,
        which: Keys,
        beside: impl FnOnce(&KvStore) -> anyhow::Result<String> + Send,
    ) -> anyhow::Result<Turn> {
        // Something is new, so that there is a snapshot to write; and what is before it is not the next one's log.
        self.store.put(key(0), self.payloads.get(1, VALUE))?;
        self.store.sync()?;
        let (over, watch) = (AtomicBool::new(false), Stopwatch::start());
        let (note, latencies) = thread::scope(|scope| {
            let beside = scope.spawn(|| {
                let outcome = beside(self.store);
                over.store(true, Ordering::Release);
                outcome
            });
            let latencies = self.put_until(pace, which, &over);
            let outcome = beside.join().expect("a panic is a bug of the benchmark");
            anyhow::Ok((outcome?, latencies?))
        })?;
        let (calls, elapsed) = (latencies.len(), watch.elapsed());
        Ok(Turn {
            latencies: Some(latencies),
            note: (!note.is_empty()).then_some(note),
            ..Turn::new(calls, calls * PAIR, elapsed)
        })
    }

    fn put_until(
        &self,
        pace: Pace,
        which: Keys,
        over: &AtomicBool,
    ) -> anyhow::Result<hdrhistogram::Histogram<u64>> {
        let mut latencies = histogram();
        let (mut due, mut n) = (Instant::now(), 0);
        while n == 0 || !over.load(Ordering::Acquire) {
            let key = key(match which {
                Keys::All => scattered(n, 7) % self.keys,
                Keys::Hot => 1,
            });
            while pace == Pace::Fixed && Instant::now() < due {
                std::hint::spin_loop();
            }
            let begun = match pace {
                Pace::Fixed => due,
                Pace::Unlimited => Instant::now(),
            };
            self.store.put(key, self.payloads.get(n, VALUE))?;
            latencies.saturating_record(nanos(begun.elapsed()));
            due += PERIOD;
            n += 1;
        }
        Ok(latencies)
    }
}
