//! fjall: each put in the journal, handed over to the operating system, and synced by itself where it is asked for.

use std::path::Path;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use bytes::Bytes;
use wal_bench::peer::{PeerMap, PeerStore, Reached};

use super::common::CACHE;

/// One keyspace.
pub(super) struct Fjall;

struct Map {
    database: Database,
    pairs: Keyspace,
    reached: Reached,
}

impl PeerStore for Fjall {
    fn open(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerMap>>> {
        let database = Database::builder(dir).cache_size(CACHE).open()?;
        let pairs = database.keyspace("kv", KeyspaceCreateOptions::default)?;
        Ok(Some(Box::new(Map {
            database,
            pairs,
            reached,
        })))
    }
}

impl PeerMap for Map {
    fn put(&self, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        match self.reached {
            Reached::Buffered => Ok(self.pairs.insert(key, value)?),
            Reached::Durable => {
                let mode = Some(PersistMode::SyncData);
                let mut batch = self.database.batch().durability(mode);
                batch.insert(&self.pairs, key, value);
                Ok(batch.commit()?)
            }
        }
    }

    fn get(&self, key: &[u8]) -> anyhow::Result<Option<Bytes>> {
        let found = self.pairs.get(key)?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> anyhow::Result<()> {
        for pair in self.pairs.iter() {
            let (key, value) = pair.into_inner()?;
            each(&key, &value);
        }
        Ok(())
    }

    fn sync(&self) -> anyhow::Result<()> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }
}
