//! Opening a store, or reading what a limit has written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wal_kv::blocking::KvStore;

use crate::common::Policy;
use crate::found::Found;
use crate::limits::{Chunks, RawMap, RawShards};
use crate::memory;
use crate::pairs::config;
use crate::watch::Stopwatch;

/// What is opened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Opening {
    /// Opens a store.
    Store(PathBuf),
    /// Reads raw-chunk's file into a `HashMap`.
    Map(PathBuf),
    /// Reads it into shards.
    Shards(PathBuf),
    /// Reads it into a `HashMap` and a `BTreeMap`.
    TwoMaps(PathBuf),
}

impl Opening {
    pub(crate) fn serve(&self) -> anyhow::Result<Found> {
        let (base, watch) = (memory::peak(), Stopwatch::start());
        match self {
            Self::Store(dir) => {
                let store = KvStore::open(dir, config(Policy::Os))?;
                let found = Found::of(&watch, base, store.len() as u64);
                store.close()?;
                Ok(found)
            }
            Self::Map(dir) => {
                let map = RawMap::read(&mut Chunks::open(dir)?)?;
                let keys = map.map().len();
                Ok(Found::of(&watch, base, keys as u64))
            }
            Self::Shards(dir) => {
                let shards = RawShards::read(&mut Chunks::open(dir)?)?;
                Ok(Found::of(&watch, base, shards.len() as u64))
            }
            Self::TwoMaps(dir) => {
                let map = RawMap::read(&mut Chunks::open(dir)?)?;
                // The bytes are shared, as those of the store's two indexes are.
                let pairs = map.map();
                let pairs = pairs
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone()));
                let ordered: BTreeMap<Bytes, Bytes> = pairs.collect();
                Ok(Found::of(&watch, base, ordered.len() as u64))
            }
        }
    }
}
