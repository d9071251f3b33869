//! Appends without a sync: from the first append to the hand-over of the last byte.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use wal_core::{FsyncPolicy, RecordRef, Wal, blocking};

use super::{BATCH, check_last, config, log_dir, policy_name, size_name};
use crate::contest::{Contender, Contest, Ground, Turn};
use crate::limits::RawChunk;
use crate::load::runtime;
use crate::options::Scale;
use crate::payload::Payloads;
use crate::report::{Measure, Row};
use crate::watch::Stopwatch;

/// What one turn appends.
#[derive(Clone, Debug)]
struct Work {
    payloads: Arc<Payloads>,
    record: u64,
    count: u64,
}

pub(super) fn run(ground: &Ground<'_>, scale: &Scale) -> anyhow::Result<(String, Vec<Row>)> {
    let payloads = Arc::new(Payloads::default());
    let mut rows = Vec::new();
    for (record, bytes) in scale.buffered.iter().copied() {
        let work = Work {
            payloads: Arc::clone(&payloads),
            record,
            count: bytes / record,
        };
        let mut contenders = vec![Contender::limit("raw-chunk", |dir| raw_chunk(dir, &work))];
        for policy in [FsyncPolicy::Os, BATCH] {
            let (work, name) = (&work, policy_name(policy));
            contenders.push(Contender::measured(
                format!("blocking, {name}"),
                move |dir| on_thread(dir, work, policy),
            ));
            contenders.push(Contender::measured(format!("async, {name}"), move |dir| {
                on_task(dir, work, policy)
            }));
        }
        let contest = Contest {
            case: size_name(record),
            measure: Measure::RecordsPerSecond,
            contenders,
        };
        rows.extend(contest.run(ground)?);
    }
    let about = "one writer; ends when the last byte is with the operating system".to_owned();
    Ok((about, rows))
}

impl Work {
    fn done(&self, watch: &Stopwatch) -> Turn {
        Turn::new(self.count, self.count * self.record, watch.elapsed())
    }

    /// The payload of record `n`.
    #[inline]
    fn payload(&self, n: u64) -> &[u8] {
        black_box(self.payloads.get(n, self.record))
    }
}

fn raw_chunk(dir: &Path, work: &Work) -> anyhow::Result<Turn> {
    let mut file = RawChunk::create(dir)?;
    file.append(b"the first")?;
    file.flush()?;
    let watch = Stopwatch::start();
    for n in 0..work.count {
        file.append(work.payload(n))?;
    }
    file.flush()?;
    Ok(work.done(&watch))
}

fn on_thread(dir: &Path, work: &Work, policy: FsyncPolicy) -> anyhow::Result<Turn> {
    let wal = blocking::Wal::open(log_dir(dir), config(policy))?;
    // The first segment is made with the first append.
    wal.append(RecordRef::data(b"the first"))?;
    wal.flush()?;
    let watch = Stopwatch::start();
    for n in 0..work.count {
        wal.append(RecordRef::data(work.payload(n)))?;
    }
    wal.flush()?;
    let turn = work.done(&watch);
    check_last(wal.last_lsn(), work.count + 1)?;
    Ok(turn)
}

fn on_task(dir: &Path, work: &Work, policy: FsyncPolicy) -> anyhow::Result<Turn> {
    let runtime = runtime()?;
    let (dir, work) = (log_dir(dir), work.clone());
    let task = runtime.spawn(async move {
        let wal = Wal::open(dir, config(policy)).await?;
        wal.append(RecordRef::data(b"the first")).await?;
        wal.flush().await?;
        let watch = Stopwatch::start();
        for n in 0..work.count {
            wal.append(RecordRef::data(work.payload(n))).await?;
        }
        wal.flush().await?;
        let turn = work.done(&watch);
        check_last(wal.last_lsn(), work.count + 1)?;
        anyhow::Ok(turn)
    });
    runtime.block_on(task)?
}
