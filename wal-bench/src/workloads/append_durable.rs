//! Appends that are durable when they return, by 1 to 32 writers.

use std::path::Path;
use std::sync::Arc;

use wal_core::{FsyncPolicy, RecordRef, Wal, blocking};

use super::{check_last, config, log_dir};
use crate::contest::{Contender, Contest, Ground, Turn};
use crate::limits::{Prewritten, RawDirect, RawGroup};
use crate::load::{Done, Until, on_tasks, on_threads, runtime};
use crate::options::Scale;
use crate::payload::Payloads;
use crate::report::{Measure, Row};

/// What one turn appends.
#[derive(Clone, Copy, Debug)]
struct Work<'a> {
    payloads: &'a Arc<Payloads>,
    record: u64,
    writers: usize,
    until: Until,
}

pub(super) fn run(ground: &Ground<'_>, scale: &Scale) -> anyhow::Result<(String, Vec<Row>)> {
    let payloads = Arc::new(Payloads::default());
    let direct = Prewritten::create(&ground.dir, "raw-direct", scale.prewritten)?;
    let group = Prewritten::create(&ground.dir, "raw-group", scale.prewritten)?;
    let mut rows = Vec::new();
    for writers in scale.writers.iter().copied() {
        let work = Work {
            payloads: &payloads,
            record: scale.record,
            writers,
            until: Until::of(scale, scale.record, writers),
        };
        let contest = Contest {
            case: match writers {
                1 => "1 writer".to_owned(),
                _ => format!("{writers} writers"),
            },
            measure: Measure::RecordsPerSecond,
            contenders: vec![
                Contender::limit("raw-direct", |_| {
                    let file = RawDirect::new(direct.clone());
                    let done = work.on_threads(|payload| Ok(file.append(payload)?))?;
                    Ok(work.turn(done, file.syncs()))
                }),
                Contender::limit("raw-group", |_| {
                    let file = RawGroup::new(group.clone());
                    let done = work.on_threads(|payload| Ok(file.append(payload)?))?;
                    Ok(work.turn(done, file.syncs()))
                }),
                Contender::measured("blocking, threads", |dir| work.blocking(dir)),
                Contender::measured("async, tasks", |dir| work.tasks(dir)),
            ],
        };
        rows.extend(contest.run(ground)?);
    }
    let about = format!(
        "records of {} B, each on stable storage when its append returns (policy Always)",
        scale.record
    );
    Ok((about, rows))
}

impl Work<'_> {
    /// Each writer has payloads of its own.
    fn on_threads(
        &self,
        append: impl Fn(&[u8]) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<Done> {
        on_threads(self.writers, self.until, |writer, n| {
            append(self.payloads.get(n + (writer as u64 * 31), self.record))
        })
    }

    fn turn(&self, done: Done, syncs: u64) -> Turn {
        Turn {
            latencies: Some(done.latencies),
            syncs: Some(syncs),
            ..Turn::new(done.calls, done.calls * self.record, done.elapsed)
        }
    }

    fn blocking(&self, dir: &Path) -> anyhow::Result<Turn> {
        let wal = blocking::Wal::open(log_dir(dir), config(FsyncPolicy::Always))?;
        // The first segment is made with the first append.
        wal.append(RecordRef::data(b"the first"))?;
        let before = wal.stats().syncs;
        let done = self.on_threads(|payload| {
            wal.append(RecordRef::data(payload))?;
            Ok(())
        })?;
        check_last(wal.durable_lsn(), done.calls + 1)?;
        Ok(self.turn(done, wal.stats().syncs - before))
    }

    fn tasks(&self, dir: &Path) -> anyhow::Result<Turn> {
        let runtime = runtime()?;
        let wal = runtime.block_on(Wal::open(log_dir(dir), config(FsyncPolicy::Always)))?;
        runtime.block_on(wal.append(RecordRef::data(b"the first")))?;
        let before = wal.stats().syncs;
        let (log, payloads, record) = (wal.clone(), Arc::clone(self.payloads), self.record);
        let done = on_tasks(&runtime, self.writers, self.until, move |writer, n| {
            let (log, payloads) = (log.clone(), Arc::clone(&payloads));
            async move {
                let payload = payloads.get(n + (writer as u64 * 31), record);
                log.append(RecordRef::data(payload)).await?;
                Ok(())
            }
        })?;
        check_last(wal.durable_lsn(), done.calls + 1)?;
        Ok(self.turn(done, wal.stats().syncs - before))
    }
}
