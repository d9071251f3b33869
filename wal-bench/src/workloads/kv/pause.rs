//! Puts while a snapshot is written, and without one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wal_kv::blocking::KvStore;

use super::{PAIR, VALUE, count_name, filled, key, keys};
use crate::contest::{Contest, Ground, Outcome};
use crate::load::{histogram, nanos};
use crate::options::Size;
use crate::payload::{Payloads, scattered};
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

#[derive(Debug)]
struct Work<'a> {
    store: &'a KvStore,
    payloads: Payloads,
    keys: u64,
}

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let keys = keys(ground.size);
    (ground.progress)("writing what the snapshot holds");
    let store = filled(ground.dir, keys)?;
    let work = Work {
        store: &store,
        payloads: Payloads::default(),
        keys,
    };
    let alone = alone(ground.size);
    let mut contest = Contest::new(Measure::TailMicros);
    for (pace, name) in [
        (Pace::Fixed, "50,000 puts/s"),
        (Pace::Unlimited, "unlimited"),
    ] {
        let case = format!("{}, {name}", count_name(keys));
        let work = &work;
        let none = contest.log(&case, "no snapshot", move |_| {
            work.turn(pace, |_| {
                thread::sleep(alone);
                Ok(String::new())
            })
        });
        let with = contest.log(&case, "snapshot", move |_| {
            work.turn(pace, |store| {
                let report = store.snapshot()?;
                Ok(format!("{} ms", report.time.as_millis()))
            })
        });
        contest.against(with, none, "no snapshot");
    }
    let outcome = contest.run(ground)?;
    store.close()?;
    let about = "one writer replaces values at random under Os while a snapshot of all keys is written, read back and the log is \
                 cut; latencies of all puts, where they have a rate from the moment at which a put was due";
    Ok((about.to_owned(), outcome))
}

/// How long the writer goes on without a snapshot.
fn alone(size: Size) -> Duration {
    Duration::from_millis(size.pick(5, 300, 1000))
}

impl Work<'_> {
    /// Puts until `beside`, on a thread of its own, has returned.
    fn turn(
        &self,
        pace: Pace,
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
            let latencies = self.put_until(pace, &over);
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
        over: &AtomicBool,
    ) -> anyhow::Result<hdrhistogram::Histogram<u64>> {
        let mut latencies = histogram();
        let (mut due, mut n) = (Instant::now(), 0);
        while n == 0 || !over.load(Ordering::Acquire) {
            let key = key(scattered(n, 7) % self.keys);
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
