//! Puts: those that wait for no disk, of new keys and of known ones; and durable ones, of new keys.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use wal_core::RecordRef;
use wal_kv::{KvConfig, blocking::KvStore};

use crate::common::{Policy, check_last, counted, discard, prepared, while_zeros_are_written};
use crate::contest::{Contest, Ground, Outcome};
use crate::limits::{Prewritten, RawChunk, RawGroup, RawMap, RawShards};
use crate::load::{Done, Until};
use crate::pairs::{
    PAIR, VALUE, config, count_name, counts, fill, filled, key, on_threads, open_store,
};
use crate::payload::{Payloads, scattered};
use crate::peer::{PeerStore, Reached};
use crate::size::{MIB, Size};
use crate::turn::{Measure, Turn};

/// Sets one pair.
type Put<'a> = dyn Fn(&[u8; 16], &[u8]) -> anyhow::Result<()> + Sync + 'a;

/// One writer. Ends when the last put has returned.
pub(in crate::workloads) fn buffered(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let mut outcome = Outcome::default();
    for keys in counts(ground.size) {
        outcome.add(new_keys(ground, *keys)?);
        outcome.add(known_keys(ground, *keys)?);
    }
    let about = "one writer, keys of 16 B in random order, values of 100 B; ends when the last put has returned; latencies of one \
                 call in 64; default settings have segments of 64 MiB and write snapshots meanwhile; known keys are drawn at \
                 random from those that are there";
    Ok((about.to_owned(), outcome))
}

fn new_keys(ground: &Ground<'_>, count: u64) -> anyhow::Result<Outcome> {
    let payloads = Payloads::default();
    let turn = |put: &Put<'_>| on_threads(1, count, |_, n| put(&key(n), payloads.get(n, VALUE)));
    let case = format!("buffered, {}", count_name(count));
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    contest.limit(&case, "raw-map", |dir| {
        let map = RawMap::buffered(RawChunk::create(dir)?);
        let turn = turn(&|key, value| Ok(map.put(key, value)?))?;
        check(map.map().len(), count)?;
        Ok(turn)
    });
    contest.limit(&case, "raw-shards", |dir| {
        let shards = RawShards::buffered(RawChunk::create(dir)?);
        let turn = turn(&|key, value| Ok(shards.put(key, value)?))?;
        check(shards.len(), count)?;
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
        contest.peer(&case, peer.name, peer.version, |dir| {
            let Some(map) = peer.open(dir, Reached::Buffered)? else {
                return Ok(None);
            };
            map.put(b"the first", b"")?;
            turn(&|key, value| map.put(key, value)).map(Some)
        });
    }
    contest.run(ground)
}

/// Each turn goes on with the maps and the store as the one before has left them. The logs only grow.
fn known_keys(ground: &Ground<'_>, count: u64) -> anyhow::Result<Outcome> {
    let own = tempfile::tempdir_in(ground.dir)?;
    let place = |name: &str| -> anyhow::Result<PathBuf> {
        let place = own.path().join(name);
        std::fs::create_dir(&place)?;
        Ok(place)
    };
    (ground.progress)("writing what is replaced");
    let map = RawMap::buffered(RawChunk::create(&place("map")?)?);
    fill(count, |key, value| Ok(map.put(key, value)?))?;
    let shards = RawShards::buffered(RawChunk::create(&place("shards")?)?);
    fill(count, |key, value| Ok(shards.put(key, value)?))?;
    let store = filled(&place("store")?, count)?;
    let (payloads, round) = (Payloads::default(), Cell::new(0));
    let turn = |put: &Put<'_>| {
        let now = round.replace(round.get() + 1);
        on_threads(1, count.min(1_000_000), |_, n| {
            let n = scattered(n, now);
            put(&key(n % count), payloads.get(n, VALUE))
        })
    };
    let case = format!("buffered, {}, known", count_name(count));
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    contest.limit(&case, "raw-map", |_| {
        turn(&|key, value| Ok(map.put(key, value)?))
    });
    contest.limit(&case, "raw-shards", |_| {
        turn(&|key, value| Ok(shards.put(key, value)?))
    });
    contest.log(&case, "Os", |_| {
        turn(&|key, value| {
            store.put(key, value)?;
            Ok(())
        })
    });
    let outcome = contest.run(ground)?;
    check(map.map().len(), count)?;
    check(shards.len(), count)?;
    check(store.len(), count)?;
    store.close()?;
    Ok(outcome)
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
pub(in crate::workloads) fn durable(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
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
            Ok(done.turn(PAIR, None))
        });
        contest.limit(&case, "raw-shards", |_| {
            let shards = RawShards::durable(RawGroup::new(file.clone()));
            let done = work.on_threads(|key, value| Ok(shards.put(key, value)?))?;
            check(shards.len(), done.calls)?;
            Ok(done.turn(PAIR, None))
        });
        contest.log(&case, "Always", |dir| work.store(dir));
        for peer in &ground.field.stores {
            contest.peer(&case, peer.name, peer.version, |dir| {
                work.peer(dir, peer.peer.as_ref())
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
        Ok(done.turn(PAIR, Some(wal.stats().syncs - before)))
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
        Ok(done.turn(PAIR, Some(store.stats().log.syncs - before)))
    }

    fn peer(&self, dir: &Path, peer: &dyn PeerStore) -> anyhow::Result<Option<Turn>> {
        let Some(map) = peer.open(dir, Reached::Durable)? else {
            return Ok(None);
        };
        map.put(b"the first", b"")?;
        let done = self.on_threads(|key, value| map.put(key, value))?;
        Ok(Some(done.turn(PAIR, None)))
    }
}
