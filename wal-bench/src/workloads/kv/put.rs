//! Puts of new keys: those that wait for no disk, and durable ones.

use std::path::Path;

use anyhow::ensure;
use wal_core::RecordRef;
use wal_kv::{KvConfig, blocking::KvStore};

use super::{PAIR, VALUE, config, count_name, key, keys, on_threads, open_store};
use crate::contest::{Contest, Ground, Outcome};
use crate::limits::{Prewritten, RawChunk, RawGroup, RawMap};
use crate::load::{Done, Until};
use crate::options::{MIB, Size};
use crate::payload::Payloads;
use crate::peer::{PeerStore, Reached};
use crate::turn::{Measure, Turn};
use crate::workloads::common::{
    Policy, check_last, counted, discard, prepared, while_zeros_are_written,
};

/// Sets one pair.
type Put<'a> = dyn Fn(&[u8; 16], &[u8]) -> anyhow::Result<()> + Sync + 'a;

/// One writer. Ends when the last put has returned.
pub(super) fn buffered(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let (payloads, count) = (Payloads::default(), keys(ground.size));
    let turn = |put: &Put<'_>| on_threads(1, count, |_, n| put(&key(n), payloads.get(n, VALUE)));
    let case = format!("buffered, {}", count_name(count));
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    contest.limit(&case, "raw-map", |dir| {
        let map = RawMap::buffered(RawChunk::create(dir)?);
        let turn = turn(&|key, value| Ok(map.put(key, value)?))?;
        check(map.map().len(), count)?;
        Ok(turn)
    });
    let ways = [
        ("Os", config(Policy::Os)),
        ("Batch(5ms)", config(Policy::Batch)),
        ("default settings", KvConfig::default()),
    ];
    for (name, config) in ways {
        contest.log(&case, name, move |dir| {
            let store = begun(dir, config.clone())?;
            let turn = turn(&|key, value| {
                store.put(key, value)?;
                Ok(())
            })?;
            check(store.len(), count + 1)?;
            discard(store, dir)?;
            Ok(turn)
        });
    }
    for peer in &ground.field.stores {
        contest.peer(&case, peer.name(), peer.version(), |dir| {
            let Some(map) = peer.open(dir, Reached::Buffered)? else {
                return Ok(None);
            };
            map.put(b"the first", b"")?;
            turn(&|key, value| map.put(key, value)).map(Some)
        });
    }
    let about = "one writer, new keys of 16 B in random order, values of 100 B; ends when the last put has returned; latencies \
                 of one call in 64; default settings have segments of 64 MiB and write snapshots meanwhile";
    Ok((about.to_owned(), contest.run(ground)?))
}

fn check(found: usize, expected: u64) -> anyhow::Result<()> {
    ensure!(
        found as u64 == expected,
        "the store has {found} keys, {expected} were put"
    );
    Ok(())
}

/// A new store whose first segment is there.
fn begun(dir: &Path, config: KvConfig) -> anyhow::Result<KvStore> {
    let store = open_store(dir, config)?;
    store.put("the first", "")?;
    store.sync()?;
    Ok(store)
}

/// What one durable turn puts.
struct Work {
    payloads: Payloads,
    writers: usize,
    until: Until,
}

/// Each put is on stable storage when it returns.
pub(super) fn durable(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let len = ground.size.pick(2 * MIB, 64 * MIB, 64 * MIB);
    let file = Prewritten::create(ground.dir, "raw-group", len)?;
    let mut outcome = Outcome::default();
    for writers in writers(ground.size) {
        let work = Work {
            payloads: Payloads::default(),
            writers,
            until: Until::of(ground.size, PAIR, writers),
        };
        let case = format!("durable, {}", counted(writers as u64, "writer"));
        let mut contest = Contest::new(Measure::RecordsPerSecond);
        contest.limit(&case, "bare log", |dir| work.bare_log(dir));
        contest.limit(&case, "raw-map", |_| {
            let map = RawMap::durable(RawGroup::new(file.clone()));
            let done = work.on_threads(|key, value| Ok(map.put(key, value)?))?;
            check(map.map().len(), done.calls)?;
            Ok(turn(done, None))
        });
        contest.log(&case, "Always", |dir| work.store(dir));
        for peer in &ground.field.stores {
            contest.peer(&case, peer.name(), peer.version(), |dir| {
                work.peer(dir, peer.as_ref())
            });
        }
        outcome.add(contest.run(ground)?);
    }
    let about = "each put is on stable storage when it returns (policy Always; the bare log is the same log, with append); log and \
                 store had the time to write zeros ahead, as raw-map's file was written before";
    Ok((about.to_owned(), outcome))
}

fn writers(size: Size) -> Vec<usize> {
    size.pick(vec![1, 2], vec![1, 8, 32], vec![1, 8, 32])
}

fn turn(done: Done, syncs: Option<u64>) -> Turn {
    Turn {
        latencies: Some(done.latencies),
        syncs,
        ..Turn::new(done.calls, done.calls * PAIR, done.elapsed)
    }
}

impl Work {
    fn on_threads(
        &self,
        put: impl Fn(&[u8; 16], &[u8]) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<Done> {
        crate::load::on_threads(self.writers, self.until, |writer, n| {
            let n = n * self.writers as u64 + writer as u64;
            put(&key(n), self.payloads.get(n, VALUE))
        })
    }

    fn bare_log(&self, dir: &Path) -> anyhow::Result<Turn> {
        let wal = prepared(dir)?;
        let before = wal.stats().syncs;
        let done = self.on_threads(|key, value| {
            wal.append(RecordRef::put(key, value))?;
            Ok(())
        })?;
        check_last(wal.durable_lsn(), done.calls + 1)?;
        Ok(turn(done, Some(wal.stats().syncs - before)))
    }

    fn store(&self, dir: &Path) -> anyhow::Result<Turn> {
        let config = KvConfig {
            max_segment_size: 128 * MIB,
            ..config(Policy::Always)
        };
        let store = begun(dir, config)?;
        while_zeros_are_written(|| store.stats().log);
        let before = store.stats().log.syncs;
        let done = self.on_threads(|key, value| {
            store.put(key, value)?;
            Ok(())
        })?;
        check(store.len(), done.calls + 1)?;
        Ok(turn(done, Some(store.stats().log.syncs - before)))
    }

    fn peer(&self, dir: &Path, peer: &dyn PeerStore) -> anyhow::Result<Option<Turn>> {
        let Some(map) = peer.open(dir, Reached::Durable)? else {
            return Ok(None);
        };
        map.put(b"the first", b"")?;
        let done = self.on_threads(|key, value| map.put(key, value))?;
        Ok(Some(turn(done, None)))
    }
}
