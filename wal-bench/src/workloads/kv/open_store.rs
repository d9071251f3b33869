//! Opening, from the log alone and from a snapshot. Each open is a process of its own, so that its memory can be told from the
//! benchmark's.

use std::path::Path;

use anyhow::ensure;

use crate::common::log_dir;
use crate::contest::{Contest, Ground, Outcome};
use crate::errand::{Errand, Opening};
use crate::limits::{RawChunk, RawMap};
use crate::pairs::{PAIR, count_name, fill, filled, filled_peers, key};
use crate::peer::{PeerStore, Reached};
use crate::size::Size;
use crate::turn::{Measure, Turn};
use crate::watch::Stopwatch;
use crate::workloads::footprint::file_bytes;

/// In a process of its own.
fn turn(opening: Opening, keys: u64) -> anyhow::Result<Turn> {
    let found = Errand::Kv(opening).run()?;
    let records = found.records;
    ensure!(records == keys, "{records} of {keys} keys were found");
    Ok(found.turn(keys * PAIR))
}

fn sizes(size: Size) -> Vec<u64> {
    match size {
        Size::Quick => vec![500],
        Size::Short => vec![200_000, 1_000_000],
        Size::Full => vec![1_000_000, 10_000_000],
    }
}

pub(in crate::workloads) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let mut outcome = Outcome::default();
    for keys in sizes(ground.size) {
        let dir = ground.dir.join("stores");
        outcome.add(open(ground, keys, &dir)?);
        std::fs::remove_dir_all(&dir)?;
    }
    let about = "until the first get could be answered, from the page cache; the limits read and verify the same records, written \
                 by raw-chunk, on one thread, and insert them in std's HashMap, in raw-shards, or in a HashMap and a BTreeMap; MiB/s is of keys and values";
    Ok((about.to_owned(), outcome))
}

fn open(ground: &Ground<'_>, keys: u64, dir: &Path) -> anyhow::Result<Outcome> {
    let place = |name: &str| dir.join(name);
    for name in ["raw", "log", "snapshot", "peers"] {
        std::fs::create_dir_all(place(name))?;
    }
    (ground.progress)("writing what is opened");
    let raw = RawMap::buffered(RawChunk::create(&place("raw"))?);
    fill(keys, |key, value| Ok(raw.put(key, value)?))?;
    raw.flush()?;
    drop(raw);
    filled(&place("log"), keys)?.close()?;
    let store = filled(&place("snapshot"), keys)?;
    store.snapshot()?;
    store.close()?;
    let mut outcome = Outcome::default();
    let stores = &ground.field.stores;
    drop(filled_peers(
        &place("peers"),
        keys,
        stores,
        &mut outcome.left_out,
    ));

    let case = count_name(keys);
    let raw = place("raw");
    let mut contest = Contest::new(Measure::Milliseconds);
    contest.limit(&case, "raw-map", |_| {
        turn(Opening::Map(raw.clone()), keys)?.with_bytes_of(&raw)
    });
    contest.limit(&case, "raw-shards", |_| {
        turn(Opening::Shards(raw.clone()), keys)?.with_bytes_of(&raw)
    });
    contest.limit(&case, "raw-maps", |_| {
        turn(Opening::TwoMaps(raw.clone()), keys)?.with_bytes_of(&raw)
    });
    for (name, place) in [("log only", place("log")), ("snapshot", place("snapshot"))] {
        contest.log(&case, name, move |_| {
            let own = log_dir(&place);
            turn(Opening::Store(own.clone()), keys)?.with_bytes_of(&own)
        });
    }
    for peer in stores {
        let place = place("peers").join(peer.name);
        contest.peer(&case, peer.name, peer.version, move |_| {
            opened_by(peer.peer.as_ref(), &place, keys)
        });
    }
    outcome.add(contest.run(ground)?);
    Ok(outcome)
}

impl Turn {
    /// With the bytes of the files in `dir`, for each byte of keys and values.
    fn with_bytes_of(self, dir: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            written: Some(file_bytes(dir)?),
            ..self
        })
    }
}

/// In this process, whose memory tells nothing about it.
fn opened_by(peer: &dyn PeerStore, dir: &Path, keys: u64) -> anyhow::Result<Option<Turn>> {
    let watch = Stopwatch::start();
    let Some(map) = peer.open(dir, Reached::Buffered)? else {
        return Ok(None);
    };
    let found = map.get(&key(0))?;
    let elapsed = watch.elapsed();
    ensure!(found.is_some(), "the first key is not there");
    drop(map);
    Turn::new(1, keys * PAIR, elapsed)
        .with_bytes_of(dir)
        .map(Some)
}
