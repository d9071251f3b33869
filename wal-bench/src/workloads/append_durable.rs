//! Appends that are durable when they return, by 1 to 1000 writers.

use std::path::Path;
use std::sync::Arc;

use wal_core::{RecordRef, Wal};

use crate::common::{
    Policy, check_last, counted, log_dir, prepared, size_name, while_zeros_are_written,
};
use crate::contest::{Contest, Ground, Outcome};
use crate::limits::{Prewritten, RawDirect, RawGroup};
use crate::load::{Done, Flavour, Until, on_tasks, on_threads};
use crate::payload::Payloads;
use crate::peer::{Peer, Reached};
use crate::size::{KIB, MIB, Size};
use crate::turn::{Measure, Turn};

/// Who appends in a case, beside the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Who {
    writers: usize,
    threads: bool,
    tasks: bool,
    /// Tasks on a runtime of one thread, too.
    one_thread: bool,
}

/// Writers that are more than this are too many for a thread each: the limit of their tasks writes and syncs for all at once.
const MOST_THREADS: usize = 64;

fn cases(size: Size) -> Vec<(u64, Who)> {
    let who = |writers, threads, tasks, one_thread| Who {
        writers,
        threads,
        tasks,
        one_thread,
    };
    let all = [
        who(1, true, true, true),
        who(2, true, false, false),
        who(8, true, true, true),
        who(32, true, false, false),
        who(64, false, true, true),
        who(1000, false, true, true),
    ];
    let of = |record, who: &[Who]| who.iter().map(|who| (record, *who)).collect::<Vec<_>>();
    let short = [
        who(1, true, true, false),
        who(8, true, true, false),
        who(32, true, false, false),
    ];
    match size {
        Size::Quick | Size::Full => [of(KIB, &all), of(100, &all)].concat(),
        Size::Short => [of(KIB, &short), of(100, &[who(1000, false, true, true)])].concat(),
    }
}

/// What one turn appends.
#[derive(Clone, Debug)]
struct Work {
    payloads: Arc<Payloads>,
    record: u64,
    writers: usize,
    until: Until,
}

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let payloads = Arc::new(Payloads::default());
    let len = ground.size.pick(2 * MIB, 64 * MIB, 64 * MIB);
    let direct = Prewritten::create(ground.dir, "raw-direct", len)?;
    let group = Prewritten::create(ground.dir, "raw-group", len)?;
    let mut outcome = Outcome::default();
    for (record, who) in cases(ground.size) {
        let case = format!(
            "{}, {}",
            size_name(record),
            counted(who.writers as u64, "writer")
        );
        let work = Work {
            payloads: Arc::clone(&payloads),
            record,
            writers: who.writers,
            until: Until::of(ground.size, record, who.writers),
        };
        let mut contest = Contest::new(Measure::RecordsPerSecond);
        if who.writers > MOST_THREADS {
            contest.limit(&case, "raw-batch", |_| {
                work.raw_batches(&direct, ground.size)
            });
        } else {
            let name = if who.writers == 1 {
                "raw-direct"
            } else {
                "raw-lock"
            };
            contest.limit(&case, name, |_| {
                let file = RawDirect::new(direct.clone());
                let done = work.on_threads(|payload| Ok(file.append(payload)?))?;
                Ok(done.turn(work.record, Some(file.syncs())))
            });
            contest.limit(&case, "raw-group", |_| {
                let file = RawGroup::new(group.clone());
                let done = work.on_threads(|payload| Ok(file.append(payload)?))?;
                Ok(done.turn(work.record, Some(file.syncs())))
            });
        }
        if who.threads {
            contest.log(&case, "blocking, threads", |dir| work.blocking(dir));
        }
        if who.tasks {
            contest.log(&case, "async, multi-thread", |dir| {
                work.tasks(dir, Flavour::MultiThread)
            });
        }
        if who.one_thread {
            contest.log(&case, "async, current-thread", |dir| {
                work.tasks(dir, Flavour::CurrentThread)
            });
        }
        for peer in ground.field.logs.iter().filter(|_| who.threads) {
            contest.peer(&case, peer.name, peer.version, |dir| {
                work.peer(dir, peer.peer.as_ref())
            });
        }
        outcome.add(contest.run(ground)?);
    }
    let about = "each record is on stable storage when its append returns (policy Always); async appends by tasks, all others \
                 by threads; the log had the time to write zeros ahead, as the limits' files were written before";
    Ok((about.to_owned(), outcome))
}

impl Work {
    /// Each writer has payloads of its own.
    fn on_threads(
        &self,
        append: impl Fn(&[u8]) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<Done> {
        on_threads(self.writers, self.until, |writer, n| {
            append(self.payloads.get(n + (writer as u64 * 31), self.record))
        })
    }

    /// What the writers could reach if each write and sync served all of them.
    fn raw_batches(&self, prewritten: &Prewritten, size: Size) -> anyhow::Result<Turn> {
        let file = RawDirect::new(prewritten.clone());
        let all = self.writers as u64;
        let until = Until::of(size, self.record * all, 1);
        let mut done = on_threads(1, until, |_, n| {
            let batch = (n * all..(n + 1) * all).map(|n| self.payloads.get(n, self.record));
            Ok(file.append_batch(batch)?)
        })?;
        done.calls *= all;
        Ok(done.turn(self.record, Some(file.syncs())))
    }

    fn blocking(&self, dir: &Path) -> anyhow::Result<Turn> {
        let wal = prepared(dir)?;
        let before = wal.stats().syncs;
        let done = self.on_threads(|payload| {
            wal.append(RecordRef::data(payload))?;
            Ok(())
        })?;
        check_last(wal.durable_lsn(), done.calls + 1)?;
        Ok(done.turn(self.record, Some(wal.stats().syncs - before)))
    }

    fn tasks(&self, dir: &Path, flavour: Flavour) -> anyhow::Result<Turn> {
        let runtime = flavour.runtime()?;
        let config = Policy::Always.config();
        let wal = runtime.block_on(Wal::open(log_dir(dir), config))?;
        // The first segment is made with the first append.
        runtime.block_on(wal.append(RecordRef::data(b"the first")))?;
        while_zeros_are_written(|| wal.stats());
        let before = wal.stats().syncs;
        let (log, payloads, record) = (wal.clone(), Arc::clone(&self.payloads), self.record);
        let done = on_tasks(&runtime, self.writers, self.until, move |writer, n| {
            let (log, payloads) = (log.clone(), Arc::clone(&payloads));
            async move {
                let payload = payloads.get(n + (writer as u64 * 31), record);
                log.append(RecordRef::data(payload)).await?;
                Ok(())
            }
        })?;
        check_last(wal.durable_lsn(), done.calls + 1)?;
        Ok(done.turn(self.record, Some(wal.stats().syncs - before)))
    }

    fn peer(&self, dir: &Path, peer: &dyn Peer) -> anyhow::Result<Option<Turn>> {
        let Some(log) = peer.create(dir, Reached::Durable)? else {
            return Ok(None);
        };
        log.append(b"the first")?;
        let done = self.on_threads(|payload| log.append(payload))?;
        Ok(Some(done.turn(self.record, None)))
    }
}
