//! What a rotation costs who appends meanwhile: the slowest of many buffered appends, with small segments and without rotation.
//!
//! On a disk the writer keeps to half of what the disk was just measured to take, or it would wait for the disk in any case: a third
//! segment is not begun before the first is durable. In memory it goes as fast as it can.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use wal_core::RecordRef;

use crate::common::{Policy, begun, check_last, counted, discard, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::load::{histogram_of, nanos};
use crate::payload::Payloads;
use crate::probe::sustained;
use crate::size::{KIB, MIB, Size};
use crate::turn::{Measure, Turn};
use crate::watch::Stopwatch;

const RECORD: u64 = KIB;

/// Bytes that a turn appends, of a segment that rotates, and of one that is not even three quarters full at the end: then
/// its successor would be made.
fn sizes(size: Size) -> (u64, u64, u64) {
    let (bytes, small) = size.pick((4 * MIB, MIB), (128 * MIB, 16 * MIB), (256 * MIB, 16 * MIB));
    (bytes, small, bytes * 3 / 2)
}

/// Bytes that are appended between two looks at the clock.
const STRIDE: u64 = 64 * KIB;

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let (bytes, small, large) = sizes(ground.size);
    let (rate, pace) = if ground.host.is_memory() {
        (None, "as fast as it can".to_owned())
    } else {
        // As much as a turn writes: a disk may take less than the probe is fast.
        let rate = sustained(ground.dir, bytes)? / 2.0;
        let pace = format!("at {rate:.0} MiB/s, half of what the disk took of as many bytes");
        (Some(rate), pace)
    };
    let mut contest = Contest::new(Measure::TailMicros);
    for policy in [Policy::Os, Policy::Batch] {
        let turn = move |dir: &Path, segment| append(dir, policy, segment, bytes, rate);
        let without = contest.log(policy.name(), "no rotation", move |dir| turn(dir, large));
        let name = format!("segments of {}", size_name(small));
        let with = contest.log(policy.name(), &name, move |dir| turn(dir, small));
        contest.against(with, without, "no rotation");
    }
    let about = format!(
        "one blocking writer, {} of {}, {pace}; each append is timed",
        size_name(bytes),
        size_name(RECORD)
    );
    Ok((about, contest.run(ground)?))
}

/// `rate` is in mebibytes a second.
fn append(
    dir: &Path,
    policy: Policy,
    segment: u64,
    bytes: u64,
    rate: Option<f64>,
) -> anyhow::Result<Turn> {
    let wal = begun(dir, policy.config_with(segment))?;
    let (payloads, count) = (Payloads::default(), bytes / RECORD);
    let mut latencies = Vec::with_capacity(count as usize);
    let (start, watch) = (Instant::now(), Stopwatch::start());
    for n in 0..count {
        let appended = n * RECORD;
        if let Some(rate) = rate.filter(|_| appended.is_multiple_of(STRIDE)) {
            let due = start + time_for(appended, rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let payload = payloads.get(n, RECORD);
        let begun = Instant::now();
        wal.append(RecordRef::data(payload))?;
        latencies.push(nanos(begun.elapsed()));
    }
    let elapsed = watch.elapsed();
    check_last(wal.last_lsn(), count + 1)?;
    let rotations = wal.stats().rotations;
    discard(wal, dir)?;
    Ok(Turn {
        latencies: Some(histogram_of(latencies)),
        note: Some(counted(rotations, "segment") + " begun"),
        ..Turn::new(count, bytes, elapsed)
    })
}

#[allow(clippy::cast_precision_loss)] // A pace.
fn time_for(bytes: u64, mib_per_second: f64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / f64::from(1 << 20) / mib_per_second.max(1.0))
}
