//! Batches of records, on stable storage as a whole.

use std::path::Path;

use wal_core::{RecordRef, blocking::Wal};

use crate::common::{Policy, begun, check_last, prepared, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::limits::{Prewritten, RawDirect};
use crate::load::{Done, Until, on_threads};
use crate::payload::Payloads;
use crate::peer::{Peer, Reached};
use crate::size::{KIB, MIB};
use crate::turn::{Measure, Turn};

const RECORD: u64 = KIB;

/// What one turn appends.
#[derive(Clone, Copy, Debug)]
struct Work<'a> {
    payloads: &'a Payloads,
    batch: u64,
    until: Until,
}

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let payloads = Payloads::default();
    let len = ground.size.pick(2 * MIB, 64 * MIB, 64 * MIB);
    let prewritten = Prewritten::create(ground.dir, "raw-direct", len)?;
    let mut outcome = Outcome::default();
    for batch in [10, 100, 1000] {
        let work = Work {
            payloads: &payloads,
            batch,
            until: Until::of(ground.size, RECORD * batch, 1),
        };
        let case = format!("{batch} records");
        let mut contest = Contest::new(Measure::RecordsPerSecond);
        contest.limit(&case, "raw-direct", |_| work.raw_direct(&prewritten));
        contest.log(&case, "append each, sync", move |dir| {
            work.append_and_sync(dir)
        });
        contest.log(&case, "append_batch", move |dir| work.append_batch(dir));
        for peer in &ground.field.logs {
            contest.peer(&case, peer.name, peer.version, move |dir| {
                work.peer(dir, peer.peer.as_ref())
            });
        }
        outcome.add(contest.run(ground)?);
    }
    let about = format!(
        "one writer, records of {}; a latency is that of a whole batch (append each under Os, append_batch under Always, where \
         the log had the time to write zeros ahead)",
        size_name(RECORD)
    );
    Ok((about, outcome))
}

impl Work<'_> {
    fn batch(&self, n: u64) -> impl Iterator<Item = &[u8]> {
        let numbers = n * self.batch..(n + 1) * self.batch;
        numbers.map(|n| self.payloads.get(n, RECORD))
    }

    fn turn(&self, mut done: Done, syncs: Option<u64>) -> Turn {
        done.calls *= self.batch;
        done.turn(RECORD, syncs)
    }

    fn raw_direct(&self, prewritten: &Prewritten) -> anyhow::Result<Turn> {
        let file = RawDirect::new(prewritten.clone());
        let done = on_threads(1, self.until, |_, n| Ok(file.append_batch(self.batch(n))?))?;
        Ok(self.turn(done, Some(file.syncs())))
    }

    fn append_and_sync(&self, dir: &Path) -> anyhow::Result<Turn> {
        let wal = begun(dir, Policy::Os.config())?;
        self.on_log(&wal, |wal, n| {
            for payload in self.batch(n) {
                wal.append(RecordRef::data(payload))?;
            }
            Ok(wal.sync()?)
        })
    }

    /// Of borrowed records: nothing is copied but into the log's buffer.
    fn append_batch(&self, dir: &Path) -> anyhow::Result<Turn> {
        let wal = prepared(dir)?;
        self.on_log(&wal, |wal, n| {
            let records: Vec<RecordRef<'_>> = self.batch(n).map(RecordRef::data).collect();
            wal.append_batch(&records)?;
            Ok(())
        })
    }

    fn on_log(
        &self,
        wal: &Wal,
        batch: impl Fn(&Wal, u64) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<Turn> {
        let before = wal.stats().syncs;
        let done = on_threads(1, self.until, |_, n| batch(wal, n))?;
        check_last(wal.durable_lsn(), done.calls * self.batch + 1)?;
        Ok(self.turn(done, Some(wal.stats().syncs - before)))
    }

    fn peer(&self, dir: &Path, peer: &dyn Peer) -> anyhow::Result<Option<Turn>> {
        let Some(log) = peer.create(dir, Reached::Durable)? else {
            return Ok(None);
        };
        log.append(b"the first")?;
        let done = on_threads(1, self.until, |_, n| {
            let batch: Vec<&[u8]> = self.batch(n).collect();
            log.append_batch(&batch)
        })?;
        Ok(Some(self.turn(done, None)))
    }
}
