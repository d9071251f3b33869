//! Pairs of keys and values, and stores that are filled with them.

use std::path::Path;

use wal_kv::blocking::KvStore;
use wal_kv::{KvConfig, Snapshots};

use crate::common::{Policy, log_dir};
use crate::load::{histogram_of, sampled, together};
use crate::payload::{Payloads, scattered};
use crate::peer::{Entrant, PeerMap, PeerStore, Reached};
use crate::size::{MIB, Size};
use crate::turn::Turn;

/// Bytes of a value, and of a key with its value.
pub(crate) const VALUE: u64 = 100;
pub(crate) const PAIR: u64 = 16 + VALUE;

/// Keys of the sizes that a workload has.
pub(crate) fn counts(size: Size) -> &'static [u64] {
    size.pick(&[500], &[200_000], &[1_000_000, 10_000_000])
}

/// The key of pair `n`. Its neighbours' keys are nowhere near it.
#[inline]
pub(crate) fn key(n: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&scattered(n, 0).to_be_bytes());
    key[8..].copy_from_slice(&n.to_be_bytes());
    key
}

pub(crate) fn count_name(count: u64) -> String {
    match (count % 1_000_000, count % 1000) {
        (0, _) => format!("{} M keys", count / 1_000_000),
        (_, 0) => format!("{} k keys", count / 1000),
        _ => format!("{count} keys"),
    }
}

/// One segment holds what a turn puts, and the store writes no snapshot by itself.
pub(crate) fn config(policy: Policy) -> KvConfig {
    KvConfig {
        fsync_policy: policy.config().fsync_policy,
        max_segment_size: 1024 * MIB,
        snapshots: Snapshots::OnCall,
        ..KvConfig::default()
    }
}

pub(crate) fn open_store(dir: &Path, config: KvConfig) -> wal_kv::Result<KvStore> {
    KvStore::open(log_dir(dir), config)
}

/// As many pairs, each put once.
pub(crate) fn fill(
    count: u64,
    mut put: impl FnMut(&[u8; 16], &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let payloads = Payloads::default();
    (0..count).try_for_each(|n| put(&key(n), payloads.get(n, VALUE)))
}

/// A store of `count` keys.
pub(crate) fn filled(dir: &Path, count: u64) -> anyhow::Result<KvStore> {
    let store = open_store(dir, config(Policy::Os))?;
    fill(count, |key, value| {
        store.put(key, value)?;
        Ok(())
    })?;
    store.sync()?;
    Ok(store)
}

type FilledPeer<'a> = (&'a Entrant<dyn PeerStore>, Box<dyn PeerMap>);

/// Peers whose stores have `count` keys each; those that fail are named in `left_out`.
pub(crate) fn filled_peers<'a>(
    dir: &Path,
    count: u64,
    stores: &'a [Entrant<dyn PeerStore>],
    left_out: &mut Vec<String>,
) -> Vec<FilledPeer<'a>> {
    let mut filled = Vec::new();
    for store in stores {
        match filled_peer(&dir.join(store.name), count, store.peer.as_ref()) {
            Ok(Some(map)) => filled.push((store, map)),
            Ok(None) => {}
            Err(error) => left_out.push(format!("{}: {error:#}", store.name)),
        }
    }
    filled
}

fn filled_peer(
    dir: &Path,
    count: u64,
    store: &dyn PeerStore,
) -> anyhow::Result<Option<Box<dyn PeerMap>>> {
    std::fs::create_dir(dir)?;
    let Some(map) = store.open(dir, Reached::Buffered)? else {
        return Ok(None);
    };
    fill(count, |key, value| map.put(key, value))?;
    map.sync()?;
    Ok(Some(map))
}

/// Each of `threads` threads calls `call` with its number and the call's, `each` times. One call in 64 is timed: the clock would
/// be a quarter of a get.
pub(crate) fn on_threads(
    threads: u64,
    each: u64,
    call: impl Fn(u64, u64) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Turn> {
    let (watch, latencies) = together(threads as usize, |thread| {
        sampled(VALUE, each, |n| call(thread as u64, n))
    })?;
    let (elapsed, calls) = (watch.elapsed(), threads * each);
    Ok(Turn {
        latencies: Some(histogram_of(latencies.into_iter().flatten())),
        ..Turn::new(calls, calls * PAIR, elapsed)
    })
}
