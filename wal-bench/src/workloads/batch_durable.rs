//! Batches of records, on stable storage as a whole.

use std::path::Path;

use wal_core::{FsyncPolicy, Record, RecordRef, blocking::Wal};

use super::{check_last, config, log_dir};
use crate::contest::{Contender, Contest, Ground, Turn};
use crate::limits::{Prewritten, RawDirect};
use crate::load::{Done, Until, on_threads};
use crate::options::Scale;
use crate::payload::Payloads;
use crate::report::{Measure, Row};

/// What one turn appends.
#[derive(Debug)]
struct Work<'a> {
    payloads: &'a Payloads,
    record: u64,
    batch: u64,
    until: Until,
}

pub(super) fn run(ground: &Ground<'_>, scale: &Scale) -> anyhow::Result<(String, Vec<Row>)> {
    let payloads = Payloads::default();
    let prewritten = Prewritten::create(&ground.dir, "raw-direct", scale.prewritten)?;
    let mut rows = Vec::new();
    for batch in scale.batches.iter().copied() {
        let work = Work {
            payloads: &payloads,
            record: scale.record,
            batch,
            until: Until::of(scale, scale.record * batch, 1),
        };
        let contest = Contest {
            case: format!("{batch} records"),
            measure: Measure::RecordsPerSecond,
            contenders: vec![
                Contender::limit("raw-direct", |_| work.raw_direct(&prewritten)),
                Contender::measured("append each, sync", |dir| work.append_and_sync(dir)),
                Contender::measured("append_batch", |dir| work.append_batch(dir)),
            ],
        };
        rows.extend(contest.run(ground)?);
    }
    let about = format!(
        "one writer, records of {} B; a latency is that of a whole batch (append each under Os, append_batch under Always)",
        scale.record
    );
    Ok((about, rows))
}

impl Work<'_> {
    fn batch(&self, n: u64) -> impl Iterator<Item = &[u8]> {
        let numbers = n * self.batch..(n + 1) * self.batch;
        numbers.map(|n| self.payloads.get(n, self.record))
    }

    fn turn(&self, done: Done, syncs: u64) -> Turn {
        let records = done.calls * self.batch;
        Turn {
            latencies: Some(done.latencies),
            syncs: Some(syncs),
            ..Turn::new(records, records * self.record, done.elapsed)
        }
    }

    fn raw_direct(&self, prewritten: &Prewritten) -> anyhow::Result<Turn> {
        let file = RawDirect::new(prewritten.clone());
        let done = on_threads(1, self.until, |_, n| Ok(file.append_batch(self.batch(n))?))?;
        Ok(self.turn(done, file.syncs()))
    }

    fn append_and_sync(&self, dir: &Path) -> anyhow::Result<Turn> {
        self.on_log(dir, FsyncPolicy::Os, |wal, n| {
            for payload in self.batch(n) {
                wal.append(RecordRef::data(payload))?;
            }
            Ok(wal.sync()?)
        })
    }

    /// The records are made within the time: a copy of each payload, as a caller has it.
    fn append_batch(&self, dir: &Path) -> anyhow::Result<Turn> {
        self.on_log(dir, FsyncPolicy::Always, |wal, n| {
            let records: Vec<Record> = self.batch(n).map(Record::data).collect();
            wal.append_batch(&records)?;
            Ok(())
        })
    }

    fn on_log(
        &self,
        dir: &Path,
        policy: FsyncPolicy,
        batch: impl Fn(&Wal, u64) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<Turn> {
        let wal = Wal::open(log_dir(dir), config(policy))?;
        // The first segment is made with the first append.
        wal.append(RecordRef::data(b"the first"))?;
        wal.sync()?;
        let before = wal.stats().syncs;
        let done = on_threads(1, self.until, |_, n| batch(&wal, n))?;
        check_last(wal.durable_lsn(), done.calls * self.batch + 1)?;
        Ok(self.turn(done, wal.stats().syncs - before))
    }
}
