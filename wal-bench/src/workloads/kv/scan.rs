//! All pairs, in the order of their keys.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use anyhow::ensure;
use bytes::Bytes;

use crate::contest::{Contest, Ground, Outcome};
use crate::limits::RawMap;
use crate::pairs::{PAIR, count_name, counts, fill, filled, filled_peers};
use crate::turn::{Measure, Turn};
use crate::watch::Stopwatch;

pub(in crate::workloads) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let mut outcome = Outcome::default();
    for keys in counts(ground.size) {
        let dir = ground.dir.join("stores");
        std::fs::create_dir_all(&dir)?;
        outcome.add(scan(ground, *keys, &dir)?);
        std::fs::remove_dir_all(&dir)?;
    }
    let about = "key and value of every pair are touched; in the order of the keys, but for the HashMap; the maps are std's, behind \
                 a lock that is held for the whole scan: of keys and values in Bytes, and raw-tree of keys in the tree itself";
    Ok((about.to_owned(), outcome))
}

fn scan(ground: &Ground<'_>, keys: u64, dir: &Path) -> anyhow::Result<Outcome> {
    (ground.progress)("writing what is read");
    let (ordered, map) = (RwLock::new(BTreeMap::new()), RawMap::bare());
    let tree = RwLock::new(BTreeMap::<[u8; 16], Box<[u8]>>::new());
    fill(keys, |key, value| {
        let pair = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        write(&ordered).insert(pair.0, pair.1);
        Ok(map.put(key, value)?)
    })?;
    fill(keys, |key, value| {
        write(&tree).insert(*key, Box::from(value));
        Ok(())
    })?;
    let store = filled(dir, keys)?;
    let mut outcome = Outcome::default();
    let stores = &ground.field.stores;
    let peers = filled_peers(dir, keys, stores, &mut outcome.left_out);
    let case = count_name(keys);
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    contest.limit(&case, "BTreeMap", |_| {
        turn(keys, |seen| {
            let map = read(&ordered);
            map.iter().for_each(|(key, value)| seen.note(key, value));
            Ok(())
        })
    });
    contest.limit(&case, "raw-tree", |_| {
        turn(keys, |seen| {
            let map = read(&tree);
            map.iter().for_each(|(key, value)| seen.note(key, value));
            Ok(())
        })
    });
    contest.limit(&case, "HashMap", |_| {
        turn(keys, |seen| {
            let map = map.map();
            map.iter().for_each(|(key, value)| seen.note(key, value));
            Ok(())
        })
    });
    contest.log(&case, "forward", |_| {
        turn(keys, |seen| {
            let pairs = store.iter();
            pairs.for_each(|pair| seen.note(pair.key(), pair.value()));
            Ok(())
        })
    });
    contest.log(&case, "reverse", |_| {
        turn(keys, |seen| {
            let pairs = store.iter().rev();
            pairs.for_each(|pair| seen.note(pair.key(), pair.value()));
            Ok(())
        })
    });
    for (peer, map) in &peers {
        contest.peer(&case, peer.name, peer.version, move |_| {
            turn(keys, |seen| {
                map.scan(&mut |key, value| seen.note(key, value))
            })
            .map(Some)
        });
    }
    outcome.add(contest.run(ground)?);
    drop(peers);
    store.close()?;
    Ok(outcome)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct Seen {
    pairs: u64,
    bytes: u64,
    sum: u64,
}

impl Seen {
    /// Reads the last byte of both.
    #[inline]
    fn note(&mut self, key: &[u8], value: &[u8]) {
        self.pairs += 1;
        self.bytes += (key.len() + value.len()) as u64;
        let last = |bytes: &[u8]| u64::from(bytes.last().copied().unwrap_or(0));
        self.sum = self.sum.wrapping_add(last(key) ^ last(value));
    }
}

fn turn(keys: u64, scan: impl FnOnce(&mut Seen) -> anyhow::Result<()>) -> anyhow::Result<Turn> {
    let (mut seen, watch) = (Seen::default(), Stopwatch::start());
    scan(&mut seen)?;
    let elapsed = watch.elapsed();
    std::hint::black_box(seen.sum);
    ensure!(
        (seen.pairs, seen.bytes) == (keys, keys * PAIR),
        "{} of {keys} pairs were seen",
        seen.pairs
    );
    Ok(Turn::new(keys, seen.bytes, elapsed))
}
