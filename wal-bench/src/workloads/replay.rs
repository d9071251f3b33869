//! Reading a closed log from its start, on one thread. Its pages are in the page cache: they were just written.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use wal_core::{Lsn, Wal, blocking};

use crate::common::{Policy, closed, fill_raw, log_dir, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::limits::Chunks;
use crate::load::Flavour;
use crate::payload::Payloads;
use crate::peer::{Peer, Reached};
use crate::size::{KIB, MIB, Size};
use crate::turn::{Measure, Turn};
use crate::watch::Stopwatch;

/// Bytes of a record, and of the log.
fn records(size: Size) -> Vec<(u64, u64)> {
    match size {
        Size::Quick => vec![(KIB, 256 * KIB)],
        Size::Short => vec![(KIB, 128 * MIB)],
        Size::Full => vec![(100, 128 * MIB), (KIB, 256 * MIB), (10 * KIB, 256 * MIB)],
    }
}

/// What a replay must find.
#[derive(Clone, Copy, Debug)]
struct Expected {
    record: u64,
    count: u64,
}

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let mut outcome = Outcome::default();
    for (record, bytes) in records(ground.size) {
        let dir = ground.dir.join(record.to_string());
        std::fs::create_dir(&dir)?;
        outcome.add(one(ground, &dir, record, bytes)?);
        std::fs::remove_dir_all(dir)?;
    }
    let about = "a closed log, from the page cache, each record verified; opening is timed where the case says so";
    Ok((about.to_owned(), outcome))
}

fn one(ground: &Ground<'_>, dir: &Path, record: u64, bytes: u64) -> anyhow::Result<Outcome> {
    let expected = Expected {
        record,
        count: bytes / record,
    };
    (ground.progress)("writing what is read");
    fill_raw(dir, record, expected.count)?;
    let log = log_dir(dir);
    closed(&log, Policy::Os.config(), record, bytes)?;
    let case = format!("{} of {}", size_name(bytes), size_name(record));
    let logs: Vec<_> = ground
        .field
        .logs
        .iter()
        .zip(0..)
        .map(|(peer, n)| (peer, dir.join(format!("peer-{n}"))))
        .collect();
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    contest.limit(&case, "raw-chunk", |_| raw_chunk(dir, expected));
    contest.log(&case, "blocking", |_| {
        on_thread(&log, expected, Timed::Reading)
    });
    contest.log(&case, "async", |_| on_task(&log, expected));
    // A peer that keeps its records in memory reads them when it is opened.
    let whole = format!("{case}, opened");
    contest.limit(&whole, "raw-chunk", |_| raw_chunk(dir, expected));
    contest.log(&whole, "blocking", |_| {
        on_thread(&log, expected, Timed::Opening)
    });
    for (peer, log) in &logs {
        contest.peer(&whole, peer.name, peer.version, move |_| {
            by_peer(log, peer.peer.as_ref(), expected)
        });
    }
    contest.run(ground)
}

impl Expected {
    fn found(self, count: u64, bytes: u64, watch: &Stopwatch) -> anyhow::Result<Turn> {
        let turn = Turn::new(count, bytes, watch.elapsed());
        ensure!(
            (count, bytes) == (self.count, self.count * self.record),
            "{count} records of {bytes} bytes were read, {} were written",
            self.count
        );
        Ok(turn)
    }
}

fn raw_chunk(dir: &Path, expected: Expected) -> anyhow::Result<Turn> {
    let watch = Stopwatch::start();
    let mut chunks = Chunks::open(dir)?;
    let (mut count, mut bytes) = (0, 0);
    while let Some(payload) = chunks.next_payload()? {
        count += 1;
        bytes += black_box(payload).len() as u64;
    }
    expected.found(count, bytes, &watch)
}

/// What the time is that of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timed {
    Reading,
    Opening,
}

fn on_thread(log: &Path, expected: Expected, timed: Timed) -> anyhow::Result<Turn> {
    let opening = Stopwatch::start();
    let wal = blocking::Wal::open(log, Policy::Os.config())?;
    let mut reader = wal.read_from(Lsn::ZERO)?;
    let reading = Stopwatch::start();
    let (mut count, mut bytes) = (0, 0);
    while let Some((record, _)) = reader.next_record()? {
        count += 1;
        bytes += black_box(&record.value[..]).len() as u64;
    }
    let turn = match timed {
        Timed::Reading => expected.found(count, bytes, &reading),
        Timed::Opening => expected.found(count, bytes, &opening),
    }?;
    wal.close()?;
    Ok(turn)
}

fn on_task(log: &Path, expected: Expected) -> anyhow::Result<Turn> {
    let (runtime, log) = (Flavour::MultiThread.runtime()?, log.to_owned());
    let task = runtime.spawn(async move {
        let wal = Wal::open(log, Policy::Os.config()).await?;
        let mut reader = wal.read_from(Lsn::ZERO).await?;
        let watch = Stopwatch::start();
        let (mut count, mut bytes) = (0, 0);
        while let Some((record, _)) = reader.next_record().await? {
            count += 1;
            bytes += black_box(&record.value[..]).len() as u64;
        }
        let turn = expected.found(count, bytes, &watch)?;
        wal.close().await?;
        anyhow::Ok(turn)
    });
    runtime.block_on(task)?
}

/// The log in `log` is written with the peer's first turn.
fn by_peer(log: &PathBuf, peer: &dyn Peer, expected: Expected) -> anyhow::Result<Option<Turn>> {
    if !log.exists() {
        std::fs::create_dir(log)?;
        let Some(open) = peer.create(log, Reached::Buffered)? else {
            return Ok(None);
        };
        let payloads = Payloads::default();
        for n in 0..expected.count {
            open.append(payloads.get(n, expected.record))?;
        }
        open.flush()?;
    }
    let (mut count, mut bytes) = (0, 0);
    let watch = Stopwatch::start();
    let each = &mut |payload: &[u8]| {
        count += 1;
        bytes += black_box(payload).len() as u64;
    };
    if peer.replay(log, each)?.is_none() {
        return Ok(None);
    }
    expected.found(count, bytes, &watch).map(Some)
}
