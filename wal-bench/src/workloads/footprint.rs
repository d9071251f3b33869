//! What the log takes beside time: bytes on disk, memory, system calls.

use std::path::Path;

use wal_core::RecordRef;

use crate::common::{Policy, begun, counted, fill, log_dir, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::errand::{Errand, Writing};
use crate::load::{Until, on_threads};
use crate::payload::Payloads;
use crate::size::{KIB, MIB, Size};
use crate::turn::{Measure, Turn};
use crate::watch::Stopwatch;

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let mut outcome = Outcome::default();
    outcome.add(bytes(ground)?);
    outcome.add(memory(ground)?);
    outcome.add(calls(ground)?);
    let about = "bytes of all files after a close for each byte of payload; memory beyond what the process began with; \
                 writes and syncs for each group that became durable";
    Ok((about.to_owned(), outcome))
}

/// One writer that does not wait; under `Always` each record is a group of its own.
fn bytes(ground: &Ground<'_>) -> anyhow::Result<Outcome> {
    let mut contest = Contest::new(Measure::BytesPerByte);
    for record in [100, KIB] {
        for policy in [Policy::Os, Policy::Batch, Policy::Always] {
            let bytes = match policy {
                Policy::Always => ground.size.pick(4 * KIB, 32 * KIB, 256 * KIB),
                Policy::Batch | Policy::Os => ground.size.pick(64 * KIB, 16 * MIB, 64 * MIB),
            };
            contest.log(
                &format!("written, {}", size_name(record)),
                policy.name(),
                move |dir| {
                    let watch = Stopwatch::start();
                    let wal = begun(dir, policy.config())?;
                    let count = fill(&wal, record, bytes)?;
                    let groups = wal.stats().bytes_written;
                    wal.close()?;
                    let payload = count * record;
                    Ok(Turn {
                        written: Some(file_bytes(&log_dir(dir))?),
                        note: Some(format!("{groups} bytes in groups for {payload} of payload")),
                        ..Turn::new(count, payload, watch.elapsed())
                    })
                },
            );
        }
    }
    contest.run(ground)
}

/// Of all files in `dir` and below.
pub(super) fn file_bytes(dir: &Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() {
            file_bytes(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(total)
}

/// A process of its own that appends a little, and one that appends much.
fn memory(ground: &Ground<'_>) -> anyhow::Result<Outcome> {
    let much = ground.size.pick(MIB, 256 * MIB, 2048 * MIB);
    let mut contest = Contest::new(Measure::Mebibytes);
    for policy in [Policy::Os, Policy::Batch] {
        for bytes in [much / 8, much] {
            let case = format!("memory, {}", policy.name());
            let name = format!("{} of {}", size_name(bytes), size_name(KIB));
            contest.log(&case, &name, move |dir| {
                let writing = Writing {
                    log: log_dir(dir),
                    policy,
                    segment: 128 * MIB,
                    record: KIB,
                    bytes,
                };
                let found = Errand::Write(writing).run()?;
                Ok(found.turn(bytes))
            });
        }
    }
    contest.run(ground)
}

/// From the log's own counters; the tests of wal-core count with strace.
fn calls(ground: &Ground<'_>) -> anyhow::Result<Outcome> {
    let payloads = Payloads::default();
    let mut contest = Contest::new(Measure::CallsPerGroup);
    for writers in [1, 8] {
        let case = format!("system calls, {}", counted(writers, "writer"));
        let payloads = &payloads;
        let size: Size = ground.size;
        contest.log(&case, "blocking, Always", move |dir| {
            let wal = begun(dir, Policy::Always.config())?;
            let before = wal.stats();
            let until = Until::calls(size.pick(10, 200, 1000));
            let done = on_threads(writers as usize, until, |writer, n| {
                wal.append(RecordRef::data(payloads.get(n + writer as u64 * 31, KIB)))?;
                Ok(())
            })?;
            let after = wal.stats();
            let (writes, syncs) = (after.writes - before.writes, after.syncs - before.syncs);
            Ok(Turn {
                value: Some(ratio(writes + syncs, syncs)),
                note: Some(format!(
                    "{writes} writes and {syncs} syncs for {} records",
                    done.calls
                )),
                ..Turn::new(done.calls, done.calls * KIB, done.elapsed)
            })
        });
    }
    contest.run(ground)
}

#[allow(clippy::cast_precision_loss)] // A figure of four digits.
fn ratio(calls: u64, groups: u64) -> f64 {
    calls as f64 / groups.max(1) as f64
}
