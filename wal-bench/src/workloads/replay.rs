//! Reading a closed log from its start. Its pages are in the page cache: they were just written.

use std::hint::black_box;
use std::path::Path;

use anyhow::ensure;
use wal_core::{FsyncPolicy, Lsn, Wal, blocking};

use super::{config, fill, log_dir, size_name};
use crate::contest::{Contender, Contest, Ground, Turn};
use crate::limits::{Chunks, RawChunk};
use crate::load::runtime;
use crate::options::Scale;
use crate::payload::Payloads;
use crate::report::{Measure, Row};
use crate::watch::Stopwatch;

/// What a replay must find.
#[derive(Clone, Copy, Debug)]
struct Expected {
    record: u64,
    count: u64,
}

pub(super) fn run(ground: &Ground<'_>, scale: &Scale) -> anyhow::Result<(String, Vec<Row>)> {
    let expected = Expected {
        record: scale.record,
        count: scale.replayed / scale.record,
    };
    (ground.progress)("writing what is read");
    write_raw(&ground.dir, expected)?;
    let log = log_dir(&ground.dir);
    let wal = blocking::Wal::open(&log, config(FsyncPolicy::Os))?;
    fill(&wal, scale.record, scale.replayed)?;
    wal.close()?;
    let contest = Contest {
        case: size_name(scale.replayed),
        measure: Measure::RecordsPerSecond,
        contenders: vec![
            Contender::limit("raw-chunk", |_| raw_chunk(&ground.dir, expected)),
            Contender::measured("blocking", |_| on_thread(&log, expected)),
            Contender::measured("async", |_| on_task(&log, expected)),
        ],
    };
    let about = format!(
        "records of {} B of a closed log, from the page cache, each verified; opening is not timed",
        scale.record
    );
    Ok((about, contest.run(ground)?))
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

fn write_raw(dir: &Path, expected: Expected) -> anyhow::Result<()> {
    let (mut file, payloads) = (RawChunk::create(dir)?, Payloads::default());
    for n in 0..expected.count {
        file.append(payloads.get(n, expected.record))?;
    }
    Ok(file.flush()?)
}

fn raw_chunk(dir: &Path, expected: Expected) -> anyhow::Result<Turn> {
    let mut chunks = Chunks::open(dir)?;
    let watch = Stopwatch::start();
    let (mut count, mut bytes) = (0, 0);
    while let Some(payload) = chunks.next_payload()? {
        count += 1;
        bytes += black_box(payload).len() as u64;
    }
    expected.found(count, bytes, &watch)
}

fn on_thread(log: &Path, expected: Expected) -> anyhow::Result<Turn> {
    let wal = blocking::Wal::open(log, config(FsyncPolicy::Os))?;
    let mut reader = wal.read_from(Lsn::ZERO)?;
    let watch = Stopwatch::start();
    let (mut count, mut bytes) = (0, 0);
    while let Some((record, _)) = reader.next_record()? {
        count += 1;
        bytes += black_box(&record.value[..]).len() as u64;
    }
    let turn = expected.found(count, bytes, &watch)?;
    wal.close()?;
    Ok(turn)
}

fn on_task(log: &Path, expected: Expected) -> anyhow::Result<Turn> {
    let (runtime, log) = (runtime()?, log.to_owned());
    let task = runtime.spawn(async move {
        let wal = Wal::open(log, config(FsyncPolicy::Os)).await?;
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
