//! Single keys at random.

use std::hint::black_box;
use std::ops::Deref;
use std::path::Path;

use anyhow::ensure;

use crate::common::counted;
use crate::contest::{Contest, Ground, Outcome};
use crate::limits::{RawMap, RawShards};
use crate::pairs::{VALUE, count_name, counts, fill, filled, filled_peers, key, on_threads};
use crate::payload::scattered;
use crate::turn::{Measure, Turn};

/// What a turn reads.
#[derive(Clone, Copy, Debug)]
struct Work {
    keys: u64,
    threads: u64,
    /// Gets of each thread.
    each: u64,
}

pub(in crate::workloads) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let mut outcome = Outcome::default();
    for keys in counts(ground.size) {
        let dir = ground.dir.join("stores");
        std::fs::create_dir_all(&dir)?;
        outcome.add(get(ground, *keys, &dir)?);
        std::fs::remove_dir_all(&dir)?;
    }
    let about = "the HashMap is std's, of keys and values in Bytes, behind a read lock for each get; raw-shards and the store copy \
                 the value out; latencies of one call in 64, with one reading of the clock in each";
    Ok((about.to_owned(), outcome))
}

fn get(ground: &Ground<'_>, keys: u64, dir: &Path) -> anyhow::Result<Outcome> {
    (ground.progress)("writing what is read");
    let (map, shards) = (RawMap::bare(), RawShards::bare());
    fill(keys, |key, value| Ok(map.put(key, value)?))?;
    fill(keys, |key, value| Ok(shards.put(key, value)?))?;
    let store = filled(dir, keys)?;
    let mut outcome = Outcome::default();
    let stores = &ground.field.stores;
    let peers = filled_peers(dir, keys, stores, &mut outcome.left_out);
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    let mut alone = Vec::new();
    for threads in [1, 2] {
        let case = format!("{}, {}", count_name(keys), counted(threads, "thread"));
        let work = Work {
            keys,
            threads,
            each: ground.size.pick(1000, 1_000_000, 2_000_000),
        };
        let (map, shards, store) = (&map, &shards, &store);
        let mut ids = vec![
            contest.limit(&case, "HashMap", move |_| work.turn(|key| Ok(map.get(key)))),
            contest.limit(&case, "raw-shards", move |_| {
                work.turn(|key| Ok(shards.get(key)))
            }),
            contest.log(&case, "store", move |_| work.turn(|key| Ok(store.get(key)))),
        ];
        let few = Work {
            each: work.each / 4,
            ..work
        };
        for (peer, map) in &peers {
            let id = contest.peer(&case, peer.name, peer.version, move |_| {
                few.turn(|key| map.get(key)).map(Some)
            });
            ids.push(id);
        }
        for (id, alone) in ids.iter().zip(&alone) {
            contest.against(*id, *alone, "1 thread");
        }
        alone = ids;
    }
    outcome.add(contest.run(ground)?);
    drop(peers);
    store.close()?;
    Ok(outcome)
}

impl Work {
    fn turn<V: Deref<Target = [u8]>>(
        self,
        get: impl Fn(&[u8; 16]) -> anyhow::Result<Option<V>> + Sync,
    ) -> anyhow::Result<Turn> {
        on_threads(self.threads, self.each, |thread, n| {
            let found = get(&key(scattered(n, thread + 1) % self.keys))?;
            let len = found.map_or(0, |value| black_box(&value[..]).len());
            ensure!(len as u64 == VALUE, "a value of {len} bytes was read");
            Ok(())
        })
    }
}
