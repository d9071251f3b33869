//! Reading single records at random: a new reader for each, by LSN or by position, and its first record.

use std::fmt;
use std::hint::black_box;
use std::path::Path;

use anyhow::ensure;
use wal_core::{FormatVersion, Lsn, Position, RecordRef, Start, blocking::Wal};

use crate::common::{Policy, counted, discard, fill_raw, log_dir, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::limits::RawPoint;
use crate::load::{Until, on_threads};
use crate::payload::{Payloads, scattered};
use crate::size::{KIB, MIB, Size};
use crate::turn::{Measure, Turn};

/// Bytes of a record.
fn records(size: Size) -> Vec<u64> {
    size.pick(vec![KIB], vec![100, KIB], vec![100, KIB])
}

/// Bytes of the log in large groups, and in groups of one record.
fn log_size(size: Size) -> (u64, u64) {
    size.pick(
        (256 * KIB, 64 * KIB),
        (64 * MIB, 16 * MIB),
        (96 * MIB, 24 * MIB),
    )
}

/// How records lie in groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Groups of a mebibyte.
    Large,
    /// One record in each group, as under `Always`.
    Single,
}

/// What the segments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segments {
    /// With footers, of a log that was closed and opened again.
    Sealed,
    /// One, which its writer reads.
    Active,
}

/// What is read.
#[derive(Clone, Copy, Debug)]
struct Case {
    record: u64,
    shape: Shape,
    state: Segments,
    threads: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = match self.shape {
            Shape::Large => "groups of 1 MiB",
            Shape::Single => "one a group",
        };
        let state = match self.state {
            Segments::Sealed => "sealed",
            Segments::Active => "active",
        };
        let threads = counted(self.threads as u64, "thread");
        let record = size_name(self.record);
        write!(f, "{record}, {shape}, {state}, {threads}")
    }
}

/// What a turn reads.
#[derive(Clone, Copy, Debug)]
struct Work {
    record: u64,
    count: u64,
    threads: usize,
    until: Until,
}

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let mut outcome = Outcome::default();
    for record in records(ground.size) {
        for shape in [Shape::Large, Shape::Single] {
            for state in [Segments::Sealed, Segments::Active] {
                for threads in ground.size.pick(vec![1], vec![1], vec![1, 2]) {
                    let case = Case {
                        record,
                        shape,
                        state,
                        threads,
                    };
                    outcome.add(run_case(ground, case)?);
                }
            }
        }
    }
    let (large, single) = log_size(ground.size);
    let about = format!(
        "records at random of {}, or {} with one record a group, in version 2, from the page cache; a new reader for each",
        size_name(large),
        size_name(single)
    );
    Ok((about, outcome))
}

fn run_case(ground: &Ground<'_>, case: Case) -> anyhow::Result<Outcome> {
    (ground.progress)("writing what is read");
    let dir = tempfile::tempdir_in(ground.dir)?;
    let (wal, positions) = write(dir.path(), ground.size, case)?;
    let count = positions.len() as u64;
    fill_raw(dir.path(), case.record, count)?;
    let raw = RawPoint::open(dir.path(), case.record)?;
    let work = Work {
        record: case.record,
        count,
        threads: case.threads,
        until: Until::of(ground.size, case.record, case.threads),
    };
    let name = case.to_string();
    let mut contest = Contest::new(Measure::MedianMicros);
    contest.limit(&name, "raw-point", |_| {
        work.turn(|n| Ok(raw.read(n)?.len()))
    });
    let by_lsn = contest.log(&name, "by LSN", |_| {
        work.turn(|n| read(&wal, Lsn::new(n + 1)))
    });
    let by_position = contest.log(&name, "by position", |_| {
        work.turn(|n| read(&wal, positions[n as usize]))
    });
    contest.against(by_lsn, by_position, "by position");
    let outcome = contest.run(ground)?;
    discard(wal, dir.path())?;
    Ok(outcome)
}

/// A log whose records are read, and where they are.
fn write(dir: &Path, size: Size, case: Case) -> anyhow::Result<(Wal, Vec<Position>)> {
    let (large, single) = log_size(size);
    let (bytes, at_once) = match case.shape {
        Shape::Large => (large, (MIB / case.record).min(large / case.record)),
        Shape::Single => (single, 1),
    };
    let segment = match case.state {
        Segments::Sealed => 16 * MIB,
        Segments::Active => 128 * MIB,
    };
    let open = || {
        let builder = Wal::builder(log_dir(dir)).config(Policy::Os.config_with(segment));
        builder.format_version(FormatVersion::V2).open()
    };
    let (wal, payloads) = (open()?, Payloads::default());
    for first in (0..bytes / case.record).step_by(at_once as usize) {
        let payloads = (first..first + at_once).map(|n| payloads.get(n, case.record));
        let batch: Vec<_> = payloads.map(RecordRef::data).collect();
        wal.append_batch(&batch)?;
        wal.flush()?;
    }
    let wal = match case.state {
        Segments::Active => wal,
        Segments::Sealed => {
            wal.close()?;
            open()?
        }
    };
    let positions = wal
        .read_from(Lsn::ZERO)?
        .map(|record| record.map(|(_, position)| position))
        .collect::<wal_core::Result<_>>()?;
    Ok((wal, positions))
}

fn read(wal: &Wal, start: impl Into<Start>) -> anyhow::Result<usize> {
    let record = wal.read_from(start)?.next_record()?;
    Ok(record.map_or(0, |(record, _)| black_box(&record.value[..]).len()))
}

impl Work {
    fn turn(&self, read: impl Fn(u64) -> anyhow::Result<usize> + Sync) -> anyhow::Result<Turn> {
        let done = on_threads(self.threads, self.until, |thread, n| {
            let len = read(scattered(n, thread as u64) % self.count)?;
            ensure!(
                len as u64 == self.record,
                "a record of {len} bytes was read"
            );
            Ok(())
        })?;
        Ok(done.turn(self.record, None))
    }
}
